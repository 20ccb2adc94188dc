//! What an app may ask of a machine: the same type in every world.

use super::executor::JoinHandle;
use super::machine::Machine;
use super::socket::Socket;
use super::tcp::{TcpListener, TcpStream};
use super::udp::UdpSocket;
use super::waiters::{Direction, SleepKey};
use crate::capture::Observer;
use crate::socket::{RecvFlags, SocketKind};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A machine, as the apps on it see it. Clones are the same machine.
#[derive(Clone)]
pub struct Host {
    machine: Arc<Machine>,
}

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many finished connections may wait to be accepted, and as many half-open ones.
    pub backlog: usize,
    /// `SO_REUSEADDR`: bind although connections of an earlier listener linger in TIME-WAIT.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share the address with other listeners that say so too.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    /// A backlog of 128, and address reuse, which servers want when they start again.
    fn default() -> ListenOptions {
        ListenOptions { backlog: 128, reuse_address: true, reuse_port: false }
    }
}

/// An answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// Who answered.
    pub from: IpAddr,
    /// From the request's sending to the reply's arrival at the waiting task.
    pub rtt: Duration,
    /// Bytes of payload that came back.
    pub len: usize,
}

impl Host {
    pub(crate) fn new(machine: Arc<Machine>) -> Host {
        Host { machine }
    }

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// The machine's clock.
    pub fn now(&self) -> Instant {
        self.machine.now()
    }

    /// Sleeps for at least `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Sleeps until the clock shows `until`.
    pub async fn sleep_until(&self, until: Instant) {
        self.sleeper(until).await;
    }

    /// A sleep as a value, to be polled beside other futures.
    pub fn sleeper(&self, until: Instant) -> Sleep {
        Sleep { machine: Arc::clone(&self.machine), until, key: None }
    }

    /// Awaits `future` for `duration` at most. Errors: `TimedOut`; the future is dropped then.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        let mut sleep = self.sleeper(self.now() + duration);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut sleep).poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// Starts a task on this machine. It ends by itself, by [`JoinHandle::abort`], or with its machine.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.machine.executor.spawn(self.machine.index, future)
    }

    /// A random number. In a simulated world it follows from the world's seed and the machine's name.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Fills `bytes` with random ones: see [`Host::random_u64`].
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.machine.world.fill_random(&self.machine, bytes);
    }

    /// Listens for TCP connections; port 0 picks a free one.
    /// Errors: `AddrInUse`, `AddrNotAvailable`; `NetworkDown` when the machine is.
    pub fn tcp_listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.tcp_listen_with(address, ListenOptions::default())
    }

    /// As [`Host::tcp_listen`], with options.
    pub fn tcp_listen_with(&self, address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
        TcpListener::listen(&self.machine, address, options)
    }

    /// Opens a TCP connection. Errors: `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`, …
    pub async fn tcp_connect(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(&self.machine, peer).await
    }

    /// Opens a UDP socket; port 0 picks a free one. Errors: `AddrInUse`, `AddrNotAvailable`.
    pub fn udp_bind(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(&self.machine, address)
    }

    /// Sends one ICMP echo request and waits for its reply.
    /// Errors: `TimedOut` when none came within `timeout`; `HostUnreachable` and the like when ICMP said so.
    pub async fn ping(&self, peer: IpAddr, payload: &[u8], timeout: Duration) -> io::Result<Pong> {
        let socket = Socket::open(&self.machine, SocketKind::Echo)?;
        let sent = self.now();
        self.timeout(timeout, ping(&socket, peer, payload)).await?.map(|len| Pong {
            from: peer,
            rtt: self.now() - sent,
            len,
        })
    }

    /// Looks at the stack or administers it, under its lock: call nothing of this host's in there.
    ///
    /// # Panics
    /// When something panicked inside the stack before.
    pub fn with_stack<R>(&self, look: impl FnOnce(Instant, &mut Stack) -> R) -> R {
        let mut core = self.machine.lock_or_panic();
        let now = self.now();
        let result = look(now, &mut core.stack);
        self.machine.world.settle(&self.machine, core, now);
        result
    }

    /// Has every frame of this machine shown to an observer, or to none.
    pub fn set_observer(&self, observer: Option<Box<dyn Observer>>) {
        self.with_stack(|_, stack| stack.set_observer(observer));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.machine.name)
    }
}

/// Sends one echo request; returns the length of the first reply with the same payload.
async fn ping(socket: &Socket, peer: IpAddr, payload: &[u8]) -> io::Result<usize> {
    let peer = SocketAddr::new(peer, 0);
    socket.call(|now, stack, id| stack.connect(now, id, peer))?;
    socket.wait(Direction::Write, |now, stack, id| stack.send_to(now, id, payload, peer)).await?;
    let mut buffer = vec![0; payload.len() + 1];
    loop {
        let recv = socket.wait(Direction::Read, |now, stack, id| {
            stack.recv_from(now, id, &mut buffer, RecvFlags::default())
        });
        let (len, from) = recv.await?;
        if from.ip() == peer.ip() && buffer.get(..len) == Some(payload) {
            return Ok(len);
        }
    }
}

/// Waits until a machine's clock shows a time: see [`Host::sleeper`].
pub struct Sleep {
    machine: Arc<Machine>,
    until: Instant,
    /// Set while the sleeper is registered.
    key: Option<SleepKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        if self.machine.now() >= self.until {
            self.cancel();
            return Poll::Ready(());
        }
        let machine = Arc::clone(&self.machine);
        let mut core = machine.lock_or_panic();
        if !self.key.is_some_and(|key| core.sleepers.update(key, cx.waker())) {
            self.key = Some(core.sleepers.insert(self.until, cx.waker()));
            machine.world.reschedule(&machine, core);
        }
        Poll::Pending
    }
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some(key) = self.key.take()
            && let Some(mut core) = self.machine.lock()
        {
            core.sleepers.remove(key);
            self.machine.world.reschedule(&self.machine, core);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep(until {})", self.until)
    }
}
