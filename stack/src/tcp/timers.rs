//! One queue of deadlines for all connections: at most one entry each, exact removal, at a cost that doesn't grow with
//! their number.
//!
//! A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7), whose
//! tick is the nanosecond and whose hand doesn't tick: it is moved to where the next entry is. A deadline is a number of
//! eleven digits of six bits. An entry lies in the level of the highest digit in which it differs from the hand, in that
//! digit's slot; so every entry of a level comes before those of the next one, and a slot's before those of the next slot.
//! When a slot with several entries comes up, the hand moves to it, and they cascade to lower levels: ten times each at
//! most, however many there are.

use crate::time::Instant;

/// Deadlines of connections, by slot index. A connection that moves its deadline *later* leaves its entry where it
/// is: the entry comes up early, and is queued anew. So acknowledgements, which push the retransmission timer
/// out, cost nothing here.
#[derive(Default)]
pub(crate) struct TimerQueue {
    /// No entry is due before, but those that were late when they came. In nanoseconds, as all times here.
    hand: u64,
    /// Those that were ever needed, the finest first.
    levels: Vec<Level>,
    /// A bit for each level that has entries.
    occupied: u16,
    /// Entries by their connection's index.
    entries: Vec<Entry>,
}

/// What a connection remembers of its own entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed(Instant);

impl Default for Armed {
    fn default() -> Armed {
        Armed(Instant::FAR_FUTURE)
    }
}

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Behind the last entry of a slot, and before the first.
const NONE: u32 = u32::MAX;

/// A slot for each value of a digit.
struct Level {
    /// A bit for each slot that has entries.
    occupied: u64,
    slots: [Slot; SLOTS],
}

/// Entries in the order in which they came, linked both ways.
#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    last: u32,
    /// No entry of the slot is due before. An entry that was removed may have left it too early.
    earliest: u64,
}

const EMPTY: Slot = Slot { first: NONE, last: NONE, earliest: u64::MAX };

#[derive(Clone, Copy, Default)]
struct Entry {
    deadline: u64,
    before: u32,
    behind: u32,
    level: u8,
    slot: u8,
}

impl TimerQueue {
    /// Makes sure that the connection is called at `deadline` or before.
    pub(crate) fn arm(&mut self, now: Instant, index: u32, armed: &mut Armed, deadline: Instant) {
        if deadline < armed.0 {
            self.disarm(index, armed);
            if self.occupied == 0 {
                // Nobody is left behind, and the levels that are needed are the lowest.
                self.hand = now.as_nanos();
            }
            self.insert(index, deadline.as_nanos());
            armed.0 = deadline;
        }
    }

    /// Forgets the connection's entry.
    pub(crate) fn disarm(&mut self, index: u32, armed: &mut Armed) {
        if armed.0 != Instant::FAR_FUTURE {
            self.remove(index);
            armed.0 = Instant::FAR_FUTURE;
        }
    }

    /// When the next entry comes up; or earlier, where one was forgotten.
    pub(crate) fn next(&self) -> Option<Instant> {
        let (level, slot) = self.first()?;
        Some(Instant::from_nanos(self.levels[level].slots[slot].earliest))
    }

    /// Takes an entry that is due, the earliest first; its connection has to be told with [`Armed::fired`]. After none,
    /// [`TimerQueue::next`] is later than `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos();
        while let Some((level, number)) = self.first() {
            let slot = &mut self.levels[level].slots[number];
            if slot.earliest > now {
                return None;
            }
            // In a slot of the finest level all are due at the same time, but for those that were late when they came.
            if level == 0 || slot.first == slot.last {
                let index = slot.first;
                let deadline = self.entries[index as usize].deadline;
                if deadline <= now {
                    self.remove(index);
                    return Some(index);
                }
                slot.earliest = deadline;
            } else {
                self.cascade(level, number);
            }
        }
        None
    }

    /// The level and the number of the slot that comes up next.
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.occupied.trailing_zeros() as usize;
        let slots = self.levels.get(level)?.occupied;
        Some((level, slots.trailing_zeros() as usize))
    }

    /// Moves the hand to the slot that comes up next, and its entries to lower levels.
    fn cascade(&mut self, level: usize, number: usize) {
        let slot = core::mem::replace(&mut self.levels[level].slots[number], EMPTY);
        self.vacate(level, number);
        self.hand = slot.earliest;
        let mut index = slot.first;
        while index != NONE {
            let Entry { behind, deadline, .. } = self.entries[index as usize];
            self.insert(index, deadline);
            index = behind;
        }
    }

    fn insert(&mut self, index: u32, deadline: u64) {
        // What is late already comes next.
        let at = deadline.max(self.hand);
        let level = ((at ^ self.hand) | 1).ilog2() / DIGIT_BITS;
        let number = (at >> (level * DIGIT_BITS)) as usize % SLOTS;
        while self.levels.len() <= level as usize {
            self.levels.push(Level { occupied: 0, slots: [EMPTY; SLOTS] });
        }
        self.occupied |= 1 << level;
        let of_level = &mut self.levels[level as usize];
        of_level.occupied |= 1 << number;
        let slot = &mut of_level.slots[number];
        slot.earliest = slot.earliest.min(deadline);
        let before = core::mem::replace(&mut slot.last, index);
        match before {
            NONE => slot.first = index,
            before => self.entries[before as usize].behind = index,
        }
        if self.entries.len() <= index as usize {
            self.entries.resize(index as usize + 1, Entry::default());
        }
        self.entries[index as usize] =
            Entry { deadline, before, behind: NONE, level: level as u8, slot: number as u8 };
    }

    fn remove(&mut self, index: u32) {
        let Entry { before, behind, level, slot: number, .. } = self.entries[index as usize];
        let (level, number) = (usize::from(level), usize::from(number));
        let slot = &mut self.levels[level].slots[number];
        match before {
            NONE => slot.first = behind,
            before => self.entries[before as usize].behind = behind,
        }
        match behind {
            NONE => slot.last = before,
            behind => self.entries[behind as usize].before = before,
        }
        if slot.first == NONE {
            *slot = EMPTY;
            self.vacate(level, number);
        }
    }

    /// Notes that a slot is empty.
    fn vacate(&mut self, level: usize, number: usize) {
        let of_level = &mut self.levels[level];
        of_level.occupied &= !(1 << number);
        if of_level.occupied == 0 {
            self.occupied &= !(1 << level);
        }
    }
}

