//! `tapstack demo`: two machines of the stack and the kernel find, ping, refuse and send to each other.
//!
//! - **In**: the world to run in, the seed, the capture's name.
//! - **Out**: a line for each step, a short ladder with the reasons, a summary, a capture for Wireshark.
//! - **Keeps**: the capture; everything else ends with the process, also after Ctrl-C.
//! - **Never**: touches the machine's own network; runs an external program; falls back from a world that was asked
//!   for by name.
//!
//! The steps are written once, over `Host`s and a [`peer::Peer`] for the kernel's side. A world only sets the stage:
//! `tap` in a private network namespace, `sim` with a third machine in the kernel's place.

mod bulk;
mod interrupt;
#[cfg(target_os = "linux")]
mod kernel;
mod peer;
mod progress;
mod record;
mod report;
mod show;
mod sim;
mod stage;
mod steps;
#[cfg(target_os = "linux")]
mod tap;
mod watch;
mod web;

use crate::Failure;
use crate::cli::{DemoArgs, WorldChoice};
use crate::ui::{self, Ui};
use record::Record;
use stage::Report;

/// What the worlds are called, in the last line as well.
const TAP: &str = "tap";
const SIM: &str = "sim";

/// Runs the demo. Fails when a step did not hold, or the world that was asked for can't be had.
pub fn run(ui: &Ui, args: &DemoArgs) -> Result<(), Failure> {
    let record = Record::create(args.capture.as_deref())?;
    let guard = interrupt::Guard::default();
    let (world, reports) = match args.world {
        WorldChoice::Sim => (SIM, sim::run(ui, args.seed, &record, &guard)),
        choice => match run_tap(ui, args.seed, &record, &guard) {
            Ok(reports) => (TAP, reports),
            Err(why) if choice == WorldChoice::Tap => {
                record.abandon(false);
                return Err(Failure::Failed(format!("no TAP here: {why}")));
            }
            Err(why) => {
                ui::note(&format!("no TAP here: {why}"));
                ui::note("so the same steps run simulated; tapstack doctor says more");
                (SIM, sim::run(ui, args.seed, &record, &guard))
            }
        },
    };
    let file = record.finish()?;
    guard.disarm();
    report::print(ui, world, &reports, &file)
}

#[cfg(target_os = "linux")]
fn run_tap(ui: &Ui, seed: u64, record: &Record, guard: &interrupt::Guard) -> Result<Vec<Report>, String> {
    tap::run(ui, seed, record, guard)
}

#[cfg(not(target_os = "linux"))]
fn run_tap(_: &Ui, _: u64, _: &Record, _: &interrupt::Guard) -> Result<Vec<Report>, String> {
    Err("TAP devices are Linux's".to_owned())
}
