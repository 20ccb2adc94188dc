//! A path in virtual time for the sender's tests: a bottleneck with a queue, loss, reordering, and a receiver that is by
//! the book. All of it repeatable from a seed.

use super::super::*;
use core::cmp::Reverse;
use core::ops::Range;
use std::collections::{BinaryHeap, VecDeque};

/// What the path is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Bytes a second through the bottleneck.
    pub(super) rate: u64,
    /// Round trip without queueing.
    pub(super) rtt: Duration,
    /// Bytes that wait before the bottleneck; what comes then is dropped.
    pub(super) queue: u64,
    /// Segments lost out of a million, at random.
    pub(super) loss_ppm: u32,
    /// Every so many segments one is lost; 0 for none.
    pub(super) lose_every: u64,
    /// Segments out of a million that come late.
    pub(super) reorder_ppm: u32,
    /// ... by this much.
    pub(super) late: Duration,
    /// ACKs that come as late as that, out of a million.
    pub(super) ack_reorder_ppm: u32,
    /// ACKs lost out of a million.
    pub(super) ack_loss_ppm: u32,
    /// ECN: mark instead of dropping when the queue is half full.
    pub(super) mark: bool,
}

impl Path {
    pub(super) fn new(mbit: u64, rtt_ms: u64) -> Path {
        let rate = mbit * 125_000;
        Path {
            rate,
            rtt: Duration::from_millis(rtt_ms),
            queue: rate * rtt_ms / 1000,
            loss_ppm: 0,
            lose_every: 0,
            reorder_ppm: 0,
            late: Duration::ZERO,
            ack_reorder_ppm: 0,
            ack_loss_ppm: 0,
            mark: false,
        }
    }
}

/// A segment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    start: u64,
    end: u64,
    sent_at: Instant,
    marked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(Segment),
    Acked { ack: u64, sack: Vec<(u64, u64)>, echoed: Instant, ece: bool },
    DelayedAck,
}

/// The receiving side (RFC 9293, 2018, 2883, 5681 section 4.2).
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) next: u64,
    pub(super) ranges: VecDeque<Range<u64>>,
    /// What arrived last, which the first SACK block names.
    recent: Option<(u64, u64)>,
    dsack: Option<(u64, u64)>,
    unacked: u32,
}

impl Receiver {
    /// Takes a segment in; true where an ACK has to be sent at once.
    pub(super) fn take(&mut self, start: u64, end: u64) -> bool {
        self.dsack = None;
        let known =
            end <= self.next || self.ranges.iter().any(|range| range.start <= start && end <= range.end);
        if known {
            self.dsack = Some((start, end));
            return true;
        }
        let had_holes = !self.ranges.is_empty();
        let mut joined = start.max(self.next)..end;
        self.ranges.retain(|range| {
            let touches = range.start <= joined.end && joined.start <= range.end;
            if touches {
                joined = joined.start.min(range.start)..joined.end.max(range.end);
            }
            !touches
        });
        if joined.start <= self.next {
            self.next = joined.end;
            self.recent = None;
        } else {
            let i = self.ranges.partition_point(|range| range.start < joined.start);
            self.recent = Some((joined.start, joined.end));
            self.ranges.insert(i, joined);
        }
        self.unacked += 1;
        had_holes || !self.ranges.is_empty() || self.unacked >= 2
    }

