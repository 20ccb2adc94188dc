//! The scoreboard: one record for each frame in flight, what is SACKed, lost and sent again (RFC 2018, 6675).
//!
//! Positions are 64-bit offsets from the first number that was sent, so nothing wraps inside this room.
//!
//! Cost: an ACK costs O(log n) and O(1) for each record that it changes. Three views make that so: the SACKed
//! ranges (a block is compared to those, so that its known part is never walked again), a heap of what has to be sent
//! again, and the order of transmission: first-time transmissions lie in sequence order behind a cursor, repeated
//! ones in a queue.
//!
//! A hostile peer can't make it grow: records are split at segment boundaries only, so there are never more of them
//! than segments in flight, which [`SEGMENTS_MAX`] bounds; a block that covers a segment in part changes nothing.

use super::delivery::Delivery;
use super::plain_ack::Arrived;
use super::record::{Counts, LossWhy, Record};
use crate::time::Instant;
use core::cmp::Reverse;
use core::ops::Range;
use std::collections::{BinaryHeap, VecDeque};

/// The most segments that may be in flight: beyond, new data waits for ACKs. Enough for a window of 1 GiB.
pub(super) const SEGMENTS_MAX: u32 = 1 << 20;

/// A retransmission, as the queue in order of time remembers it.
#[derive(Clone, Copy, Debug)]
struct Resent {
    sent_at: Instant,
    start: u64,
    end: u64,
}

/// What the order of time says of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// It is lost.
    Lost,
    /// It and all later ones have to wait; the value says for what.
    Wait(T),
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Scoreboard {
    una: u64,
    nxt: u64,
    records: VecDeque<Record>,
    counts: Counts,
    /// No record before this is an undecided first transmission.
    originals: u64,
    /// What only matters once something is out of order; a connection without losses has none.
    troubles: Option<Box<Troubles>>,
}

/// The views of what is out of order.
#[derive(Debug, Default)]
struct Troubles {
    /// What is SACKed: disjoint, in order, not touching each other.
    sacked: VecDeque<Range<u64>>,
    /// Starts of records that may have to be sent again, the first on top; stale entries are dropped when met.
    to_resend: BinaryHeap<Reverse<u64>>,
    /// Retransmissions in order of time; decided ones are dropped when they reach the front.
    resent: VecDeque<Resent>,
}

impl Scoreboard {
    pub(super) fn new() -> Scoreboard {
        Scoreboard {
            una: 0,
            nxt: 0,
            records: VecDeque::new(),
            counts: Counts::default(),
            originals: 0,
            troubles: None,
        }
    }

    pub(super) fn una(&self) -> u64 {
        self.una
    }

