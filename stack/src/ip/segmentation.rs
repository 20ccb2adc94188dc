//! Cutting a super-frame into the packets that it stands for, where no device does it.

use super::fragmentation::take;
use crate::frame::{Gso, GsoKind, PacketId, TxChecksum, TxFrame};
use crate::wire::{checksum, ipv4, tcp, udp};
use bytes::Bytes;
use core::net::IpAddr;
use smoltcp::wire::{TcpPacket, TcpSeqNumber, UdpPacket};
use std::collections::VecDeque;

/// The frames of a super-frame, whose headers must end with the transport's; `network_at` is the length of the link's
/// in front of them, in bytes. Each has its own lengths, identification, sequence number and checksum, and the first
/// keeps the packet id. None for a frame that is no super-frame.
pub(crate) fn segments(frame: &TxFrame, network_at: usize) -> Option<Segments> {
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
    let mut template = frame.clone();
    template.payload.clear();
    template.gso = None;
    Some(Segments {
        data: frame.payload.iter().cloned().collect(),
        left: frame.payload_len(),
        size: usize::from(size).max(1),
        template,
        header,
        network_at,
        transport_at,
        kind,
        number: 0,
    })
}

/// See [`segments`].
pub(crate) struct Segments {
    template: TxFrame,
    header: ipv4::Header,
    network_at: usize,
    transport_at: usize,
    kind: GsoKind,
    data: VecDeque<Bytes>,
    left: usize,
    size: usize,
    number: u16,
}

impl Segments {
    /// How many there are still.
    pub(crate) fn count_left(&self) -> usize {
        self.left.div_ceil(self.size)
    }
}

impl Iterator for Segments {
    type Item = TxFrame;

    fn next(&mut self) -> Option<TxFrame> {
        if self.left == 0 {
            return None;
        }
        let len = self.size.min(self.left);
        let mut frame = self.template.clone();
        take(&mut self.data, len, &mut frame);
        self.left -= len;

        let headers = frame.headers_mut();
        let packet = headers.get_mut(self.network_at..).unwrap_or_default();
        let total_len = packet.len() + len;
        let mut rewrite = ipv4::Rewrite::new(packet);
        rewrite.total_len(total_len as u16);
        rewrite.ident(self.header.ident.wrapping_add(self.number));
        let transport = headers.get_mut(self.transport_at..).unwrap_or_default();
        let segment_len = transport.len() + len;
        let (source, destination) = (IpAddr::V4(self.header.source), IpAddr::V4(self.header.destination));
        let pseudo_header =
            checksum::pseudo_header(source, destination, self.header.protocol, segment_len).partial();
        let offset = match self.kind {
            GsoKind::Tcp4 => {
                self.tcp(transport, pseudo_header);
                tcp::CHECKSUM_AT
            }
            GsoKind::Udp4 => {
                let mut view = UdpPacket::new_unchecked(transport);
                view.set_len(segment_len as u16);
                view.set_checksum(pseudo_header);
                checksum::UDP_CHECKSUM_AT
            }
        };
        frame.checksum = TxChecksum::Partial { start: self.transport_at as u16, offset };
        checksum::complete(&mut frame);
        self.number = self.number.wrapping_add(1);
        self.template.id = PacketId::default();
        Some(frame)
    }
}

impl Segments {
    fn tcp(&self, transport: &mut [u8], pseudo_header: u16) {
        let (is_first, is_last) = (self.number == 0, self.left == 0);
        let mut view = TcpPacket::new_unchecked(transport);
        let sent = u32::from(self.number).wrapping_mul(self.size as u32);
        view.set_seq_number(TcpSeqNumber((view.seq_number().0 as u32).wrapping_add(sent) as i32));
        // The end of the burst is the end of its last segment; CWR tells once (RFC 3168 section 6.1.2).
        view.set_fin(view.fin() && is_last);
        view.set_psh(view.psh() && is_last);
        view.set_cwr(view.cwr() && is_first);
        view.set_checksum(pseudo_header);
    }
}

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
