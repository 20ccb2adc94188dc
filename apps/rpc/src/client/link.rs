//! A client's way to its server: a connected UDP socket or a TCP connection, and who waits for replies on it.

use super::ClientCounts;
use crate::message::Reply;
use crate::record::{RecordReader, to_record};
use crate::service::Transport;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tapstack::net::{Host, JoinHandle, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};

/// Opens links, one at a time.
pub(super) struct Lines {
    host: Host,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    calls_max: usize,
    reply_bytes_max: usize,
    current: tokio::sync::Mutex<Option<Arc<Link>>>,
    opened: AtomicU64,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    strays: AtomicU64,
    nonsense: AtomicU64,
}

/// An open way to the server.
pub(super) struct Link {
    out: Out,
    replies: Arc<Replies>,
    tasks: Vec<JoinHandle<()>>,
}

enum Out {
    Udp(Arc<UdpSocket>),
    /// To the task that writes: a call that is cancelled in the middle of a record would spoil the stream.
    Tcp(mpsc::Sender<Bytes>),
}

/// Who waits for a reply.
struct Replies {
    waiting: Mutex<BTreeMap<u32, oneshot::Sender<Reply>>>,
    dead: AtomicBool,
    error: Mutex<Option<Arc<io::Error>>>,
    tally: Arc<Tally>,
}

/// A reply that is waited for. Dropping it gives it up.
pub(super) struct Expected {
    xid: u32,
    replies: Arc<Replies>,
    receiver: oneshot::Receiver<Reply>,
}

impl Lines {
    pub(super) fn new(
        host: &Host,
        transport: Transport,
        peer: SocketAddr,
        calls_max: usize,
        reply_bytes_max: usize,
    ) -> Lines {
        Lines {
            host: host.clone(),
            transport,
            peer,
            calls_max,
            reply_bytes_max,
            current: tokio::sync::Mutex::new(None),
            opened: AtomicU64::new(0),
            tally: Arc::default(),
        }
    }

    /// The link, which is opened if there is none that works. Errors: what keeps it from being opened.
    pub(super) async fn link(&self) -> io::Result<Arc<Link>> {
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref().filter(|link| !link.replies.dead.load(Ordering::SeqCst)) {
            return Ok(Arc::clone(link));
        }
        // The dead one goes before its successor is opened, and its tasks with it once no call holds it.
        *current = None;
        let link = Arc::new(match self.transport {
            Transport::Udp => self.open_udp().await?,
            Transport::Tcp => self.open_tcp().await?,
        });
        self.opened.fetch_add(1, Ordering::Relaxed);
        *current = Some(Arc::clone(&link));
        Ok(link)
    }

    pub(super) fn counts(&self) -> ClientCounts {
        ClientCounts {
            strays: self.tally.strays.load(Ordering::Relaxed),
            nonsense: self.tally.nonsense.load(Ordering::Relaxed),
            reconnections: self.opened.load(Ordering::Relaxed).saturating_sub(1),
            ..ClientCounts::default()
        }
    }

