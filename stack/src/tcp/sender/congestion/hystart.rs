//! HyStart++: leaving the first slow start when round trips get longer, before packets get lost (RFC 9406).
//!
//! One thing is left out, as Linux leaves it out: the limit of 8 segments of growth an ACK (`L`, section 4.2). Our peers
//! acknowledge whole batches of up to 64 segments at once, and slow start would hardly grow with such a limit.

use super::{Progress, Window};

/// The state of RFC 9406 section 4.2.
#[derive(Debug)]
pub(super) struct HyStart {
    phase: Phase,
    /// `windowEnd`: the round is over when this is acknowledged; none before the first ACK.
    round_end: Option<u64>,
    last_round_min_ns: u64,
    round_min_ns: u64,
    samples: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SlowStart,
    /// Conservative slow start: a quarter of the growth, for five rounds, in case the delay was a false alarm.
    Conservative {
        /// `cssBaselineMinRtt`.
        baseline_ns: u64,
        rounds: u8,
        /// Segments delivered that did not make the window grow yet.
        credit: u32,
    },
    /// Congestion avoidance was reached once; later slow starts have a threshold to stop at.
    Done,
}

impl HyStart {
    pub(super) fn new() -> HyStart {
        HyStart {
            phase: Phase::SlowStart,
            round_end: None,
            last_round_min_ns: u64::MAX,
            round_min_ns: u64::MAX,
            samples: 0,
        }
    }

    /// Slow start is over for good (section 4.3): loss, ECN, or a threshold from elsewhere.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Done;
    }

    /// An ACK in slow start: how many of the delivered segments the window may grow by. Sets the threshold when it is time
    /// to leave.
    pub(super) fn on_progress(&mut self, window: &mut Window, progress: &Progress) -> u32 {
        if self.phase == Phase::Done {
            return progress.delivered;
        }
        self.round(window, progress);
        if let Some(rtt) = progress.rtt {
            self.round_min_ns = self.round_min_ns.min(u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX));
            self.samples = self.samples.saturating_add(1);
        }
        self.compare();
        match &mut self.phase {
            Phase::SlowStart => progress.delivered,
            Phase::Conservative { credit, .. } => {
                *credit += progress.delivered;
                let grow = *credit / CSS_GROWTH_DIVISOR;
                *credit %= CSS_GROWTH_DIVISOR;
                grow
            }
            Phase::Done => 0,
        }
    }

    /// Counts rounds; after five conservative ones, congestion avoidance begins.
    fn round(&mut self, window: &mut Window, progress: &Progress) {
        if self.round_end.is_some_and(|end| progress.una < end) {
            return;
        }
        let first = self.round_end.is_none();
        self.round_end = Some(progress.nxt);
        if first {
            return;
        }
        self.last_round_min_ns = self.round_min_ns;
        self.round_min_ns = u64::MAX;
        self.samples = 0;
        if let Phase::Conservative { rounds, .. } = &mut self.phase {
            *rounds += 1;
            if *rounds >= CSS_ROUNDS {
                window.ssthresh = window.cwnd;
                self.phase = Phase::Done;
            }
        }
    }

    /// Has the delay grown, or was that a false alarm?
    fn compare(&mut self) {
        if self.samples < N_RTT_SAMPLE || self.last_round_min_ns == u64::MAX {
            return;
        }
        match self.phase {
            Phase::SlowStart => {
                let threshold =
                    (self.last_round_min_ns / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH_NS, MAX_RTT_THRESH_NS);
                if self.round_min_ns >= self.last_round_min_ns.saturating_add(threshold) {
                    self.phase = Phase::Conservative { baseline_ns: self.round_min_ns, rounds: 0, credit: 0 };
                }
            }
            Phase::Conservative { baseline_ns, .. } if self.round_min_ns < baseline_ns => {
                self.phase = Phase::SlowStart;
            }
            _ => {}
        }
    }

    #[cfg(test)]
    pub(super) fn is_conservative(&self) -> bool {
        matches!(self.phase, Phase::Conservative { .. })
    }
}

