//! The answering side: a [`Server`] that runs services, over UDP and TCP at once.
//!
//! - **In**: messages of anybody: datagrams, and records on connections.
//! - **Out**: replies; protocol errors where RFC 5531 has one; else nothing, and a [`Dropped`] is counted.
//! - **Keeps**: for at-most-once services the replies to what was executed (`duplicates`); which life of each client is
//!   the present one (`incarnations`).
//! - **Timers**: how long a connection may be silent, take for a record, or not read its replies.
//! - **RFC**: 5531 sections 8, 9, 11, appendix A.
//! - **Never**: reads on while as many calls are being executed as the limits allow: what waits, waits at the peer. Lets
//!   a reply become longer than [`ServerConfig`] says.

mod call;
mod counts;
mod duplicates;
mod incarnations;
mod tcp;
mod udp;

pub(crate) use call::checksum;
pub use counts::{Dropped, ServerCounts};

use crate::auth::OpaqueAuth;
use crate::semantics::Semantics;
use crate::service::Service;
use bytes::Bytes;
use counts::Counters;
use duplicates::Duplicates;
use incarnations::Incarnations;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tapstack::net::{Host, JoinHandle};
use tapstack::time::Duration;
use tokio::sync::Semaphore;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Calls that are executed at once, at most; further ones are not read.
    pub calls_max: usize,
    /// The same for each connection.
    pub connection_calls_max: usize,
    /// Connections at once, at most; further ones are closed.
    pub connections_max: usize,
    /// Bytes of a record at most.
    pub record_bytes_max: usize,
    /// Bytes of results in a datagram at most: what libtirpc's clients make room for, unless told otherwise.
    pub udp_result_bytes_max: usize,
    /// Bytes of results in a record at most.
    pub tcp_result_bytes_max: usize,
    /// How long a connection may be silent while nothing is executed for it.
    pub idle_max: Duration,
    /// How long a peer may take for sending a record, or for taking a reply.
    pub patience: Duration,
    /// How long replies to non-idempotent calls are kept, for duplicates: at least as long as clients send again, and as
    /// the network may hold a datagram back. Calls that find the cache full of younger ones are dropped: to forget
    /// earlier would be to execute twice.
    pub duplicates_kept: Duration,
    /// Calls in the duplicate-request cache at most.
    pub duplicates_max: usize,
    /// Bytes of the replies in there at most.
    pub duplicate_bytes_max: usize,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            calls_max: 1024,
            connection_calls_max: 128,
            connections_max: 256,
            record_bytes_max: 1 << 20,
            udp_result_bytes_max: 8800 - 64,
            tcp_result_bytes_max: 1 << 20,
            idle_max: Duration::from_secs(300),
            patience: Duration::from_secs(30),
            duplicates_kept: Duration::from_secs(120),
            duplicates_max: 65_536,
            duplicate_bytes_max: 64 << 20,
        }
    }
}

/// Runs services for whoever calls. Clones are the same server; it goes on when all are dropped, until
/// [`Server::shutdown`] or with its machine.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all transports of a server share.
struct Shared {
    host: Host,
    config: ServerConfig,
    services: RwLock<BTreeMap<(u32, u32), Registered>>,
    duplicates: Mutex<Duplicates>,
    incarnations: Arc<Incarnations>,
    counters: Counters,
    calls: Arc<Semaphore>,
    /// Names this life of the server in the short hands that it gives.
    epoch: u64,
    sessions: AtomicU64,
    listeners: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Clone)]
struct Registered {
    service: Arc<dyn Service>,
    semantics: Semantics,
}

impl Server {
    /// A server without services, which listens nowhere yet.
    pub fn new(host: &Host, config: ServerConfig) -> Server {
        let duplicates = Duplicates::new(&config);
        Server {
            shared: Arc::new(Shared {
                host: host.clone(),
                services: RwLock::default(),
                duplicates: Mutex::new(duplicates),
                incarnations: Arc::default(),
                counters: Counters::default(),
                calls: Arc::new(Semaphore::new(config.calls_max)),
                epoch: host.random_u64(),
                sessions: AtomicU64::new(0),
                listeners: Mutex::default(),
                config,
            }),
        }
    }

    /// Adds one version of a program, with the semantics that its calls get: see [`Semantics`] for what is whose part.
    ///
    /// # Errors
    /// `AlreadyExists`; `InvalidInput` for exactly once with a service that doesn't log its effects
    /// ([`crate::ExactlyOnce`] does).
    pub fn add(&self, service: Arc<dyn Service>, semantics: Semantics) -> io::Result<()> {
        if semantics == Semantics::ExactlyOnce && !service.logs_effects() {
            let text = "exactly once wants a service that logs its effects: make it with ExactlyOnce";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let key = (service.program(), service.version());
        let mut services = self.shared.services.write().unwrap_or_else(PoisonError::into_inner);
        if services.contains_key(&key) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        services.insert(key, Registered { service, semantics });
        Ok(())
    }

    /// Takes calls from a UDP port (0 picks one); returns where that is. Errors: `AddrInUse`, …
    pub fn listen_udp(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Arc::new(self.shared.host.udp_bind(address)?);
        let bound = socket.local_addr()?;
        self.spawn(udp::serve(Arc::clone(&self.shared), socket));
        Ok(bound)
    }

    /// Takes connections at a TCP port (0 picks one); returns where that is. Errors: `AddrInUse`, …
    pub fn listen_tcp(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = self.shared.host.tcp_listen(address)?;
        let bound = listener.local_addr()?;
        self.spawn(tcp::serve(Arc::clone(&self.shared), listener));
        Ok(bound)
    }

    /// The programs and versions that it has, in order.
    pub fn programs(&self) -> Vec<(u32, u32)> {
        self.shared.services.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// What came of all messages so far.
    pub fn counts(&self) -> ServerCounts {
        self.shared.counters.read()
    }

    /// Stops listening. What is being executed is finished, and its replies are sent.
    pub fn shutdown(&self) {
        lock(&self.shared.listeners).drain(..).for_each(|listener| listener.abort());
    }

    fn spawn(&self, listener: impl Future<Output = ()> + Send + 'static) {
        let task = self.shared.host.spawn(listener);
        lock(&self.shared.listeners).push(task);
    }
}

impl Shared {
    /// The service for a call, or the versions that there are.
    fn service(&self, program: u32, version: u32) -> Result<Registered, Option<(u32, u32)>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = services.get(&(program, version)) {
            return Ok(found.clone());
        }
        let mut versions =
            services.range((program, 0)..=(program, u32::MAX)).map(|((_, version), _)| *version);
        Err(versions.next().map(|low| (low, versions.next_back().unwrap_or(low))))
    }

    /// A short hand that names this life of the server, and a new session in it.
    fn new_session(&self, credential: &Bytes) -> Option<OpaqueAuth> {
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        call::short_hand(self.epoch, id, credential)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server(on {}, {:?})", self.shared.host.name(), self.programs())
    }
}

/// Locks of a server guard plain data that is whole at any time, so a panic elsewhere doesn't spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
