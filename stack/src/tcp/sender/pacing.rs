//! Pacing: segments are spread over the round trip instead of leaving in bursts; off unless asked for.

use crate::time::{Duration, Instant};

/// When the next segment may leave.
#[derive(Debug)]
pub(super) struct Pacer {
    enabled: bool,
    rate_max: Option<u64>,
    next_at: Instant,
    /// Nobody has been told yet that the gate opens then.
    waiting: bool,
}

impl Pacer {
    pub(super) fn new(enabled: bool, rate_max: Option<u64>) -> Pacer {
        Pacer { enabled, rate_max, next_at: Instant::ZERO, waiting: false }
    }

    pub(super) fn is_on(&self) -> bool {
        self.enabled || self.rate_max.is_some()
    }

    pub(super) fn set_rate_max(&mut self, rate_max: Option<u64>) {
        self.rate_max = rate_max;
    }

    /// The rate with the user's limit, in bytes a second.
    pub(super) fn cap(&self, rate: u64) -> u64 {
        rate.min(self.rate_max.unwrap_or(u64::MAX)).max(1)
    }

    /// When the next segment may leave, if that is still to come.
    pub(super) fn gate(&self, now: Instant) -> Option<Instant> {
        (self.is_on() && self.next_at > now).then_some(self.next_at)
    }

    /// When somebody has to be told that the gate opens.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        self.waiting.then_some(self.next_at)
    }

    /// The gate has opened, and whoever waited for it knows.
    pub(super) fn open(&mut self) {
        self.waiting = false;
    }

    /// Bytes left: the next have to wait for as long as those take at this rate.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u32, rate: u64) {
        if !self.is_on() {
            return;
        }
        let takes = u64::from(bytes).saturating_mul(1_000_000_000) / self.cap(rate);
        // A late timer is caught up with, but not by more than a burst.
        let from = self.next_at.max(now - CATCH_UP);
        self.next_at = from + Duration::from_nanos(takes);
        self.waiting = true;
    }

    /// The largest frame at this rate, so that one doesn't hold up the line: a millisecond's worth, at least two segments.
    pub(super) fn frame_max(&self, rate: u64, mss: u32) -> u32 {
        if !self.is_on() {
            return u32::MAX;
        }
        u32::try_from(self.cap(rate) / 1000).unwrap_or(u32::MAX).max(2 * mss)
    }
}

/// Linux's default pacing: twice the window a round trip in slow start, 1.2 times in congestion avoidance, so that the
/// window stays what limits.
pub(super) fn rate(window_bytes: u64, slow_start: bool, srtt: Duration) -> u64 {
    let percent = if slow_start { 200 } else { 120 };
    let nanos = u64::try_from(srtt.as_nanos()).unwrap_or(u64::MAX).max(1);
    let bytes = u128::from(window_bytes) * percent * 10_000_000 / u128::from(nanos);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// How much of a late timer is made up for.
const CATCH_UP: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let ms = Duration::from_millis;
        assert_eq!(rate(10_000, true, ms(100)), 200_000);
        assert_eq!(rate(10_000, false, ms(100)), 120_000);
        assert_eq!(rate(u64::MAX, true, Duration::ZERO), u64::MAX);
    }

    #[test]
    fn spaces_frames_and_catches_up_a_little() {
        let mut pacer = Pacer::new(true, None);
        let start = Instant::from_millis(1000);
        assert_eq!(pacer.gate(start), None);
        pacer.on_sent(start, 1000, 100_000);
        // The gate was long open: the millisecond that was missed is taken off the 10 ms.
        assert_eq!(pacer.gate(start), Some(Instant::from_millis(1009)));
        pacer.on_sent(Instant::from_millis(1009), 1000, 100_000);
        assert_eq!(pacer.opens_at(), Some(Instant::from_millis(1019)));
        assert_eq!(pacer.frame_max(100_000_000, 1000), 100_000);
        assert_eq!(pacer.frame_max(100_000, 1000), 2000);
    }

    #[test]
    fn a_limit_turns_it_on() {
        let mut pacer = Pacer::new(false, None);
        pacer.on_sent(Instant::ZERO, 1000, 1);
        assert_eq!(pacer.gate(Instant::ZERO), None);
        pacer.set_rate_max(Some(1_000_000));
        pacer.on_sent(Instant::from_millis(10), 10_000, u64::MAX);
        assert_eq!(pacer.gate(Instant::from_millis(10)), Some(Instant::from_millis(19)));
    }
}
