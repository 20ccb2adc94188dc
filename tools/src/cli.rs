//! The command line: what can be asked for, its help, and its mistakes in one clear line.

use crate::mailbox::args as mailbox;
use crate::rpc::args as rpc;
use crate::rpcgen::{RPCGEN_EXAMPLES, RpcgenArgs};
#[cfg(target_os = "linux")]
use crate::{control::args as control, up::args as up};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tapstack demo                real machines on virtual interfaces, in seconds
  tapstack demo --world sim    the same on a virtual clock, without privileges
  tapstack up                  a machine to live with, until Ctrl-C
  tapstack doctor              what this machine allows, and what mends a lack

Exit codes: 0 all held, 1 something did not, 2 wrong usage, 130 after Ctrl-C.";

const DEMO_EXAMPLES: &str = "\
Examples:
  tapstack demo                            with a TAP if it can be had
  tapstack demo --world tap                with a TAP or not at all
  tapstack demo --world sim --seed 7       simulated; a seed gives its bytes
  tapstack demo --capture demo.pcapng && wireshark demo.pcapng

It happens in a private network namespace that ends with the command. The
machine's own interfaces, addresses and routes are not touched, and root is
not needed where /dev/net/tun may be opened: see `tapstack doctor`.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  tapstack explain demo.pcapng               all of it
  tapstack explain demo.pcapng --limit 40    the first 40 frames

Frames that tapstack captured carry a comment: why it sent them, or what
became of them.";

const BENCH_EXAMPLES: &str = "\
Examples:
  tapstack bench bulk                  a stream, beside kernel and smoltcp
  tapstack bench loss --rounds 9       streams over a wire that loses frames
  tapstack bench --json bench.json     everything, as rows for a program

Each ratio compares medians of interleaved rounds: only figures of one run
are comparable. A quiet machine with two cores or more gives steady ones.
`ceiling` is next to no stack over the same device: nobody gets much further.
Round trips, and connections of a single client, are measured with the client
on one core and the server on the others; all else goes where the scheduler
puts it. Neither those nor any connections in `bench connections` have TCP
timestamps, which smoltcp doesn't offer by itself.";

const DOCTOR_EXAMPLES: &str = "\
Exit code 0 says that `tapstack demo --world tap` can run here, 1 that it
can't.";

/// A user-space TCP/IP stack over Linux TAP devices, to run, watch and learn from.
#[derive(Debug, Parser)]
#[command(name = "tapstack", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// Say only what went wrong, and the last line.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Log more on standard error; -vv and -vvv still more (RUST_LOG works as well).
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show real machines talking over virtual interfaces, step by step.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Print a capture as a ladder: who sent what to whom, and why.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Measure this stack beside the kernel and smoltcp, in namespaces of its own.
    #[cfg(target_os = "linux")]
    #[command(after_help = BENCH_EXAMPLES, after_long_help = bench_help())]
    Bench(BenchArgs),
    /// Keep a machine up on a TAP: web page, files, echo and the like, until Ctrl-C.
    #[cfg(target_os = "linux")]
    #[command(after_help = up::UP_EXAMPLES)]
    Up(Box<up::UpArgs>),
    /// Ping from a machine that is up.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::PING_EXAMPLES)]
    Ping(control::PingArgs),
    /// Join standard input and output to a connection of a machine that is up.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::NC_EXAMPLES)]
    Nc(control::NcArgs),
    /// Find the way from a machine that is up to an address, hop by hop.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::TRACEROUTE_EXAMPLES)]
    Traceroute(control::TracerouteArgs),
    /// Show or empty the neighbour cache of a machine that is up.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::ARP_EXAMPLES)]
    Arp(control::ArpArgs),
    /// Show or change the routing table of a machine that is up.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::ROUTE_EXAMPLES)]
    Route(control::RouteArgs),
    /// Show the sockets, connections and counters of a machine that is up.
    #[cfg(target_os = "linux")]
    #[command(after_help = control::SS_EXAMPLES)]
    Ss(control::SsArgs),
    /// Call procedures of other machines' programs, and see what call semantics are.
    #[command(after_help = rpc::RPC_EXAMPLES)]
    Rpc(rpc::RpcArgs),
    /// Serve boxes, send messages to them and take letters out; or see what the semantics are worth.
    #[command(after_help = mailbox::MAILBOX_EXAMPLES)]
    Mailbox(mailbox::MailboxArgs),
    /// Make Rust of an ONC RPC interface file: types, client stubs, server traits.
    #[command(after_help = RPCGEN_EXAMPLES)]
    Rpcgen(RpcgenArgs),
    /// Show what this machine allows (TAP, namespaces, Wireshark…) and what mends each lack.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor,
}

