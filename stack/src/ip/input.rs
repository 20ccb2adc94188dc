//! Packets that come in: header checks, martians, and whether they are for us.

use super::reassembly::Fragment;
use super::types::HeaderBytes;
use super::{AddressKind, Input, Ip, PacketIn};
use crate::frame::{DropReason, Outcome, RxFrame};
use crate::stack::{Context, InterfaceId};
use crate::wire::ipv4;
use bytes::{Buf as _, Bytes};
use core::net::{IpAddr, Ipv4Addr};

/// A packet with its header read, on its way through the layer.
pub(super) struct Arrived {
    pub(super) interface: InterfaceId,
    pub(super) header: ipv4::Header,
    /// The frame, its bytes cut to the packet: from the IP header on, and to its end.
    pub(super) frame: RxFrame,
    /// Whether the link addressed it to more than this station.
    pub(super) link_broadcast: bool,
}

impl Arrived {
    /// The packet as transports and ICMP want it.
    pub(super) fn packet(&self, broadcast: bool) -> PacketIn {
        self.with_payload(self.frame.bytes.slice(usize::from(self.header.header_len)..), broadcast)
    }

    /// The same from what is not needed any more: without another reference to the frame's bytes, of which each costs
    /// as much as copying some headers.
    fn into_packet(mut self, broadcast: bool) -> PacketIn {
        let mut packet = self.with_payload(Bytes::new(), broadcast);
        self.frame.bytes.advance(usize::from(self.header.header_len));
        packet.payload = self.frame.bytes;
        packet
    }

    fn with_payload(&self, payload: Bytes, broadcast: bool) -> PacketIn {
        let header_len = usize::from(self.header.header_len);
        PacketIn {
            interface: self.interface,
            source: IpAddr::V4(self.header.source),
            destination: IpAddr::V4(self.header.destination),
            protocol: self.header.protocol,
            tos: self.header.tos,
            broadcast: broadcast || self.link_broadcast,
            payload,
            checksum: self.frame.checksum,
            gso: self.frame.gso,
            header: HeaderBytes::from_slice(&self.frame.bytes[..header_len]),
        }
    }
}

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Us,
    AllOfUs,
    Others,
}

impl Ip {
    /// A packet came in, at `offset` in the frame.
    pub(crate) fn input(
        &mut self,
        cx: &mut Context,
        interface: InterfaceId,
        mut frame: RxFrame,
        offset: usize,
        link_broadcast: bool,
    ) -> Input {
        let bytes = frame.bytes.get(offset..).unwrap_or_default();
        let header = match ipv4::Header::parse(bytes) {
            Ok(header) => header,
            Err(reason) => return Input::Done(cx.drop(reason)),
        };
        frame.bytes.truncate(offset + usize::from(header.total_len));
        frame.bytes.advance(offset);
        let arrived = Arrived { interface, header, frame, link_broadcast };
        if let Err(reason) = self.prerouting(&arrived) {
            return Input::Done(cx.drop(reason));
        }
        match self.whom_for(&arrived) {
            For::Us if link_broadcast => {
                // RFC 1122 section 3.3.6: what was broadcast on the link "but does not specify an IP multicast or
                // broadcast destination address" SHOULD be silently discarded.
                Input::Done(cx.drop(DropReason::IpMartianDestination))
            }
            For::Us => self.local(cx, arrived, false),
            For::AllOfUs => self.local(cx, arrived, true),
            For::Others => self.forward(cx, &arrived),
        }
    }

    /// The first place: is this packet one that can be on this interface at all?
    fn prerouting(&self, arrived: &Arrived) -> Result<(), DropReason> {
        let header = &arrived.header;
        if usize::from(header.header_len) > ipv4::HEADER_BYTES {
            let options = arrived.frame.bytes.get(ipv4::HEADER_BYTES..usize::from(header.header_len));
            check_options(options.unwrap_or_default())?;
        }
        if arrived.interface == InterfaceId::LOOPBACK {
            return Ok(()); // Only what we sent ourselves comes that way.
        }
        let interface = self.link.interface(arrived.interface).ok_or(DropReason::InterfaceDown)?;
        let source_can_be = match AddressKind::of(header.source) {
            // RFC 1122 section 3.2.1.3 (a): "MUST NOT be sent, except as a source address as part of an
            // initialization procedure".
            AddressKind::Unspecified => header.destination == Ipv4Addr::BROADCAST,
            kind => kind.is_host() && !interface.is_broadcast(header.source),
        };
        if !source_can_be || self.owner(header.source).is_some() {
            return Err(DropReason::IpMartianSource);
        }
        match AddressKind::of(header.destination) {
            AddressKind::Unspecified
            | AddressKind::ThisNetwork
            | AddressKind::Loopback
            | AddressKind::Reserved => Err(DropReason::IpMartianDestination),
            _ => Ok(()),
        }
    }

    /// The routing decision: for us, for everybody here, or for somebody else?
    fn whom_for(&self, arrived: &Arrived) -> For {
        let to = arrived.header.destination;
        if self.is_local(IpAddr::V4(to)) {
            return For::Us;
        }
        let is_broadcast = self.link.interface(arrived.interface).is_some_and(|i| i.is_broadcast(to));
        if is_broadcast || to == ALL_SYSTEMS { For::AllOfUs } else { For::Others }
    }

    /// The packet is for this machine.
    fn local(&mut self, cx: &mut Context, arrived: Arrived, broadcast: bool) -> Input {
        let header = arrived.header;
        let packet = arrived.into_packet(broadcast);
        if !header.is_fragment() {
            return Input::Deliver(packet);
        }
        let (fragment, evicted) = self.reassembly.add(cx.now, &header, packet);
        for _ in 0..evicted {
            cx.drop(DropReason::ReassemblyFull);
        }
        match fragment {
            Fragment::Whole(packet) => {
                cx.counters.reassembled += 1;
                Input::Deliver(*packet)
            }
            Fragment::Waits => Input::Done(Outcome::Reassembling),
            Fragment::Refused(reason) => Input::Done(cx.drop(reason)),
        }
    }
}

/// Options are skipped, but for source routes, which are refused: they let a sender choose the way past filters
/// (RFC 7126 section 4.3 and 4.4). Lengths have to lead somewhere.
fn check_options(mut options: &[u8]) -> Result<(), DropReason> {
    loop {
        options = match *options {
            [] | [END_OF_OPTIONS, ..] => return Ok(()),
            [NO_OPERATION, ref rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(DropReason::IpBadOptions),
            [_, len, ..] if len >= 2 => options.get(usize::from(len)..).ok_or(DropReason::IpBadOptions)?,
            _ => return Err(DropReason::IpBadOptions),
        };
    }
}

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// The group of all hosts on a link, which every host is in (RFC 1112 section 4).
const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
