//! UDP sockets as apps use them.

use super::machine::Machine;
use super::socket::Socket;
use super::waiters::Direction;
use crate::socket::{Errno, OptionName, RecvFlags, SendFlags, SocketKind, SocketOption};
use crate::udp::ErrorQueueEntry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A UDP socket. Every call takes `&self`: tasks may share it, and each datagram goes to one of them.
///
/// # When a datagram leaves
/// In a task on a machine's run loop (also the future of `Machine::run`), datagrams wait for each other: they leave when
/// the task yields, which is when an await has to wait; or as soon as the socket has 64 of them, about 64 KiB, or a full
/// send buffer. So a burst costs one turn, and one super-frame where the device takes such. A task that goes on for long
/// without yielding holds them up, as it does everything else on that loop: it may [`UdpSocket::flush`]. On any other
/// thread, and in the simulated world, a datagram leaves within the call.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    pub(crate) fn bind(machine: &Arc<Machine>, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::open(machine, SocketKind::Datagram)?;
        socket.call(|_, stack, id| stack.bind(id, address))?;
        Ok(UdpSocket { socket })
    }

    /// Sends one datagram; waits while the socket's send buffer is full. Returns its length in bytes.
    ///
    /// # Errors
    /// `InvalidInput` for one that is too long for UDP or lacks an address, `PermissionDenied` for a broadcast
    /// without [`UdpSocket::set_broadcast`], `NetworkUnreachable` without a route; and errors that ICMP reported
    /// about earlier datagrams, each once.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> io::Result<usize> {
        let send = self.socket.wait(Direction::Write, |now, stack, id| stack.send_to(now, id, data, peer));
        Ok(send.settle_later().await?)
    }

    /// Receives one datagram and its sender's address; what exceeds `buffer` is cut off.
    ///
    /// # Errors
    /// On a connected socket, errors that ICMP reported (`ConnectionRefused`, …), each once.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let recv = self
            .socket
            .wait(Direction::Read, |now, stack, id| stack.recv_from(now, id, buffer, RecvFlags::default()));
        Ok(recv.settle_later().await?)
    }

    /// As [`UdpSocket::recv_from`], leaving the datagram in the queue.
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let flags = RecvFlags { peek: true, ..RecvFlags::default() };
        let recv =
            self.socket.wait(Direction::Read, |now, stack, id| stack.recv_from(now, id, buffer, flags));
        Ok(recv.settle_later().await?)
    }

    /// Fixes the peer: [`UdpSocket::send`] goes there, and only its datagrams are received.
    pub async fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        Ok(self.socket.call(|now, stack, id| stack.connect(now, id, peer))?)
    }

    /// Sends one datagram to the connected peer. Errors: as for [`UdpSocket::send_to`].
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        let send = self
            .socket
            .wait(Direction::Write, |now, stack, id| stack.send(now, id, data, SendFlags::default()));
        Ok(send.settle_later().await?)
    }

    /// Has what was sent leave now. Errors: `NetworkDown` when the machine is.
    pub fn flush(&self) -> io::Result<()> {
        Ok(self.socket.call(|_, _, _| Ok(()))?)
    }

    /// Receives one datagram; what exceeds `buffer` is cut off. Errors: as for [`UdpSocket::recv_from`].
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(buffer).await?.0)
    }

    /// Waits for an error about a datagram that this socket sent, with who reported it (Linux's `MSG_ERRQUEUE`):
    /// what traceroute lives on. Errors: `NetworkDown` when the machine is.
    pub async fn recv_error(&self) -> io::Result<ErrorQueueEntry> {
        let taken =
            self.socket.wait(Direction::Read, |_, stack, id| stack.recv_error(id)?.ok_or(Errno::EAGAIN));
        Ok(taken.settle_later().await?)
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The connected peer. Errors: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Allows sending to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.set_option(SocketOption::Broadcast(on))
    }

    /// Sets an option. Errors: `InvalidInput`.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.socket.set_option(option)
    }

    /// Reads an option. Errors: `InvalidInput` for one that UDP doesn't have.
    pub fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.socket.option(name)
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}
