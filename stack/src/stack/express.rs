//! The express lane: frames that look like the last one of their connection go straight to it.
//!
//! A peer that sends much sends the same headers again and again. When a frame's link and IP header and its ports are
//! those of a frame that went through all layers and reached a connection, the layers would decide the same about it:
//! only what differs is checked here, the checksums above all. Whatever isn't just as expected goes the long way, which
//! also names and counts what is wrong with it; but for damaged data, which is dropped here as there.

use crate::frame::{DropReason, Outcome, RxChecksum, RxFrame};
use crate::stack::{InterfaceId, Medium, Stack};
use crate::tcp::{ConnectionId, Predicted, SeqNum};
use crate::wire::checksum::{self, Sum};
use crate::wire::tcp::{Flags, HEADER_BYTES, PROTOCOL};
use crate::wire::tcp_options::Timestamps;
use crate::wire::{ethernet, ipv4};
use bytes::Buf as _;
use core::net::IpAddr;

/// The lanes of a stack; connections that share one take it from each other.
#[derive(Default)]
pub(super) struct Express {
    lanes: [Option<Lane>; LANES],
    /// Nothing goes through, so that tests can compare.
    #[cfg(test)]
    closed: bool,
    /// Frames that went through.
    #[cfg(test)]
    taken: u64,
}

/// Where frames go that begin like this.
struct Lane {
    interface: InterfaceId,
    connection: ConnectionId,
    /// Of the addresses and routes that the layers decided by.
    generation: u32,
    head: Head,
    /// Of its segments, without their length.
    pseudo_header: Sum,
}

/// How a frame begins, with what differs between a connection's frames left zero: the packet's length, identification
/// and checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    link: [u8; ethernet::HEADER_BYTES],
    packet: [u8; PACKET_HEAD_BYTES],
}

impl Head {
    /// None where the frame is too short, has IP options, is a fragment, or bears a congestion mark.
    pub(super) fn of(frame: &[u8], network_at: usize) -> Option<Head> {
        let mut packet = *frame.get(network_at..)?.first_chunk()?;
        let is_plain = packet[0] == VERSION_4_WITHOUT_OPTIONS
            && packet[1] & ECN_BITS != ECN_BITS
            && packet[FRAGMENT_AT] & !DONT_FRAGMENT == 0
            && packet[FRAGMENT_AT + 1] == 0;
        let mut link = [0; ethernet::HEADER_BYTES];
        link[..network_at].copy_from_slice(&frame[..network_at]);
        packet[ipv4::TOTAL_LEN_AT..FRAGMENT_AT].fill(0);
        packet[ipv4::CHECKSUM_AT..SOURCE_AT].fill(0);
        is_plain.then_some(Head { link, packet })
    }

    /// Whether a frame begins so: its link header, and the rest.
    fn is_of(&self, link: &[u8], packet: &[u8; PACKET_HEAD_BYTES]) -> bool {
        let same = |from: usize, to: usize| packet[from..to] == self.packet[from..to];
        same(0, ipv4::TOTAL_LEN_AT)
            && same(FRAGMENT_AT, ipv4::CHECKSUM_AT)
            && same(SOURCE_AT, PACKET_HEAD_BYTES)
            && *link == self.link[..link.len()]
    }

    fn lane(packet: &[u8; PACKET_HEAD_BYTES]) -> usize {
        let [.., a, b, c, d] = *packet;
        usize::from(a ^ b ^ c ^ d) % LANES
    }
}

