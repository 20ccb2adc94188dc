//! A blocking TCP listener.

use super::socket::{BlockingSocket, each};
use super::stream::TcpStream;
use crate::net::waiters::Direction;
use crate::net::{Host, ListenOptions};
use crate::socket::{SocketKind, SocketOption};
use std::io;
use std::iter::FusedIterator;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Accepts TCP connections on a machine, as [`std::net::TcpListener`] does on the operating system.
///
/// It is closed when it and all its clones are dropped; connections that nobody has accepted are reset then.
#[derive(Debug)]
pub struct TcpListener {
    inner: Arc<BlockingSocket>,
}

/// The connections that come to a listener, for ever: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl TcpListener {
    /// Listens on the first of these addresses that can be bound; port 0 picks a free one. A name is looked up by the
    /// operating system, not through the machine.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`; `Unsupported` in a simulated world.
    pub fn bind(host: &Host, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with(host, address, ListenOptions::default())
    }

    /// As [`TcpListener::bind`], with options.
    pub fn bind_with(
        host: &Host,
        address: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        each(address, |address| {
            let inner = BlockingSocket::open(host, SocketKind::Stream)?;
            inner.socket.call(|now, stack, id| {
                stack.set_option(now, id, SocketOption::ReuseAddress(options.reuse_address))?;
                stack.set_option(now, id, SocketOption::ReusePort(options.reuse_port))?;
                stack.bind(id, address)?;
                stack.listen(now, id, options.backlog)
            })?;
            Ok(TcpListener { inner: Arc::new(inner) })
        })
    }

    /// Waits for a connection. Several threads may wait at once; each connection goes to one of them.
    ///
    /// # Errors
    /// `WouldBlock` when the listener is nonblocking; `Other` (`ENFILE`) when the stack holds as many sockets as it may.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (id, peer) = self.inner.call(Direction::Read, None, |now, stack, id| stack.accept(now, id))?;
        Ok((TcpStream::new(BlockingSocket::new(self.inner.socket.adopt(id))), peer))
    }

    /// The connections that come, one after the other.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.local_addr()
    }

    /// Another handle of the same listener.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: Arc::clone(&self.inner) })
    }

    /// Has [`TcpListener::accept`] say `WouldBlock` instead of waiting, on all clones.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Sets the time to live of packets, which connections accepted later inherit. Errors: `InvalidInput`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// The time to live of packets.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.socket.take_error()
    }

    /// The machine that it listens on.
    pub fn host(&self) -> Host {
        self.inner.host()
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
