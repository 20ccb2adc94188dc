//! Where PSH belongs (RFC 9293 section 3.9.1.2): at the end of each write, and in long ones as often as Linux sets it.

use super::seq::SeqNum;
use smallvec::SmallVec;

/// Places in the send queue at which PSH is set besides its end.
///
/// The application's bytes are thought of in chunks, as Linux's buffers are: as many whole segments as fit into half of
/// the peer's largest window. When a chunk is full and more than half of that window was written since the last push,
/// the chunk's end is pushed, so that the receiver need not wait for the rest of a long write.
#[derive(Clone, Debug)]
pub(crate) struct Pushes {
    /// The last place that was pushed.
    last: SeqNum,
    /// Where the chunk begins that is being filled.
    chunk: SeqNum,
    marks: SmallVec<[SeqNum; 2]>,
    /// Where records end (`MSG_EOR`): no segment holds bytes of both sides.
    records: SmallVec<[SeqNum; 2]>,
    /// The last write said that more will follow (`MSG_MORE`): its end is none.
    pub(crate) open: bool,
}

impl Pushes {
    pub(crate) fn new(start: SeqNum) -> Pushes {
        Pushes { last: start, chunk: start, marks: SmallVec::new(), records: SmallVec::new(), open: false }
    }

    /// The application has written up to `end`; everything before `start` was sent already if `sent_all`.
    pub(crate) fn on_write(&mut self, start: SeqNum, end: SeqNum, sent_all: bool, sizes: &Sizes) {
        if sent_all {
            self.chunk = start;
        }
        while end.signed_from(self.chunk + sizes.chunk) >= 0 {
            let full = self.chunk + sizes.chunk;
            self.chunk = full;
            if full.signed_from(self.last + sizes.half_window) > 0 {
                self.last = full;
                if self.marks.len() < MARKS_MAX {
                    self.marks.push(full);
                }
            }
        }
        self.last = end;
    }

    /// What was written so far ends a record.
    pub(crate) fn end_record(&mut self, end: SeqNum) {
        if self.records.len() < MARKS_MAX {
            self.records.push(end);
        }
    }

    /// Whether PSH belongs nowhere but at the end of what was written.
    pub(crate) fn is_plain(&self) -> bool {
        !self.open && self.marks.is_empty() && self.records.is_empty()
    }

    /// The first end of a record between `start` and `end`, if one lies there.
    pub(crate) fn record_end(&self, start: SeqNum, end: SeqNum) -> Option<SeqNum> {
        self.records.iter().copied().find(|record| record.after(start) && record.before(end))
    }

    /// Whether a segment from `start` to `end` holds such a place, or ends there.
    pub(crate) fn within(&self, start: SeqNum, end: SeqNum) -> bool {
        let inside = |mark: &SeqNum| mark.after(start) && mark.at_or_before(end);
        self.marks.iter().any(inside) || self.records.iter().any(inside)
    }

    /// Everything before `una` is acknowledged.
    pub(crate) fn forget_before(&mut self, una: SeqNum) {
        if !self.marks.is_empty() {
            self.marks.retain(|mark| mark.after(una));
        }
        if !self.records.is_empty() {
            self.records.retain(|record| record.after(una));
        }
    }
}

/// What the places depend on, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A chunk: whole segments, one at least.
    pub(crate) chunk: u32,
    /// Half of the largest window that the peer ever offered.
    pub(crate) half_window: u32,
}

impl Sizes {
    /// For segments of `mss` bytes and a window of `wnd_max`.
    pub(crate) fn new(mss: u32, wnd_max: u32) -> Sizes {
        let half_window = wnd_max / 2;
        let chunk = half_window.min(CHUNK_MAX) / mss.max(1) * mss.max(1);
        Sizes { chunk: chunk.max(mss).max(1), half_window }
    }
}

/// Places that are remembered at most; beyond, segments go without PSH, which nothing depends on.
const MARKS_MAX: usize = 64;
/// A chunk is at most this large, in bytes: what one super-frame holds.
const CHUNK_MAX: u32 = 65_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_chunk_of_a_long_write_is_pushed() {
        let at = SeqNum::new;
        // Across the wrap: 2,000 bytes before it.
        let start = at(0_u32.wrapping_sub(2_000));
        let mut pushes = Pushes::new(start);
        let sizes = Sizes::new(1_000, 5_000);
        assert_eq!((sizes.chunk, sizes.half_window), (2_000, 2_500));
        pushes.on_write(start, start + 8_000, true, &sizes);
        assert!(!pushes.within(start, start + 2_000));
        assert!(pushes.within(start + 3_000, start + 4_000));
        assert!(!pushes.within(start + 4_000, start + 6_000));
        pushes.forget_before(start + 4_000);
        assert!(!pushes.within(start, start + 4_000));
    }

    #[test]
    fn marks_are_bounded() {
        let start = SeqNum::new(1);
        let mut pushes = Pushes::new(start);
        pushes.on_write(start, start + 1_000_000, true, &Sizes::new(100, 2));
        assert_eq!(pushes.marks.len(), MARKS_MAX);
    }
}
