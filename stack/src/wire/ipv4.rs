//! IPv4's header.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+-------------------------------+
//! |Version|  IHL  | DSCP      |ECN|         Total Length          |
//! +-------+-------+---------------+-----+-------------------------+
//! |        Identification         |0|D|M|     Fragment Offset     |
//! +---------------+---------------+-----+-------------------------+
//! | Time to Live  |   Protocol    |        Header Checksum        |
//! +---------------+---------------+-------------------------------+
//! |                        Source Address                         |
//! +---------------------------------------------------------------+
//! |                      Destination Address                      |
//! +---------------------------------------------------------------+
//! |                           [Options]                           |
//! +---------------------------------------------------------------+
//! ```
//! (RFC 791 section 3.1)

use super::checksum::{self, Sum};
use crate::frame::{DropReason, TxFrame};
use core::net::Ipv4Addr;
use smoltcp::wire::Ipv4Packet;

/// A packet's header, without its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of header, options included.
    pub(crate) header_len: u8,
    /// Bytes of the packet, header included.
    pub(crate) total_len: u16,
    /// DSCP and ECN bits.
    pub(crate) tos: u8,
    pub(crate) ident: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) more_fragments: bool,
    /// Where this fragment's data lies in the datagram, in bytes.
    pub(crate) fragment_offset: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

impl Header {
    /// Reads and checks a header (RFC 1122 section 3.2.1): lengths, version, checksum. The packet ends at
    /// `total_len`; what follows is the link's padding.
    pub(crate) fn parse(packet: &[u8]) -> Result<Header, DropReason> {
        let header = Header::parse_quoted(packet)?;
        // RFC 1122 section 3.2.1.2: "A host MUST verify the IP header checksum on every received datagram and
        // silently discard every datagram that has a bad checksum."
        let bytes = packet.get(..usize::from(header.header_len)).unwrap_or_default();
        let sum = match <&[u8; HEADER_BYTES]>::try_from(bytes) {
            Ok(without_options) => Sum::default().header(without_options),
            Err(_) => Sum::default().bytes(bytes),
        };
        if !sum.is_valid() {
            return Err(DropReason::IpBadChecksum);
        }
        if packet.len() < usize::from(header.total_len) {
            return Err(DropReason::IpMalformed);
        }
        Ok(header)
    }

    /// As [`Header::parse`], of a packet that an ICMP error quotes: it may be cut short, and routers may have
    /// left its checksum or total length as they pleased.
    pub(crate) fn parse_quoted(packet: &[u8]) -> Result<Header, DropReason> {
        if packet.len() < HEADER_BYTES {
            return Err(DropReason::IpMalformed);
        }
        let view = Ipv4Packet::new_unchecked(packet);
        if view.version() != 4 {
            return Err(DropReason::IpBadVersion);
        }
        let header_len = usize::from(view.header_len());
        if header_len < HEADER_BYTES
            || header_len > packet.len()
            || header_len > usize::from(view.total_len())
        {
            return Err(DropReason::IpMalformed);
        }
        Ok(Header {
            header_len: view.header_len(),
            total_len: view.total_len(),
            tos: view.dscp() << 2 | view.ecn(),
            ident: view.ident(),
            dont_fragment: view.dont_frag(),
            more_fragments: view.more_frags(),
            fragment_offset: view.frag_offset(),
            ttl: view.hop_limit(),
            protocol: view.next_header().into(),
            source: view.src_addr(),
            destination: view.dst_addr(),
        })
    }

