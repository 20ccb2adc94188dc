//! Memory that frames are read into: a few large chunks, used again once every frame in them is let go.
#![allow(unsafe_code)]

use bytes::{Bytes, BytesMut};
use core::mem::MaybeUninit;
use std::collections::VecDeque;

/// Chunks that are kept for use again at most. What is read beyond them is allocated, and freed after use.
const CHUNKS_MAX: usize = 16;

/// Chunks to read frames into.
#[derive(Debug)]
pub(crate) struct Pool {
    chunk_len: usize,
    /// What is read into.
    current: BytesMut,
    /// Used-up chunks whose frames are still out, the longest used-up first.
    resting: VecDeque<BytesMut>,
}

impl Pool {
    pub(crate) fn new(chunk_len: usize) -> Pool {
        Pool { chunk_len, current: BytesMut::new(), resting: VecDeque::with_capacity(CHUNKS_MAX) }
    }

    /// Has `read` write into `len_max` uninitialised bytes, and returns the part of them that it initialised, which
    /// has to start where they start. It is a part of a chunk: nothing is copied.
    pub(crate) fn fill<E>(
        &mut self,
        len_max: usize,
        read: impl for<'a> FnOnce(&'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8], E>,
    ) -> Result<Bytes, E> {
        debug_assert!(len_max <= self.chunk_len, "a chunk holds at least one frame");
        if self.current.capacity() < len_max {
            self.next_chunk();
        }
        let spare = &mut self.current.spare_capacity_mut()[..len_max];
        let start = spare.as_ptr().cast::<u8>();
        let filled = read(spare)?;
        assert!(
            core::ptr::eq(filled.as_ptr(), start) && filled.len() <= len_max,
            "what was read is in its place"
        );
        let filled = filled.len();
        // SAFETY: the slice that `read` returned shows that the first `filled` bytes of the spare capacity are
        // initialised; the chunk's length was 0, as everything that was ever read into it was split off.
        unsafe { self.current.set_len(filled) };
        Ok(self.current.split().freeze())
    }

    /// Takes a chunk that nobody refers to any more: the one that was just used up, if it is free already (its bytes
    /// are still in the cache), else the one that was last, else a new one.
    fn next_chunk(&mut self) {
        if self.current.try_reclaim(self.chunk_len) {
            return;
        }
        let free = self.resting.iter_mut().rposition(|chunk| chunk.try_reclaim(self.chunk_len));
        let next = match free.and_then(|at| self.resting.remove(at)) {
            Some(chunk) => chunk,
            None => BytesMut::with_capacity(self.chunk_len),
        };
        let used_up = core::mem::replace(&mut self.current, next);
        if self.resting.len() == CHUNKS_MAX {
            self.resting.pop_front();
        }
        self.resting.push_back(used_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(spare: &mut [MaybeUninit<u8>], byte: u8, len: usize) -> &mut [u8] {
        let spare = &mut spare[..len];
        spare.fill(MaybeUninit::new(byte));
        // SAFETY: all of it was just written.
        unsafe { &mut *(core::ptr::from_mut(spare) as *mut [u8]) }
    }

    fn put(pool: &mut Pool, byte: u8, len: usize) -> Bytes {
        pool.fill(1000, |spare| Ok::<_, ()>(write(spare, byte, len))).unwrap()
    }

    #[test]
    fn frames_are_what_was_read_and_stay_apart() {
        let mut pool = Pool::new(4096);
        let frames: Vec<Bytes> = (0..100).map(|i| put(&mut pool, i, usize::from(i) * 10)).collect();
        for (i, frame) in frames.iter().enumerate() {
            assert_eq!(frame.len(), i * 10);
            assert!(frame.iter().all(|&b| usize::from(b) == i));
        }
    }

    #[test]
    fn a_failed_read_leaves_the_room_for_the_next() {
        let mut pool = Pool::new(1000);
        let before = put(&mut pool, 1, 0);
        for _ in 0..10 {
            assert_eq!(pool.fill(1000, |_| Err("nothing there")), Err("nothing there"));
        }
        assert_eq!(put(&mut pool, 2, 1000).as_ptr(), before.as_ptr());
    }

    #[test]
    fn steady_state_uses_the_same_chunks_again() {
        let mut pool = Pool::new(4096);
        let mut seen = Vec::new();
        // Twelve frames are always held, of which a chunk holds four: the same few chunks must go round.
        let mut held = VecDeque::new();
        for i in 0..10_000u32 {
            let frame = put(&mut pool, i as u8, 1000);
            if !seen.contains(&frame.as_ptr()) {
                seen.push(frame.as_ptr());
            }
            held.push_back(frame);
            if held.len() > 12 {
                held.pop_front();
            }
        }
        assert!(seen.len() <= 5 * 4, "{} places were used", seen.len());
    }

    #[test]
    fn what_rests_is_bounded_when_nothing_is_let_go() {
        let mut pool = Pool::new(1000);
        let held: Vec<Bytes> = (0..100).map(|i| put(&mut pool, i, 1000)).collect();
        assert_eq!(pool.resting.len(), CHUNKS_MAX);
        assert!(held.iter().enumerate().all(|(i, frame)| usize::from(frame[999]) == i));
    }
}
