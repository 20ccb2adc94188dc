//! Is the congestion window used up? Only then may it grow (RFC 7661; the way Linux tells it).

/// The best signal of a round trip.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// The window was full at some time in this round trip.
    limited: bool,
    /// The most segments that were out in this round trip.
    out_max: u32,
    /// When this is acknowledged, the round trip is over.
    round_end: u64,
}

impl Usage {
    /// Something left, or wanted to and the window was full.
    pub(super) fn on_attempt(&mut self, limited: bool, out: u32, una: u64, nxt: u64) {
        if una >= self.round_end || limited || (!self.limited && out > self.out_max) {
            *self = Usage { limited, out_max: out, round_end: nxt };
        }
    }

    /// Whether the window may grow. In slow start half of it suffices: it doubles in a round trip.
    pub(super) fn is_limited(&self, cwnd: u32, slow_start: bool) -> bool {
        self.limited || slow_start && cwnd < self.out_max.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_counts_for_its_round_trip() {
        let mut usage = Usage::default();
        usage.on_attempt(true, 10, 0, 10);
        usage.on_attempt(false, 3, 5, 13);
        assert!(usage.is_limited(10, false), "it was full in this round trip");
        usage.on_attempt(false, 3, 10, 16);
        assert!(!usage.is_limited(10, false));
        assert!(!usage.is_limited(10, true));
        assert!(usage.is_limited(5, true), "more than half of it is out");
    }
}
