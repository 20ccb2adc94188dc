//! A post office: a machine's boxes, served over UDP and TCP and to programs on the machine itself, with their disk.
//!
//! One task sends: it draws the conclusions of all that came since the last time, and so one acknowledgement stands for
//! many messages. One task writes the log: while the disk is at one group, the next one gathers.

use crate::bell::{Bell, either, now};
use crate::client::{Carry, Client};
use crate::message::{BoxOptions, Refusal};
use crate::server::{Counters, Peer, Server};
use crate::wire::{Header, RECORD_BYTES_MAX, Record, Unmarker, encode, encode_marked};
use crate::{BoxName, PORT};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tapstack::net::{Disk, File, Host, TcpListener, TcpStream, UdpSocket, yield_now};
use tapstack::time::Duration;

/// Connections at most.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Bytes that may wait for a connection that doesn't take them, before it is ended.
pub const CONNECTION_QUEUE_BYTES_MAX: usize = 4 << 20;
/// How long a connection may stand still, or take for a record.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(120);
/// Bytes of a log at most, when it is read. It is written anew when it is twice as long as what it says, so it doesn't
/// get there.
pub const LOG_BYTES_MAX: usize = 3 << 30;
const _: () = assert!(LOG_BYTES_MAX as u64 > 5 * crate::store::STORE_BYTES_MAX / 2);
/// A log that is shorter isn't worth being written anew.
pub const COMPACTION_BYTES_MIN: u64 = 1 << 20;

/// The log's file, and what it is called while it is written anew.
const LOG: &str = "mailbox.log";
const LOG_NEW: &str = "mailbox.log.new";

/// How an office is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficeOptions {
    /// Where it serves.
    pub address: SocketAddr,
    /// Whether it has durable boxes, and so wants the machine's disk.
    pub durable: bool,
}

impl Default for OfficeOptions {
    /// All addresses, [`PORT`], volatile boxes only.
    fn default() -> OfficeOptions {
        OfficeOptions { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), durable: false }
    }
}

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCounts {
    /// Accepted.
    pub accepted: u64,
    /// Ended at once: there are too many.
    pub too_many: u64,
    /// Ended because they brought what is no record.
    pub malformed: u64,
    /// Ended because they stood still.
    pub idle: u64,
    /// Ended because they didn't take what was for them.
    pub slow: u64,
}

/// A machine's post office. Clones are the same one; it serves until its machine ends.
#[derive(Clone)]
pub struct Office {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    state: Mutex<State>,
    /// There may be something to send.
    pump: Bell,
    /// There may be something to write.
    disk: Bell,
}

struct State {
    server: Server,
    connections: BTreeMap<u64, Arc<Connection>>,
    locals: BTreeMap<u64, Weak<crate::client::LinkInner>>,
    next_peer: u64,
    counts: ConnectionCounts,
}

#[derive(Default)]
struct Connection {
    queue: Mutex<(VecDeque<Bytes>, usize)>,
    bell: Bell,
    /// It is to end.
    ended: Bell,
}

impl Office {
    /// Opens a machine's post office: reads its log, if it has one, and begins to serve. Errors: an address is taken;
    /// there is no disk for durable boxes, or the log can't be read.
    pub async fn open(host: &Host, options: &OfficeOptions) -> io::Result<Office> {
        let mut secret = [0; 16];
        host.fill_random(&mut secret);
        let mut server = Server::new(host.now(), host.random_u64(), secret);
        let log = if options.durable { Some(Log::open(host, &mut server).await?) } else { None };
        let udp = host.udp_bind(options.address)?;
        let listener = host.tcp_listen(options.address)?;
        let inner = Arc::new(Inner {
            host: host.clone(),
            state: Mutex::new(State {
                server,
                connections: BTreeMap::new(),
                locals: BTreeMap::new(),
                next_peer: 1,
                counts: ConnectionCounts::default(),
            }),
            pump: Bell::default(),
            disk: Bell::default(),
        });
        let udp = Arc::new(udp);
        let (one, other) = (Arc::clone(&inner), Arc::clone(&udp));
        drop(host.spawn(async move { one.receive_datagrams(&other).await }));
        let one = Arc::clone(&inner);
        drop(host.spawn(async move { one.pump(&udp).await }));
        let one = Arc::clone(&inner);
        drop(host.spawn(async move { one.accept(listener).await }));
        if let Some(log) = log {
            let one = Arc::clone(&inner);
            drop(host.spawn(async move { one.write_log(log).await }));
        }
        Ok(Office { inner })
    }

    /// Makes a box, or finds that it is there with these options. Errors: see [`Refusal`]; a durable one needs
    /// [`OfficeOptions::durable`].
    pub fn create(&self, name: &BoxName, options: &BoxOptions) -> Result<(), Refusal> {
        self.inner.lock().server.create(self.inner.host.now(), name, options)?;
        self.inner.disk.ring();
        Ok(())
    }

