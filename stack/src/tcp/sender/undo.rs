//! Taking back a needless reduction: proof by timestamp (RFC 3522, 4015) or by D-SACK (RFC 3708).

use crate::time::Instant;

/// What a reduction has to remember to be undone.
#[derive(Debug, Default)]
pub(super) struct Undo {
    /// Where `snd.una` was when the reduction began; none when there is nothing to undo.
    marker: Option<u64>,
    /// Retransmissions of this episode that no D-SACK has shown to be needless; none before the first.
    unproven: Option<u32>,
    /// When the first retransmission of the episode was sent (Eifel's `RetransmitTS`).
    first_resent_at: Option<Instant>,
    /// The window before the reduction.
    prior_cwnd: u32,
    /// The threshold before the reduction; none where it is not to be restored (after ECN).
    prior_ssthresh: Option<u32>,
}

impl Undo {
    /// An episode of retransmission begins, with `in_network` retransmissions on their way already.
    pub(super) fn start(&mut self, una: u64, in_network: u32) {
        self.marker = Some(una);
        self.unproven = (in_network > 0).then_some(in_network);
    }

    /// The window is about to be reduced.
    pub(super) fn remember(&mut self, cwnd: u32, ssthresh: Option<u32>) {
        self.prior_cwnd = cwnd;
        self.prior_ssthresh = ssthresh;
    }

    /// The threshold to restore is known now, or is not to be restored.
    pub(super) fn set_prior_ssthresh(&mut self, ssthresh: Option<u32>) {
        self.prior_ssthresh = ssthresh;
    }

    /// There is nothing to undo any more.
    pub(super) fn stop(&mut self) {
        self.marker = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.marker.is_some()
    }

    /// Segments were sent again.
    pub(super) fn on_resent(&mut self, now: Instant, segments: u32) {
        self.first_resent_at.get_or_insert(now);
        self.unproven = Some(self.unproven.unwrap_or(0).saturating_add(segments));
    }

    /// Nothing that was sent again is outstanding.
    pub(super) fn forget_time(&mut self) {
        self.first_resent_at = None;
    }

    /// A D-SACK up to `end` reports `segments` twice received.
    pub(super) fn on_dsack(&mut self, end: u64, una_before: u64, segments: u32) {
        if self.marker.is_some_and(|marker| end > marker && end <= una_before) {
            self.unproven = self.unproven.map(|count| count.saturating_sub(segments));
        }
    }

    /// Every retransmission of the episode was received twice: all were needless.
    pub(super) fn proven_by_dsack(&self) -> bool {
        self.marker.is_some() && self.unproven == Some(0)
    }

    /// The ACK echoes a timestamp from before the first retransmission: the first transmission caused it (RFC 3522
    /// section 3.2, step 5). Timestamps tick in milliseconds.
    pub(super) fn proven_by_time(&self, echoed: Option<Instant>) -> bool {
        self.marker.is_some()
            && matches!((echoed, self.first_resent_at), (Some(echoed), Some(at)) if echoed.as_millis() < at.as_millis())
    }

    /// Window and threshold after undoing; none where they stay as they are.
    pub(super) fn restore(&mut self, cwnd: u32, ssthresh: u32) -> Option<(u32, u32)> {
        self.marker = None;
        self.prior_ssthresh.take().map(|prior| (cwnd.max(self.prior_cwnd), ssthresh.max(prior)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_of_a_millisecond_is_the_finest_proof() {
        let mut undo = Undo::default();
        undo.start(0, 0);
        assert!(!undo.proven_by_time(Some(Instant::ZERO)), "nothing was sent again yet");
        undo.on_resent(Instant::from_micros(5_900), 1);
        assert!(undo.proven_by_time(Some(Instant::from_millis(4))));
        assert!(
            !undo.proven_by_time(Some(Instant::from_millis(5))),
            "the retransmission carries this tick too"
        );
        assert!(!undo.proven_by_time(None));
    }

    #[test]
    fn only_dsacks_of_the_episode_count() {
        let mut undo = Undo::default();
        undo.start(1000, 0);
        assert!(!undo.proven_by_dsack());
        undo.on_resent(Instant::ZERO, 2);
        undo.on_dsack(900, 5000, 1);
        undo.on_dsack(6000, 5000, 1);
        assert_eq!(undo.unproven, Some(2));
        undo.on_dsack(1100, 5000, 1);
        assert!(!undo.proven_by_dsack());
        undo.on_dsack(1200, 5000, 9);
        assert!(undo.proven_by_dsack());
    }

    #[test]
    fn after_ecn_nothing_is_restored() {
        let mut undo = Undo::default();
        undo.remember(20, Some(15));
        assert_eq!(undo.restore(5, 10), Some((20, 15)));
        undo.remember(20, None);
        assert_eq!(undo.restore(5, 10), None);
    }
}
