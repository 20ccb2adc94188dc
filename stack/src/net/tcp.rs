//! TCP listeners and streams as apps use them, with the traits of `tokio::io`.

use super::machine::Machine;
use super::socket::{Settle, Socket};
use super::waiters::{Direction, Token};
use super::{Host, ListenOptions};
use crate::socket::{
    Errno, Linger, OptionName, RecvFlags, SendFlags, Shutdown, SocketKind, SocketOption, TcpInfo,
};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Accepts TCP connections on a local address. Dropping it closes it; connections that were accepted live on.
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    pub(crate) fn listen(
        machine: &Arc<Machine>,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        let socket = Socket::open(machine, SocketKind::Stream)?;
        socket.call(|now, stack, id| {
            stack.set_option(now, id, SocketOption::ReuseAddress(options.reuse_address))?;
            if options.reuse_port {
                stack.set_option(now, id, SocketOption::ReusePort(true))?;
            }
            stack.bind(id, address)?;
            stack.listen(now, id, options.backlog)
        })?;
        Ok(TcpListener { socket })
    }

    /// Waits for a connection, and returns it with the peer's address. Several tasks may wait at once.
    ///
    /// # Errors
    /// `Other` (`ENFILE`) when the stack holds as many sockets as it may: the connection stays in the queue.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = self.socket.wait(Direction::Read, |now, stack, id| stack.accept(now, id));
        let (id, peer) = accept.await?;
        Ok((TcpStream { socket: self.socket.adopt(id) }, peer))
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sets an option, which connections accepted later inherit as Linux has it.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.socket.set_option(option)
    }

    /// Reads an option.
    pub fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.socket.option(name)
    }

    /// The machine that it listens on.
    pub fn host(&self) -> Host {
        Host::new(Arc::clone(self.socket.machine()))
    }
}

