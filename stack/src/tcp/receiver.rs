//! The receiving half of a connection: RCV.NXT, the window that is offered, its auto-tuning, and SACK blocks.

use super::receive_queue::{Inserted, ReceiveQueue};
use super::seq::SeqNum;
use crate::frame::Strided;
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// Receive sequence variables (RFC 9293 section 3.3.1) and the queue behind them.
pub(crate) struct Receiver {
    /// RCV.NXT.
    pub(crate) next: SeqNum,
    /// RCV.NXT when an ACK was last sent.
    pub(crate) window_update: SeqNum,
    /// The right edge that was advertised: it never moves left (RFC 9293 section 3.8.6.2.1).
    advertised: SeqNum,
    /// Our window scale; 0 without scaling.
    pub(crate) scale: u8,
    /// Bytes in order (from RCV.IRS + 1), and those that came early.
    pub(crate) queue: ReceiveQueue,
    /// The window that is offered while the queue is empty, in bytes.
    pub(crate) limit: usize,
    /// The window starts at what a SYN can say, and opens as data comes in, up to `limit` (Linux's `rcv_ssthresh`): a
    /// peer that sends little is not offered much.
    ssthresh: usize,
    /// Auto-tuning grows `limit` up to here; equal to `limit` when the buffer size is fixed.
    pub(crate) limit_max: usize,
    /// A FIN at this sequence number waits for data that is missing before it.
    early_fin: Option<SeqNum>,
    /// The peer has closed its side.
    pub(crate) finished: bool,
    /// Where early data came in, latest first, as stream offsets (RFC 2018 section 4).
    recent: [u64; SACK_RECENT],
    recent_len: u8,
    /// A duplicate to report once (RFC 2883).
    pub(crate) duplicate: Option<(SeqNum, SeqNum)>,
    /// The largest payload of a segment lately: the peer's segment size.
    pub(crate) segment_max: u32,
    tuning: Tuning,
}

/// Segments below this size don't open the window, in bytes (as in Linux).
const TINY_SEGMENT: usize = 128;
/// A window that comes in at once would read as "no sample".
const WINDOW_TIME_MIN_NS: u64 = 1_000;
/// Early ranges that are remembered for SACK blocks.
const SACK_RECENT: usize = 4;

/// Dynamic right-sizing: the window has to hold twice what the application reads in a round trip.
#[derive(Clone, Copy, Debug, Default)]
struct Tuning {
    /// Bytes that were read since `since`.
    copied: usize,
    since: Instant,
    /// Bytes that were read in the best round trip so far.
    space: usize,
    /// The receiver's estimate of the round-trip time; 0 before the first sample.
    rtt_ns: u64,
    /// Measuring without timestamps: when RCV.NXT passes `probe`, a window's time has passed.
    probe: SeqNum,
    probe_at: Instant,
}

impl Receiver {
    /// A receiver whose peer's first byte has this sequence number. `limit` is the window to offer, in bytes.
    pub(crate) fn new(first: SeqNum, scale: u8, limit: usize, limit_max: usize) -> Receiver {
        Receiver {
            next: first,
            window_update: first,
            advertised: first,
            scale,
            queue: ReceiveQueue::default(),
            limit,
            ssthresh: limit.min(usize::from(u16::MAX)),
            limit_max,
            early_fin: None,
            finished: false,
            recent: [0; SACK_RECENT],
            recent_len: 0,
            duplicate: None,
            segment_max: 0,
            tuning: Tuning { space: limit, probe: first, ..Tuning::default() },
        }
    }

    /// Sets the peer's first number, before anything was received.
    pub(crate) fn begin_at(&mut self, first: SeqNum) {
        self.next = first;
        self.window_update = first;
        self.advertised = first;
        self.tuning.probe = first;
    }

    /// Notes the edge that a SYN advertised (unscaled).
    pub(crate) fn advertise_syn(&mut self, window: u16) {
        self.advertised = self.next + u32::from(window);
    }

    /// RCV.WND: what the peer may send now, in bytes.
    pub(crate) fn window(&self) -> u32 {
        self.advertised.signed_from(self.next).max(0) as u32
    }

    /// The window field for a segment that goes out now. Opens the window by at least a segment or half the buffer
    /// (RFC 9293 section 3.8.6.2.2, receiver's silly-window avoidance), and never takes back what was offered.
    pub(crate) fn advertise(&mut self, mss: u32) -> u16 {
        let window = self.new_window(mss);
        let mut units = window >> self.scale;
        if (self.next + (units << self.scale)).before(self.advertised) {
            units += 1;
        }
        let units = units.min(u32::from(u16::MAX));
        self.advertised = self.advertised.latest(self.next + (units << self.scale));
        self.window_update = self.next;
        units as u16
    }

