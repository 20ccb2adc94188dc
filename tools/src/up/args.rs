//! What `up` can be told on its command line.

use clap::Args;
use std::path::PathBuf;

/// What `up` can be told. What stands here wins over the file of `--config`.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// The machine's name [default: tapstack].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Read what isn't said here from a TOML file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The machine's address and prefix [default: 10.0.0.2/24].
    #[arg(short, long, value_name = "CIDR", conflicts_with = "tap")]
    pub address: Vec<String>,

    /// The kernel's address on the TAP, or none [default: the first of the network].
    #[arg(long, value_name = "CIDR", conflicts_with = "tap")]
    pub host_address: Option<String>,

    /// Plug the TAP into this bridge, instead of giving the kernel an address on it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tap", "host_address"])]
    pub bridge: Option<String>,

    /// The largest IP packet, in bytes [default: 1500].
    #[arg(long, value_name = "BYTES", conflicts_with = "tap")]
    pub mtu: Option<u16>,

    /// Checksums and segmentation are left to the kernel: faster, but its frames are not what a wire carries.
    #[arg(long, conflicts_with = "tap")]
    pub offload: bool,

    /// A TAP of several: name=tap0,address=10.1.0.1/24,host-address=…,bridge=…,mtu=…,offload.
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub tap: Vec<String>,

    /// The gateway for all that has no other route.
    #[arg(short, long, value_name = "ADDRESS")]
    pub gateway: Option<std::net::Ipv4Addr>,

    /// A route, such as "10.2.0.0/16 via 10.0.0.9".
    #[arg(long, value_name = "ROUTE")]
    pub route: Vec<String>,

    /// Don't forward between several TAPs.
    #[arg(long)]
    pub no_forwarding: bool,

    /// Offer the files of this folder on the web site, below /files/.
    #[arg(short, long, value_name = "DIR")]
    pub www: Option<PathBuf>,

    /// Write every frame to a pcapng FILE, with why it was sent and what became of it.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,

    /// In a network namespace of its own, which is the only way for those who aren't root.
    #[arg(short, long)]
    pub private: bool,
}

/// Examples for `up --help`.
pub const UP_EXAMPLES: &str = "\
Examples:
  tapstack up                            10.0.0.2, the kernel is 10.0.0.1
  tapstack up --private --www .          in a namespace of its own
  tapstack up --address 192.168.7.2/24   another network
  tapstack up --tap address=10.1.0.1/24 --tap address=10.2.0.1/24
  tapstack up --config machine.toml

It serves echo, discard, daytime, chargen and rpcbind (TCP and UDP) and a web
page with live counters, until Ctrl-C. `tapstack ping`, `nc`, `traceroute`,
`arp`, `route`, `ss` and `rpc` act on it. A file for --config:

  name = \"router\"
  gateway = \"10.1.0.254\"
  www = \"public\"

  [[tap]]
  name = \"tap1\"
  address = \"10.1.0.1/24\"
  host-address = \"10.1.0.2/24\"

  [[tap]]
  address = \"10.2.0.1/24\"
  bridge = \"br2\"
  offload = true

  [[route]]
  to = \"10.3.0.0/16\"
  via = \"10.2.0.9\"";
