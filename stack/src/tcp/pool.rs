//! Chunks that payload is copied into, used again when nothing refers to them any more.

use bytes::BytesMut;
use std::collections::VecDeque;

/// The size of a chunk, in bytes: one super-frame's worth.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks that wait to be free again, at most; further ones are left to the allocator.
const CHUNKS_MAX: usize = 64;

/// Free chunks that are kept for the next burst.
const CHUNKS_FREE_MAX: usize = 12;

/// A pool of chunks. A chunk is free when all slices of it are gone; the oldest are looked at first.
#[derive(Default)]
pub(crate) struct ChunkPool {
    waiting: VecDeque<BytesMut>,
}

impl ChunkPool {
    /// An empty chunk with [`CHUNK_BYTES`] of room.
    pub(crate) fn take(&mut self) -> BytesMut {
        if let Some(mut oldest) = self.waiting.pop_front() {
            if oldest.try_reclaim(CHUNK_BYTES) {
                self.drop_surplus();
                return oldest;
            }
            self.waiting.push_back(oldest);
        }
        BytesMut::with_capacity(CHUNK_BYTES)
    }

    /// Lets a chunk go when more are free than a burst needs. All that wait take their turn, so those that a busier
    /// time left behind would only keep the others out of the cache.
    fn drop_surplus(&mut self) {
        if self.waiting.get_mut(CHUNKS_FREE_MAX).is_some_and(|chunk| chunk.try_reclaim(CHUNK_BYTES)) {
            self.waiting.pop_front();
        }
    }

    /// Takes back a chunk that [`ChunkPool::take`] gave; slices of it may still be in use.
    pub(crate) fn give_back(&mut self, mut chunk: BytesMut) {
        if self.waiting.len() < CHUNKS_MAX {
            chunk.clear();
            self.waiting.push_back(chunk);
        }
    }
}
