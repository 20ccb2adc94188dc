//! The side that is compared: a server that plays one role for each connection, on whoever's stack.

use super::client::{
    DATAGRAM_LEN, READ_CHUNK, WRITE_CHUNK, read_whole, use_our_congestion_control, write_whole,
};
use super::cpu::{self, Sides};
use super::rounds::{ContenderId, Rounds};
use super::rpc;
use super::stage::{KernelPair, PORT};
use super::table::Metric;
use crate::testbed::NetNs;
use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a server does with each connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Takes everything.
    Sink,
    /// Sends for so long.
    Source(Duration),
    /// Sends back each message of so many bytes.
    Echo {
        /// Bytes of a message.
        len: usize,
        /// Polls without sleeping.
        spin: bool,
    },
    /// Closes at once.
    Close {
        /// Polls for connections without sleeping.
        spin: bool,
    },
    /// Sends datagrams for so long to whoever asks.
    UdpSource(Duration),
    /// Counts datagrams, and tells the count to whoever asks.
    UdpSink,
    /// Answers null calls: see [`super::rpc`].
    Rpc,
}

impl Role {
    pub(super) fn is_udp(self) -> bool {
        matches!(self, Role::UdpSource(_) | Role::UdpSink)
    }
}

/// Somebody's stack on the other end of a link from the kernel that the client runs on.
pub(super) trait Server {
    /// Where clients run.
    fn client_ns(&self) -> Arc<NetNs>;

    /// Serves on [`PORT`] until `client`, which is to be run on another thread, has returned.
    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()>;
}

/// A server that several contenders use, one after the other.
pub(super) type Shared = Rc<RefCell<dyn Server>>;

pub(super) fn shared(server: impl Server + 'static) -> Shared {
    Rc::new(RefCell::new(server))
}

/// Adds a server to be measured in one way.
pub(super) fn contender<'a>(
    rounds: &mut Rounds<'a>,
    name: String,
    metrics: &'static [Metric],
    server: &Shared,
    measure: impl Fn(&mut dyn Server) -> io::Result<Vec<f64>> + 'a,
) -> ContenderId {
    let server = Rc::clone(server);
    rounds.contender(name, metrics, move || measure(&mut *server.borrow_mut()))
}

/// Runs the client on a thread of its own, and takes turns on this one until it has returned.
pub(super) fn serve_meanwhile(
    address: Ipv4Addr,
    client: &mut (dyn FnMut(SocketAddr) + Send),
    mut turn: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client(at(address));
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            turn()?;
        }
        Ok(())
    })
}

/// What a client brought back, and CPU seconds of the server's side.
pub(super) struct Served<T> {
    pub(super) result: T,
    pub(super) server_cpu: f64,
}

/// Runs `client` in its namespace against a server in a role. `client` returns its own CPU seconds beside its result.
pub(super) fn measure<T: Send>(
    server: &mut dyn Server,
    role: Role,
    client: impl Fn(SocketAddr) -> io::Result<(T, f64)> + Sync,
) -> io::Result<Served<T>> {
    let ns = server.client_ns();
    let mut brought = None;
    let before = cpu::process_seconds();
    server.serve(role, &mut |address| {
        let result = ns.run(|| client(address));
        brought = Some(result.map_err(io::Error::other).and_then(|result| result));
    })?;
    let spent = cpu::process_seconds() - before;
    let (result, client_cpu) = brought.unwrap_or_else(|| Err(io::Error::other("the client did not run")))?;
    Ok(Served { result, server_cpu: spent - client_cpu })
}

/// As [`measure`], with each side on cores of its own: for sides that do little but wake each other.
pub(super) fn measure_apart<T: Send>(
    server: &mut dyn Server,
    role: Role,
    client: impl Fn(SocketAddr) -> io::Result<(T, f64)> + Sync,
) -> io::Result<Served<T>> {
    let sides = Sides::divide()?;
    sides.server(|| measure(server, role, |address| sides.client(|| client(address))?))?
}

