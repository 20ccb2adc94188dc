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
//! nothing is left: so an app's answer carries the acknowledgement. Between turns the loop sleeps until a device is
//! readable, a deadline is due, or another thread's call made a task ready or a deadline nearer.
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
mod seat;
mod shared;
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
}

struct Receiver {
    interface: InterfaceId,
    device: Box<dyn Receive>,
    /// Whether frames may wait: readiness is told once, and holds until the device is dry.
    readable: bool,
    /// Kept open for as long as it is registered; none has to be asked at every turn.
    fd: Option<Arc<OwnedFd>>,
}

impl Machine {
    /// Makes a machine; its interfaces announce themselves at the first turn.
    ///
    /// # Errors
    /// `InvalidInput` for an interface that can't be; what the operating system says about poll and entropy.
    pub fn new(config: MachineConfig) -> io::Result<Machine> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let bell = Arc::new(Bell { alarm, sleeping_until: AtomicU64::new(0) });
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
        };
        let shared = Arc::new(Shared {
            ports,
            descriptor: duplicate(&driver.poll)?,
            seat: Seat::new(driver),
            bell: Arc::clone(&bell),
            rng: config.seed.map(|seed| Mutex::new(fastrand::Rng::with_seed(!seed))),
            failure: Mutex::new(None),
            stop: AtomicBool::new(false),
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
        loop {
            if main.woken.swap(false, Ordering::SeqCst)
                && let TaskPoll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            self.turns().turn(&mut driver, None, &|| main.woken.load(Ordering::SeqCst))?;
        }
    }

    /// One turn, for a program that owns its loop: receives what waits, handles what is due, runs tasks, sends. Sleeps
    /// for `timeout` at most if there is nothing to do; none sleeps until there is, and zero doesn't sleep.
    ///
    /// Errors: as [`Machine::run`].
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut driver = self.shared.take_driver()?;
        self.turns().turn(&mut driver, timeout, &|| false)
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
        let stop = || self.shared.stop.load(Ordering::SeqCst);
        while !stop() {
            self.turns().turn(&mut driver, None, &stop)?;
        }
        Ok(())
    }

    fn turns(&self) -> Turns<'_> {
        Turns { machine: &self.machine, shared: &self.shared }
    }
}

/// What makes turns, for whoever holds the driver.
#[derive(Clone, Copy)]
struct Turns<'a> {
    machine: &'a machine::Machine,
    shared: &'a Shared,
}

impl Turns<'_> {
    /// One turn. `wanted` says that the caller has something to do and it must not sleep.
    fn turn(
        &self,
        driver: &mut Driver,
        timeout: Option<Duration>,
        wanted: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        self.sleep(driver, timeout, wanted)?;
        self.work(driver).inspect_err(|_| {
            // The machine ends here: those who waited for it get to see why.
            self.run_tasks();
        })
    }

    /// The waking part of a turn.
    fn work(&self, driver: &mut Driver) -> io::Result<()> {
        let Driver { receivers, batch, .. } = driver;
        let mut received = false;
        for receiver in receivers {
            received |=
                self.receive(receiver, batch).map_err(|error| self.shared.fail(self.machine, error))?;
        }
        if !received {
            self.settle_after(|_, _| {});
        }
        for port in &self.shared.ports {
            port.handle_deadline(self.machine.now())
                .map_err(|error| self.shared.fail(self.machine, error))?;
        }
        if self.shared.ports.iter().any(Port::is_marked)
            && let Some(core) = self.machine.lock()
        {
            self.shared.settle(self.machine, core);
        }
        self.shared.check()
    }

    /// Hands in what a device has received, batch by batch; false when there was nothing.
    fn receive(&self, receiver: &mut Receiver, batch: &mut Vec<RxFrame>) -> io::Result<bool> {
        let interface = receiver.interface;
        for round in 0..BATCHES_PER_TURN_MAX {
            let now = self.machine.now();
            let due = receiver.device.next_deadline().is_some_and(|deadline| deadline <= now);
            if !receiver.readable && !due && receiver.fd.is_some() {
                return Ok(round > 0);
            }
            while batch.len() < RX_BATCH_MAX {
                match receiver.device.receive(now)? {
                    Some(frame) => batch.push(frame),
                    None => {
                        receiver.readable = false;
                        break;
                    }
                }
            }
            if batch.is_empty() {
                return Ok(round > 0);
            }
            self.settle_after(|now, core| {
                for frame in batch.drain(..) {
                    core.stack.handle_frame(now, interface, frame);
                }
                core.stack.end_batch(now);
            });
        }
        Ok(true)
    }

    /// Lets the stack take something in, wakes whom it concerns, runs ready tasks, and only then sends.
    fn settle_after(&self, take_in: impl FnOnce(Instant, &mut Core)) {
        let Some(mut core) = self.machine.lock().filter(|core| core.up) else { return };
        let mut woken = Woken::new();
        let now = self.machine.now();
        core.take_turn();
        take_in(now, &mut core);
        core.handle_deadlines(now, &mut woken);
        core.take_events(&mut woken);
        drop(core);
        woken.into_iter().for_each(Waker::wake);
        self.run_tasks();
        if let Some(core) = self.machine.lock() {
            self.shared.settle(self.machine, core);
        }
    }

    fn run_tasks(&self) {
        for _ in 0..TASKS_PER_BATCH_MAX {
            if self.machine.executor.run_one().is_none() {
                break;
            }
            if let Some(panic) = self.machine.executor.take_panic() {
                log::error!("{}: {panic}", self.machine.name);
            }
        }
    }

    /// Sleeps until there is something to do, and takes note of who is readable.
    fn sleep(
        &self,
        driver: &mut Driver,
        timeout: Option<Duration>,
        wanted: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let now = self.machine.now();
        let received = driver.receivers.iter().filter_map(|receiver| {
            let by_hand = receiver.fd.is_none().then(|| now + ASK_AGAIN_AFTER);
            let waits = receiver.readable.then_some(now);
            receiver.device.next_deadline().into_iter().chain(by_hand).chain(waits).min()
        });
        let asked = timeout.map(|timeout| now + timeout);
        let deadline = self.shared.plan_sleep(self.machine, received.chain(asked).min());
        // The bell was told of the sleep before this look, so a task that becomes ready after it rings.
        let busy = wanted() || self.machine.executor.is_ready();
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
    // Frames may wait since before the registration.
    Ok((Port::new(interface, tx), Receiver { interface, device: rx, readable: true, fd }))
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
mod tests;