    pub(super) fn nxt(&self) -> u64 {
        self.nxt
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether anything in flight is SACKed, lost, or sent again.
    pub(super) fn has_troubles(&self) -> bool {
        self.troubles.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// One past the highest number that is SACKed; `una` when nothing is.
    pub(super) fn highest_sacked(&self) -> u64 {
        self.troubles.as_ref().and_then(|t| t.sacked.back()).map_or(self.una, |range| range.end)
    }

    /// The SACKed ranges, highest first.
    pub(super) fn sacked_ranges_down(&self) -> impl Iterator<Item = &Range<u64>> {
        self.troubles.iter().flat_map(|t| t.sacked.iter().rev())
    }

    pub(super) fn head(&self) -> Option<&Record> {
        self.records.front()
    }

    pub(super) fn tail(&self) -> Option<&Record> {
        self.records.back()
    }

    /// Whether anything that is unacknowledged was sent more than once, at the head or in the network.
    pub(super) fn any_retransmitted(&self) -> bool {
        self.counts.retransmitting > 0 || self.head().is_some_and(|record| record.retransmitted)
    }

    /// New data left at `snd.nxt`.
    pub(super) fn push(&mut self, now: Instant, len: u32, fin: bool, mss: u32) {
        let mut record = Record {
            start: self.nxt,
            len,
            mss: u16::try_from(mss.max(1)).unwrap_or(u16::MAX),
            segments: 1,
            sent_at: now,
            fin,
            sacked: false,
            lost: false,
            retransmitting: false,
            retransmitted: false,
            why: LossWhy::Fast,
        };
        record.count();
        self.nxt = record.end();
        self.counts.add(&record);
        self.records.push_back(record);
    }

    /// A cumulative ACK: drops what it covers.
    pub(super) fn ack(&mut self, to: u64, delivery: &mut Delivery) {
        let to = to.min(self.nxt);
        while let Some(record) = self.records.front_mut() {
            if record.start >= to {
                break;
            }
            let old = *record;
            self.counts.remove(&old);
            if record.end() <= to {
                delivery.on_acked(&old, u32::from(old.segments));
                self.records.pop_front();
                continue;
            }
            // Only what is whole counts: a peer that acknowledges byte by byte gains nothing.
            record.len -= (to - record.start) as u32;
            record.start = to;
            record.count();
            let rest = *record;
            self.counts.add(&rest);
            delivery.on_acked_in_part(&old, u32::from(old.segments - rest.segments));
            if rest.needs_resend() {
                self.troubles.get_or_insert_default().to_resend.push(Reverse(to));
            }
            break;
        }
        self.una = self.una.max(to);
        self.originals = self.originals.max(to);
        if self.records.is_empty() {
            // Nothing is in flight: large buffers go back.
            self.troubles = None;
            self.records.shrink_to(IDLE_RECORDS);
        } else if let Some(troubles) = &mut self.troubles {
            troubles.ack(to);
        }
    }

    /// A cumulative ACK of all that is in flight, none of which is in trouble. None when nothing is.
    pub(super) fn ack_all(&mut self) -> Option<Arrived> {
        debug_assert!(!self.has_troubles());
        let Record { sent_at, .. } = *self.records.front()?;
        let mut arrived =
            Arrived { segments: self.counts.out, first_sent_at: sent_at, last_sent_at: sent_at };
        for record in &self.records {
            arrived.first_sent_at = arrived.first_sent_at.min(record.sent_at);
            arrived.last_sent_at = arrived.last_sent_at.max(record.sent_at);
        }
        self.records.clear();
        if self.records.capacity() > IDLE_RECORDS {
            self.records.shrink_to(IDLE_RECORDS);
        }
        self.counts = Counts::default();
        self.una = self.nxt;
        self.originals = self.nxt;
        Some(arrived)
    }

    /// A SACK block, any two numbers: marks each segment that it covers whole and that was not SACKed before.
    pub(super) fn sack(&mut self, block: Range<u64>, delivery: &mut Delivery) {
        let end = block.end.min(self.nxt);
        let mut at = block.start.max(self.una);
        let block = at..end;
        while at < end {
            // The next gap between SACKed ranges, from `at` on.
            let sacked = &self.troubles.get_or_insert_default().sacked;
            let i = sacked.partition_point(|range| range.end <= at);
            let gap_end = match sacked.get(i) {
                Some(range) if range.start <= at => {
                    at = range.end;
                    continue;
                }
                Some(range) => range.start.min(end),
                None => end,
            };
            self.sack_gap(at, gap_end, &block, delivery);
            at = gap_end;
        }
    }

    /// Marks what `block` covers whole from `at` to `until`, where nothing is SACKed yet.
    fn sack_gap(&mut self, at: u64, until: u64, block: &Range<u64>, delivery: &mut Delivery) {
        let Some(mut i) = self.index_of(at) else { return };
        while let Some(record) = self.records.get(i).filter(|record| record.start < until) {
            let start = record.boundary_after(record.start.max(block.start));
            let end =
                if record.end() <= block.end { record.end() } else { record.boundary_before(block.end) };
            if record.sacked || start >= end {
                i += 1;
                continue;
            }
            if start > record.start {
                self.split(i, start);
                i += 1;
            }
            if self.records.get(i).is_some_and(|record| end < record.end()) {
                self.split(i, end);
            }
            self.sack_record(i, delivery);
            i += 1;
        }
    }

    fn sack_record(&mut self, i: usize, delivery: &mut Delivery) {
        let Some(record) = self.records.get_mut(i) else { return };
        delivery.on_sacked(record);
        self.counts.remove(record);
        // A retransmission that nobody took for needed (a probe) stays in the count until it is acknowledged: it may
        // be the first transmission that has arrived.
        if record.lost {
            record.retransmitting = false;
        }
        record.lost = false;
        record.sacked = true;
        self.counts.add(record);
        let (start, end) = (record.start, record.end());
        insert_range(&mut self.troubles.get_or_insert_default().sacked, start..end);
    }

    /// The record that holds `offset`, or the first after it.
    fn index_of(&self, offset: u64) -> Option<usize> {
        let i = self.records.partition_point(|record| record.end() <= offset);
        (i < self.records.len()).then_some(i)
    }

    /// The record that starts at `start`.
    pub(super) fn at(&self, start: u64) -> Option<&Record> {
        self.index_of(start).and_then(|i| self.records.get(i)).filter(|record| record.start == start)
    }

    /// The record at `start` was sent as one segment, however large.
    pub(super) fn join_into_one_segment(&mut self, start: u64) {
        let Some(i) = self.index_of(start) else { return };
        let Some(record) = self.records.get_mut(i).filter(|record| record.start == start) else { return };
        self.counts.remove(record);
        record.mss = u16::try_from(record.payload().max(1)).unwrap_or(u16::MAX);
        record.count();
        self.counts.add(record);
    }

    /// Cuts a record in two.
    fn split(&mut self, i: usize, at: u64) {
        let Some(record) = self.records.get_mut(i) else { return };
        self.counts.remove(record);
        let mut back = *record;
        back.start = at;
        back.len = (record.end() - at) as u32;
        back.count();
        record.len = (at - record.start) as u32;
        record.fin = false;
        record.count();
        self.counts.add(record);
        self.counts.add(&back);
        if back.needs_resend() {
            self.troubles.get_or_insert_default().to_resend.push(Reverse(at));
        }
        self.records.insert(i + 1, back);
    }

    /// Takes a record's last transmission for lost.
    fn lose(&mut self, i: usize, why: LossWhy) -> u32 {
        let Some(record) = self.records.get_mut(i).filter(|record| record.is_undecided()) else { return 0 };
        self.counts.remove(record);
        record.lost = true;
        record.retransmitting = false;
        record.why = why;
        self.counts.add(record);
        self.troubles.get_or_insert_default().to_resend.push(Reverse(record.start));
        u32::from(record.segments)
    }

    /// Goes through undecided transmissions in order of time, both first and repeated ones, until `verdict` says to
    /// wait. Returns how many segments were lost, how many of those retransmissions, and what is waited for.
    pub(super) fn lose_by_time<T>(
        &mut self,
        why: LossWhy,
        mut verdict: impl FnMut(&Record) -> Verdict<T>,
    ) -> (u32, u32, [Option<T>; 2]) {
        let (mut lost, mut lost_again, mut waits) = (0, 0, [None, None]);
        let mut i = self.index_of(self.originals).unwrap_or(self.records.len());
        while let Some(record) = self.records.get(i) {
            if record.is_undecided() && !record.retransmitted {
                if let Verdict::Wait(what) = verdict(record) {
                    waits[0] = Some(what);
                    break;
                }
                lost += self.lose(i, why);
            }
            i += 1;
        }
        self.originals = self.records.get(i).map_or(self.nxt, |record| record.start);
        'queue: while let Some(entry) = self.troubles.as_ref().and_then(|t| t.resent.front().copied()) {
            let mut i = self.index_of(entry.start).unwrap_or(self.records.len());
            while let Some(record) = self.records.get(i).filter(|record| record.start < entry.end) {
                if record.is_undecided() && record.retransmitted && record.sent_at == entry.sent_at {
                    if let Verdict::Wait(what) = verdict(record) {
                        waits[1] = Some(what);
                        break 'queue;
                    }
                    lost_again += self.lose(i, why);
                }
                i += 1;
            }
            self.troubles.get_or_insert_default().resent.pop_front();
        }
        (lost + lost_again, lost_again, waits)
    }

    /// Takes first transmissions for lost that end at or before `limit` (RFC 6675: retransmissions are left alone).
    pub(super) fn lose_originals_before(&mut self, limit: u64) -> u32 {
        let mut lost = 0;
        let mut i = self.index_of(self.originals).unwrap_or(self.records.len());
        while let Some(record) = self.records.get(i).filter(|record| record.end() <= limit) {
            if record.is_undecided() && !record.retransmitted {
                lost += self.lose(i, LossWhy::Fast);
            }
            i += 1;
        }
        self.originals = self.records.get(i).map_or(self.nxt, |record| record.start);
        lost
    }

    /// Takes the first segment for lost, unless it is already.
    pub(super) fn lose_head_segment(&mut self, why: LossWhy) -> u32 {
        match self.head() {
            Some(head) if !head.lost && !head.sacked => {
                let mss = u64::from(head.mss);
                let (start, several) = (head.start, head.segments > 1);
                if several {
                    self.split(0, start + mss);
                }
                self.lose(0, why)
            }
            _ => 0,
        }
    }

    /// Takes everything for lost that `keep` does not hold on to; the first record always. `why` is the first one's.
    /// Walks the whole scoreboard: for time-outs and MTU changes.
    pub(super) fn lose_all(&mut self, first: LossWhy, rest: LossWhy, keep: impl Fn(&Record) -> bool) -> u32 {
        let mut lost = 0;
        for i in 0..self.records.len() {
            if i == 0 || !keep(&self.records[i]) {
                // What was lost already is sent again for the new reason.
                let why = if i == 0 { first } else { rest };
                lost += self.lose(i, why);
                self.records[i].why = why;
            }
        }
        lost
    }

    /// Takes everything for lost that was sent in larger segments than `mss`, and not SACKed.
    pub(super) fn lose_larger_than(&mut self, mss: u32) -> u32 {
        let mut lost = 0;
        for i in 0..self.records.len() {
            let record = &self.records[i];
            if record.payload().min(u32::from(record.mss)) > mss {
                lost += self.lose(i, LossWhy::PathMtu);
            }
        }
        lost
    }

    /// Nothing is lost after all. Walks the whole scoreboard.
    pub(super) fn find_all(&mut self) {
        for record in &mut self.records {
            self.counts.remove(record);
            record.lost = false;
            self.counts.add(record);
        }
        self.troubles.get_or_insert_default().to_resend.clear();
        self.rebuild_order();
    }

    /// The peer has dropped what it had SACKed (RFC 2018 section 8): nothing is SACKed any more. Walks all as well.
    pub(super) fn forget_sacks(&mut self) {
        for record in &mut self.records {
            self.counts.remove(record);
            record.sacked = false;
            self.counts.add(record);
        }
        self.troubles.get_or_insert_default().sacked.clear();
        self.rebuild_order();
    }

    /// What was decided is open again: finds the order of transmission anew.
    fn rebuild_order(&mut self) {
        let undecided = self.records.iter().filter(|record| record.is_undecided() && record.retransmitted);
        let mut resent: Vec<_> = undecided
            .map(|record| Resent { sent_at: record.sent_at, start: record.start, end: record.end() })
            .collect();
        resent.sort_by_key(|entry| entry.sent_at);
        self.troubles.get_or_insert_default().resent = resent.into();
        self.originals = self.una;
    }

    /// The first record that has to be sent again.
    pub(super) fn next_to_resend(&mut self) -> Option<(usize, Record)> {
        while let Some(&Reverse(start)) = self.troubles.as_ref()?.to_resend.peek() {
            let found = self.index_of(start).and_then(|i| Some((i, *self.records.get(i)?)));
            match found {
                Some((i, record)) if record.start == start && record.needs_resend() => {
                    return Some((i, record));
                }
                _ => self.troubles.as_mut()?.to_resend.pop(),
            };
        }
        None
    }

    pub(super) fn get(&self, i: usize) -> Option<&Record> {
        self.records.get(i)
    }

    /// `start..end` left again, in segments of `mss`. Returns how many segments that is.
    pub(super) fn on_resent(&mut self, now: Instant, start: u64, end: u64, mss: u32) -> u32 {
        let mss = u16::try_from(mss.max(1)).unwrap_or(u16::MAX);
        let mut segments = 0;
        let mut i = self.index_of(start).unwrap_or(self.records.len());
        while let Some(record) = self.records.get_mut(i).filter(|record| record.start < end) {
            if record.mss != mss {
                self.counts.remove(record);
                record.mss = mss;
                record.count();
                self.counts.add(record);
            }
            // What left is what counts, even where the caller cut through a segment.
            if record.start < start {
                self.split(i, start);
                i += 1;
                continue;
            }
            if end < record.end() {
                self.split(i, end);
            }
            let Some(record) = self.records.get_mut(i) else { break };
            self.counts.remove(record);
            record.sent_at = now;
            record.retransmitted = true;
            record.retransmitting = true;
            self.counts.add(record);
            segments += u32::from(record.segments);
            i += 1;
        }
        let resent = &mut self.troubles.get_or_insert_default().resent;
        resent.push_back(Resent { sent_at: now, start, end });
        if resent.len() > 2 * self.records.len() + RESENT_SLACK {
            self.drop_decided();
        }
        segments
    }

    /// Drops decided retransmissions from the middle of the queue. Its length doubles before this walks it again.
    fn drop_decided(&mut self) {
        let mut queue = core::mem::take(&mut self.troubles.get_or_insert_default().resent);
        queue.retain(|entry| {
            let from = self.index_of(entry.start).unwrap_or(self.records.len());
            self.records
                .range(from..)
                .take_while(|record| record.start < entry.end)
                .any(|record| record.is_undecided() && record.sent_at == entry.sent_at)
        });
        self.troubles.get_or_insert_default().resent = queue;
    }
}

impl Troubles {
    /// What is acknowledged cumulatively is no SACKed range any more.
    fn ack(&mut self, to: u64) {
        while let Some(range) = self.sacked.front_mut() {
            if range.end > to {
                range.start = range.start.max(to);
                break;
            }
            self.sacked.pop_front();
        }
    }
}

/// Adds a range to disjoint ranges in order, joining it with those that it touches.
fn insert_range(ranges: &mut VecDeque<Range<u64>>, new: Range<u64>) {
    let i = ranges.partition_point(|range| range.end < new.start);
    let mut joined = new;
    while let Some(range) = ranges.get(i).filter(|range| range.start <= joined.end) {
        joined = joined.start.min(range.start)..joined.end.max(range.end);
        if i + 1 < ranges.len() && ranges[i + 1].start <= joined.end {
            ranges.remove(i);
        } else {
            ranges[i] = joined;
            return;
        }
    }
    ranges.insert(i, joined);
}

/// Queue entries beyond two for each record before the queue of retransmissions is cleaned.
const RESENT_SLACK: usize = 64;
/// Records that an idle connection keeps room for.
const IDLE_RECORDS: usize = 16;

#[cfg(test)]
impl Scoreboard {
    /// Compares everything that is kept with what the records say.
    pub(super) fn check(&self) {
        let nothing = Troubles::default();
        let troubles = self.troubles.as_deref().unwrap_or(&nothing);
        let mut counts = Counts::default();
        let mut at = self.una;
        let mut sacked: VecDeque<Range<u64>> = VecDeque::new();
        for record in &self.records {
            assert_eq!(record.start, at, "records follow each other");
            assert!(record.len > 0 && record.segments > 0);
            at = record.end();
            let mut recount = *record;
            recount.count();
            assert_eq!(recount, *record, "segments as payload and MSS say");
            counts.add(record);
            assert!(!(record.sacked && record.lost), "SACKed is not lost");
            if record.sacked {
                insert_range(&mut sacked, record.start..record.end());
            }
            if record.needs_resend() {
                assert!(
                    troubles.to_resend.iter().any(|Reverse(start)| *start == record.start),
                    "will be offered"
                );
            } else if record.is_undecided() && !record.retransmitted {
                assert!(record.start >= self.originals, "the cursor has not passed it");
            } else if record.is_undecided() {
                let known = |entry: &Resent| {
                    entry.sent_at == record.sent_at && entry.start <= record.start && record.start < entry.end
                };
                assert!(troubles.resent.iter().any(known), "in the queue of retransmissions: {record:?}");
            }
        }
        assert_eq!(at, self.nxt, "records reach up to snd.nxt");
        assert_eq!(counts, self.counts);
        assert_eq!(sacked, troubles.sacked);
        assert!(
            troubles.resent.iter().zip(troubles.resent.iter().skip(1)).all(|(a, b)| a.sent_at <= b.sent_at)
        );
    }
}
