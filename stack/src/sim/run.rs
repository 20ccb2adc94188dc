//! Runs a simulated world: tasks until none is ready, then what happens next, and so on.

use super::Sim;
use super::wire::End;
use super::world::Event;
use crate::frame::PacketId;
use crate::net::{TaskTag, Woken, World as _};
use crate::stack::RX_BATCH_MAX;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Events and polls of tasks in one instant at most: a world in which more happens without time passing spins.
pub const EVENTS_IN_AN_INSTANT_MAX: u32 = 1_000_000;

/// How long [`Sim::run_until_idle`] lets a world go on, in its own time.
pub const IDLE_WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Steps that a failure's report shows.
const STEPS_SHOWN: usize = 24;

/// What happened lately, for reports; and how much of it in this instant.
#[derive(Default)]
pub(super) struct Steps {
    last: VecDeque<(Instant, Step)>,
    in_this_instant: u32,
    /// Whether a panic's message says all this already.
    reported: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Frames { to: End, first: PacketId, count: usize },
    Deadline { machine: u32 },
    Task(TaskTag),
    Scenario,
}

impl Sim {
    /// Runs the world until `future`, the scenario, is done. The clock jumps; nothing waits.
    ///
    /// # Panics
    /// When nothing can happen any more and the scenario still waits; when a world spins without time passing
    /// ([`EVENTS_IN_AN_INSTANT_MAX`]); and with the panic of a task whose handle nobody awaits. The seed and the last
    /// steps are in the message, or written to standard error beside it.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Scenario(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            if woken.0.swap(false, Ordering::SeqCst) {
                self.note(Step::Scenario);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            } else if !self.advance(Instant::FAR_FUTURE) {
                self.fail("the world stands still, and the scenario waits for what can't happen");
            }
        }
    }

    /// Runs the world for a time of its own.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now() + duration;
        while self.advance(until) {}
        self.world.set_clock(until);
    }

    /// Runs the world until nothing is planned any more: no frame is under way, and no timer runs.
    ///
    /// # Panics
    /// When that isn't so after [`IDLE_WAIT_MAX`] of the world's time.
    pub fn run_until_idle(&mut self) {
        let until = self.now() + IDLE_WAIT_MAX;
        while self.advance(until) {}
        if let Some(next) = self.world.next_time() {
            self.fail(&format!("the world isn't idle after a day; next is {next}"));
        }
    }

    /// Does one thing: runs a ready task; or else lets the machine send that was given frames; or else lets happen what
    /// happens next until `until`. False when there is nothing to do.
    ///
    /// So tasks see what came in before the stack sends: an app's answer carries the acknowledgement, as it does over
    /// real devices.
    fn advance(&mut self, until: Instant) -> bool {
        self.run_task() || self.flush() || self.step(until)
    }

    /// Runs the task that is ready for longest; false when none is.
    fn run_task(&mut self) -> bool {
        let Some(task) = self.executor.run_one() else { return false };
        self.note(Step::Task(task));
        if let Some(panic) = self.executor.take_panic().and_then(|error| error.into_panic()) {
            std::panic::resume_unwind(panic);
        }
        true
    }

    /// Lets the machine of the last step send; false when it has done so already.
    fn flush(&mut self) -> bool {
        let Some(machine) = self.unsettled.take() else { return false };
        let machine = &self.machines[machine as usize];
        self.world.settle(machine, machine.lock_or_panic(), machine.now());
        true
    }

    /// Lets the clock jump to what happens next, and that happen; false when nothing does until `until`.
    fn step(&mut self, until: Instant) -> bool {
        let Some((at, event)) = self.world.next_event(until) else { return false };
        if at > self.now() {
            self.steps.in_this_instant = 0;
            self.world.set_clock(at);
        }
        let (machine, batch) = match event {
            Event::Arrival { to: End::Switch { switch, port }, frame } => {
                self.note(Step::Frames { to: End::Switch { switch, port }, first: frame.id, count: 1 });
                self.world.switch_frame(at, switch, port, &frame);
                return true;
            }
            Event::Arrival { to: End::Machine { machine, interface }, frame } => {
                (machine, Some((interface, frame)))
            }
            Event::Deadline { machine } => (machine, None),
        };
        let mut woken = Woken::new();
        let place = Arc::clone(&self.machines[machine as usize]);
        let mut core = place.lock_or_panic();
        if let Some((interface, first)) = batch {
            let to = End::Machine { machine, interface };
            let (id, mut count, mut next) = (first.id, 0, Some(first));
            while let Some(frame) = next {
                // A machine that is down hears nothing.
                if core.up {
                    core.stack.handle_frame(at, interface, frame);
                }
                count += 1;
                next = if count < RX_BATCH_MAX { self.world.next_of_batch(at, to) } else { None };
            }
            self.note(Step::Frames { to, first: id, count });
            if core.up {
                core.stack.end_batch(at);
            }
        } else {
            self.note(Step::Deadline { machine });
        }
        core.handle_deadlines(at, &mut woken);
        core.take_events(&mut woken);
        drop(core);
        self.unsettled = Some(machine);
        woken.into_iter().for_each(Waker::wake);
        true
    }

    fn note(&mut self, step: Step) {
        let now = self.now();
        let steps = &mut self.steps;
        if steps.last.len() >= STEPS_SHOWN {
            steps.last.pop_front();
        }
        steps.last.push_back((now, step));
        steps.in_this_instant += 1;
        if steps.in_this_instant > EVENTS_IN_AN_INSTANT_MAX {
            self.fail(&format!("the world spins: {EVENTS_IN_AN_INSTANT_MAX} events in one instant"));
        }
    }

    /// Ends the run, with all that helps to find out why.
    fn fail(&mut self, what: &str) -> ! {
        self.steps.reported = true;
        panic!("{what}\n{}", self.report());
    }

    /// What a reader needs to find out what went wrong, and to make it happen again.
    pub(super) fn report(&self) -> String {
        let mut text = format!("simulated world of seed {} at {}\n", self.seed, self.now());
        for (at, what) in self.world.journal() {
            let _ = writeln!(text, "  {at} set up: {what}");
        }
        for (at, step) in &self.steps.last {
            let _ = match step {
                Step::Frames { to, first, count } => {
                    let to = self.world.end_name(*to);
                    writeln!(text, "  {at} {count} frame(s) reach {to}, the first is packet {first}")
                }
                Step::Deadline { machine } => {
                    writeln!(text, "  {at} a timer of {} is due", self.world.machine_name(*machine))
                }
                Step::Task(task) => {
                    let machine = self.world.machine_name(task.machine);
                    writeln!(text, "  {at} task {} of {machine} runs", task.number)
                }
                Step::Scenario => writeln!(text, "  {at} the scenario runs"),
            };
        }
        text
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.steps.reported {
            eprintln!("{}", self.report());
        }
        // Tasks hold hosts, and so each other: nobody else would drop them.
        self.executor.drop_tasks(None);
    }
}

/// Whether the scenario was woken.
struct Scenario(AtomicBool);

impl Wake for Scenario {
    fn wake(self: Arc<Scenario>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
