//! `tapstack bench`: this stack beside the kernel and smoltcp, interleaved in one run.
//!
//! - **In**: the parts to run, rounds and seconds, the names of the files to write.
//! - **Out**: ratios first, then the figures behind them; rows as JSON; a chart.
//! - **Keeps**: nothing: namespaces, interfaces and threads end with the process.
//! - **Never**: touches the machine's own network; compares figures of different runs.
//!
//! Each contender is a [`server::Server`]: somebody's stack at the other end of a link from a kernel, on which the one
//! [`client`] runs. A part sets up contenders and says which are compared under which key ([`scenarios`]);
//! [`rounds`] measures each once a round and takes medians. One of them is the [`ceiling`]: what is left to a stack.

mod bulk;
mod ceiling;
mod chart;
mod client;
mod connections;
mod cpu;
mod idle;
mod latency;
mod loss;
mod mailbox;
mod memory;
mod memory_smoltcp;
mod ours;
mod relay;
mod rounds;
mod rpc;
mod scenarios;
mod server;
mod smoltcp_device;
mod smoltcp_server;
mod stage;
mod table;
mod udp;

use crate::cli::{BenchArgs, BenchPart};
use crate::ui::{self, Ui};
use crate::{Failure, testbed};
use clap::ValueEnum as _;
use rounds::Rounds;
use scenarios::SCENARIOS;
pub(crate) use scenarios::list as scenario_list;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long and how random.
#[derive(Clone, Copy, Debug)]
struct Settings {
    duration: Duration,
    seed: u64,
}

/// Runs the benchmark. Fails when no testbed can be had, or a contender gives up.
pub(crate) fn run(ui: &Ui, args: &BenchArgs) -> Result<(), Failure> {
    // Said before the minutes of measuring, not after them.
    for file in [&args.json, &args.svg].into_iter().flatten() {
        OpenOptions::new().append(true).create(true).open(file).map_err(|error| cant_write(file, &error))?;
    }
    testbed::available().map_err(|why| Failure::Failed(format!("no testbed can be had: {why}")))?;
    testbed::move_in().map_err(|error| Failure::Failed(error.to_string()))?;
    let settings = Settings { duration: Duration::from_secs_f64(args.seconds), seed: args.seed };
    let parts = if args.parts.is_empty() { BenchPart::value_variants() } else { &args.parts };
    let mut rows = Vec::new();
    for &part in parts {
        let mut rounds = Rounds::new(args.only.as_deref());
        if !SCENARIOS.iter().any(|scenario| scenario.part == part && rounds.wants(scenario.key)) {
            continue;
        }
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let failed = |error: io::Error| Failure::Failed(format!("{name}: {error}"));
        add(part, &mut rounds, settings).map_err(failed)?;
        rows.extend(rounds.run(ui, args.rounds).map_err(failed)?);
    }
    if rows.is_empty() {
        return Err(Failure::Misused(
            "none of these parts has a scenario whose key begins like that: see tapstack bench --help"
                .to_owned(),
        ));
    }
    table::print(ui, &rows);
    for (file, text) in
        [(&args.json, table::to_json as fn(&[table::Row]) -> String), (&args.svg, chart::to_svg)]
    {
        if let Some(file) = file {
            std::fs::write(file, text(&rows)).map_err(|error| cant_write(file, &error))?;
        }
    }
    Ok(())
}

fn cant_write(file: &Path, error: &io::Error) -> Failure {
    Failure::Misused(format!("can't write {}: {}", file.display(), ui::reason(error)))
}

fn add(part: BenchPart, rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    match part {
        BenchPart::Bulk => bulk::add(rounds, settings),
        BenchPart::Latency => latency::add(rounds, settings),
        BenchPart::Loss => loss::add(rounds, settings),
        BenchPart::Connections => connections::add(rounds, settings),
        BenchPart::Idle => idle::add(rounds, settings),
        BenchPart::Mailbox => mailbox::add(rounds, settings),
        BenchPart::Memory => memory::add(rounds, settings),
        BenchPart::Rpc => rpc::add(rounds, settings),
        BenchPart::Udp => udp::add(rounds, settings),
    }
}
