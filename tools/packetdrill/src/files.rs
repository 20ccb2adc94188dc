//! The script's descriptors: which of them are sockets or epoll sets of this stack's, and what is remembered of them.

use crate::polling::Epoll;
use std::collections::BTreeMap;
use tapstack::SocketId;
use tapstack::socket::SocketKind;

/// Descriptors by number. The numbers are real: each belongs to a placeholder that the kernel made.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<i32, File>);

/// What a descriptor of ours is.
pub(crate) enum File {
    Socket(Socket),
    Epoll(Epoll),
}

/// A socket, with what belongs to the descriptor rather than to the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) id: SocketId,
    pub(crate) kind: SocketKind,
    /// `O_NONBLOCK`.
    pub(crate) nonblocking: bool,
    /// `connect` was called, and its result was not told yet.
    pub(crate) connecting: bool,
    /// `TCP_INQ`: tell with each receive how much is left.
    pub(crate) tells_left: bool,
}

impl Socket {
    pub(crate) fn new(id: SocketId, kind: SocketKind, nonblocking: bool) -> Socket {
        Socket { id, kind, nonblocking, connecting: false, tells_left: false }
    }
}

impl Files {
    /// Enters a file; what had the number before was closed behind our back, and is returned.
    pub(crate) fn insert(&mut self, fd: i32, file: File) -> Option<File> {
        self.0.insert(fd, file)
    }

    pub(crate) fn remove(&mut self, fd: i32) -> Option<File> {
        for file in self.0.values_mut() {
            if let File::Epoll(epoll) = file {
                epoll.forget(fd);
            }
        }
        self.0.remove(&fd)
    }

    pub(crate) fn contains(&self, fd: i32) -> bool {
        self.0.contains_key(&fd)
    }

    /// The socket behind a descriptor, or the error that says why there is none.
    pub(crate) fn socket(&self, fd: i32) -> Result<Socket, i32> {
        match self.0.get(&fd) {
            Some(File::Socket(socket)) => Ok(*socket),
            Some(File::Epoll(_)) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    pub(crate) fn socket_mut(&mut self, fd: i32) -> Result<&mut Socket, i32> {
        match self.0.get_mut(&fd) {
            Some(File::Socket(socket)) => Ok(socket),
            Some(File::Epoll(_)) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    pub(crate) fn epoll(&self, fd: i32) -> Result<&Epoll, i32> {
        match self.0.get(&fd) {
            Some(File::Epoll(epoll)) => Ok(epoll),
            Some(File::Socket(_)) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }

    pub(crate) fn epoll_mut(&mut self, fd: i32) -> Result<&mut Epoll, i32> {
        match self.0.get_mut(&fd) {
            Some(File::Epoll(epoll)) => Ok(epoll),
            Some(File::Socket(_)) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }
}