    /// A client on the machine itself: its records are handed over, not sent.
    pub fn client(&self) -> Client {
        let number = {
            let mut state = self.inner.lock();
            state.locals.retain(|_, client| client.strong_count() > 0);
            state.next_peer += 1;
            state.next_peer
        };
        let (inner, register) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        let carry = Carry {
            send: Box::new(move |now, header, record| {
                inner.lock().server.handle_record(now, Peer::Local(number), header, record);
                inner.pump.ring();
            }),
            register: Box::new(move |client| {
                register.lock().locals.insert(number, client);
            }),
        };
        Client::carried(&self.inner.host, carry)
    }

    /// What was dropped, refused and done so far.
    pub fn counters(&self) -> Counters {
        self.inner.lock().server.counters()
    }

    /// What became of connections so far.
    pub fn connections(&self) -> ConnectionCounts {
        self.inner.lock().counts
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Office on {}", self.inner.host.name())
    }
}

impl Inner {
    /// Nothing panics under the lock but a bug, and then the state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; RECORD_BYTES_MAX];
        loop {
            let mut received = Some(socket.recv_from(&mut buffer).await);
            // What waits is taken together: it gets one acknowledgement.
            while let Some(datagram) = received {
                match datagram {
                    Ok((len, from)) => {
                        let bytes = buffer.get(..len).unwrap_or_default();
                        self.lock().server.handle(self.host.now(), Peer::Udp(from), bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
                    // About an earlier answer: its client's own business.
                    Err(error) => log::debug!("mailboxes over UDP: {error}"),
                }
                received = now(socket.recv_from(&mut buffer)).await;
            }
            self.pump.ring();
        }
    }

    /// Sends what there is to send, and lets time pass.
    async fn pump(&self, udp: &UdpSocket) {
        loop {
            let deadline = {
                let mut state = self.lock();
                let now = self.host.now();
                if state.server.poll_timeout().is_some_and(|at| at <= now) {
                    state.server.handle_timeout(now);
                }
                state.server.settle(now);
                state.server.poll_timeout()
            };
            self.disk.ring();
            loop {
                let next = self.lock().server.poll_out();
                let Some((peer, header, record)) = next else { break };
                self.send(udp, peer, header, record).await;
            }
            // What is due already still lets other tasks have their turn.
            yield_now().await;
            match deadline {
                Some(at) => either(self.pump.wait(), self.host.sleep_until(at)).await,
                None => self.pump.wait().await,
            }
        }
    }

    async fn send(&self, udp: &UdpSocket, peer: Peer, header: Header, record: Record) {
        match peer {
            Peer::Local(number) => {
                let client = self.lock().locals.get(&number).and_then(Weak::upgrade);
                match client {
                    Some(client) => client.handle_record(self.host.now(), header, record),
                    None => drop(self.lock().locals.remove(&number)),
                }
            }
            Peer::Udp(to) => match encode(header, &record) {
                // What can't be sent is lost, as others are on the way.
                Ok(bytes) => drop(udp.send_to(&bytes, to).await),
                Err(error) => log::error!("a record for {to} can't be sent: {error}"),
            },
            Peer::Tcp(number) => {
                let connection = self.lock().connections.get(&number).cloned();
                let (Some(connection), Ok(bytes)) = (connection, encode_marked(header, &record)) else {
                    return;
                };
                if !connection.push(bytes) {
                    self.lock().counts.slow += 1;
                    connection.ended.ring();
                }
            }
        }
    }

    async fn accept(self: &Arc<Inner>, listener: TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
                Err(error) => {
                    log::warn!("mailboxes over TCP: {error}");
                    self.host.sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let connection = Arc::new(Connection::default());
            let number = {
                let mut state = self.lock();
                if state.connections.len() >= CONNECTIONS_MAX {
                    state.counts.too_many += 1;
                    stream.abort();
                    continue;
                }
                state.counts.accepted += 1;
                state.next_peer += 1;
                let number = state.next_peer;
                state.connections.insert(number, Arc::clone(&connection));
                number
            };
            let inner = Arc::clone(self);
            drop(self.host.spawn(async move {
                drop(stream.set_nodelay(true));
                let talk = either(inner.read(&stream, number), inner.write(&stream, &connection));
                let ended = either(talk, async {
                    connection.ended.wait().await;
                    Ok(())
                });
                if let Err(error) = ended.await {
                    log::debug!("a connection for mailboxes ended: {error}");
                }
                inner.lock().connections.remove(&number);
            }));
        }
    }

    async fn read(&self, stream: &TcpStream, number: u64) -> io::Result<()> {
        let (mut unmarker, mut chunk) = (Unmarker::default(), vec![0; READ_BYTES]);
        let mut until = self.host.now() + CONNECTION_IDLE_MAX;
        loop {
            // Only a whole record prolongs it: drops of bytes do not.
            let left = until.since(self.host.now());
            let read = self.host.timeout(left, stream.read(&mut chunk)).await;
            let len = read.inspect_err(|_| self.lock().counts.idle += 1)??;
            if len == 0 {
                return Ok(());
            }
            unmarker.push(chunk.get(..len).unwrap_or_default());
            let mut is_good = true;
            while is_good {
                match unmarker.next_record() {
                    Ok(None) => break,
                    Ok(Some(record)) => {
                        until = self.host.now() + CONNECTION_IDLE_MAX;
                        let mut state = self.lock();
                        is_good = state.server.handle(self.host.now(), Peer::Tcp(number), &record);
                    }
                    Err(_) => is_good = false,
                }
            }
            self.pump.ring();
            if !is_good {
                self.lock().counts.malformed += 1;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    async fn write(&self, stream: &TcpStream, connection: &Connection) -> io::Result<()> {
        loop {
            let batch = connection.take();
            if batch.is_empty() {
                connection.bell.wait().await;
                continue;
            }
            let written = self.host.timeout(CONNECTION_IDLE_MAX, stream.write_all(&batch)).await;
            written.inspect_err(|_| self.lock().counts.slow += 1)??;
        }
    }

    /// Writes the log: one group after the other, each synced before anybody hears of it.
    async fn write_log(&self, mut log: Log) {
        loop {
            let (group, snapshot) = {
                let mut state = self.lock();
                let group = state.server.take_group();
                let snapshot =
                    (group.is_some() && log.is_long()).then(|| state.server.snapshot(self.host.now()));
                (group, snapshot)
            };
            let Some(group) = group else {
                self.disk.wait().await;
                continue;
            };
            let written = match snapshot {
                Some(snapshot) => log.replace(&snapshot).await,
                None => log.append(&group).await,
            };
            match written {
                Ok(()) => self.lock().server.committed(),
                Err(error) => {
                    log::error!("the log of durable boxes can't be written: {error}");
                    self.lock().server.disk_failed();
                    return;
                }
            }
            self.pump.ring();
        }
    }
}

impl Connection {
    /// Appends a record. Returns false when too much waits.
    fn push(&self, bytes: Bytes) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.1 += bytes.len();
        queue.0.push_back(bytes);
        let fits = queue.1 <= CONNECTION_QUEUE_BYTES_MAX;
        drop(queue);
        self.bell.ring();
        fits
    }

    fn take(&self) -> BytesMut {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = BytesMut::with_capacity(queue.1);
        queue.0.drain(..).for_each(|bytes| batch.extend_from_slice(&bytes));
        queue.1 = 0;
        batch
    }
}

/// The log's file.
struct Log {
    disk: Disk,
    file: File,
    len: u64,
    /// What it was when it was written anew, or read.
    len_compact: u64,
}

impl Log {
    /// Reads the log into the server, and cuts off what is torn.
    async fn open(host: &Host, server: &mut Server) -> io::Result<Log> {
        let disk = host.disk()?;
        // Left by a crash between two steps of `replace`: the old log holds.
        if disk.list()?.iter().any(|name| name == LOG_NEW) {
            disk.remove(LOG_NEW)?;
        }
        let file = disk.create(LOG)?;
        let bytes = file.read_all(LOG_BYTES_MAX)?;
        let good = server.replay(host.now(), &bytes);
        if good == 0 && bytes.len() >= crate::log::MAGIC.len() {
            let why = format!("{LOG} is no log of mailboxes: move it away, or use another folder");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if good < bytes.len() {
            log::info!("the log's last {} bytes were torn: cut off", bytes.len() - good);
        }
        file.truncate(good as u64)?;
        if good == 0 {
            file.append(&crate::log::MAGIC)?;
        }
        file.sync().await?;
        let len = file.len()?;
        let mut log = Log { disk, file, len, len_compact: len };
        // Who crashes often shouldn't have to read the same history each time.
        let snapshot = server.snapshot(host.now());
        if log.len > REWRITE_BYTES_MIN && log.len > snapshot.len() as u64 * 2 {
            log.replace(&snapshot).await?;
        }
        Ok(log)
    }

    /// Whether more of it is history than state.
    fn is_long(&self) -> bool {
        self.len > COMPACTION_BYTES_MIN && self.len > self.len_compact * 2
    }

    async fn append(&mut self, group: &[u8]) -> io::Result<()> {
        self.file.append(group)?;
        self.len += group.len() as u64;
        self.file.sync().await
    }

    /// Puts a new log in the place of the old one: at every moment, one of them is whole and has the name.
    async fn replace(&mut self, log: &[u8]) -> io::Result<()> {
        let file = self.disk.create(LOG_NEW)?;
        file.truncate(0)?;
        file.append(log)?;
        file.sync().await?;
        self.disk.rename(LOG_NEW, LOG)?;
        self.disk.sync().await?;
        self.file = file;
        self.len = log.len() as u64;
        self.len_compact = self.len;
        Ok(())
    }
}

/// A log that is shorter is as it is when it has been read.
const REWRITE_BYTES_MIN: u64 = 64 << 10;
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 << 10;
