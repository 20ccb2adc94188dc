//! Busy polling: the loop asks its devices for a while before it sleeps, so that no wake-up delays the next frame.

use super::{Driver, Look, Turns};
use crate::time::{Duration, Instant};
use std::io;
use std::sync::atomic::Ordering;

impl Turns<'_> {
    /// Asks the devices until there is something to do, which it says by true; false when it may sleep now, since
    /// busy polling is off or nothing has come for as long as it lasts.
    pub(super) fn spin(
        &self,
        driver: &mut Driver,
        timeout: Option<Duration>,
        look: &mut Look<'_>,
    ) -> io::Result<bool> {
        let spin = self.shared.busy_poll().max(driver.spin);
        if spin.is_zero() || timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Ok(false);
        }
        let start = self.machine.now();
        let asked = timeout.map_or(Instant::FAR_FUTURE, |timeout| start + timeout);
        let end = (driver.active_at + spin).min(asked);
        if start >= end {
            return Ok(false);
        }
        let others = driver.receivers.iter().filter_map(|receiver| receiver.device.next_deadline()).min();
        // Whoever makes something ready or a deadline nearer rings: that is seen here, without a system call.
        self.shared.bell.spinning.store(true, Ordering::SeqCst);
        let due = self.shared.plan_sleep(self.machine, others).unwrap_or(Instant::FAR_FUTURE);
        let found = if look() || self.machine.executor.is_ready() {
            Ok(true)
        } else {
            self.ask_devices(driver, end, due)
        };
        // Who sees these late rings in vain, at worst.
        self.shared.bell.spinning.store(false, Ordering::Release);
        self.shared.bell.sleeping_until.store(0, Ordering::Release);
        found
    }

    /// Asks until a frame comes, the bell rings or `due` has come: true; or until `end`: false.
    fn ask_devices(&self, driver: &mut Driver, end: Instant, due: Instant) -> io::Result<bool> {
        loop {
            let now = self.machine.now();
            for receiver in &mut driver.receivers {
                let found = receiver.device.receive(now);
                let found = found.map_err(|error| self.shared.fail(self.machine, error))?;
                receiver.held = found.map(|frame| (now, frame));
                if receiver.held.is_some() {
                    receiver.readable = true;
                    return Ok(true);
                }
            }
            if now >= due || self.shared.bell.sleeping_until.load(Ordering::SeqCst) == 0 {
                return Ok(true);
            }
            // No pause: the devices' system calls are one, and a frame that comes in a pause waits.
            if now >= end {
                return Ok(false);
            }
        }
    }
}
