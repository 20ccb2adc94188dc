//! Frames as a wire without offloads carries them: super-frames cut in pieces, every checksum made, each in one piece.
//!
//! A super-frame's payload is copied and summed in one pass. The copies lie in chunks that go round: a chunk is used
//! again when everybody has let its frames go.

use crate::frame::{RxFrame, TxFrame};
use crate::ip::SegmentHeaders;
use crate::stack::Medium;
use crate::wire::checksum::Sum;
use crate::wire::ethernet;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The size of a chunk, in bytes: the segments of one super-frame with their headers.
const CHUNK_BYTES: usize = 72 * 1024;
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
    /// How many frames [`Cutter::cut`] makes of this one.
    pub(crate) fn count(frame: &TxFrame) -> usize {
        frame.gso.map_or(1, |gso| frame.payload_len().div_ceil(usize::from(gso.size).max(1)))
    }

    /// Appends the frames that the wire carries for this one to `out`; the first has its packet id. False for a
    /// super-frame that can't be cut: its headers are not what it says.
    pub(crate) fn cut(&mut self, frame: &TxFrame, medium: Medium, out: &mut VecDeque<RxFrame>) -> bool {
        if frame.gso.is_none() {
            out.push_back(RxFrame { id: frame.id, ..RxFrame::new(self.single(frame)) });
            return true;
        }
        let network_at = if medium == Medium::Ethernet { ethernet::HEADER_BYTES } else { 0 };
        let Some(headers) = SegmentHeaders::of(frame, network_at) else { return false };
        let mut rest = Payload { slices: &frame.payload, at: 0, left: frame.payload_len() };
        let (mut number, mut id) = (0, frame.id);
        while rest.left > 0 {
            let mut chunk = self.chunk();
            let mut filled = 0;
            let start = number;
            while rest.left > 0 {
                let len = headers.size().min(rest.left);
                let Some(room) = chunk.get_mut(filled..filled + headers.len() + len) else { break };
                let (header, payload) = room.split_at_mut(headers.len());
                let sum = rest.copy(payload);
                headers.write(number, len, rest.left == 0, sum, header);
                filled += headers.len() + len;
                number += 1;
            }
            let chunk = chunk.freeze();
            // The references come behind the copies: each of them would wait for those before it.
            let frame_len = headers.len() + headers.size();
            for i in 0..usize::from(number - start) {
                let bytes = chunk.slice(i * frame_len..filled.min((i + 1) * frame_len));
                out.push_back(RxFrame { id: core::mem::take(&mut id), ..RxFrame::new(bytes) });
            }
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

/// What is left of a super-frame's payload.
struct Payload<'a> {
    slices: &'a [Bytes],
    /// Where it goes on in the first slice.
    at: usize,
    left: usize,
}

impl Payload<'_> {
    /// Copies the next bytes, as many as fit `to`, and sums them.
    fn copy(&mut self, mut to: &mut [u8]) -> Sum {
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
