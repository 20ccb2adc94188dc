//! Packets that go out: the header, the next hop, and who may send when.

use super::types::HeaderBytes;
use super::{Ip, News, NextHop, PacketIn, PacketOut, Route, Sender};
use crate::frame::{DropReason, RxChecksum, TxFrame};
use crate::icmp::ErrorOut;
use crate::link::{Failure, Resolution, Turn};
use crate::stack::{Context, InterfaceId, MacAddr};
use crate::time::{Instant, earliest};
use crate::wire::{checksum, ipv4};
use bytes::Bytes;
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
        self.link.resolve(cx, route.interface, route.next_hop, Some(sender)).into()
    }

    /// As [`Ip::resolve`], but nobody is told when the address is known.
    pub(crate) fn look(&mut self, cx: &mut Context, route: &Route) -> NextHop {
        self.link.resolve(cx, route.interface, route.next_hop, None).into()
    }

    /// Whether [`Ip::send`] would take so many more packets for this route.
    pub(crate) fn has_room(&self, route: &Route, packets: usize) -> bool {
        self.link.has_room(route.interface, route.next_hop, packets)
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
        _cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        frame: &mut TxFrame,
    ) {
        self.header(packet, frame).emit(frame);
        self.link.finish(route.interface, route.next_hop, frame);
    }

    /// As [`Ip::finish`], where the link address is at hand that [`NextHop::Ready`] brought.
    pub(crate) fn finish_to(&mut self, route: &Route, mac: MacAddr, packet: &PacketOut, frame: &mut TxFrame) {
        self.header(packet, frame).emit(frame);
        self.link.ethernet_header(route.interface, mac, frame);
    }

    /// Queues a packet that belongs to no sender (a RST, an ICMP message): bounded; waits for ARP if it must.
    /// A drop is for the caller to count.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        route: &Route,
        packet: &PacketOut,
        mut frame: TxFrame,
    ) -> Result<(), DropReason> {
        let (interface, next_hop) = (route.interface, route.next_hop);
        let fits = frame.len() + ipv4::HEADER_BYTES <= usize::from(route.mtu);
        if !fits && packet.dont_fragment {
            return Err(DropReason::FragmentationNeeded);
        }
        if !fits {
            checksum::complete(&mut frame);
        }
        self.header(packet, &frame).emit(&mut frame);
        match fits {
            true => self.link.output(cx, interface, next_hop, frame).map(|_| ()),
            false => self.output_fragments(cx, interface, next_hop, route.mtu, &frame).map(|_| ()),
        }
    }

    /// What happened below since the last call, one piece at a time.
    pub(crate) fn next_news(&mut self) -> Option<News> {
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        loop {
            match self.link.next_failure()? {
                Failure::Sender(sender) => return Some(News::Unreachable(sender)),
                Failure::Packet(frame) => {
                    if let Some(packet) = given_up(&frame) {
                        return Some(News::Report { packet, error: ErrorOut::HostUnreachable });
                    }
                }
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context) {
        self.link.handle_timeout(cx);
        while let Some(first) = self.reassembly.time_out(cx.now) {
            cx.drop(DropReason::ReassemblyTimeout);
            // RFC 792: "If fragment zero is not available then no time exceeded need be sent at all."
            if let Some(packet) = first {
                let (packet, error) = (Box::new(packet), ErrorOut::ReassemblyTimeExceeded);
                self.news.push_back(News::Report { packet, error });
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        earliest([self.link.next_timeout(), self.reassembly.next_timeout()])
    }

    /// The header of a packet of ours, which carries what the frame has by now.
    pub(super) fn header(&mut self, packet: &PacketOut, frame: &TxFrame) -> ipv4::Header {
        let (source, destination) = (v4(packet.source), v4(packet.destination));
        ipv4::Header {
            header_len: ipv4::HEADER_BYTES as u8,
            total_len: 0,
            tos: packet.tos,
            // RFC 6864 section 4.1: the field has no meaning in a datagram that can't be fragmented.
            ident: match packet.dont_fragment {
                true => 0,
                false => self.idents.next(source, destination, packet.protocol, frame.segments() as u16),
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

/// A packet that waited for its next hop in vain, as ICMP wants it.
fn given_up(frame: &TxFrame) -> Option<Box<PacketIn>> {
    let bytes = Bytes::from(frame.to_vec());
    let header = ipv4::Header::parse_quoted(&bytes).ok()?;
    let header_len = usize::from(header.header_len);
    Some(Box::new(PacketIn {
        interface: InterfaceId::LOOPBACK,
        source: IpAddr::V4(header.source),
        destination: IpAddr::V4(header.destination),
        protocol: header.protocol,
        tos: header.tos,
        broadcast: false,
        payload: bytes.slice(header_len..),
        checksum: RxChecksum::Unverified,
        gso: None,
        header: HeaderBytes::from_slice(&bytes[..header_len]),
    }))
}

impl From<Resolution> for NextHop {
    fn from(resolution: Resolution) -> NextHop {
        match resolution {
            Resolution::Known(mac) => NextHop::Ready(mac),
            Resolution::Waiting => NextHop::Waiting,
            Resolution::Failed => NextHop::Unreachable,
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
