//! What the demo says at its end: a ladder of its first exchange, a summary, and how to open the capture.

use super::record::Recorded;
use super::show::TITLE_WIDTH;
use super::stage::{ANNA, BEN, Held, KERNEL, Report};
use super::steps::short;
use crate::Failure;
use crate::read_out;
use crate::ui::{Mark, Ui};
use owo_colors::OwoColorize as _;
use tapstack::time::Duration;

/// Prints all of it. Fails if a step did not hold.
pub(super) fn print(ui: &Ui, world: &str, reports: &[Report], recorded: &Recorded) -> Result<(), Failure> {
    print_ladder(ui, recorded);
    print_summary(ui, world, reports);
    print_capture(ui, recorded);
    let failed = reports.iter().filter(|report| report.result.is_err()).count();
    ui.line("");
    if let Some(error) = &recorded.error {
        return Err(Failure::Failed(error.clone()));
    }
    if failed == 0 && !reports.is_empty() {
        ui.last_line(format!("All {} steps held, in the {world} world.", reports.len()));
        return Ok(());
    }
    if ui.is_quiet() {
        for report in reports {
            if let Err(why) = &report.result {
                crate::ui::error(&format!("{}: {why}", report.title));
            }
        }
    }
    ui.last_line(format!("{failed} of {} steps did not hold, in the {world} world.", reports.len()));
    Err(Failure::Failed(String::new()))
}

fn print_summary(ui: &Ui, world: &str, reports: &[Report]) {
    ui.heading("Summary");
    let clock = if world == super::SIM { "virtual time" } else { "time" };
    ui.line(format!("  {:<TITLE_WIDTH$}  {:<6}  {clock:>12}  {:>13}", "step", "result", "rate"));
    for report in reports {
        let (mark, word, rate) = match &report.result {
            Ok(held) => (Mark::Ok, "ok", rate(held)),
            Err(_) => (Mark::Bad, "FAIL", String::new()),
        };
        let (mark, took) = (mark.show(word, 6), short(report.took));
        ui.line(format!("  {:<TITLE_WIDTH$}  {mark}  {took:>12}  {rate:>13}", report.title).trim_end());
    }
}

fn rate(held: &Held) -> String {
    match held.moved {
        Some((bytes, took)) if took > Duration::ZERO => {
            format!("{:.2} Gbit/s", bytes as f64 * 8.0 / took.as_secs_f64() / 1e9)
        }
        _ => String::new(),
    }
}

fn print_capture(ui: &Ui, recorded: &Recorded) {
    if recorded.error.is_some() {
        return;
    }
    let (file, tapstack) = (recorded.path.display(), own_name());
    ui.heading("Capture");
    ui.line(format!("  {file} ({:.1} MB; bulk transfers are cut short)", recorded.bytes.len() as f64 / 1e6));
    ui.line("");
    ui.line(format!("  {}", format!("wireshark {file}").bold()));
    ui.line("      each frame's reason is under \"Packet comments\"; as a column: frame.comment");
    ui.line(format!("  {}", format!("{tapstack} explain {file}").bold()));
    ui.line("      prints the whole ladder here");
}

/// How this command was called, so that what it shows can be typed: `cargo run` does not put it on the path.
fn own_name() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains(std::path::MAIN_SEPARATOR) { called } else { "tapstack".to_owned() }
}

/// Frames of the ladder: the first exchange, with the announcements and the question before it.
const LADDER_FRAMES: usize = 8;

fn print_ladder(ui: &Ui, recorded: &Recorded) {
    let names = [(KERNEL, "kernel"), (ANNA, "anna"), (BEN, "ben")];
    ui.heading("How it began, and why");
    match read_out::beginning(&recorded.bytes, &names, LADDER_FRAMES) {
        Ok(ladder) => ui.line(ladder.trim_end_matches('\n')),
        Err(error) => ui.line(format!("  the capture can't be read: {error}")),
    }
}
