//! Passing packets on: what a router does (RFC 1812 section 5).

use super::fragmentation::Fragments;
use super::input::Arrived;
use super::segmentation::segments;
use super::{AddressKind, Input, Ip};
use crate::frame::{CauseKind, DropReason, Gso, GsoKind, Outcome, RxChecksum, TxChecksum, TxFrame};
use crate::icmp::ErrorOut;
use crate::link::Sent;
use crate::stack::{Context, InterfaceId};
use crate::wire::{checksum, ipv4, tcp, udp};
use core::net::IpAddr;

/// Where a packet is sent on to.
#[derive(Clone, Copy)]
struct Hop {
    interface: InterfaceId,
    next_hop: IpAddr,
    mtu: u16,
}

impl Ip {
    /// The packet is for somebody else.
    pub(super) fn forward(&mut self, cx: &mut Context, arrived: &Arrived) -> Input {
        let header = &arrived.header;
        let (from, to) = (AddressKind::of(header.source), AddressKind::of(header.destination));
        if !self.forwarding || to == AddressKind::Multicast {
            return Input::Done(cx.drop(DropReason::IpNotForUs));
        }
        // RFC 1812 section 5.3.4: "A router MUST NOT forward any packet that the router received as a Link Layer
        // broadcast".
        if !to.is_forwardable() || arrived.link_broadcast {
            return Input::Done(cx.drop(DropReason::IpMartianDestination));
        }
        if !from.is_forwardable() {
            return Input::Done(cx.drop(DropReason::IpMartianSource));
        }
        // RFC 1812 section 5.3.1: "If the TTL is reduced to zero (or less), the packet MUST be discarded".
        if header.ttl <= 1 {
            return refuse(cx, arrived, DropReason::TtlExpired, ErrorOut::TtlExceeded);
        }
        let Some(route) = self.routes.lookup(header.destination, None) else {
            return refuse(cx, arrived, DropReason::NoRoute, ErrorOut::NetUnreachable);
        };
        let Some(out) = self.link.interface(route.interface) else {
            return refuse(cx, arrived, DropReason::InterfaceDown, ErrorOut::NetUnreachable);
        };
        // RFC 2644: directed broadcasts are not let into a subnet.
        if out.is_broadcast(header.destination) {
            return Input::Done(cx.drop(DropReason::IpMartianDestination));
        }
        let hop = Hop { interface: out.id, next_hop: route.next_hop(header.destination), mtu: out.mtu };

        let sent = frame_to_pass_on(arrived)
            .and_then(|frame| self.postrouting(cx, hop, header.dont_fragment, frame));
        let next_hop = hop.next_hop;
        match sent {
            Ok(sent) => {
                cx.counters.forwarded += 1;
                Input::Done(match sent {
                    Sent::Queued => Outcome::Forwarded { next_hop },
                    Sent::Parked => Outcome::Parked { next_hop },
                })
            }
            Err(reason @ DropReason::FragmentationNeeded) => {
                refuse(cx, arrived, reason, ErrorOut::FragmentationNeeded { mtu: hop.mtu })
            }
            Err(reason @ DropReason::NeighbourUnreachable) => {
                refuse(cx, arrived, reason, ErrorOut::HostUnreachable)
            }
            Err(reason) => Input::Done(cx.drop(reason)),
        }
    }

    /// The last place: the packet is made to fit the link, and leaves.
    fn postrouting(
        &mut self,
        cx: &mut Context,
        hop: Hop,
        dont_fragment: bool,
        mut frame: TxFrame,
    ) -> Result<Sent, DropReason> {
        let Some(gso) = frame.gso else {
            if !self.link_limits(hop.interface).tx_checksum {
                checksum::complete(&mut frame);
            }
            return self.pass_on(cx, hop, dont_fragment, frame);
        };
        if frame.headers().len() + usize::from(gso.size) > usize::from(hop.mtu) && dont_fragment {
            return Err(DropReason::FragmentationNeeded);
        }
        let limits = self.link_limits(hop.interface);
        let super_frame_max = match gso.kind {
            GsoKind::Tcp4 => limits.tso_max,
            GsoKind::Udp4 => limits.uso_max,
        };
        let fits = frame.headers().len() + usize::from(gso.size) <= usize::from(hop.mtu);
        if limits.tx_checksum && fits && frame.payload_len() <= super_frame_max as usize {
            return self.link.output(cx, hop.interface, hop.next_hop, frame);
        }
        let segments = segments(&frame, 0).ok_or(DropReason::IpMalformed)?;
        self.check_room(hop, segments.count_left())?;
        let mut sent = Sent::Queued;
        for segment in segments {
            sent = self.pass_on(cx, hop, dont_fragment, segment)?;
        }
        Ok(sent)
    }

