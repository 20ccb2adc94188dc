//! UDP's header.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |          Source Port          |       Destination Port        |
//! +-------------------------------+-------------------------------+
//! |            Length             |           Checksum            |
//! +-------------------------------+-------------------------------+
//! ```
//! (RFC 768)

use super::checksum;
use crate::frame::{TxChecksum, TxFrame};
use core::net::IpAddr;
use smoltcp::wire::UdpPacket;

/// A datagram's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
}

/// A datagram's header as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) header: Header,
    /// Bytes of the datagram, header included; what follows is padding.
    pub(crate) len: usize,
    /// Whether the sender summed it: a checksum of zero says that it didn't (RFC 768).
    pub(crate) has_checksum: bool,
}

impl Header {
    /// Reads a header; its data starts at [`HEADER_BYTES`]. None when the lengths can't be.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Parsed> {
        let packet = UdpPacket::new_checked(datagram).ok()?;
        Some(Parsed {
            header: Header { src_port: packet.src_port(), dst_port: packet.dst_port() },
            len: usize::from(packet.len()),
            has_checksum: packet.checksum() != 0,
        })
    }

    /// Writes the header in front of the frame's payload. `partial` leaves the checksum to the device.
    pub(crate) fn emit(&self, frame: &mut TxFrame, source: IpAddr, destination: IpAddr, partial: bool) {
        let len = HEADER_BYTES + frame.len();
        let mut packet = UdpPacket::new_unchecked(frame.prepend(HEADER_BYTES));
        packet.set_src_port(self.src_port);
        packet.set_dst_port(self.dst_port);
        packet.set_len(len as u16);
        packet.set_checksum(checksum::pseudo_header(source, destination, PROTOCOL, len).partial());
        frame.checksum = TxChecksum::Partial { start: 0, offset: checksum::UDP_CHECKSUM_AT };
        if !partial {
            checksum::complete(frame);
        }
    }
}

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 8;
/// Where the datagram's length is, in bytes from the header's start.
pub(crate) const LEN_AT: usize = 4;
/// UDP's number in the IP header.
pub(crate) const PROTOCOL: u8 = 17;

#[cfg(test)]
mod tests {
    use super::super::captured;
    use super::*;
    use bytes::Bytes;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));

    fn emit(header: Header, payload: &[u8]) -> Vec<u8> {
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::copy_from_slice(payload));
        header.emit(&mut frame, A, B, false);
        frame.to_vec()
    }

    #[test]
    fn captured_datagram() {
        let bytes = captured::bytes(captured::UDP_KNOCK)[34..].to_vec();
        let header = Header { src_port: 50944, dst_port: 9999 };
        assert_eq!(Header::parse(&bytes), Some(Parsed { header, len: 13, has_checksum: true }));
        assert!(checksum::verify(A, B, PROTOCOL, &bytes));
        assert_eq!(emit(header, b"knock"), bytes);
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_ones() {
        // Two bytes of payload that make the sum come out as 0xffff, so its complement as zero.
        let header = Header { src_port: 1, dst_port: 2 };
        let plain = emit(header, &[0, 0]);
        let payload = [plain[6], plain[7]];
        let bytes = emit(header, &payload);
        assert_eq!(bytes[6..8], [0xff, 0xff]);
        assert!(checksum::verify(A, B, PROTOCOL, &bytes));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let mut bytes = captured::bytes(captured::UDP_KNOCK)[34..].to_vec();
        for len in [0, 7, 14] {
            bytes[5] = len;
            assert_eq!(Header::parse(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(ports in any::<(u16, u16)>(), payload in proptest::collection::vec(any::<u8>(), 0..50)) {
            let header = Header { src_port: ports.0, dst_port: ports.1 };
            let bytes = emit(header, &payload);
            prop_assert_eq!(Header::parse(&bytes).map(|p| (p.header, p.len)), Some((header, bytes.len())));
            prop_assert!(checksum::verify(A, B, PROTOCOL, &bytes));
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = Header::parse(&bytes);
        }
    }
}
