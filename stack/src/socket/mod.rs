//! BSD socket semantics over the sans-IO stack: handles, options, readiness, errors.
//!
//! - **In**: a program's calls, which never block: what would block says [`Errno::EAGAIN`] (or `EINPROGRESS`).
//! - **Out**: results, and [`SocketEvent`]s when a socket's readiness may have changed.
//! - **Keeps**: the table of open sockets; the protocols keep what a socket is about (`tcp`, `udp`, `icmp`).
//! - **Timers**: none; time-outs of blocking calls belong to those who block (`net`).
//! - **RFC**: 9293 section 3.9.1 (the user interface), POSIX for names and errors.
//! - **Never**: blocks, sends, or lets a stale handle reach another's socket (handles carry a generation).

mod calls;
mod errno;
mod options;
mod summary;
mod table;

use core::fmt;

pub use errno::Errno;
pub use options::{CongestionState, Linger, OptionName, SocketOption, TcpInfo, TcpState};
pub use summary::SocketSummary;
pub(crate) use table::{Kind, Sockets};

/// Names an open socket. A closed socket's id is never mistaken for a later one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {}.{}", self.index, self.generation)
    }
}

/// What kind of socket to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A TCP socket (`SOCK_STREAM`).
    Stream,
    /// A UDP socket (`SOCK_DGRAM`).
    Datagram,
    /// An ICMP echo socket (Linux's `SOCK_DGRAM` with `IPPROTO_ICMP`): it sends echo requests with its own
    /// identifier, which is its local port, and receives the replies.
    Echo,
}

/// Flags of a receive call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// `MSG_PEEK`: leave the data in the queue.
    pub peek: bool,
    /// `MSG_TRUNC`: on datagrams, return the real length even if it exceeds the buffer.
    pub trunc: bool,
    /// `MSG_OOB`: the urgent byte.
    pub oob: bool,
}

/// Flags of a send call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// `MSG_MORE`: more will follow soon; don't send a partial segment.
    pub more: bool,
    /// `MSG_OOB`: the last byte is urgent.
    pub oob: bool,
    /// `MSG_EOR`-like: nothing may be coalesced behind this write. Kept for PSH placement.
    pub eor: bool,
}

/// Which directions of a stream to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// No more receiving.
    Read,
    /// No more sending: a FIN follows what is queued.
    Write,
    /// Both.
    Both,
}

/// What a program could do with a socket now without `EAGAIN`: the flags of `poll(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// `POLLIN`: data, end of stream, an error or a connection to accept.
    pub readable: bool,
    /// `POLLOUT`: room to send, a finished connect, or an error.
    pub writable: bool,
    /// `POLLRDHUP`: the peer has closed its side.
    pub read_closed: bool,
    /// `POLLHUP`: both sides are closed.
    pub hangup: bool,
    /// `POLLERR`: an error is pending.
    pub error: bool,
    /// `POLLPRI`: urgent data, or errors about sent datagrams ([`crate::Stack::recv_error`]).
    pub priority: bool,
}

/// A socket's readiness may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    /// The socket.
    pub socket: SocketId,
    /// Its readiness when the event was taken from the queue.
    pub readiness: Readiness,
}