impl Stack {
    /// Takes a frame by the express lane. None where it has to go the long way; nothing was taken of it then.
    pub(super) fn express(&mut self, id: InterfaceId, frame: &mut RxFrame) -> Option<Outcome> {
        #[cfg(test)]
        if self.express.closed {
            return None;
        }
        let generation = self.ip.generation();
        let interface = self.ip.link.interface_mut(id)?;
        let network_at = network_at(interface.medium);
        let packet = frame.bytes.get(network_at..)?;
        let (head, _) = packet.split_first_chunk()?;
        let lane = self.express.lanes[Head::lane(head)].as_ref()?;
        let is_alike = lane.head.is_of(&frame.bytes[..network_at], head)
            && lane.interface == id
            && lane.generation == generation
            && Sum::default().header(packet.first_chunk::<{ ipv4::HEADER_BYTES }>()?).is_valid();
        if !is_alike {
            return None;
        }
        let total_len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let segment = packet.get(ipv4::HEADER_BYTES..total_len)?;
        let Read { predicted, payload_at, sum } = Read::segment(segment, frame)?;
        if !self.tcp.is_predicted(lane.connection, &predicted) {
            return None;
        }
        let sum = lane.pseudo_header.word(segment.len() as u16).word(sum.partial());
        interface.traffic.frames_in += 1;
        interface.traffic.bytes_in += frame.bytes.len() as u64;
        self.cx.counters.tcp_segments_in += 1;
        // Well before the payload is handed on: the processor would wait for what was just written to it.
        let mut payload = core::mem::take(&mut frame.bytes);
        payload.truncate(network_at + total_len);
        payload.advance(network_at + ipv4::HEADER_BYTES + payload_at);
        if frame.checksum == RxChecksum::Unverified && !sum.bytes(&payload).is_valid() {
            return Some(self.cx.drop(DropReason::TcpBadChecksum));
        }
        #[cfg(test)]
        {
            self.express.taken += 1;
        }
        Some(self.tcp.take_predicted(&self.cx, lane.connection, &predicted, payload))
    }

    /// A frame that began so went the long way, and a connection's batch began with it: its next ones may follow.
    pub(super) fn open_lane(&mut self, interface: InterfaceId, head: Head, connection: ConnectionId) {
        let generation = self.ip.generation();
        let address = |at: usize| IpAddr::from(*head.packet[at..].first_chunk::<4>().unwrap_or(&[0; 4]));
        let (source, destination) = (address(SOURCE_AT), address(SOURCE_AT + 4));
        let pseudo_header = checksum::pseudo_header(source, destination, PROTOCOL, 0);
        self.express.lanes[Head::lane(&head.packet)] =
            Some(Lane { interface, connection, generation, head, pseudo_header });
    }
}

/// A segment that has nothing that would have to be looked at.
struct Read {
    predicted: Predicted,
    payload_at: usize,
    /// Of its header.
    sum: Sum,
}

impl Read {
    fn segment(segment: &[u8], frame: &RxFrame) -> Option<Read> {
        let (header, behind) = segment.split_first_chunk::<HEADER_BYTES>()?;
        let mut sum = Sum::default().header(header);
        let (payload_at, timestamps) = match header[12] {
            0x50 => (HEADER_BYTES, None),
            0x80 => {
                let (options, _) = behind.split_first_chunk::<12>()?;
                let [1, 1, 8, 10, a, b, c, d, e, f, g, h] = *options else { return None };
                sum = sum.header(options);
                let (value, echo) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                (HEADER_BYTES + 12, Some(Timestamps { value, echo }))
            }
            _ => return None,
        };
        let len = segment.len() - payload_at;
        if len == 0 || Flags(header[13]).without(Flags::PSH) != Flags::ACK {
            return None;
        }
        let (wire_segments, segment_bytes) = match frame.gso {
            None => (1, len),
            Some(gso) => (len.div_ceil(usize::from(gso.size).max(1)), usize::from(gso.size).min(len)),
        };
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let predicted = Predicted {
            seq: SeqNum::new(word(4)),
            ack: SeqNum::new(word(8)),
            window: u16::from_be_bytes([header[14], header[15]]),
            timestamps,
            len: len as u32,
            wire_segments: wire_segments as u32,
            segment_bytes: segment_bytes as u32,
        };
        Some(Read { predicted, payload_at, sum })
    }
}

fn network_at(medium: Medium) -> usize {
    match medium {
        Medium::Ethernet => ethernet::HEADER_BYTES,
        Medium::Ip => 0,
    }
}

/// Connections that may have a lane at a time: as many as send much at once, mostly.
const LANES: usize = 16;
/// An IP header without options, and the ports behind it.
const PACKET_HEAD_BYTES: usize = ipv4::HEADER_BYTES + 4;
const VERSION_4_WITHOUT_OPTIONS: u8 = 0x45;
/// Both ECN bits: congestion was experienced (RFC 3168).
const ECN_BITS: u8 = 3;
/// Where flags and fragment offset are, in bytes from the IP header's start.
const FRAGMENT_AT: usize = 6;
const DONT_FRAGMENT: u8 = 0x40;
/// Where the source address is; the destination and the ports follow.
const SOURCE_AT: usize = 12;

#[cfg(test)]
#[path = "short_ways_tests.rs"]
mod tests;
