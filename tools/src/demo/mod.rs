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
mod calls;
mod interrupt;
#[cfg(target_os = "linux")]
mod kernel;
mod mail;
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

use crate::Failure;
use crate::cli::{DemoArgs, WorldChoice};
use crate::ui::{self, Ui};
use record::Record;
use stage::Report;

/// What the worlds are called, in the last line as well.
const TAP: &str = "tap";
const SIM: &str = "sim";

/// Runs the demo. Fails when a step did not hold, or the world that was asked for can't be had.
pub(crate) fn run(ui: &Ui, args: &DemoArgs) -> Result<(), Failure> {
    let record = Record::create(args.capture.as_deref())?;
    let guard = interrupt::Guard::default();
    let (world, reports) = match args.world {
        WorldChoice::Sim => (SIM, sim::run(ui, args.seed, &record, &guard)),
        choice => match set_up_tap(args.seed, &record, &guard) {
            Ok(set) => (TAP, run_tap(set, ui, args.seed, &record)?),
            Err(why) if choice == WorldChoice::Tap => {
                record.abandon(false);
                return Err(Failure::Failed(format!("the tap world can't be had: {why}")));
            }
            Err(why) => {
                ui::note(&format!("the tap world can't be had: {why}"));
                ui::note("the same steps run simulated instead; tapstack doctor says more");
                (SIM, sim::run(ui, args.seed, &record, &guard))
            }
        },
    };
    let file = record.finish();
    guard.disarm();
    report::print(ui, world, &reports, &file)
}

#[cfg(target_os = "linux")]
use tap::set_up as set_up_tap;

/// Runs the steps in the tap world. Fails when a device does.
#[cfg(target_os = "linux")]
fn run_tap(set: tap::Set, ui: &Ui, seed: u64, record: &Record) -> Result<Vec<Report>, Failure> {
    set.run(ui, seed, record).map_err(|error| {
        record.abandon(true);
        Failure::Failed(format!("a TAP failed under the demo: {error}"))
    })
}

#[cfg(not(target_os = "linux"))]
fn set_up_tap(_: u64, _: &Record, _: &interrupt::Guard) -> Result<std::convert::Infallible, String> {
    Err("TAP devices are Linux's".to_owned())
}

#[cfg(not(target_os = "linux"))]
fn run_tap(set: std::convert::Infallible, _: &Ui, _: u64, _: &Record) -> Result<Vec<Report>, Failure> {
    match set {}
}
