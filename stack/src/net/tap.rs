//! The world of real devices: one machine over TAPs (or any [`Device`]), driven by a run loop with `mio`.
//!
//! - **In**: frames from the devices, the monotonic clock, socket calls from any thread.
//! - **Out**: frames to the devices, written on the thread whose call made them wherever that is possible.
//! - **Keeps**: the machine, one transmit lock for each device (`port`), and the *driver*: receiving halves and poll.
//! - **Timers**: the earliest of the stack's, the sleepers' and the devices' bounds each sleep of the loop.
//! - **RFC**: none.
//! - **Never**: holds the stack's lock over a system call; blocks while a task is ready.
//!
//! A turn reads a batch of frames outside of the stack's lock, hands it in, wakes and runs tasks, and sends until
//! nothing is left: so an app's answer carries the acknowledgement. Datagrams that a task sends, and bytes of a stream
//! in flow, leave when it yields, at the latest (`put_off`). Deadlines are handled behind each batch's answers. Between
//! turns the loop sleeps until a device is readable, a deadline is due, or another thread's call made a task ready or a
//! deadline nearer. With busy polling it asks the devices for a while before it sleeps (`spin`).
//!
//! Whoever holds the driver drives (`seat`). [`Machine::run`] and [`RunningMachine`] hold it while they run, and a
//! program that owns its loop calls [`Machine::turn`]. A thread that blocks in a call of [`super::blocking`] takes it
//! if nobody else has it, turns it until its own call is done, and hands it on.
//!
//! # A program that owns its loop
//!
//! ```rust,no_run
#![doc = include_str!("../../examples/own_loop.rs")]
//! ```

mod disk;
mod open;
mod port;
mod put_off;
mod seat;
mod shared;
mod spin;
mod system;

use super::executor::Executor;
use super::machine::{self, Core, World};
use super::{Host, Woken};
use crate::device::{Device, Receive};
use crate::frame::RxFrame;
use crate::stack::{Config, InterfaceConfig, InterfaceId, RX_BATCH_MAX, Stack};
use crate::time::{Duration, Instant};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker as Alarm};
use port::Port;
use seat::Seat;
use shared::{Bell, Main, Shared};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll as TaskPoll, Waker};
use system::{clock, duplicate, random_seed};

/// Receive batches for each device and turn at most, before tasks of other devices get theirs.
pub const BATCHES_PER_TURN_MAX: usize = 16;

/// Bytes of a batch, but for its last frame, where tasks of the same thread read them: they stay in its core's cache.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// Polls of tasks between two receive batches at most.
pub const TASKS_PER_BATCH_MAX: usize = 256;

/// A machine over real devices, at its making.
pub struct MachineConfig {
    /// Its name, for messages and captures.
    pub name: String,
    /// Where its randomness comes from; none asks the operating system, as is right outside of tests.
    pub seed: Option<u64>,
    /// Its stack's settings; the seed in there is replaced.
    pub stack: Config,
    /// Its interfaces and their devices. What a device can do (MTU, offloads, medium) wins over the configuration.
    pub interfaces: Vec<(InterfaceConfig, Device)>,
}

/// A machine over real devices. Dropping it drops its tasks.
pub struct Machine {
    machine: Arc<machine::Machine>,
    shared: Arc<Shared>,
}

/// What it takes to receive, in the hands of one thread at a time.
struct Driver {
    poll: Poll,
    events: Events,
    receivers: Vec<Receiver>,
    batch: Vec<RxFrame>,
    /// How long the thread that blocks in a call wants the devices asked before it sleeps.
    spin: Duration,
    /// When something was last received.
    active_at: Instant,
}

