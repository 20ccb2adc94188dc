//! `SeqNum`: a TCP sequence number, compared modulo 2^32.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A sequence number (RFC 9293 section 3.4): a point on a circle of 2^32.
///
/// There is no order on a circle, so there is no `<`: [`SeqNum::before`] and its kin compare two numbers that
/// are less than 2^31 apart, as all those of a connection's windows are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct SeqNum(u32);

impl SeqNum {
    /// The number as a header has it.
    pub(crate) const fn new(number: u32) -> SeqNum {
        SeqNum(number)
    }

    /// The number for a header.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// Whether this comes earlier than `other`.
    pub(crate) const fn before(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes later than `other`.
    pub(crate) const fn after(self, other: SeqNum) -> bool {
        other.before(self)
    }

    /// Whether this is `other` or earlier.
    pub(crate) const fn at_or_before(self, other: SeqNum) -> bool {
        self.0 == other.0 || self.before(other)
    }

    /// Whether this is `other` or later.
    pub(crate) const fn at_or_after(self, other: SeqNum) -> bool {
        self.0 == other.0 || self.after(other)
    }

    /// How many numbers it takes from `earlier` up to this one. The caller knows the order: taken the wrong way
    /// round it is a huge number (see [`SeqNum::signed_from`] where the order is not known).
    pub(crate) const fn distance_from(self, earlier: SeqNum) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The distance from `other`, negative where this is earlier.
    pub(crate) const fn signed_from(self, other: SeqNum) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether this lies in `start..end` (empty when they are equal).
    pub(crate) const fn within(self, start: SeqNum, end: SeqNum) -> bool {
        self.distance_from(start) < end.distance_from(start)
    }

    /// The later of the two.
    pub(crate) const fn latest(self, other: SeqNum) -> SeqNum {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub(crate) const fn earliest(self, other: SeqNum) -> SeqNum {
        if other.before(self) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    fn add(self, count: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(count))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, count: u32) {
        *self = *self + count;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    fn sub(self, count: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(count))
    }
}

impl From<u32> for SeqNum {
    fn from(number: u32) -> SeqNum {
        SeqNum(number)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::SeqNum;
    use proptest::prelude::*;

    #[test]
    fn compares_over_the_wrap() {
        let (last, first) = (SeqNum::new(u32::MAX), SeqNum::new(0));
        assert!(last.before(first) && first.after(last));
        assert_eq!(last + 1, first);
        assert_eq!(first - 1, last);
        assert_eq!(first.distance_from(last), 1);
        assert_eq!(last.signed_from(first), -1);
        assert!(last.within(last, first) && !first.within(last, first));
        assert!(!first.within(first, first), "an empty range holds nothing");
    }

    proptest! {
        #[test]
        fn adding_moves_later(start: u32, step in 1u32..1 << 31) {
            let (a, b) = (SeqNum::new(start), SeqNum::new(start) + step);
            prop_assert!(a.before(b) && a.at_or_before(b) && b.after(a) && b.at_or_after(a));
            prop_assert!(!b.before(a) && !a.after(b) && !b.at_or_before(a));
            prop_assert_eq!(b.distance_from(a), step);
            prop_assert_eq!(b.signed_from(a), step as i32);
            prop_assert_eq!(a.signed_from(b), -(step as i32));
            prop_assert_eq!(b - step, a);
            prop_assert_eq!(a.latest(b), b);
            prop_assert_eq!(b.latest(a), b);
            prop_assert_eq!(a.earliest(b), a);
            prop_assert_eq!(b.earliest(a), a);
        }

        #[test]
        fn equal_is_neither_before_nor_after(number: u32) {
            let a = SeqNum::new(number);
            prop_assert!(!a.before(a) && !a.after(a) && a.at_or_before(a) && a.at_or_after(a));
            prop_assert_eq!(a.distance_from(a), 0);
        }

        #[test]
        fn within_agrees_with_before(start: u32, len in 0u32..1 << 30, offset in 0u32..1 << 30) {
            let (start, end) = (SeqNum::new(start), SeqNum::new(start) + len);
            let point = start + offset;
            prop_assert_eq!(point.within(start, end), point.at_or_after(start) && point.before(end));
            prop_assert!(!(start - 1).within(start, end));
        }
    }
}