/// A TCP connection. Dropping it closes it: what was written is still sent, then a FIN.
///
/// It implements `tokio`'s [`AsyncRead`] and [`AsyncWrite`], and has the most needed calls as methods on `&self`, so
/// that tasks can share it behind a reference or an `Arc`.
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    pub(crate) async fn connect(machine: &Arc<Machine>, peer: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream { socket: Socket::open(machine, SocketKind::Stream)? };
        match stream.socket.call(|now, stack, id| stack.connect(now, id, peer)) {
            Ok(()) => return Ok(stream),
            Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let finished = stream.socket.wait(Direction::Write, |_, stack, id| {
            let readiness = stack.readiness(id)?;
            match stack.take_error(id)? {
                Some(errno) => Err(errno),
                None if readiness.writable || readiness.hangup => Ok(()),
                None => Err(Errno::EAGAIN),
            }
        });
        finished.await?;
        Ok(stream)
    }

    /// Receives at least one byte; 0 is the end of the stream (or an empty buffer).
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut`, …: what ended the connection.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, RecvFlags::default()).await
    }

    /// Fills the buffer. Errors: as [`TcpStream::read`], and `UnexpectedEof` when the stream ends before.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => buffer = &mut buffer[len..],
            }
        }
        Ok(())
    }

    /// Appends all that comes before the end of the stream to `bytes`; returns how much that was.
    /// Errors: as [`TcpStream::read`].
    pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; READ_TO_END_CHUNK];
        let before = bytes.len();
        loop {
            match self.read(&mut chunk).await? {
                0 => return Ok(bytes.len() - before),
                len => bytes.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// As [`TcpStream::read`], leaving the bytes in the queue.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, RecvFlags { peek: true, ..RecvFlags::default() }).await
    }

    /// Queues some of the bytes, at least one unless there are none, and returns how many.
    ///
    /// While earlier bytes are on their way, they may leave when the task yields, together with what it writes until
    /// then. A task that goes on without an await has them leave by `AsyncWrite`'s `flush`.
    ///
    /// # Errors
    /// `BrokenPipe` after a shutdown or when the peer is gone, or what ended the connection.
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        let send = self
            .socket
            .wait(Direction::Write, |now, stack, id| stack.send(now, id, data, SendFlags::default()));
        Ok(send.settle_later().await?)
    }

    /// Queues all of the bytes. Errors: as [`TcpStream::write`]; how many were taken before is not told.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let len = self.write(data).await?;
            data = &data[len..];
        }
        Ok(())
    }

    /// Closes the sending side: a FIN follows what is queued. Receiving goes on.
    /// Errors: `NotConnected`.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.close_side(Shutdown::Write)
    }

    /// Closes one side or both. Errors: `NotConnected`.
    pub fn close_side(&self, how: Shutdown) -> io::Result<()> {
        Ok(self.socket.call(|now, stack, id| stack.shutdown(now, id, how))?)
    }

    /// Ends the connection at once with a RST; what is queued is lost.
    pub fn abort(self) {
        // Where this fails, the connection is gone already.
        let _ = self.set_option(SocketOption::Linger(Linger::For(std::time::Duration::ZERO)));
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of the peer. Errors: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Turns Nagle's algorithm off (`true`) or on: small writes are sent at once, or wait for an ACK.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(on))
    }

    /// Sets an option. Errors: `InvalidInput`.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.socket.set_option(option)
    }

    /// Reads an option. Errors: `InvalidInput` for one that TCP doesn't have.
    pub fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.socket.option(name)
    }

    /// What the stack knows of the connection (`TCP_INFO`).
    pub fn info(&self) -> io::Result<TcpInfo> {
        match self.option(OptionName::Info)? {
            SocketOption::Info(info) => Ok(*info),
            other => Err(io::Error::other(format!("asked for TCP_INFO, got {other:?}"))),
        }
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// The machine that this side is on.
    pub fn host(&self) -> Host {
        Host::new(Arc::clone(self.socket.machine()))
    }

    /// A reading and a writing half, for use in one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { stream: self }, WriteHalf { stream: self })
    }

    /// A reading and a writing half that own the connection together, for use in two tasks. Dropping the writing
    /// half sends a FIN; when both are dropped, the connection is closed.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf { stream: Arc::clone(&stream) }, OwnedWriteHalf { stream })
    }

    async fn recv(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let recv = self.socket.wait(Direction::Read, |now, stack, id| stack.recv(now, id, buffer, flags));
        Ok(recv.await?)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        if room.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut token = Some(Token::POLLED);
        let received =
            self.socket.poll_call(cx, Direction::Read, &mut token, Settle::Now, |now, stack, id| {
                stack.recv(now, id, room, RecvFlags::default())
            });
        received.map(|result| {
            buffer.advance(result?);
            Ok(())
        })
    }

    fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut token = Some(Token::POLLED);
        let sent =
            self.socket.poll_call(cx, Direction::Write, &mut token, Settle::Later, |now, stack, id| {
                stack.send(now, id, data, SendFlags::default())
            });
        sent.map_err(io::Error::from)
    }

    fn send_now(&self) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(self.socket.call(|_, _, _| Ok(()))?))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_recv(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, data)
    }

    /// Has what was written leave now, as far as the window allows, rather than when the task yields.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_now()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.close_side(Shutdown::Write))
    }
}

/// The reading half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: &'a TcpStream,
}

/// The writing half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: &'a TcpStream,
}

/// The reading half of a shared stream: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The writing half of a shared stream: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_recv(cx, buf)
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_recv(cx, buf)
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_send(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.send_now()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.close_side(Shutdown::Write))
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_send(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.send_now()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.close_side(Shutdown::Write))
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // A connection that is gone has no side to close.
        let _ = self.stream.close_side(Shutdown::Write);
    }
}

/// Bytes that [`TcpStream::read_to_end`] takes at a time.
const READ_TO_END_CHUNK: usize = 4096;