struct Receiver {
    interface: InterfaceId,
    device: Box<dyn Receive>,
    /// Whether frames may wait: readiness is told once, and holds until the device is dry.
    readable: bool,
    /// A frame that was found while the loop spun, and when the device was asked for it.
    held: Option<(Instant, RxFrame)>,
    /// Frames since the device was last dry, and before that: see [`Receiver::batch_max`].
    burst: usize,
    last_burst: usize,
    /// Whether this thread's tasks ran on what came last, so that they are likely to read what comes next.
    feeds_tasks: bool,
    /// Kept open for as long as it is registered; none has to be asked at every turn.
    fd: Option<Arc<OwnedFd>>,
}

impl Receiver {
    fn new(interface: InterfaceId, device: Box<dyn Receive>, fd: Option<Arc<OwnedFd>>) -> Receiver {
        // Frames may wait since before the descriptor was registered.
        let readable = true;
        Receiver { interface, device, readable, held: None, burst: 0, last_burst: 0, feeds_tasks: true, fd }
    }

    /// Reads what waits, as much as a batch takes.
    fn fill(&mut self, batch: &mut Vec<RxFrame>, now: Instant) -> io::Result<()> {
        batch.extend(self.held.take().map(|(_, frame)| frame));
        let (max, mut room) = (self.batch_max(), self.batch_bytes_max());
        while batch.len() < max && room > 0 {
            match self.device.receive(now)? {
                Some(frame) => {
                    room = room.saturating_sub(frame.bytes.len());
                    batch.push(frame);
                }
                None => {
                    self.readable = false;
                    self.last_burst = self.burst + batch.len();
                    self.burst = 0;
                    return Ok(());
                }
            }
        }
        self.burst += batch.len();
        Ok(())
    }

    /// Where frames come one at a time, the first one is answered before the device is asked for another.
    fn batch_max(&self) -> usize {
        if self.burst == 0 && self.last_burst <= 1 { 1 } else { RX_BATCH_MAX }
    }

    /// What this thread reads at once is to be in its cache still when a task of this thread takes it. To another thread's
    /// application, all that waits goes together, as it has to be woken each time.
    fn batch_bytes_max(&self) -> usize {
        if self.feeds_tasks { BATCH_BYTES_MAX } else { usize::MAX }
    }
}

