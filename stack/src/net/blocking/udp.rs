//! A blocking UDP socket.

use super::socket::{BlockingSocket, each, unexpected};
use crate::net::Host;
use crate::net::waiters::Direction;
use crate::socket::{OptionName, RecvFlags, SendFlags, SocketKind, SocketOption};
use crate::time::Duration;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// A UDP socket of a machine, as [`std::net::UdpSocket`] is one of the operating system.
#[derive(Debug)]
pub struct UdpSocket {
    inner: Arc<BlockingSocket>,
}

impl UdpSocket {
    /// Binds a socket to the first of these addresses that can be bound; port 0 picks a free one. A name is looked up
    /// by the operating system, not through the machine.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`; `Unsupported` in a simulated world.
    pub fn bind(host: &Host, address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        each(address, |address| {
            let inner = BlockingSocket::open(host, SocketKind::Datagram)?;
            inner.socket.call(|_, stack, id| stack.bind(id, address))?;
            Ok(UdpSocket { inner: Arc::new(inner) })
        })
    }

    /// Receives one datagram and its sender's address; what exceeds `buffer` is cut off.
    ///
    /// # Errors
    /// On a connected socket, what ICMP reported (`ConnectionRefused`, …), each once; `WouldBlock` after the time-out.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, RecvFlags::default())
    }

    /// As [`UdpSocket::recv_from`], leaving the datagram in the queue.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, RecvFlags { peek: true, ..RecvFlags::default() })
    }

    /// Receives one datagram. Errors: as [`UdpSocket::recv_from`].
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(buffer)?.0)
    }

    /// As [`UdpSocket::recv`], leaving the datagram in the queue.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.peek_from(buffer)?.0)
    }

    /// Sends one datagram to the first of these addresses; waits while the send buffer is full.
    ///
    /// # Errors
    /// `InvalidInput` for one that is too long, `PermissionDenied` for a broadcast without
    /// [`UdpSocket::set_broadcast`], `NetworkUnreachable` without a route; what ICMP reported about earlier ones.
    pub fn send_to(&self, data: &[u8], peer: impl ToSocketAddrs) -> io::Result<usize> {
        let peer = peer.to_socket_addrs()?.next();
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "there is no address to send to");
        let (peer, timeout) = (peer.ok_or_else(none)?, Some(OptionName::SendTimeout));
        self.inner.call(Direction::Write, timeout, |now, stack, id| stack.send_to(now, id, data, peer))
    }

    /// Sends one datagram to the connected peer. Errors: as [`UdpSocket::send_to`].
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        let timeout = Some(OptionName::SendTimeout);
        self.inner
            .call(Direction::Write, timeout, |now, stack, id| stack.send(now, id, data, SendFlags::default()))
    }

    /// Fixes the peer: [`UdpSocket::send`] goes there, and only its datagrams are received.
    pub fn connect(&self, peer: impl ToSocketAddrs) -> io::Result<()> {
        each(peer, |peer| Ok(self.inner.socket.call(|now, stack, id| stack.connect(now, id, peer))?))
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.local_addr()
    }

    /// The connected peer. Errors: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.peer_addr()
    }

    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket { inner: Arc::clone(&self.inner) })
    }

    /// Bounds how long a receive waits, which says `WouldBlock` then; none waits for ever.
    /// Errors: `InvalidInput` for a time-out of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_timeout(SocketOption::ReceiveTimeout, timeout)
    }

    /// Bounds how long a send waits, which says `WouldBlock` then; none waits for ever.
    /// Errors: `InvalidInput` for a time-out of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_timeout(SocketOption::SendTimeout, timeout)
    }

    /// Has calls that block look for this long whether they can go on, before they sleep (`SO_BUSY_POLL`): it saves
    /// the wake-up and costs a core meanwhile. Zero, the default, sleeps at once. All clones share it.
    pub fn set_busy_poll(&self, duration: Duration) {
        self.inner.set_busy_poll(duration);
    }

    /// How long calls look before they sleep.
    pub fn busy_poll(&self) -> Duration {
        self.inner.busy_poll()
    }

    /// The read time-out.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.inner.timeout(OptionName::ReceiveTimeout)
    }

    /// The write time-out.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.inner.timeout(OptionName::SendTimeout)
    }

    /// Has calls say `WouldBlock` instead of waiting, on all clones.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Allows sending to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.inner.socket.set_option(SocketOption::Broadcast(on))
    }

    /// Whether sending to broadcast addresses is allowed.
    pub fn broadcast(&self) -> io::Result<bool> {
        match self.inner.socket.option(OptionName::Broadcast)? {
            SocketOption::Broadcast(on) => Ok(on),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets the time to live of packets. Errors: `InvalidInput`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// The time to live of packets.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        if self.inner.is_nonblocking() {
            self.inner.glance()?;
        }
        self.inner.socket.take_error()
    }

    /// The machine that it is on.
    pub fn host(&self) -> Host {
        self.inner.host()
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<(usize, SocketAddr)> {
        let timeout = Some(OptionName::ReceiveTimeout);
        self.inner.call(Direction::Read, timeout, |now, stack, id| stack.recv_from(now, id, buffer, flags))
    }
}
