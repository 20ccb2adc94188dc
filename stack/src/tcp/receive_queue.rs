//! The receive queue: bytes in order for the application, and those that came too early.

use super::piece::Piece;
use crate::frame::Strided;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};

/// What happened to a segment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was next: this many bytes are now in order (with what waited behind them).
    InOrder { bytes: usize, filled_hole: bool },
    /// It waits for what is missing before it.
    OutOfOrder,
    /// All of it was here.
    Duplicate,
    /// There is no memory for more out-of-order data.
    Full,
}

/// Received bytes, by their offset in the stream.
#[derive(Default)]
pub(crate) struct ReceiveQueue {
    /// In order and not read yet.
    pieces: VecDeque<Piece>,
    /// Small payloads are gathered here instead of pinning a frame's buffer each.
    small: BytesMut,
    /// Bytes in `pieces` and `small`.
    readable: usize,
    /// Came too early: offset to bytes; entries never overlap.
    early: BTreeMap<u64, Bytes>,
    early_bytes: usize,
    /// The same as contiguous ranges, start to end: what SACK reports.
    ranges: BTreeMap<u64, u64>,
    /// Stream offset of the next byte in order.
    next: u64,
}

/// Payloads of at most this size are copied, in bytes: a frame's buffer is pinned for larger ones only.
const COPIED_MAX: usize = 256;

/// What an out-of-order entry costs beside its bytes, in bytes.
const ENTRY_COST: usize = 256;

impl ReceiveQueue {
    /// Bytes that can be read.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Stream offset of the next byte in order.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next
    }

    /// Whether data waits for something that is missing before it.
    pub(crate) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Memory that the queue is charged for, in bytes.
    pub(crate) fn charge(&self) -> usize {
        self.readable + self.early_bytes + self.early.len() * ENTRY_COST
    }

    /// Takes data that begins at stream offset `offset`. Out-of-order data may cost `early_max` bytes in all.
    pub(crate) fn insert(&mut self, offset: u64, mut data: Bytes, early_max: usize) -> Inserted {
        let end = offset + data.len() as u64;
        if end <= self.next {
            return Inserted::Duplicate;
        }
        if offset > self.next {
            return self.insert_early(offset, data, early_max);
        }
        data.advance((self.next - offset) as usize);
        let before = self.next;
        self.append(data);
        let filled_hole = !self.early.is_empty() && self.take_early();
        Inserted::InOrder { bytes: (self.next - before) as usize, filled_hole }
    }

    /// Copies bytes to `buffer`, from `skip` bytes on; returns how many. They stay in the queue.
    pub(crate) fn peek(&self, mut skip: usize, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for piece in self.pieces.iter().flat_map(Piece::slices).chain([&self.small[..]]) {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let piece = &piece[skip..];
            skip = 0;
            let take = piece.len().min(buffer.len() - count);
            buffer[count..count + take].copy_from_slice(&piece[..take]);
            count += take;
            if count == buffer.len() {
                break;
            }
        }
        count
    }

    /// Moves bytes to `buffer`; returns how many: the one copy on the way in.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let (mut count, mut whole) = (0, 0);
        for piece in &mut self.pieces {
            count += piece.read(&mut buffer[count..]);
            if !piece.is_empty() {
                break;
            }
            whole += 1;
        }
        // Behind all copies: to give a reference back waits for the copy before it.
        if whole > 0 {
            self.pieces.drain(..whole);
        }
        if self.pieces.is_empty() {
            let take = self.small.len().min(buffer.len() - count);
            buffer[count..count + take].copy_from_slice(&self.small[..take]);
            if take == self.small.len() {
                // The same room again for what comes next.
                self.small.clear();
            } else {
                self.small.advance(take);
            }
            count += take;
        }
        self.readable -= count;
        if self.readable == 0 {
            self.release();
        }
        count
    }

    /// Drops what came early: behind a FIN nothing can follow.
    pub(crate) fn forget_early(&mut self) {
        self.early.clear();
        self.ranges.clear();
        self.early_bytes = 0;
    }

    /// Drops everything that wasn't read.
    pub(crate) fn clear(&mut self) {
        *self = ReceiveQueue { next: self.next, ..ReceiveQueue::default() };
    }

    /// The contiguous early range that holds `offset`, as stream offsets.
    pub(crate) fn early_range(&self, offset: u64) -> Option<(u64, u64)> {
        let (&start, &end) = self.ranges.range(..=offset).next_back()?;
        (offset < end).then_some((start, end))
    }

    /// Takes data that is the next in order; nothing waits behind it.
    pub(crate) fn append(&mut self, data: impl Into<Strided>) {
        let data = data.into();
        let len = data.total_len();
        self.next += len as u64;
        self.readable += len;
        if data.slice_len_max() <= COPIED_MAX {
            data.iter().for_each(|slice| self.small.extend_from_slice(slice));
            return;
        }
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze().into());
        }
        self.pieces.push_back(data.into());
    }

    fn insert_early(&mut self, mut offset: u64, mut data: Bytes, early_max: usize) -> Inserted {
        // Cut off what the entry before has.
        if let Some((&before, piece)) = self.early.range(..=offset).next_back() {
            let end = before + piece.len() as u64;
            if end >= offset + data.len() as u64 {
                return Inserted::Duplicate;
            }
            if end > offset {
                data.advance((end - offset) as usize);
                offset = end;
            }
        }
        if self.early_bytes + data.len() + (self.early.len() + 1) * ENTRY_COST > early_max {
            return Inserted::Full;
        }
        // Take out what lies wholly inside, cut at what begins inside.
        let mut end = offset + data.len() as u64;
        while let Some((&inside, piece)) = self.early.range(offset..end).next() {
            if inside + piece.len() as u64 <= end {
                self.early_bytes -= piece.len();
                self.early.remove(&inside);
            } else {
                data.truncate((inside - offset) as usize);
                end = inside;
            }
        }
        if data.is_empty() {
            return Inserted::Duplicate;
        }
        if data.len() <= COPIED_MAX {
            data = Bytes::copy_from_slice(&data);
        }
        self.early_bytes += data.len();
        self.early.insert(offset, data);
        self.join_range(offset, end);
        Inserted::OutOfOrder
    }

    /// Adds a range and joins it with those that it touches.
    fn join_range(&mut self, mut start: u64, mut end: u64) {
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&inside, &inside_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&inside);
            end = end.max(inside_end);
        }
        self.ranges.insert(start, end);
    }

    /// Moves early data that is now in order; whether there was any.
    fn take_early(&mut self) -> bool {
        let mut any = false;
        while let Some(entry) = self.early.first_entry() {
            let offset = *entry.key();
            if offset > self.next {
                break;
            }
            let mut data = entry.remove();
            self.early_bytes -= data.len();
            any = true;
            let passed = (self.next - offset) as usize;
            if passed < data.len() {
                data.advance(passed);
                self.append(data);
            }
        }
        while let Some(range) = self.ranges.first_entry() {
            if *range.key() > self.next {
                break;
            }
            range.remove();
        }
        any
    }

    /// An empty queue holds no memory of note.
    fn release(&mut self) {
        if self.small.capacity() > IDLE_BYTES_MAX {
            self.small = BytesMut::new();
        }
        if self.pieces.capacity() > IDLE_PIECES_MAX {
            self.pieces = VecDeque::new();
        }
    }
}

