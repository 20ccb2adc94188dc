//! The round-trip time, and the retransmission time-out that follows from it.

use tapstack::time::Duration;

const RTO_FIRST: Duration = Duration::from_millis(500);
/// RFC 6298 (2.4) has a second; a host that delays no acknowledgement can do with less.
const RTO_MIN: Duration = Duration::from_millis(20);
/// So that a host that was down for a while is found soon after it has come up.
const RTO_MAX: Duration = Duration::from_secs(3);

/// An estimate after RFC 6298.
#[derive(Debug, Default)]
pub(super) struct Rtt {
    smoothed: Option<(Duration, Duration)>,
}

impl Rtt {
    /// A measurement (RFC 6298, 2.2 and 2.3).
    pub(super) fn sample(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (rtt, rtt / 2),
            Some((srtt, var)) => ((srtt * 7 + rtt) / 8, (var * 3 + srtt.abs_diff(rtt)) / 4),
        });
    }

    /// The time-out after so many without an answer.
    pub(super) fn rto(&self, backoff: u32) -> Duration {
        let rto = self.smoothed.map_or(RTO_FIRST, |(srtt, var)| (srtt + var * 4).max(RTO_MIN));
        rto.saturating_mul(1 << backoff.min(8)).min(RTO_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured_and_backs_off() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto(0), RTO_FIRST);
        rtt.sample(Duration::from_millis(100));
        assert_eq!(rtt.rto(0), Duration::from_millis(300));
        assert_eq!(rtt.rto(2), Duration::from_millis(1200));
        (0..100).for_each(|_| rtt.sample(Duration::from_millis(1)));
        assert_eq!(rtt.rto(0), RTO_MIN);
        assert_eq!(rtt.rto(100), RTO_MAX);
    }
}
