//! What passes between IP and its neighbours upstairs: packets in and out, routes, and senders that wait their turn.

use crate::frame::{Gso, Outcome, RxChecksum};
use crate::icmp::ErrorOut;
use crate::socket::SocketId;
use crate::stack::{InterfaceId, MacAddr};
use crate::tcp::ConnectionId;
use bytes::Bytes;
use core::net::IpAddr;
use smallvec::SmallVec;

/// A transport's packet came in, its IP header parsed and checked.
#[derive(Clone, Debug)]
pub(crate) struct PacketIn {
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// DSCP and ECN bits.
    pub(crate) tos: u8,
    /// Whether the link or the IP destination was a broadcast or multicast.
    pub(crate) broadcast: bool,
    /// Transport header and data.
    pub(crate) payload: Bytes,
    pub(crate) checksum: RxChecksum,
    pub(crate) gso: Option<Gso>,
    /// The IP header as it came, for ICMP errors that quote it.
    pub(crate) header: HeaderBytes,
}

/// An IP header in place where it has no options: a copy of 20 bytes costs less than one more reference to a frame.
pub(crate) type HeaderBytes = SmallVec<[u8; 24]>;

/// What became of a packet that came in.
#[derive(Debug)]
pub(crate) enum Input {
    /// It is for a transport.
    Deliver(PacketIn),
    /// It is done with.
    Done(Outcome),
    /// It is done with, and its sender may be told.
    Report { packet: Box<PacketIn>, error: ErrorOut, outcome: Outcome },
}

/// What happened below without a packet that came in.
#[derive(Debug)]
pub(crate) enum News {
    /// The next hop of a waiting sender did not answer.
    Unreachable(Sender),
    /// A packet was given up after a while, and its sender may be told.
    Report { packet: Box<PacketIn>, error: ErrorOut },
}

/// How to reach a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) interface: InterfaceId,
    /// The gateway, or the destination itself where it is on the link.
    pub(crate) next_hop: IpAddr,
    /// The source address to use.
    pub(crate) source: IpAddr,
    /// The MTU of the interface, in bytes of IP packet (path MTU is the transport's business).
    pub(crate) mtu: u16,
    /// Routes and addresses have changed when [`super::Ip::generation`] differs.
    pub(crate) generation: u32,
}

/// What the transport decides about a packet's IP header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketOut {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) dont_fragment: bool,
}

/// Somebody who waits for its turn to send on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Tcp(ConnectionId),
    Udp(SocketId),
    Echo(SocketId),
}

/// What [`super::Ip::resolve`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Its link address is known: send.
    Ready(MacAddr),
    /// It is asked for; the sender is made ready again when it is known, or told of the failure.
    Waiting,
    /// It did not answer; try later.
    Unreachable,
}

/// What may be sent as one frame on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkLimits {
    pub(crate) tx_checksum: bool,
    pub(crate) tso_max: u32,
    pub(crate) uso_max: u32,
}
