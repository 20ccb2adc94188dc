//! Reno: additive increase, multiplicative decrease (RFC 5681), counted in what was delivered, not in ACKs.

use super::{CWND_MAX, CongestionControl, Progress, SSTHRESH_MIN, Window};

/// Reno keeps only a fraction of a segment.
#[derive(Debug)]
pub(in super::super) struct Reno {
    /// Segments delivered since the window grew last.
    credit: u32,
}

impl Reno {
    pub(super) fn new() -> Reno {
        Reno { credit: 0 }
    }
}

impl CongestionControl for Reno {
    fn on_progress(&mut self, window: &mut Window, progress: &Progress) {
        if !progress.may_grow {
            return;
        }
        let delivered =
            if window.in_slow_start() { window.slow_start(progress.delivered) } else { progress.delivered };
        // Section 3.1: a segment for each window's worth of data.
        self.credit = self.credit.saturating_add(delivered);
        if self.credit >= window.cwnd {
            let grow = self.credit / window.cwnd.max(1);
            self.credit -= grow * window.cwnd;
            window.cwnd = window.cwnd.saturating_add(grow).min(CWND_MAX);
        }
    }

    fn on_congestion(&mut self, window: &Window) -> u32 {
        self.credit = 0;
        (window.cwnd / 2).max(SSTHRESH_MIN)
    }

    fn on_timeout(&mut self) {
        self.credit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Instant};

    fn progress(delivered: u32) -> Progress {
        Progress {
            now: Instant::ZERO,
            delivered,
            rtt: None,
            srtt: Duration::from_millis(100),
            una: 0,
            nxt: 0,
            may_grow: true,
        }
    }

    #[test]
    fn doubles_then_adds_one_a_window() {
        let mut reno = Reno::new();
        let mut window = Window { cwnd: 10, ssthresh: 40 };
        reno.on_progress(&mut window, &progress(10));
        assert_eq!(window.cwnd, 20);
        // 25 delivered: 20 reach the threshold, 5 count towards congestion avoidance.
        reno.on_progress(&mut window, &progress(25));
        assert_eq!(window.cwnd, 40);
        reno.on_progress(&mut window, &progress(34));
        assert_eq!(window.cwnd, 40);
        reno.on_progress(&mut window, &progress(1));
        assert_eq!(window.cwnd, 41);
        reno.on_progress(&mut window, &progress(41));
        assert_eq!(window.cwnd, 42);
    }

    #[test]
    fn a_stretched_ack_counts_for_all_that_it_covers() {
        let mut reno = Reno::new();
        let mut window = Window { cwnd: 10, ssthresh: 10 };
        reno.on_progress(&mut window, &progress(25));
        assert_eq!(window.cwnd, 12);
    }

    #[test]
    fn halves_and_never_below_two() {
        let mut reno = Reno::new();
        assert_eq!(reno.on_congestion(&Window { cwnd: 21, ssthresh: 100 }), 10);
        assert_eq!(reno.on_congestion(&Window { cwnd: 1, ssthresh: 100 }), 2);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut reno = Reno::new();
        let mut window = Window { cwnd: 10, ssthresh: 40 };
        reno.on_progress(&mut window, &Progress { may_grow: false, ..progress(10) });
        assert_eq!(window.cwnd, 10);
    }
}
