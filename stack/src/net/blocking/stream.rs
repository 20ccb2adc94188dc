//! A blocking TCP connection.

use super::socket::{BlockingSocket, each, unexpected};
use crate::net::Host;
use crate::net::waiters::Direction;
use crate::socket::{
    Errno, Linger, OptionName, RecvFlags, SendFlags, Shutdown, SocketId, SocketKind, SocketOption,
};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// A TCP connection of a machine, as [`std::net::TcpStream`] is one of the operating system.
///
/// It is closed when it and all its clones are dropped: what was written is still sent, then a FIN.
pub struct TcpStream {
    inner: Arc<BlockingSocket>,
}

impl TcpStream {
    pub(super) fn new(inner: BlockingSocket) -> TcpStream {
        TcpStream { inner: Arc::new(inner) }
    }

    /// Opens a connection to the first of these addresses that answers. A name is looked up by the operating system,
    /// not through the machine.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`, …; `Unsupported` in a simulated world.
    pub fn connect(host: &Host, peer: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each(peer, |peer| TcpStream::connect_until(host, peer, None))
    }

    /// As [`TcpStream::connect`], giving up after `timeout`. Errors: `TimedOut` then; `InvalidInput` for zero.
    pub fn connect_timeout(host: &Host, peer: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a time-out can't be zero"));
        }
        TcpStream::connect_until(host, *peer, Some(host.now() + timeout)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    io::Error::new(io::ErrorKind::TimedOut, "nobody has answered in time")
                }
                _ => error,
            }
        })
    }

    /// Begins to open a connection, and doesn't wait: the stream is nonblocking, and says `NotConnected` or
    /// `WouldBlock` until the peer has answered. [`TcpStream::take_error`] tells why it never will.
    pub fn connect_nonblocking(host: &Host, peer: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::begin(host, peer)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    fn begin(host: &Host, peer: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::new(BlockingSocket::open(host, SocketKind::Stream)?);
        match stream.inner.socket.call(|now, stack, id| stack.connect(now, id, peer)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(stream),
            Err(errno) => Err(errno.into()),
        }
    }

    fn connect_until(host: &Host, peer: SocketAddr, until: Option<Instant>) -> io::Result<TcpStream> {
        let stream = TcpStream::begin(host, peer)?;
        stream.inner.wait(Direction::Write, until, |_, stack, id| {
            let readiness = stack.readiness(id)?;
            match stack.take_error(id)? {
                Some(errno) => Err(errno),
                None if readiness.writable || readiness.hangup => Ok(()),
                None => Err(Errno::EAGAIN),
            }
        })?;
        Ok(stream)
    }

    /// As [`Read::read`], leaving the bytes in the queue.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, RecvFlags { peek: true, ..RecvFlags::default() })
    }

    /// Closes one direction or both: a FIN follows what was written; reads of a closed direction give the end.
    /// Errors: `NotConnected`.
    pub fn shutdown(&self, how: net::Shutdown) -> io::Result<()> {
        let how = match how {
            net::Shutdown::Read => Shutdown::Read,
            net::Shutdown::Write => Shutdown::Write,
            net::Shutdown::Both => Shutdown::Both,
        };
        Ok(self.inner.socket.call(|now, stack, id| stack.shutdown(now, id, how))?)
    }

    /// Another handle of the same connection: bytes, time-outs and modes are shared.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: Arc::clone(&self.inner) })
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.local_addr()
    }

    /// The address of the peer. Errors: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.peer_addr()
    }

    /// Bounds how long a read waits, which says `WouldBlock` then; none waits for ever.
    /// Errors: `InvalidInput` for a time-out of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_timeout(SocketOption::ReceiveTimeout, timeout)
    }

    /// Bounds how long a write waits, which says `WouldBlock` if nothing was taken until then; none waits for ever.
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

    /// Has reads and writes say `WouldBlock` instead of waiting, on all clones.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Turns Nagle's algorithm off (`true`) or on: small writes are sent at once, or wait for an ACK.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(on))
    }

    /// Whether Nagle's algorithm is off.
    pub fn nodelay(&self) -> io::Result<bool> {
        match self.option(OptionName::NoDelay)? {
            SocketOption::NoDelay(on) => Ok(on),
            other => Err(unexpected(&other)),
        }
    }

    /// What the close does with what is unsent: none sends it in the background, zero resets the connection, and any
    /// other time is waited for the peer to acknowledge it.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::Linger(linger.map_or(Linger::Background, Linger::For)))
    }

    /// See [`TcpStream::set_linger`].
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match self.option(OptionName::Linger)? {
            SocketOption::Linger(Linger::Background) => Ok(None),
            SocketOption::Linger(Linger::For(time)) => Ok(Some(time)),
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

    /// Sets an option that has no method of its own. Errors: `InvalidInput`.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.inner.socket.set_option(option)
    }

    /// Reads an option. Errors: `InvalidInput` for one that TCP doesn't have.
    pub fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.inner.socket.option(name)
    }

    /// The machine that this side is on.
    pub fn host(&self) -> Host {
        self.inner.host()
    }

    fn recv(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let timeout = Some(OptionName::ReceiveTimeout);
        self.inner.call(Direction::Read, timeout, |now, stack, id| stack.recv(now, id, buffer, flags))
    }

    /// Blocking, it takes all of the bytes unless an error or the time-out comes in between; else what there is room for.
    fn send(&self, data: &[u8]) -> io::Result<usize> {
        let put = |from: usize| {
            move |now: Instant, stack: &mut Stack, id: SocketId| {
                // An error is for the next call if this one can tell of bytes.
                if from > 0 && stack.readiness(id)?.error {
                    return Err(Errno::EPIPE);
                }
                stack.send(now, id, &data[from..], SendFlags::default())
            }
        };
        let nonblocking = self.inner.is_nonblocking();
        let mut sent = match self.inner.try_call(put(0)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !nonblocking => 0,
            Ok(sent) if sent < data.len() && !nonblocking => sent,
            result => return result,
        };
        let until = self.inner.until(Some(OptionName::SendTimeout))?;
        while sent < data.len() {
            match self.inner.wait(Direction::Write, until, put(sent)) {
                Ok(more) => sent += more,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, RecvFlags::default())
    }
}

impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(data)
    }

    /// There is nothing to flush: what was written is the stack's, which sends it as the window allows.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, RecvFlags::default())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok(local) = self.local_addr() {
            debug.field("addr", &local);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("host", &self.host().name()).finish()
    }
}