    /// Whether reading has opened the window so far that the peer should hear of it now: it would at least double.
    pub(crate) fn update_due(&self, mss: u32) -> bool {
        let current = self.window();
        let new = self.new_window(mss);
        new > 0 && new >= current.saturating_mul(2) && new - current >= mss.min(self.limit as u32 / 2)
    }

    fn new_window(&self, mss: u32) -> u32 {
        let current = self.window();
        let limit = self.limit.min(self.ssthresh);
        let free = self.limit.saturating_sub(self.queue.readable()).min(limit);
        let free = free.min((u16::MAX as usize) << self.scale) as u32;
        let step = mss.min(self.limit as u32 / 2).max(1);
        if free >= current.saturating_add(step) || free >= limit as u32 { free.max(current) } else { current }
    }

    /// Counts data that is the next in order, where nothing waits for what is missing, and that fits the window. Its bytes
    /// follow by [`Receiver::append`], before anything else happens here.
    pub(crate) fn next_data(&mut self, len: u32) {
        debug_assert!(self.is_in_order() && len <= self.window());
        self.next += len;
        self.open_window(len as usize);
    }

    /// Takes the bytes that [`Receiver::next_data`] counted.
    pub(crate) fn append(&mut self, payloads: Strided) {
        self.queue.append(payloads);
    }

    /// Takes a segment's data; `seq` is its first byte's number. Data right of the window is cut off.
    pub(crate) fn data(&mut self, seq: SeqNum, mut data: Bytes) -> Inserted {
        let room = (self.next + self.window()).signed_from(seq);
        if room <= 0 && !data.is_empty() {
            return Inserted::Full;
        }
        data.truncate(room as usize);
        let Some(offset) = self.offset(seq) else {
            // It begins before RCV.NXT: cut off what is known.
            let known = self.next.distance_from(seq) as usize;
            if known >= data.len() {
                return Inserted::Duplicate;
            }
            bytes::Buf::advance(&mut data, known);
            return self.data(self.next, data);
        };
        // Twice the window, as each piece is charged for more than its bytes: tiny pieces don't get that far.
        let early_max = 2 * self.limit.max(self.window() as usize);
        let inserted = self.queue.insert(offset, data, early_max);
        match inserted {
            Inserted::InOrder { bytes, .. } => {
                self.next += bytes as u32;
                self.open_window(bytes);
            }
            Inserted::OutOfOrder => self.remember(offset),
            Inserted::Duplicate | Inserted::Full => {}
        }
        inserted
    }

    /// Data came in: the peer may be offered twice as much more. Tiny segments, which cost more than they bring, don't
    /// count.
    fn open_window(&mut self, bytes: usize) {
        if bytes >= TINY_SEGMENT {
            self.ssthresh = self.ssthresh.saturating_add(2 * bytes).min(self.limit.max(self.ssthresh));
        }
    }

    /// A segment brought what was here already: the next ACK says so (RFC 2883), except for what lies ahead.
    pub(crate) fn report_duplicate(&mut self, start: SeqNum, end: SeqNum) {
        self.duplicate = Some((start, end.earliest(self.next.latest(start))));
        if end.after(self.next) && start.at_or_after(self.next) {
            self.duplicate = Some((start, end));
        }
    }

    /// How far the window may open now, in bytes.
    pub(crate) fn ssthresh(&self) -> u32 {
        self.limit.min(self.ssthresh) as u32
    }

    /// The window that a SYN offers, without scale: whole segments of `mss` bytes, as far as 16 bits go.
    pub(crate) fn syn_window(&self, mss: u32) -> u16 {
        let mss = (mss as usize).max(1);
        let whole = if self.limit > mss { self.limit / mss * mss } else { self.limit };
        whole.min(usize::from(u16::MAX)) as u16
    }

    /// Takes a FIN that stands at `seq`; whether it is in order now (also later, by [`Receiver::fin_reached`]).
    pub(crate) fn fin(&mut self, seq: SeqNum) -> bool {
        self.early_fin = Some(seq);
        self.fin_reached()
    }

    /// Whether nothing waits for what is missing before it: neither data nor a FIN.
    pub(crate) fn is_in_order(&self) -> bool {
        !self.queue.has_early() && self.early_fin.is_none()
    }