    /// Whether this is a piece of a datagram.
    pub(crate) fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Writes a header without options in front of the frame; `header_len` and `total_len` are counted, not taken
    /// from here.
    pub(crate) fn emit(&self, frame: &mut TxFrame) {
        let total_len = HEADER_BYTES + frame.len();
        debug_assert!(total_len <= usize::from(u16::MAX), "transports bound their packets");
        let mut view = Ipv4Packet::new_unchecked(frame.prepend(HEADER_BYTES));
        view.set_version(4);
        view.set_header_len(HEADER_BYTES as u8);
        view.set_dscp(self.tos >> 2);
        view.set_ecn(self.tos & 3);
        view.set_total_len(total_len as u16);
        view.set_ident(self.ident);
        view.set_dont_frag(self.dont_fragment);
        view.set_more_frags(self.more_fragments);
        view.set_frag_offset(self.fragment_offset);
        view.set_hop_limit(self.ttl);
        view.set_next_header(self.protocol.into());
        view.set_src_addr(self.source);
        view.set_dst_addr(self.destination);
        if let Some(header) = frame.headers().first_chunk::<HEADER_BYTES>() {
            let checksum = Sum::default().header(header).checksum();
            frame.headers_mut()[CHECKSUM_AT..][..2].copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

/// Changes a header in place, as a router may: the checksum is updated, not summed anew (RFC 1624), so that damage
/// done before stays visible.
pub(crate) struct Rewrite<'a>(Ipv4Packet<&'a mut [u8]>);

impl<'a> Rewrite<'a> {
    /// The bytes must begin with a whole header.
    pub(crate) fn new(header: &'a mut [u8]) -> Rewrite<'a> {
        debug_assert!(header.len() >= HEADER_BYTES);
        Rewrite(Ipv4Packet::new_unchecked(header))
    }

    pub(crate) fn ttl(&mut self, ttl: u8) {
        let protocol = u16::from(u8::from(self.0.next_header()));
        let old = u16::from(self.0.hop_limit()) << 8 | protocol;
        self.0.set_hop_limit(ttl);
        self.update(old, u16::from(ttl) << 8 | protocol);
    }

    pub(crate) fn total_len(&mut self, total_len: u16) {
        let old = self.0.total_len();
        self.0.set_total_len(total_len);
        self.update(old, total_len);
    }

    /// `offset` in bytes.
    pub(crate) fn fragment(&mut self, offset: u16, more: bool) {
        let word = |view: &Ipv4Packet<&'a mut [u8]>| {
            u16::from(view.dont_frag()) << 14 | u16::from(view.more_frags()) << 13 | view.frag_offset() >> 3
        };
        let old = word(&self.0);
        self.0.set_more_frags(more);
        self.0.set_frag_offset(offset);
        let new = word(&self.0);
        self.update(old, new);
    }

    fn update(&mut self, old: u16, new: u16) {
        self.0.set_checksum(checksum::update(self.0.checksum(), old, new));
    }
}

/// The header of a fragment that isn't the first: only options that say so are copied (RFC 791 section 3.1).
pub(crate) fn header_of_later_fragment(header: &[u8]) -> Vec<u8> {
    let (fixed, mut options) = header.split_at_checked(HEADER_BYTES).unwrap_or((header, &[]));
    let mut later = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        let len = match (kind, rest) {
            (0, _) => break,
            (1, _) => 1,
            (_, [len, ..]) => usize::from(*len).max(2),
            _ => break,
        };
        let (option, behind) = options.split_at_checked(len).unwrap_or((options, &[]));
        if kind & COPIED != 0 {
            later.extend_from_slice(option);
        }
        options = behind;
    }
    later.resize(later.len().next_multiple_of(4), 0);
    let len = later.len() as u8;
    let mut view = Ipv4Packet::new_unchecked(later.as_mut_slice());
    view.set_header_len(len);
    view.fill_checksum();
    later
}

/// Bytes of a header without options.
pub(crate) const HEADER_BYTES: usize = 20;
/// Where the packet's length is, in bytes from the header's start.
pub(crate) const TOTAL_LEN_AT: usize = 2;
/// Where the identification is.
pub(crate) const IDENT_AT: usize = 4;
/// Where the header's checksum is.
pub(crate) const CHECKSUM_AT: usize = 10;

/// Marks an option that every fragment carries.
const COPIED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::super::captured;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn captured_packet() {
        let bytes = captured::bytes(captured::ECHO_REQUEST)[14..].to_vec();
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.header_len, header.total_len), (20, 44));
        assert_eq!((header.ident, header.dont_fragment, header.is_fragment()), (0xd660, true, false));
        assert_eq!((header.ttl, header.protocol, header.tos), (64, 1, 0));
        assert_eq!(header.source, Ipv4Addr::new(10, 9, 0, 1));
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::copy_from_slice(&bytes[20..]));
        header.emit(&mut frame);
        assert_eq!(frame.to_vec(), bytes);
    }

    #[test]
    fn captured_last_fragment() {
        let mut bytes = captured::bytes(captured::LAST_FRAGMENT_HEADER);
        assert_eq!(Header::parse(&bytes), Err(DropReason::IpMalformed), "shorter than it says");
        bytes.resize(148, 0);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.fragment_offset, header.more_fragments), (1480, false));
        assert!(header.is_fragment());
    }

    #[test]
    fn bad_headers_are_named() {
        let good = captured::bytes(captured::ECHO_REQUEST)[14..].to_vec();
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Header::parse(&bytes)
        };
        assert_eq!(broken(0, 0x65), Err(DropReason::IpBadVersion));
        assert_eq!(broken(0, 0x44), Err(DropReason::IpMalformed));
        assert_eq!(broken(3, 10), Err(DropReason::IpMalformed));
        assert_eq!(broken(8, 63), Err(DropReason::IpBadChecksum));
        assert_eq!(Header::parse(&good[..19]), Err(DropReason::IpMalformed));
    }

    #[test]
    fn later_fragments_carry_copied_options_only() {
        let mut header = captured::bytes(captured::ECHO_REQUEST)[14..34].to_vec();
        // Record route (not copied), no operation, router alert (copied), end.
        header.extend([7, 3, 4, 1, 148, 4, 0, 0, 0, 0, 0, 0]);
        let later = header_of_later_fragment(&header);
        assert_eq!(later[20..], [148, 4, 0, 0]);
        let header = Header::parse_quoted(&later).unwrap();
        assert_eq!((header.header_len, header.source), (24, Ipv4Addr::new(10, 9, 0, 1)));
        assert!(checksum::Sum::default().bytes(&later).is_valid());
    }

    proptest! {
        #[test]
        fn round_trip_and_rewrite(
            fields in any::<(u8, u16, u8, u8)>(), flags in any::<(bool, bool)>(), offset in 0u16..8192,
            addresses in any::<(u32, u32)>(), payload in 0usize..100, new in any::<(u8, u16)>(),
        ) {
            let mut header = Header {
                header_len: 20, total_len: 20 + payload as u16, tos: fields.0, ident: fields.1,
                dont_fragment: flags.0, more_fragments: flags.1, fragment_offset: offset << 3, ttl: fields.2,
                protocol: fields.3, source: Ipv4Addr::from_bits(addresses.0),
                destination: Ipv4Addr::from_bits(addresses.1),
            };
            let mut frame = TxFrame::default();
            frame.payload.push(Bytes::from(vec![7; payload]));
            header.emit(&mut frame);
            prop_assert_eq!(Header::parse(&frame.to_vec()), Ok(header));

            let mut rewrite = Rewrite::new(frame.headers_mut());
            rewrite.ttl(new.0);
            rewrite.fragment(new.1 & 0xfff8, !flags.1);
            (header.ttl, header.fragment_offset) = (new.0, new.1 & 0xfff8);
            header.more_fragments = !flags.1;
            prop_assert_eq!(Header::parse(&frame.to_vec()), Ok(header));
            let oracle = etherparse::Ipv4HeaderSlice::from_slice(frame.headers()).unwrap().to_header();
            prop_assert_eq!(oracle.fragment_offset.value(), new.1 >> 3);
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Header::parse(&bytes);
        }
    }
}