/// What `demo` can be told.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// The world to run in: tap needs /dev/net/tun, sim needs nothing, auto takes tap where it can be had.
    #[arg(long, value_enum, default_value_t = WorldChoice::Auto)]
    pub world: WorldChoice,

    /// Write the capture to FILE [default: a temporary file, which is kept].
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,

    /// Where all that is random comes from.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_seed)]
    pub seed: u64,
}

/// A world to run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorldChoice {
    /// A TAP where it can be had, else simulated.
    Auto,
    /// TAP devices and the Linux kernel, or nothing.
    Tap,
    /// Simulated: a virtual clock, links in memory.
    Sim,
}

/// What `explain` can be told.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// A pcapng file, written by tapstack or by anybody else.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Stop after N frames.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// The examples, and every key that `--only` may begin with.
#[cfg(target_os = "linux")]
fn bench_help() -> String {
    format!("{BENCH_EXAMPLES}\n\n{}", crate::bench::scenario_list())
}

/// What `bench` can be told.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure [default: everything].
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<BenchPart>,

    /// Measure every contender N times, in turns.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Measure for S seconds each time.
    #[arg(long, value_name = "S", default_value = "2", value_parser = parse_seconds)]
    pub seconds: f64,

    /// Measure only scenarios whose key begins with KEY, such as bulk.offload or loss.1 (--help lists them).
    #[arg(long, value_name = "KEY")]
    pub only: Option<String>,

    /// Write the rows to FILE: an array of objects.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw the ratios as a chart to FILE.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Where all that is random comes from.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_seed)]
    pub seed: u64,
}

/// The parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// One stream, out and in: offload mode, plain mode, plain with threaded NAPI.
    Bulk,
    /// Datagrams a second.
    Udp,
    /// Round trips of 1 byte and 1 KiB.
    Latency,
    /// Connections a second, from 1 client and from 32.
    Connections,
    /// The same beside thousands of idle connections, and what one of them takes.
    Idle,
    /// Two machines in memory on one thread.
    Memory,
    /// Messages through boxes between two machines.
    Mailbox,
    /// Null calls, beside libtirpc (wants gcc and libtirpc-dev).
    Rpc,
    /// Streams over a wire that loses, delays and limits.
    Loss,
}

/// Reads a time in seconds, which may have a fraction.
fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a time is a number of seconds from 0.01 to 3600".to_owned()),
    }
}

/// Reads a seed, decimal or with 0x, as failing simulations print them.
pub(crate) fn parse_seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a seed is a number from 0 to 2^64 - 1, decimal or with 0x".to_owned())
}

/// Why parsing ended without a command to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for and shown.
    Shown,
    /// The command line is wrong: one line that says how.
    Misused(String),
}

/// Reads the command line.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.len() < 2 {
        // The bare command introduces itself; a script that forgot its subcommand still gets help, not silence.
        let _ = Cli::command().print_help();
        return Err(Stop::Shown);
    }
    Cli::try_parse_from(&args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Stop::Shown
        }
        _ => Stop::Misused(one_line(&error, &args)),
    })
}

/// Says in one line what clap says in five: what is wrong, what was meant, where the help is.
fn one_line(error: &clap::Error, args: &[OsString]) -> String {
    let mut line = first_paragraph(&error.to_string());
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue] {
        let meant = match error.get(kind) {
            Some(ContextValue::String(one)) => one.clone(),
            Some(ContextValue::Strings(some)) if !some.is_empty() => some.join("' or '"),
            _ => continue,
        };
        line.push_str(&format!("; did you mean '{meant}'?"));
    }
    let asked = args.iter().skip(1).filter_map(|arg| arg.to_str()).find(|word| is_subcommand(word));
    match asked {
        Some(subcommand) => line.push_str(&format!(" (see tapstack {subcommand} --help)")),
        None => line.push_str(" (see tapstack --help)"),
    }
    line
}

