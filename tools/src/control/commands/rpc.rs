//! `tapstack rpc info|call|ping`: asks a machine that is up to call other machines' programs.

use super::super::client::Machine;
use super::super::protocol::{Reply, Request, RpcSpec};
use super::ping::millis;
use super::unexpected;
use crate::Failure;
use crate::rpc::args::{CallArgs, InfoArgs, PingArgs, ProgramArgs, RpcCommand};
use crate::table::Table;
use crate::ui::Ui;
use std::time::Duration;

/// Runs what acts on a machine; none where nothing does.
pub(super) fn run(ui: &Ui, command: &RpcCommand) -> Option<Result<(), Failure>> {
    let find = |which: &super::super::args::Which| Machine::find(which.name.as_deref());
    Some(match command {
        RpcCommand::Semantics(_) => return None,
        RpcCommand::Info(args) => find(&args.which).and_then(|machine| info(ui, &machine, args)),
        RpcCommand::Call(args) => find(&args.program.which).and_then(|machine| call(ui, &machine, args)),
        RpcCommand::Ping(args) => find(&args.program.which).and_then(|machine| ping(ui, &machine, args)),
    })
}

fn info(ui: &Ui, machine: &Machine, args: &InfoArgs) -> Result<(), Failure> {
    let request = Request::RpcList { to: args.to, timeout_ms: millis_of(args.timeout) };
    let Reply::RpcPrograms { rows } = machine.ask(&request, args.timeout)? else { return unexpected() };
    let mut table = Table::new(&[">program", ">version", "netid", "address", "owner"]);
    for row in &rows {
        table.row([
            row.program.to_string(),
            row.version.to_string(),
            row.netid.clone(),
            row.address.clone(),
            row.owner.clone(),
        ]);
    }
    table.lines().iter().for_each(|line| ui.last_line(line));
    Ok(())
}

fn call(ui: &Ui, machine: &Machine, args: &CallArgs) -> Result<(), Failure> {
    let spec = spec(&args.program, args.procedure, &args.arguments, 1);
    let (times, results) = ask(machine, &args.program, spec)?;
    ui.last_line(if results.is_empty() { "no results: void" } else { &results });
    if let Some(micros) = times.first() {
        ui.line(format!("in {} ms", millis(*micros)));
    }
    Ok(())
}

fn ping(ui: &Ui, machine: &Machine, args: &PingArgs) -> Result<(), Failure> {
    let ProgramArgs { to, program, version, tcp, .. } = &args.program;
    let transport = if *tcp { "tcp" } else { "udp" };
    let from = machine.name();
    ui.line(format!(
        "{} null calls of {program} version {version} at {to} by {transport} from {from}",
        args.count
    ));
    let (mut times, _) = ask(machine, &args.program, spec(&args.program, 0, "", args.count))?;
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    let shown = [("min", 0), ("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];
    let line =
        shown.map(|(name, percent)| format!("{name} {} ms", millis(at(percent).copied().unwrap_or(0))));
    ui.last_line(line.join(", "));
    Ok(())
}

fn spec(args: &ProgramArgs, procedure: u32, arguments: &str, count: u32) -> RpcSpec {
    let &ProgramArgs { to, program, version, port, tcp, .. } = args;
    RpcSpec { to, port, tcp, program, version, procedure, arguments: arguments.to_owned(), count }
}

fn ask(machine: &Machine, args: &ProgramArgs, call: RpcSpec) -> Result<(Vec<u64>, String), Failure> {
    let request = Request::RpcCall { call, timeout_ms: millis_of(args.timeout) };
    match machine.ask(&request, args.timeout)? {
        Reply::RpcCalled { micros, results } => Ok((micros, results)),
        _ => unexpected(),
    }
}

fn millis_of(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
}
