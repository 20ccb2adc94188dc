//! The demo's capture: where it is written, whom it watches, what it keeps.

use super::interrupt::Guard;
use super::watch::{Watch, Watcher};
use crate::Failure;
use crate::capture_file::CaptureFile;
use crate::ui;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tapstack::capture::{Capture, CaptureObserver, CaptureOptions, Observer};
use tapstack::net::Host;
#[cfg(target_os = "linux")]
use tapstack::stack::{InterfaceConfig, InterfaceId};

/// Ordinary packets that are kept of each flow, so that of a bulk transfer its beginning is there to be read.
const FLOW_PACKETS_MAX: u32 = 200;
/// The capture's size at most, in bytes.
const CAPTURE_BYTES_MAX: u64 = 18_000_000;

/// The capture while it is being written. Clones are the same.
#[derive(Clone)]
pub(super) struct Record {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    file: File,
    /// Whether nobody named the file, so that nobody misses it when the demo does not get to its end.
    temporary: bool,
    /// Whether the file was not there before.
    made: bool,
    /// None until a world has begun.
    capture: Option<Capture>,
    /// All that was written, for the ladder: the file may be a pipe.
    written: Vec<u8>,
    error: Option<io::Error>,
}

/// The capture when it is complete.
pub(super) struct Recorded {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Why it could not be written, if it couldn't.
    pub(super) error: Option<String>,
}

impl Record {
    /// Opens the file that was named, or a temporary one that is kept.
    pub(super) fn create(named: Option<&Path>) -> Result<Record, Failure> {
        let (path, file, made) = match named {
            Some(path) => {
                let made = !path.exists();
                let file = CaptureFile::open(path).map_err(Failure::Misused)?.into_file();
                (path.to_owned(), file, made)
            }
            None => {
                let (file, path) = make_temporary().map_err(|error| {
                    Failure::Failed(format!(
                        "can't make a temporary file: {error}; name one with --capture FILE"
                    ))
                })?;
                (path, file, true)
            }
        };
        let temporary = named.is_none();
        let inner = Inner { file, temporary, made, capture: None, written: Vec::new(), error: None };
        Ok(Record { path, inner: Arc::new(Mutex::new(inner)) })
    }

    /// A world begins, whose clock's zero is this many nanoseconds after 1970.
    pub(super) fn begin(&self, epoch_unix_nanos: u64, guard: &Guard) -> Capture {
        let options = CaptureOptions {
            epoch_unix_nanos,
            flow_packets_max: Some(FLOW_PACKETS_MAX),
            total_bytes_max: CAPTURE_BYTES_MAX,
            ..CaptureOptions::default()
        };
        let capture = Capture::new(options);
        self.lock().capture = Some(capture.clone());
        let interrupted = self.clone();
        guard.on_interrupt(move || interrupted.abandon(true));
        capture
    }

    /// Gives a machine's interface its name and addresses in the capture.
    #[cfg(target_os = "linux")]
    pub(super) fn describe(&self, machine: &str, id: InterfaceId, interface: &InterfaceConfig) {
        if let Some(capture) = &self.lock().capture {
            capture.add_interface(machine, id, interface);
        }
    }

    /// Has a machine's frames written, and seen by `watch`.
    pub(super) fn observe(&self, host: &Host, watch: Option<&Watch>) {
        let Some(capture) = self.lock().capture.clone() else { return };
        let observer: CaptureObserver = capture.observer(host.name());
        let observer: Box<dyn Observer> = match watch {
            Some(watch) => Box::new(Watcher { watch: watch.clone(), inner: observer }),
            None => Box::new(observer),
        };
        host.set_observer(Some(observer));
    }

    /// Writes what was captured since the last time.
    pub(super) fn flush(&self) {
        self.lock().flush();
    }

    /// Writes the rest.
    pub(super) fn finish(&self) -> Recorded {
        let mut inner = self.lock();
        inner.flush();
        let error = inner.error.take();
        Recorded {
            path: self.path.clone(),
            bytes: std::mem::take(&mut inner.written),
            error: error
                .map(|e| format!("can't write the capture to {}: {}", self.path.display(), ui::reason(&e))),
        }
    }

    /// The demo does not get to its end: what was captured of an interrupted run stays where it was asked for, and
    /// nothing stays of a run that did not begin.
    pub(super) fn abandon(&self, begun: bool) {
        let mut inner = self.lock();
        inner.flush();
        if inner.temporary || (inner.made && !begun) {
            // If it can't be removed, a small file in the temporary folder is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn flush(&mut self) {
        let Some(capture) = &self.capture else { return };
        let bytes = capture.take();
        if self.error.is_none()
            && let Err(error) = self.file.write_all(&bytes)
        {
            self.error = Some(error);
        }
        self.written.extend_from_slice(&bytes);
    }
}

fn make_temporary() -> io::Result<(File, PathBuf)> {
    let made = tempfile::Builder::new().prefix("tapstack-demo-").suffix(".pcapng").tempfile()?;
    made.keep().map_err(|kept| kept.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_capture_leaves_what_was_there_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new.pcapng");
        let record = Record::create(Some(&path)).expect("created");
        record.abandon(false);
        assert!(!path.exists());
        let record = Record::create(None).expect("created");
        assert!(record.path.exists());
        record.abandon(true);
        assert!(!record.path.exists());
    }
}
