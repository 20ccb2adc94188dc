//! Round-trip time and retransmission time-out (RFC 6298, with Linux's floor under the variance).

use crate::time::{Duration, Instant, nanos};

/// Smoothed round-trip time, its deviation, the smallest seen, and the time-out that follows from them. All in
/// nanoseconds: half the size of [`Duration`], in each connection.
#[derive(Debug)]
pub(super) struct Rtt {
    /// SRTT; zero before the first sample.
    srtt_ns: u64,
    /// Four times the mean deviation.
    deviation4_ns: u64,
    /// The largest `deviation4` of this round trip, and no less than the floor.
    deviation4_max_ns: u64,
    /// The term that is added to SRTT: 4 * RTTVAR, held up at its largest for about a round trip.
    variance4_ns: u64,
    /// When `snd.una` passes this offset, a round trip is over and `variance4` may sink.
    round_end: u64,
    /// The RTO without backoff.
    base_ns: u64,
    rto_min_ns: u64,
    rto_max_ns: u64,
    min: WindowedMin,
    /// How often the RTO was doubled.
    backoff: u8,
}

impl Rtt {
    pub(super) fn new(rto_initial: Duration, rto_min: Duration, rto_max: Duration) -> Rtt {
        Rtt {
            srtt_ns: 0,
            deviation4_ns: 0,
            deviation4_max_ns: 0,
            variance4_ns: 0,
            round_end: 0,
            base_ns: nanos(rto_initial.min(rto_max)),
            rto_min_ns: nanos(rto_min),
            rto_max_ns: nanos(rto_max),
            min: WindowedMin::default(),
            backoff: 0,
        }
    }

    /// Takes a sample. `una` and `nxt` tell the rounds apart. Ends the backoff (RFC 6298 section 5.7, Karn).
    pub(super) fn on_sample(&mut self, sample: Duration, una: u64, nxt: u64) {
        let sample_ns = nanos(sample.max(SAMPLE_MIN));
        if self.srtt_ns == 0 {
            // RFC 6298 section 2.2: RTTVAR = R / 2, so 4 * RTTVAR = 2 * R.
            self.srtt_ns = sample_ns;
            self.deviation4_ns = sample_ns.saturating_mul(2);
            self.variance4_ns = self.deviation4_ns.max(self.rto_min_ns);
            self.deviation4_max_ns = self.variance4_ns;
            self.round_end = nxt;
        } else {
            self.smooth(sample_ns, una, nxt);
        }
        self.base_ns = self.srtt_ns.saturating_add(self.variance4_ns).min(self.rto_max_ns);
        self.backoff = 0;
    }

    /// RFC 6298 section 2.3, alpha = 1/8 and beta = 1/4, with two things that Linux adds: a shrinking round-trip
    /// time moves the deviation up slowly (it is no sign of a late ACK), and the variance sinks once a round trip
    /// only, and never below `rto_min`, so that a steady path with delayed ACKs does not time out.
    fn smooth(&mut self, sample_ns: u64, una: u64, nxt: u64) {
        let deviation = self.deviation4_ns / 4;
        let error = sample_ns.abs_diff(self.srtt_ns);
        let shrinking = sample_ns < self.srtt_ns;
        if error <= deviation {
            self.deviation4_ns -= deviation - error;
        } else if shrinking {
            self.deviation4_ns += (error - deviation) / 8;
        } else {
            self.deviation4_ns = self.deviation4_ns.saturating_add(error - deviation);
        }
        if shrinking {
            self.srtt_ns -= error / 8;
        } else {
            self.srtt_ns += error / 8;
        }
        self.deviation4_max_ns = self.deviation4_max_ns.max(self.deviation4_ns);
        self.variance4_ns = self.variance4_ns.max(self.deviation4_max_ns);
        if una > self.round_end {
            self.variance4_ns -= (self.variance4_ns - self.deviation4_max_ns) / 4;
            self.deviation4_max_ns = self.rto_min_ns;
            self.round_end = nxt;
        }
    }

    /// Keeps the smallest of the last five minutes.
    pub(super) fn on_min_sample(&mut self, now: Instant, sample: Duration) {
        self.min.update(now, nanos(sample.max(SAMPLE_MIN)));
    }

    /// RFC 6298 section 5.5: the timer ran out, double it.
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The time-out was spurious: what the backoff was for did not happen (RFC 5682 section 3).
    pub(super) fn end_backoff(&mut self) {
        self.backoff = 0;
    }

    /// RFC 6298 section 5.7: without a sample after a SYN that timed out, start from 3 seconds.
    pub(super) fn fall_back(&mut self) {
        if self.srtt_ns == 0 {
            self.base_ns = self.base_ns.max(RTO_AFTER_SYN_TIMEOUT_NS).min(self.rto_max_ns);
        }
    }

    pub(super) fn rto(&self) -> Duration {
        Duration::from_nanos(self.rto_ns())
    }

    pub(super) fn rto_ns(&self) -> u64 {
        self.base_ns.saturating_mul(1 << u32::from(self.backoff).min(31)).min(self.rto_max_ns)
    }

    pub(super) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// 0 before the first sample.
    pub(super) fn srtt_ns(&self) -> u64 {
        self.srtt_ns
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        (self.srtt_ns > 0).then_some(Duration::from_nanos(self.srtt_ns))
    }

    /// The mean deviation (`tcpi_rttvar`).
    pub(super) fn deviation(&self) -> Duration {
        Duration::from_nanos(self.deviation4_ns / 4)
    }

    /// The smallest round-trip time of the last five minutes.
    pub(super) fn min(&self) -> Option<Duration> {
        self.min.get()
    }

    pub(super) fn rto_min_ns(&self) -> u64 {
        self.rto_min_ns
    }
}

