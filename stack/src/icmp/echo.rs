//! Echo sockets: a program's pings. The local port is the identifier, and the socket counts the sequence numbers.

use super::{Icmp, IcmpNotice};
use crate::frame::{CauseKind, DropReason, Outcome, TxFrame};
use crate::ip::{Ip, PacketIn, Sender};
use crate::socket::{Errno, Kind, RecvFlags, SocketId, Sockets};
use crate::stack::{Context, InterfaceId, Ports};
use crate::tcp::Pulled;
use crate::udp::Datagrams;
use crate::udp::datagrams::{Next, Outgoing};
use crate::wire::icmp;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An echo socket.
pub(crate) struct EchoSocket {
    pub(crate) datagrams: Datagrams,
    next_sequence: u16,
}

impl Icmp {
    pub(crate) fn socket(&self) -> EchoSocket {
        EchoSocket { datagrams: Datagrams::new(self.ttl), next_sequence: 1 }
    }

    /// Binds to an identifier, which is the address's port; 0 picks one.
    /// Errors: `EAFNOSUPPORT`, `EADDRNOTAVAIL`, `EADDRINUSE`, `EINVAL` when it is bound already.
    pub(crate) fn bind(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        mut address: SocketAddr,
    ) -> Result<(), Errno> {
        if !address.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let datagrams = &mut sockets.echo_mut(id)?.datagrams;
        if datagrams.local.is_some() {
            return Err(Errno::EINVAL);
        }
        if !address.ip().is_unspecified() && !ip.is_local(address.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if address.port() == 0 {
            let is_free = |ident| !self.idents.contains_key(&ident);
            let ident = Ports::pick(cx, (icmp::PROTOCOL, address), is_free);
            address.set_port(ident.ok_or(Errno::EADDRINUSE)?);
        } else if self.idents.contains_key(&address.port()) {
            return Err(Errno::EADDRINUSE);
        }
        self.idents.insert(address.port(), id);
        datagrams.local = Some(address);
        Ok(())
    }

    /// Fixes the peer; its port does not matter. Errors: those of [`Icmp::bind`] and [`Ip::route`].
    pub(crate) fn connect(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        self.ensure_bound(cx, ip, sockets, id)?;
        let datagrams = &mut sockets.echo_mut(id)?.datagrams;
        let (source, settings) = (datagrams.pinned_source(), &datagrams.settings);
        let route = ip.route(peer.ip(), source, settings.interface, settings.broadcast)?;
        let local = SocketAddr::new(route.source, datagrams.local_addr().port());
        datagrams.connect(local, SocketAddr::new(peer.ip(), 0), route);
        Ok(())
    }

    /// Queues an echo request with this data. Errors: as UDP's.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        data: &[u8],
        peer: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        self.ensure_bound(cx, ip, sockets, id)?;
        let socket = sockets.echo_mut(id)?;
        let peer = peer.map(|peer| SocketAddr::new(peer.ip(), 0));
        let arena = &mut self.arena;
        let sent = socket.datagrams.send(ip, Sender::Echo(id), arena, data, peer, icmp::HEADER_BYTES)?;
        if let Some(outgoing) = socket.datagrams.last_queued() {
            outgoing.sequence = socket.next_sequence;
            socket.next_sequence = socket.next_sequence.wrapping_add(1);
        }
        cx.counters.bytes_copied += sent as u64;
        Ok(sent)
    }

    /// Takes a reply's data. Errors: `EAGAIN`, and the pending error.
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Errno> {
        sockets.echo_mut(id)?.datagrams.recv(cx, buffer, flags)
    }

    /// Closes a socket; requests that it has queued are forgotten, since nobody waits for their replies.
    pub(crate) fn close(
        &mut self,
        _cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        sockets.echo_mut(id)?;
        let Some(Kind::Echo(socket)) = sockets.remove(id) else { return Err(Errno::EBADF) };
        if let Some(local) = socket.datagrams.local {
            self.idents.remove(&local.port());
        }
        Ok(())
    }

