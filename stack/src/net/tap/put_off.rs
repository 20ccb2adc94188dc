//! Output that waits until the task that made it yields, so that it leaves together.

use super::Turns;
use crate::net::machine::{Machine, World};
use std::cell::Cell;

/// A task that this thread polls.
#[derive(Clone, Copy)]
struct Polled {
    /// The address of its machine, which is there for as long as the poll lasts; 0 where no task is polled.
    machine: usize,
    /// Whether it has put something off.
    has_output: bool,
}

thread_local! {
    static POLLED: Cell<Polled> = const { Cell::new(Polled { machine: 0, has_output: false }) };
}

/// A poll of a task. However it ends, what the task has put off is settled then.
struct Poll<'a> {
    turns: Turns<'a>,
    /// What this thread was about before: a task of one machine may drive another.
    outer: Polled,
}

impl Turns<'_> {
    /// Has a task polled, which may put off what it sends until then.
    pub(super) fn poll_task<R>(&self, poll: impl FnOnce() -> R) -> R {
        let polled = Polled { machine: address_of(self.machine), has_output: false };
        let _poll = Poll { turns: *self, outer: POLLED.replace(polled) };
        poll()
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let polled = POLLED.replace(self.outer);
        let Turns { machine, shared } = self.turns;
        if polled.has_output
            && let Some(core) = machine.lock()
        {
            shared.settle(machine, core, machine.now());
        }
    }
}

/// Has the output of a machine settled when the task yields that this thread polls; false if it polls none of this
/// machine, so that nobody can be counted on.
pub(super) fn put_off(machine: &Machine) -> bool {
    let polled = POLLED.get();
    let is_ours = polled.machine == address_of(machine);
    if is_ours && !polled.has_output {
        POLLED.set(Polled { has_output: true, ..polled });
    }
    is_ours
}

fn address_of(machine: &Machine) -> usize {
    std::ptr::from_ref(machine).addr()
}
