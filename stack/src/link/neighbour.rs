//! One neighbour: what is known of its link address, and when that is doubted.
//!
//! ```text
//!                 used, unknown                      reply
//!        (none) ---------------> INCOMPLETE ------------------> REACHABLE <----------------+
//!                                    |  ^                          | 30 s unconfirmed,     | reply, or TCP
//!                        3 requests  |  | used, 1 s later          v then used             | progress
//!                                    v  |      request from it   DELAY -----------------> PROBE
//!                                  FAILED      ---> STALE -------> ^        5 s             | 3 requests
//!                                    ^                     used                             |
//!                                    +------------------------------------------------------+
//! ```
//! (the states of RFC 4861 section 7.3.2, with ARP as the question; RFC 1122 section 2.3.2.1 asks for the like)

use crate::frame::TxFrame;
use crate::ip::Sender;
use crate::stack::{InterfaceId, MacAddr};
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::IpAddr;
use std::collections::VecDeque;

/// What is known of a neighbour, named as RFC 4861 and `ip neighbour` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourState {
    /// Asked for, not answered yet.
    Incomplete,
    /// Known, and confirmed not long ago.
    Reachable,
    /// Known, but not confirmed for a while; good enough to be used.
    Stale,
    /// Used while stale: whoever uses it may confirm it.
    Delay,
    /// Nobody confirmed it: asked whether it is still there.
    Probe,
    /// Did not answer.
    Failed,
}

impl fmt::Display for NeighbourState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NeighbourState::Incomplete => "INCOMPLETE",
            NeighbourState::Reachable => "REACHABLE",
            NeighbourState::Stale => "STALE",
            NeighbourState::Delay => "DELAY",
            NeighbourState::Probe => "PROBE",
            NeighbourState::Failed => "FAILED",
        })
    }
}

/// A neighbour, and what waits for it.
pub(super) struct Entry {
    pub(super) interface: InterfaceId,
    pub(super) address: IpAddr,
    /// Meaningless while INCOMPLETE or FAILED.
    pub(super) mac: MacAddr,
    pub(super) state: NeighbourState,
    /// When [`Entry::time_out`] is due.
    pub(super) deadline: Option<Instant>,
    /// When the link address was last known to be right.
    pub(super) confirmed: Instant,
    /// Questions that went unanswered.
    retries: u8,
    /// Set by use, cleared by the search for an entry to evict.
    pub(super) used: bool,
    /// Those who are told when it is known. A sender that waits is in no ready queue, so it is here once.
    pub(super) waiting: Vec<Sender>,
    /// Packets that nobody would make again, without their link header.
    pub(super) parked: VecDeque<TxFrame>,
}

/// An ARP request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) interface: InterfaceId,
    pub(super) address: IpAddr,
    /// A known neighbour is asked directly.
    pub(super) mac: Option<MacAddr>,
    pub(super) retries: u8,
}

/// What a neighbour is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Known(MacAddr),
    Unknown,
    /// It did not answer, and it is too early to ask again.
    Failed,
}

/// What a passed deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeOut {
    Ask(Ask),
    /// It failed: whoever waits has to be told.
    Failed,
}

impl Entry {
    /// A neighbour of which nothing is known; the first use asks for it.
    pub(super) fn new(interface: InterfaceId, address: IpAddr) -> Entry {
        Entry {
            interface,
            address,
            mac: MacAddr::default(),
            state: NeighbourState::Failed,
            deadline: None,
            confirmed: Instant::ZERO,
            retries: 0,
            used: true,
            waiting: Vec::new(),
            parked: VecDeque::new(),
        }
    }

    /// Whether it can be sent to without a thought.
    pub(super) fn is_reachable(&self, now: Instant) -> bool {
        self.state == NeighbourState::Reachable && now.since(self.confirmed) < REACHABLE_TIME
    }

    /// Somebody wants to send to it.
    pub(super) fn touch(&mut self, now: Instant) -> (Use, Option<Ask>) {
        self.used = true;
        match self.state {
            NeighbourState::Reachable if self.is_reachable(now) => {}
            NeighbourState::Reachable | NeighbourState::Stale => {
                self.state = NeighbourState::Delay;
                self.deadline = Some(now + DELAY_FIRST_PROBE_TIME);
            }
            NeighbourState::Delay | NeighbourState::Probe => {}
            NeighbourState::Incomplete => return (Use::Unknown, None),
            // RFC 1122 section 2.3.2.1: "A mechanism to prevent ARP flooding … MUST be included. The recommended
            // maximum rate is 1 per second per destination."
            NeighbourState::Failed if self.deadline.is_some_and(|until| now < until) => {
                return (Use::Failed, None);
            }
            NeighbourState::Failed => {
                self.state = NeighbourState::Incomplete;
                self.retries = 0;
                self.deadline = Some(now + RETRY_TIME);
                return (Use::Unknown, Some(self.ask(None)));
            }
        }
        (Use::Known(self.mac), None)
    }

    /// Its link address was told: by an answer to us (`solicited`), or by anything else that it sent.
    pub(super) fn learn(&mut self, now: Instant, mac: MacAddr, solicited: bool) {
        let unchanged = self.is_known() && self.mac == mac;
        self.mac = mac;
        if solicited {
            self.confirm(now);
        } else if !unchanged {
            // RFC 4861 section 7.2.3: what was not asked for is used, but not taken for reachable.
            self.state = NeighbourState::Stale;
            self.deadline = None;
        }
    }

    /// It answered, or a transport made progress through it.
    pub(super) fn confirm(&mut self, now: Instant) {
        self.state = NeighbourState::Reachable;
        self.confirmed = now;
        self.retries = 0;
        self.deadline = None;
    }

    /// Its deadline passed.
    pub(super) fn time_out(&mut self, now: Instant) -> Option<TimeOut> {
        let asked_of = match self.state {
            NeighbourState::Incomplete => None,
            NeighbourState::Delay => {
                self.state = NeighbourState::Probe;
                self.retries = 0;
                self.deadline = Some(now + RETRY_TIME);
                return Some(TimeOut::Ask(self.ask(Some(self.mac))));
            }
            NeighbourState::Probe => Some(self.mac),
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Failed => {
                self.deadline = None;
                return None;
            }
        };
        self.retries += 1;
        if self.retries >= REQUESTS_MAX {
            self.state = NeighbourState::Failed;
            self.deadline = Some(now + FAILED_TIME);
            return Some(TimeOut::Failed);
        }
        self.deadline = Some(now + RETRY_TIME);
        Some(TimeOut::Ask(self.ask(asked_of)))
    }

    /// Whether its link address can be used.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.state, NeighbourState::Incomplete | NeighbourState::Failed)
    }

    fn ask(&self, mac: Option<MacAddr>) -> Ask {
        Ask { interface: self.interface, address: self.address, mac, retries: self.retries }
    }
}

/// How long a confirmation holds (RFC 4861 section 10, REACHABLE_TIME).
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// How long the users of a stale neighbour have to confirm it (RFC 4861 section 10, DELAY_FIRST_PROBE_TIME).
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// Time between requests (RFC 1122 section 2.3.2.1: at most one a second for each destination).
const RETRY_TIME: Duration = Duration::from_secs(1);
/// Requests without an answer until a neighbour has failed (RFC 4861 section 10, MAX_MULTICAST_SOLICIT).
const REQUESTS_MAX: u8 = 3;
/// How long a failed neighbour is not asked again.
const FAILED_TIME: Duration = Duration::from_secs(1);