/// What clap says before its first empty line, joined: `error: …`, without the `error: `.
fn first_paragraph(rendered: &str) -> String {
    let lines = rendered.lines().take_while(|l| !l.trim().is_empty());
    let text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

fn is_subcommand(word: &str) -> bool {
    Cli::command().get_subcommands().any(|c| c.get_name() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn misuse(arguments: &[&str]) -> String {
        let arguments = std::iter::once("tapstack").chain(arguments.iter().copied()).map(OsString::from);
        match parse(arguments) {
            Err(Stop::Misused(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line_with_the_way_on() {
        let cases: [(&[&str], &[&str]); 7] = [
            (&["demmo"], &["demmo", "'demo'", "tapstack --help"]),
            (&["demo", "--wrold", "tap"], &["--wrold", "'--world'", "tapstack demo --help"]),
            (&["demo", "--world", "moon"], &["moon", "auto, tap, sim", "tapstack demo --help"]),
            (&["demo", "--seed", "abc"], &["abc", "a seed is a number", "tapstack demo --help"]),
            (&["demo", "extra"], &["extra", "tapstack demo --help"]),
            (&["explain"], &["<FILE>", "tapstack explain --help"]),
            (&["explain", "x", "--limit", "-1"], &["-1", "tapstack explain --help"]),
        ];
        for (arguments, says) in cases {
            let line = misuse(arguments);
            assert!(!line.contains('\n'), "{line}");
            for word in says {
                assert!(line.contains(word), "{arguments:?}: {line:?} doesn't say {word:?}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn addresses_that_can_t_be_talked_to_are_told_apart() {
        for before in [&["ping"][..], &["traceroute"], &["arp", "-d"], &["rpc", "info"]] {
            let line = |address| misuse(&[before, &[address]].concat());
            assert!(line("::1").contains("IPv6 is not supported yet"), "{}", line("::1"));
            assert!(line("example.org").contains("names are not looked up"), "{}", line("example.org"));
        }
    }

    #[test]
    fn seeds_are_read_as_they_are_printed() {
        assert_eq!(parse_seed("7"), Ok(7));
        assert_eq!(parse_seed("0xff"), Ok(255));
        assert_eq!(parse_seed(&u64::MAX.to_string()), Ok(u64::MAX));
        assert!(parse_seed("-1").is_err() && parse_seed("").is_err() && parse_seed("0x").is_err());
    }

    #[test]
    fn every_example_in_the_help_is_a_command_line_that_works() {
        let mut seen = 0;
        let live = [
            up::UP_EXAMPLES,
            control::PING_EXAMPLES,
            control::NC_EXAMPLES,
            control::TRACEROUTE_EXAMPLES,
            control::ARP_EXAMPLES,
            control::ROUTE_EXAMPLES,
            control::SS_EXAMPLES,
            rpc::RPC_EXAMPLES,
            mailbox::MAILBOX_EXAMPLES,
        ];
        let all =
            [EXAMPLES, DEMO_EXAMPLES, EXPLAIN_EXAMPLES, BENCH_EXAMPLES, DOCTOR_EXAMPLES, RPCGEN_EXAMPLES];
        for text in all.into_iter().chain(live) {
            assert!(text.lines().all(|line| line.len() < 80), "the help is wider than a terminal: {text}");
            for example in text.lines().filter_map(|line| line.strip_prefix("  tapstack ")) {
                // What follows belongs to the reader, or to the shell.
                let ends = ["  ", " && ", " < "].into_iter().filter_map(|end| example.find(end)).min();
                let command = &example[..ends.unwrap_or(example.len())];
                let arguments =
                    std::iter::once("tapstack").chain(command.split_whitespace()).map(OsString::from);
                assert!(parse(arguments).is_ok(), "the help shows `tapstack {command}`");
                seen += 1;
            }
        }
        assert!(seen >= 8, "only {seen} examples found");
    }
}
