//! `tapstack doctor`: what this machine allows, and the one command that mends each lack.
//!
//! - **In**: [`Facts`], gathered once from /proc, /dev and the search path, and one real try.
//! - **Out**: a table of [`Check`]s, then the commands that mend what is missing.
//! - **Never**: changes anything; the try's namespace, bridge and TAP end with the process.

mod checks;
mod facts;
mod page_lists;
mod trial;

pub use checks::{Check, State, checks};
pub use facts::{Facts, Installer, TunNode};
pub use page_lists::PageLists;

use crate::Failure;
use crate::ui::{self, Mark, Ui};
use owo_colors::OwoColorize as _;

/// Columns of a line at most, so that the table fits the narrowest usual terminal.
const WIDTH: usize = 80;

/// Looks, tries, reports. Fails when `tapstack demo --world tap` could not run here.
pub fn run(ui: &Ui) -> Result<(), Failure> {
    let facts = Facts::gather();
    let checks = checks(&facts);
    print_table(ui, &checks);
    print_mends(ui, &checks);
    let lacking: Vec<&str> = checks.iter().filter(|c| c.state == State::Missing).map(|c| c.what).collect();
    if lacking.is_empty() {
        ui.line("");
        ui.last_line("tapstack demo --world tap can run here.");
        return Ok(());
    }
    ui.line("");
    ui.last_line(format!("tapstack demo --world tap can't run here: {}.", lacking.join(", ")));
    ui.line("tapstack demo --world sim can: it needs nothing.");
    Err(Failure::Failed(String::new()))
}

fn print_table(ui: &Ui, checks: &[Check]) {
    let what_width = checks.iter().map(|c| c.what.chars().count()).max().unwrap_or(0);
    let state_width = State::WIDTH;
    for check in checks {
        let mark = match check.state {
            State::Ok => Mark::Ok,
            State::Missing => Mark::Bad,
            State::Optional | State::Untried => Mark::Absent,
        };
        let indent = what_width + 2 + state_width + 2;
        let mut lines = ui::wrap(&check.detail, WIDTH - indent).into_iter();
        let first = lines.next().unwrap_or_default();
        ui.line(format!(
            "{:<what_width$}  {}  {first}",
            check.what,
            mark.show(check.state.word(), state_width)
        ));
        for line in lines {
            ui.line(format!("{:indent$}{line}", ""));
        }
    }
}

fn print_mends(ui: &Ui, checks: &[Check]) {
    if checks.iter().all(|c| c.mend.is_none()) {
        return;
    }
    ui.heading("What mends it");
    let what_width = checks.iter().filter(|c| c.mend.is_some()).map(|c| c.what.len()).max().unwrap_or(0);
    for check in checks {
        if let Some(mend) = &check.mend {
            // Not wrapped: a command is there to be copied.
            ui.line(format!("{:<what_width$}  {}", check.what, mend.bold()));
        }
    }
}