/// The smallest value of a sliding window, from three candidates: the best, and the best after each of them.
#[derive(Debug, Default)]
struct WindowedMin {
    /// When, and how many nanoseconds; oldest first; values never fall from one to the next.
    best: [(Instant, u64); 3],
}

impl WindowedMin {
    fn update(&mut self, now: Instant, value_ns: u64) {
        let sample = (now, value_ns);
        let [first, second, third] = self.best;
        if first.1 == 0 || value_ns <= first.1 || now - third.0 > MIN_WINDOW {
            self.best = [sample; 3];
            return;
        }
        if value_ns <= second.1 {
            self.best = [first, sample, sample];
        } else if value_ns <= third.1 {
            self.best = [first, second, sample];
        }
        self.age(sample);
    }

    /// Lets the best go when it has left the window, and keeps the runners-up from being as old as the best.
    fn age(&mut self, sample: (Instant, u64)) {
        let [first, second, third] = self.best;
        let age = sample.0 - first.0;
        if age > MIN_WINDOW {
            self.best = [second, third, sample];
        } else if second.0 == first.0 && age > MIN_WINDOW / 4 {
            self.best = [first, sample, sample];
        } else if third.0 == second.0 && age > MIN_WINDOW / 2 {
            self.best = [first, second, sample];
        }
    }

    fn get(&self) -> Option<Duration> {
        let [(_, best_ns), ..] = self.best;
        (best_ns > 0).then_some(Duration::from_nanos(best_ns))
    }
}

/// A zero round-trip time (both ends in one instant) would read as "no sample".
const SAMPLE_MIN: Duration = Duration::from_micros(1);
/// RFC 6298 section 5.7.
const RTO_AFTER_SYN_TIMEOUT_NS: u64 = 3_000_000_000;
/// Linux's `tcp_min_rtt_wlen`.
const MIN_WINDOW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn rtt(rto_min: Duration) -> Rtt {
        Rtt::new(ms(1000), rto_min, ms(120_000))
    }

    #[test]
    fn follows_the_formulas_of_rfc_6298() {
        // Without a floor: first SRTT = R, RTTVAR = R/2, RTO = R + 4 * R/2.
        let mut r = rtt(Duration::ZERO);
        assert_eq!(r.rto(), ms(1000), "section 2.1");
        r.on_sample(ms(100), 0, 1);
        assert_eq!((r.srtt(), r.deviation(), r.rto()), (Some(ms(100)), ms(50), ms(300)), "section 2.2");
        // R' = 180: RTTVAR = 3/4 * 50 + 1/4 * 80 = 57.5; SRTT = 7/8 * 100 + 1/8 * 180 = 110.
        r.on_sample(ms(180), 2, 3);
        assert_eq!(r.deviation(), Duration::from_micros(57_500), "section 2.3");
        assert_eq!(r.srtt(), Some(ms(110)));
        assert_eq!(r.rto(), ms(110) + Duration::from_micros(230_000));
    }

    #[test]
    fn keeps_200_ms_above_the_smoothed_time() {
        let mut r = rtt(ms(200));
        r.on_sample(ms(10), 0, 1);
        assert_eq!(r.rto(), ms(210));
        for round in 1..100 {
            r.on_sample(ms(10), round, round + 1);
        }
        assert_eq!(r.rto(), ms(210));
    }

    #[test]
    fn a_late_sample_raises_the_variance_at_once_and_lets_it_sink_by_rounds() {
        let mut r = rtt(ms(200));
        for round in 0..20 {
            r.on_sample(ms(100), round, round + 1);
        }
        assert_eq!(r.rto(), ms(300));
        r.on_sample(ms(900), 21, 30);
        let high = r.rto();
        assert!(high > ms(1000), "{high:?}");
        r.on_sample(ms(100), 22, 30);
        assert!(r.rto() > ms(900), "not within the same round: {:?}", r.rto());
        for round in 31..80 {
            r.on_sample(ms(100), round, round + 1);
        }
        assert!(r.rto() < ms(320), "{:?}", r.rto());
    }

    #[test]
    fn backs_off_to_the_maximum_and_recovers_with_a_sample() {
        let mut r = rtt(ms(200));
        r.on_sample(ms(100), 0, 1);
        let mut seen = Vec::new();
        for _ in 0..12 {
            seen.push(r.rto().as_millis());
            r.back_off();
        }
        assert_eq!(&seen[..5], [300, 600, 1200, 2400, 4800]);
        assert_eq!(seen[11], 120_000);
        for _ in 0..300 {
            r.back_off();
        }
        assert_eq!(r.rto(), ms(120_000), "no overflow");
        r.on_sample(ms(100), 1, 2);
        assert_eq!(r.rto(), ms(300));
    }

    #[test]
    fn three_seconds_after_a_lost_syn() {
        let mut r = rtt(ms(200));
        r.fall_back();
        assert_eq!(r.rto(), ms(3000));
        r.on_sample(ms(10), 0, 1);
        r.fall_back();
        assert_eq!(r.rto(), ms(210));
    }

    #[test]
    fn the_minimum_is_forgotten_after_five_minutes() {
        let mut r = rtt(ms(200));
        let at = Instant::from_millis;
        r.on_min_sample(at(0), ms(10));
        for second in 1..=299 {
            r.on_min_sample(at(second * 1000), ms(20));
        }
        assert_eq!(r.min(), Some(ms(10)));
        for second in 300..=302 {
            r.on_min_sample(at(second * 1000), ms(20));
        }
        assert_eq!(r.min(), Some(ms(20)));
        r.on_min_sample(at(303_000), ms(5));
        assert_eq!(r.min(), Some(ms(5)));
    }
}