impl Armed {
    /// The entry was taken from the queue.
    pub(crate) fn fired(&mut self) {
        self.0 = Instant::FAR_FUTURE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NOW: Instant = Instant::from_millis(5);

    #[test]
    fn a_later_deadline_leaves_the_entry_and_an_earlier_one_replaces_it() {
        let (mut queue, mut armed) = (TimerQueue::default(), Armed::default());
        queue.arm(NOW, 7, &mut armed, Instant::from_millis(20));
        queue.arm(NOW, 7, &mut armed, Instant::from_millis(30));
        assert_eq!(queue.next(), Some(Instant::from_millis(20)));
        queue.arm(NOW, 7, &mut armed, Instant::from_millis(10));
        assert_eq!(queue.next(), Some(Instant::from_millis(10)));
        assert_eq!(queue.pop_due(Instant::from_millis(9)), None);
        assert_eq!(queue.pop_due(Instant::from_millis(10)), Some(7));
        armed.fired();
        assert_eq!(queue.next(), None, "the one that was replaced is gone");
        queue.arm(NOW, 7, &mut armed, Instant::from_millis(30));
        queue.disarm(7, &mut armed);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn what_is_late_when_it_comes_is_due_at_once_and_before_all_others() {
        let mut queue = TimerQueue::default();
        let mut armed = [Armed::default(); 4];
        for (index, at) in (0..).zip([6, 5, 3, 4]) {
            queue.arm(NOW, index, &mut armed[index as usize], Instant::from_millis(at));
        }
        assert_eq!(queue.next(), Some(Instant::from_millis(3)));
        let taken: Vec<u32> = std::iter::from_fn(|| queue.pop_due(NOW)).collect();
        assert_eq!(taken, [1, 2, 3]);
        assert_eq!(queue.next(), Some(Instant::from_millis(6)));
    }

    #[test]
    fn whom_the_removed_left_behind_costs_one_call_in_vain() {
        let mut queue = TimerQueue::default();
        let mut armed = [Armed::default(); 3];
        for (index, at) in (0..).zip([200, 201, 202]) {
            queue.arm(NOW, index, &mut armed[index as usize], Instant::from_millis(at));
        }
        queue.disarm(0, &mut armed[0]);
        assert_eq!(queue.next(), Some(Instant::from_millis(200)), "too early");
        assert_eq!(queue.pop_due(Instant::from_millis(200)), None);
        assert_eq!(queue.next(), Some(Instant::from_millis(201)));
    }

    /// A step of the test: what is done, to which connection, and how many nanoseconds later (by its power of two).
    fn step() -> impl Strategy<Value = (u8, usize, u64)> {
        let times = (0u32..50, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1));
        (0u8..6, 0usize..20, times)
    }

    proptest! {
        /// Against a set in order of time: entries come up in that order, none late, and none that was forgotten.
        #[test]
        fn behaves_as_an_ordered_set(start in any::<u32>(), steps in prop::collection::vec(step(), 1..300)) {
            let mut queue = TimerQueue::default();
            let mut armed = [Armed::default(); 20];
            let mut model = BTreeSet::<(Instant, u32)>::new();
            let mut now = Instant::from_nanos(u64::from(start));
            for (what, at, nanos) in steps {
                let (index, later) = (at as u32, now.after_nanos(nanos));
                let own = &mut armed[at];
                match what {
                    0..3 => {
                        if later < own.0 {
                            model.remove(&(own.0, index));
                            model.insert((later, index));
                        }
                        queue.arm(now, index, own, later);
                    }
                    3 => {
                        model.remove(&(own.0, index));
                        queue.disarm(index, own);
                    }
                    // As the clock does, or as a simulated world does.
                    _ => {
                        now = if what == 4 { later } else { queue.next().unwrap_or(now).max(now) };
                        while let Some(index) = queue.pop_due(now) {
                            let deadline = armed[index as usize].0;
                            armed[index as usize].fired();
                            prop_assert_eq!(model.first().map(|(first, _)| *first), Some(deadline));
                            prop_assert!(model.remove(&(deadline, index)));
                        }
                        prop_assert!(model.first().is_none_or(|&(first, _)| first > now));
                        prop_assert!(queue.next().is_none_or(|next| next > now));
                    }
                }
                prop_assert_eq!(queue.next().is_some(), !model.is_empty());
                prop_assert!(queue.next() <= model.first().map(|(first, _)| *first));
            }
        }
    }
}