// Section 4.3 recommends these.
const MIN_RTT_THRESH_NS: u64 = 4_000_000;
const MAX_RTT_THRESH_NS: u64 = 16_000_000;
const MIN_RTT_DIVISOR: u64 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

#[cfg(test)]
mod tests {
    use super::super::SSTHRESH_INFINITE;
    use super::*;
    use crate::time::{Duration, Instant};

    struct Run {
        hystart: HyStart,
        window: Window,
        una: u64,
    }

    impl Run {
        fn new() -> Run {
            let window = Window { cwnd: 10, ssthresh: SSTHRESH_INFINITE };
            Run { hystart: HyStart::new(), window, una: 0 }
        }

        /// A round of `acks` ACKs of one segment each, all with this round-trip time.
        fn round(&mut self, acks: u32, rtt_ms: u64) {
            for _ in 0..acks {
                self.una += 1;
                let grow = self.hystart.on_progress(
                    &mut self.window,
                    &Progress {
                        now: Instant::ZERO,
                        delivered: 1,
                        rtt: Some(Duration::from_millis(rtt_ms)),
                        srtt: Duration::from_millis(rtt_ms),
                        una: self.una,
                        nxt: self.una + u64::from(acks),
                        may_grow: true,
                    },
                );
                self.window.cwnd += grow;
            }
        }
    }

    #[test]
    fn a_steady_path_is_left_alone() {
        let mut run = Run::new();
        for _ in 0..10 {
            run.round(16, 100);
        }
        assert!(!run.hystart.is_conservative());
        assert_eq!(run.window.cwnd, 10 + 160);
    }

    #[test]
    fn an_eighth_more_delay_slows_growth_to_a_quarter_and_ends_it_after_five_rounds() {
        let mut run = Run::new();
        run.round(16, 100);
        run.round(16, 100);
        run.round(16, 112);
        assert!(!run.hystart.is_conservative(), "12 ms is less than 100 ms / 8");
        run.round(16, 126);
        assert!(run.hystart.is_conservative(), "14 ms is 112 ms / 8");
        let before = run.window.cwnd;
        run.round(16, 126);
        assert_eq!(run.window.cwnd - before, 4);
        // Five with the part of a round in which it was noticed.
        for _ in 0..3 {
            run.round(16, 126);
            assert_eq!(run.window.ssthresh, SSTHRESH_INFINITE);
        }
        let reached = run.window.cwnd;
        assert_eq!(reached, before + 16);
        run.round(16, 126);
        assert_eq!(run.window.ssthresh, reached);
    }

    #[test]
    fn the_threshold_is_clamped_between_4_and_16_ms() {
        for (rtt_ms, below, above) in [(1, 4, 5), (10, 13, 14), (400, 415, 416)] {
            let mut run = Run::new();
            run.round(8, rtt_ms);
            run.round(8, rtt_ms);
            run.round(8, below);
            assert!(!run.hystart.is_conservative(), "{rtt_ms} ms to {below} ms");
            let mut run = Run::new();
            run.round(8, rtt_ms);
            run.round(8, rtt_ms);
            run.round(9, above);
            assert!(run.hystart.is_conservative(), "{rtt_ms} ms to {above} ms");
        }
    }

    #[test]
    fn a_false_alarm_resumes_slow_start() {
        let mut run = Run::new();
        run.round(16, 100);
        run.round(16, 100);
        run.round(16, 130);
        assert!(run.hystart.is_conservative());
        run.round(16, 101);
        assert!(!run.hystart.is_conservative());
        assert_eq!(run.window.ssthresh, SSTHRESH_INFINITE);
    }

    #[test]
    fn too_few_samples_decide_nothing() {
        let mut run = Run::new();
        run.round(16, 100);
        run.round(16, 100);
        run.round(7, 500);
        assert!(!run.hystart.is_conservative());
    }
}
