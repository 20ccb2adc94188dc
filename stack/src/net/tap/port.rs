//! The transmit side of a device: frames are pulled under the stack's lock, and written under this lock alone.

use crate::device::Transmit;
use crate::frame::{Cause, TxFrame};
use crate::net::Woken;
use crate::net::machine::{Core, Machine};
use crate::stack::InterfaceId;
use crate::time::{Duration, Instant, earliest};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Frames that are pulled while the stack's lock is held once. A device that never says that it is full gets no
/// more than this before others may have the stack.
pub(super) const BURST_MAX: usize = 32;

/// How long until a frame is tried again that the device refused.
const RETRY_AFTER: Duration = Duration::from_micros(500);

/// The transmit side of a device.
///
/// Its lock is only ever *tried* by those who hold the stack's lock, and is held while waiting for the stack's lock
/// again: so the order of frames is the order in which the stack made them, and nobody waits in a circle.
pub(super) struct Port {
    interface: InterfaceId,
    sender: Mutex<Sender>,
    /// Set by whoever finds the lock taken: its holder looks once more after letting go.
    marked: AtomicBool,
    /// When the device wants its turn, in nanoseconds.
    deadline: AtomicU64,
}

struct Sender {
    device: Box<dyn Transmit>,
    burst: Vec<TxFrame>,
    /// Frames of the burst that are written, out of those that were pulled.
    written: usize,
    pulled: usize,
    retry_at: Option<Instant>,
}

impl Port {
    pub(super) fn new(interface: InterfaceId, device: Box<dyn Transmit>) -> Port {
        let sender = Sender { device, burst: Vec::new(), written: 0, pulled: 0, retry_at: None };
        Port {
            interface,
            sender: Mutex::new(sender),
            marked: AtomicBool::new(false),
            deadline: AtomicU64::new(u64::MAX),
        }
    }

    /// When the device wants its turn.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let nanos = self.deadline.load(Ordering::SeqCst);
        (nanos != u64::MAX).then(|| Instant::from_nanos(nanos))
    }

    /// Sends what the stack has for this device, unless another thread is about it: that one goes on then.
    ///
    /// `core` is the stack's lock, held on entry. It is let go for every write, and may be gone afterwards.
    pub(super) fn drain<'a>(
        &self,
        machine: &'a Machine,
        now: Instant,
        core: &mut Option<MutexGuard<'a, Core>>,
        woken: &mut Woken,
    ) -> io::Result<()> {
        if core.as_ref().is_some_and(|core| !core.stack.wants_transmit(self.interface)) {
            return Ok(());
        }
        loop {
            let Some(mut sender) = self.lock_or_mark() else { return Ok(()) };
            if self.is_marked() {
                self.marked.store(false, Ordering::SeqCst);
            }
            let sent = sender.send_all(self.interface, machine, now, core, woken);
            self.note_deadline(&sender);
            drop(sender);
            sent?;
            if !self.is_marked() {
                return Ok(());
            }
        }
    }

    /// Whether somebody left work here who found the lock taken.
    pub(super) fn is_marked(&self) -> bool {
        self.marked.load(Ordering::SeqCst)
    }

    /// Lets the device send what it held back, and retries what it refused. The caller looks at
    /// [`Port::is_marked`] afterwards.
    pub(super) fn handle_deadline(&self, now: Instant) -> io::Result<()> {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        let Some(mut sender) = self.try_lock() else { return Ok(()) };
        let handled = sender.device.handle_deadline(now).and_then(|()| sender.write(now));
        self.note_deadline(&sender);
        // What waited in the stack behind the refused frames is sent in the turn that follows.
        handled.map(|_| ())
    }

    /// The lock, or else a mark for whoever has it. That one looks for marks behind letting go, so if the mark came too
    /// late for it, the second try finds the lock free.
    fn lock_or_mark(&self) -> Option<MutexGuard<'_, Sender>> {
        self.try_lock().or_else(|| {
            self.marked.store(true, Ordering::SeqCst);
            self.try_lock()
        })
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Sender>> {
        match self.sender.try_lock() {
            Ok(sender) => Some(sender),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    fn note_deadline(&self, sender: &Sender) {
        let deadline = earliest([sender.device.next_deadline(), sender.retry_at]);
        let nanos = deadline.map_or(u64::MAX, Instant::as_nanos);
        // Only who has the sender's lock writes it.
        if self.deadline.load(Ordering::Relaxed) != nanos {
            self.deadline.store(nanos, Ordering::SeqCst);
        }
    }
}

impl Sender {
    /// Pulls and writes, burst by burst, until the stack has nothing more or the device refuses.
    fn send_all<'a>(
        &mut self,
        interface: InterfaceId,
        machine: &'a Machine,
        now: Instant,
        core: &mut Option<MutexGuard<'a, Core>>,
        woken: &mut Woken,
    ) -> io::Result<()> {
        // Good for as long as the lock is held that it was read under.
        let mut now = Some(now);
        if self.written < self.pulled {
            drop(core.take());
            now = None;
            if !self.write(machine.now())? {
                return Ok(());
            }
        }
        loop {
            let Some(mut guard) = core.take().or_else(|| machine.lock()).filter(|core| core.up) else {
                return Ok(());
            };
            let now = now.take().unwrap_or_else(|| machine.now());
            let more = self.pull(now, interface, &mut guard, woken);
            if self.pulled == 0 {
                *core = Some(guard);
                return Ok(());
            }
            drop(guard);
            // What others leave to be sent from here on, they mark.
            if !self.write(now)? || !more {
                return Ok(());
            }
        }
    }

    /// Takes a burst of frames from the stack; whether there may be more.
    fn pull(&mut self, now: Instant, interface: InterfaceId, core: &mut Core, woken: &mut Woken) -> bool {
        (self.written, self.pulled) = (0, 0);
        let mut more = true;
        while more && self.pulled < BURST_MAX {
            if self.burst.len() == self.pulled {
                self.burst.push(TxFrame::new(Cause::default()));
            }
            if !core.stack.poll_transmit(now, interface, &mut self.burst[self.pulled]) {
                more = false;
                break;
            }
            self.pulled += 1;
            more = core.stack.wants_transmit(interface);
        }
        // Sending can make room for those who wait to write.
        core.take_events(woken);
        more
    }

    /// Writes what was pulled; false when the device refuses, which is tried again later.
    fn write(&mut self, now: Instant) -> io::Result<bool> {
        self.retry_at = None;
        while let Some(frame) = self.burst[..self.pulled].get_mut(self.written) {
            match self.device.transmit(now, frame) {
                Ok(()) => {
                    // The payload belongs to send queues: they get it back now, not at the next burst.
                    frame.payload.clear();
                    self.written += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + RETRY_AFTER);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
