//! A client's tasks: what carries its engine's records to the host and back.

use super::engine::Engine;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::{AskError, Mode, ReaderOptions, SenderOptions, Transport};
use crate::BoxName;
use crate::bell::{Bell, either};
use crate::wire::{Answer, Ask, Header, RECORD_BYTES_MAX, Record, Unmarker, encode, encode_marked};
use bytes::BytesMut;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use tapstack::net::{Host, TcpStream, UdpSocket, yield_now};
use tapstack::socket::SocketOption;
use tapstack::time::{Duration, Instant};

/// A client as its handles hold it. When the last is gone, its task says what there is to say, and ends.
pub(crate) struct Shared {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    host: Host,
    engine: Mutex<Engine>,
    bell: Bell,
    is_closing: AtomicBool,
}

/// How records get to boxes on the same machine: by a call.
pub(crate) struct Carry {
    pub(crate) send: Box<dyn Fn(Instant, Header, Record) + Send + Sync>,
    /// Told who is to get the answers.
    pub(crate) register: Box<dyn FnOnce(Weak<Inner>) + Send>,
}

impl Shared {
    pub(crate) fn start(host: &Host, transport: Transport, server: SocketAddr) -> io::Result<Arc<Shared>> {
        let mode = match transport {
            Transport::Udp => Mode::Datagrams,
            Transport::Tcp => Mode::Connection,
        };
        let inner = Inner::new(host, mode);
        let task = Arc::clone(&inner);
        match transport {
            Transport::Udp => {
                let socket = host.udp_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
                drop(host.spawn(async move { task.over_udp(&socket, server).await }));
            }
            Transport::Tcp => drop(host.spawn(async move { task.over_tcp(server).await })),
        }
        Ok(Arc::new(Shared { inner }))
    }

    pub(crate) fn start_local(host: &Host, carry: Carry) -> Arc<Shared> {
        let inner = Inner::new(host, Mode::Connection);
        (carry.register)(Arc::downgrade(&inner));
        let (task, send) = (Arc::clone(&inner), carry.send);
        drop(host.spawn(async move { task.within(&send).await }));
        Arc::new(Shared { inner })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.inner.host
    }

    pub(super) fn ring(&self) {
        self.inner.bell.ring();
    }

    pub(super) fn add_sender(&self, name: BoxName, options: SenderOptions) -> u64 {
        let id = self.inner.host.random_u64();
        self.inner.lock().add_sender(self.inner.host.now(), id, name, options);
        self.ring();
        id
    }

    pub(super) fn remove_sender(&self, id: u64) {
        self.inner.lock().remove_sender(self.inner.host.now(), id);
        self.ring();
    }

    pub(super) fn add_reader(&self, name: BoxName, options: ReaderOptions) -> u64 {
        let id = self.inner.host.random_u64();
        self.inner.lock().add_reader(id, name, options);
        self.ring();
        id
    }

    pub(super) fn remove_reader(&self, id: u64) {
        self.inner.lock().remove_reader(self.inner.host.now(), id);
        self.ring();
    }

    /// Looks at a sender, which is there for as long as its handle.
    pub(super) fn with_sender<T>(&self, id: u64, look: impl FnOnce(&mut Outbox, Instant) -> T) -> T {
        let mut engine = self.inner.lock();
        let sender =
            engine.senders.get_mut(&id).expect("a handle's sender is removed by the handle's drop only");
        look(&mut sender.outbox, self.inner.host.now())
    }

    /// Looks at a reader, which is there for as long as its handle.
    pub(super) fn with_reader<T>(&self, id: u64, look: impl FnOnce(&mut Inbox, Instant) -> T) -> T {
        let mut engine = self.inner.lock();
        let inbox =
            engine.readers.get_mut(&id).expect("a handle's reader is removed by the handle's drop only");
        look(inbox, self.inner.host.now())
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        let request = self.inner.lock().ask(self.inner.host.now(), ask);
        let asked = Asked { inner: &self.inner, request };
        self.ring();
        poll_fn(|cx| match asked.inner.lock().poll_answer(request, cx.waker()) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.inner.is_closing.store(true, Ordering::SeqCst);
        self.inner.bell.ring();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client on {}", self.inner.host.name())
    }
}

/// A question under way; it is forgotten when nobody awaits it any more.
struct Asked<'a> {
    inner: &'a Inner,
    request: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.inner.lock().forget_ask(self.request);
    }
}

