//! ICMP: echo messages, and errors with what they quote, which routers may cut short.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |     Type      |     Code      |           Checksum            |
//! +---------------+---------------+-------------------------------+
//! |  echo: Identifier             |  echo: Sequence Number        |
//! |  unreachable: unused          |  unreachable: next hop's MTU  |   (RFC 1191 section 4)
//! |  parameter problem: pointer   |                               |
//! +---------------+---------------+-------------------------------+
//! |  echo: data;  errors: the IP header and at least 8 bytes of   |
//! |  the packet that they are about                               |
//! +---------------------------------------------------------------+
//! ```
//! (RFC 792)

use super::{checksum, ipv4};
use crate::frame::TxFrame;

/// The fixed part of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// The four bytes behind the checksum.
    pub(crate) rest: [u8; 4],
}

impl Header {
    /// Reads the fixed part; data starts at [`HEADER_BYTES`]. None when the message is too short. The checksum is
    /// for [`is_valid`] to check.
    pub(crate) fn parse(message: &[u8]) -> Option<Header> {
        let &[kind, code, _, _, a, b, c, d] = message.first_chunk()?;
        Some(Header { kind, code, rest: [a, b, c, d] })
    }

    /// An echo message.
    pub(crate) fn echo(kind: u8, ident: u16, sequence: u16) -> Header {
        let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
        Header { kind, code: 0, rest: [a, b, c, d] }
    }

    /// An echo message's identifier.
    pub(crate) fn ident(&self) -> u16 {
        u16::from_be_bytes([self.rest[0], self.rest[1]])
    }

    /// An echo message's sequence number.
    pub(crate) fn sequence(&self) -> u16 {
        self.low_word()
    }

    /// The next hop's MTU in a "fragmentation needed" (RFC 1191 section 4); 0 where an old router did not say.
    pub(crate) fn mtu(&self) -> u16 {
        self.low_word()
    }

    fn low_word(&self) -> u16 {
        u16::from_be_bytes([self.rest[2], self.rest[3]])
    }

    /// Writes the header in front of the frame's payload, with the checksum over both.
    pub(crate) fn emit(&self, frame: &mut TxFrame) {
        self.emit_with(frame, |frame| checksum::frame_sum(checksum::Sum::default(), frame, 0).checksum());
    }

    /// Writes the header of the reply to `request`, whose data is the frame's payload: the checksum is the
    /// request's but for the changed type (RFC 1624), so that no byte of the data has to be touched.
    pub(crate) fn emit_reply_to(&self, frame: &mut TxFrame, request: &Header, checksum: u16) {
        let word = |header: &Header| u16::from_be_bytes([header.kind, header.code]);
        let updated = checksum::update(checksum, word(request), word(self));
        self.emit_with(frame, |frame| match updated {
            // Where the request's type was its only byte that isn't zero, the reply's sum is zero, and an update
            // can't tell that from the other zero of one's complement (RFC 1624 section 3).
            0 => checksum::frame_sum(checksum::Sum::default(), frame, 0).checksum(),
            updated => updated,
        });
    }

    fn emit_with(&self, frame: &mut TxFrame, sum: impl FnOnce(&TxFrame) -> u16) {
        let [a, b, c, d] = self.rest;
        frame.prepend(HEADER_BYTES).copy_from_slice(&[self.kind, self.code, 0, 0, a, b, c, d]);
        let checksum = sum(frame).to_be_bytes();
        if let Some(field) = frame.headers_mut().get_mut(2..4) {
            field.copy_from_slice(&checksum);
        }
    }
}

/// Whether a message's checksum is right.
pub(crate) fn is_valid(message: &[u8]) -> bool {
    checksum::Sum::default().bytes(message).is_valid()
}

/// A message's checksum field.
pub(crate) fn checksum_of(message: &[u8]) -> Option<u16> {
    message.get(2..4)?.first_chunk().map(|&field| u16::from_be_bytes(field))
}

/// The packet that an error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote<'a> {
    pub(crate) header: ipv4::Header,
    /// The transport's header: its first 8 bytes at least.
    pub(crate) transport: &'a [u8],
}

