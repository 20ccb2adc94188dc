//! Chunks that payload is copied into, used again when nothing refers to them any more.

use bytes::BytesMut;
use std::collections::VecDeque;

/// The size of a chunk, in bytes: one super-frame's worth.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks that the pool keeps at most, free or not; further ones are left to the allocator.
const CHUNKS_MAX: usize = 256;

/// Free chunks that are kept in any case: more than a burst of super-frames takes.
const CHUNKS_SPARE: usize = 8;

/// Chunks that are taken between two looks at how many were never needed.
const TAKEN_PER_LOOK: usize = 256;

/// Chunks that are taken before the one that all wait for goes to the end.
const TAKEN_PER_TURN: usize = 8;

/// A pool of chunks. A chunk is free when all slices of it are gone. The one that got free last is used first: its
/// memory is in the cache, and those that a busier time left behind are found out, since they stay at the bottom.
#[derive(Default)]
pub(crate) struct ChunkPool {
    /// Free, the latest last.
    free: Vec<BytesMut>,
    /// Given back while slices of them were in use, the longest ago first.
    resting: VecDeque<BytesMut>,
    /// The fewest that were free since the last look, and the chunks taken since then.
    spare: usize,
    taken: usize,
}

impl ChunkPool {
    /// An empty chunk with [`CHUNK_BYTES`] of room.
    pub(crate) fn take(&mut self) -> BytesMut {
        self.find_free();
        self.drop_surplus();
        self.free.pop().unwrap_or_else(|| BytesMut::with_capacity(CHUNK_BYTES))
    }

    /// Takes back a chunk that [`ChunkPool::take`] gave; slices of it may still be in use.
    pub(crate) fn give_back(&mut self, mut chunk: BytesMut) {
        if self.free.len() + self.resting.len() < CHUNKS_MAX {
            chunk.clear();
            self.resting.push_back(chunk);
        }
    }

    /// Chunks of one stream get free in the order in which they were given back. One that doesn't goes to the end at some
    /// time, so that it doesn't hold up others for ever.
    fn find_free(&mut self) {
        while self.resting.front_mut().is_some_and(|oldest| oldest.try_reclaim(CHUNK_BYTES)) {
            self.free.extend(self.resting.pop_front());
        }
        if self.taken.is_multiple_of(TAKEN_PER_TURN) && !self.resting.is_empty() {
            self.resting.rotate_left(1);
        }
    }

    /// Now and then, lets half of the chunks go that were free all the time, but for those that a burst takes.
    fn drop_surplus(&mut self) {
        self.spare = self.spare.min(self.free.len());
        self.taken += 1;
        if self.taken == TAKEN_PER_LOOK {
            self.free.drain(..self.spare.saturating_sub(CHUNKS_SPARE).div_ceil(2));
            (self.spare, self.taken) = (self.free.len(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a chunk, gives it back, and says where it is. A slice of it stays in use.
    fn used(pool: &mut ChunkPool) -> (*const u8, bytes::Bytes) {
        let mut chunk = pool.take();
        let place = chunk.as_ptr();
        chunk.extend_from_slice(b"payload");
        let slice = chunk.split().freeze();
        pool.give_back(chunk);
        (place, slice)
    }

    #[test]
    fn what_got_free_last_is_used_first() {
        let mut pool = ChunkPool::default();
        let (_, first) = used(&mut pool);
        let (place, second) = used(&mut pool);
        let (_, third) = used(&mut pool);
        drop((first, second));
        assert_eq!(pool.take().as_ptr(), place);
        drop(third);
    }

    #[test]
    fn one_that_stays_in_use_holds_nothing_up() {
        let mut pool = ChunkPool::default();
        let (_, kept) = used(&mut pool);
        let places: std::collections::BTreeSet<_> = (0..1_000).map(|_| used(&mut pool).0).collect();
        assert!(places.len() <= 2 * TAKEN_PER_TURN, "{} chunks were used, one at a time", places.len());
        assert_eq!(&kept[..], b"payload");
    }

    #[test]
    fn a_busy_time_leaves_nothing_behind_for_long() {
        let mut pool = ChunkPool::default();
        let busy: Vec<_> = (0..2 * CHUNKS_MAX).map(|_| used(&mut pool)).collect();
        drop(busy);
        assert_eq!(pool.free.len() + pool.resting.len(), CHUNKS_MAX);
        for _ in 0..10 * TAKEN_PER_LOOK {
            used(&mut pool);
        }
        assert!(pool.free.len() + pool.resting.len() <= CHUNKS_SPARE + 2, "{} are kept", pool.free.len());
    }
}
