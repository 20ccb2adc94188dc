//! Serves the control socket on threads of its own, a bounded number, each with one client and its time-outs.

use super::protocol::{Reply, Request};
use super::{CLIENTS_MAX, REPLY_TIMEOUT, REQUEST_BYTES_MAX, REQUEST_TIMEOUT, SESSIONS_MAX, nc, perform};
use rustix::process::geteuid;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tapstack::net::Host;

/// A machine, as its control socket offers it.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) host: Host,
    /// When it came up, on its own clock.
    pub(crate) started: tapstack::time::Instant,
}

/// Serves the socket until the process ends. Errors: no thread can be had.
pub(crate) fn serve(listener: UnixListener, served: Served) -> io::Result<()> {
    std::thread::Builder::new().name("control".to_owned()).spawn(move || accept(&listener, &served)).map(drop)
}

fn accept(listener: &UnixListener, served: &Served) {
    let (clients, sessions) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: that passes, and must not make this thread spin.
                log::warn!("the control socket: {error}");
                std::thread::sleep(ACCEPT_AGAIN_AFTER);
                continue;
            }
        };
        let Some(client) = Counted::new(&clients, CLIENTS_MAX) else {
            refuse(&stream);
            continue;
        };
        let (served, sessions) = (served.clone(), Arc::clone(&sessions));
        let thread = std::thread::Builder::new().name("control-client".to_owned()).spawn(move || {
            let _client = client;
            if let Err(error) = client_thread(stream, &served, &sessions) {
                log::info!("a client of the control socket: {error}");
            }
        });
        if let Err(error) = thread {
            log::warn!("a client of the control socket gets no thread: {error}");
        }
    }
}

/// Tells a client that there are too many, if it takes that at once.
fn refuse(stream: &UnixStream) {
    let busy = Reply::Failed { why: "the machine's control socket is busy: try again".to_owned() };
    let _ = stream.set_nonblocking(true);
    let _ = (&*stream).write_all(&line(&busy));
}

fn client_thread(stream: UnixStream, served: &Served, sessions: &Arc<AtomicUsize>) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    if peer.uid != geteuid() {
        let why = "only the owner of the machine may control it".to_owned();
        return send(&stream, &Reply::Failed { why });
    }
    let request = match read_request(&stream) {
        Ok(request) => request,
        Err(error) => return send(&stream, &Reply::Failed { why: format!("bad request: {error}") }),
    };
    if !matches!(request, Request::Connect { .. } | Request::Listen { .. }) {
        return send(&stream, &perform::perform(served, request));
    }
    match Counted::new(sessions, SESSIONS_MAX) {
        Some(_session) => nc::serve(&stream, &served.host, &request),
        None => send(&stream, &Reply::Failed { why: "too many netcat sessions are open".to_owned() }),
    }
}

/// Reads one line of JSON, all of which has to come in time.
fn read_request(stream: &UnixStream) -> io::Result<Request> {
    let until = Instant::now() + REQUEST_TIMEOUT;
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left_until(until)?))?;
        let len = match (&*stream).read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        request.extend_from_slice(chunk.get(..len).unwrap_or_default());
        if let Some(end) = request.iter().position(|&byte| byte == b'\n') {
            // The client waits for the answer before it says anything more.
            return serde_json::from_slice(request.get(..end).unwrap_or_default()).map_err(io::Error::from);
        }
        if request.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
        }
    }
}

/// Writes one line of JSON, all of which has to be taken in time.
pub(super) fn send(stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let until = Instant::now() + REPLY_TIMEOUT;
    let line = line(reply);
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left_until(until)?))?;
        match (&*stream).write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => rest = rest.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn line(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_else(|error| {
        log::error!("a reply can't be written: {error}");
        br#"{"reply":"failed","why":"the reply can't be written"}"#.to_vec()
    });
    line.push(b'\n');
    line
}

fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// One of at most so many.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>, max: usize) -> Option<Counted> {
        let counted = Counted(Arc::clone(count));
        (count.fetch_add(1, Ordering::SeqCst) < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
