//! The calls of the socket interface, handed to the protocol that a socket is about.

use super::{
    Errno, Kind, OptionName, Readiness, RecvFlags, SendFlags, Shutdown, SocketEvent, SocketId, SocketKind,
    SocketOption,
};
use crate::stack::Stack;
use crate::time::Instant;
use crate::udp::ErrorQueueEntry;
use core::net::SocketAddr;

impl Stack {
    /// Makes a socket. Errors: `ENFILE` when the stack holds [`crate::Config::sockets_max`] already.
    pub fn socket(&mut self, kind: SocketKind) -> Result<SocketId, Errno> {
        let kind = match kind {
            SocketKind::Stream => Kind::Tcp(Box::new(self.tcp.socket())),
            SocketKind::Datagram => Kind::Udp(Box::new(self.udp.socket())),
            SocketKind::Echo => Kind::Echo(Box::new(self.icmp.socket())),
        };
        self.sockets.insert(kind)
    }

    /// Gives a socket its local address; port 0 picks a free one (an echo socket's port is its identifier).
    /// Errors: `EADDRINUSE`, `EADDRNOTAVAIL`, `EINVAL` when it is bound already.
    pub fn bind(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Errno> {
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.bind(&mut self.cx, &self.ip, &mut self.sockets, id, address),
            Kind::Udp(_) => self.udp.bind(&mut self.cx, &self.ip, &mut self.sockets, id, address),
            Kind::Echo(_) => self.icmp.bind(&mut self.cx, &self.ip, &mut self.sockets, id, address),
        }
    }

    /// Makes a TCP socket accept connections. `backlog` bounds both the half-open and the finished ones that wait.
    /// Errors: `EADDRINUSE`, `EINVAL` when it is connected, `EOPNOTSUPP` on other kinds.
    pub fn listen(&mut self, now: Instant, id: SocketId, backlog: usize) -> Result<(), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.listen(&mut self.cx, &self.ip, &mut self.sockets, id, backlog),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Takes a finished connection from a listener: its socket and the peer.
    /// Errors: `EAGAIN`, `EINVAL` when it does not listen, `ENFILE`.
    pub fn accept(&mut self, now: Instant, id: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.accept(&mut self.cx, &mut self.sockets, id),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Whether what a socket has to send would be no better off for waiting longer: a burst of it, or all that there will
    /// be before the peer answers.
    pub(crate) fn is_burst_full(&self, id: SocketId) -> bool {
        match self.sockets.kind(id) {
            Ok(Kind::Tcp(socket)) => self.tcp.is_burst_full(&self.ip, socket.connection()),
            Ok(Kind::Udp(socket)) => socket.datagrams.is_burst_full(),
            Ok(Kind::Echo(socket)) => socket.datagrams.is_burst_full(),
            Err(_) => true,
        }
    }

    /// Connects. TCP says `EINPROGRESS`; the socket becomes writable when it is done, and [`Stack::take_error`]
    /// tells how it ended. Datagram sockets connect at once.
    pub fn connect(&mut self, now: Instant, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.connect(&mut self.cx, &mut self.ip, &mut self.sockets, id, peer),
            Kind::Udp(_) => self.udp.connect(&mut self.cx, &self.ip, &mut self.sockets, id, peer),
            Kind::Echo(_) => self.icmp.connect(&mut self.cx, &self.ip, &mut self.sockets, id, peer),
        }
    }

