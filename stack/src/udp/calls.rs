//! The socket calls on UDP sockets.

use super::Udp;
use super::datagrams::Datagrams;
use super::demux::Binding;
use super::output::queue;
use crate::ip::{Ip, Sender};
use crate::socket::{Errno, Kind, RecvFlags, Shutdown, SocketId, Sockets};
use crate::stack::{Context, Ports};
use crate::wire::udp;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

impl Udp {
    /// Errors: `EAFNOSUPPORT`, `EADDRNOTAVAIL`, `EADDRINUSE`, `EINVAL` when it is bound already.
    pub(crate) fn bind(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        address: SocketAddr,
    ) -> Result<(), Errno> {
        if !address.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        if sockets.udp_mut(id)?.datagrams.local.is_some() {
            return Err(Errno::EINVAL);
        }
        if !address.ip().is_unspecified() && !ip.is_local(address.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.bind_to(cx, sockets, id, address, None)
    }

    /// Binds; port 0 picks one, away from those of other flows.
    fn bind_to(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
        mut address: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> Result<(), Errno> {
        if address.port() == 0 {
            let port = Ports::pick(cx, (udp::PROTOCOL, address, peer), |port| self.demux.is_free(port));
            address.set_port(port.ok_or(Errno::EADDRINUSE)?);
        }
        let datagrams = &mut sockets.udp_mut(id)?.datagrams;
        let binding = Binding {
            id,
            address: address.ip(),
            reuse_address: datagrams.settings.reuse_address,
            reuse_port: datagrams.settings.reuse_port,
        };
        self.demux.bind(address.port(), binding)?;
        datagrams.local = Some(address);
        Ok(())
    }

    /// Connects at once: fixes the peer, and the source address with it.
    /// Errors: `EAFNOSUPPORT`, `EINVAL` for port 0, and those of [`Ip::route`].
    pub(crate) fn connect(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        if !peer.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        if peer.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let datagrams = &sockets.udp_mut(id)?.datagrams;
        let peer = host_of(peer, datagrams);
        let (source, settings) = (datagrams.pinned_source(), &datagrams.settings);
        let route = ip.route(peer.ip(), source, settings.interface, settings.broadcast)?;
        if datagrams.local.is_none() {
            self.bind_to(cx, sockets, id, SocketAddr::new(route.source, 0), Some(peer))?;
        }
        let datagrams = &mut sockets.udp_mut(id)?.datagrams;
        let bound = datagrams.local_addr();
        let local = SocketAddr::new(route.source, bound.port());
        self.demux.connect(id, local, datagrams.peer.map(|before| (bound, before)), peer);
        datagrams.connect(local, peer, route);
        Ok(())
    }

    /// Queues a datagram. Errors: `EDESTADDRREQ`, `EMSGSIZE`, `EAGAIN`, `EPIPE`, the pending error, and those of
    /// [`Ip::route`].
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        data: &[u8],
        peer: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        match peer {
            Some(SocketAddr::V6(_)) => return Err(Errno::EAFNOSUPPORT),
            Some(peer) if peer.port() == 0 => return Err(Errno::EINVAL),
            _ => {}
        }
        let datagrams = &sockets.udp_mut(id)?.datagrams;
        if datagrams.local.is_none() && peer.is_some() {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
            self.bind_to(cx, sockets, id, any, peer)?;
        }
        let datagrams = &mut sockets.udp_mut(id)?.datagrams;
        let peer = peer.map(|peer| host_of(peer, datagrams));
        let sent = datagrams.send(ip, Sender::Udp(id), &mut self.arena, data, peer, udp::HEADER_BYTES)?;
        cx.counters.bytes_copied += sent as u64;
        Ok(sent)
    }

    /// Takes a datagram. Errors: `EAGAIN`, and the pending error.
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Errno> {
        sockets.udp_mut(id)?.datagrams.recv(cx, buffer, flags)
    }

    /// Errors: `ENOTCONN`.
    pub(crate) fn shutdown(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), Errno> {
        sockets.udp_mut(id)?.datagrams.shutdown(how)?;
        cx.wake(sockets, id);
        Ok(())
    }

    /// Closes a socket. What it has queued goes to IP's own queues, as far as there is room.
    pub(crate) fn close(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        sockets.udp_mut(id)?;
        let Some(Kind::Udp(mut socket)) = sockets.remove(id) else { return Err(Errno::EBADF) };
        let (local, peer) = (socket.datagrams.local, socket.datagrams.peer);
        if let Some(local) = local {
            self.demux.remove(id, local, peer);
            for outgoing in socket.datagrams.drain() {
                queue(cx, ip, &outgoing, local.port());
            }
        }
        Ok(())
    }
}

/// The unspecified address means this host, as everywhere: by the address that the socket is bound to, or loopback's.
fn host_of(peer: SocketAddr, datagrams: &Datagrams) -> SocketAddr {
    if !peer.ip().is_unspecified() {
        return peer;
    }
    SocketAddr::new(datagrams.pinned_source().unwrap_or(Ipv4Addr::LOCALHOST.into()), peer.port())
}
