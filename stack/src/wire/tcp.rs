//! TCP's header: read with its length checked, written in front of a frame's payload.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |          Source Port          |       Destination Port        |
//! +-------------------------------+-------------------------------+
//! |                        Sequence Number                        |
//! +---------------------------------------------------------------+
//! |                    Acknowledgment Number                      |
//! +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
//! | Data  | Rsrvd |C|E|U|A|P|R|S|F|            Window             |
//! | Offset|       |W|C|R|C|S|S|Y|I|                               |
//! +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
//! |           Checksum            |         Urgent Pointer        |
//! +-------------------------------+-------------------------------+
//! |                           [Options]                           |
//! +---------------------------------------------------------------+
//! ```
//! (RFC 9293 section 3.1)

use super::checksum;
use super::tcp_options::TcpOptions;
use crate::frame::{TxChecksum, TxFrame};
use core::fmt;
use core::net::IpAddr;
use core::ops::{BitOr, BitOrAssign};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// A segment's header. Its checksum is not part of it: see [`checksum::verify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    /// As it is in the header, unscaled.
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: TcpOptions,
}

impl Header {
    /// Reads a header, and tells where the payload starts; none when the lengths can't be.
    pub(crate) fn parse(segment: &[u8]) -> Option<(Header, usize)> {
        let packet = TcpPacket::new_checked(segment).ok()?;
        let header = Header {
            src_port: packet.src_port(),
            dst_port: packet.dst_port(),
            seq: packet.seq_number().0 as u32,
            ack: packet.ack_number().0 as u32,
            flags: Flags(*segment.get(FLAGS_AT)?),
            window: packet.window_len(),
            urgent: packet.urgent_at(),
            options: TcpOptions::parse(packet.options()),
        };
        Some((header, usize::from(packet.header_len())))
    }

    /// Bytes that [`Header::emit`] writes.
    pub(crate) fn emitted_len(&self) -> usize {
        HEADER_BYTES + self.options.emitted_len()
    }

    /// Writes the header in front of the frame's payload. `partial` leaves the checksum to the device: its field
    /// then holds the pseudo-header's sum over the whole frame, also where that is a super-frame.
    pub(crate) fn emit(&self, frame: &mut TxFrame, source: IpAddr, destination: IpAddr, partial: bool) {
        let header_len = self.emitted_len();
        let segment_len = header_len + frame.len();
        let pseudo_header = checksum::pseudo_header(source, destination, PROTOCOL, segment_len);

        let room = frame.prepend(header_len);
        room[FLAGS_AT] = self.flags.0;
        let mut packet = TcpPacket::new_unchecked(room);
        packet.set_src_port(self.src_port);
        packet.set_dst_port(self.dst_port);
        packet.set_seq_number(TcpSeqNumber(self.seq as i32));
        packet.set_ack_number(TcpSeqNumber(self.ack as i32));
        packet.set_header_len(header_len as u8);
        packet.set_window_len(self.window);
        packet.set_urgent_at(self.urgent);
        self.options.emit(packet.options_mut());
        packet.set_checksum(pseudo_header.partial());

        // The offsets grow with every header that is put in front: see `TxFrame::prepend`.
        frame.checksum = TxChecksum::Partial { start: 0, offset: CHECKSUM_AT };
        if !partial {
            checksum::complete(frame);
        }
    }
}

/// The control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const FIN: Flags = Flags(0x01);
    pub(crate) const SYN: Flags = Flags(0x02);
    pub(crate) const RST: Flags = Flags(0x04);
    pub(crate) const PSH: Flags = Flags(0x08);
    pub(crate) const ACK: Flags = Flags(0x10);
    pub(crate) const URG: Flags = Flags(0x20);
    pub(crate) const ECE: Flags = Flags(0x40);
    pub(crate) const CWR: Flags = Flags(0x80);

    /// Whether all of these bits are set.
    pub(crate) const fn contains(self, bits: Flags) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// These bits without those.
    pub(crate) const fn without(self, bits: Flags) -> Flags {
        Flags(self.0 & !bits.0)
    }

    pub(crate) const fn fin(self) -> bool {
        self.contains(Flags::FIN)
    }
    pub(crate) const fn syn(self) -> bool {
        self.contains(Flags::SYN)
    }
    pub(crate) const fn rst(self) -> bool {
        self.contains(Flags::RST)
    }
    pub(crate) const fn ack(self) -> bool {
        self.contains(Flags::ACK)
    }
    pub(crate) const fn urg(self) -> bool {
        self.contains(Flags::URG)
    }
    pub(crate) const fn ece(self) -> bool {
        self.contains(Flags::ECE)
    }
    pub(crate) const fn cwr(self) -> bool {
        self.contains(Flags::CWR)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set: Vec<&str> =
            names.into_iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, n)| n).collect();
        f.write_str(if set.is_empty() { "none".into() } else { set.join("+") }.as_str())
    }
}

