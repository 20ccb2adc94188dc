//! What `rpc` can be told.

#[cfg(target_os = "linux")]
use crate::control::args::{Which, address, seconds};
use clap::{Args, Subcommand};
#[cfg(target_os = "linux")]
use std::net::IpAddr;
use std::path::PathBuf;

/// What `rpc` can be told.
#[derive(Clone, Debug, Args)]
pub struct RpcArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: RpcCommand,
}

/// What `rpc` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum RpcCommand {
    /// Show what each call semantics does to a bank account when messages are lost and the server crashes.
    Semantics(SemanticsArgs),
    /// List the programs of an address, from a machine that is up.
    #[cfg(target_os = "linux")]
    Info(InfoArgs),
    /// Call a procedure with coded arguments, from a machine that is up.
    #[cfg(target_os = "linux")]
    Call(CallArgs),
    /// Call procedure 0 again and again, from a machine that is up: how long it takes.
    #[cfg(target_os = "linux")]
    Ping(PingArgs),
}

/// What `rpc semantics` can be told.
#[derive(Clone, Debug, Args)]
pub struct SemanticsArgs {
    /// Where all that is random comes from.
    #[arg(long, value_name = "N", default_value = "1", value_parser = crate::cli::parse_seed)]
    pub seed: u64,

    /// Write every frame to a pcapng FILE.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
}

/// What `rpc info` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Whose programs to list.
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub to: IpAddr,

    /// Seconds to wait.
    #[arg(short = 'W', long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub timeout: std::time::Duration,
}

/// Which program is meant.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct ProgramArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Whom to call.
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub to: IpAddr,

    /// The program's number, decimal or with 0x.
    #[arg(value_parser = number)]
    pub program: u32,

    /// Its version.
    pub version: u32,

    /// The port, where rpcbind isn't to be asked.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// TCP instead of UDP.
    #[arg(short, long)]
    pub tcp: bool,

    /// Seconds to wait for all of it.
    #[arg(short = 'W', long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub timeout: std::time::Duration,
}

/// What `rpc call` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct CallArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub program: ProgramArgs,

    /// The procedure's number.
    pub procedure: u32,

    /// The arguments as XDR codes them, in hexadecimal.
    #[arg(value_name = "HEX", default_value = "")]
    pub arguments: String,
}

/// What `rpc ping` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct PingArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub program: ProgramArgs,

    /// How many calls, one after the other.
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
}

#[cfg(target_os = "linux")]
fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a program is a number from 0 to 2^32 - 1, decimal or with 0x".to_owned())
}

/// Examples for `rpc --help`.
#[cfg(target_os = "linux")]
pub const RPC_EXAMPLES: &str = "\
Examples:
  tapstack rpc semantics --capture rpc.pcapng  simulated, needs nothing
  tapstack rpc info 10.0.0.1                   the programs of an address
  tapstack rpc ping 10.0.0.1 100000 4 --tcp    null calls, with percentiles
  tapstack rpc call 10.0.0.1 100000 4 4        rpcbind's DUMP, as coded

All but the first act from a machine that is up (`tapstack up`).";

/// Examples for `rpc --help`.
#[cfg(not(target_os = "linux"))]
pub const RPC_EXAMPLES: &str = "\
Examples:
  tapstack rpc semantics --seed 7  simulated; a seed gives its bytes";
