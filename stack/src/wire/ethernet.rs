//! Ethernet II's header.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |                      Destination address                      |
//! |                               +-------------------------------+
//! |                               |                               |
//! +-------------------------------+        Source address         |
//! |                                                               |
//! +-------------------------------+-------------------------------+
//! |           EtherType           |
//! +-------------------------------+
//! ```
//! (RFC 894; IEEE 802.3 section 3.1)

use crate::frame::TxFrame;
use crate::stack::MacAddr;
use smoltcp::wire::{EthernetAddress, EthernetFrame};

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) destination: MacAddr,
    pub(crate) source: MacAddr,
    pub(crate) ethertype: u16,
}

impl Header {
    /// Reads the header; what it carries starts at [`HEADER_BYTES`]. None when the frame is too short.
    pub(crate) fn parse(frame: &[u8]) -> Option<Header> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        Some(Header {
            destination: MacAddr(frame.dst_addr().0),
            source: MacAddr(frame.src_addr().0),
            ethertype: frame.ethertype().into(),
        })
    }

    /// Writes the header in front of the frame.
    pub(crate) fn emit(&self, frame: &mut TxFrame) {
        let mut header = EthernetFrame::new_unchecked(frame.prepend(HEADER_BYTES));
        header.set_dst_addr(EthernetAddress(self.destination.0));
        header.set_src_addr(EthernetAddress(self.source.0));
        header.set_ethertype(self.ethertype.into());
    }
}

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 14;

/// The EtherType of IPv4.
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// The EtherType of ARP.
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;

#[cfg(test)]
mod tests {
    use super::super::captured;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn captured_broadcast() {
        let bytes = captured::bytes(captured::ARP_REQUEST);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.destination, MacAddr::BROADCAST);
        assert_eq!(header.source, MacAddr([0xd6, 0x27, 0xf9, 0x84, 0x73, 0x4b]));
        assert_eq!(header.ethertype, ETHERTYPE_ARP);
        let mut frame = TxFrame::default();
        header.emit(&mut frame);
        assert_eq!(frame.to_vec(), bytes[..HEADER_BYTES]);
        assert_eq!(Header::parse(&bytes[..13]), None);
    }

    proptest! {
        #[test]
        fn round_trip(destination in any::<[u8; 6]>(), source in any::<[u8; 6]>(), ethertype in any::<u16>()) {
            let header = Header { destination: MacAddr(destination), source: MacAddr(source), ethertype };
            let mut frame = TxFrame::default();
            header.emit(&mut frame);
            prop_assert_eq!(Header::parse(&frame.to_vec()), Some(header));
        }
    }
}
