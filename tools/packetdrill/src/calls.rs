//! Socket calls on descriptors, with the kernel's meaning of blocking: what the stack never does, a thread does here.
//!
//! Errors are `errno` numbers.

use crate::files::{File, Socket};
use crate::machine::{Machine, Patience, Waited};
use crate::polling::{Epoll, is_opening};
use crate::world::{Want, World};
use core::net::{IpAddr, SocketAddr};
use tapstack::socket::{
    Linger, OptionName, RecvFlags, SendFlags, Shutdown, SocketKind, SocketOption, TcpState,
};
use tapstack::time::Duration;
use tapstack::{Errno, SocketId};

impl Machine {
    /// Whether a descriptor is one of ours.
    pub(crate) fn owns(&self, fd: i32) -> bool {
        self.lock().files.contains(fd)
    }

    /// Makes a socket behind `fd`, a placeholder.
    pub(crate) fn socket(&self, fd: i32, kind: SocketKind, nonblocking: bool) -> Result<(), i32> {
        let mut world = self.lock();
        let id = world.stack().socket(kind).map_err(Errno::number)?;
        world.enter(fd, File::Socket(Socket::new(id, kind, nonblocking)));
        Ok(())
    }

    pub(crate) fn bind(&self, fd: i32, address: SocketAddr) -> Result<(), i32> {
        let mut world = self.lock();
        let id = world.files.socket(fd)?.id;
        if let IpAddr::V4(address) = address.ip() {
            world.own(address);
        }
        world.stack().bind(id, address).map_err(Errno::number)
    }

    pub(crate) fn listen(&self, fd: i32, backlog: i32) -> Result<(), i32> {
        let mut world = self.lock();
        let (id, now) = (world.files.socket(fd)?.id, world.now);
        // A negative backlog is a very large one.
        let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        world.stack().listen(now, id, backlog).map_err(Errno::number)
    }

    /// Accepts a connection; `placeholder` makes its descriptor. The descriptor and the peer.
    pub(crate) fn accept(
        &self,
        fd: i32,
        placeholder: impl Fn() -> Result<i32, i32>,
    ) -> Result<(i32, SocketAddr), i32> {
        let (socket, patience) = self.patience(fd, OptionName::ReceiveTimeout, false)?;
        let attempt = |world: &mut World| {
            let now = world.now;
            let (id, peer) = world.stack().accept(now, socket.id).map_err(Errno::number)?;
            let fd = placeholder()?;
            world.enter(fd, File::Socket(Socket::new(id, socket.kind, false)));
            Ok((fd, peer))
        };
        self.retry(patience, attempt, |_| Ok(Want::Readable(socket.id)))
    }

    pub(crate) fn connect(&self, fd: i32, peer: SocketAddr) -> Result<(), i32> {
        let (socket, patience) = self.patience(fd, OptionName::SendTimeout, false)?;
        let mut world = self.lock();
        if !socket.connecting {
            let now = world.now;
            let result = world.stack().connect(now, socket.id, peer);
            world.pump();
            self.tell(&world);
            match result {
                Err(Errno::EINPROGRESS) => world.files.socket_mut(fd)?.connecting = true,
                result => return result.map_err(Errno::number),
            }
            if patience == Patience::None {
                return Err(libc::EINPROGRESS);
            }
        }
        if is_opening(world.state(socket.id)) {
            let until = match patience {
                Patience::None => return Err(libc::EALREADY),
                Patience::Until(time) => Some(world.now + time),
                Patience::Endless => None,
            };
            let waited;
            (world, waited) = self.wait(world, Want::Opened(socket.id), until);
            if waited == Waited::TimedOut {
                return Err(libc::EINPROGRESS);
            }
        }
        world.connected(fd, socket.id)
    }

    /// Sends; how much, or the error if nothing was.
    pub(crate) fn send(&self, fd: i32, data: &[u8], how: Sending) -> Result<usize, i32> {
        let (socket, patience) = self.patience(fd, OptionName::SendTimeout, how.dont_wait)?;
        let mut sent = 0;
        let attempt = |world: &mut World| {
            let now = world.now;
            let rest = data.get(sent..).unwrap_or_default();
            let result = match how.to {
                Some(to) if socket.kind != SocketKind::Stream => {
                    world.stack().send_to(now, socket.id, rest, to)
                }
                _ => world.stack().send(now, socket.id, rest, how.flags),
            };
            sent += result.map_err(Errno::number)?;
            // A blocking call stays until all is queued.
            if sent < data.len() && patience != Patience::None { Err(libc::EAGAIN) } else { Ok(()) }
        };
        let result = self.retry(patience, attempt, |_| Ok(Want::Writable(socket.id)));
        match result {
            Err(error) if sent == 0 => Err(error),
            _ => Ok(sent),
        }
    }

