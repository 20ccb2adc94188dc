//! This stack as a server, driven in each of the ways that it can be.

use super::client::{DATAGRAM_LEN, READ_CHUNK, WRITE_CHUNK};
use super::rpc;
use super::server::{Role, Server, at, ended_by_peer};
use super::stage::{PORT, PREFIX_LEN, SERVER, TapStage};
use crate::testbed::NetNs;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use tapstack::device::Device;
use tapstack::net::tap::{Machine, MachineConfig, RunningMachine};
use tapstack::net::{Host, TcpListener, TcpStream, UdpSocket};
use tapstack::socket::SocketOption;
use tapstack::stack::{Cidr, Config, InterfaceConfig, MacAddr, Medium, Offloads};
use tokio::sync::oneshot;

/// Who drives the machine, and where the application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drive {
    /// The application's thread drives, and sleeps when there is nothing to do.
    Loop,
    /// The same without sleeping.
    Busy,
    /// A thread of its own drives; the application has another.
    Threaded,
}

enum Driven {
    Loop(Machine),
    Threaded(RunningMachine),
}

/// A machine of this stack on a TAP.
pub(super) struct OurServer {
    client_ns: Arc<NetNs>,
    driven: Driven,
    /// Both ends of connections that do nothing.
    idle: Vec<(std::net::TcpStream, TcpStream)>,
}

impl OurServer {
    /// Has the client's kernel open connections that do nothing from then on.
    pub(super) fn hold_idle(&mut self, count: usize) -> io::Result<()> {
        raise_descriptor_limit()?;
        let Driven::Loop(machine) = &self.driven else { return Err(io::ErrorKind::Unsupported.into()) };
        let address = SocketAddr::from((SERVER, PORT + 1));
        let listener = machine.host().tcp_listen(address)?;
        let ns = &self.client_ns;
        let (clients, servers) = std::thread::scope(|scope| {
            let clients = scope.spawn(move || {
                let connect = || (0..count).map(|_| std::net::TcpStream::connect(address)).collect();
                ns.run(connect).map_err(io::Error::other)
            });
            let servers = machine.run(async {
                let mut servers = Vec::with_capacity(count);
                while servers.len() < count {
                    servers.push(listener.accept().await?.0);
                }
                io::Result::Ok(servers)
            });
            let clients = clients.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (clients, servers)
        });
        let clients: io::Result<Vec<std::net::TcpStream>> = clients?;
        self.idle = clients?.into_iter().zip(servers??).collect();
        Ok(())
    }

    pub(super) fn new(stage: TapStage, drive: Drive) -> io::Result<OurServer> {
        let machine = machine(stage.device)?;
        let driven = match drive {
            Drive::Loop => Driven::Loop(machine),
            Drive::Busy => {
                machine.set_busy_poll(Duration::MAX);
                Driven::Loop(machine)
            }
            Drive::Threaded => Driven::Threaded(machine.spawn()?),
        };
        Ok(OurServer { client_ns: stage.client_ns, driven, idle: Vec::new() })
    }

    pub(super) fn host(&self) -> Host {
        match &self.driven {
            Driven::Loop(machine) => machine.host(),
            Driven::Threaded(machine) => machine.host(),
        }
    }
}

/// A machine with the server's address on a device.
pub(super) fn machine(device: Device) -> io::Result<Machine> {
    let interface = InterfaceConfig {
        name: device.name.clone(),
        medium: Medium::Ethernet,
        mac: MacAddr([0x02, 0x74, 0, 0, 0, 2]),
        mtu: device.mtu,
        addresses: vec![Cidr::new(SERVER, PREFIX_LEN)],
        offloads: Offloads::default(),
    };
    let interfaces = vec![(interface, device)];
    Machine::new(MachineConfig { name: "bench".to_owned(), seed: None, stack: Config::default(), interfaces })
}

impl Server for OurServer {
    fn client_ns(&self) -> Arc<NetNs> {
        Arc::clone(&self.client_ns)
    }

    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let host = self.host();
        // Before the client runs: a machine that another thread drives would refuse it meanwhile.
        let is_stream = !role.is_udp() && !matches!(role, Role::Rpc);
        let listener = is_stream.then(|| host.tcp_listen(at(SERVER))).transpose()?;
        let serving = async move {
            match listener {
                Some(listener) => serve_all(&listener, role).await,
                None if role.is_udp() => play_udp(&host.udp_bind(at(SERVER))?, role).await,
                None => rpc::serve(&host).await,
            }
        };
        let (done, finished) = oneshot::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                client(at(SERVER));
                drop(done);
            });
            let serving = until(serving, finished);
            match &self.driven {
                Driven::Loop(machine) => machine.run(serving)?,
                Driven::Threaded(_) => block_on(serving),
            }
        })
    }
}

/// Lets this process have as many descriptors open as it may.
fn raise_descriptor_limit() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Serves one connection after the other, for ever.
async fn serve_all(listener: &TcpListener, role: Role) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        match play(stream, role).await {
            // The client was done with it, in its way.
            Err(error) if ended_by_peer(&error) => {}
            result => result?,
        }
    }
}

async fn play(stream: TcpStream, role: Role) -> io::Result<()> {
    match role {
        Role::Sink => {
            let mut buffer = vec![0; READ_CHUNK];
            while stream.read(&mut buffer).await? > 0 {}
        }
        Role::Source(duration) => {
            let chunk = vec![0x5a; WRITE_CHUNK];
            let start = Instant::now();
            while start.elapsed() < duration {
                stream.write_all(&chunk).await?;
            }
            stream.shutdown().await?;
            while stream.read(&mut [0; 64]).await? > 0 {}
        }
        Role::Echo { len, .. } => {
            stream.set_option(SocketOption::NoDelay(true))?;
            let mut message = vec![0; len];
            loop {
                stream.read_exact(&mut message).await?;
                stream.write_all(&message).await?;
            }
        }
        // Closed when it is dropped; datagrams have no streams.
        Role::Close { .. } | Role::UdpSource(_) | Role::UdpSink | Role::Rpc => {}
    }
    Ok(())
}

/// Serves datagrams for ever.
async fn play_udp(socket: &UdpSocket, role: Role) -> io::Result<()> {
    let (mut buffer, datagram) = (vec![0; DATAGRAM_LEN + 1], vec![0x5a; DATAGRAM_LEN]);
    let mut count = 0u64;
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        match role {
            _ if len == DATAGRAM_LEN => count += 1,
            Role::UdpSource(duration) => {
                let start = Instant::now();
                while start.elapsed() < duration {
                    for _ in 0..16 {
                        socket.send_to(&datagram, peer).await?;
                    }
                }
            }
            _ => {
                socket.send_to(&count.to_be_bytes(), peer).await?;
            }
        }
    }
}

/// Awaits `work` until the other end of `finished` is dropped.
async fn until(
    work: impl Future<Output = io::Result<()>>,
    mut finished: oneshot::Receiver<()>,
) -> io::Result<()> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        std::pin::Pin::new(&mut finished).poll(cx).map(|_| Ok(()))
    })
    .await
}

/// Awaits `future` on this thread, which sleeps in between.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(true), std::thread::current()));
    let waker = Waker::from(Arc::clone(&flag));
    loop {
        while !flag.0.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

/// Set by a wake-up, which also gets the thread out of its park.
struct Flag(AtomicBool, std::thread::Thread);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.unpark();
    }
}
