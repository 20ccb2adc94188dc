//! Interfaces and what is below IP: Ethernet framing, ARP, the neighbour cache, and what waits to be sent.
//!
//! - **In**: received frames ([`Link::input`]); IP packets for a next hop ([`Link::output`]); senders that have
//!   something to send ([`Link::ready`]).
//! - **Out**: IP packets to `ip`; frames and senders' turns, one at a time, to whoever pulls ([`Link::pull`]).
//! - **Keeps**: interfaces with their addresses, one ready queue and one egress queue each; the neighbour cache with
//!   the packets and senders that wait for an answer.
//! - **Timers**: ARP retries, neighbour states, repeated announcements ([`Link::next_timeout`]).
//! - **RFC**: 826 (ARP), 894 (IP over Ethernet), 1122 section 2.3.2 (cache validation, flood prevention), 5227
//!   (announcing and defending addresses); neighbour states are those of RFC 4861 section 7.3.2.
//! - **Never**: drops a sender's data: a sender whose next hop is unknown is not asked for any.

mod announce;
mod arp;
mod door;
mod interface;
mod neighbour;
mod neighbours;
#[cfg(test)]
mod tests;

pub use interface::Traffic;
pub(crate) use interface::{Interface, Turn};
pub use neighbour::NeighbourState;
pub use neighbours::Neighbour;
pub(crate) use neighbours::Resolution;

use crate::frame::{Outcome, TxFrame};
use crate::ip::Sender;
use announce::Announcements;
use neighbours::Neighbours;
use std::collections::VecDeque;

/// The interfaces of a stack, and their neighbours.
pub(crate) struct Link {
    /// At the index that their id tells; the loopback is the first.
    interfaces: Vec<Interface>,
    neighbours: Neighbours,
    announcements: Announcements,
    /// What waited for neighbours that did not answer, to be told upstairs.
    failures: VecDeque<Failure>,
}

/// Something that waited for a neighbour in vain.
#[derive(Debug)]
pub(crate) enum Failure {
    Sender(Sender),
    /// A parked packet, from its IP header on.
    Packet(Box<TxFrame>),
}

/// What a received frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// An IPv4 packet that starts at `offset`; `broadcast` if it was sent to more than this station.
    Ipv4 { offset: usize, broadcast: bool },
    /// Nothing for anybody above.
    Done(Outcome),
}

/// Where a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Queued,
    Parked,
}