/// The kernel as a server, in a namespace of its own.
pub(super) struct KernelServer {
    client_ns: Arc<NetNs>,
    ns: NetNs,
    address: SocketAddr,
}

impl KernelServer {
    pub(super) fn new(pair: KernelPair) -> KernelServer {
        let KernelPair { client_ns, server_ns, server_address } = pair;
        KernelServer { client_ns, ns: server_ns, address: at(server_address) }
    }
}

/// The port of an address.
pub(super) fn at(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, PORT))
}

impl Server for KernelServer {
    fn client_ns(&self) -> Arc<NetNs> {
        Arc::clone(&self.client_ns)
    }

    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let address = self.address;
        if matches!(role, Role::Rpc) {
            let _server = self.ns.run(rpc::KernelsServer::start).map_err(io::Error::other)??;
            client(address);
            return Ok(());
        }
        if role.is_udp() {
            return self.serve_udp(role, client);
        }
        let listener = self.ns.run(|| TcpListener::bind(address)).map_err(io::Error::other)??;
        use_our_congestion_control(&listener)?;
        let spin = matches!(role, Role::Close { spin: true });
        listener.set_nonblocking(spin)?;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                loop {
                    let stream = match listener.accept() {
                        Ok((stream, _)) => stream,
                        Err(error) if spin && error.kind() == io::ErrorKind::WouldBlock => continue,
                        Err(error) => return Err(error),
                    };
                    if stop.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    match play(stream, role) {
                        // The client was done with it, in its way.
                        Err(error) if ended_by_peer(&error) => {}
                        result => result?,
                    }
                }
            });
            client(address);
            stop.store(true, Ordering::SeqCst);
            // The last connection is ours: it gets the server out of its accept.
            self.ns.run(|| TcpStream::connect(address)).map_err(io::Error::other)??;
            server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl KernelServer {
    fn serve_udp(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let address = self.address;
        let socket = self.ns.run(|| UdpSocket::bind(address)).map_err(io::Error::other)??;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let server = scope.spawn(|| play_udp(&socket, role, &stop));
            client(address);
            stop.store(true, Ordering::SeqCst);
            server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Whether an error only says that the peer went away.
pub(super) fn ended_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected)
}

fn play(mut stream: TcpStream, role: Role) -> io::Result<()> {
    match role {
        Role::Sink => {
            let mut buffer = vec![0; READ_CHUNK];
            while stream.read(&mut buffer)? > 0 {}
        }
        Role::Source(duration) => {
            let chunk = vec![0x5a; WRITE_CHUNK];
            let start = Instant::now();
            while start.elapsed() < duration {
                stream.write_all(&chunk)?;
            }
            stream.shutdown(Shutdown::Write)?;
            while stream.read(&mut [0; 64])? > 0 {}
        }
        Role::Echo { len, spin } => {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(spin)?;
            let mut message = vec![0; len];
            loop {
                read_whole(&mut stream, &mut message, spin)?;
                write_whole(&mut stream, &message, spin)?;
            }
        }
        // Closed when it is dropped; datagrams have no streams.
        Role::Close { .. } | Role::UdpSource(_) | Role::UdpSink | Role::Rpc => {}
    }
    Ok(())
}

/// Serves datagrams until `stop` is set.
fn play_udp(socket: &UdpSocket, role: Role, stop: &AtomicBool) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let (mut buffer, datagram) = (vec![0; DATAGRAM_LEN + 1], vec![0x5a; DATAGRAM_LEN]);
    let mut count = 0u64;
    while !stop.load(Ordering::SeqCst) {
        let (len, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        match role {
            _ if len == DATAGRAM_LEN => count += 1,
            Role::UdpSource(duration) => {
                let start = Instant::now();
                while start.elapsed() < duration {
                    for _ in 0..16 {
                        // A full device's queue is as good as a loss.
                        let _ = socket.send_to(&datagram, peer);
                    }
                }
            }
            _ => {
                socket.send_to(&count.to_be_bytes(), peer)?;
            }
        }
    }
    Ok(())
}
