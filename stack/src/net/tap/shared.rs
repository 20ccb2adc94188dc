//! What the run loop and the callers of other threads share: how a call is settled, and how a sleeping loop is woken.

use super::Turns;
use super::disk::Folder;
use super::port::Port;
use super::put_off::put_off;
use super::seat::{Seat, Seated};
use super::system::{clock, fill_from_system};
use crate::net::Woken;
use crate::net::blocking::Waiter;
use crate::net::disk::Store;
use crate::net::machine::{self, Core, Drive, World};
use crate::time::{Duration, Instant};
use mio::Waker as Alarm;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// What the loop and callers share.
pub(super) struct Shared {
    pub(super) ports: Vec<Port>,
    pub(super) seat: Seat,
    pub(super) bell: Arc<Bell>,
    /// The poll's descriptor, a duplicate that needs no lock.
    pub(super) descriptor: OwnedFd,
    /// Seeded randomness; none draws from the operating system.
    pub(super) rng: Option<Mutex<fastrand::Rng>>,
    /// Something ended the machine.
    pub(super) failed: AtomicBool,
    /// What that was.
    pub(super) failure: Mutex<Option<(io::ErrorKind, String)>>,
    pub(super) stop: AtomicBool,
    /// How long the devices are asked before the loop sleeps, in nanoseconds.
    pub(super) busy_poll_ns: AtomicU64,
    /// Polls of tasks so far: see [`Shared::count_poll`].
    pub(super) polls: AtomicU64,
    /// The folder that stands for the machine's disk, if the program gave one.
    pub(super) disk: Mutex<Option<Arc<Folder>>>,
}

/// Gets the loop up, if it sleeps.
pub(super) struct Bell {
    pub(super) alarm: Alarm,
    /// Until when the loop sleeps, in nanoseconds; 0 while it is awake.
    pub(super) sleeping_until: AtomicU64,
    /// A turn is being made: see [`Shared::settle`].
    pub(super) turning: AtomicBool,
    /// It doesn't really sleep, but looks at `sleeping_until` again and again.
    pub(super) spinning: AtomicBool,
}

impl Bell {
    pub(super) fn ring(&self) {
        if self.is_asleep()
            && self.sleeping_until.swap(0, Ordering::SeqCst) != 0
            && !self.spinning.load(Ordering::SeqCst)
            && let Err(error) = self.alarm.wake()
        {
            log::error!("the run loop can't be woken: {error}");
        }
    }

    /// Whether the loop sleeps, or is about to: since it has the machine's lock while it says so, whoever changes
    /// something under that lock is either seen by the loop, or sees that it sleeps.
    pub(super) fn is_asleep(&self) -> bool {
        self.sleeping_until.load(Ordering::SeqCst) != 0
    }

    /// Something has to be done at `deadline`: gets the loop up if it would sleep longer.
    pub(super) fn ring_before(&self, deadline: Instant) {
        if deadline.as_nanos() < self.sleeping_until.load(Ordering::SeqCst) {
            self.ring();
        }
    }
}

impl Shared {
    pub(super) fn set_busy_poll(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.busy_poll_ns.store(nanos, Ordering::Relaxed);
        self.bell.ring();
    }

    pub(super) fn busy_poll(&self) -> Duration {
        Duration::from_nanos(self.busy_poll_ns.load(Ordering::Relaxed))
    }