    async fn open_udp(&self) -> io::Result<Link> {
        let any = match self.peer {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = Arc::new(self.host.udp_bind(SocketAddr::new(any, 0))?);
        // Replies of anybody else don't reach a connected socket.
        socket.connect(self.peer).await?;
        let replies = self.replies();
        let (own, tell) = (Arc::clone(&socket), Arc::clone(&replies));
        let reader = self.host.spawn(async move {
            let error = receive(&own, &tell).await;
            tell.end(error);
        });
        Ok(Link { out: Out::Udp(socket), replies, tasks: vec![reader] })
    }

    async fn open_tcp(&self) -> io::Result<Link> {
        let stream = Arc::new(self.host.tcp_connect(self.peer).await?);
        stream.set_nodelay(true)?;
        let reading = Arc::clone(&stream);
        let (sender, receiver) = mpsc::channel(self.calls_max);
        let replies = self.replies();
        let (tell, bytes_max) = (Arc::clone(&replies), self.reply_bytes_max);
        let reader = self.host.spawn(async move {
            let error = read(&reading, &tell, bytes_max).await;
            tell.end(error);
        });
        let tell = Arc::clone(&replies);
        let writer = self.host.spawn(async move {
            if let Err(error) = write(&stream, receiver).await {
                tell.end(error);
            }
        });
        Ok(Link { out: Out::Tcp(sender), replies, tasks: vec![reader, writer] })
    }

    fn replies(&self) -> Arc<Replies> {
        Arc::new(Replies {
            waiting: Mutex::default(),
            dead: AtomicBool::new(false),
            error: Mutex::default(),
            tally: Arc::clone(&self.tally),
        })
    }
}

impl Link {
    /// Says that a reply to `xid` is wanted; before the call is sent.
    pub(super) fn expect(&self, xid: u32) -> Expected {
        let (sender, receiver) = oneshot::channel();
        if !self.replies.dead.load(Ordering::SeqCst) {
            self.replies.waiting().insert(xid, sender);
        }
        Expected { xid, replies: Arc::clone(&self.replies), receiver }
    }

    /// Sends a message. Errors: what is the matter with the socket; the link is of no use then.
    pub(super) async fn send(&self, message: Bytes) -> io::Result<()> {
        match &self.out {
            Out::Udp(socket) => match socket.send(&message).await {
                // What ICMP says of an earlier datagram may be otherwise in a moment.
                Err(error) if is_passing(&error) => Ok(()),
                sent => sent.map(drop),
            },
            Out::Tcp(writer) => {
                let sent = writer.send(to_record(&message)).await;
                sent.map_err(|_| io::ErrorKind::ConnectionReset.into())
            }
        }
    }

    /// What ended it.
    pub(super) fn error(&self) -> Arc<io::Error> {
        let error = self.replies.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        error.unwrap_or_else(|| Arc::new(io::ErrorKind::ConnectionReset.into()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Expected {
    /// Waits for the reply; none when the link has ended.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.replies.waiting().remove(&self.xid);
    }
}

impl Replies {
    /// A message came.
    fn take_in(&self, message: &Bytes) {
        let Some(reply) = Reply::parse(message) else {
            self.tally.nonsense.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let waiting = self.waiting().remove(&reply.xid);
        if waiting.is_none_or(|waiting| waiting.send(reply).is_err()) {
            self.tally.strays.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The link is of no use any more: those who wait are told.
    fn end(&self, error: io::Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::new(error));
        self.dead.store(true, Ordering::SeqCst);
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u32, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(socket: &UdpSocket, replies: &Replies) -> io::Error {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(len) => replies.take_in(&Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default())),
            Err(error) if is_passing(&error) => {}
            Err(error) => return error,
        }
    }
}

async fn read(stream: &TcpStream, replies: &Replies, bytes_max: usize) -> io::Error {
    let mut reader = RecordReader::new(bytes_max.saturating_add(crate::message::REPLY_HEADER_BYTES_MAX));
    let mut chunk = vec![0; READ_CHUNK_BYTES];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(len) => reader.push(chunk.get(..len).unwrap_or_default()),
            Err(error) => return error,
        }
        loop {
            match reader.next_record() {
                Ok(Some(record)) => replies.take_in(&record),
                Ok(None) => break,
                Err(error) => return io::Error::new(io::ErrorKind::InvalidData, error),
            }
        }
    }
}

async fn write(stream: &TcpStream, mut records: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(record) = records.recv().await {
        stream.write_all(&record).await?;
    }
    Ok(())
}

/// Whether an error tells only what became of an earlier datagram: a server may be restarting.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut)
}

/// What IPv4 carries at most.
const DATAGRAM_BYTES_MAX: usize = 65_535;
const READ_CHUNK_BYTES: usize = 16 << 10;
