//! ARP: questions and answers about link addresses, and conflicts about our own (RFC 826, RFC 5227).

use super::neighbour::Ask;
use super::neighbours::Released;
use super::{Failure, Link};
use crate::frame::{ArpWhy, CauseKind, DropReason, Outcome, TxFrame};
use crate::ip::AddressKind;
use crate::stack::{Context, InterfaceId, MacAddr};
use crate::wire::{arp, ethernet};
use core::net::{IpAddr, Ipv4Addr};

impl Link {
    /// An ARP packet came in.
    pub(super) fn arp_input(&mut self, cx: &mut Context, id: InterfaceId, bytes: &[u8]) -> Outcome {
        let Some(packet) = arp::Packet::parse(bytes) else { return cx.drop(DropReason::ArpMalformed) };
        let Some(interface) = self.interfaces.get(usize::from(id.0)) else {
            return cx.drop(DropReason::InterfaceDown);
        };
        let is_probe = packet.sender.is_unspecified();
        let sender_can_be =
            is_probe || (AddressKind::of(packet.sender).is_host() && !interface.is_broadcast(packet.sender));
        if !packet.sender_mac.is_unicast() || packet.sender_mac == MacAddr::default() || !sender_can_be {
            return cx.drop(DropReason::ArpBadSender);
        }

        if interface.has_address(packet.sender) {
            if packet.sender_mac == interface.mac {
                return cx.drop(DropReason::ArpNotForUs); // Our own, reflected by the link.
            }
            return self.conflict(cx, id, packet.sender);
        }

        let for_us = interface.has_address(packet.target);
        let was_known = if is_probe {
            false
        } else {
            // RFC 826: known senders are updated by whatever they say; unknown ones are remembered only if they
            // ask for us, since they are about to talk to us.
            let solicited = for_us && packet.operation == arp::Operation::Reply;
            let create = for_us && packet.operation == arp::Operation::Request;
            let sender = IpAddr::V4(packet.sender);
            let released = self.neighbours.learn(cx.now, id, sender, packet.sender_mac, solicited, create);
            let was_known = released.is_some();
            self.release(cx, id, packet.sender_mac, released.unwrap_or_default());
            was_known
        };

        match packet.operation {
            arp::Operation::Request if for_us => {
                self.arp_reply(cx, id, &packet);
                Outcome::Answered { with: "ARP reply" }
            }
            arp::Operation::Reply if was_known => Outcome::Learned { what: "ARP reply" },
            arp::Operation::Request if was_known => Outcome::Learned { what: "ARP request" },
            _ => cx.drop(DropReason::ArpNotForUs),
        }
    }

    /// Sends a request for a neighbour.
    pub(super) fn arp_request(&mut self, cx: &mut Context, ask: Ask) {
        let Some(interface) = self.interfaces.get(usize::from(ask.interface.0)) else { return };
        let IpAddr::V4(target) = ask.address else { return };
        let next_hop = ask.address;
        let why = match ask.mac {
            None => ArpWhy::Request { next_hop, retries: ask.retries },
            Some(_) => ArpWhy::Probe { next_hop, retries: ask.retries },
        };
        let packet = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: interface.mac,
            sender: interface.address_towards(target).unwrap_or(Ipv4Addr::UNSPECIFIED),
            target_mac: MacAddr::default(),
            target,
        };
        self.arp_output(cx, ask.interface, &packet, ask.mac.unwrap_or(MacAddr::BROADCAST), why);
    }

    /// Tells the link that an address is ours: a request for it, from itself (RFC 5227 section 2.3).
    pub(super) fn announce(&mut self, cx: &mut Context, id: InterfaceId, address: Ipv4Addr, why: ArpWhy) {
        let Some(interface) = self.interfaces.get(usize::from(id.0)) else { return };
        let packet = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: interface.mac,
            sender: address,
            target_mac: MacAddr::default(),
            target: address,
        };
        self.arp_output(cx, id, &packet, MacAddr::BROADCAST, why);
    }

    /// Somebody else sent an ARP packet from our address.
    fn conflict(&mut self, cx: &mut Context, id: InterfaceId, address: Ipv4Addr) -> Outcome {
        cx.counters.address_conflicts += 1;
        if !self.announcements.may_defend(cx.now, id, address) {
            return Outcome::Learned { what: "an address conflict" };
        }
        self.announce(cx, id, address, ArpWhy::Defend);
        Outcome::Answered { with: "ARP defence" }
    }

    fn arp_reply(&mut self, cx: &mut Context, id: InterfaceId, request: &arp::Packet) {
        let Some(interface) = self.interfaces.get(usize::from(id.0)) else { return };
        let packet = arp::Packet {
            operation: arp::Operation::Reply,
            sender_mac: interface.mac,
            sender: request.target,
            target_mac: request.sender_mac,
            target: request.sender,
        };
        self.arp_output(cx, id, &packet, request.sender_mac, ArpWhy::Reply);
    }

    fn arp_output(
        &mut self,
        cx: &mut Context,
        id: InterfaceId,
        packet: &arp::Packet,
        to: MacAddr,
        why: ArpWhy,
    ) {
        let mut frame = TxFrame::new(CauseKind::Arp(why).into());
        packet.emit(&mut frame);
        let source = packet.sender_mac;
        ethernet::Header { destination: to, source, ethertype: ethernet::ETHERTYPE_ARP }.emit(&mut frame);
        self.push(cx, id, frame);
    }

    /// A neighbour is known: what waited for it goes its way.
    fn release(&mut self, cx: &mut Context, id: InterfaceId, mac: MacAddr, released: Released) {
        if !released.parked.is_empty() {
            for mut frame in released.parked {
                self.ethernet_header(id, mac, &mut frame);
                self.push(cx, id, frame);
            }
            if let Some(interface) = self.interface_mut(id) {
                interface.hurry();
            }
        }
        for sender in released.waiting {
            self.ready(id, sender);
        }
    }

    /// A neighbour did not answer: what waited for it is told, or dropped.
    pub(super) fn fail(&mut self, cx: &mut Context, released: Released) {
        for frame in released.parked {
            cx.drop(DropReason::NeighbourUnreachable);
            self.failures.push_back(Failure::Packet(Box::new(frame)));
        }
        self.failures.extend(released.waiting.into_iter().map(Failure::Sender));
    }
}