    /// Counts a poll of a task. Only who drives does.
    pub(super) fn count_poll(&self) {
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The driver, for a loop that is to have it for itself. Errors: `ResourceBusy`; what ended the machine.
    pub(super) fn take_driver(&self) -> io::Result<Seated<'_>> {
        self.check()?;
        self.seat.own(&self.bell).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another loop drives this machine, or this thread does already",
            )
        })
    }

    /// Waits until a device is readable, the bell rings or `wait` is over; perhaps for less.
    ///
    /// `epoll_wait` counts in milliseconds; most of TCP's timers on a short path would be late by more than they are
    /// long. So the last millisecond of a short wait is made on the poll's own descriptor, with `ppoll`, which takes two
    /// system calls. What comes before it is a wait of its own: a deadline is seldom what ends it.
    pub(super) fn wait(&self, driver: &mut super::Driver, wait: Option<Duration>) -> io::Result<()> {
        let Some(precise) = wait.filter(|wait| !wait.is_zero() && *wait < PRECISE_BELOW) else {
            return driver.poll.poll(&mut driver.events, wait);
        };
        let whole = Duration::from_millis(u64::from(precise.subsec_millis()));
        if !whole.is_zero() {
            return driver.poll.poll(&mut driver.events, Some(whole));
        }
        let nanos = precise.subsec_nanos();
        let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: nanos.into() };
        let descriptor = rustix::event::PollFd::new(&self.descriptor, rustix::event::PollFlags::IN);
        rustix::event::poll(&mut [descriptor], Some(&time))?;
        driver.poll.poll(&mut driver.events, Some(Duration::ZERO))
    }

    /// Tells the bell until when the loop is going to sleep: what the machine and its ports want, and `others`.
    pub(super) fn plan_sleep(&self, machine: &machine::Machine, others: Option<Instant>) -> Option<Instant> {
        let core = machine.lock();
        let machines = core.as_ref().and_then(|core| core.next_deadline());
        let mut deadline = others.into_iter().chain(machines).min();
        loop {
            let until = deadline.unwrap_or(Instant::FAR_FUTURE);
            // Never 0, which says that the loop is awake.
            self.bell.sleeping_until.store(until.as_nanos().max(1), Ordering::SeqCst);
            // Ports tell their deadlines without the machine's lock: look after the bell was told, then once more.
            match self.ports.iter().filter_map(Port::next_deadline).min() {
                Some(nearer) if nearer < until => deadline = Some(nearer),
                _ => return deadline,
            }
        }
    }

    /// Notes that a device failed: the machine is down from now on, and those who wait are told.
    pub(super) fn fail(&self, machine: &machine::Machine, error: io::Error) -> io::Error {
        lock(&self.failure).get_or_insert_with(|| (error.kind(), error.to_string()));
        self.failed.store(true, Ordering::SeqCst);
        let mut woken = Woken::new();
        if let Some(mut core) = machine.lock() {
            core.take_down(None, &mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
        self.bell.ring();
        error
    }

    /// Errors: what ended the machine, if something has.
    pub(super) fn check(&self) -> io::Result<()> {
        if !self.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        match &*lock(&self.failure) {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

impl World for Shared {
    fn now(&self) -> Instant {
        clock()
    }

    /// Within a turn the stack knows the time well enough for a call that sends nothing.
    fn now_to_read(&self, latest: Instant) -> Instant {
        if self.bell.turning.load(Ordering::Relaxed) { latest } else { clock() }
    }

    fn settle(&self, machine: &machine::Machine, mut core: MutexGuard<'_, Core>, now: Instant) {
        if !core.up {
            return;
        }
        // A turn handles what is due by itself; and what goes over the loopback is carried with what is sent, if anything
        // ever is.
        let in_turn = self.bell.turning.load(Ordering::Relaxed) && !self.ports.is_empty();
        if in_turn && !core.stack.has_events() && !core.stack.wants_turn() {
            return;
        }
        let mut woken = Woken::new();
        if !in_turn {
            core.handle_deadlines(now, &mut woken);
        }
        core.take_events(&mut woken);
        let mut held = Some(core);
        for port in &self.ports {
            if let Err(error) = port.drain(machine, now, &mut held, &mut woken) {
                drop(held.take());
                self.fail(machine, error);
                break;
            }
        }
        // A loop that is awake asks for all deadlines before it sleeps.
        if self.bell.is_asleep() {
            let deadline = held.or_else(|| machine.lock()).and_then(|core| core.next_deadline());
            // A device that holds frames back, or has refused one, wants the loop's attention too.
            let ports = self.ports.iter().filter_map(Port::next_deadline);
            if let Some(deadline) = ports.chain(deadline).min() {
                self.bell.ring_before(deadline);
            }
        } else {
            drop(held);
        }
        woken.into_iter().for_each(Waker::wake);
    }

    fn settle_later(&self, machine: &machine::Machine, core: MutexGuard<'_, Core>, is_urgent: bool) {
        if is_urgent || !put_off(machine) {
            self.settle(machine, core, self.now());
        }
    }

    fn reschedule(&self, _machine: &machine::Machine, core: MutexGuard<'_, Core>) {
        let deadline = core.next_deadline();
        drop(core);
        if let Some(deadline) = deadline {
            self.bell.ring_before(deadline);
        }
    }

    fn burst_bytes_max(&self) -> u64 {
        BURST_BYTES_MAX
    }

    fn fill_random(&self, _machine: &machine::Machine, bytes: &mut [u8]) {
        match &self.rng {
            Some(rng) => lock(rng).fill(bytes),
            None => {
                if let Err(error) = fill_from_system(bytes) {
                    panic!("the operating system has no random numbers: {error}");
                }
            }
        }
    }

    fn disk(&self, machine: &machine::Machine) -> io::Result<Arc<dyn Store>> {
        let disk = lock(&self.disk).clone().ok_or_else(|| {
            let text = format!("{} has no disk: give it a folder with set_disk before it runs", machine.name);
            io::Error::new(io::ErrorKind::Unsupported, text)
        })?;
        Ok(disk)
    }

    fn drive(&self) -> io::Result<&dyn Drive> {
        Ok(self)
    }
}

impl Drive for Shared {
    fn ring(&self) {
        self.bell.ring();
    }

    fn wait(
        &self,
        machine: &machine::Machine,
        waiter: &Arc<Waiter>,
        until: Option<Instant>,
    ) -> io::Result<()> {
        self.seat.wait(Turns { machine, shared: self }, waiter, until)
    }

    fn glance(&self, machine: &machine::Machine) -> io::Result<()> {
        self.seat.glance(Turns { machine, shared: self })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("ports", &self.ports.len()).finish_non_exhaustive()
    }
}

/// The waker of the future that [`super::Machine::run`] was given.
pub(super) struct Main {
    pub(super) woken: AtomicBool,
    pub(super) bell: Arc<Bell>,
}

impl Wake for Main {
    fn wake(self: Arc<Main>) {
        self.woken.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

/// Locks of this file guard plain data that is whole at any time, so a panic elsewhere doesn't spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is sent between two looks at the devices: that much fits into any recent core's own cache.
const BURST_BYTES_MAX: u64 = 128 << 10;

/// Shorter sleeps than this are not rounded up to milliseconds: they end in time, with one more turn before the end.
const PRECISE_BELOW: Duration = Duration::from_millis(20);
