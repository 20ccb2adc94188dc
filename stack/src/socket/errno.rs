//! The errors of socket calls, named as errno names them.

use core::fmt;
use std::io;

/// Declares [`Errno`] with Linux's numbers, `io::ErrorKind`s and texts side by side.
macro_rules! errnos {
    ($($name:ident = $number:literal, $kind:ident, $text:literal;)*) => {
        /// An error of a socket call. Numbers are Linux's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Errno { $(#[doc = $text] $name = $number,)* }

        impl Errno {
            /// Linux's number.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The kind that `std::io` gives it.
            pub const fn kind(self) -> io::ErrorKind {
                match self { $(Errno::$name => io::ErrorKind::$kind,)* }
            }

            /// What it means.
            pub const fn text(self) -> &'static str {
                match self { $(Errno::$name => $text,)* }
            }
        }
    };
}

errnos! {
    EPERM = 1, PermissionDenied, "operation not permitted";
    EBADF = 9, NotFound, "the socket is closed";
    EAGAIN = 11, WouldBlock, "the call would block";
    ENOMEM = 12, OutOfMemory, "out of memory";
    EACCES = 13, PermissionDenied, "broadcast without SO_BROADCAST";
    EINVAL = 22, InvalidInput, "invalid argument";
    ENFILE = 23, Other, "too many open sockets";
    EPIPE = 32, BrokenPipe, "the connection's sending side is closed";
    ENOTSOCK = 88, InvalidInput, "not a socket of that kind";
    EDESTADDRREQ = 89, InvalidInput, "a destination address is needed";
    EMSGSIZE = 90, InvalidInput, "the message is too long";
    ENOPROTOOPT = 92, InvalidInput, "no such option for this socket";
    EOPNOTSUPP = 95, Unsupported, "not supported by this kind of socket";
    EAFNOSUPPORT = 97, Unsupported, "address family not supported";
    EADDRINUSE = 98, AddrInUse, "the address is in use";
    EADDRNOTAVAIL = 99, AddrNotAvailable, "no such local address, or no free port";
    ENETDOWN = 100, NetworkDown, "the interface is down";
    ENETUNREACH = 101, NetworkUnreachable, "no route to the destination";
    ECONNABORTED = 103, ConnectionAborted, "the connection was aborted";
    ECONNRESET = 104, ConnectionReset, "the connection was reset by the peer";
    ENOBUFS = 105, OutOfMemory, "a queue is full";
    EISCONN = 106, InvalidInput, "the socket is connected already";
    ENOTCONN = 107, NotConnected, "the socket is not connected";
    ETIMEDOUT = 110, TimedOut, "the connection timed out";
    ECONNREFUSED = 111, ConnectionRefused, "the connection was refused";
    EHOSTUNREACH = 113, HostUnreachable, "the host can't be reached";
    EALREADY = 114, WouldBlock, "a connection attempt is in progress already";
    EINPROGRESS = 115, WouldBlock, "the connection attempt is in progress";
    EPROTO = 71, InvalidData, "protocol error";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.text())
    }
}

impl core::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::new(errno.kind(), errno)
    }
}
