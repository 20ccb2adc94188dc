//! A segment that came in: its header parsed once, its payload by reference.

use super::seq::SeqNum;
use crate::frame::DropReason;
use crate::frame::RxChecksum;
use crate::ip::PacketIn;
use crate::wire::checksum;
use crate::wire::tcp::{Flags, Header, PROTOCOL};
use crate::wire::tcp_options::TcpOptions;
use bytes::{Buf as _, Bytes};

/// A segment, as section 3.3.1 of RFC 9293 names its parts.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// SEG.SEQ.
    pub(crate) seq: SeqNum,
    /// SEG.ACK; meaningless without the ACK bit.
    pub(crate) ack: SeqNum,
    pub(crate) flags: Flags,
    /// SEG.WND as it is in the header, unscaled.
    pub(crate) window: u16,
    /// The urgent pointer; meaningless without the URG bit.
    pub(crate) urgent: u16,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Bytes,
    /// Segments that the wire carried: more than one for a super-frame.
    pub(crate) wire_segments: u32,
    /// Payload of the largest of them, in bytes.
    pub(crate) segment_bytes: u32,
    /// The IP header carried a congestion mark (RFC 3168).
    pub(crate) congestion_experienced: bool,
}

impl Segment {
    /// Reads and checks a packet's segment: its ports, and the rest. The payload is taken out of the packet.
    pub(crate) fn parse(packet: &mut PacketIn) -> Result<(u16, u16, Segment), DropReason> {
        let (header, payload_at) = Header::parse(&packet.payload).ok_or(DropReason::TcpMalformed)?;
        let sound = packet.checksum != RxChecksum::Unverified
            || checksum::verify(packet.source, packet.destination, PROTOCOL, &packet.payload);
        if !sound {
            return Err(DropReason::TcpBadChecksum);
        }
        let mut payload = core::mem::take(&mut packet.payload);
        payload.advance(payload_at);
        let segment_bytes = packet.gso.map_or(payload.len(), |gso| usize::from(gso.size).min(payload.len()));
        let wire_segments = packet.gso.map_or(1, |gso| payload.len().div_ceil(usize::from(gso.size).max(1)));
        let segment = Segment {
            seq: SeqNum::new(header.seq),
            ack: SeqNum::new(header.ack),
            flags: header.flags,
            window: header.window,
            urgent: header.urgent,
            options: header.options,
            payload,
            wire_segments: wire_segments as u32,
            segment_bytes: segment_bytes as u32,
            congestion_experienced: packet.tos & 3 == 3,
        };
        Ok((header.src_port, header.dst_port, segment))
    }

    /// SEG.LEN: payload, SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }

    /// One past the last sequence number.
    pub(crate) fn end(&self) -> SeqNum {
        self.seq + self.len()
    }
}