    /// Consumes an early FIN when everything before it is in.
    pub(crate) fn fin_reached(&mut self) -> bool {
        if self.finished || self.early_fin != Some(self.next) {
            return false;
        }
        self.early_fin = None;
        self.finished = true;
        self.next += 1;
        true
    }

    /// The SACK blocks that are due: a duplicate first (RFC 2883), then early ranges, latest first.
    pub(crate) fn sack_blocks(&mut self, max: usize) -> ([(SeqNum, SeqNum); 4], usize) {
        let mut blocks = [(SeqNum::new(0), SeqNum::new(0)); 4];
        let mut count = 0;
        if let Some(duplicate) = self.duplicate.take()
            && max > 0
        {
            blocks[0] = duplicate;
            count = 1;
        }
        let first_range = count;
        for &offset in &self.recent[..usize::from(self.recent_len)] {
            if count >= max {
                break;
            }
            if let Some((start, end)) = self.queue.early_range(offset) {
                let block = (self.seq_at(start), self.seq_at(end));
                if !blocks[first_range..count].contains(&block) {
                    blocks[count] = block;
                    count += 1;
                }
            }
        }
        (blocks, count)
    }

    /// Whether an ACK that goes out now has SACK blocks.
    pub(crate) fn has_sack(&self) -> bool {
        self.duplicate.is_some() || self.queue.has_early()
    }

    /// The application has read `count` bytes: once a round trip, the buffer is fitted to its pace.
    pub(crate) fn read(&mut self, now: Instant, count: usize, mss: u32) {
        let tuning = &mut self.tuning;
        tuning.copied += count;
        if tuning.rtt_ns == 0 || now.nanos_since(tuning.since) < tuning.rtt_ns {
            return;
        }
        if tuning.copied > tuning.space && tuning.since != Instant::ZERO {
            // Twice what was read leaves room for a sender that doubles its window, and more where it grows.
            let growth = 2 * tuning.copied * (tuning.copied - tuning.space) / tuning.space.max(1);
            let target = 2 * tuning.copied + 16 * mss as usize + growth.min(8 * tuning.copied);
            self.limit = self.limit.max(target.min(self.limit_max));
            tuning.space = tuning.copied;
        }
        tuning.copied = 0;
        tuning.since = now;
    }

    /// A round-trip sample from a timestamp echo on a data segment.
    pub(crate) fn rtt_sample(&mut self, sample_ns: u64) {
        let rtt_ns = &mut self.tuning.rtt_ns;
        let smoothed_ns = *rtt_ns - *rtt_ns / 8 + sample_ns / 8;
        *rtt_ns = if *rtt_ns == 0 { sample_ns } else { sample_ns.min(smoothed_ns) };
    }

    /// Without timestamps, a round trip is at most the time in which a whole window comes in.
    pub(crate) fn measure_window(&mut self, now: Instant) {
        let tuning = &mut self.tuning;
        if self.next.before(tuning.probe) {
            return;
        }
        if tuning.probe_at != Instant::ZERO {
            let sample_ns = now.nanos_since(tuning.probe_at).max(WINDOW_TIME_MIN_NS);
            tuning.rtt_ns = if tuning.rtt_ns == 0 { sample_ns } else { tuning.rtt_ns.min(sample_ns) };
        }
        tuning.probe = self.next + self.advertised.signed_from(self.next).max(1) as u32;
        tuning.probe_at = now;
    }

    /// The receiver's estimate of the round-trip time, and its auto-tuning's target in bytes.
    pub(crate) fn tuning_info(&self) -> (Duration, usize) {
        (Duration::from_nanos(self.tuning.rtt_ns), self.tuning.space)
    }

    /// The stream offset of a sequence number, none where it lies before RCV.NXT.
    fn offset(&self, seq: SeqNum) -> Option<u64> {
        u64::try_from(seq.signed_from(self.next)).ok().map(|ahead| self.queue.next_offset() + ahead)
    }

    fn seq_at(&self, offset: u64) -> SeqNum {
        self.next + (offset - self.queue.next_offset()) as u32
    }

    fn remember(&mut self, offset: u64) {
        let Some((start, end)) = self.queue.early_range(offset) else { return };
        // Entries of the same range, and of ranges that are in order by now, make room.
        let mut kept = [0; SACK_RECENT];
        let mut len = 1;
        kept[0] = offset;
        for &old in &self.recent[..usize::from(self.recent_len)] {
            let stale = (start..end).contains(&old) || self.queue.early_range(old).is_none();
            if !stale && len < SACK_RECENT {
                kept[len] = old;
                len += 1;
            }
        }
        self.recent = kept;
        self.recent_len = len as u8;
    }
}