    /// Sends one packet on, in fragments if it has to be.
    fn pass_on(
        &mut self,
        cx: &mut Context,
        hop: Hop,
        dont_fragment: bool,
        mut frame: TxFrame,
    ) -> Result<Sent, DropReason> {
        if frame.len() <= usize::from(hop.mtu) {
            return self.link.output(cx, hop.interface, hop.next_hop, frame);
        }
        if dont_fragment {
            return Err(DropReason::FragmentationNeeded);
        }
        checksum::complete(&mut frame);
        self.output_fragments(cx, hop.interface, hop.next_hop, hop.mtu, &frame)
    }

    /// Sends a whole packet in fragments, all of them or none.
    pub(super) fn output_fragments(
        &mut self,
        cx: &mut Context,
        interface: InterfaceId,
        next_hop: IpAddr,
        mtu: u16,
        frame: &TxFrame,
    ) -> Result<Sent, DropReason> {
        let headers = frame.headers();
        let header_len = ipv4::Header::parse_quoted(headers).map_or(headers.len(), |h| h.header_len.into());
        let (header, transport) = headers.split_at_checked(header_len).ok_or(DropReason::IpMalformed)?;
        let transport = bytes::Bytes::copy_from_slice(transport);
        let fragments = Fragments::new(header, [transport].into_iter().chain(frame.payload.clone()), mtu);
        self.check_room(Hop { interface, next_hop, mtu }, fragments.count_left())?;
        let mut sent = Sent::Queued;
        for fragment in fragments {
            cx.counters.fragments_out += 1;
            sent = self.link.output(cx, interface, next_hop, fragment)?;
        }
        Ok(sent)
    }

    fn check_room(&self, hop: Hop, packets: usize) -> Result<(), DropReason> {
        if !self.link.has_room(hop.interface, hop.next_hop, packets) {
            return Err(DropReason::EgressFull);
        }
        Ok(())
    }
}

/// The packet as it leaves: its header copied, one hop fewer to live, its payload by reference. What is still to be
/// done for its checksum or segmentation goes along; for that, the transport's header is copied too.
fn frame_to_pass_on(arrived: &Arrived) -> Result<TxFrame, DropReason> {
    let header = &arrived.header;
    let header_len = usize::from(header.header_len);
    let is_partial = matches!(arrived.frame.checksum, RxChecksum::Partial { .. });
    let copied = match is_partial || arrived.frame.gso.is_some() {
        true => header_len + transport_header_len(arrived)?,
        false => header_len,
    };
    let mut frame = TxFrame::new(CauseKind::Forwarded.into());
    frame.id = arrived.frame.id;
    frame.gso = arrived.frame.gso;
    frame.payload.push(arrived.frame.bytes.slice(copied..));
    frame.prepend(copied).copy_from_slice(arrived.frame.bytes.get(..copied).unwrap_or_default());
    ipv4::Rewrite::new(frame.headers_mut()).ttl(header.ttl - 1);

    if copied > header_len {
        let offset = match header.protocol {
            tcp::PROTOCOL => tcp::CHECKSUM_AT,
            _ => checksum::UDP_CHECKSUM_AT,
        };
        // A device that merged segments leaves no checksum over the whole: it is made anew further on.
        let len = arrived.frame.bytes.len() - header_len;
        let (source, destination) = (IpAddr::V4(header.source), IpAddr::V4(header.destination));
        let sum = checksum::pseudo_header(source, destination, header.protocol, len).partial();
        let field = header_len + usize::from(offset);
        if let Some(bytes) = frame.headers_mut().get_mut(field..field + 2) {
            bytes.copy_from_slice(&sum.to_be_bytes());
        }
        frame.checksum = TxChecksum::Partial { start: header_len as u16, offset };
    }
    Ok(frame)
}

/// Bytes of the transport's header, of protocols whose checksum or segmentation may be left to others.
fn transport_header_len(arrived: &Arrived) -> Result<usize, DropReason> {
    let transport = arrived.frame.bytes.get(usize::from(arrived.header.header_len)..).unwrap_or_default();
    match (arrived.header.protocol, arrived.frame.gso) {
        (tcp::PROTOCOL, None | Some(Gso { kind: GsoKind::Tcp4, .. })) => {
            tcp::Header::parse(transport).map(|(_, len)| len).ok_or(DropReason::TcpMalformed)
        }
        (udp::PROTOCOL, None | Some(Gso { kind: GsoKind::Udp4, .. })) => {
            udp::Header::parse(transport).map(|_| udp::HEADER_BYTES).ok_or(DropReason::UdpMalformed)
        }
        _ => Err(DropReason::IpMalformed),
    }
}

/// Drops a packet, and says what its sender may be told.
fn refuse(cx: &mut Context, arrived: &Arrived, reason: DropReason, error: ErrorOut) -> Input {
    Input::Report { packet: Box::new(arrived.packet(false)), error, outcome: cx.drop(reason) }
}
