//! A thread that is blocked in a call: how it is woken, wherever it waits.

use crate::net::machine::Machine;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::Thread;
use std::time::Duration;

/// A blocked thread. It is parked, or drives the machine itself.
pub(crate) struct Waiter {
    thread: Thread,
    machine: Arc<Machine>,
    woken: AtomicBool,
    told: AtomicBool,
    drives: AtomicBool,
}

impl Waiter {
    /// For the calling thread.
    pub(super) fn new(machine: &Arc<Machine>) -> Waiter {
        Waiter {
            thread: std::thread::current(),
            machine: Arc::clone(machine),
            woken: AtomicBool::new(false),
            told: AtomicBool::new(false),
            drives: AtomicBool::new(false),
        }
    }

    /// Whether what it waits for may have happened.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Has it wait again, for the next registration.
    pub(super) fn reset(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    /// The machine's driver is free: this thread should try to take it.
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }

    /// Whether it was told, and so has to tell another one if it doesn't drive itself.
    pub(crate) fn was_told(&self) -> bool {
        self.told.swap(false, Ordering::SeqCst)
    }

    /// Says whether this thread drives, and so waits in the machine's own sleep.
    pub(crate) fn drives(&self, drives: bool) {
        self.drives.store(drives, Ordering::SeqCst);
    }

    /// Sleeps until it is woken or told, for `timeout` at most; or for no reason at all.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Waiter>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Waiter>) {
        // `woken` is set before `drives` is read, and a driver looks the other way round: one of the two sees the other.
        self.woken.store(true, Ordering::SeqCst);
        if self.drives.load(Ordering::SeqCst) {
            if let Ok(drive) = self.machine.world.drive() {
                drive.ring();
            }
        } else {
            self.thread.unpark();
        }
    }
}