impl Machine {
    /// Makes a machine; its interfaces announce themselves at the first turn.
    ///
    /// # Errors
    /// `InvalidInput` for an interface that can't be; what the operating system says about poll and entropy.
    pub fn new(config: MachineConfig) -> io::Result<Machine> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let bell = Arc::new(Bell {
            alarm,
            sleeping_until: AtomicU64::new(0),
            turning: AtomicBool::new(false),
            spinning: AtomicBool::new(false),
        });
        let seed = config.seed.map_or_else(random_seed, Ok)?;
        let mut stack = Stack::new(clock(), Config { seed, ..config.stack });
        let (mut ports, mut receivers) = (Vec::new(), Vec::new());
        for (interface, device) in config.interfaces {
            let (port, receiver) = attach(&mut stack, &poll, interface, device)?;
            ports.push(port);
            receivers.push(receiver);
        }
        let driver = Driver {
            events: Events::with_capacity(EVENTS_PER_POLL_MAX),
            receivers,
            batch: Vec::with_capacity(RX_BATCH_MAX),
            poll,
            spin: Duration::ZERO,
            active_at: clock(),
        };
        let shared = Arc::new(Shared {
            ports,
            descriptor: duplicate(&driver.poll)?,
            seat: Seat::new(driver),
            bell: Arc::clone(&bell),
            rng: config.seed.map(|seed| Mutex::new(fastrand::Rng::with_seed(!seed))),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            stop: AtomicBool::new(false),
            busy_poll_ns: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            disk: Mutex::new(None),
        });
        let executor = Executor::new(move || bell.ring());
        let machine =
            machine::Machine::new(config.name, 0, stack, executor, Arc::clone(&shared) as Arc<dyn World>);
        Ok(Machine { machine, shared })
    }

    /// The machine, as apps see it.
    pub fn host(&self) -> Host {
        Host::new(Arc::clone(&self.machine))
    }

    /// Busy polling: the loop asks the devices for this long after the last frame, before it sleeps. Zero, the
    /// default, sleeps at once. It saves the wake-up, several microseconds each, and costs a whole core meanwhile.
    pub fn set_busy_poll(&self, duration: Duration) {
        self.shared.set_busy_poll(duration);
    }

    /// Gives the machine a disk: a folder of the file system, which is made if it isn't there and is this machine's
    /// alone from now on (by an advisory lock). Reading and writing go to the page cache on the calling thread; syncs
    /// are made by a thread of the disk's own, so that they never hold up the run loop.
    ///
    /// # Errors
    /// `ResourceBusy` when another machine has the folder; what the file system says.
    pub fn set_disk(&self, folder: &Path) -> io::Result<()> {
        let disk = disk::Folder::open(&self.machine.name, folder)?;
        *self.shared.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(disk);
        Ok(())
    }

    /// Drives the machine on this thread until `future` is done. Spawned tasks run on this thread, too.
    ///
    /// # Errors
    /// `ResourceBusy` when another loop drives it; and what a device said when it failed, which ends the machine.
    pub fn run<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let mut driver = self.shared.take_driver()?;
        let mut future = pin!(future);
        let main = Arc::new(Main { woken: AtomicBool::new(true), bell: Arc::clone(&self.shared.bell) });
        let waker = Waker::from(Arc::clone(&main));
        let mut output = None;
        loop {
            // Between the intake and the sending, like a task: what it writes carries the acknowledgement.
            let mut look = || {
                if output.is_none()
                    && main.woken.load(Ordering::SeqCst)
                    && main.woken.swap(false, Ordering::SeqCst)
                {
                    self.shared.count_poll();
                    let mut cx = Context::from_waker(&waker);
                    if let TaskPoll::Ready(done) = self.turns().poll_task(|| future.as_mut().poll(&mut cx)) {
                        output = Some(done);
                    }
                }
                output.is_some()
            };
            if !look() {
                self.turns().turn(&mut driver, None, &mut look)?;
            }
            if let Some(output) = output.take() {
                return Ok(output);
            }
        }
    }

    /// One turn, for a program that owns its loop: receives what waits, runs tasks, sends, handles what is due. Sleeps
    /// for `timeout` at most if there is nothing to do; none sleeps until there is, and zero doesn't sleep.
    ///
    /// Errors: as [`Machine::run`].
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut driver = self.shared.take_driver()?;
        self.turns().turn(&mut driver, timeout, &mut || false)
    }

    /// When [`Machine::turn`] has to be called though the descriptor isn't readable; none when nothing is planned.
    ///
    /// From here on, calls of other threads make the descriptor readable when they bring that time nearer.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.shared.plan_sleep(&self.machine, None);
        if self.machine.executor.is_ready() { Some(self.machine.now()) } else { deadline }
    }

    /// Drives the machine on a thread of its own, named like the machine.
    pub fn spawn(self) -> io::Result<RunningMachine> {
        let (host, shared) = (self.host(), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new()
            .name(self.machine.name.clone())
            .spawn(move || self.run_until_stopped())?;
        Ok(RunningMachine { host, shared, thread: Some(thread) })
    }

    fn run_until_stopped(&self) -> io::Result<()> {
        let mut driver = self.shared.take_driver()?;
        let mut stop = || self.shared.stop.load(Ordering::SeqCst);
        while !stop() {
            self.turns().turn(&mut driver, None, &mut stop)?;
        }
        Ok(())
    }

    fn turns(&self) -> Turns<'_> {
        Turns { machine: &self.machine, shared: &self.shared }
    }
}

/// What the caller of a turn has to do meanwhile. It says true when the turn is not to sleep, or not any more.
type Look<'a> = dyn FnMut() -> bool + 'a;

/// What makes turns, for whoever holds the driver.
#[derive(Clone, Copy)]
struct Turns<'a> {
    machine: &'a machine::Machine,
    shared: &'a Shared,
}