    /// The blocks of the next ACK.
    pub(super) fn blocks(&mut self) -> Vec<(u64, u64)> {
        self.unacked = 0;
        let mut blocks: Vec<_> = self.dsack.take().into_iter().collect();
        blocks.extend(self.recent);
        for range in self.ranges.iter().rev() {
            let block = (range.start, range.end);
            if blocks.len() < 3 && Some(block) != self.recent {
                blocks.push(block);
            }
        }
        blocks
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    /// Bytes that were acknowledged since the marker.
    pub(super) acked: u64,
    pub(super) timeouts: u32,
    pub(super) resent: u32,
    pub(super) lost: u32,
    pub(super) sent: u64,
    /// Sum over round trips of the window, for an average.
    pub(super) window_sum: u64,
    pub(super) window_count: u64,
}

/// Runs a sender over a path.
pub(super) struct World {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) now: Instant,
    pub(super) report: Report,
    path: Path,
    first: SeqNum,
    /// How much there is to send.
    total: u64,
    free_at: Instant,
    /// What comes in the order of its making: most.
    in_order: VecDeque<(Instant, u64, Event)>,
    /// The rest.
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    random: fastrand::Rng,
    frame_segments: u32,
    ece: bool,
    delayed_ack: Duration,
}

impl World {
    pub(super) fn new(path: Path, config: &SenderConfig, total: u64, seed: u64) -> World {
        let now = Instant::from_millis(1);
        let first = SeqNum::new(u32::MAX - 100_000);
        let config = SenderConfig { handshake_rtt: Some(path.rtt), ..config.clone() };
        World {
            sender: Sender::new(now, first, &config),
            receiver: Receiver::default(),
            now,
            report: Report::default(),
            path,
            first,
            total,
            free_at: now,
            in_order: VecDeque::new(),
            events: BinaryHeap::new(),
            count: 0,
            random: fastrand::Rng::with_seed(seed),
            frame_segments: 1,
            ece: false,
            delayed_ack: Duration::from_millis(40),
        }
    }

    pub(super) fn frames_of(mut self, segments: u32) -> World {
        self.frame_segments = segments;
        self
    }

    /// Runs until so many segments have left.
    pub(super) fn run_until_sent(&mut self, segments: u64) {
        while self.report.sent < segments {
            self.run(Duration::from_millis(1));
        }
    }

