//! What `mailbox` can be told.

#[cfg(target_os = "linux")]
use crate::{
    control::args::{Which, seconds},
    up::args::UpArgs,
};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use tapstack_mailbox::BoxName;
use tapstack_mailbox::{Semantics, Transport, WhenFull};
#[cfg(target_os = "linux")]
use {std::net::SocketAddr, std::time::Duration, tapstack_mailbox::Address};

/// What `mailbox` can be told.
#[derive(Clone, Debug, Args)]
pub struct MailboxArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MailboxCommand,
}

/// The subcommands of `mailbox`.
#[derive(Clone, Debug, Subcommand)]
pub enum MailboxCommand {
    /// Keep a machine up that serves boxes, until Ctrl-C.
    #[cfg(target_os = "linux")]
    Serve(Box<ServeArgs>),
    /// Send a message to a box.
    #[cfg(target_os = "linux")]
    Send(SendArgs),
    /// Take a letter out of a box.
    #[cfg(target_os = "linux")]
    Recv(RecvArgs),
    /// Take letters out of a box as they come, until Ctrl-C.
    #[cfg(target_os = "linux")]
    Watch(WatchArgs),
    /// List a host's boxes.
    #[cfg(target_os = "linux")]
    List(ListArgs),
    /// Show in a simulated world what each semantics does about losses and crashes.
    Semantics(SemanticsArgs),
}

/// What `mailbox serve` can be told, besides all that `up` can.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The boxes, by name.
    #[arg(value_name = "BOX", required = true)]
    pub boxes: Vec<BoxName>,

    /// Keep them in this folder: what they acknowledged survives a crash, or kill -9.
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,

    /// Messages in each box at most.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub messages: u32,

    /// What a full box does with a message.
    #[arg(long, value_enum, default_value_t = Full::Block)]
    pub when_full: Full,

    /// Let only one reader at a time have each box.
    #[arg(long)]
    pub one_reader: bool,

    /// A further box, for letters that can't be delivered.
    #[arg(long, value_name = "BOX")]
    pub dead_letters: Option<BoxName>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub up: UpArgs,
}

/// What a full box does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Full {
    /// Lets senders wait.
    Block,
    /// Refuses the message.
    Reject,
    /// Drops the oldest that waits.
    DropOldest,
}

impl From<Full> for WhenFull {
    fn from(full: Full) -> WhenFull {
        match full {
            Full::Block => WhenFull::Block,
            Full::Reject => WhenFull::Reject,
            Full::DropOldest => WhenFull::DropOldest,
        }
    }
}

/// What a sender may promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Promise {
    /// Sent once.
    AtMostOnce,
    /// Sent until it is acknowledged.
    AtLeastOnce,
    /// The same, and told apart from its copies.
    EffectivelyOnce,
}

impl From<Promise> for Semantics {
    fn from(promise: Promise) -> Semantics {
        match promise {
            Promise::AtMostOnce => Semantics::AtMostOnce,
            Promise::AtLeastOnce => Semantics::AtLeastOnce,
            Promise::EffectivelyOnce => Semantics::EffectivelyOnce,
        }
    }
}

/// What `mailbox send` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// The box, such as jobs@10.0.0.2.
    #[arg(value_name = "BOX@HOST")]
    pub to: Address,

    /// The message, of 32 KiB at most [default: standard input, a text or not].
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,

    /// From 0 to 9; higher ones overtake.
    #[arg(short, long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u8).range(..=9))]
    pub priority: u8,

    /// Seconds that it may wait in the box.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub time_to_live: Option<Duration>,

    /// What is promised about it.
    #[arg(long, value_enum, default_value_t = Promise::EffectivelyOnce)]
    pub semantics: Promise,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub way: Way,
}

/// How the host is reached.
#[derive(Clone, Copy, Debug, Args)]
pub struct Way {
    /// TCP instead of UDP.
    #[arg(short, long)]
    pub tcp: bool,
}

impl From<Way> for Transport {
    fn from(way: Way) -> Transport {
        if way.tcp { Transport::Tcp } else { Transport::Udp }
    }
}

/// What `mailbox recv` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct RecvArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// The box, such as jobs@10.0.0.2.
    #[arg(value_name = "BOX@HOST")]
    pub from: Address,

    /// Seconds to wait for a letter.
    #[arg(short = 'W', long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub way: Way,
}

/// What `mailbox watch` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// The box, such as jobs@10.0.0.2.
    #[arg(value_name = "BOX@HOST")]
    pub from: Address,

    /// Stop after N letters [default: after Ctrl-C].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub way: Way,
}

/// What `mailbox list` can be told.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// The boxes' host, such as 10.0.0.2 or 10.0.0.2:7810.
    #[arg(value_name = "HOST", value_parser = host)]
    pub host: SocketAddr,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub way: Way,
}

/// What `mailbox semantics` can be told.
#[derive(Clone, Debug, Args)]
pub struct SemanticsArgs {
    /// Where all that is random comes from.
    #[arg(long, value_name = "N", default_value = "1", value_parser = crate::cli::parse_seed)]
    pub seed: u64,

    /// Messages of each trial.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub messages: u32,

    /// Write the frames of the last trial to FILE.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
}

/// Reads a host: an address, with a port if it isn't the usual one.
#[cfg(target_os = "linux")]
fn host(text: &str) -> Result<SocketAddr, String> {
    let address: Result<Address, _> = format!("x@{text}").parse();
    address.map(|address| address.host).map_err(|_| format!("{text:?} is no address, nor address:port"))
}

/// Examples for `mailbox --help`.
pub const MAILBOX_EXAMPLES: &str = "\
Examples:
  tapstack mailbox serve jobs --private          a machine with a box
  tapstack mailbox serve jobs --disk boxes       kept on disk in boxes/
  tapstack mailbox send jobs@10.0.0.2 hello      through a machine that is up
  tapstack mailbox send jobs@10.0.0.2 < FILE     up to 32 KiB of anything
  tapstack mailbox recv jobs@10.0.0.2            takes a letter, or waits
  tapstack mailbox list 10.0.0.2                 boxes and what is in them
  tapstack mailbox semantics --seed 7            what the promises are worth

All but semantics act through a machine that is up: `serve` is one.";
