//! `tapstack mailbox semantics`: the experiment of the mailboxes' crate, as a table.

use super::args::SemanticsArgs;
use crate::Failure;
use crate::capture_file::CaptureFile;
use crate::table::Table;
use crate::ui::Ui;
use std::time::Duration;
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::sim::Wire;
use tapstack_mailbox::Semantics;
use tapstack_mailbox::experiment::{Outcome, Trial, run as try_it};

/// What happens to messages, or to their host.
struct Mishap {
    name: &'static str,
    wire: fn(Wire) -> Wire,
    crashes: bool,
    durable: bool,
}

const MISHAPS: [Mishap; 6] = [
    Mishap { name: "5 % lost", wire: lossy, crashes: false, durable: false },
    Mishap { name: "5 % twice", wire: doubling, crashes: false, durable: false },
    Mishap { name: "5 % overtaken", wire: disordered, crashes: false, durable: false },
    Mishap { name: "crash, in memory", wire: |wire| wire, crashes: true, durable: false },
    Mishap { name: "crash, on disk", wire: |wire| wire, crashes: true, durable: true },
    Mishap { name: "all, on disk", wire: all, crashes: true, durable: true },
];

fn lossy(wire: Wire) -> Wire {
    Wire { loss: 0.05, ..wire }
}

fn doubling(wire: Wire) -> Wire {
    Wire { duplicate: 0.05, ..wire }
}

fn disordered(wire: Wire) -> Wire {
    Wire { reorder: 0.05, reorder_delay: Duration::from_millis(3), ..wire }
}

fn all(wire: Wire) -> Wire {
    disordered(doubling(lossy(wire)))
}

/// How long the host is up between two crashes, about, and how long it is down.
const UP: Duration = Duration::from_millis(200);
const DOWN: Duration = Duration::from_millis(50);

/// Runs every trial and shows what came of it. Fails when a promise was broken.
pub(super) fn run(ui: &Ui, args: &SemanticsArgs) -> Result<(), Failure> {
    let (seed, messages) = (args.seed, args.messages);
    let file = args.capture.as_deref().map(CaptureFile::open).transpose().map_err(Failure::Misused)?;
    ui.line(format!("{messages} messages for each line, from seed {seed}, in a simulated world"));
    let mut table = Table::new(&[
        "what happens",
        "semantics",
        ">crashes",
        ">acked",
        ">doubt",
        ">arrived",
        ">lost",
        ">twice",
        ">late",
    ]);
    let mut broken = Vec::new();
    let capture = file.as_ref().map(|_| Capture::new(CaptureOptions::default()));
    for (index, mishap) in MISHAPS.iter().enumerate() {
        for semantics in Semantics::ALL {
            let is_last = index + 1 == MISHAPS.len() && semantics == Semantics::EffectivelyOnce;
            let plain = Trial::new(seed, semantics, mishap.durable);
            let trial = Trial {
                messages,
                burst: 16,
                pause: Duration::from_millis(5),
                wire: (mishap.wire)(plain.wire),
                up: mishap.crashes.then_some(UP),
                down: DOWN,
                ..plain
            };
            let outcome = try_it(&trial, capture.as_ref().filter(|_| is_last));
            let what = if semantics == Semantics::AtMostOnce { mishap.name } else { "" };
            table.row(row(what, semantics, outcome));
            if !holds(semantics, mishap, outcome) {
                broken.push(format!("{semantics}, {}", mishap.name));
            }
        }
    }
    table.lines().into_iter().for_each(|line| ui.line(line));
    ui.line("acked: acknowledged, or sent at most once; doubt: nobody knows; lost: acked, and never");
    ui.line("arrived; late: after a later one. The box is kept in memory where nothing else is said.");
    if let (Some(file), Some(capture)) = (file, capture) {
        file.write(&capture.take()).map_err(Failure::Failed)?;
        ui.line(format!("the frames of the last trial are in {}", file.path().display()));
    }
    if !broken.is_empty() {
        return Err(Failure::Failed(format!("a promise was broken: {}", broken.join("; "))));
    }
    ui.last_line("every promise was kept");
    Ok(())
}

fn row(what: &str, semantics: Semantics, outcome: Outcome) -> impl Iterator<Item = String> + use<> {
    let Outcome { crashes, acknowledged, in_doubt, delivered, lost, copies, overtaken, .. } = outcome;
    let numbers = [crashes, acknowledged, in_doubt, delivered, lost, copies, overtaken];
    [what.to_owned(), semantics.to_string()].into_iter().chain(numbers.map(|number| number.to_string()))
}

/// Whether a promise was kept. What a box in memory had, its host's crash takes from every semantics.
fn holds(semantics: Semantics, mishap: &Mishap, outcome: Outcome) -> bool {
    let may_lose = semantics == Semantics::AtMostOnce || (mishap.crashes && !mishap.durable);
    let may_repeat = semantics == Semantics::AtLeastOnce;
    (may_lose || outcome.lost == 0) && (may_repeat || outcome.copies == 0) && outcome.overtaken == 0
}