    /// Runs for so long, or until all is acknowledged.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.pull();
        while !self.is_done() {
            let event_at = self.next_event().map(|(at, _)| at);
            let deadline = self.sender.deadline();
            let Some(next) = event_at.into_iter().chain(deadline).min() else {
                panic!("nothing will happen any more, at {}: {:?}", self.now, self.sender);
            };
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if deadline == Some(next) {
                if let DeadlineOut::TimedOut { .. } = self.sender.on_deadline(self.now) {
                    self.report.timeouts += 1;
                }
            } else if let Some(event) = self.take_event() {
                self.on_event(event);
            }
            self.pull();
        }
    }

    /// Goodput since the last call, as a part of the bottleneck's rate, headers left out of both.
    pub(super) fn utilisation(&mut self, time: Duration) -> f64 {
        self.report = Report::default();
        self.run(time);
        self.report.acked as f64 / (self.path.rate as f64 * time.as_secs_f64())
    }

    pub(super) fn is_done(&self) -> bool {
        self.sender.board.una() >= self.total
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Arrives(segment) => {
                self.ece |= segment.marked;
                if self.receiver.take(segment.start, segment.end) {
                    self.send_ack(segment.sent_at);
                } else {
                    self.at(self.now + self.delayed_ack, Event::DelayedAck);
                }
            }
            Event::DelayedAck => {
                if self.receiver.unacked > 0 {
                    self.send_ack(Instant::ZERO);
                }
            }
            Event::Acked { ack, sack, echoed, ece } => {
                let sack: Vec<_> = sack.iter().map(|&(l, r)| (self.seq(l), self.seq(r))).collect();
                let echoed = (echoed > Instant::ZERO).then(|| Instant::from_millis(echoed.as_millis()));
                let ack = AckIn { ack: self.seq(ack), sack: &sack, echoed, ece, ..AckIn::default() };
                let out = self.sender.on_ack(self.now, &ack);
                self.compare();
                self.report.acked += u64::from(out.newly_acked);
                self.report.window_sum += u64::from(self.sender.cwnd()) * u64::from(out.newly_acked);
                self.report.window_count += u64::from(out.newly_acked);
            }
        }
    }

    /// What the sender takes for SACKed, the receiver has.
    fn compare(&self) {
        for range in self.sender.board.sacked_ranges_down() {
            let behind = range.end <= self.receiver.next;
            let partly = range.start < self.receiver.next;
            let ranges = &self.receiver.ranges;
            let held = ranges.partition_point(|held| held.start <= range.start).checked_sub(1);
            let has = held.is_some_and(|at| range.end <= ranges[at].end);
            assert!(behind || partly || has, "{range:?} is not there");
        }
    }

    fn send_ack(&mut self, echoed: Instant) {
        let ack = Event::Acked {
            ack: self.receiver.next,
            sack: self.receiver.blocks(),
            echoed,
            ece: core::mem::take(&mut self.ece),
        };
        if self.random.u32(0..1_000_000) >= self.path.ack_loss_ppm {
            let late = self.random.u32(0..1_000_000) < self.path.ack_reorder_ppm;
            let late = if late { self.path.late } else { Duration::ZERO };
            self.at(self.now + self.path.rtt / 2 + late, ack);
        }
    }

    /// Sends all that the sender lets go.
    fn pull(&mut self) {
        let mss = self.sender.mss();
        let limits = Limits {
            queue_end: self.sender.una() + (self.total - self.sender.board.una()).min(1 << 29) as u32,
            fin: false,
            window_edge: self.sender.una() + (1 << 30),
            max_len: self.frame_segments * mss,
        };
        while let Some(plan) = self.sender.next(self.now, &limits) {
            self.sender.on_sent(self.now, &plan);
            let start = self.sender.board.una() + u64::from(plan.seq.distance_from(self.sender.una()));
            let resent = matches!(plan.kind, SendKind::Retransmit(_));
            let mut at = start;
            while at < start + u64::from(plan.len) {
                let end = (at + u64::from(mss)).min(start + u64::from(plan.len));
                self.report.resent += u32::from(resent);
                self.transmit(at, end);
                at = end;
            }
        }
    }

    fn transmit(&mut self, start: u64, end: u64) {
        let path = self.path;
        self.report.sent += 1;
        let waits = self.free_at - self.now;
        let queued = u64::try_from(waits.as_nanos()).unwrap() as u128 * u128::from(path.rate) / 1_000_000_000;
        let full = queued as u64 + (end - start) > path.queue.max(2 * (end - start));
        let random = self.random.u32(0..1_000_000) < path.loss_ppm;
        let periodic = path.lose_every > 0 && self.report.sent.is_multiple_of(path.lose_every);
        if full || random || periodic {
            self.report.lost += 1;
            return;
        }
        let takes = Duration::from_nanos((end - start) * 1_000_000_000 / path.rate);
        self.free_at = self.free_at.max(self.now) + takes;
        let mut arrives = self.free_at + path.rtt / 2;
        if path.reorder_ppm > 0 && self.random.u32(0..1_000_000) < path.reorder_ppm {
            arrives += path.late;
        }
        let marked = path.mark && queued as u64 > path.queue / 2;
        self.at(arrives, Event::Arrives(Segment { start, end, sent_at: self.now, marked }));
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        if self.in_order.back().is_none_or(|last| last.0 <= at) {
            self.in_order.push_back((at, self.count, event));
        } else {
            self.events.push(Reverse((at, self.count, event)));
        }
    }

    fn next_event(&self) -> Option<(Instant, u64)> {
        let first = self.in_order.front().map(|(at, count, _)| (*at, *count));
        let other = self.events.peek().map(|Reverse((at, count, _))| (*at, *count));
        first.into_iter().chain(other).min()
    }

    fn take_event(&mut self) -> Option<Event> {
        let next = self.next_event()?;
        if self.in_order.front().is_some_and(|(at, count, _)| (*at, *count) == next) {
            return self.in_order.pop_front().map(|(_, _, event)| event);
        }
        self.events.pop().map(|Reverse((_, _, event))| event)
    }

    fn seq(&self, offset: u64) -> SeqNum {
        self.first + offset as u32
    }
}