impl Turns<'_> {
    /// One turn.
    fn turn(&self, driver: &mut Driver, timeout: Option<Duration>, look: &mut Look<'_>) -> io::Result<()> {
        if !self.spin(driver, timeout, look)? {
            self.sleep(driver, timeout, look)?;
        }
        self.shared.bell.turning.store(true, Ordering::Relaxed);
        let worked = self.work(driver, look);
        self.shared.bell.turning.store(false, Ordering::Relaxed);
        worked.inspect_err(|_| {
            // The machine ends here: those who waited for it get to see why.
            self.run_tasks(&mut || true);
        })
    }

    /// The waking part of a turn.
    fn work(&self, driver: &mut Driver, look: &mut Look<'_>) -> io::Result<()> {
        let Driver { receivers, batch, active_at, .. } = driver;
        let mut received = None;
        for receiver in receivers {
            let at =
                self.receive(receiver, batch, look).map_err(|error| self.shared.fail(self.machine, error))?;
            received = at.or(received);
        }
        match received {
            Some(at) => *active_at = at,
            None => self
                .settle_after(self.machine.now(), look, |now, core, woken| core.handle_deadlines(now, woken)),
        }
        for port in self.shared.ports.iter().filter(|port| port.next_deadline().is_some()) {
            port.handle_deadline(self.machine.now())
                .map_err(|error| self.shared.fail(self.machine, error))?;
        }
        if self.shared.ports.iter().any(Port::is_marked)
            && let Some(core) = self.machine.lock()
        {
            self.shared.settle(self.machine, core, self.machine.now());
        }
        self.shared.check()
    }

    /// Hands in what a device has received, batch by batch; when that last happened, none when there was nothing.
    fn receive(
        &self,
        receiver: &mut Receiver,
        batch: &mut Vec<RxFrame>,
        look: &mut Look<'_>,
    ) -> io::Result<Option<Instant>> {
        let interface = receiver.interface;
        let mut received = None;
        for _ in 0..BATCHES_PER_TURN_MAX {
            let now = receiver.held.as_ref().map_or_else(|| self.machine.now(), |(asked_at, _)| *asked_at);
            let due = receiver.device.next_deadline().is_some_and(|deadline| deadline <= now);
            if !receiver.readable && !due && receiver.fd.is_some() {
                break;
            }
            receiver.fill(batch, now)?;
            if batch.is_empty() {
                break;
            }
            received = Some(now);
            let polls = self.shared.polls.load(Ordering::Relaxed);
            self.settle_after(now, look, |now, core, _| {
                for frame in batch.drain(..) {
                    core.stack.handle_frame(now, interface, frame);
                }
                core.stack.end_batch(now);
            });
            receiver.feeds_tasks = self.shared.polls.load(Ordering::Relaxed) != polls;
        }
        Ok(received)
    }

    /// Lets the stack take something in, wakes whom it concerns, runs ready tasks, and only then sends and handles what is
    /// due: an answer doesn't wait for that.
    fn settle_after(
        &self,
        now: Instant,
        look: &mut Look<'_>,
        take_in: impl FnOnce(Instant, &mut Core, &mut Woken),
    ) {
        let Some(mut core) = self.machine.lock().filter(|core| core.up) else { return };
        let mut woken = Woken::new();
        // Another thread's call may have come in between.
        let now = now.max(core.stack.latest());
        core.take_turn();
        take_in(now, &mut core, &mut woken);
        core.take_events(&mut woken);
        drop(core);
        woken.into_iter().for_each(Waker::wake);
        self.run_tasks(look);
        if let Some(mut core) = self.machine.lock() {
            let now = self.machine.now();
            let mut woken = Woken::new();
            core.handle_deadlines(now, &mut woken);
            self.shared.settle(self.machine, core, now);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn run_tasks(&self, look: &mut Look<'_>) {
        for _ in 0..TASKS_PER_BATCH_MAX {
            look();
            if self.poll_task(|| self.machine.executor.run_one()).is_none() {
                break;
            }
            self.shared.count_poll();
            if let Some(panic) = self.machine.executor.take_panic() {
                log::error!("{}: {panic}", self.machine.name);
            }
        }
    }

    /// Sleeps until there is something to do, and takes note of who is readable.
    fn sleep(&self, driver: &mut Driver, timeout: Option<Duration>, look: &mut Look<'_>) -> io::Result<()> {
        if let [only] = &driver.receivers[..]
            && only.readable
            && timeout.is_none()
        {
            // There is nobody else whose readiness could be overlooked.
            return Ok(());
        }
        let now = self.machine.now();
        let received = driver.receivers.iter().filter_map(|receiver| {
            let by_hand = receiver.fd.is_none().then(|| now + ASK_AGAIN_AFTER);
            let waits = receiver.readable.then_some(now);
            receiver.device.next_deadline().into_iter().chain(by_hand).chain(waits).min()
        });
        let asked = timeout.map(|timeout| now + timeout);
        let deadline = self.shared.plan_sleep(self.machine, received.chain(asked).min());
        // The bell was told of the sleep before this look, so a task that becomes ready after it rings.
        let busy = look() || self.machine.executor.is_ready();
        let wait = if busy { Some(Duration::ZERO) } else { deadline.map(|deadline| deadline - now) };
        let polled = self.shared.wait(driver, wait);
        self.shared.bell.sleeping_until.store(0, Ordering::SeqCst);
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &driver.events {
            if let Some(receiver) = driver.receivers.get_mut(event.token().0) {
                receiver.readable = true;
            }
        }
        Ok(())
    }
}

impl AsFd for Machine {
    /// Readable when [`Machine::turn`] has something to do; deadlines aside: see [`Machine::next_deadline`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.descriptor.as_fd()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Tasks hold hosts, and so each other: nobody else would drop them.
        self.machine.executor.drop_tasks(None);
    }
}

