//! The congestion state machine: open, disorder, CWR, recovery, loss (RFC 5681, 6582, 6675, 8985; states as in Linux).

use super::Sender;
use super::ack::Event;
use super::congestion::{CongestionControl, Window};
use super::frto::{self, Frto};
use super::prr::Prr;
use super::rack::Setting;
use super::record::LossWhy;
use super::timers::TimerKind;
use crate::socket::CongestionState;

/// What a pass through the state machine did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Segments newly taken for lost.
    pub(super) lost: u32,
    /// A reduction was undone.
    pub(super) undone: bool,
    /// The timer was set, and is to be left alone.
    pub(super) timer_set: bool,
}

impl Sender {
    /// An ACK that is not plain good news, or comes in an episode.
    pub(super) fn recover(&mut self, event: &mut Event) -> Outcome {
        let mut outcome = Outcome::default();
        if event.ece {
            // What ECN asked for is not undone.
            self.undo.set_prior_ssthresh(None);
        }
        if event.advanced && self.board.head().is_some_and(|head| head.sacked) {
            self.arm_for_reneging(event.now);
            outcome.timer_set = true;
            return outcome;
        }
        if self.state == CongestionState::Open {
            self.undo.forget_time();
        } else if self.board.una() >= self.high_seq && self.end_episode(event, &mut outcome) {
            return outcome;
        }
        match self.state {
            CongestionState::Recovery => self.in_recovery(event, &mut outcome),
            CongestionState::Loss => self.in_loss(event, &mut outcome),
            _ => self.in_open(event, &mut outcome),
        }
        outcome
    }

    /// All that was sent before the episode is acknowledged. True: nothing else is to be done.
    fn end_episode(&mut self, event: &Event, outcome: &mut Outcome) -> bool {
        match self.state {
            // Past, not at its end: the ACK of the last segment of the window still belongs to the reduction.
            CongestionState::Cwr if self.board.una() > self.high_seq => {
                self.end_reduction();
                self.state = CongestionState::Open;
                false
            }
            CongestionState::Recovery => {
                if !self.settings.sack {
                    self.reno_sacked = 0;
                }
                if self.try_undo_recovery(event, outcome) {
                    return true;
                }
                self.end_reduction();
                false
            }
            _ => false,
        }
    }

    fn in_recovery(&mut self, event: &mut Event, outcome: &mut Outcome) {
        if !event.advanced {
            if !self.settings.sack && event.duplicate {
                self.add_reno_sack(event);
            }
        } else if self.try_undo_partial(event, outcome) {
            return;
        }
        if self.try_undo_by_dsack(outcome) {
            self.try_to_open(event);
        }
        self.find_losses(event, outcome);
        if self.state != CongestionState::Recovery && self.board.counts().lost > 0 {
            self.enter_recovery(event.ece);
        }
    }

    fn in_loss(&mut self, event: &mut Event, outcome: &mut Outcome) {
        self.process_loss(event, outcome);
        let again = self.find_losses(event, outcome);
        if self.state == CongestionState::Open || again {
            // The time-out was undone, or a retransmission was lost: fast recovery takes over.
            self.enter_if_lost(event);
        }
    }

    fn in_open(&mut self, event: &mut Event, outcome: &mut Outcome) {
        if !self.settings.sack {
            if event.advanced {
                self.reno_sacked = 0;
            }
            if event.duplicate {
                self.add_reno_sack(event);
            }
        }
        if matches!(self.state, CongestionState::Open | CongestionState::Disorder) {
            self.try_undo_by_dsack(outcome);
        }
        self.find_losses(event, outcome);
        self.enter_if_lost(event);
    }

    fn enter_if_lost(&mut self, event: &Event) {
        if self.only_the_mtu_probe_is_lost() {
            self.resend_without_reduction(event.now);
        } else if self.board.counts().lost > 0 {
            self.enter_recovery(event.ece);
        } else {
            self.try_to_open(event);
        }
    }

    /// Takes for lost what this ACK shows to be. Returns whether a retransmission was among it.
    fn find_losses(&mut self, event: &Event, outcome: &mut Outcome) -> bool {
        if !self.settings.sack {
            // RFC 6582 section 3.2: the third duplicate ACK, and each partial ACK.
            let fast = self.reno_sacked >= self.reordering
                && matches!(
                    self.state,
                    CongestionState::Open | CongestionState::Disorder | CongestionState::Cwr
                );
            let partial = self.state == CongestionState::Recovery && event.advanced;
            if fast || partial {
                let why = if partial { LossWhy::PartialAck } else { LossWhy::Fast };
                outcome.lost += self.board.lose_head_segment(why);
            }
            return false;
        }
        if !self.settings.rack {
            outcome.lost += self.board.lose_originals_before(self.surely_lost_before());
            return false;
        }
        let setting = self.rack_setting();
        let found = self.rack.find_losses(event.now, &mut self.board, &setting, false);
        outcome.lost += found.lost;
        if let Some(at) = found.again_at {
            self.timer = Some((TimerKind::Reorder, at));
            outcome.timer_set = true;
        }
        found.lost_again > 0
    }

