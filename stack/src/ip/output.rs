//! Packets that go out: the header, the next hop, and who may send when.

use super::{Ip, News, NextHop, PacketOut, Route, Sender};
use crate::frame::{DropReason, TxFrame};
use crate::link::{Failure, Resolution, Turn};
use crate::stack::{Context, InterfaceId};
use crate::time::Instant;
use crate::wire::ipv4;
use core::net::{IpAddr, Ipv4Addr};

impl Ip {
    /// Puts a sender at the end of its interface's ready queue; the caller keeps it from being there twice.
    pub(crate) fn ready(&mut self, interface: InterfaceId, sender: Sender) {
        self.link.ready(interface, sender);
    }

    /// Whose turn it is to send on an interface.
    pub(crate) fn pull(&mut self, interface: InterfaceId, frame: &mut TxFrame) -> Turn {
        self.link.pull(interface, frame)
    }

    /// Is the next hop's link address known? Starts ARP where it isn't. A sender that waits is put back into its
    /// interface's ready queue when the address is known; when the next hop doesn't answer, the failure is reported to
    /// its protocol ([`News::Unreachable`]).
    pub(crate) fn resolve(&mut self, cx: &mut Context, route: &Route, sender: Sender) -> NextHop {
        match self.link.resolve(cx, route.interface, route.next_hop, sender) {
            Resolution::Known(_) => NextHop::Ready,
            Resolution::Waiting => NextHop::Waiting,
            Resolution::Failed => NextHop::Unreachable,
        }
    }

    /// A transport made progress through this next hop, so it needs no ARP to be known to be there
    /// (RFC 1122 section 2.3.2.1 (4): "advice" from higher layers).
    pub(crate) fn confirm(&mut self, now: Instant, interface: InterfaceId, next_hop: IpAddr) {
        self.link.confirm(now, interface, next_hop);
    }

    /// Completes a pulled frame in place: IPv4 and link headers in front of what the transport wrote.
    /// The next hop must be [`NextHop::Ready`], and the packet must fit the route's MTU.
    pub(crate) fn finish(
        &mut self,
        cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        frame: &mut TxFrame,
    ) {
        self.header(packet).emit(frame);
        self.link.finish(route.interface, route.next_hop, frame);
    }

    /// Queues a packet that belongs to no sender (a RST, an ICMP message): bounded; waits for ARP if it must.
    /// A drop is counted here, so that the caller may ignore it.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        mut frame: TxFrame,
    ) -> Result<(), DropReason> {
        self.header(packet).emit(&mut frame);
        self.link.output(cx, route.interface, route.next_hop, frame).map(|_| ())
    }

    /// What happened below since the last call, one piece at a time.
    pub(crate) fn next_news(&mut self) -> Option<News> {
        match self.link.next_failure()? {
            Failure::Sender(sender) => Some(News::Unreachable(sender)),
            Failure::Packet(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context) {
        self.link.handle_timeout(cx);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.link.next_timeout()
    }

    /// The header of a packet of ours.
    pub(super) fn header(&mut self, packet: &PacketOut) -> ipv4::Header {
        let (source, destination) = (v4(packet.source), v4(packet.destination));
        ipv4::Header {
            header_len: ipv4::HEADER_BYTES as u8,
            total_len: 0,
            tos: packet.tos,
            // RFC 6864 section 4.1: the field has no meaning in a datagram that can't be fragmented.
            ident: match packet.dont_fragment {
                true => 0,
                false => self.idents.next(source, destination, packet.protocol),
            },
            dont_fragment: packet.dont_fragment,
            more_fragments: false,
            fragment_offset: 0,
            ttl: packet.ttl,
            protocol: packet.protocol,
            source,
            destination,
        }
    }
}

/// The IPv4 address that [`Ip::route`] has let through.
fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => {
            debug_assert!(false, "there is no route for {address}");
            Ipv4Addr::UNSPECIFIED
        }
    }
}
