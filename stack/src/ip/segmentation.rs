//! Cutting a super-frame into the packets that it stands for, where no device does it.

use super::fragmentation::take;
use crate::frame::{Gso, GsoKind, HEADROOM, PacketId, TxChecksum, TxFrame};
use crate::wire::checksum::{self, Sum};
use crate::wire::{ipv4, tcp, udp};
use bytes::Bytes;
use core::net::IpAddr;
use smoltcp::wire::{Ipv4Packet, TcpPacket, TcpSeqNumber, UdpPacket};
use std::collections::VecDeque;

/// The frames of a super-frame, whose headers must end with the transport's; `network_at` is the length of the link's
/// in front of them, in bytes. Each has its own lengths, identification, sequence number and checksum, and the first
/// keeps the packet id. None for a frame that is no super-frame.
pub(crate) fn segments(frame: &TxFrame, network_at: usize) -> Option<Segments> {
    let headers = SegmentHeaders::of(frame, network_at)?;
    let mut template = frame.clone();
    template.payload.clear();
    template.gso = None;
    template.checksum = TxChecksum::Complete;
    Some(Segments {
        data: frame.payload.iter().cloned().collect(),
        left: frame.payload_len(),
        template,
        headers,
        number: 0,
    })
}

/// See [`segments`].
pub(crate) struct Segments {
    template: TxFrame,
    headers: SegmentHeaders,
    data: VecDeque<Bytes>,
    left: usize,
    number: u16,
}

impl Segments {
    /// How many there are still.
    pub(crate) fn count_left(&self) -> usize {
        self.left.div_ceil(self.headers.size())
    }
}

impl Iterator for Segments {
    type Item = TxFrame;

    fn next(&mut self) -> Option<TxFrame> {
        if self.left == 0 {
            return None;
        }
        let len = self.headers.size().min(self.left);
        let mut frame = self.template.clone();
        take(&mut self.data, len, &mut frame);
        self.left -= len;
        let payload = checksum::frame_sum(Sum::default(), &frame, self.headers.len());
        self.headers.write(self.number, len, self.left == 0, payload, frame.headers_mut());
        self.number = self.number.wrapping_add(1);
        self.template.id = PacketId::default();
        Some(frame)
    }
}

/// What the headers of all segments have in common, with what differs left zero, and the sums over it: a segment's
/// checksums are these and a few words.
pub(crate) struct SegmentHeaders {
    bytes: [u8; HEADROOM],
    len: usize,
    network_at: usize,
    transport_at: usize,
    kind: GsoKind,
    size: usize,
    ident: u16,
    seq: u32,
    flags: tcp::Flags,
    network_sum: Sum,
    transport_sum: Sum,
}

impl SegmentHeaders {
    /// Reads a super-frame's headers: see [`segments`].
    pub(crate) fn of(frame: &TxFrame, network_at: usize) -> Option<SegmentHeaders> {
        let Gso { kind, size } = frame.gso?;
        let header = ipv4::Header::parse_quoted(frame.headers().get(network_at..)?).ok()?;
        let transport_at = network_at + usize::from(header.header_len);
        let transport = frame.headers().get(transport_at..)?;
        let is_whole = match kind {
            GsoKind::Tcp4 => TcpPacket::new_checked(transport).is_ok(),
            GsoKind::Udp4 => transport.len() == udp::HEADER_BYTES,
        };
        if !is_whole {
            return None;
        }
        let len = frame.headers().len();
        let mut bytes = [0; HEADROOM];
        bytes[..len].copy_from_slice(frame.headers());
        let (network, transport) = bytes[network_at..len].split_at_mut(usize::from(header.header_len));
        let mut view = Ipv4Packet::new_unchecked(&mut *network);
        view.set_total_len(0);
        view.set_ident(0);
        view.set_checksum(0);
        let (mut seq, mut flags) = (0, tcp::Flags::default());
        match kind {
            GsoKind::Tcp4 => {
                flags = tcp::Flags(transport[tcp::FLAGS_AT]);
                transport[tcp::FLAGS_AT] = flags.without(ENDS).0;
                let mut view = TcpPacket::new_unchecked(&mut *transport);
                seq = view.seq_number().0 as u32;
                view.set_seq_number(TcpSeqNumber(0));
                view.set_checksum(0);
            }
            GsoKind::Udp4 => {
                let mut view = UdpPacket::new_unchecked(&mut *transport);
                view.set_len(0);
                view.set_checksum(0);
            }
        }
        let network_sum = Sum::default().bytes(network);
        let (source, destination) = (IpAddr::V4(header.source), IpAddr::V4(header.destination));
        let transport_sum = checksum::pseudo_header(source, destination, header.protocol, 0).bytes(transport);
        Some(SegmentHeaders {
            bytes,
            len,
            network_at,
            transport_at,
            kind,
            size: usize::from(size).max(1),
            ident: header.ident,
            seq,
            flags,
            network_sum,
            transport_sum,
        })
    }

