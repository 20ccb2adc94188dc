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
    spin: Duration,
}

impl Waiter {
    /// For the calling thread, which looks again and again for as long as `spin` before it sleeps.
    pub(super) fn new(machine: &Arc<Machine>, spin: Duration) -> Waiter {
        Waiter {
            thread: std::thread::current(),
            machine: Arc::clone(machine),
            woken: AtomicBool::new(false),
            told: AtomicBool::new(false),
            drives: AtomicBool::new(false),
            spin,
        }
    }

    /// How long its thread wants the devices asked before it sleeps (`SO_BUSY_POLL`).
    pub(crate) fn spin(&self) -> Duration {
        self.spin
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
        if !self.spin.is_zero() && self.look_for(timeout.map_or(self.spin, |timeout| timeout.min(self.spin)))
        {
            return;
        }
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
    }
}

impl Waiter {
    /// Looks for `duration` whether it is woken or told; true when it is.
    fn look_for(&self, duration: Duration) -> bool {
        let end = self.machine.now() + duration;
        while self.machine.now() < end {
            if self.is_woken() || self.told.load(Ordering::SeqCst) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
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