impl Quote<'_> {
    /// Reads what follows an error's fixed part. Truncated quotes are taken as they are: RFC 792 has "the internet
    /// header plus the first 64 bits", RFC 1812 section 4.3.2.3 as much as fits. None when even that is missing.
    pub(crate) fn parse(data: &[u8]) -> Option<Quote<'_>> {
        let header = ipv4::Header::parse_quoted(data).ok()?;
        let transport =
            data.get(usize::from(header.header_len)..usize::from(header.total_len).min(data.len()))?;
        (transport.len() >= QUOTED_BYTES_MIN).then_some(Quote { header, transport })
    }

    /// The two ports, which TCP and UDP have in the same place.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let &[a, b, c, d, ..] = self.transport else { return (0, 0) };
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// TCP's sequence number.
    pub(crate) fn sequence(&self) -> u32 {
        let &[_, _, _, _, a, b, c, d, ..] = self.transport else { return 0 };
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Bytes of the fixed part.
pub(crate) const HEADER_BYTES: usize = 8;
/// What every error quotes of a transport's header, in bytes (RFC 792: "64 bits of original data").
const QUOTED_BYTES_MIN: usize = 8;
/// ICMP's number in the IP header.
pub(crate) const PROTOCOL: u8 = 1;

/// Message types (RFC 792).
pub(crate) mod kind {
    pub(crate) const ECHO_REPLY: u8 = 0;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const ECHO_REQUEST: u8 = 8;
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    pub(crate) const PARAMETER_PROBLEM: u8 = 12;
}

/// Codes of "destination unreachable" (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
pub(crate) mod unreachable {
    pub(crate) const NET: u8 = 0;
    pub(crate) const HOST: u8 = 1;
    pub(crate) const PROTOCOL: u8 = 2;
    pub(crate) const PORT: u8 = 3;
    pub(crate) const FRAGMENTATION_NEEDED: u8 = 4;
    pub(crate) const SOURCE_ROUTE_FAILED: u8 = 5;
    pub(crate) const NET_UNKNOWN: u8 = 6;
    pub(crate) const HOST_UNKNOWN: u8 = 7;
    pub(crate) const NET_PROHIBITED: u8 = 9;
    pub(crate) const HOST_PROHIBITED: u8 = 10;
    pub(crate) const NET_TOS: u8 = 11;
    pub(crate) const HOST_TOS: u8 = 12;
    pub(crate) const ADMIN_PROHIBITED: u8 = 13;
}

#[cfg(test)]
mod tests {
    use super::super::captured;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn captured_echo_and_reply() {
        let request = captured::bytes(captured::ECHO_REQUEST)[34..].to_vec();
        let header = Header::parse(&request).unwrap();
        assert_eq!((header.kind, header.ident(), header.sequence()), (kind::ECHO_REQUEST, 9612, 1));
        assert!(is_valid(&request));

        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::copy_from_slice(&request[8..]));
        let checksum = checksum_of(&request).unwrap();
        Header { kind: kind::ECHO_REPLY, ..header }.emit_reply_to(&mut frame, &header, checksum);
        assert_eq!(frame.to_vec(), captured::bytes(captured::ECHO_REPLY)[34..]);
    }

    #[test]
    fn a_reply_of_nothing_but_zeros_has_a_good_checksum() {
        let request = Header { kind: kind::ECHO_REQUEST, code: 0, rest: [0; 4] };
        let (mut asked, mut answered) = (TxFrame::default(), TxFrame::default());
        request.emit(&mut asked);
        let checksum = checksum_of(&asked.to_vec()).unwrap();
        Header { kind: kind::ECHO_REPLY, ..request }.emit_reply_to(&mut answered, &request, checksum);
        assert_eq!(answered.to_vec(), [0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn captured_port_unreachable() {
        let message = captured::bytes(captured::PORT_UNREACHABLE)[34..].to_vec();
        let header = Header::parse(&message).unwrap();
        assert_eq!((header.kind, header.code), (kind::UNREACHABLE, unreachable::PORT));
        let quote = Quote::parse(&message[HEADER_BYTES..]).unwrap();
        assert_eq!((quote.header.protocol, quote.ports()), (17, (50944, 9999)));

        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::copy_from_slice(&message[8..]));
        header.emit(&mut frame);
        assert_eq!(frame.to_vec(), message);
    }

    #[test]
    fn truncated_quotes_are_accepted_down_to_eight_bytes() {
        let quoted = captured::bytes(captured::TCP_DATA)[14..].to_vec();
        let quote = Quote::parse(&quoted[..28]).unwrap();
        assert_eq!((quote.ports(), quote.sequence()), ((60648, 7000), 0x7397_a512));
        assert_eq!(Quote::parse(&quoted[..27]), None);
    }

    proptest! {
        #[test]
        fn round_trip(kind in any::<u8>(), code in any::<u8>(), rest in any::<[u8; 4]>(), data in proptest::collection::vec(any::<u8>(), 0..50)) {
            let header = Header { kind, code, rest };
            let mut frame = TxFrame::default();
            frame.payload.push(Bytes::from(data));
            header.emit(&mut frame);
            let bytes = frame.to_vec();
            prop_assert_eq!(Header::parse(&bytes), Some(header));
            prop_assert!(is_valid(&bytes));
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _ = Header::parse(&bytes);
            if let Some(quote) = Quote::parse(&bytes) {
                let _ = (quote.ports(), quote.sequence());
            }
        }
    }
}
