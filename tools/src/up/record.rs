//! The capture of a machine that is up: written as it goes on, for as long as it does.

use crate::capture_file::CaptureFile;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::net::Host;
use tapstack::stack::{InterfaceConfig, InterfaceId};

/// A capture and its file.
pub(super) struct Record {
    capture: Capture,
    file: CaptureFile,
}

impl Record {
    /// Opens the file. Errors: why it can't be written, or that it is something else than a capture.
    pub(super) fn create(path: &Path) -> Result<Record, String> {
        let file = CaptureFile::open(path)?;
        let epoch_unix_nanos = epoch_unix_nanos();
        let capture = Capture::new(CaptureOptions { epoch_unix_nanos, ..CaptureOptions::default() });
        Ok(Record { capture, file })
    }

    /// Gives an interface its name and addresses in the capture.
    pub(super) fn add_interface(&self, machine: &str, id: InterfaceId, interface: &InterfaceConfig) {
        self.capture.add_interface(machine, id, interface);
    }

    /// Has the machine's frames recorded.
    pub(super) fn observe(&self, host: &Host) {
        host.set_observer(Some(Box::new(self.capture.observer(host.name()))));
    }

    /// Writes what was recorded since the last time. Errors: what the system says, with the file's name.
    pub(super) fn flush(&self) -> Result<(), String> {
        self.file.write(&self.capture.take())
    }

    /// Writes the rest. Errors: as [`Record::flush`].
    pub(super) fn finish(self) -> Result<(), String> {
        self.flush()?;
        let missed = self.capture.stats().missed;
        if missed > 0 {
            crate::ui::note(&format!(
                "the capture misses {missed} frames: they came faster than it was written"
            ));
        }
        Ok(())
    }
}

/// When the monotonic clock, which is the machine's, showed zero.
fn epoch_unix_nanos() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(monotonic.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(monotonic.tv_nsec).unwrap_or(0);
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX).saturating_sub(seconds * 1_000_000_000 + nanos)
}
