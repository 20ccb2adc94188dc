//! `tapstack up`: a machine on one or more TAPs that serves, forwards and is looked at, until Ctrl-C.
//!
//! - **In**: the command line and a TOML file (`plan`); frames from the TAPs; requests on the control socket.
//! - **Out**: small services (`services`), a web site (`web`), a capture (`record`).
//! - **Keeps**: its name's lock and control socket; a note of what it changed on interfaces that outlive it (`place`).
//! - **Never**: overlaps a network that the kernel has a route to; leaves anything when it ends by itself or by a
//!   signal, and what a kill leaves is mended by the next one of that name.

pub mod args;
mod machine;
mod place;
mod plan;
mod record;
mod services;
mod web;

use crate::Failure;
use crate::control::{self, Claim, Claimed, State};
use crate::ui::{self, Ui};
use args::UpArgs;
use plan::{HostSide, Plan};
use record::Record;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use tapstack::net::tap::{Machine, RunningMachine};

/// What is started on a machine besides what it always serves; says in lines what is there. Errors: why it can't be.
pub(crate) type Extra<'a> = &'a dyn Fn(&Machine) -> Result<Vec<String>, String>;

/// Runs a machine until Ctrl-C, which is its ordinary end.
pub(crate) fn run(ui: &Ui, args: &UpArgs) -> Result<(), Failure> {
    run_with(ui, args, &|_| Ok(Vec::new()))
}

/// As [`run`], with something more on the machine.
pub(crate) fn run_with(ui: &Ui, args: &UpArgs, extra: Extra<'_>) -> Result<(), Failure> {
    let plan = Plan::read(args).map_err(Failure::Misused)?;
    // What the user named is opened before the process moves anywhere.
    let www = plan.www.as_deref().map(web::Folder::open).transpose().map_err(Failure::Misused)?;
    let record = plan.capture.as_deref().map(Record::create).transpose().map_err(Failure::Misused)?;
    let private = plan.private || !rustix::process::geteuid().is_root();
    let as_root = rustix::process::geteuid().is_root();
    let (mut claim, left) = match Claim::take(&control::folder(), &plan.name).map_err(Failure::Failed)? {
        Claimed::Ours(claim, left) => (claim, left),
        Claimed::Taken(pid) => {
            let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let name = &plan.name;
            return Err(Failure::Failed(format!(
                "a machine named {name} is up already{process}: end it, or choose another --name"
            )));
        }
    };
    if let Some(left) = left {
        mend(ui, &plan, &left);
    }
    if private {
        place::move_in().map_err(Failure::Failed)?;
    }
    place::check_routes(&plan).map_err(Failure::Failed)?;
    let mut state = State { pid: std::process::id(), namespace: place::namespace(), changes: Vec::new() };
    let offers = Offers { www, extra };
    let done = bring_up(ui, &plan, offers, record, &mut claim, &mut state, private.then_some(as_root));
    // The TAPs are closed by now: what is left of the changes is on those that outlive us.
    place::undo(&state);
    done
}

/// Undoes what a machine of this name left that did not get to its end.
fn mend(ui: &Ui, plan: &Plan, left: &State) {
    let undone = place::undo(left);
    if ui.is_quiet() {
        return;
    }
    let process = if left.pid == 0 { String::new() } else { format!(" (process {})", left.pid) };
    let what = if undone.is_empty() { "its control socket".to_owned() } else { undone.join(", ") };
    ui::note(&format!("an earlier {}{process} did not end cleanly: removed {what}", plan.name));
}

/// What is served that not every machine serves.
struct Offers<'a> {
    www: Option<web::Folder>,
    extra: Extra<'a>,
}

