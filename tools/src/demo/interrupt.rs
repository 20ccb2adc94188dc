//! What Ctrl-C does to the demo: clean up, say so, end with exit code 130.

use crate::Failure;
use crate::ui;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, Once, PoisonError};

type CleanUp = Box<dyn FnOnce() + Send>;

/// What is left to clean up when Ctrl-C comes. Namespaces, interfaces and threads end with the process anyway.
#[derive(Clone, Default)]
pub(super) struct Guard {
    clean_ups: Arc<Mutex<Vec<CleanUp>>>,
}

impl Guard {
    /// Adds something that Ctrl-C does before the process ends.
    pub(super) fn on_interrupt(&self, clean_up: impl FnOnce() + Send + 'static) {
        self.clean_ups.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(clean_up));
    }

    /// From now on Ctrl-C, SIGTERM and SIGHUP clean up. This starts a thread, which user namespaces don't allow
    /// before they are entered; until then, these signals just end the process, which has nothing to clean up yet.
    pub(super) fn arm(&self) {
        static ARMED: Once = Once::new();
        let guard = self.clone();
        ARMED.call_once(move || {
            let handler = move || {
                for clean_up in guard.take() {
                    clean_up();
                }
                if std::io::stderr().is_terminal() {
                    // The terminal has written ^C, perhaps into a progress bar: this line is not needed any more.
                    eprint!("\r\x1b[2K");
                }
                ui::error(Failure::Interrupted.message());
                std::process::exit(i32::from(Failure::INTERRUPTED));
            };
            if let Err(error) = ctrlc::set_handler(handler) {
                log::warn!("Ctrl-C will not clean up: {error}");
            }
        });
    }

    /// There is nothing left to clean up.
    pub(super) fn disarm(&self) {
        self.take();
    }

    fn take(&self) -> Vec<CleanUp> {
        std::mem::take(&mut *self.clean_ups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
