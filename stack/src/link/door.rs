//! What `ip` and the stack may ask of the link layer.

use super::interface::EGRESS_MAX;
use super::{
    Announcements, Failure, Interface, Link, Neighbour, Neighbours, Received, Resolution, Sent, Turn,
};
use crate::frame::{ArpWhy, DropReason, RxFrame, TxFrame};
use crate::hash::KeyedState;
use crate::ip::Sender;
use crate::stack::{Cidr, Context, InterfaceConfig, InterfaceId, MacAddr, Medium};
use crate::time::{Instant, earliest};
use crate::wire::ethernet;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;

impl Link {
    pub(crate) fn new(key: KeyedState) -> Link {
        Link {
            interfaces: Vec::new(),
            neighbours: Neighbours::new(key),
            announcements: Announcements::default(),
            failures: VecDeque::new(),
        }
    }

    /// Adds an interface, without its addresses.
    pub(crate) fn add(&mut self, config: InterfaceConfig) -> InterfaceId {
        let id = InterfaceId(self.interfaces.len() as u16);
        self.interfaces.push(Interface::new(id, config));
        id
    }

    pub(crate) fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))
    }

    pub(crate) fn interface_mut(&mut self, id: InterfaceId) -> Option<&mut Interface> {
        self.interfaces.get_mut(usize::from(id.0))
    }

    /// All interfaces, the loopback first.
    pub(crate) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Gives an interface an address, which is announced where others could use it too.
    pub(crate) fn add_address(&mut self, cx: &mut Context, id: InterfaceId, cidr: Cidr) {
        let Some(interface) = self.interface_mut(id) else { return };
        interface.addresses.push(cidr);
        if interface.medium == Medium::Ethernet {
            self.announcements.plan(cx.now, id, cidr.address);
            self.send_announcements(cx);
        }
    }

    /// Takes an address from an interface.
    pub(crate) fn remove_address(&mut self, id: InterfaceId, address: Ipv4Addr) {
        if let Some(interface) = self.interface_mut(id) {
            interface.addresses.retain(|own| own.address != address);
            self.announcements.forget(id, address);
        }
    }

    /// A frame came in.
    pub(crate) fn input(&mut self, cx: &mut Context, id: InterfaceId, frame: &RxFrame) -> Received {
        let Some(interface) = self.interface_mut(id) else {
            return Received::Done(cx.drop(DropReason::InterfaceDown));
        };
        interface.traffic.frames_in += 1;
        interface.traffic.bytes_in += frame.bytes.len() as u64;
        if interface.medium == Medium::Ip {
            return Received::Ipv4 { offset: 0, broadcast: false };
        }
        let Some(header) = ethernet::Header::parse(&frame.bytes) else {
            return Received::Done(cx.drop(DropReason::FrameTooShort));
        };
        let broadcast = !header.destination.is_unicast();
        if !broadcast && header.destination != interface.mac {
            return Received::Done(cx.drop(DropReason::NotForThisStation));
        }
        match header.ethertype {
            ethernet::ETHERTYPE_IPV4 => Received::Ipv4 { offset: ethernet::HEADER_BYTES, broadcast },
            ethernet::ETHERTYPE_ARP => {
                let packet = frame.bytes.get(ethernet::HEADER_BYTES..).unwrap_or_default();
                Received::Done(self.arp_input(cx, id, packet))
            }
            _ => Received::Done(cx.drop(DropReason::UnknownEtherType)),
        }
    }

    /// Is a next hop's link address known? A sender that has to wait is made ready when it is.
    pub(crate) fn resolve(
        &mut self,
        cx: &mut Context,
        id: InterfaceId,
        next_hop: IpAddr,
        sender: Option<Sender>,
    ) -> Resolution {
        let at_hand = self.neighbours.in_use(cx.now, id, next_hop).or_else(|| self.unasked_mac(id, next_hop));
        if let Some(mac) = at_hand {
            return Resolution::Known(mac);
        }
        match self.neighbours.resolve(cx.now, id, next_hop, sender) {
            Ok((resolution, ask)) => {
                if let Some(ask) = ask {
                    self.arp_request(cx, ask);
                }
                resolution
            }
            Err(reason) => {
                cx.drop(reason);
                Resolution::Failed
            }
        }
    }

    /// Writes the link header of a packet whose next hop is known.
    pub(crate) fn finish(&mut self, id: InterfaceId, next_hop: IpAddr, frame: &mut TxFrame) {
        let mac = self.unasked_mac(id, next_hop).or_else(|| self.neighbours.mac(id, next_hop));
        debug_assert!(mac.is_some(), "resolve said Ready for {next_hop}");
        self.ethernet_header(id, mac.unwrap_or_default(), frame);
    }

    /// Destination and source of an interface's frames to a link address; none on a medium without.
    pub(crate) fn addresses(&self, id: InterfaceId, mac: MacAddr) -> Option<(MacAddr, MacAddr)> {
        self.interface(id).filter(|interface| interface.medium == Medium::Ethernet).map(|own| (mac, own.mac))
    }

    /// Sends a packet that nobody would make again: it is queued, or parked until its next hop is known. A drop is
    /// for the caller to count.
    pub(crate) fn output(
        &mut self,
        cx: &mut Context,
        id: InterfaceId,
        next_hop: IpAddr,
        frame: TxFrame,
    ) -> Result<Sent, DropReason> {
        let mut frame = Some(frame);
        let mac = match self.unasked_mac(id, next_hop) {
            Some(mac) => Ok((Some(mac), None)),
            None => self.neighbours.resolve_or_park(cx.now, id, next_hop, &mut frame),
        };
        let (mac, ask) = mac?;
        if let Some(ask) = ask {
            self.arp_request(cx, ask);
        }
        let (Some(mut frame), Some(mac)) = (frame, mac) else { return Ok(Sent::Parked) };
        self.ethernet_header(id, mac, &mut frame);
        self.interface_mut(id).ok_or(DropReason::InterfaceDown)?.push(frame)?;
        Ok(Sent::Queued)
    }

    /// Whether [`Link::output`] would take so many more packets for this next hop.
    pub(crate) fn has_room(&self, id: InterfaceId, next_hop: IpAddr, packets: usize) -> bool {
        let is_known = self.unasked_mac(id, next_hop).or_else(|| self.neighbours.mac(id, next_hop)).is_some();
        match is_known {
            // What can never fit is let through, to be dropped by name.
            true => self.interface(id).is_some_and(|i| i.egress_room() >= packets.min(EGRESS_MAX)),
            false => self.neighbours.has_room(id, next_hop, packets),
        }
    }

    /// A transport made progress through a next hop.
    pub(crate) fn confirm(&mut self, now: Instant, id: InterfaceId, next_hop: IpAddr) {
        self.neighbours.confirm(now, id, next_hop);
    }

    /// Puts a sender at the end of the ready queue.
    pub(crate) fn ready(&mut self, id: InterfaceId, sender: Sender) {
        if let Some(interface) = self.interface_mut(id) {
            interface.ready(sender);
        }
    }

    /// Whose turn it is to send on an interface.
    pub(crate) fn pull(&mut self, id: InterfaceId, frame: &mut TxFrame) -> Turn {
        self.interface_mut(id).map_or(Turn::Nobody, |interface| interface.pull(frame))
    }

    /// A frame was handed out. Returns the frames that it counts as, and their bytes: a super-frame that is cut on this side is as many frames as
    /// leave it.
    pub(crate) fn count_out(&mut self, id: InterfaceId, frame: &TxFrame) -> (u64, u64) {
        let (mut frames, mut bytes) = (1, frame.len() as u64);
        let Some(interface) = self.interface_mut(id) else { return (frames, bytes) };
        if interface.offloads.software && frame.gso.is_some() {
            frames = frame.segments() as u64;
            bytes += (frames - 1) * frame.headers().len() as u64;
        }
        interface.traffic.frames_out += frames;
        interface.traffic.bytes_out += bytes;
        (frames, bytes)
    }

    /// Whether nothing waits to be sent on an interface.
    pub(crate) fn is_idle(&self, id: InterfaceId) -> bool {
        self.interface(id).is_none_or(Interface::is_idle)
    }

    /// The next thing that waited for a neighbour in vain.
    pub(crate) fn next_failure(&mut self) -> Option<Failure> {
        self.failures.pop_front()
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context) {
        self.send_announcements(cx);
        while let Some(timed_out) = self.neighbours.time_out(cx.now) {
            match timed_out {
                Ok(ask) => self.arp_request(cx, ask),
                Err(released) => self.fail(cx, released),
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        earliest([self.neighbours.next_timeout(), self.announcements.next_timeout()])
    }

    /// Forgets a neighbour: see [`super::neighbours::Neighbours::forget`].
    pub(crate) fn forget_neighbour(&mut self, id: InterfaceId, address: IpAddr) -> bool {
        self.neighbours.forget(id, address)
    }

    /// All neighbours, by interface and address.
    pub(crate) fn neighbours(&self) -> Vec<Neighbour> {
        self.neighbours.list()
    }

    /// Queues a complete frame of the link's own, or counts its drop.
    pub(super) fn push(&mut self, cx: &mut Context, id: InterfaceId, frame: TxFrame) {
        let pushed = self.interface_mut(id).map_or(Err(DropReason::InterfaceDown), |i| i.push(frame));
        if let Err(reason) = pushed {
            cx.drop(reason);
        }
    }

    /// Writes the link header, where the medium has one.
    pub(crate) fn ethernet_header(&self, id: InterfaceId, destination: MacAddr, frame: &mut TxFrame) {
        if let Some(interface) = self.interface(id)
            && interface.medium == Medium::Ethernet
        {
            let source = interface.mac;
            ethernet::Header { destination, source, ethertype: ethernet::ETHERTYPE_IPV4 }.emit(frame);
        }
    }

    fn send_announcements(&mut self, cx: &mut Context) {
        while let Some((id, address)) = self.announcements.next_due(cx.now) {
            self.announce(cx, id, address, ArpWhy::Announce);
        }
    }

    /// The link address of a next hop that no ARP is needed for: any on a medium without link addresses, and groups
    /// (RFC 894, RFC 1112 section 6.4).
    fn unasked_mac(&self, id: InterfaceId, next_hop: IpAddr) -> Option<MacAddr> {
        let interface = self.interface(id)?;
        let IpAddr::V4(address) = next_hop else { return None };
        if interface.medium == Medium::Ip {
            return Some(MacAddr::default());
        }
        if address.is_multicast() {
            let [_, b, c, d] = address.octets();
            return Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]));
        }
        interface.is_broadcast(address).then_some(MacAddr::BROADCAST)
    }
}
