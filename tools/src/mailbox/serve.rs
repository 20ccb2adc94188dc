//! `tapstack mailbox serve`: a machine as `tapstack up` keeps it, with a post office on it.

use super::args::ServeArgs;
use crate::Failure;
use crate::ui::{self, Ui};
use crate::up;
use std::path::Path;
use tapstack::net::tap::Machine;
use tapstack_mailbox::{BoxOptions, Kind, Office, OfficeOptions, PORT};

pub(super) fn run(ui: &Ui, args: &ServeArgs) -> Result<(), Failure> {
    // A machine in a namespace of its own still has the folders of the shell that it was started from.
    let disk = args.disk.as_deref().map(std::path::absolute).transpose();
    let disk = disk.map_err(|error| Failure::Misused(format!("the folder for boxes: {error}")))?;
    up::run_with(ui, &args.up, &|machine| open(machine, args, disk.as_deref()))
}

/// Opens the post office, and says what is there.
fn open(machine: &Machine, args: &ServeArgs, disk: Option<&Path>) -> Result<Vec<String>, String> {
    if let Some(folder) = disk {
        let failed = |error| format!("the folder {} can't be used: {}", folder.display(), ui::reason(&error));
        machine.set_disk(folder).map_err(failed)?;
    }
    let options = OfficeOptions { durable: disk.is_some(), ..OfficeOptions::default() };
    let host = machine.host();
    let office = machine.run(Office::open(&host, &options)).and_then(|opened| opened);
    let office = office.map_err(|error| format!("boxes can't be served: {}", ui::reason(&error)))?;
    let options = BoxOptions {
        kind: if args.one_reader { Kind::Port } else { Kind::Mailbox },
        durable: disk.is_some(),
        when_full: args.when_full.into(),
        messages_max: args.messages,
        dead_letters: args.dead_letters.clone(),
        ..BoxOptions::default()
    };
    let dead = BoxOptions { dead_letters: None, ..options.clone() };
    let dead = args.dead_letters.iter().map(|name| (name, &dead));
    for (name, options) in dead.chain(args.boxes.iter().map(|name| (name, &options))) {
        office.create(name, options).map_err(|refusal| format!("the box {name} can't be made: {refusal}"))?;
    }
    let names: Vec<&str> = args.boxes.iter().chain(&args.dead_letters).map(|name| name.as_str()).collect();
    let kept = disk.map_or_else(|| "in memory".to_owned(), |folder| format!("in {}", folder.display()));
    Ok(vec![format!("  boxes      {}, {kept}, UDP and TCP {PORT}", names.join(", "))])
}
