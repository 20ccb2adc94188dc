//! IPv4: input, output, address kinds, routes, forwarding, fragments (link layer inside).
#![allow(dead_code, unused_variables)]

use crate::frame::{DropReason, Outcome, RxFrame, TxFrame};
use crate::socket::{Errno, SocketId};
use crate::stack::{Config, Context, InterfaceId};
use crate::tcp::ConnectionId;
use crate::time::Instant;
use bytes::Bytes;
use core::net::IpAddr;

/// A transport's packet came in, its IP header parsed and checked.
#[derive(Clone, Debug)]
pub(crate) struct PacketIn {
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// DSCP and ECN bits.
    pub(crate) tos: u8,
    /// Whether the link or the IP destination was a broadcast or multicast.
    pub(crate) broadcast: bool,
    /// Transport header and data.
    pub(crate) payload: Bytes,
    pub(crate) checksum: crate::frame::RxChecksum,
    pub(crate) gso: Option<crate::frame::Gso>,
    /// The IP header as it came, for ICMP errors that quote it.
    pub(crate) header: Bytes,
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
    /// Routes and addresses have changed when [`Ip::generation`] differs.
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

/// What [`Ip::resolve`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Its link address is known: send.
    Ready,
    /// It is asked for; the sender is made ready again when it is known, or told of the failure.
    Waiting,
    /// It did not answer; try later.
    Unreachable,
}

/// The layers below transport.
pub(crate) struct Ip {}

impl Ip {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Ip {
        todo!()
    }

    /// Changes whenever routes or addresses change, so that cached [`Route`]s can be checked cheaply.
    pub(crate) fn generation(&self) -> u32 {
        todo!()
    }

    /// Whether an address is one of ours (any interface's, or loopback).
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        todo!()
    }

    /// Longest-prefix match with source-address selection. `source` pins the source; `interface` the way out.
    /// Errors: `ENETUNREACH`; `EADDRNOTAVAIL` where `source` isn't ours; `EACCES` for broadcast destinations,
    /// unless `broadcast` allows them.
    pub(crate) fn route(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        interface: Option<InterfaceId>,
        broadcast: bool,
    ) -> Result<Route, Errno> {
        todo!()
    }

    /// Puts a sender at the end of its interface's ready queue; the caller keeps it from being there twice.
    pub(crate) fn ready(&mut self, interface: InterfaceId, sender: Sender) {
        todo!()
    }

    /// Is the next hop's link address known? Starts ARP where it isn't. A sender that waits is put back by
    /// [`Ip::ready`]'s queue when the address is known; when the next hop doesn't answer, the failure is
    /// reported to its protocol (`Tcp::unreachable`, …).
    pub(crate) fn resolve(&mut self, cx: &mut Context, route: &Route, sender: Sender) -> NextHop {
        todo!()
    }

    /// The next hop answers (TCP saw progress): no probe is needed for a while (RFC 1122 section 2.3.2.1).
    pub(crate) fn confirm(&mut self, cx: &mut Context, interface: InterfaceId, next_hop: IpAddr) {
        todo!()
    }

    /// Completes a pulled frame in place: IPv4 and link headers in front of what the transport wrote.
    /// The next hop must be [`NextHop::Ready`].
    pub(crate) fn finish(
        &mut self,
        cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        frame: &mut TxFrame,
    ) {
        todo!()
    }

    /// Queues a packet that belongs to no sender (a RST, an ICMP message): bounded; waits for ARP if it must.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        frame: TxFrame,
    ) -> Result<(), DropReason> {
        todo!()
    }
}

/// What may be sent as one frame on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkLimits {
    pub(crate) tx_checksum: bool,
    pub(crate) tso_max: u32,
    pub(crate) uso_max: u32,
}

impl Ip {
    pub(crate) fn link_limits(&self, interface: InterfaceId) -> LinkLimits {
        todo!()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