    /// Receives into `buffer`.
    pub(crate) fn recv(&self, fd: i32, buffer: &mut [u8], how: Receiving) -> Result<Received, i32> {
        let (socket, patience) = self.patience(fd, OptionName::ReceiveTimeout, how.dont_wait)?;
        let mut done = Received { len: 0, from: None, left: None };
        let attempt = |world: &mut World| {
            let now = world.now;
            let at = if how.flags.peek { 0 } else { done.len };
            let rest = buffer.get_mut(at..).unwrap_or_default();
            let (len, from) =
                world.stack().recv_from(now, socket.id, rest, how.flags).map_err(Errno::number)?;
            done = Received { len: at + len, from: Some(from), left: None };
            let more = how.wait_all && len > 0 && done.len < buffer.len();
            if more { Err(libc::EAGAIN) } else { Ok(()) }
        };
        match self.retry(patience, attempt, |_| Ok(Want::Readable(socket.id))) {
            Err(error) if done.from.is_none() => return Err(error),
            _ => {}
        }
        if socket.tells_left {
            done.left = self.in_queue(fd).ok();
        }
        Ok(done)
    }

    /// `SIOCINQ`; a FIN that can be read counts as one, as Linux has it for `TCP_CM_INQ`.
    fn in_queue(&self, fd: i32) -> Result<usize, i32> {
        let world = self.lock();
        let id = world.files.socket(fd)?.id;
        let stack = world.stack_if_made().ok_or(libc::EBADF)?;
        let Ok(SocketOption::InQueue(bytes)) = stack.option(id, OptionName::InQueue) else {
            return Err(libc::EINVAL);
        };
        let ended = world.readiness(id).is_some_and(|ready| ready.read_closed);
        Ok(if bytes == 0 { usize::from(ended) } else { bytes })
    }

    pub(crate) fn shutdown(&self, fd: i32, how: Shutdown) -> Result<(), i32> {
        let mut world = self.lock();
        let (id, now) = (world.files.socket(fd)?.id, world.now);
        let result = world.stack().shutdown(now, id, how).map_err(Errno::number);
        world.pump();
        self.tell(&world);
        result
    }

    /// Closes what is behind a descriptor; the placeholder is the caller's.
    pub(crate) fn close(&self, fd: i32) -> Result<(), i32> {
        let mut world = self.lock();
        if let Ok(socket) = world.files.socket(fd)
            && let Some(time) = world.lingers(socket.id)
        {
            let now = world.now;
            // Linger: the FIN goes now, and the call waits for what is queued to arrive.
            if world.stack().shutdown(now, socket.id, Shutdown::Write).is_ok() {
                world.pump();
                world = self.wait(world, Want::Flushed(socket.id), Some(now + time)).0;
            }
        }
        let file = world.files.remove(fd).ok_or(libc::EBADF)?;
        world.drop_file(file);
        world.pump();
        self.tell(&world);
        Ok(())
    }

    pub(crate) fn set_nonblocking(&self, fd: i32, nonblocking: bool) -> Result<(), i32> {
        self.lock().files.socket_mut(fd)?.nonblocking = nonblocking;
        Ok(())
    }

    pub(crate) fn is_nonblocking(&self, fd: i32) -> Result<bool, i32> {
        Ok(self.lock().files.socket(fd)?.nonblocking)
    }

    pub(crate) fn set_tells_left(&self, fd: i32, on: bool) -> Result<(), i32> {
        self.lock().files.socket_mut(fd)?.tells_left = on;
        Ok(())
    }

    pub(crate) fn set_option(&self, fd: i32, option: SocketOption) -> Result<(), i32> {
        let mut world = self.lock();
        let (id, now) = (world.files.socket(fd)?.id, world.now);
        let result = world.stack().set_option(now, id, option).map_err(Errno::number);
        world.pump();
        self.tell(&world);
        result
    }

    pub(crate) fn option(&self, fd: i32, name: OptionName) -> Result<SocketOption, i32> {
        let mut world = self.lock();
        let id = world.files.socket(fd)?.id;
        world.stack().option(id, name).map_err(Errno::number)
    }

    pub(crate) fn take_error(&self, fd: i32) -> Result<i32, i32> {
        let mut world = self.lock();
        let id = world.files.socket(fd)?.id;
        Ok(world.stack().take_error(id).map_err(Errno::number)?.map_or(0, Errno::number))
    }

