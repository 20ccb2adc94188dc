//! One queue of deadlines for all connections: at most one entry each, exact removal, logarithmic cost.

use crate::time::Instant;
use std::collections::BTreeSet;

/// Deadlines of connections, by slot index. A connection that moves its deadline *later* leaves its entry where it
/// is: the entry comes up early, and is queued anew. So acknowledgements, which push the retransmission timer
/// out, cost nothing here.
#[derive(Default)]
pub(crate) struct TimerQueue {
    entries: BTreeSet<(Instant, u32)>,
}

/// What a connection remembers of its own entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed(Instant);

impl Default for Armed {
    fn default() -> Armed {
        Armed(Instant::FAR_FUTURE)
    }
}

impl TimerQueue {
    /// Makes sure that the connection is called at `deadline` or before.
    pub(crate) fn arm(&mut self, index: u32, armed: &mut Armed, deadline: Instant) {
        if deadline < armed.0 {
            self.disarm(index, armed);
            self.entries.insert((deadline, index));
            armed.0 = deadline;
        }
    }

    /// Forgets the connection's entry.
    pub(crate) fn disarm(&mut self, index: u32, armed: &mut Armed) {
        if armed.0 != Instant::FAR_FUTURE {
            self.entries.remove(&(armed.0, index));
            armed.0 = Instant::FAR_FUTURE;
        }
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|&(at, _)| at)
    }

    /// Takes an entry that is due; its connection has to be told with [`Armed::fired`].
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(at, index) = self.entries.first()?;
        if at > now {
            return None;
        }
        self.entries.pop_first();
        Some(index)
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

    #[test]
    fn a_later_deadline_leaves_the_entry_and_an_earlier_one_replaces_it() {
        let (mut queue, mut armed) = (TimerQueue::default(), Armed::default());
        queue.arm(7, &mut armed, Instant::from_millis(20));
        queue.arm(7, &mut armed, Instant::from_millis(30));
        assert_eq!(queue.next(), Some(Instant::from_millis(20)));
        queue.arm(7, &mut armed, Instant::from_millis(10));
        assert_eq!(queue.entries.len(), 1);
        assert_eq!(queue.pop_due(Instant::from_millis(9)), None);
        assert_eq!(queue.pop_due(Instant::from_millis(10)), Some(7));
        armed.fired();
        queue.arm(7, &mut armed, Instant::from_millis(30));
        queue.disarm(7, &mut armed);
        assert_eq!(queue.next(), None);
    }
}
