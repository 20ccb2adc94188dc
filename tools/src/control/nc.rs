//! The machine's side of a netcat session: a connection or datagrams of the machine, joined to a client's socket.

use super::block_on::block_on;
use super::perform::{in_words, wait};
use super::protocol::{FRAME_BYTES_MAX, Frame, Reply, Request};
use super::server::send;
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tapstack::net::{Host, TcpStream, UdpSocket};
use tapstack::time::Duration;

/// What the client is joined to.
enum Line {
    Stream(TcpStream),
    /// Datagrams; the peer is the first sender where nobody named one.
    Datagrams(UdpSocket, Mutex<Option<SocketAddr>>),
}

/// Serves a session to its end. Errors: the client's socket broke.
pub(super) fn serve(client: &UnixStream, host: &Host, request: &Request) -> io::Result<()> {
    client.set_read_timeout(None)?;
    let line = match open(client, host, request) {
        Ok(Some(line)) => line,
        Ok(None) => return Ok(()),
        Err(error) => return send(client, &Reply::Failed { why: in_words(&error) }),
    };
    client.set_write_timeout(None)?;
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let from_network = || {
            let last = line_to_client(client, host, &line, &gone);
            let broken = last.is_err();
            // The client may be gone, which is why this ends.
            let _ = last.unwrap_or_else(|error| Frame::Broken(error.to_string())).write(&mut &*client);
            if broken {
                let _ = client.shutdown(Shutdown::Both);
            }
        };
        let thread =
            std::thread::Builder::new().name("control-nc".to_owned()).spawn_scoped(scope, from_network)?;
        let ended = client_to_line(client, host, &line, &gone);
        gone.store(!matches!(ended, Ok(true)), Ordering::SeqCst);
        if let Err(error) = ended {
            let _ = Frame::Broken(error.to_string()).write(&mut &*client);
            let _ = client.shutdown(Shutdown::Both);
        }
        // A panic of the other thread ends this one as well.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(())
    })
}

/// Opens what the session is about, and tells the client; none if the client went away meanwhile.
fn open(client: &UnixStream, host: &Host, request: &Request) -> io::Result<Option<Line>> {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let line = match *request {
        Request::Connect { to, udp: false, timeout_ms } => {
            let connected = block_on(host.timeout(wait(timeout_ms), host.tcp_connect(to)));
            Line::Stream(connected??)
        }
        Request::Connect { to, udp: true, .. } => {
            let socket = host.udp_bind(any(0))?;
            block_on(socket.connect(to))?;
            Line::Datagrams(socket, Mutex::new(Some(to)))
        }
        Request::Listen { port, udp: true } => Line::Datagrams(host.udp_bind(any(port))?, Mutex::new(None)),
        Request::Listen { port, udp: false } => {
            let listener = host.tcp_listen(any(port))?;
            send(client, &Reply::Open { local: listener.local_addr()?, peer: None })?;
            let waiting = AtomicBool::new(false);
            let Some(accepted) = unless_gone(client, host, &waiting, async || listener.accept().await)?
            else {
                return Ok(None);
            };
            let (stream, peer) = accepted;
            Frame::Note(format!("connection from {peer}")).write(&mut &*client)?;
            return Ok(Some(Line::Stream(stream)));
        }
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a session")),
    };
    let (local, peer) = match &line {
        Line::Stream(stream) => (stream.local_addr()?, Some(stream.peer_addr()?)),
        Line::Datagrams(socket, _) => (socket.local_addr()?, socket.peer_addr().ok()),
    };
    send(client, &Reply::Open { local, peer })?;
    Ok(Some(line))
}

/// What the client sends goes to the network, until it ends its side (true) or is gone (false).
fn client_to_line(client: &UnixStream, host: &Host, line: &Line, gone: &AtomicBool) -> io::Result<bool> {
    loop {
        // A client that breaks off in the middle of a frame is gone like any other.
        let frame = match Frame::read(&mut &*client) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
            Err(_) => None,
        };
        let data = match frame {
            Some(Frame::Data(data)) => data,
            Some(Frame::End) => {
                if let Line::Stream(stream) = line {
                    block_on(stream.shutdown())?;
                }
                return Ok(true);
            }
            Some(Frame::Broken(_) | Frame::Note(_)) | None => return Ok(false),
        };
        match line {
            Line::Stream(stream) => {
                let mut rest = data.as_slice();
                while !rest.is_empty() {
                    let Some(len) = unless_gone(client, host, gone, async || stream.write(rest).await)?
                    else {
                        return Ok(false);
                    };
                    rest = rest.get(len..).unwrap_or_default();
                }
            }
            Line::Datagrams(socket, peer) => {
                let peer = *peer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                // Nobody has sent yet, so nobody can be answered.
                let Some(peer) = peer else { continue };
                unless_gone(client, host, gone, async || socket.send_to(&data, peer).await)?;
            }
        }
    }
}

/// What comes from the network goes to the client, until it ends there: then with [`Frame::End`].
fn line_to_client(client: &UnixStream, host: &Host, line: &Line, gone: &AtomicBool) -> io::Result<Frame> {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    loop {
        let received = match line {
            Line::Stream(stream) => unless_gone(client, host, gone, async || stream.read(&mut buffer).await)?,
            Line::Datagrams(socket, _) => {
                unless_gone(client, host, gone, async || socket.recv_from(&mut buffer).await)?.map(
                    |(len, from)| {
                        learn_peer(client, line, from);
                        len
                    },
                )
            }
        };
        match (received, line) {
            (None, _) | (Some(0), Line::Stream(_)) => return Ok(Frame::End),
            (Some(len), _) => {
                Frame::Data(buffer.get(..len).unwrap_or_default().to_vec()).write(&mut &*client)?;
            }
        }
    }
}

/// The first sender of datagrams is whom the client talks to.
fn learn_peer(client: &UnixStream, line: &Line, from: SocketAddr) {
    let Line::Datagrams(_, peer) = line else { return };
    let mut peer = peer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if peer.is_none() {
        *peer = Some(from);
        let _ = Frame::Note(format!("datagrams from {from}")).write(&mut &*client);
    }
}

/// Awaits a call of the machine's for as long as the client is there; none when it isn't any more.
fn unless_gone<T>(
    client: &UnixStream,
    host: &Host,
    gone: &AtomicBool,
    mut call: impl AsyncFnMut() -> io::Result<T>,
) -> io::Result<Option<T>> {
    loop {
        match block_on(host.timeout(LOOK_EVERY, call())) {
            Ok(result) => return result.map(Some),
            Err(_) if gone.load(Ordering::SeqCst) || has_hung_up(client) => return Ok(None),
            Err(_) => {}
        }
    }
}

fn has_hung_up(client: &UnixStream) -> bool {
    let mut fds = [PollFd::new(client, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// How often a waiting session looks whether its client is still there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