/// TCP's number in the IP header.
pub(crate) const PROTOCOL: u8 = 6;
/// Bytes of a header without options.
pub(crate) const HEADER_BYTES: usize = 20;
/// Where the sequence number is, in bytes from the header's start.
pub(crate) const SEQ_AT: usize = 4;
/// Where the control bits are, in bytes from the header's start.
pub(crate) const FLAGS_AT: usize = 13;
/// Where the checksum is, in bytes from the header's start.
pub(crate) const CHECKSUM_AT: u16 = 16;

#[cfg(test)]
mod tests {
    use super::super::captured;
    use super::super::tcp_options::Timestamps;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const A: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 0, 1));
    const B: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 0, 2));

    /// What was captured, from TCP's header on.
    fn segment(frame: &str) -> Vec<u8> {
        captured::bytes(frame)[34..].to_vec()
    }

    fn emit(header: &Header, payload: &[u8], partial: bool) -> TxFrame {
        let mut frame = TxFrame::default();
        if !payload.is_empty() {
            let (front, back) = payload.split_at(payload.len() / 2);
            frame.payload.push(Bytes::copy_from_slice(front));
            frame.payload.push(Bytes::copy_from_slice(back));
        }
        header.emit(&mut frame, A, B, partial);
        frame
    }

    #[test]
    fn captured_syn() {
        let bytes = segment(captured::TCP_SYN);
        let (header, payload_at) = Header::parse(&bytes).unwrap();
        assert_eq!(payload_at, 40);
        assert_eq!((header.src_port, header.dst_port), (60648, 7000));
        assert_eq!((header.seq, header.ack), (1_939_318_033, 0));
        assert_eq!((header.flags, header.window, header.urgent), (Flags::SYN, 64240, 0));
        assert!(checksum::verify(A, B, PROTOCOL, &bytes));
        assert_eq!(emit(&header, &[], false).to_vec(), bytes, "written as Linux writes it");
    }

    #[test]
    fn captured_data() {
        let bytes = segment(captured::TCP_DATA);
        let (header, payload_at) = Header::parse(&bytes).unwrap();
        assert_eq!(&bytes[payload_at..], b"hello");
        assert_eq!(header.flags, Flags::PSH | Flags::ACK);
        assert_eq!(header.options.timestamps, Some(Timestamps { value: 897_121_519, echo: 2_834_890_493 }));
        assert_eq!(emit(&header, b"hello", false).to_vec(), bytes, "odd slices sum right");
    }

    #[test]
    fn captured_reset_without_options() {
        let bytes = segment(captured::TCP_RST);
        let (header, payload_at) = Header::parse(&bytes).unwrap();
        assert_eq!((payload_at, header.flags), (20, Flags::RST | Flags::ACK));
        assert!(!checksum::verify(A, A, PROTOCOL, &bytes), "the pseudo-header counts");
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let mut bytes = segment(captured::TCP_RST);
        assert!(Header::parse(&bytes[..19]).is_none());
        bytes[12] = 0x40;
        assert!(Header::parse(&bytes).is_none(), "data offset below 20 bytes");
        bytes[12] = 0x60;
        assert!(Header::parse(&bytes).is_none(), "data offset beyond the segment");
    }

    #[test]
    fn partial_holds_the_pseudo_headers_sum() {
        let (header, _) = Header::parse(&segment(captured::TCP_DATA)).unwrap();
        let mut frame = emit(&header, b"hello", true);
        frame.prepend(20);
        frame.prepend(14);
        assert_eq!(frame.checksum, TxChecksum::Partial { start: 34, offset: 16 });
        checksum::complete(&mut frame);
        assert_eq!(frame.to_vec()[34..], segment(captured::TCP_DATA));
    }

    proptest! {
        #[test]
        fn round_trip(
            ports in any::<(u16, u16)>(), numbers in any::<(u32, u32)>(), flags in any::<u8>(),
            rest in any::<(u16, u16)>(), payload in proptest::collection::vec(any::<u8>(), 0..50),
            timestamps in any::<Option<(u32, u32)>>(),
        ) {
            let options = TcpOptions {
                timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
                ..TcpOptions::default()
            };
            let header = Header {
                src_port: ports.0, dst_port: ports.1, seq: numbers.0, ack: numbers.1, flags: Flags(flags),
                window: rest.0, urgent: rest.1, options,
            };
            let bytes = emit(&header, &payload, false).to_vec();
            prop_assert!(checksum::verify(A, B, PROTOCOL, &bytes));
            let (parsed, payload_at) = Header::parse(&bytes).unwrap();
            prop_assert_eq!(parsed, header);
            prop_assert_eq!(&bytes[payload_at..], payload.as_slice());
            let oracle = etherparse::TcpHeaderSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!(oracle.sequence_number(), header.seq);
            prop_assert_eq!(oracle.slice().len(), payload_at);
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some((_, payload_at)) = Header::parse(&bytes) {
                prop_assert!(payload_at <= bytes.len());
            }
        }
    }
}
