//! Who drives: a run loop that owns the driver, or else one of the threads that are blocked in calls.
//!
//! A loop that wants the driver always gets it: a blocked thread that has it gets up and makes way. When whoever had
//! it leaves, one of those who wait is told to take over, so as long as anybody waits for the machine, it is driven.

use super::shared::Bell;
use super::{Driver, Turns};
use crate::net::blocking::Waiter;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::ThreadId;

/// The driver, and who wants it.
pub(super) struct Seat {
    driver: Mutex<Driver>,
    /// A loop has the driver, or is about to.
    owned: AtomicBool,
    /// The thread that has the driver.
    thread: Mutex<Option<ThreadId>>,
    /// Blocked threads, longest first: who has waited for long is likely to drive for long.
    waiting: Mutex<VecDeque<Arc<Waiter>>>,
}

/// The driver in the hands of this thread, until it is dropped.
pub(super) struct Seated<'a> {
    seat: &'a Seat,
    driver: Option<MutexGuard<'a, Driver>>,
    owner: bool,
}

impl Seat {
    pub(super) fn new(driver: Driver) -> Seat {
        Seat {
            driver: Mutex::new(driver),
            owned: AtomicBool::new(false),
            thread: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The driver for a loop. None while another loop has it, or this very thread.
    pub(super) fn own(&self, bell: &Bell) -> Option<Seated<'_>> {
        if self.is_mine() || self.owned.swap(true, Ordering::SeqCst) {
            return None;
        }
        // A blocked thread that drives is asleep, or looks at `owned` before it sleeps.
        bell.ring();
        Some(self.sit_down(lock(&self.driver), true))
    }

    /// Blocks the calling thread until the waiter is woken or `until` has come; drives while nobody else does.
    ///
    /// Errors: `Deadlock` where this thread already drives, below the caller; `turn`'s.
    pub(super) fn wait(
        &self,
        turns: Turns<'_>,
        waiter: &Arc<Waiter>,
        until: Option<Instant>,
    ) -> io::Result<()> {
        self.refuse_mine()?;
        // First in the list, then a look at the seat: whoever leaves it does so in the opposite order.
        lock(&self.waiting).push_back(Arc::clone(waiter));
        let (mut sat, mut result) = (false, Ok(()));
        while result.is_ok() && !waiter.is_woken() {
            let left = until.map(|until| until - turns.machine.now());
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            match self.try_sit() {
                Some(mut driver) => {
                    sat = true;
                    result = self.drive(turns, &mut driver, waiter, until);
                }
                None => waiter.park(left),
            }
        }
        lock(&self.waiting).retain(|other| !Arc::ptr_eq(other, waiter));
        if sat || waiter.was_told() {
            self.pass_on();
        }
        result
    }

    /// Takes in what waits at the devices, if nobody drives. Doesn't wait.
    pub(super) fn glance(&self, turns: Turns<'_>) -> io::Result<()> {
        let Some(mut driver) = self.try_sit() else { return Ok(()) };
        let turned = turns.turn(&mut driver, Some(Duration::ZERO), &mut || true);
        drop(driver);
        self.pass_on();
        turned
    }

    /// Turns until the waiter is woken, `until` has come, or a loop wants the driver.
    fn drive(
        &self,
        turns: Turns<'_>,
        driver: &mut Driver,
        waiter: &Waiter,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let mut enough = || waiter.is_woken() || self.owned.load(Ordering::SeqCst);
        waiter.drives(true);
        driver.spin = waiter.spin();
        let mut result = Ok(());
        while result.is_ok() && !enough() {
            let left = until.map(|until| until - turns.machine.now());
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            result = turns.turn(driver, left, &mut enough);
        }
        driver.spin = Duration::ZERO;
        waiter.drives(false);
        result
    }

    fn try_sit(&self) -> Option<Seated<'_>> {
        if self.owned.load(Ordering::SeqCst) {
            return None;
        }
        match self.driver.try_lock() {
            Ok(driver) => Some(self.sit_down(driver, false)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.sit_down(poisoned.into_inner(), false)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn sit_down<'a>(&'a self, driver: MutexGuard<'a, Driver>, owner: bool) -> Seated<'a> {
        *lock(&self.thread) = Some(std::thread::current().id());
        Seated { seat: self, driver: Some(driver), owner }
    }

    /// Tells the one who has waited longest that the seat is free.
    fn pass_on(&self) {
        if let Some(next) = lock(&self.waiting).iter().find(|waiter| !waiter.is_woken()) {
            next.tell();
        }
    }

    fn is_mine(&self) -> bool {
        *lock(&self.thread) == Some(std::thread::current().id())
    }

    fn refuse_mine(&self) -> io::Result<()> {
        if !self.is_mine() {
            return Ok(());
        }
        let text =
            "this thread drives the machine: a task on it may not block, but awaits (see tapstack::net)";
        Err(io::Error::new(io::ErrorKind::Deadlock, text))
    }
}

impl Deref for Seated<'_> {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        self.driver.as_deref().unwrap_or_else(|| unreachable!("it is taken only by drop"))
    }
}

impl DerefMut for Seated<'_> {
    fn deref_mut(&mut self) -> &mut Driver {
        self.driver.as_deref_mut().unwrap_or_else(|| unreachable!("it is taken only by drop"))
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        *lock(&self.seat.thread) = None;
        drop(self.driver.take());
        // A blocked thread passes the seat on by itself, once it doesn't wait any more.
        if self.owner {
            self.seat.owned.store(false, Ordering::SeqCst);
            self.seat.pass_on();
        }
    }
}

/// Locks of this file guard plain data that is whole at any time, so a panic elsewhere doesn't spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
