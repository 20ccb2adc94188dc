//! Calls in records on connections.

use super::Shared;
use super::call::Begun;
use super::counts::Dropped;
use crate::record::{RecordReader, to_record};
use crate::service::Transport;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tapstack::net::{TcpListener, TcpStream};
use tapstack::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection of a client.
struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    /// Held while a record is written.
    writing: tokio::sync::Mutex<()>,
    /// Set when nothing can be written any more.
    broken: AtomicBool,
    calls: Arc<Semaphore>,
}

/// Takes connections, for ever.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(shared.config.connections_max));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
            Err(error) => {
                log::warn!("no connection could be taken: {error}");
                shared.host.sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            shared.counters.drop(Dropped::ConnectionLimit);
            stream.abort();
            continue;
        };
        let connection = Arc::new(Connection {
            calls: Arc::new(Semaphore::new(shared.config.connection_calls_max)),
            shared: Arc::clone(&shared),
            stream,
            peer,
            writing: tokio::sync::Mutex::new(()),
            broken: AtomicBool::new(false),
        });
        // Replies are whole records, and each is wanted at once.
        let _ = connection.stream.set_nodelay(true);
        shared.host.spawn(connection.serve(place));
    }
}

impl Connection {
    /// Reads records until the peer, or its slowness, ends it. Replies to what is being executed are still sent.
    async fn serve(self: Arc<Connection>, place: OwnedSemaphorePermit) {
        let mut reader = RecordReader::new(self.shared.config.record_bytes_max);
        let mut chunk = vec![0; READ_CHUNK_BYTES];
        let mut record_begun: Option<Instant> = None;
        while !self.broken.load(Ordering::SeqCst) {
            match reader.next_record() {
                Ok(Some(record)) => {
                    record_begun = (!reader.is_between_records()).then(|| self.shared.host.now());
                    self.take(&record).await;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    log::info!("{}: {error}", self.peer);
                    self.shared.counters.drop(Dropped::BadRecord);
                    break;
                }
            }
            match self.read(&mut chunk, record_begun).await {
                Some(0) | None => break,
                Some(len) => {
                    reader.push(chunk.get(..len).unwrap_or_default());
                    record_begun = record_begun.or_else(|| Some(self.shared.host.now()));
                }
            }
        }
        // Whoever executes a call for it still holds the connection; it closes when the last has replied.
        drop(place);
    }

    /// Reads some bytes; none when the connection is to be closed.
    async fn read(&self, chunk: &mut [u8], record_begun: Option<Instant>) -> Option<usize> {
        let Shared { host, config, counters, .. } = &*self.shared;
        loop {
            let until = match record_begun {
                Some(begun) => begun + config.patience,
                None => host.now() + config.idle_max,
            };
            match host.timeout(until - host.now(), self.stream.read(chunk)).await {
                Ok(Ok(len)) => return Some(len),
                Ok(Err(error)) => {
                    log::debug!("{}: {error}", self.peer);
                    return None;
                }
                Err(_) if record_begun.is_some() => {
                    counters.drop(Dropped::SlowPeer);
                    return None;
                }
                // It waits for replies, as it may.
                Err(_) if self.calls.available_permits() < config.connection_calls_max => {}
                Err(_) => {
                    counters.drop(Dropped::SilentPeer);
                    return None;
                }
            }
        }
    }

    /// Takes one message. While as many calls are being executed as may be, this waits, and nothing is read.
    async fn take(self: &Arc<Connection>, record: &Bytes) {
        let own = Arc::clone(&self.calls).acquire_owned().await;
        let all = Arc::clone(&self.shared.calls).acquire_owned().await;
        match self.shared.begin(record, self.peer, Transport::Tcp) {
            Begun::Dropped => {}
            Begun::Reply(reply) => self.write(&reply).await,
            Begun::Call(call) => {
                let connection = Arc::clone(self);
                self.shared.host.spawn(async move {
                    if let Some(reply) = call.execute().await {
                        connection.write(&reply).await;
                    }
                    drop((own, all));
                });
            }
        }
    }

    async fn write(&self, reply: &Bytes) {
        let record = to_record(reply);
        let Shared { host, config, counters, .. } = &*self.shared;
        let _alone = self.writing.lock().await;
        if self.broken.load(Ordering::SeqCst) {
            return counters.drop(Dropped::Unsendable);
        }
        let why = match host.timeout(config.patience, self.stream.write_all(&record)).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => Dropped::Unsendable,
            Err(_) => Dropped::SlowPeer,
        };
        counters.drop(why);
        // A part of the record may have been written: the stream is of no use any more.
        self.broken.store(true, Ordering::SeqCst);
        let _ = self.stream.close_side(tapstack::socket::Shutdown::Both);
    }
}

const READ_CHUNK_BYTES: usize = 16 << 10;
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
