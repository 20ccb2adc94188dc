//! The sender's one deadline: time-out, probe, reordering window, pacing.

use super::congestion::CongestionControl;
use super::frto::Frto;
use super::record::LossWhy;
use super::{DeadlineOut, Sender, probe};
use crate::socket::CongestionState;
use crate::time::{Duration, Instant, earliest};

/// What the deadline is for. One at a time, as in Linux: each of them is followed by the next weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerKind {
    /// RFC 6298.
    Rto,
    /// RFC 8985 section 7.2.
    Probe,
    /// RFC 8985 section 6.2, step 5.
    Reorder,
}

impl Sender {
    /// When [`Sender::on_deadline`] wants to be called; none while nothing is in flight and nothing is paced.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earliest([self.timer.map(|(_, at)| at), self.pacer.opens_at()])
    }

    /// The deadline has come (calling too early does nothing).
    pub(crate) fn on_deadline(&mut self, now: Instant) -> DeadlineOut {
        let Some((kind, _)) = self.timer.filter(|(_, at)| *at <= now) else {
            return self.open_gate(now);
        };
        if self.board.is_empty() {
            self.timer = None;
            return DeadlineOut::Nothing;
        }
        match kind {
            TimerKind::Rto => self.time_out(now),
            TimerKind::Probe => self.probe_now(now),
            TimerKind::Reorder => self.look_again(now),
        }
    }

    /// The pacing gate has opened: remembers that, so that [`Sender::deadline`] does not name it again.
    fn open_gate(&mut self, now: Instant) -> DeadlineOut {
        match self.pacer.opens_at() {
            Some(at) if at <= now => {
                self.pacer.open();
                DeadlineOut::Poll
            }
            _ => DeadlineOut::Nothing,
        }
    }

    /// RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1, RFC 6675 section 5.1, RFC 8985 section 6.3.
    fn time_out(&mut self, now: Instant) -> DeadlineOut {
        let rto = self.rtt.rto();
        let repeated = self.timeouts > 0;
        self.timeouts = self.timeouts.saturating_add(1);
        self.last_timeout = rto;
        let new_episode = !matches!(self.state, CongestionState::Recovery | CongestionState::Loss);
        let calm = matches!(self.state, CongestionState::Open | CongestionState::Disorder);

        // What RACK knows to be young is not taken for lost yet.
        if self.board.head().is_some_and(|head| head.sacked) {
            self.board.forget_sacks();
        }
        let sacked = self.board.counts().sacked + self.reno_sacked;
        self.reno_sacked = 0;
        let (rack, uses_rack) = (&self.rack, self.uses_rack());
        self.board.lose_all(LossWhy::Timeout, LossWhy::AfterTimeout, |record| {
            uses_rack && rack.is_young(now, record)
        });

        // Reduce once a window: not again for what was sent before the last reduction (RFC 5681 section 3.1).
        let una = self.board.una();
        if calm || self.high_seq <= una || (self.state == CongestionState::Loss && !repeated) {
            let prior = self.prudent_ssthresh();
            self.undo.remember(self.window.cwnd, Some(prior));
            self.window.ssthresh = self.congestion.on_congestion(&self.window);
            self.start_undo();
        }
        self.congestion.on_timeout();
        self.window.cwnd = self.in_flight() + 1;
        if calm && sacked >= self.settings.reordering {
            // So many SACKs and still a time-out: the reordering was overrated.
            self.reordering = self.reordering.min(self.settings.reordering);
        }
        self.state = CongestionState::Loss;
        self.high_seq = self.board.nxt();
        self.probe.cancel();
        self.cwr_due = self.settings.ecn;
        // RFC 5682 section 2.1, step 1: not in the middle of another recovery, except when a time-out repeats.
        let frto = self.settings.frto && (new_episode || repeated);
        self.frto = if frto { Frto::AwaitFirstAck } else { Frto::Off };

        self.judge_mtu_probe();
        self.rtt.back_off();
        self.timer = Some((TimerKind::Rto, now + self.rtt.rto()));
        DeadlineOut::TimedOut { rto, backoff: self.timeouts }
    }

    fn probe_now(&mut self, now: Instant) -> DeadlineOut {
        self.arm_rto(now);
        if self.probe.is_open() {
            return DeadlineOut::Nothing;
        }
        self.probe.due = true;
        DeadlineOut::Poll
    }

    /// The reordering window is over for something.
    fn look_again(&mut self, now: Instant) -> DeadlineOut {
        self.timer = None;
        let setting = self.rack_setting();
        let found = self.rack.find_losses(now, &mut self.board, &setting, true);
        if found.lost > 0 {
            if self.only_the_mtu_probe_is_lost() {
                self.resend_without_reduction(now);
            } else if self.state != CongestionState::Recovery && self.state != CongestionState::Loss {
                self.enter_recovery(false);
            }
            self.judge_mtu_probe();
            if self.state == CongestionState::Recovery {
                self.reduce_window(1, false);
            }
        }
        match found.again_at {
            Some(at) => self.timer = Some((TimerKind::Reorder, at)),
            None => self.arm_rto_from_head(now),
        }
        if found.lost > 0 { DeadlineOut::Poll } else { DeadlineOut::Nothing }
    }

    /// (Re)starts the retransmission timer, from now; when another timer ran before it, from when the first
    /// unacknowledged segment was sent, so that those timers don't put it off.
    pub(super) fn arm_rto(&mut self, now: Instant) {
        match self.timer {
            Some((TimerKind::Probe | TimerKind::Reorder, _)) => self.arm_rto_from_head(now),
            _ if self.board.is_empty() => self.timer = None,
            _ => self.timer = Some((TimerKind::Rto, now + self.rtt.rto())),
        }
    }

    fn arm_rto_from_head(&mut self, now: Instant) {
        self.timer = self.board.head().map(|head| {
            let at = head.sent_at + self.rtt.rto();
            (TimerKind::Rto, at.max(now + SOON))
        });
    }

    /// Starts the probe timer where RFC 8985 section 7.2 wants one: with SACK, in the open or CWR state. `from_now` tells
    /// whether the time-out that it must come before would start from now.
    pub(super) fn arm_probe(&mut self, now: Instant, from_now: bool) -> bool {
        let allowed = self.settings.tlp
            && self.settings.sack
            && matches!(self.state, CongestionState::Open | CongestionState::Cwr)
            && !self.probe.is_open();
        let Some(head) = self.board.head().filter(|_| allowed) else { return false };
        let rto_from = if from_now { now } else { head.sent_at };
        let rto_at = rto_from.after_nanos(self.rtt.rto_ns());
        let wait_ns = probe::timeout_ns(self.rtt.srtt_ns(), self.board.counts().out, self.rtt.rto_min_ns());
        let probe_at = now.after_nanos(wait_ns);
        let at = if rto_at > now { rto_at.min(probe_at) } else { probe_at };
        self.timer = Some((TimerKind::Probe, at));
        true
    }

    /// After an ACK with progress: the probe timer, or else the retransmission timer.
    pub(super) fn arm_after_ack(&mut self, now: Instant) {
        if !self.arm_probe(now, true) {
            self.arm_rto(now);
        }
    }

    /// The peer has dropped what it SACKed (RFC 2018 section 8): a time-out soon, in place of a long one.
    pub(super) fn arm_for_reneging(&mut self, now: Instant) {
        let wait = (self.rtt.srtt().unwrap_or_default() / 2).max(RENEGING_WAIT_MIN);
        self.timer = Some((TimerKind::Rto, now + wait));
    }
}

/// The least time to a deadline that is due already: one tick.
const SOON: Duration = Duration::from_millis(1);
/// The least time that reneging has to prove itself.
const RENEGING_WAIT_MIN: Duration = Duration::from_millis(10);