/// A machine that runs on a thread of its own. Dropping it stops the thread.
#[derive(Debug)]
pub struct RunningMachine {
    host: Host,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<io::Result<()>>>,
}

impl RunningMachine {
    /// The machine, as apps see it.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// Whether its thread still runs: it ends by itself when a device fails.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the machine and drops its tasks. Errors: what a device said if one has failed before.
    ///
    /// # Panics
    /// With the panic of the thread, if it had one.
    pub fn shutdown(mut self) -> io::Result<()> {
        match self.stop() {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }

    fn stop(&mut self) -> Option<std::thread::Result<io::Result<()>>> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.bell.ring();
        self.thread.take().map(std::thread::JoinHandle::join)
    }
}

impl Drop for RunningMachine {
    fn drop(&mut self) {
        if let Some(Ok(Err(error))) = self.stop() {
            log::error!("{}: {error}", self.host.name());
        }
    }
}

/// Adds an interface to the stack and registers its device.
fn attach(
    stack: &mut Stack,
    poll: &Poll,
    config: InterfaceConfig,
    device: Device,
) -> io::Result<(Port, Receiver)> {
    let Device { medium, mtu, offloads, rx, tx, fd, .. } = device;
    let config = InterfaceConfig { medium, offloads, mtu: config.mtu.min(mtu), ..config };
    let interface = stack.add_interface(clock(), config)?;
    let token = usize::from(interface.0) - 1;
    if let Some(fd) = &fd {
        poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
    }
    Ok((Port::new(interface, tx), Receiver::new(interface, rx, fd)))
}

/// Tokens below are receivers.
const ALARM: Token = Token(usize::MAX);

const EVENTS_PER_POLL_MAX: usize = 64;

/// How often a device without a descriptor is asked for frames while there is nothing else to do.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(1);

#[cfg(test)]
mod blocking_tests;
#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod put_off_tests;
#[cfg(test)]
mod tests;