    /// RFC 6675 section 4, `IsLost`: DupThresh separate SACKed ranges above, or more than DupThresh - 1 segments' worth.
    fn surely_lost_before(&self) -> u64 {
        let enough = u64::from(self.reordering.saturating_sub(1)) * u64::from(self.settings.mss);
        let (mut ranges, mut bytes) = (0, 0);
        for range in self.board.sacked_ranges_down() {
            ranges += 1;
            bytes += range.end - range.start;
            if ranges >= self.reordering || bytes > enough {
                return range.start;
            }
        }
        self.board.una()
    }

    pub(super) fn rack_setting(&self) -> Setting {
        Setting {
            min_rtt: self.rtt.min().unwrap_or_default(),
            srtt: self.rtt.srtt().unwrap_or_default(),
            recovering: matches!(self.state, CongestionState::Recovery | CongestionState::Loss),
            sacked: self.board.counts().sacked,
            reordering: self.reordering,
        }
    }

    pub(super) fn uses_rack(&self) -> bool {
        self.settings.sack && self.settings.rack
    }

    /// Recovery from a time-out, with F-RTO.
    fn process_loss(&mut self, event: &mut Event, outcome: &mut Outcome) {
        let recovered = self.board.una() >= self.high_seq;
        if event.advanced && self.may_undo(event) {
            self.undo_loss(false, outcome);
            return;
        }
        if self.frto != Frto::Off {
            let before = self.frto;
            let verdict = self.frto.on_ack(&frto::Evidence {
                advanced: event.advanced,
                recovered,
                original: event.delivery.original,
                duplicate: event.duplicate || event.sacked(),
                sack: self.settings.sack,
            });
            if verdict == frto::Verdict::Spurious {
                self.undo_loss(true, outcome);
                return;
            }
            if self.frto == Frto::SendNew && before == Frto::AwaitFirstAck {
                // Step 2b: the recovery now ends where the new data begins.
                self.high_seq = self.board.nxt();
            }
        }
        if recovered {
            // RFC 5682 section 2.1, step 2: conventional recovery, which is over.
            self.try_undo_recovery(event, outcome);
            return;
        }
        if !self.settings.sack {
            // A duplicate ACK now means that new data of F-RTO's step 2b has arrived.
            if self.board.nxt() > self.high_seq && event.duplicate {
                self.add_reno_sack(event);
            } else if event.advanced {
                self.reno_sacked = 0;
            }
        }
    }

    fn add_reno_sack(&mut self, event: &mut Event) {
        let before = self.reno_sacked;
        self.reno_sacked += 1;
        self.limit_reno_sacked();
        event.delivery.delivered += self.reno_sacked.saturating_sub(before);
    }

    /// Each duplicate ACK is for a segment that has arrived; what is missing is missing still, one at least.
    pub(super) fn limit_reno_sacked(&mut self) {
        let counts = self.board.counts();
        self.reno_sacked = self.reno_sacked.min(counts.out - counts.lost.max(1).min(counts.out));
    }

    // Entering and leaving.

    /// Fast recovery begins (RFC 5681 section 3.2, RFC 6675 section 5).
    pub(super) fn enter_recovery(&mut self, ece: bool) {
        self.start_undo();
        if !self.in_reduction() {
            let prior = (!ece).then(|| self.prudent_ssthresh());
            self.begin_reduction();
            self.undo.set_prior_ssthresh(prior);
        } else {
            self.undo.set_prior_ssthresh(None);
        }
        self.state = CongestionState::Recovery;
    }

    /// ECN, or a probe that repaired a loss: reduce without retransmitting (RFC 3168 section 6.1.2).
    fn enter_cwr(&mut self) {
        if matches!(self.state, CongestionState::Open | CongestionState::Disorder) {
            self.undo.stop();
            self.begin_reduction();
            self.undo.set_prior_ssthresh(None);
            self.state = CongestionState::Cwr;
        }
    }

    pub(super) fn reduce_for_probe(&mut self) {
        if self.in_reduction() || self.state == CongestionState::Loss {
            return;
        }
        self.undo.stop();
        self.begin_reduction();
        self.undo.set_prior_ssthresh(None);
        self.state = CongestionState::Cwr;
        self.end_reduction();
        self.keep_open();
    }

    fn in_reduction(&self) -> bool {
        matches!(self.state, CongestionState::Cwr | CongestionState::Recovery)
    }

