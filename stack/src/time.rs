//! Time as a value that is passed in: nothing in the core reads a clock.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point on the clock of whoever drives the stack, in nanoseconds since that clock's epoch.
///
/// The simulated world starts at its own fixed epoch; the TAP world uses the system's monotonic clock.
/// Arithmetic saturates: a peer's absurd timer can't overflow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch of the clock.
    pub const ZERO: Instant = Instant(0);
    /// A time that never comes.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The instant `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros.saturating_mul(1_000))
    }

    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero if it isn't.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// As [`Instant::since`], in nanoseconds: a [`Duration`] keeps its seconds apart, which takes a division.
    pub(crate) const fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `nanos` nanoseconds later.
    pub(crate) const fn after_nanos(self, nanos: u64) -> Instant {
        Instant(self.0.saturating_add(nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, after: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(after)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, before: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(before)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// A duration in nanoseconds, at most `u64::MAX`: without the 128 bits of [`Duration::as_nanos`].
pub(crate) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// The earliest of some deadlines, where there is one.
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    let mut first = Instant::FAR_FUTURE;
    let mut any = false;
    for deadline in deadlines {
        any |= deadline.is_some();
        first = first.min(deadline.unwrap_or(Instant::FAR_FUTURE));
    }
    any.then_some(first)
}

impl fmt::Display for Instant {
    /// Seconds with microseconds: `12.000345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_found_also_where_it_never_comes() {
        let at = Instant::from_millis;
        assert_eq!(earliest([None, None]), None);
        assert_eq!(earliest([Some(at(3)), None, Some(at(2))]), Some(at(2)));
        assert_eq!(earliest([Some(Instant::FAR_FUTURE), None]), Some(Instant::FAR_FUTURE));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(nanos(Duration::from_nanos(1_234_567_890_123)), 1_234_567_890_123);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(Instant::from_millis(1) + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::from_millis(1) - Duration::MAX, Instant::ZERO);
    }
}
