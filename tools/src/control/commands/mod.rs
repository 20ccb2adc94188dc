//! The commands that act on a machine that is up: each asks over the control socket and shows the answer.

mod nc;
mod ping;
mod rpc;
mod tables;
mod traceroute;

use super::client::Machine;
use crate::Failure;
use crate::cli::Command;
use crate::ui::Ui;

/// Runs one of the commands; none where it is another's.
pub(crate) fn run(ui: &Ui, command: &Command) -> Option<Result<(), Failure>> {
    let find = |which: &super::args::Which| Machine::find(which.name.as_deref());
    Some(match command {
        Command::Ping(args) => find(&args.which).and_then(|machine| ping::run(ui, &machine, args)),
        Command::Nc(args) => nc::run(ui, args),
        Command::Traceroute(args) => {
            find(&args.which).and_then(|machine| traceroute::run(ui, &machine, args))
        }
        Command::Arp(args) => find(&args.which).and_then(|machine| tables::arp(ui, &machine, args)),
        Command::Route(args) => tables::route(ui, args),
        Command::Ss(args) => find(&args.which).and_then(|machine| tables::ss(ui, &machine, args)),
        Command::Rpc(args) => return rpc::run(ui, &args.what),
        _ => return None,
    })
}

/// What a machine says that can't be an answer: it is of another version.
pub(crate) fn unexpected<T>() -> Result<T, Failure> {
    Err(Failure::Failed("the machine gave another kind of answer: is it of this version?".to_owned()))
}
