//! Frames as a wire without offloads carries them: super-frames cut in pieces, every checksum made, each in one piece.
//!
//! A super-frame's payload is copied and summed in one pass. The copies lie in chunks that go round: a chunk is used
//! again when everybody has let its frames go.

use crate::frame::{RxFrame, RxTrain, Strided, TxFrame};
use crate::ip::SegmentHeaders;
use crate::stack::Medium;
use crate::wire::checksum::Sum;
use crate::wire::ethernet;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The size of a chunk, in bytes: the segments of one super-frame with their headers.
const CHUNK_BYTES: usize = 72 * 1024;
/// A line of the cache, in bytes.
pub(super) const LINE_BYTES: usize = 64;
/// Chunks that are kept for use again at most, of each kind.
const CHUNKS_MAX: usize = 16;

/// Cuts frames, and keeps the memory that they are copied to.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Chunks for the pieces of super-frames, the one used last in front. They are always whole, and never shrink.
    chunks: VecDeque<Bytes>,
    /// Where single frames go, one behind the other.
    current: BytesMut,
    /// Used-up chunks of single frames, the one used up last in front.
    used_up: VecDeque<BytesMut>,
}

impl Cutter {
    /// Appends the frames that the wire carries for this one to `out`, in as few trains as chunks hold them; the first has
    /// its packet id. False for a super-frame that can't be cut: its headers are not what it says.
    pub(crate) fn cut(&mut self, frame: &TxFrame, medium: Medium, out: &mut VecDeque<RxTrain>) -> bool {
        if frame.gso.is_none() {
            out.push_back(RxFrame { id: frame.id, ..RxFrame::new(self.single(frame)) }.into());
            return true;
        }
        let network_at = if medium == Medium::Ethernet { ethernet::HEADER_BYTES } else { 0 };
        let Some(headers) = SegmentHeaders::of(frame, network_at) else { return false };
        let mut rest = Payload::of(frame);
        let (mut number, mut id) = (0, frame.id);
        while rest.left > 0 {
            let mut chunk = self.chunk();
            // Each payload begins a line of the cache, which makes it faster to copy and to sum.
            let first = payload_at(&chunk, headers.len());
            let stride = (headers.len() + headers.size()).next_multiple_of(LINE_BYTES);
            let (mut at, mut end) = (first - headers.len(), 0);
            while rest.left > 0 {
                let len = headers.size().min(rest.left);
                let Some(room) = chunk.get_mut(at..at + headers.len() + len) else { break };
                let (header, payload) = room.split_at_mut(headers.len());
                let sum = rest.copy(payload);
                headers.write(number, len, rest.left == 0, sum, header);
                end = at + headers.len() + len;
                at += stride;
                number += 1;
            }
            let chunk = chunk.freeze();
            let train = chunk.slice(first - headers.len()..end);
            let frames = Strided::new(train, headers.len() + headers.size(), stride);
            out.push_back(RxTrain { frames, id: core::mem::take(&mut id), ..RxTrain::default() });
            self.chunks.push_front(chunk);
            self.chunks.truncate(CHUNKS_MAX);
        }
        true
    }

    /// A frame in one piece, its checksum completed.
    fn single(&mut self, frame: &TxFrame) -> Bytes {
        let len = frame.len();
        if self.current.capacity() < len {
            self.next_chunk(len);
        }
        frame.write_completed(&mut self.current);
        self.current.split().freeze()
    }

    /// A chunk of [`CHUNK_BYTES`] bytes that nobody refers to: the one used last, whose bytes are still in the cache,
    /// or else the one that has rested longest.
    fn chunk(&mut self) -> BytesMut {
        let free = match (self.chunks.front(), self.chunks.back()) {
            (Some(last), _) if last.is_unique() => self.chunks.pop_front(),
            (_, Some(oldest)) if oldest.is_unique() => self.chunks.pop_back(),
            _ => None,
        };
        free.and_then(|chunk| chunk.try_into_mut().ok()).unwrap_or_else(|| {
            let mut fresh = BytesMut::zeroed(CHUNK_BYTES);
            // Makes it a shared buffer, which changes between its two kinds of handle without an allocation.
            let _ = fresh.split_off(CHUNK_BYTES);
            fresh
        })
    }

    fn next_chunk(&mut self, len: usize) {
        let room = CHUNK_BYTES.max(len);
        self.used_up.push_front(core::mem::take(&mut self.current));
        self.current = if self.used_up.front_mut().is_some_and(|last| last.try_reclaim(room)) {
            self.used_up.pop_front()
        } else if self.used_up.back_mut().is_some_and(|oldest| oldest.try_reclaim(room)) {
            self.used_up.pop_back()
        } else {
            None
        }
        .unwrap_or_else(|| BytesMut::with_capacity(room));
        self.used_up.truncate(CHUNKS_MAX);
    }
}

/// Where in `room` the first line of the cache begins that leaves so many bytes before it.
pub(super) fn payload_at(room: &[u8], headers_len: usize) -> usize {
    room.as_ptr().align_offset(LINE_BYTES) + headers_len.next_multiple_of(LINE_BYTES)
}

/// What is left of a super-frame's payload.
pub(super) struct Payload<'a> {
    slices: &'a [Bytes],
    /// Where it goes on in the first slice.
    at: usize,
    left: usize,
}