/// Makes the machine, serves with it, and waits for its end.
fn bring_up(
    ui: &Ui,
    plan: &Plan,
    offers: Offers<'_>,
    record: Option<Record>,
    claim: &mut Claim,
    state: &mut State,
    private: Option<bool>,
) -> Result<(), Failure> {
    claim.note(state).map_err(Failure::Failed)?;
    let devices = place::furnish(plan, |change| {
        state.changes.push(change);
        claim.note(state)
    });
    let devices = devices.map_err(Failure::Failed)?;
    let names: Vec<String> = devices.iter().map(|device| device.name.clone()).collect();
    let interrupted = interrupts();
    let machine = machine::make(plan, devices, record.as_ref()).map_err(Failure::Failed)?;
    let host = machine.host();
    let started = host.now();
    services::start(&host, plan).map_err(Failure::Failed)?;
    web::start(&host, started, offers.www).map_err(Failure::Failed)?;
    let extra = (offers.extra)(&machine).map_err(Failure::Failed)?;
    let machine =
        machine.spawn().map_err(|error| Failure::Failed(format!("can't start a thread: {error}")))?;
    let listener = claim.listen().map_err(Failure::Failed)?;
    control::serve(listener, control::Served { host, started })
        .map_err(|error| Failure::Failed(format!("can't start a thread: {error}")))?;
    introduce(ui, plan, &names, &extra, private);
    let ended = wait(&machine, record.as_ref(), &interrupted);
    let stopped = machine.shutdown();
    let written = record.map_or(Ok(()), |record| record.finish());
    ended.map_err(Failure::Failed)?;
    stopped.map_err(|error| Failure::Failed(format!("a TAP failed under {}: {error}", plan.name)))?;
    written.map_err(Failure::Failed)?;
    ui.line(format!("{} is down", plan.name));
    Ok(())
}

/// From now on Ctrl-C, SIGTERM and SIGHUP are told here, each once.
fn interrupts() -> Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    let handler = move || {
        // The second Ctrl-C of an impatient user: the first is being obeyed, so nobody may listen any more.
        let _ = sender.send(());
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will not clean up: {error}");
    }
    receiver
}

/// Waits for Ctrl-C, or for the machine to end by itself; the capture is written meanwhile.
fn wait(machine: &RunningMachine, record: Option<&Record>, interrupted: &Receiver<()>) -> Result<(), String> {
    while machine.is_running() {
        match interrupted.recv_timeout(TICK) {
            Ok(()) => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        record.map_or(Ok(()), Record::flush)?;
    }
    Ok(())
}

/// Says what is there and how to reach it.
fn introduce(ui: &Ui, plan: &Plan, names: &[String], extra: &[String], private: Option<bool>) {
    let pid = std::process::id();
    ui.last_line(format!("{} is up (process {pid})", plan.name));
    for (tap, name) in plan.taps.iter().zip(names) {
        let addresses: Vec<String> = tap.addresses.iter().map(ToString::to_string).collect();
        let kernel = match &tap.host {
            HostSide::Address(address) => format!("the kernel is {}", address.address),
            HostSide::Bridge(bridge) => format!("in the bridge {bridge}"),
            HostSide::Nothing => "the kernel has no address there".to_owned(),
        };
        ui.line(format!("  {name:<10} {}, {kernel}", addresses.join(", ")));
    }
    if plan.forwarding {
        ui.line("  forwarding between its TAPs: tapstack route shows how");
    }
    let address = plan.address();
    ui.line(format!("  web page   http://{address}/"));
    if let Some(www) = &plan.www {
        ui.line(format!("  files      http://{address}/files/ is {}", www.display()));
    }
    ui.line("  services   echo 7, discard 9, daytime 13, chargen 19, TCP and UDP");
    extra.iter().for_each(|line| ui.line(line));
    if let Some(as_root) = private {
        let user = if as_root { "-n" } else { "-U -n --preserve-credentials" };
        ui.line("It is in a network namespace of its own. This runs a command beside it:");
        ui.last_line(format!("  nsenter -t {pid} {user} curl http://{address}/"));
    }
    ui.line("Ctrl-C ends it.");
}

/// How often the machine is looked at, and what was captured is written.
const TICK: Duration = Duration::from_millis(200);
