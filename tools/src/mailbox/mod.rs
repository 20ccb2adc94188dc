//! `tapstack mailbox`: boxes on a machine that is up, letters to and from them, and what their semantics are worth.
//!
//! - **In**: the command line; for `serve`, whatever `tapstack up` takes in.
//! - **Out**: letters and tables on standard output; boxes on the network.
//! - **Keeps**: nothing but what the boxes' disk keeps.
//! - **Never**: takes a letter without acknowledging it, or acknowledges one before the machine has it.
//!
//! `serve` is `up` with a post office on the machine. `send`, `recv`, `watch` and `list` ask a machine that is up, by
//! its control socket, to act as the client; `semantics` needs no machine at all.

pub mod args;
#[cfg(target_os = "linux")]
mod letters;
mod semantics;
#[cfg(target_os = "linux")]
mod serve;

use crate::Failure;
use crate::ui::Ui;
use args::{MailboxArgs, MailboxCommand};

/// Runs one of the subcommands.
pub(crate) fn run(ui: &Ui, args: &MailboxArgs) -> Result<(), Failure> {
    match &args.command {
        #[cfg(target_os = "linux")]
        MailboxCommand::Serve(args) => serve::run(ui, args),
        #[cfg(target_os = "linux")]
        MailboxCommand::Send(args) => letters::send(ui, args),
        #[cfg(target_os = "linux")]
        MailboxCommand::Recv(args) => letters::recv(ui, args),
        #[cfg(target_os = "linux")]
        MailboxCommand::Watch(args) => letters::watch(ui, args),
        #[cfg(target_os = "linux")]
        MailboxCommand::List(args) => letters::list(ui, args),
        MailboxCommand::Semantics(args) => semantics::run(ui, args),
    }
}
