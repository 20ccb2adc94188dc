//! Datagrams in, and errors about those that went out.

use super::Udp;
use crate::frame::{DropReason, Outcome, RxChecksum};
use crate::icmp::IcmpNotice;
use crate::ip::PacketIn;
use crate::socket::{Kind, SocketId, Sockets};
use crate::stack::{Context, InterfaceId};
use crate::wire::{checksum, udp};
use bytes::Bytes;
use core::net::SocketAddr;

impl Udp {
    /// A datagram came in, or a super-frame of several.
    pub(crate) fn input(&mut self, cx: &mut Context, sockets: &mut Sockets, packet: &PacketIn) -> Outcome {
        let Some(parsed) = udp::Header::parse(&packet.payload) else {
            return cx.drop(DropReason::UdpMalformed);
        };
        // RFC 768: a checksum of zero says that the sender made none; RFC 1122 section 4.1.3.4 lets it pass.
        if packet.checksum == RxChecksum::Unverified
            && parsed.has_checksum
            && !checksum::verify(
                packet.source,
                packet.destination,
                udp::PROTOCOL,
                packet.payload.get(..parsed.len).unwrap_or_default(),
            )
        {
            return cx.drop(DropReason::UdpBadChecksum);
        }
        let local = SocketAddr::new(packet.destination, parsed.header.dst_port);
        let remote = SocketAddr::new(packet.source, parsed.header.src_port);
        let data = packet.payload.slice(udp::HEADER_BYTES..parsed.len);
        let size = packet.gso.map_or(data.len(), |gso| usize::from(gso.size)).max(1);

        if packet.broadcast {
            return self.input_for_all(cx, sockets, packet.interface, local.port(), remote, &data);
        }
        let found = self.demux.find(local, remote, |id| accepts(sockets, id, packet.interface));
        let Some(id) = found else { return cx.drop(DropReason::UdpNoPort) };
        if !deliver(cx, sockets, id, remote, &data, size) {
            return cx.drop(DropReason::UdpQueueFull);
        }
        Outcome::Delivered { socket: id }
    }

    /// A datagram to many hosts goes to every socket that wants it.
    fn input_for_all(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        interface: InterfaceId,
        port: u16,
        remote: SocketAddr,
        data: &Bytes,
    ) -> Outcome {
        let mut outcome = None;
        for id in self.demux.find_all(port, remote) {
            if accepts(sockets, id, interface) && deliver(cx, sockets, id, remote, data, data.len().max(1)) {
                outcome = Some(Outcome::Delivered { socket: id });
            }
        }
        outcome.unwrap_or_else(|| cx.drop(DropReason::UdpNoPort))
    }

    /// An ICMP error came in about a datagram of ours.
    pub(crate) fn icmp_error(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        notice: &IcmpNotice,
    ) -> Outcome {
        let Some(id) = self.demux.find(notice.local, notice.remote, |_| true) else {
            return cx.drop(DropReason::IcmpUnmatched);
        };
        if let Ok(socket) = sockets.udp_mut(id) {
            socket.datagrams.icmp_error(notice);
        }
        cx.wake(sockets, id);
        Outcome::Delivered { socket: id }
    }
}

/// Whether a socket takes datagrams from this interface.
fn accepts(sockets: &Sockets, id: SocketId, interface: InterfaceId) -> bool {
    match sockets.kind(id) {
        Ok(Kind::Udp(socket)) => socket.datagrams.settings.interface.is_none_or(|only| only == interface),
        _ => false,
    }
}

/// Queues each datagram of `size` bytes; true if one was taken.
fn deliver(
    cx: &mut Context,
    sockets: &mut Sockets,
    id: SocketId,
    from: SocketAddr,
    data: &Bytes,
    size: usize,
) -> bool {
    let Ok(socket) = sockets.udp_mut(id) else { return false };
    let mut taken = false;
    let mut at = 0;
    loop {
        let end = (at + size).min(data.len());
        taken |= socket.datagrams.deliver(cx, from, data.slice(at..end));
        at = end;
        if at >= data.len() {
            break;
        }
    }
    if taken {
        cx.wake(sockets, id);
    }
    taken
}