    pub(crate) fn kind(&self, fd: i32) -> Result<SocketKind, i32> {
        Ok(self.lock().files.socket(fd)?.kind)
    }

    /// `poll`: fills in what each entry has, once one has something or the time is over.
    pub(crate) fn poll(&self, entries: &[(i32, i16)], timeout: Option<Duration>) -> Vec<i16> {
        let mut world = self.lock();
        let want = Want::Poll(entries.to_vec());
        if !world.satisfies(&want) && timeout != Some(Duration::ZERO) {
            let until = timeout.map(|time| world.now + time);
            world = self.wait(world, want, until).0;
        }
        entries.iter().map(|&(fd, events)| world.poll_one(fd, events)).collect()
    }

    /// Makes an epoll set behind `fd`, a placeholder.
    pub(crate) fn epoll_create(&self, fd: i32) {
        self.lock().enter(fd, File::Epoll(Epoll::default()));
    }

    pub(crate) fn epoll_ctl(
        &self,
        epoll: i32,
        operation: i32,
        fd: i32,
        events: u32,
        data: u64,
    ) -> Result<(), i32> {
        let mut world = self.lock();
        world.files.socket(fd).map_err(|error| if error == libc::EBADF { error } else { libc::EPERM })?;
        world.files.epoll_mut(epoll)?.control(operation, fd, events, data)?;
        // Whoever waits on the set may have something now.
        world.pump();
        self.tell(&world);
        Ok(())
    }

    pub(crate) fn epoll_wait(
        &self,
        epoll: i32,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<(u32, u64)>, i32> {
        let mut world = self.lock();
        world.files.epoll(epoll)?;
        let want = Want::Epoll(epoll);
        if !world.satisfies(&want) && timeout != Some(Duration::ZERO) {
            let until = timeout.map(|time| world.now + time);
            world = self.wait(world, want, until).0;
        }
        world.epoll_take(epoll, max)
    }

    /// The socket behind a descriptor, and how long its calls may block.
    fn patience(&self, fd: i32, timeout: OptionName, dont_wait: bool) -> Result<(Socket, Patience), i32> {
        let mut world = self.lock();
        let socket = world.files.socket(fd)?;
        if socket.nonblocking || dont_wait {
            return Ok((socket, Patience::None));
        }
        let patience = match world.stack().option(socket.id, timeout) {
            Ok(SocketOption::ReceiveTimeout(Some(time)) | SocketOption::SendTimeout(Some(time))) => {
                Patience::Until(time)
            }
            _ => Patience::Endless,
        };
        Ok((socket, patience))
    }
}

impl World {
    /// Enters a file; a number that comes back was closed by a call that went past us.
    fn enter(&mut self, fd: i32, file: File) {
        if let Some(stale) = self.files.insert(fd, file) {
            self.drop_file(stale);
        }
    }

    fn drop_file(&mut self, file: File) {
        if let File::Socket(socket) = file {
            let now = self.now;
            // Its id is ours alone, so that it is open.
            let _ = self.stack().close(now, socket.id);
            self.forget(socket.id);
        }
    }

    /// How the handshake ended: told once, as Linux does.
    fn connected(&mut self, fd: i32, id: SocketId) -> Result<(), i32> {
        self.files.socket_mut(fd)?.connecting = false;
        match (self.state(id), self.stack().take_error(id)) {
            (_, Ok(Some(error))) => Err(error.number()),
            (Some(TcpState::Closed), _) => Err(libc::ECONNABORTED),
            _ => Ok(()),
        }
    }

    /// For how long closing a socket waits, where it does.
    fn lingers(&mut self, id: SocketId) -> Option<Duration> {
        match self.stack().option(id, OptionName::Linger) {
            Ok(SocketOption::Linger(Linger::For(time))) => Some(time).filter(|time| !time.is_zero()),
            _ => None,
        }
    }
}

/// How something is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sending {
    pub(crate) flags: SendFlags,
    /// `MSG_DONTWAIT`.
    pub(crate) dont_wait: bool,
    pub(crate) to: Option<SocketAddr>,
}

/// How something is received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receiving {
    pub(crate) flags: RecvFlags,
    /// `MSG_DONTWAIT`.
    pub(crate) dont_wait: bool,
    /// `MSG_WAITALL`.
    pub(crate) wait_all: bool,
}

/// What was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) from: Option<SocketAddr>,
    /// Bytes that are still to be read, where the socket shall tell.
    pub(crate) left: Option<usize>,
}
