//! What the blocking types share: a call that waits, on the thread that makes it.

use super::Waiter;
use crate::net::Host;
use crate::net::machine::Machine;
use crate::net::socket::{Settle, Socket};
use crate::net::waiters::Direction;
use crate::socket::{Errno, Linger, OptionName, Shutdown, SocketId, SocketKind, SocketOption, TcpState};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// A socket whose calls may block. All clones of a stream, listener or UDP socket share one.
#[derive(Debug)]
pub(super) struct BlockingSocket {
    pub(super) socket: Socket,
    nonblocking: AtomicBool,
    busy_poll_ns: AtomicU64,
}

impl BlockingSocket {
    /// Errors: `Unsupported` in a simulated world.
    pub(super) fn open(host: &Host, kind: SocketKind) -> io::Result<BlockingSocket> {
        host.machine().world.drive()?;
        Ok(BlockingSocket::new(Socket::open(host.machine(), kind)?))
    }

    pub(super) fn new(socket: Socket) -> BlockingSocket {
        BlockingSocket { socket, nonblocking: AtomicBool::new(false), busy_poll_ns: AtomicU64::new(0) }
    }

    pub(super) fn host(&self) -> Host {
        Host::new(Arc::clone(self.machine()))
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// `SO_BUSY_POLL`: how long a call looks for what it waits for before it sleeps.
    pub(super) fn set_busy_poll(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.busy_poll_ns.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn busy_poll(&self) -> Duration {
        Duration::from_nanos(self.busy_poll_ns.load(Ordering::Relaxed))
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// Calls the stack, and waits while the call would block, unless the socket is nonblocking. `timeout` names the
    /// option that bounds the wait. Errors: the call's; `WouldBlock` also when the time is over, as on Linux.
    pub(super) fn call<R>(
        &self,
        direction: Direction,
        timeout: Option<OptionName>,
        mut call: impl FnMut(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> io::Result<R> {
        match self.try_call(&mut call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.is_nonblocking() => {}
            result => return result,
        }
        self.wait(direction, self.until(timeout)?, call)
    }

    /// Calls the stack without waiting. What may be at the devices is taken in before it says that it would block.
    pub(super) fn try_call<R>(
        &self,
        mut call: impl FnMut(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> io::Result<R> {
        match self.socket.try_call(&mut call) {
            Err(Errno::EAGAIN) if self.is_nonblocking() => {
                self.glance()?;
                Ok(self.socket.try_call(call)?)
            }
            result => Ok(result?),
        }
    }

    /// Calls the stack until it doesn't say that it would block. Errors: `WouldBlock` at `until`; the call's.
    pub(super) fn wait<R>(
        &self,
        direction: Direction,
        until: Option<Instant>,
        mut call: impl FnMut(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> io::Result<R> {
        let machine = self.machine();
        let drive = machine.world.drive()?;
        let waiter = Arc::new(Waiter::new(machine, self.busy_poll()));
        let waker = Waker::from(Arc::clone(&waiter));
        let (mut token, mut registered) = (None, false);
        let result = loop {
            let over = until.is_some_and(|until| until <= machine.now());
            waiter.reset();
            match self.socket.poll_call(
                &mut Context::from_waker(&waker),
                direction,
                &mut token,
                Settle::Now,
                &mut call,
            ) {
                Poll::Ready(result) => break Ok(result?),
                Poll::Pending => registered = true,
            }
            if over {
                break Err(Errno::EAGAIN.into());
            }
            if let Err(error) = drive.wait(machine, &waiter, until) {
                break Err(error);
            }
            // Whoever wakes takes the registration away.
            registered = !waiter.is_woken();
        };
        if registered {
            self.socket.forget(direction, token);
        }
        result
    }

    /// When a wait ends that begins now.
    pub(super) fn until(&self, timeout: Option<OptionName>) -> io::Result<Option<Instant>> {
        let Some(name) = timeout else { return Ok(None) };
        Ok(self.timeout(name)?.map(|timeout| self.machine().now() + timeout))
    }

    /// Lets the machine take in what waits at its devices, if nobody drives it.
    pub(super) fn glance(&self) -> io::Result<()> {
        self.machine().world.drive()?.glance(self.machine())
    }

    pub(super) fn timeout(&self, name: OptionName) -> io::Result<Option<Duration>> {
        match self.socket.option(name)? {
            SocketOption::ReceiveTimeout(timeout) | SocketOption::SendTimeout(timeout) => Ok(timeout),
            other => Err(unexpected(&other)),
        }
    }

    /// Errors: `InvalidInput` for a time-out of zero, as `std` has it.
    pub(super) fn set_timeout(
        &self,
        option: impl FnOnce(Option<Duration>) -> SocketOption,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a time-out can't be zero"));
        }
        self.socket.set_option(option(timeout))
    }

    /// Errors: `InvalidInput` for none and for more than 255.
    pub(super) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = u8::try_from(ttl).map_err(|_| Errno::EINVAL)?;
        self.socket.set_option(SocketOption::Ttl(ttl))
    }

    pub(super) fn ttl(&self) -> io::Result<u32> {
        match self.socket.option(OptionName::Ttl)? {
            SocketOption::Ttl(ttl) => Ok(ttl.into()),
            other => Err(unexpected(&other)),
        }
    }

    fn machine(&self) -> &Arc<Machine> {
        self.socket.machine()
    }
}

impl BlockingSocket {
    /// Waits before a close, as `SO_LINGER` wants it, until the peer has acknowledged all, or the time is over.
    fn linger(&self) -> Result<(), Errno> {
        let linger = self.socket.look(|stack, id| stack.option(id, OptionName::Linger))?;
        let SocketOption::Linger(Linger::For(time)) = linger else { return Ok(()) };
        let in_queue = self.socket.look(|stack, id| stack.option(id, OptionName::InQueue))?;
        // A reset ends the connection at once where the application wants it, or data is lost.
        if time.is_zero()
            || in_queue != SocketOption::InQueue(0)
            || self.socket.look(tcp_state)? == TcpState::Listen
        {
            return Ok(());
        }
        self.socket.call(|now, stack, id| stack.shutdown(now, id, Shutdown::Write))?;
        let until = self.machine().now() + time;
        let waited = self.wait(Direction::Write, Some(until), |_, stack, id| match tcp_state(stack, id)? {
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => Err(Errno::EAGAIN),
            _ => Ok(()),
        });
        // Where the time is over, the rest is sent in the background.
        waited.map_err(|_| Errno::EAGAIN)
    }
}

impl Drop for BlockingSocket {
    fn drop(&mut self) {
        // A close can't fail, and what has no linger option doesn't linger.
        let _ = self.linger();
    }
}

fn tcp_state(stack: &Stack, id: SocketId) -> Result<TcpState, Errno> {
    match stack.option(id, OptionName::Info)? {
        SocketOption::Info(info) => Ok(info.state),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// Tries `open` with each of the addresses, and returns the first that works or the last error.
pub(super) fn each<T>(
    addresses: impl ToSocketAddrs,
    mut open: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to use");
    for address in addresses.to_socket_addrs()? {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// An option's value of another type than its name says.
pub(super) fn unexpected(option: &SocketOption) -> io::Error {
    io::Error::other(format!("the stack answered with another option: {option:?}"))
}
