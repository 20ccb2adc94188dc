//! IPv4: packets in and out, address kinds, routes, forwarding, fragments. The link layer is inside.
//!
//! - **In**: frames ([`Ip::input`]); packets that a transport makes when it is pulled ([`Ip::finish`]), and those that
//!   belong to no sender ([`Ip::send`]).
//! - **Out**: packets for a transport ([`Input::Deliver`]); what ICMP may report ([`Input::Report`], [`Ip::next_news`]);
//!   turns to send ([`Ip::pull`]).
//! - **Keeps**: addresses, routes, identification counters, datagrams that wait for fragments.
//! - **Timers**: reassembly, and those of `link` ([`Ip::next_timeout`]).
//! - **RFC**: 791, 1122 section 3.2 and 3.3, 1812 (forwarding), 815 (reassembly), 6864 (identification), 6890 (address
//!   kinds), 3021 (31-bit prefixes), 2644 (no directed broadcasts through us).
//! - **Never**: sends ICMP by itself: it says what could be reported, and `icmp` decides.
//!
//! A packet's way, with the places where a packet filter or an address translator would stand:
//!
//! ```text
//!  link ──> prerouting ──> route ──> local ────────────────> transport
//!           (input.rs)       │       (input.rs, reassembly.rs)   │
//!                            v                                   v
//!                         forward ──> postrouting <── finish, send
//!                       (forward.rs)   (output.rs, fragmentation.rs, segmentation.rs) ──> link
//! ```

mod address;
mod configure;
mod forward;
mod fragmentation;
mod ident;
mod input;
mod output;
mod reassembly;
mod routes;
mod segmentation;
mod select;
#[cfg(test)]
mod tests;
mod types;

pub use address::AddressKind;
pub(crate) use routes::Routes;
pub use routes::{RouteEntry, RouteOrigin};
pub(crate) use segmentation::SegmentHeaders;
#[cfg(test)]
pub(crate) use segmentation::segments;
pub(crate) use types::{Input, LinkLimits, News, NextHop, PacketIn, PacketOut, Route, Sender};

use crate::link::Link;
use crate::stack::InterfaceId;
use core::net::Ipv4Addr;
use std::collections::VecDeque;

/// The layers below transport.
pub(crate) struct Ip {
    pub(crate) link: Link,
    routes: routes::Routes,
    /// Our addresses, in order, and whose they are. They are few, so that a search beats a hash.
    locals: Vec<(Ipv4Addr, InterfaceId)>,
    generation: u32,
    forwarding: bool,
    /// See [`Ip::set_watched`].
    watched: bool,
    idents: ident::Idents,
    reassembly: reassembly::Reassembly,
    /// What happened while time passed, to be told upstairs.
    news: VecDeque<News>,
}
