//! `tapstack rpc semantics`: the experiment of the RPC app, as a table. What acts on machines is with `control`.

pub mod args;

use crate::Failure;
use crate::capture_file::CaptureFile;
use crate::ui::{self, Ui};
use args::{RpcArgs, RpcCommand, SemanticsArgs};
use tapstack::capture::{Capture, CaptureOptions};
use tapstack_rpc::experiment::{self, AMOUNT, Fault, Trial};

/// Runs what needs no machine.
pub(crate) fn run(ui: &Ui, args: &RpcArgs) -> Result<(), Failure> {
    match &args.what {
        RpcCommand::Semantics(args) => semantics(ui, args),
        #[cfg(target_os = "linux")]
        _ => Ok(()),
    }
}

fn semantics(ui: &Ui, args: &SemanticsArgs) -> Result<(), Failure> {
    let file = args.capture.as_deref().map(CaptureFile::open).transpose().map_err(Failure::Misused)?;
    let frames = file.as_ref().map(|_| Capture::new(CaptureOptions::default()));
    let trials = experiment::run(args.seed, frames.as_ref())
        .map_err(|error| Failure::Failed(format!("the experiment: {}", ui::reason(&error))))?;
    ui.heading(&format!("One deposit of {AMOUNT} into an empty account, and what goes wrong"));
    experiment::table(&trials).lines().for_each(|line| ui.line(line));
    ui.line("");
    ui.line("Each cell: what is in the account afterwards, what the caller was told, how often it ran.");
    for trial in trials.iter().filter(|trial| trial.fault != Fault::None) {
        if let Some(line) = remark(trial) {
            ui.line(line);
        }
    }
    if let (Some(file), Some(frames)) = (file, frames) {
        file.write(&frames.take()).map_err(Failure::Failed)?;
        ui.line(format!("every frame is in {}, to be read by", file.path().display()));
        let (options, port) = ("-o rpc.dissect_unknown_programs:TRUE -d udp.port", experiment::PORT);
        ui.line(format!("  wireshark {options}=={port},rpc {}", file.path().display()));
    }
    let wrong = trials.iter().filter(|trial| !holds(trial)).count();
    ui.last_line(format!("{} trials, {wrong} broke what their semantics promise", trials.len()));
    if wrong == 0 { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

/// What the table doesn't say: why a caller was told of an error.
fn remark(trial: &Trial) -> Option<String> {
    let error = trial.told.as_ref().err()?;
    Some(format!("  {}, {}: {error}", trial.semantics, trial.fault.name()))
}

/// Whether a trial came out as its semantics promise.
fn holds(trial: &Trial) -> bool {
    use tapstack_rpc::Semantics::{AtLeastOnce, AtMostOnce, ExactlyOnce, Maybe};
    let (told, executions) = (trial.told.is_ok(), trial.executions());
    match trial.semantics {
        Maybe => !told || executions >= 1,
        AtLeastOnce => told && executions >= 1,
        AtMostOnce => executions == i64::from(told) || !told && executions <= 1,
        ExactlyOnce => told && executions == 1,
    }
}
