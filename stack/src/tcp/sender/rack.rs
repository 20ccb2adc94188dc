//! RACK: what was sent before something that has arrived, and is late by the reordering window, is lost (RFC 8985).

use super::delivery::Delivery;
use super::record::{LossWhy, Record};
use super::scoreboard::{Scoreboard, Verdict};
use crate::time::{Duration, Instant};

/// The state of RFC 8985 section 5.2 that is not per segment.
#[derive(Debug, Default)]
pub(super) struct Rack {
    /// `RACK.xmit_ts` and `RACK.end_seq`: the transmission, sent last, that is known to have arrived.
    newest: Option<(Instant, u64)>,
    /// `RACK.rtt`: how long that took.
    rtt: Duration,
    /// The newest has moved since losses were looked for.
    advanced: bool,
    /// `RACK.reordering_seen`.
    reordering_seen: bool,
    /// `RACK.reo_wnd_mult`, less one.
    window_steps: u8,
    /// `RACK.reo_wnd_persist`: recoveries until the window shrinks back.
    persist: u8,
    /// Where the round ends in which a D-SACK has widened the window (`RACK.dsack_round`).
    dsack_round: Option<u64>,
}

/// What the connection tells of itself for the size of the reordering window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) min_rtt: Duration,
    pub(super) srtt: Duration,
    /// Fast recovery or loss recovery is under way.
    pub(super) recovering: bool,
    /// Segments that are SACKed, and DupThresh.
    pub(super) sacked: u32,
    pub(super) reordering: u32,
}

/// What a look for losses found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Segments newly taken for lost.
    pub(super) lost: u32,
    /// Those of them that had been sent again: lost retransmissions.
    pub(super) lost_again: u32,
    /// When to look again.
    pub(super) again_at: Option<Instant>,
}

impl Rack {
    /// RFC 8985 section 6.2, step 2.
    pub(super) fn on_delivery(&mut self, now: Instant, delivery: &Delivery) {
        if let Some((sent_at, end)) = delivery.newest {
            self.on_arrival(now, sent_at, end);
        }
    }

    /// The transmission up to `end` has arrived.
    pub(super) fn on_arrival(&mut self, now: Instant, sent_at: Instant, end: u64) {
        self.rtt = now - sent_at;
        self.advanced = true;
        if self.newest.is_none_or(|newest| newest < (sent_at, end)) {
            self.newest = Some((sent_at, end));
        }
    }

    /// Step 3: something that was sent once arrived after something higher.
    pub(super) fn on_reordering(&mut self) {
        self.reordering_seen = true;
    }

    /// Step 4, first half: a D-SACK says that the window was too small, once a round trip.
    pub(super) fn on_dsack(&mut self, una: u64, nxt: u64) {
        if self.reordering_seen && self.dsack_round.is_none_or(|end| una >= end) {
            self.dsack_round = Some(nxt);
            self.window_steps = self.window_steps.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// A D-SACK proved a recovery needless: keep the window wide for one more.
    pub(super) fn on_spurious(&mut self) {
        self.persist = (self.persist + 1).min(PERSIST);
    }

    /// A reduction was undone: look at everything again.
    pub(super) fn on_undo(&mut self) {
        self.advanced = true;
    }

    /// A recovery has ended and was needed: the wide window lasts for 16 of those.
    pub(super) fn on_recovery_end(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.window_steps = 0;
        }
    }

    /// Step 4: the reordering window. Zero, so that losses are found at once, while no reordering was seen and either
    /// DupThresh segments are SACKed or a recovery is under way; else a part of the round trip.
    pub(super) fn reordering_window(&self, setting: &Setting) -> Duration {
        let sure = setting.recovering || setting.sacked >= setting.reordering;
        if !self.reordering_seen && sure {
            return Duration::ZERO;
        }
        // The RFC bounds it by SRTT; Linux by an eighth of "srtt_us", which is 8 * SRTT: the same.
        (setting.min_rtt / 4).saturating_mul(1 + u32::from(self.window_steps)).min(setting.srtt)
    }

    /// Step 5: takes everything for lost that was sent before the newest arrival and is late. Cheap unless a new
    /// arrival gives a reason to look; `force` looks anyway (the timer ran out).
    pub(super) fn find_losses(
        &mut self,
        now: Instant,
        board: &mut Scoreboard,
        setting: &Setting,
        force: bool,
    ) -> Found {
        let Some(newest) = self.newest.filter(|_| self.advanced || force) else { return Found::default() };
        self.advanced = false;
        let patience = self.rtt + self.reordering_window(setting);
        let (lost, lost_again, waits) = board.lose_by_time(LossWhy::Rack, |record: &Record| {
            if (record.sent_at, record.end()) >= newest {
                return Verdict::Wait(None);
            }
            let late_at = record.sent_at + patience;
            if late_at <= now { Verdict::Lost } else { Verdict::Wait(Some(late_at)) }
        });
        let again_at = waits.into_iter().flatten().flatten().min().map(|at| at + TIMER_SLACK);
        Found { lost, lost_again, again_at }
    }

    /// At a time-out: whether a segment was sent so lately that it may still be on its way (section 6.3).
    pub(super) fn is_young(&self, now: Instant, record: &Record) -> bool {
        self.newest.is_some() && record.sent_at + self.rtt > now
    }
}

/// Recoveries until the reordering window shrinks back (section 6.2, step 4).
const PERSIST: u8 = 16;
/// The timer waits so much longer than the first late segment, to catch those sent right behind it as well; Linux
/// waits for the last of them, and two clock ticks more.
const TIMER_SLACK: Duration = Duration::from_millis(1);