/// Capacity for small payloads that an empty queue may keep, in bytes.
const IDLE_BYTES_MAX: usize = 512;
/// Capacity of the piece list that an empty queue may keep.
const IDLE_PIECES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Segments of one stream, in any order, overlapping at will, give the stream.
        #[test]
        fn any_order_gives_the_stream(cuts in prop::collection::vec((0usize..3_000, 1usize..900), 1..120)) {
            let stream: Vec<u8> = (0..4_000u32).map(|i| (i * 7 % 251) as u8).collect();
            let mut queue = ReceiveQueue::default();
            let mut have = vec![false; stream.len()];
            for (offset, len) in cuts {
                let end = (offset + len).min(stream.len());
                let data = Bytes::copy_from_slice(&stream[offset..end]);
                prop_assert_ne!(queue.insert(offset as u64, data, usize::MAX), Inserted::Full);
                have[offset..end].fill(true);
                let in_order = have.iter().position(|h| !h).unwrap_or(stream.len());
                prop_assert_eq!(queue.readable(), in_order);
                let early: usize = have[in_order..].iter().filter(|h| **h).count();
                prop_assert_eq!(queue.early_bytes, early);
                prop_assert_eq!(queue.early.values().map(Bytes::len).sum::<usize>(), early);
            }
            let in_order = have.iter().take_while(|held| **held).count();
            for (at, &held) in have.iter().enumerate().skip(in_order) {
                prop_assert_eq!(queue.early_range(at as u64).is_some(), held);
            }
            let mut got = vec![0; stream.len()];
            let peeked = queue.peek(0, &mut got);
            prop_assert_eq!(&got[..peeked], &stream[..peeked]);
            let mut all = Vec::new();
            let mut buffer = [0; 333];
            loop {
                let count = queue.read(&mut buffer);
                if count == 0 { break; }
                all.extend_from_slice(&buffer[..count]);
            }
            prop_assert_eq!(&all[..], &stream[..peeked]);
        }
    }

    #[test]
    fn early_memory_is_bounded() {
        let mut queue = ReceiveQueue::default();
        let mut inserted = 0;
        for i in 0..1_000 {
            if queue.insert(10 + i * 2, Bytes::from_static(b"x"), 10_000) == Inserted::OutOfOrder {
                inserted += 1;
            }
        }
        assert_eq!(inserted, 10_000 / (ENTRY_COST + 1));
        assert!(queue.charge() <= 10_000);
    }

    #[test]
    fn early_range_joins_what_touches() {
        let mut queue = ReceiveQueue::default();
        for offset in [10, 12, 20, 14] {
            queue.insert(offset, Bytes::from_static(b"ab"), 10_000);
        }
        assert_eq!(queue.early_range(12), Some((10, 16)));
        assert_eq!(queue.early_range(21), Some((20, 22)));
        assert_eq!(queue.early_range(16), None);
    }
}
