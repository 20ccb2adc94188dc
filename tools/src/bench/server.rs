//! The side that is compared: a server that plays one role for each connection, whoever's TCP it runs on.

use super::client::{READ_CHUNK, WRITE_CHUNK, read_whole, use_our_congestion_control, write_whole};
use super::cpu;
use super::stage::{KernelPair, PORT};
use crate::testbed::NetNs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
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
    Close,
}

/// Somebody's TCP on the other end of a link from the kernel that the client runs on.
pub(super) trait Server {
    /// Where clients run.
    fn client_ns(&self) -> Arc<NetNs>;

    /// Serves on [`PORT`] until `client`, which is to be run on another thread, has returned.
    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()>;
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
        let listener = self.ns.run(|| TcpListener::bind(address)).map_err(io::Error::other)??;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                loop {
                    let (stream, _) = listener.accept()?;
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
            use_our_congestion_control(&stream)?;
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
                read_whole(&mut stream, &mut message)?;
                write_whole(&mut stream, &message)?;
            }
        }
        Role::Close => {}
    }
    Ok(())
}
