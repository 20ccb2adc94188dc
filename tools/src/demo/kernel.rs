//! The kernel's side of the demo: plain system calls, on threads of their own, as any program would make them.

use super::bulk::{self, Load, Tally};
use super::peer::PATIENCE;
use super::progress::Progress;
use rustix::net::{AddressFamily, SocketType, ipproto};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use tapstack_page::{self as web, Response};
use tokio::sync::oneshot;

// ICMP, RFC 792.
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// The largest packet that a raw socket delivers.
const PACKET_BYTES_MAX: usize = 65_535;

/// The kernel of the namespace that this process is in.
#[derive(Clone, Debug)]
pub(super) struct Kernel;

/// A kernel's socket that waits for one connection.
pub(super) struct KernelListener {
    listener: TcpListener,
}

impl Kernel {
    pub(super) async fn ping(&self, to: IpAddr, payload: Vec<u8>) -> io::Result<Duration> {
        on_thread(move || ping(to, &payload)).await
    }

    pub(super) async fn ask(&self, to: SocketAddr, question: Vec<u8>) -> io::Result<Vec<u8>> {
        on_thread(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(to)?;
            socket.send(&question)?;
            let mut answer = vec![0; question.len() + 1];
            let len = socket.recv(&mut answer)?;
            answer.truncate(len);
            Ok(answer)
        })
        .await
    }

    pub(super) async fn fetch(&self, server: SocketAddr, path: &'static str) -> io::Result<Response> {
        on_thread(move || {
            let mut stream = connect(server)?;
            stream.write_all(web::request(server, path).as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Response::parse(&answer)
        })
        .await
    }

    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<()> {
        on_thread(move || connect(to).map(drop)).await
    }

    pub(super) async fn send(&self, to: SocketAddr, load: Load) -> io::Result<Tally> {
        on_thread(move || bulk::send_from_kernel(connect(to)?, load)).await
    }

    pub(super) fn listen(&self, at: SocketAddr) -> io::Result<KernelListener> {
        Ok(KernelListener { listener: TcpListener::bind(at)? })
    }
}

impl KernelListener {
    pub(super) async fn collect(self, progress: Progress) -> io::Result<Tally> {
        on_thread(move || {
            let (stream, _) = self.listener.accept()?;
            set_patience(&stream)?;
            bulk::collect_on_kernel(stream, &progress)
        })
        .await
    }
}

/// Runs a call that blocks on a thread of its own. A future that is dropped leaves the thread to its time-out.
async fn on_thread<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("kernel".to_owned()).spawn(move || {
        // Nobody waits any more when this fails, and nothing is lost.
        let _ = done.send(call());
    })?;
    result.await.unwrap_or_else(|_| Err(io::Error::other("the thread on the kernel's side panicked")))
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    set_patience(&stream)?;
    Ok(stream)
}

fn set_patience(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Sends one echo request over a raw socket, which the namespace's root may open, and waits for its reply.
fn ping(to: IpAddr, payload: &[u8]) -> io::Result<Duration> {
    let raw = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    // A raw socket is sent to, received from and timed like a datagram socket; the port is not looked at.
    let socket = UdpSocket::from(raw);
    socket.connect(SocketAddr::new(to, 0))?;
    let identifier = std::process::id() as u16;
    let request = echo_request(identifier, payload);
    let sent = Instant::now();
    socket.send(&request)?;
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        let left = PATIENCE.checked_sub(sent.elapsed()).filter(|left| !left.is_zero());
        socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let len = socket.recv(&mut packet)?;
        if is_reply(packet.get(..len).unwrap_or_default(), identifier, payload) {
            return Ok(sent.elapsed());
        }
    }
}

fn echo_request(identifier: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![ECHO_REQUEST, 0, 0, 0];
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(payload);
    let checksum = checksum(&message).to_be_bytes();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum);
    }
    message
}

/// Whether a packet, its IP header first, is the echo reply that is waited for.
fn is_reply(packet: &[u8], identifier: u16, payload: &[u8]) -> bool {
    let header_len = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let Some(message) = packet.get(header_len..) else { return false };
    message.first() == Some(&ECHO_REPLY)
        && checksum(message) == 0
        && message.get(4..6) == Some(&identifier.to_be_bytes()[..])
        && message.get(8..) == Some(payload)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_good_checksum_and_its_reply_is_known() {
        let request = echo_request(0x1234, b"odd");
        assert_eq!(checksum(&request), 0);
        let mut reply = echo_request(0x1234, b"odd");
        reply[0] = ECHO_REPLY;
        reply[2..4].fill(0);
        let sum = checksum(&reply).to_be_bytes();
        reply[2..4].copy_from_slice(&sum);
        let packet = |message: &[u8]| [&[0x45; 20], message].concat();
        assert!(is_reply(&packet(&reply), 0x1234, b"odd"));
        assert!(!is_reply(&packet(&reply), 0x1235, b"odd"), "somebody else's");
        assert!(!is_reply(&packet(&reply), 0x1234, b"even"), "another payload");
        assert!(!is_reply(&packet(&request), 0x1234, b"odd"), "a request");
        assert!(!is_reply(&[0x4f], 0x1234, b"odd"), "a stump");
    }
}
