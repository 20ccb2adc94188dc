//! The send queue: bytes that the application wrote, kept by reference until they are acknowledged.

use super::pool::ChunkPool;
use super::seq::SeqNum;
use bytes::{Bytes, BytesMut};
use smallvec::{Array, SmallVec};
use std::collections::VecDeque;

/// Bytes from `snd.una` to the end of what was written.
///
/// The application's bytes are copied once, into the tail of a chunk. What a segment needs is frozen and handed out
/// by reference; the rest of the chunk takes further writes.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Frozen pieces in order, each with its offset in the stream.
    pieces: VecDeque<(u64, Bytes)>,
    /// Bytes that no segment refers to yet, and room behind them.
    tail: BytesMut,
    /// Whether the tail's chunk came from the pool.
    pooled: bool,
    /// Stream offset of the first byte that is kept.
    start: u64,
    /// Stream offset of the tail's first byte.
    tail_start: u64,
    /// The sequence number of stream offset `start`.
    start_seq: SeqNum,
}

/// A connection that writes little at a time keeps one chunk of this size, in bytes.
const SMALL_CHUNK_BYTES: usize = 512;

impl SendQueue {
    /// An empty queue whose first byte will have this sequence number.
    pub(crate) fn new(first: SeqNum) -> SendQueue {
        SendQueue { start_seq: first, ..SendQueue::default() }
    }

    /// Bytes that are kept.
    pub(crate) fn len(&self) -> usize {
        (self.tail_start - self.start) as usize + self.tail.len()
    }

    /// The sequence number behind the last byte.
    pub(crate) fn end_seq(&self) -> SeqNum {
        self.start_seq + self.len() as u32
    }

    /// Copies `data` behind what is there: the one copy on the way out.
    pub(crate) fn push(&mut self, mut data: &[u8], pool: &mut ChunkPool) {
        while !data.is_empty() {
            let room = self.tail.capacity() - self.tail.len();
            if room == 0 {
                self.freeze_tail();
                self.new_tail(data.len(), pool);
                continue;
            }
            let (now, later) = data.split_at(data.len().min(room));
            self.tail.extend_from_slice(now);
            data = later;
        }
    }

    /// Forgets everything before `seq`, which was acknowledged.
    pub(crate) fn acknowledge(&mut self, seq: SeqNum, pool: &mut ChunkPool) {
        let count = (seq.signed_from(self.start_seq).max(0) as u32).min(self.len() as u32);
        self.start += u64::from(count);
        self.start_seq += count;
        while let Some((offset, piece)) = self.pieces.front_mut() {
            let end = *offset + piece.len() as u64;
            if end <= self.start {
                self.pieces.pop_front();
                continue;
            }
            let passed = self.start.saturating_sub(*offset);
            *offset += passed;
            bytes::Buf::advance(piece, passed as usize);
            break;
        }
        if self.tail_start < self.start {
            // It was handed out as a copy.
            let passed = (self.start - self.tail_start) as usize;
            if passed == self.tail.len() {
                // Nobody refers to it: its room is written again.
                self.tail.clear();
            } else {
                bytes::Buf::advance(&mut self.tail, passed);
            }
            self.tail_start = self.start;
        }
        if self.end_seq() == self.start_seq {
            // An idle connection holds no more than its small chunk.
            if core::mem::take(&mut self.pooled) {
                pool.give_back(core::mem::take(&mut self.tail));
            }
            if self.pieces.capacity() > PIECES_IDLE_MAX {
                self.pieces = VecDeque::new();
            }
        }
    }

    /// The `len` bytes from `seq` in one piece, to be copied, where nothing refers to them yet. For few bytes that costs
    /// less than references.
    pub(crate) fn unshared(&self, seq: SeqNum, len: usize) -> Option<&[u8]> {
        let from = self.start + u64::from(seq.distance_from(self.start_seq));
        let at = usize::try_from(from.checked_sub(self.tail_start)?).ok()?;
        self.tail.get(at..at.checked_add(len)?)
    }

    /// Appends references to `len` bytes from `seq` to `out`. What lies outside the queue is left out.
    pub(crate) fn gather<A: Array<Item = Bytes>>(&mut self, seq: SeqNum, len: usize, out: &mut SmallVec<A>) {
        let from = self.start + u64::from(seq.distance_from(self.start_seq));
        let to = (from + len as u64).min(self.start + self.len() as u64);
        if to > self.tail_start {
            self.freeze_tail();
        }
        let first = self.pieces.partition_point(|(offset, piece)| offset + piece.len() as u64 <= from);
        let mut at = from;
        for (offset, piece) in self.pieces.range(first..) {
            if at >= to {
                break;
            }
            let begin = (at - offset) as usize;
            let end = piece.len().min((to - offset) as usize);
            out.push(piece.slice(begin..end));
            at = offset + end as u64;
        }
    }

    /// Gets room for the next bytes: the small chunk again if its bytes were all acknowledged, else a new one.
    fn new_tail(&mut self, wanted: usize, pool: &mut ChunkPool) {
        let small = wanted <= SMALL_CHUNK_BYTES && self.pieces.is_empty();
        if small && !self.pooled && self.tail.try_reclaim(SMALL_CHUNK_BYTES) {
            return;
        }
        let fresh = if small { BytesMut::with_capacity(SMALL_CHUNK_BYTES) } else { pool.take() };
        let used_up = core::mem::replace(&mut self.tail, fresh);
        if core::mem::replace(&mut self.pooled, !small) {
            pool.give_back(used_up);
        }
    }

    /// Freezes what the tail holds; its room takes further writes.
    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            let offset = self.tail_start;
            self.tail_start += piece.len() as u64;
            self.pieces.push_back((offset, piece));
        }
    }
}

/// Capacity of the piece list that an idle connection may keep.
const PIECES_IDLE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(queue: &mut SendQueue, seq: SeqNum, len: usize) -> Vec<u8> {
        let mut out: SmallVec<[Bytes; 4]> = SmallVec::new();
        queue.gather(seq, len, &mut out);
        out.iter().flat_map(|b| b.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_byte_vector(
            first in any::<u32>(),
            steps in prop::collection::vec((0u8..3, 1usize..5_000, any::<u8>()), 1..60),
        ) {
            let mut pool = ChunkPool::default();
            let mut queue = SendQueue::new(SeqNum::new(first));
            let (mut model, mut una) = (Vec::<u8>::new(), first);
            for (what, size, fill) in steps {
                match what {
                    0 => {
                        let data = vec![fill; size];
                        queue.push(&data, &mut pool);
                        model.extend(&data);
                    }
                    1 => {
                        let count = size.min(model.len());
                        una = una.wrapping_add(count as u32);
                        queue.acknowledge(SeqNum::new(una), &mut pool);
                        model.drain(..count);
                    }
                    _ => {
                        let from = size % (model.len() + 1);
                        let got = collect(&mut queue, SeqNum::new(una.wrapping_add(from as u32)), size);
                        let to = (from + size).min(model.len());
                        prop_assert_eq!(&got[..], &model[from..to]);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.end_seq(), SeqNum::new(una.wrapping_add(model.len() as u32)));
            }
        }
    }
}
