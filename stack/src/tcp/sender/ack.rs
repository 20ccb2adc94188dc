//! What an ACK does, in the order of Linux's input path: SACK blocks, the cumulative part, RTT, RACK, recovery, window.

use super::congestion::{CongestionControl, Progress};
use super::delivery::Delivery;
use super::{AckIn, AckOut, Sender, probe};
use crate::socket::CongestionState;
use crate::time::{Duration, Instant};

/// What the stages learn about one ACK and hand on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) now: Instant,
    pub(super) una_before: u64,
    /// It moved `snd.una`.
    pub(super) advanced: bool,
    /// It is a duplicate ACK (RFC 5681 section 2).
    pub(super) duplicate: bool,
    /// Its first block is a D-SACK.
    pub(super) dsack: bool,
    /// ... whose end is the tail loss probe's.
    pub(super) dsack_of_probe: bool,
    pub(super) ece: bool,
    pub(super) echoed: Option<Instant>,
    pub(super) delivery: Delivery,
}

impl Event {
    /// Something new was SACKed.
    pub(super) fn sacked(&self) -> bool {
        self.delivery.sacked > 0
    }
}

impl Sender {
    /// An acceptable ACK came in. `SEG.ACK` beyond `snd.nxt` is the caller's to refuse; here it is ignored.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &AckIn<'_>) -> AckOut {
        let una_before = self.board.una();
        let Some(to) = self.offset(ack.ack).filter(|to| *to <= self.board.nxt()) else {
            return AckOut::default();
        };
        let old = to < una_before;
        let was_idle = self.board.is_empty();
        let mut event = Event {
            now,
            una_before,
            advanced: to > una_before,
            duplicate: false,
            dsack: false,
            dsack_of_probe: false,
            ece: ack.ece && self.settings.ecn,
            echoed: ack.echoed.filter(|_| self.settings.timestamps),
            delivery: Delivery::new(now, self.rtt.min(), self.high_seq, self.board.highest_sacked()),
        };
        if self.settings.sack {
            self.take_sacks(ack, to, &mut event);
        }
        event.duplicate = !event.advanced && !old && !ack.carries_data && !ack.window_changed && !event.dsack;
        if was_idle {
            return self.react_when_idle(&mut event);
        }
        if event.advanced {
            self.timeouts = 0;
            self.stalled_since = None;
            self.board.ack(to, &mut event.delivery);
            if !self.settings.sack {
                self.take_back_reno_sacks(&mut event);
            }
        }
        let rtt = self.sample_rtt(&event);
        self.react(&mut event, rtt)
    }

    /// Nothing is in flight; a late D-SACK may still tell that a retransmission or a probe was needless.
    fn react_when_idle(&mut self, event: &mut Event) -> AckOut {
        let mut undone = false;
        if event.dsack {
            undone = self.recover(event).undone;
        }
        self.judge_probe(event);
        AckOut { dsack: event.dsack, undone, ..AckOut::default() }
    }

    /// The second half: what to make of it.
    fn react(&mut self, event: &mut Event, rtt: Option<Duration>) -> AckOut {
        let now = event.now;
        self.rack.on_delivery(now, &event.delivery);
        self.note_reordering(event);
        if event.dsack && !event.dsack_of_probe {
            self.rack.on_dsack(self.board.una(), self.board.nxt());
        }
        let progress = event.advanced || event.sacked();
        if progress {
            self.probe.due = false;
        }
        self.judge_probe(event);
        let restart_timer = self.restarts_timer(event, rtt);
        let mut outcome = super::recovery::Outcome::default();
        let dubious = event.duplicate || event.sacked() || event.ece || event.dsack;
        if dubious || self.state != CongestionState::Open {
            outcome = self.recover(event);
        }
        self.limit_reno_sacked();
        if self.board.is_empty() {
            self.timer = None;
        } else if restart_timer && !outcome.timer_set {
            self.arm_after_ack(now);
        }
        self.adjust_window(event, rtt, outcome.lost);
        self.judge_mtu_probe();
        debug_assert!(self.board.is_empty() || self.timer.is_some(), "data in flight without a timer");
        AckOut {
            newly_acked: (self.board.una() - event.una_before) as u32,
            progress,
            duplicate: event.duplicate,
            dsack: event.dsack,
            undone: outcome.undone,
            rtt,
            mtu_probe: self.take_mtu_probe_fate(),
        }
    }

    /// RFC 2018 and 2883: the blocks, of which the first may be a D-SACK.
    fn take_sacks(&mut self, ack: &AckIn<'_>, to: u64, event: &mut Event) {
        for (i, &(left, right)) in ack.sack.iter().enumerate() {
            // Before offset 0 nothing was sent: such edges are nonsense, or from another connection.
            let (Some(start), Some(end)) = (self.offset(left), self.offset(right)) else { continue };
            if start >= end || end > self.board.nxt() {
                continue;
            }
            let second = ack.sack.get(1).and_then(|&(l, r)| Some((self.offset(l)?, self.offset(r)?)));
            let inside_second = second.is_some_and(|(l, r)| l <= start && end <= r);
            if i == 0 && (start < to || inside_second) {
                self.take_dsack(start, end, event);
            } else if end > to {
                self.board.sack(start..end, &mut event.delivery);
            }
        }
    }

    /// A segment arrived twice: the retransmission was needless, or the network made a copy.
    fn take_dsack(&mut self, start: u64, end: u64, event: &mut Event) {
        let segments = ((end - start) as u32).div_ceil(self.settings.mss.max(1));
        self.totals.dsacks = self.totals.dsacks.saturating_add(segments);
        // More copies than we made: they are not ours.
        if self.totals.dsacks > self.totals.segments_resent {
            return;
        }
        event.dsack = true;
        event.dsack_of_probe = segments == 1 && self.probe.end() == Some(end);
        self.undo.on_dsack(end, event.una_before.max(self.board.una()), segments);
    }

    /// Without SACK: the ACK that moves `snd.una` accounts for one segment that was missing, and the others that it
    /// covers were counted as duplicate ACKs before.
    fn take_back_reno_sacks(&mut self, event: &mut Event) {
        let acked = event.delivery.acked;
        event.delivery.delivered = acked.saturating_sub(self.reno_sacked).max(u32::from(acked > 0));
        self.reno_sacked =
            self.reno_sacked.saturating_sub(acked.saturating_sub(1)).min(self.board.counts().out);
    }

    /// RFC 6298 section 3 (Karn): a sample from what was sent once, or else from the echoed timestamp (RFC 7323).
    fn sample_rtt(&mut self, event: &Event) -> Option<Duration> {
        let Delivery { ambiguous, acked_sent, sacked_sent, .. } = event.delivery;
        let now = event.now;
        // The first segment's for the RTO (it waited longest for a delayed ACK), the last one's for congestion control.
        let (slow, fast) = match (acked_sent.filter(|_| !ambiguous), sacked_sent) {
            (Some((first, last)), _) => (now - first, now - last),
            (None, Some((first, last))) => (now - first, now - last),
            (None, None) => {
                let echoed = event.echoed.filter(|echoed| event.advanced && *echoed <= now)?;
                (now - echoed, now - echoed)
            }
        };
        // One segment alone may have waited for a delayed ACK: no news for the minimum.
        let alone = event.delivery.delivered == 1 && event.advanced && self.board.is_empty();
        Some(self.take_samples(now, (slow, fast), event.echoed, alone))
    }

    /// Takes the slower sample for the RTO and returns the faster one, which counts for the minimum unless it is `alone`.
    pub(super) fn take_samples(
        &mut self,
        now: Instant,
        (mut slow, mut fast): (Duration, Duration),
        echoed: Option<Instant>,
        alone: bool,
    ) -> Duration {
        // An ACK that comes later than a time-out: the first ones were lost, and something else caused this one. Its
        // timestamp knows how long that took. (Linux takes the long time, and its RTO shoots up.)
        if slow > self.rtt.rto()
            && let Some(echoed) = echoed.filter(|echoed| *echoed <= now)
        {
            (slow, fast) = (slow.min(now - echoed), fast.min(now - echoed));
        }
        if !alone || self.rtt.min().is_none_or(|min| fast < min) {
            self.rtt.on_min_sample(now, fast);
        }
        self.rtt.on_sample(slow, self.board.una(), self.board.nxt());
        fast
    }

    /// RFC 8985 section 6.2, step 3; DupThresh grows with the distance, for those who count (RFC 4653's idea).
    fn note_reordering(&mut self, event: &Event) {
        let Some(low) = event.delivery.reordered_from else { return };
        if self.state == CongestionState::Loss && !self.undo.is_open() {
            return;
        }
        self.see_reordering(low, self.board.highest_sacked());
    }

    /// Something at `low` arrived after something below `high`.
    pub(super) fn see_reordering(&mut self, low: u64, high: u64) {
        self.rack.on_reordering();
        let distance = high.saturating_sub(low).div_ceil(u64::from(self.settings.mss.max(1)));
        let distance = u32::try_from(distance).unwrap_or(u32::MAX).min(REORDERING_MAX);
        self.reordering = self.reordering.max(distance);
    }

    /// Whether the ACK restarts the timer: it moves `snd.una` (RFC 6298 section 5.3), or SACKs something that was sent
    /// before the first unacknowledged segment was (again): else the time-out could be put off for ever in recovery.
    fn restarts_timer(&self, event: &Event, rtt: Option<Duration>) -> bool {
        let sacked_older = match (event.delivery.sacked_sent, self.board.head()) {
            (Some((first, _)), Some(head)) => rtt.is_some() && first < head.sent_at,
            _ => false,
        };
        event.advanced || sacked_older
    }

    fn judge_probe(&mut self, event: &Event) {
        let verdict = self.probe.on_ack(&probe::Evidence {
            una: self.board.una(),
            pure_duplicate: event.duplicate && !event.sacked(),
            dsack: event.dsack_of_probe,
        });
        if verdict == probe::Verdict::RepairedLoss {
            self.reduce_for_probe();
        }
    }

    /// RFC 9937 while a reduction is under way, else growth.
    fn adjust_window(&mut self, event: &Event, rtt: Option<Duration>, lost: u32) {
        let delivered = event.delivery.delivered;
        self.totals.delivered = self.totals.delivered.wrapping_add(delivered);
        if matches!(self.state, CongestionState::Cwr | CongestionState::Recovery) {
            self.reduce_window(delivered, event.advanced && lost == 0);
            if lost > 0 && !self.settings.sack {
                // RFC 6582 section 3.2, step 3: a partial ACK resends at once. (Linux may wait for one more ACK.)
                self.window.cwnd = self.window.cwnd.max(self.in_flight() + 1);
            }
            return;
        }
        // With much reordering SACKs are the usual good news; else only what is cumulative is.
        let good_news = event.advanced || event.sacked() && self.reordering > self.settings.reordering;
        if delivered > 0 && good_news {
            self.grow_window(event.now, delivered, rtt);
        }
    }

    /// Good news for the congestion window.
    pub(super) fn grow_window(&mut self, now: Instant, delivered: u32, rtt: Option<Duration>) {
        let progress = Progress {
            now,
            delivered,
            rtt,
            srtt: self.rtt.srtt().unwrap_or_default(),
            una: self.board.una(),
            nxt: self.board.nxt(),
            may_grow: self.is_cwnd_limited(),
        };
        self.congestion.on_progress(&mut self.window, &progress);
    }
}

/// Linux's `tcp_max_reordering`.
const REORDERING_MAX: u32 = 300;
