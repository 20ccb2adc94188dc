//! One machine under one lock: its stack, those who wait for it, and the world that it lives in.

use super::blocking::Waiter;
use super::disk::Store;
use super::executor::Executor;
use super::waiters::{Sleepers, Waiters, Woken};
use crate::socket::Errno;
use crate::stack::Stack;
use crate::time::Instant;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// A machine as its hosts, sockets and world share it.
pub(crate) struct Machine {
    pub(crate) name: String,
    /// Its number in its world; the owner of its tasks.
    pub(crate) index: u32,
    core: Mutex<Core>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) world: Arc<dyn World>,
}

/// What the machine's lock guards.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    pub(crate) waiters: Waiters,
    pub(crate) sleepers: Sleepers,
    /// Whether the machine runs; calls say `ENETDOWN` when it doesn't.
    pub(crate) up: bool,
    /// What the stack had sent when the world last had its turn: see [`World::burst_bytes_max`].
    pub(crate) bytes_out_at_turn: u64,
    /// Counts crashes: a socket of an earlier life must not reach one of the next.
    pub(crate) life: u32,
}

/// What drives a machine: the simulated world, or a run loop over devices.
pub(crate) trait World: Send + Sync {
    /// The time of this world.
    fn now(&self) -> Instant;

    /// The time for a call that takes what has come in; `latest` is the time of the last call to the stack.
    fn now_to_read(&self, _latest: Instant) -> Instant {
        self.now()
    }

    /// A call that began at `now` is done: send what it made, wake whom it concerns, mind a nearer deadline. Lets the
    /// lock go.
    fn settle(&self, machine: &Machine, core: MutexGuard<'_, Core>, now: Instant);

    /// The machine's next deadline may have moved. Lets the lock go.
    fn reschedule(&self, machine: &Machine, core: MutexGuard<'_, Core>);

    /// Bytes that a machine sends, at most, before a task that goes on writing lets the world have its turn. A task on
    /// the run loop's thread would else fill its whole send buffer before any acknowledgement is read, and no byte of
    /// it would still be in the cache when it is sent.
    fn burst_bytes_max(&self) -> u64 {
        u64::MAX
    }

    /// Fills `bytes` with random ones.
    fn fill_random(&self, machine: &Machine, bytes: &mut [u8]);

    /// The machine's disk. Errors: `Unsupported` where it has none.
    fn disk(&self, machine: &Machine) -> io::Result<Arc<dyn Store>>;

    /// How threads wait in this world. Errors: `Unsupported` in a simulated one.
    fn drive(&self) -> io::Result<&dyn Drive>;
}

/// How threads wait for a machine, and drive it meanwhile.
pub(crate) trait Drive {
    /// Gets whoever drives up, if it sleeps.
    fn ring(&self);

    /// Blocks the calling thread until the waiter is woken or `until` has come; drives while nobody else does.
    /// Errors: `Deadlock` where this thread already drives, below the caller; those of a device.
    fn wait(&self, machine: &Machine, waiter: &Arc<Waiter>, until: Option<Instant>) -> io::Result<()>;

    /// Takes in what waits at the devices, if nobody else drives. Errors: as for `wait`.
    fn glance(&self, machine: &Machine) -> io::Result<()>;
}

impl Machine {
    pub(crate) fn new(
        name: String,
        index: u32,
        stack: Stack,
        executor: Arc<Executor>,
        world: Arc<dyn World>,
    ) -> Arc<Machine> {
        let core = Core {
            stack,
            waiters: Waiters::default(),
            sleepers: Sleepers::default(),
            up: true,
            bytes_out_at_turn: 0,
            life: 0,
        };
        Arc::new(Machine { name, index, core: Mutex::new(core), executor, world })
    }

    /// Takes the lock. None when something panicked under it: the stack can't be trusted any more.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, Core>> {
        self.core.lock().ok()
    }

    /// As [`Machine::lock`], for callers with no way to say so.
    pub(crate) fn lock_or_panic(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|_| panic!("the stack of {} panicked before: see there", self.name))
    }

    /// Takes the lock for a call of the machine's present life.
    pub(crate) fn lock_up(&self) -> Result<MutexGuard<'_, Core>, Errno> {
        self.lock().filter(|core| core.up).ok_or(Errno::ENETDOWN)
    }

    /// Takes the lock for a call that belongs to `life`.
    pub(crate) fn lock_life(&self, life: u32) -> Result<MutexGuard<'_, Core>, Errno> {
        self.lock_up().and_then(|core| if core.life == life { Ok(core) } else { Err(Errno::ENETDOWN) })
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }
}

impl Core {
    /// When this machine wants its next turn.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let stack = self.stack.poll_timeout().filter(|_| self.up);
        match (stack, self.sleepers.first()) {
            (Some(stack), Some(sleeper)) => Some(stack.min(sleeper)),
            (stack, sleeper) => stack.or(sleeper),
        }
    }

    /// Lets the stack know of passed deadlines, and collects the sleepers whose time has come.
    pub(crate) fn handle_deadlines(&mut self, now: Instant, woken: &mut Woken) {
        if self.up && self.stack.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.stack.handle_timeout(now);
        }
        self.sleepers.wake_due(now, woken);
    }

    /// Collects the wakers that the stack's readiness events concern.
    pub(crate) fn take_events(&mut self, woken: &mut Woken) {
        // Mostly there are none, which is seen without a call.
        while self.stack.has_events()
            && let Some(event) = self.stack.poll_event()
        {
            self.waiters.notify(event.socket, event.readiness, woken);
        }
    }

    /// Notes that the world has its turn.
    pub(crate) fn take_turn(&mut self) {
        self.bytes_out_at_turn = self.stack.counters().bytes_out;
    }

    /// Whether more than `bytes` were sent since the world had its turn.
    pub(crate) fn sent_more_than(&self, bytes: u64) -> bool {
        self.stack.counters().bytes_out.saturating_sub(self.bytes_out_at_turn) > bytes
    }

    /// The machine is gone, with `stack` in the place of its own: its sockets say so, and those who wait are told.
    pub(crate) fn take_down(&mut self, stack: Option<Stack>, woken: &mut Woken) {
        self.up = false;
        self.life = self.life.wrapping_add(1);
        if let Some(stack) = stack {
            self.stack = stack;
        }
        self.waiters.notify_all(woken);
    }
}
