//! What `ping`, `nc`, `traceroute`, `arp`, `route` and `ss` can be told.

use clap::{Args, Subcommand};
use std::net::IpAddr;

/// Which machine is meant.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The machine to act on, where several are up.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// What `ping` can be told.
#[derive(Clone, Debug, Args)]
pub struct PingArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Whom to ping.
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub to: IpAddr,

    /// Stop after N pings [default: after Ctrl-C].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Seconds between pings.
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub interval: std::time::Duration,

    /// Seconds to wait for each answer.
    #[arg(short = 'W', long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub timeout: std::time::Duration,

    /// Bytes of payload.
    #[arg(short, long, value_name = "BYTES", default_value = "56", value_parser = clap::value_parser!(u16).range(..=65507))]
    pub size: u16,
}

/// What `nc` can be told.
#[derive(Clone, Debug, Args)]
pub struct NcArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Wait for a connection to PORT instead of making one.
    #[arg(short, long)]
    pub listen: bool,

    /// UDP instead of TCP.
    #[arg(short, long)]
    pub udp: bool,

    /// Seconds to wait for a connection.
    #[arg(short = 'W', long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub timeout: std::time::Duration,

    /// With --udp, seconds without an answer after which it ends, once the input has.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub quiet_after: std::time::Duration,

    /// ADDRESS PORT, or with --listen just PORT.
    #[arg(value_name = "ADDRESS PORT", num_args = 1..=2, required = true)]
    pub target: Vec<String>,
}

/// What `traceroute` can be told.
#[derive(Clone, Debug, Args)]
pub struct TracerouteArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Whose way to find.
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub to: IpAddr,

    /// Hops at most.
    #[arg(short, long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u8).range(1..))]
    pub max_hops: u8,

    /// Probes for each hop.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub queries: u8,

    /// Seconds to wait for each answer.
    #[arg(short, long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub wait: std::time::Duration,

    /// The port of the first probe; each further one goes to the next.
    #[arg(short, long, value_name = "PORT", default_value = "33434", value_parser = clap::value_parser!(u16).range(1..=65000))]
    pub port: u16,
}

/// What `arp` can be told.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("change").args(["delete", "flush"])))]
pub struct ArpArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// Forget this neighbour.
    #[arg(short, long, value_name = "ADDRESS", value_parser = address)]
    pub delete: Option<IpAddr>,

    /// Forget all neighbours.
    #[arg(long)]
    pub flush: bool,
}

/// What `route` can be told.
#[derive(Clone, Debug, Args)]
pub struct RouteArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// What to do [default: list].
    #[command(subcommand)]
    pub change: Option<RouteChange>,
}

/// What `route` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum RouteChange {
    /// Show the routing table.
    List,
    /// Add a route.
    Add(RouteWords),
    /// Remove a route.
    #[command(alias = "delete")]
    Del(RouteWords),
}

/// A route in words.
#[derive(Clone, Debug, Args)]
pub struct RouteWords {
    /// DESTINATION [via ADDRESS] [dev NAME] [metric N].
    #[arg(value_name = "ROUTE", num_args = 1.., required = true)]
    pub words: Vec<String>,
}

/// What `ss` can be told.
#[derive(Clone, Debug, Args)]
pub struct SsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,

    /// TCP only.
    #[arg(short, long)]
    pub tcp: bool,

    /// UDP only.
    #[arg(short, long)]
    pub udp: bool,

    /// Listening and unconnected sockets only.
    #[arg(short, long)]
    pub listening: bool,

    /// What TCP knows of each connection.
    #[arg(short, long)]
    pub info: bool,

    /// Interfaces and counters instead of sockets.
    #[arg(short, long)]
    pub summary: bool,
}

/// Reads an address that the stack can talk to.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(IpAddr::V4(address)),
        Ok(IpAddr::V6(_)) => Err("IPv6 is not supported yet, only IPv4".to_owned()),
        Err(_) => Err("it is no IPv4 address, and names are not looked up here".to_owned()),
    }
}

/// Reads a time in seconds, which may have a fraction.
pub(crate) fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=100.0).contains(&seconds) => Ok(std::time::Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number of seconds from 0.001 to 100".to_owned()),
    }
}

/// Examples for `ping --help`.
pub const PING_EXAMPLES: &str = "\
Examples:
  tapstack ping 10.0.0.1              until Ctrl-C
  tapstack ping -c 3 -i 0.2 10.0.0.1  three, five a second

Exit code 0 says that an answer came, 1 that none did.";

/// Examples for `nc --help`.
pub const NC_EXAMPLES: &str = "\
Examples:
  tapstack nc 10.0.0.1 8080       connect, and send what is typed
  tapstack nc -l 9000             wait for one connection
  tapstack nc -u 10.0.0.1 53      each piece of input is one datagram
  tapstack nc -u -l 9000          talk to the first who sends

Connections are the machine's, not the kernel's.";

/// Examples for `traceroute --help`.
pub const TRACEROUTE_EXAMPLES: &str = "\
Examples:
  tapstack traceroute 10.2.0.5
  tapstack traceroute --queries 1 -w 0.5 10.2.0.5

Marks: * no answer, !N network, !H host, !P protocol unreachable, !X
prohibited, !F-N needs fragments of N bytes.";

/// Examples for `arp --help`.
pub const ARP_EXAMPLES: &str = "\
Examples:
  tapstack arp               the neighbour cache
  tapstack arp -d 10.0.0.1   forget one
  tapstack arp --flush       forget all";

/// Examples for `route --help`.
pub const ROUTE_EXAMPLES: &str = "\
Examples:
  tapstack route
  tapstack route add default via 10.0.0.1
  tapstack route add 10.2.0.0/16 via 10.0.0.9 dev tap0 metric 5
  tapstack route del 10.2.0.0/16";

/// Examples for `ss --help`.
pub const SS_EXAMPLES: &str = "\
Examples:
  tapstack ss        all sockets and connections
  tapstack ss -t -i  TCP with what it knows of each connection
  tapstack ss -l     who listens
  tapstack ss -s     interfaces, counters and drops";
