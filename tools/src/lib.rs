//! What the `tapstack` command is made of: its command line, what each subcommand does, and how it speaks.
//!
//! - **In**: the arguments of the process; `RUST_LOG` and `NO_COLOR` from its environment.
//! - **Out**: lines on standard output, errors on standard error, an exit code: 0 when what was asked for held,
//!   1 when it did not, 2 when it was asked wrongly, 130 after Ctrl-C.
//! - **Never**: touches the machine's own network; runs an external program.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(target_os = "linux")]
mod bench;
mod capture_file;
pub mod cli;
#[cfg(target_os = "linux")]
pub mod control;
mod demo;
pub mod doctor;
pub mod explain;
mod failure;
pub mod mailbox;
mod read_out;
pub mod rpc;
mod rpcgen;
mod table;
#[cfg(target_os = "linux")]
pub mod testbed;
pub mod ui;
#[cfg(target_os = "linux")]
pub mod up;

pub use failure::Failure;

use cli::Command;
use std::ffi::OsString;
use std::process::ExitCode;
use ui::Ui;

/// Runs the command with these arguments, the first being the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::parse(args) {
        Ok(cli) => cli,
        Err(cli::Stop::Shown) => return ExitCode::SUCCESS,
        Err(cli::Stop::Misused(line)) => {
            ui::error(&line);
            return ExitCode::from(Failure::MISUSED);
        }
    };
    start_log(cli.verbose);
    let ui = Ui::new(cli.quiet);
    #[cfg(target_os = "linux")]
    if let Some(result) = control::run(&ui, &cli.command) {
        return exit(result);
    }
    let result = match cli.command {
        Command::Demo(args) => demo::run(&ui, &args),
        Command::Explain(args) => read_out::run(&ui, &args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&ui, &args),
        #[cfg(target_os = "linux")]
        Command::Up(args) => up::run(&ui, &args),
        Command::Rpc(args) => rpc::run(&ui, &args),
        Command::Mailbox(args) => mailbox::run(&ui, &args),
        Command::Rpcgen(args) => rpcgen::run(&args),
        Command::Doctor => doctor::run(&ui),
        #[cfg(target_os = "linux")]
        _ => Ok(()),
    };
    exit(result)
}

/// Says what went wrong, if something did, and gives the exit code for it.
fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message().is_empty() {
                ui::error(failure.message());
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Diagnostics go to standard error: warnings, and more with each `-v`; `RUST_LOG` has the last word.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    // Only fails where a logger is set already, which then is as good.
    let _ = env_logger::Builder::new().filter_level(level).parse_default_env().try_init();
}