impl<'a> Payload<'a> {
    pub(super) fn of(frame: &'a TxFrame) -> Payload<'a> {
        Payload { slices: &frame.payload, at: 0, left: frame.payload_len() }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Leaves out so many bytes, or what there is.
    pub(super) fn skip(&mut self, len: usize) {
        let mut len = len.min(self.left);
        self.left -= len;
        while let [first, others @ ..] = self.slices
            && len >= first.len() - self.at
        {
            len -= first.len() - self.at;
            (self.slices, self.at) = (others, 0);
        }
        self.at += len;
    }

    /// Copies the next bytes, as many as fit `to`, and sums them.
    pub(super) fn copy(&mut self, mut to: &mut [u8]) -> Sum {
        if let Some(here) = self.slices.first().and_then(|first| first.get(self.at..self.at + to.len())) {
            self.left -= to.len();
            self.at += to.len();
            return Sum::default().copied(to, here);
        }
        let mut sum = Sum::default();
        while let [first, others @ ..] = self.slices
            && !to.is_empty()
        {
            let here = &first[self.at..];
            let len = here.len().min(to.len());
            let (now, later) = to.split_at_mut(len);
            sum = sum.copied(now, &here[..len]);
            to = later;
            self.left -= len;
            self.at += len;
            if self.at == first.len() {
                (self.slices, self.at) = (others, 0);
            }
        }
        sum
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::frame::{Gso, GsoKind, PacketId, RxChecksum};
    use crate::ip::segments;
    use crate::testing::dissect;
    use crate::wire::{ipv4, tcp, tcp_options, udp};
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    pub(in crate::device) fn super_frame(kind: GsoKind, slices: &[usize], size: u16) -> TxFrame {
        let mut frame = TxFrame::default();
        for (at, &len) in slices.iter().enumerate() {
            frame.payload.push((0..len).map(|byte| (at * 31 + byte) as u8).collect::<Vec<u8>>().into());
        }
        frame.gso = Some(Gso { kind, size });
        frame.id = PacketId(9);
        let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let (src_port, dst_port) = (1, 2);
        let (from, to) = (source.into(), destination.into());
        let protocol = match kind {
            GsoKind::Tcp4 => {
                let timestamps = Some(tcp_options::Timestamps { value: 1, echo: 2 });
                let options = tcp_options::TcpOptions { timestamps, ..Default::default() };
                let flags = tcp::Flags::ACK | tcp::Flags::PSH;
                let header =
                    tcp::Header { src_port, dst_port, seq: 77, flags, options, ..Default::default() };
                header.emit(&mut frame, from, to, true);
                tcp::PROTOCOL
            }
            GsoKind::Udp4 => {
                udp::Header { src_port, dst_port }.emit(&mut frame, from, to, true);
                udp::PROTOCOL
            }
        };
        let header = ipv4::Header {
            header_len: 20,
            total_len: 0,
            tos: 0,
            ident: 5,
            dont_fragment: kind == GsoKind::Tcp4,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            source,
            destination,
        };
        header.emit(&mut frame);
        frame
    }

    pub(in crate::device) fn kinds() -> impl Strategy<Value = GsoKind> {
        prop_oneof![Just(GsoKind::Tcp4), Just(GsoKind::Udp4)]
    }

    fn frames(trains: &mut VecDeque<RxTrain>) -> Vec<RxFrame> {
        trains.iter_mut().flat_map(|train| core::iter::from_fn(|| train.pop_front())).collect()
    }

    /// Four slices of fewer bytes are no more payload than an IP packet holds.
    const MANY: usize = 16_250;

    proptest! {
        #[test]
        fn pieces_are_those_that_references_would_make(
            kind in kinds(), slices in proptest::collection::vec(1usize..MANY, 1..5), size in 1u16..9_000,
        ) {
            let size = size.max(100);
            let frame = super_frame(kind, &slices, size);
            let (mut cutter, mut trains) = (Cutter::default(), VecDeque::new());
            prop_assert!(cutter.cut(&frame, Medium::Ip, &mut trains));
            let out = frames(&mut trains);
            prop_assert_eq!(out.len(), frame.segments());
            let expected: Vec<TxFrame> = segments(&frame, 0).unwrap().collect();
            prop_assert_eq!(out.len(), expected.len());
            for (got, expected) in out.iter().zip(expected) {
                prop_assert_eq!(&got.bytes[..], &expected.to_vec()[..]);
                prop_assert_eq!((got.id, got.checksum, got.gso), (expected.id, RxChecksum::Unverified, None));
                dissect(Medium::Ip, &got.bytes);
            }
        }
    }

    #[test]
    fn chunks_go_round_and_frames_that_are_held_stay_whole() {
        let (mut cutter, mut out) = (Cutter::default(), VecDeque::new());
        let mut small = super_frame(GsoKind::Tcp4, &[100], 1448);
        small.gso = None;
        let mut held: Vec<(Bytes, Vec<u8>)> = Vec::new();
        for round in 0..200 {
            let frame = super_frame(GsoKind::Tcp4, &[20_000 + round, 30_000], 1448);
            assert!(cutter.cut(&frame, Medium::Ip, &mut out) && cutter.cut(&small, Medium::Ip, &mut out));
            if round % 10 == 0 {
                held.extend(frames(&mut out).iter().map(|frame| (frame.bytes.clone(), frame.bytes.to_vec())));
            }
            out.clear();
            assert!(cutter.chunks.len() <= CHUNKS_MAX && cutter.used_up.len() <= CHUNKS_MAX);
        }
        assert!(held.iter().all(|(now, then)| now == then));
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::from_static(b"no headers"));
        frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 4 });
        assert!(!Cutter::default().cut(&frame, Medium::Ip, &mut VecDeque::new()));
    }
}
