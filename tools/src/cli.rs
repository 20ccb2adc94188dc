//! The command line: what can be asked for, its help, and its mistakes in one clear line.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tapstack demo                  real machines on virtual interfaces, in a minute
  tapstack demo --world sim      the same on a virtual clock: no privileges, any system
  tapstack doctor                what this machine allows, and what mends each lack

Exit codes: 0 all held, 1 something did not, 2 wrong usage, 130 after Ctrl-C.";

const DEMO_EXAMPLES: &str = "\
Examples:
  tapstack demo                                  with a TAP if it can be had, else simulated
  tapstack demo --world tap                      with a TAP or not at all
  tapstack demo --world sim --seed 7             simulated; the same seed gives the same bytes
  tapstack demo --capture demo.pcapng && wireshark demo.pcapng

Everything happens in a private network namespace that ends with the command: the machine's own
interfaces, addresses and routes are not touched, and root is not needed where /dev/net/tun may be
opened (see `tapstack doctor`).";

const DOCTOR_EXAMPLES: &str = "\
Exit code 0 says that `tapstack demo --world tap` can run here, 1 that it can't.";

/// A user-space TCP/IP stack over Linux TAP devices, to run, watch and learn from.
#[derive(Debug, Parser)]
#[command(name = "tapstack", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// Say only what went wrong, and the last line.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Log more: -v what happens, -vv each decision, -vvv each frame (RUST_LOG works as well).
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what this machine allows (TAP, namespaces, Wireshark…) and what mends each lack.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor,
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
    Cli::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Stop::Shown
        }
        _ => Stop::Misused(one_line(&error)),
    })
}

/// Says in one line what clap says in five: what is wrong, what was meant, where the help is.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let mut line = first_paragraph(&rendered);
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue] {
        let meant = match error.get(kind) {
            Some(ContextValue::String(one)) => one.clone(),
            Some(ContextValue::Strings(some)) if !some.is_empty() => some.join("' or '"),
            _ => continue,
        };
        line.push_str(&format!("; did you mean '{meant}'?"));
    }
    let usage = rendered.lines().find_map(|l| l.strip_prefix("Usage: "));
    let asked = usage.and_then(|u| u.split_whitespace().nth(1)).filter(|word| is_subcommand(word));
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
}
