//! What the steps of the demo act on, and what a step brings back.

use super::peer::Peer;
use super::progress::Progress;
use super::watch::Watch;
use crate::ui::Ui;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use tapstack::net::Host;
use tapstack::time::Duration;

/// The kernel, or whoever stands in its place.
pub(super) const KERNEL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// The first machine of the stack.
pub(super) const ANNA: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// The second machine of the stack.
pub(super) const BEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
/// An address on the same network that nobody has.
pub(super) const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99));
/// The length of the network's prefix.
pub(super) const PREFIX_LEN: u8 = 24;

/// The machines, and what they share.
pub(super) struct Stage {
    pub(super) kernel: Peer,
    pub(super) anna: Host,
    pub(super) ben: Host,
    /// What went by at anna's.
    pub(super) watch: Watch,
    pub(super) seed: u64,
    pub(super) ui: Ui,
}

/// What a step found to hold.
pub(super) struct Held {
    /// What happened, in a few words.
    pub(super) said: String,
    /// What was moved and how long that took, for a rate.
    pub(super) moved: Option<(u64, Duration)>,
}

impl Held {
    pub(super) fn new(said: impl Into<String>) -> Held {
        Held { said: said.into(), moved: None }
    }
}

/// An error as a step tells it.
pub(super) fn words(error: impl ToString) -> String {
    error.to_string()
}

/// What a step does; its error says what did not hold.
pub(super) type StepFuture<'a> = Pin<Box<dyn Future<Output = Result<Held, String>> + Send + 'a>>;

/// One step of the demo: the same in every world.
pub(super) struct Step {
    /// What is to hold.
    pub(super) title: &'static str,
    pub(super) run: fn(&Stage) -> StepFuture<'_>,
}

/// How a step went.
pub(super) struct Report {
    pub(super) title: &'static str,
    pub(super) result: Result<Held, String>,
    /// From its begin to its end, on the world's clock.
    pub(super) took: Duration,
}

impl Stage {
    /// The address of a port.
    pub(super) fn at(address: IpAddr, port: u16) -> SocketAddr {
        SocketAddr::new(address, port)
    }

    pub(super) fn anna_as_peer(&self) -> Peer {
        Peer::Machine(self.anna.clone())
    }

    pub(super) fn ben_as_peer(&self) -> Peer {
        Peer::Machine(self.ben.clone())
    }

    /// A progress bar for a transfer.
    pub(super) fn progress(&self, what: &str, bytes: u64) -> Progress {
        Progress::start(&self.ui, what, bytes)
    }
}
