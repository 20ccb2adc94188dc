//! The blocking sockets beside `std::net`: one list of behaviours, run on the kernel and on this stack, and compared.
//!
//! Every behaviour is run in these settings, each in network namespaces of its own:
//!
//! | setting | the sockets under test | their peer |
//! |---|---|---|
//! | wire | the kernel's | the kernel's in another namespace, over a virtual cable |
//! | tap, callers drive | ours, on a machine that is driven by the threads that call | the kernel's, over a TAP |
//! | tap, a loop drives | ours, on a machine with a thread of its own | the kernel's, over a TAP |
//! | loopback | the kernel's | the kernel's in the same namespace |
//! | own loopback | ours | ours on the same machine |
//!
//! The first must give the same outcome as the next two, and the fourth the same as the last; where they don't,
//! the behaviour's entry in the list says why, and the test fails if they do after all.

mod tcp;
mod tcp_ends;
mod tcp_names;
mod udp;
mod world;

use libtest_mimic::{Arguments, Failed, Trial};
use tapstack_cli::testbed::{self, Entered};
use world::{Kernel, Log, Ours, Setting, World};

/// A behaviour: it drives both sides, and notes what happened.
type Behaviour<W> = fn(&W, &mut Log);

/// An entry of the list, for one pair of implementations.
struct Entry<W> {
    name: &'static str,
    behaviour: Behaviour<W>,
    /// Why ours differs from the kernel's, over a TAP and on loopback, where it does.
    differs: [Option<&'static str>; 2],
}

/// The list, for one pair of implementations: it is the same list for all.
fn list<W: World>() -> Vec<Entry<W>> {
    [tcp::list(), tcp_ends::list(), tcp_names::list(), udp::list()].into_iter().flatten().collect()
}

fn entry<W>(name: &'static str, behaviour: Behaviour<W>) -> Entry<W> {
    Entry { name, behaviour, differs: [None; 2] }
}

impl<W> Entry<W> {
    /// Notes why ours differs, in both settings.
    fn differs(self, why: &'static str) -> Entry<W> {
        Entry { differs: [Some(why); 2], ..self }
    }
}

fn main() {
    let mut args = Arguments::from_args();
    // Most of the time the behaviours wait.
    args.test_threads.get_or_insert(6);
    let reason = match testbed::available() {
        Ok(()) => match testbed::enter() {
            Ok(Entered::Inside) => None,
            Ok(Entered::Done(status)) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => Some(error.to_string()),
        },
        Err(why) => Some(why.to_string()),
    };
    if let Some(reason) = &reason {
        eprintln!("SKIPPED: {reason}");
    }
    let kernel: Vec<Entry<(Kernel, Kernel)>> = list();
    let tap: Vec<Entry<(Ours, Kernel)>> = list();
    let own: Vec<Entry<(Ours, Ours)>> = list();
    let trials = kernel.into_iter().zip(tap).zip(own).map(|((kernel, tap), own)| {
        Trial::test(kernel.name, move || compare(&kernel, &tap, &own)).with_ignored_flag(reason.is_some())
    });
    libtest_mimic::run(&args, trials.collect()).exit();
}

/// Runs a behaviour everywhere, prints what came of it, and compares.
fn compare(
    kernel: &Entry<(Kernel, Kernel)>,
    tap: &Entry<(Ours, Kernel)>,
    own: &Entry<(Ours, Ours)>,
) -> Result<(), Failed> {
    let wire = world::on_wire(kernel.behaviour)?;
    let by_callers = world::on_tap(Setting::CallersDrive, tap.behaviour)?;
    let by_loop = world::on_tap(Setting::LoopDrives, tap.behaviour)?;
    let loopback = world::on_loopback(kernel.behaviour)?;
    let own_loopback = world::on_own_loopback(own.behaviour)?;
    let [over_tap, on_loopback] = kernel.differs;
    let mut text = format!("{}\n", kernel.name);
    let mut wrong = Vec::new();
    for (reference, ours, why) in [
        (("kernel, wire", &wire), ("tapstack, tap, callers drive", &by_callers), over_tap),
        (("kernel, wire", &wire), ("tapstack, tap, a loop drives", &by_loop), over_tap),
        (("kernel, loopback", &loopback), ("tapstack, loopback", &own_loopback), on_loopback),
    ] {
        match (reference.1 == ours.1, why) {
            (true, None) => text += &format!("  {} = {}:\n{}", reference.0, ours.0, indent(ours.1)),
            (true, Some(_)) => wrong.push(format!("{} differs no more: strike its reason out", ours.0)),
            (false, why) => {
                text += &format!("  {}:\n{}", reference.0, indent(reference.1));
                text += &format!("  {}:\n{}", ours.0, indent(ours.1));
                match why {
                    Some(why) => text += &format!("  they differ: {why}\n"),
                    None => wrong.push(format!("{} differs from {}", ours.0, reference.0)),
                }
            }
        }
    }
    println!("{text}");
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{text}", wrong.join("\n")).into()) }
}

fn indent(lines: &[String]) -> String {
    lines.iter().map(|line| format!("      {line}\n")).collect()
}