    /// Bytes of all headers.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of payload in each segment but the last.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Writes the headers of a segment to `to`, which is as long as they are: the `number`th from 0, with so many bytes
    /// of payload, whose sum is `payload`.
    pub(crate) fn write(&self, number: u16, len: usize, is_last: bool, payload: Sum, to: &mut [u8]) {
        to.copy_from_slice(&self.bytes[..self.len]);
        let total_len = (self.len - self.network_at + len) as u16;
        let ident = self.ident.wrapping_add(number);
        let network = &mut to[self.network_at..];
        put(network, ipv4::TOTAL_LEN_AT, total_len);
        put(network, ipv4::IDENT_AT, ident);
        put(network, ipv4::CHECKSUM_AT, self.network_sum.word(total_len).word(ident).checksum());

        let segment_len = (self.len - self.transport_at + len) as u16;
        let transport = &mut to[self.transport_at..];
        let sum = self.transport_sum.word(segment_len).word(payload.partial());
        match self.kind {
            GsoKind::Tcp4 => {
                let seq = self.seq.wrapping_add(u32::from(number).wrapping_mul(self.size as u32));
                let (high, low) = ((seq >> 16) as u16, seq as u16);
                put(transport, tcp::SEQ_AT, high);
                put(transport, tcp::SEQ_AT + 2, low);
                let flags = self.flags_of(number == 0, is_last);
                transport[tcp::FLAGS_AT] |= flags.0;
                let sum = sum.word(high).word(low).word(u16::from(flags.0));
                put(transport, usize::from(tcp::CHECKSUM_AT), sum.checksum());
            }
            GsoKind::Udp4 => {
                put(transport, udp::LEN_AT, segment_len);
                let checksum = checksum::never_zero(sum.word(segment_len).checksum());
                put(transport, usize::from(checksum::UDP_CHECKSUM_AT), checksum);
            }
        }
    }

    /// The bits of [`ENDS`] that a segment has: the end of the burst is the end of its last segment; CWR tells once
    /// (RFC 3168 section 6.1.2).
    fn flags_of(&self, is_first: bool, is_last: bool) -> tcp::Flags {
        let mut flags = tcp::Flags::default();
        for (bit, is_there) in
            [(tcp::Flags::FIN, is_last), (tcp::Flags::PSH, is_last), (tcp::Flags::CWR, is_first)]
        {
            if is_there && self.flags.contains(bit) {
                flags |= bit;
            }
        }
        flags
    }
}

fn put(header: &mut [u8], at: usize, word: u16) {
    header[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// The control bits that only one end of a super-frame has.
const ENDS: tcp::Flags = tcp::Flags(tcp::Flags::FIN.0 | tcp::Flags::PSH.0 | tcp::Flags::CWR.0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Medium;
    use crate::testing::dissect;
    use crate::wire::tcp::Flags;
    use core::net::Ipv4Addr;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn super_frame(kind: GsoKind, size: u16, slices: &[usize], emit: impl FnOnce(&mut TxFrame)) -> TxFrame {
        let mut frame = TxFrame::default();
        let mut value = 0u8;
        for &len in slices {
            let slice: Vec<u8> = (0..len).map(|at| value.wrapping_add(at as u8)).collect();
            value = value.wrapping_add(len as u8);
            frame.payload.push(slice.into());
        }
        frame.gso = Some(Gso { kind, size });
        emit(&mut frame);
        let protocol = if kind == GsoKind::Tcp4 { tcp::PROTOCOL } else { udp::PROTOCOL };
        let header = ipv4::Header {
            header_len: 20,
            total_len: 0,
            tos: 0,
            ident: 0xffff,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            source: A,
            destination: B,
        };
        header.emit(&mut frame);
        frame
    }

    #[test]
    fn tcp_segments_carry_on_where_the_last_one_ended() {
        let header = tcp::Header {
            src_port: 1,
            dst_port: 2,
            seq: u32::MAX - 5,
            flags: Flags::ACK | Flags::PSH | Flags::FIN | Flags::CWR,
            ..tcp::Header::default()
        };
        let frame = super_frame(GsoKind::Tcp4, 101, &[57, 200, 3], |frame| {
            header.emit(frame, A.into(), B.into(), true);
        });
        let all = segments(&frame, 0).unwrap();
        assert_eq!(all.count_left(), 3);
        let mut whole = Vec::new();
        for (number, segment) in all.enumerate() {
            let bytes = segment.to_vec();
            dissect(Medium::Ip, &bytes);
            let ip = ipv4::Header::parse(&bytes).unwrap();
            assert_eq!(ip.ident, 0xffffu16.wrapping_add(number as u16));
            let (segment, payload_at) = tcp::Header::parse(&bytes[20..]).unwrap();
            assert_eq!(segment.seq, header.seq.wrapping_add(101 * number as u32));
            assert_eq!(segment.flags.contains(Flags::FIN | Flags::PSH), number == 2);
            assert_eq!(segment.flags.cwr(), number == 0);
            whole.extend_from_slice(&bytes[20 + payload_at..]);
        }
        assert_eq!(whole, frame.to_vec()[40..]);
    }

    #[test]
    fn udp_segments_are_datagrams() {
        let header = udp::Header { src_port: 1, dst_port: 2 };
        let frame = super_frame(GsoKind::Udp4, 100, &[250], |frame| {
            header.emit(frame, A.into(), B.into(), true);
        });
        let lens: Vec<usize> = segments(&frame, 0)
            .unwrap()
            .map(|segment| {
                let bytes = segment.to_vec();
                dissect(Medium::Ip, &bytes);
                udp::Header::parse(&bytes[20..]).unwrap().len - 8
            })
            .collect();
        assert_eq!(lens, [100, 100, 50]);
    }

    #[test]
    fn other_frames_have_no_segments() {
        assert!(segments(&TxFrame::default(), 0).is_none());
    }
}