    fn begin_reduction(&mut self) {
        self.high_seq = self.board.nxt();
        self.probe.cancel();
        self.prr = Prr::start(self.window.cwnd);
        self.undo.remember(self.window.cwnd, None);
        self.window.ssthresh = self.congestion.on_congestion(&self.window);
        self.cwr_due = self.settings.ecn;
    }

    /// RFC 9937 section 6.2, at the end of recovery: the window is what it was reduced to.
    fn end_reduction(&mut self) {
        if self.state == CongestionState::Cwr || self.undo.is_open() {
            self.window.cwnd = self.window.ssthresh;
        }
    }

    /// An ACK in a reduction.
    pub(super) fn reduce_window(&mut self, delivered: u32, safe: bool) {
        let (in_flight, ssthresh) = (self.in_flight(), self.window.ssthresh);
        if let Some(cwnd) = self.prr.on_ack(delivered, in_flight, ssthresh, safe) {
            self.window.cwnd = cwnd.max(1);
        }
    }

    /// Nothing is lost: the window is open, unless ECN closes it or disorder remains.
    fn try_to_open(&mut self, event: &Event) {
        if !self.board.any_retransmitted() {
            self.undo.forget_time();
        }
        if event.ece {
            self.enter_cwr();
        }
        if self.state != CongestionState::Cwr {
            self.keep_open();
        }
    }

    fn keep_open(&mut self) {
        let calm = self.left_network() == 0 && !self.board.any_retransmitted();
        let state = if calm { CongestionState::Open } else { CongestionState::Disorder };
        if self.state != state {
            self.state = state;
            self.high_seq = self.board.nxt();
        }
    }

    // Undoing.

    pub(super) fn start_undo(&mut self) {
        if !self.board.any_retransmitted() {
            self.undo.forget_time();
        }
        let probing = u32::from(self.probe.is_retransmission());
        self.undo.start(self.board.una(), self.board.counts().retransmitting + probing);
    }

    /// RFC 5681 section 3.1's FlightSize rule, softened as Linux does: what a restart may remember.
    pub(super) fn prudent_ssthresh(&self) -> u32 {
        if self.in_reduction() {
            return self.window.ssthresh;
        }
        self.window.ssthresh.max(self.window.cwnd / 2 + self.window.cwnd / 4)
    }

    fn may_undo(&self, event: &Event) -> bool {
        self.undo.proven_by_dsack() || self.undo.proven_by_time(event.echoed)
    }

    fn undo_reduction(&mut self, nothing_lost: bool, outcome: &mut Outcome) {
        if nothing_lost {
            self.board.find_all();
        }
        if let Some((cwnd, ssthresh)) = self.undo.restore(self.window.cwnd, self.window.ssthresh) {
            self.window = Window { cwnd, ssthresh };
            self.congestion.on_undo();
            self.cwr_due = false;
        }
        self.rack.on_undo();
        outcome.undone = true;
    }

    /// The recovery is over: was it needed? True: stay in this state for now.
    fn try_undo_recovery(&mut self, event: &Event, outcome: &mut Outcome) -> bool {
        if self.may_undo(event) {
            self.undo_reduction(false, outcome);
        } else {
            self.rack.on_recovery_end();
        }
        if self.board.una() == self.high_seq && !self.settings.sack {
            // RFC 6582 section 5: without SACK, duplicate ACKs of needless retransmissions could start another
            // recovery; hold on until something above is acknowledged.
            if !self.board.any_retransmitted() {
                self.undo.forget_time();
            }
            return true;
        }
        self.state = CongestionState::Open;
        false
    }

    /// In recovery, a partial ACK: did the first transmission cause it? True: wait with everything else.
    fn try_undo_partial(&mut self, event: &Event, outcome: &mut Outcome) -> bool {
        if !self.undo.proven_by_time(event.echoed) {
            return false;
        }
        self.see_reordering(event.una_before, self.board.highest_sacked());
        // While retransmissions are on their way, the window is not restored: their ACKs would look like new losses.
        if self.board.counts().retransmitting > 0 {
            return true;
        }
        if !self.board.any_retransmitted() {
            self.undo.forget_time();
        }
        self.undo_reduction(true, outcome);
        self.keep_open();
        false
    }

    fn try_undo_by_dsack(&mut self, outcome: &mut Outcome) -> bool {
        if !self.undo.proven_by_dsack() {
            return false;
        }
        self.rack.on_spurious();
        self.undo_reduction(false, outcome);
        true
    }

    /// The time-out was spurious (by F-RTO, timestamp or D-SACK).
    fn undo_loss(&mut self, by_frto: bool, outcome: &mut Outcome) {
        self.undo_reduction(true, outcome);
        self.timeouts = 0;
        self.rtt.end_backoff();
        self.frto = Frto::Off;
        if self.board.una() == self.high_seq && !self.settings.sack {
            return;
        }
        if by_frto || self.settings.sack {
            self.state = CongestionState::Open;
        }
    }
}