    /// Makes a socket's next echo request; the frame is finished on return.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        interface: InterfaceId,
        id: SocketId,
        frame: &mut TxFrame,
    ) -> Pulled {
        let Ok(socket) = sockets.echo_mut(id) else { return Pulled::Nothing };
        let datagrams = &mut socket.datagrams;
        let before = datagrams.readiness();
        let ident = datagrams.local_addr().port();
        let pulled = match datagrams.next(cx, ip, Sender::Echo(id), interface, icmp::HEADER_BYTES) {
            Next::Now(outgoing) => {
                emit(&outgoing, ident, frame);
                ip.finish(cx, &outgoing.route, &outgoing.packet(icmp::PROTOCOL), frame);
                Pulled::Frame { more: datagrams.more() }
            }
            Next::Queue(outgoing) => {
                let mut queued = TxFrame::default();
                emit(&outgoing, ident, &mut queued);
                let packet = outgoing.packet(icmp::PROTOCOL);
                if let Err(reason) = ip.send(cx, &outgoing.route, &packet, queued) {
                    cx.drop(reason);
                }
                if datagrams.more() {
                    ip.ready(interface, Sender::Echo(id));
                }
                Pulled::Nothing
            }
            Next::Nothing => Pulled::Nothing,
        };
        if datagrams.readiness() != before {
            cx.wake(sockets, id);
        }
        pulled
    }

    /// The next hop that a socket waits for did not answer.
    pub(crate) fn unreachable(&mut self, cx: &mut Context, ip: &mut Ip, sockets: &mut Sockets, id: SocketId) {
        if let Ok(socket) = sockets.echo_mut(id) {
            socket.datagrams.next_hop_failed(ip, Sender::Echo(id));
            cx.wake(sockets, id);
        }
    }

    /// A reply came in.
    pub(super) fn echo_reply(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        packet: &PacketIn,
        header: &icmp::Header,
    ) -> Outcome {
        let from = SocketAddr::new(packet.source, 0);
        let Some(id) = self.socket_of(sockets, header.ident(), packet.destination, Some(from)) else {
            return cx.drop(DropReason::IcmpUnasked);
        };
        let data = packet.payload.slice(icmp::HEADER_BYTES..);
        if !sockets.echo_mut(id).is_ok_and(|socket| socket.datagrams.deliver(cx, from, data)) {
            return cx.drop(DropReason::UdpQueueFull);
        }
        cx.wake(sockets, id);
        Outcome::Delivered { socket: id }
    }

    /// An ICMP error came in about a request of ours.
    pub(crate) fn icmp_error(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        notice: &IcmpNotice,
    ) -> Outcome {
        let Some(id) = self.socket_of(sockets, notice.local.port(), notice.local.ip(), None) else {
            return cx.drop(DropReason::IcmpUnmatched);
        };
        if let Ok(socket) = sockets.echo_mut(id) {
            socket.datagrams.icmp_error(notice);
        }
        cx.wake(sockets, id);
        Outcome::Delivered { socket: id }
    }

    /// The socket with this identifier, if it has this address and, where it is connected, this peer.
    fn socket_of(
        &self,
        sockets: &mut Sockets,
        ident: u16,
        local: IpAddr,
        from: Option<SocketAddr>,
    ) -> Option<SocketId> {
        let id = *self.idents.get(&ident)?;
        let datagrams = &sockets.echo_mut(id).ok()?.datagrams;
        let is_ours = datagrams.pinned_source().is_none_or(|pinned| pinned == local);
        let is_peers = from.is_none_or(|from| datagrams.peer.is_none_or(|peer| peer == from));
        (is_ours && is_peers).then_some(id)
    }

    fn ensure_bound(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        if sockets.echo_mut(id)?.datagrams.local.is_some() {
            return Ok(());
        }
        self.bind(cx, ip, sockets, id, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }
}

fn emit(outgoing: &Outgoing, ident: u16, frame: &mut TxFrame) {
    frame.reset(CauseKind::EchoRequest.into());
    frame.payload.push(outgoing.data.clone());
    icmp::Header::echo(icmp::kind::ECHO_REQUEST, ident, outgoing.sequence).emit(frame);
}