impl Inner {
    fn new(host: &Host, mode: Mode) -> Arc<Inner> {
        Arc::new(Inner {
            host: host.clone(),
            engine: Mutex::new(Engine::new(mode, host.random_u64())),
            bell: Bell::default(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Nothing panics under the lock but a bug, and then the engine is as good as any.
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a record that was never coded.
    pub(crate) fn handle_record(&self, now: Instant, header: Header, record: Record) {
        self.lock().handle_record(now, header, record);
        self.bell.ring();
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Sleeps until there may be something to send.
    async fn idle(&self) {
        let deadline = self.lock().poll_timeout();
        // What is due already still lets other tasks have their turn.
        yield_now().await;
        match deadline {
            Some(at) => either(self.bell.wait(), self.host.sleep_until(at)).await,
            None => self.bell.wait().await,
        }
        self.lock().handle_timeout(self.host.now());
    }

    fn next_record(&self) -> Option<(Header, Record)> {
        self.lock().poll_out(self.host.now())
    }

    async fn over_udp(&self, socket: &UdpSocket, server: SocketAddr) {
        self.lock().connected(self.host.random_u64());
        let send = async {
            loop {
                while let Some((header, record)) = self.next_record() {
                    match encode(header, &record) {
                        // Where it can't be sent, it is lost, as others are on the way.
                        Ok(bytes) => drop(socket.send_to(&bytes, server).await),
                        Err(error) => log::error!("a record can't be sent: {error}"),
                    }
                }
                if self.is_closing() {
                    return;
                }
                self.idle().await;
            }
        };
        let receive = async {
            let mut buffer = vec![0; RECORD_BYTES_MAX];
            loop {
                match socket.recv_from(&mut buffer).await {
                    Ok((len, from)) if from == server => {
                        self.lock().handle(self.host.now(), buffer.get(..len).unwrap_or_default());
                        self.bell.ring();
                    }
                    Ok(_) => self.lock().strays += 1,
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
                    // What ICMP says about the host may be true for a moment only.
                    Err(error) => log::debug!("{server}: {error}"),
                }
            }
        };
        either(send, receive).await;
    }

    async fn over_tcp(&self, server: SocketAddr) {
        let mut pause = PAUSE_MIN;
        while !self.is_closing() {
            let connected = either(
                async {
                    self.host
                        .timeout(CONNECT_PATIENCE, self.host.tcp_connect(server))
                        .await
                        .and_then(|done| done)
                },
                async { Err(self.closing_or_due().await) },
            );
            match connected.await {
                Ok(stream) => {
                    pause = PAUSE_MIN;
                    // Batches are made above; Nagle's rule would only hold the last piece back.
                    drop(stream.set_nodelay(true));
                    for option in KEEP_ALIVE {
                        drop(stream.set_option(option));
                    }
                    self.lock().connected(self.host.random_u64());
                    let ended = either(self.write_all(&stream), self.read_all(&stream)).await;
                    if let Err(error) = ended {
                        log::debug!("the connection to {server} ended: {error}");
                    }
                    self.lock().disconnected();
                }
                Err(error) => log::debug!("{server}: {error}"),
            }
            if self.is_closing() {
                return;
            }
            let until = self.host.now() + pause;
            while self.host.now() < until && !self.is_closing() {
                either(self.host.sleep_until(until), self.idle()).await;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// While there is no connection: lets what is due time out; returns when the client ends.
    async fn closing_or_due(&self) -> io::Error {
        while !self.is_closing() {
            self.idle().await;
        }
        io::ErrorKind::Interrupted.into()
    }

    async fn write_all(&self, stream: &TcpStream) -> io::Result<()> {
        let mut batch = BytesMut::new();
        loop {
            while batch.len() < WRITE_BYTES
                && let Some((header, record)) = self.next_record()
            {
                match encode_marked(header, &record) {
                    Ok(bytes) => batch.extend_from_slice(&bytes),
                    Err(error) => log::error!("a record can't be sent: {error}"),
                }
            }
            if !batch.is_empty() {
                stream.write_all(&batch).await?;
                batch.clear();
            } else if self.is_closing() {
                return stream.shutdown().await;
            } else if self.lock().is_dead(self.host.now()) {
                return Err(io::ErrorKind::TimedOut.into());
            } else {
                self.idle().await;
            }
        }
    }

    async fn read_all(&self, stream: &TcpStream) -> io::Result<()> {
        let (mut unmarker, mut chunk) = (Unmarker::default(), vec![0; READ_BYTES]);
        loop {
            let len = stream.read(&mut chunk).await?;
            if len == 0 {
                return Ok(());
            }
            unmarker.push(chunk.get(..len).unwrap_or_default());
            let now = self.host.now();
            loop {
                let Some(record) = unmarker.next_record().map_err(io::Error::other)? else { break };
                if !self.lock().handle(now, &record) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            self.bell.ring();
        }
    }

    async fn within(&self, send: &(dyn Fn(Instant, Header, Record) + Send + Sync)) {
        self.lock().connected(self.host.random_u64());
        loop {
            while let Some((header, record)) = self.next_record() {
                send(self.host.now(), header, record);
            }
            // A call can't get lost: who takes long here has a slow disk.
            self.lock().forgive(self.host.now());
            if self.is_closing() {
                return;
            }
            self.idle().await;
        }
    }
}

/// Short, so that an attempt that began while the host was down doesn't back off for long: a new one asks sooner.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Who only waits for letters has nothing to send that a host which has come up again would refuse.
const KEEP_ALIVE: [SocketOption; 3] = [
    SocketOption::KeepIdle(Duration::from_secs(1)),
    SocketOption::KeepInterval(Duration::from_secs(1)),
    SocketOption::KeepAlive(true),
];
/// Between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const WRITE_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 64 << 10;
