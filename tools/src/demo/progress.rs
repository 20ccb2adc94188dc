//! The progress bar of a bulk transfer, where a terminal shows it; nothing elsewhere.

use crate::ui::Ui;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing. Clones move the same bar.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar for a transfer of `bytes`, if it would be seen.
    pub(super) fn start(ui: &Ui, what: &str, bytes: u64) -> Progress {
        if !ui.shows_progress() {
            return Progress::default();
        }
        let style = ProgressStyle::with_template("  {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes}")
            .map(|style| style.progress_chars("=> "))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(bytes).with_style(style).with_message(what.to_owned());
        Progress { bar: Some(bar) }
    }

    /// So many bytes more have arrived.
    pub(super) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