    /// Queues bytes (stream) or one datagram to the connected peer; returns how many bytes were taken.
    /// Errors: `EAGAIN`, `EPIPE`, `ENOTCONN`, `EMSGSIZE`, and the socket's pending error.
    pub fn send(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(socket) => {
                let conn = socket.connection();
                self.tcp.send(&mut self.cx, &mut self.ip, &mut self.sockets, conn, data, flags)
            }
            Kind::Udp(_) => self.udp.send(&mut self.cx, &mut self.ip, &mut self.sockets, id, data, None),
            Kind::Echo(_) => self.icmp.send(&mut self.cx, &mut self.ip, &mut self.sockets, id, data, None),
        }
    }

    /// Queues one datagram to `peer`. On a stream, `peer` is ignored, as POSIX has it.
    pub fn send_to(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
        peer: SocketAddr,
    ) -> Result<usize, Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.send(now, id, data, SendFlags::default()),
            Kind::Udp(_) => {
                self.udp.send(&mut self.cx, &mut self.ip, &mut self.sockets, id, data, Some(peer))
            }
            Kind::Echo(_) => {
                self.icmp.send(&mut self.cx, &mut self.ip, &mut self.sockets, id, data, Some(peer))
            }
        }
    }

    /// Takes received bytes, or one datagram; 0 bytes on a stream are its end.
    /// Errors: `EAGAIN`, `ENOTCONN`, and the socket's pending error.
    pub fn recv(
        &mut self,
        now: Instant,
        id: SocketId,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<usize, Errno> {
        if let Kind::Tcp(socket) = self.sockets.kind(id)? {
            self.cx.now = now;
            let conn = socket.connection();
            return self.tcp.recv(&mut self.cx, &mut self.ip, &mut self.sockets, conn, buffer, flags);
        }
        self.recv_from(now, id, buffer, flags).map(|(len, _)| len)
    }

    /// As [`Stack::recv`], with the sender's address (a stream's peer).
    pub fn recv_from(
        &mut self,
        now: Instant,
        id: SocketId,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(socket) => {
                let conn = socket.connection();
                let peer = self.tcp.remote_addr(socket)?;
                let len =
                    self.tcp.recv(&mut self.cx, &mut self.ip, &mut self.sockets, conn, buffer, flags)?;
                Ok((len, peer))
            }
            Kind::Udp(_) => self.udp.recv(&mut self.cx, &mut self.sockets, id, buffer, flags),
            Kind::Echo(_) => self.icmp.recv(&mut self.cx, &mut self.sockets, id, buffer, flags),
        }
    }

    /// Shuts one or both directions down. Errors: `ENOTCONN`.
    pub fn shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.shutdown(&mut self.cx, &mut self.ip, &mut self.sockets, id, how),
            Kind::Udp(_) => self.udp.shutdown(&mut self.cx, &mut self.sockets, id, how),
            Kind::Echo(_) => Err(Errno::ENOTCONN),
        }
    }

    /// Closes a socket: the id is gone, queued data is still sent (see [`super::Linger`]).
    pub fn close(&mut self, now: Instant, id: SocketId) -> Result<(), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.close(&mut self.cx, &mut self.ip, &mut self.sockets, id),
            Kind::Udp(_) => self.udp.close(&mut self.cx, &mut self.ip, &mut self.sockets, id),
            Kind::Echo(_) => self.icmp.close(&mut self.cx, &mut self.sockets, id),
        }
    }

    /// The address that a socket is bound to.
    pub fn local_addr(&self, id: SocketId) -> Result<SocketAddr, Errno> {
        match self.sockets.kind(id)? {
            Kind::Tcp(socket) => self.tcp.local_addr(socket),
            Kind::Udp(socket) => Ok(socket.datagrams.local_addr()),
            Kind::Echo(socket) => Ok(socket.datagrams.local_addr()),
        }
    }

    /// The address of the peer. Errors: `ENOTCONN`.
    pub fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, Errno> {
        match self.sockets.kind(id)? {
            Kind::Tcp(socket) => self.tcp.peer_addr(socket),
            Kind::Udp(socket) => socket.datagrams.peer_addr(),
            Kind::Echo(socket) => socket.datagrams.peer_addr(),
        }
    }

    /// Sets an option. Errors: `ENOPROTOOPT`, `EINVAL`.
    pub fn set_option(&mut self, now: Instant, id: SocketId, option: SocketOption) -> Result<(), Errno> {
        self.cx.now = now;
        match self.sockets.kind(id)? {
            Kind::Tcp(_) => self.tcp.set_option(&mut self.cx, &mut self.ip, &mut self.sockets, id, option),
            Kind::Udp(_) => self.sockets.udp_mut(id)?.datagrams.set_option(option),
            Kind::Echo(_) => self.sockets.echo_mut(id)?.datagrams.set_option(option),
        }
    }

    /// Reads an option. Errors: `ENOPROTOOPT`.
    pub fn option(&self, id: SocketId, name: OptionName) -> Result<SocketOption, Errno> {
        match self.sockets.kind(id)? {
            Kind::Tcp(socket) => self.tcp.option(&self.cx, socket, name),
            Kind::Udp(socket) => socket.datagrams.option(name),
            Kind::Echo(socket) => socket.datagrams.option(name),
        }
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<Errno>, Errno> {
        match self.sockets.kind_mut(id)? {
            Kind::Tcp(_) => self.tcp.take_error(&mut self.sockets, id),
            Kind::Udp(socket) => Ok(socket.datagrams.take_error()),
            Kind::Echo(socket) => Ok(socket.datagrams.take_error()),
        }
    }

    /// Takes the oldest error about a datagram that a UDP or echo socket sent (`MSG_ERRQUEUE`), unconnected ones'
    /// too: traceroute lives on these. While there are some, the socket's readiness says `priority`.
    /// Errors: `EOPNOTSUPP` on streams.
    pub fn recv_error(&mut self, id: SocketId) -> Result<Option<ErrorQueueEntry>, Errno> {
        match self.sockets.kind_mut(id)? {
            Kind::Udp(socket) => Ok(socket.datagrams.take_error_entry()),
            Kind::Echo(socket) => Ok(socket.datagrams.take_error_entry()),
            Kind::Tcp(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// What could be done with the socket now.
    pub fn readiness(&self, id: SocketId) -> Result<Readiness, Errno> {
        Ok(match self.sockets.kind(id)? {
            Kind::Tcp(socket) => self.tcp.readiness(socket),
            Kind::Udp(socket) => socket.datagrams.readiness(),
            Kind::Echo(socket) => socket.datagrams.readiness(),
        })
    }

    /// How many sockets are open. Connections that finish closing in the background are no sockets any more.
    pub fn sockets_open(&self) -> usize {
        self.sockets.iter().count()
    }

    /// What TCP holds at the moment, what closes in the background included.
    pub fn tcp_usage(&self) -> crate::tcp::TcpUsage {
        self.tcp.usage()
    }

    /// Whether [`Stack::poll_event`] may bring one; false is certain.
    pub(crate) fn has_events(&self) -> bool {
        self.cx.has_events()
    }

    /// The next socket whose readiness may have changed; each is told once for all that happened in between.
    pub fn poll_event(&mut self) -> Option<SocketEvent> {
        while let Some(socket) = self.cx.next_event() {
            let Some(entry) = self.sockets.entry(socket) else { continue };
            entry.event_queued = false;
            let readiness = match &entry.kind {
                Some(Kind::Tcp(socket)) => self.tcp.readiness(socket),
                Some(Kind::Udp(socket)) => socket.datagrams.readiness(),
                Some(Kind::Echo(socket)) => socket.datagrams.readiness(),
                None => continue,
            };
            return Some(SocketEvent { socket, readiness });
        }
        None
    }
}
