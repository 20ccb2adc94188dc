//! The kernel's side of every measurement: one program of plain blocking sockets, the same for every server.

use super::cpu;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Bytes that are written at a time, by clients and servers alike.
pub(super) const WRITE_CHUNK: usize = 64 << 10;
/// Bytes that are read at a time at most.
pub(super) const READ_CHUNK: usize = 256 << 10;

/// Both sides' congestion control.
const CONGESTION: &str = "cubic";

/// How long one side waits for the other before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What went over a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    /// CPU seconds of the client's thread.
    pub(super) cpu: f64,
}

impl Transfer {
    pub(super) fn gbit_per_s(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds / 1e9
    }
}

/// Connects as every client here does.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    use_our_congestion_control(&socket)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    // It holds for the connect, too.
    stream.set_write_timeout(Some(PATIENCE))?;
    rustix::net::connect(&stream, &to)?;
    Ok(stream)
}

/// Gives a kernel's socket the congestion control that this stack has by default, whatever the distribution chose: a
/// kernel with BBR would be compared with something else. This comes before it connects or listens, since a connection
/// that begins with BBR is paced for as long as it lasts.
pub(super) fn use_our_congestion_control(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_congestion(socket, CONGESTION)?)
}

/// Takes what the server sends until it ends.
pub(super) fn fetch(from: SocketAddr) -> io::Result<Transfer> {
    let mut stream = connect(from)?;
    let (start, cpu) = (Instant::now(), cpu::thread_seconds());
    let mut buffer = vec![0; READ_CHUNK];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            len => bytes += len as u64,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Transfer { bytes, seconds, cpu: cpu::thread_seconds() - cpu })
}

/// Sends for a while; the time ends when the server has taken everything and closed.
pub(super) fn push(to: SocketAddr, duration: Duration) -> io::Result<Transfer> {
    let mut stream = connect(to)?;
    let (start, cpu) = (Instant::now(), cpu::thread_seconds());
    let chunk = vec![0x5a; WRITE_CHUNK];
    let mut bytes = 0;
    while start.elapsed() < duration {
        stream.write_all(&chunk)?;
        bytes += chunk.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut [0; 64])? > 0 {}
    let seconds = start.elapsed().as_secs_f64();
    Ok(Transfer { bytes, seconds, cpu: cpu::thread_seconds() - cpu })
}

/// Sends `len` bytes and waits for as many, again and again; the times of all, in microseconds, sorted.
pub(super) fn round_trips(
    to: SocketAddr,
    len: usize,
    duration: Duration,
    spin: bool,
) -> io::Result<Vec<f64>> {
    let mut stream = connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(spin)?;
    let (question, mut answer) = (vec![0x5a; len], vec![0; len]);
    let mut times = Vec::with_capacity(200_000);
    let start = Instant::now();
    let mut sent = start;
    while sent < start + duration {
        write_whole(&mut stream, &question, spin)?;
        read_whole(&mut stream, &mut answer, spin)?;
        let now = Instant::now();
        times.push((now - sent).as_secs_f64() * 1e6);
        sent = now;
    }
    // The first ones pay for the ARP exchange and cold caches.
    times.drain(..times.len() / 20);
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Reads exactly the buffer; a socket that doesn't block is asked again at once (`spin`).
pub(super) fn read_whole(stream: &mut TcpStream, mut buffer: &mut [u8], spin: bool) -> io::Result<()> {
    while !buffer.is_empty() {
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => buffer = &mut buffer[len..],
            Err(error) if spin && error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes the whole buffer; a socket that doesn't block is asked again at once (`spin`).
pub(super) fn write_whole(stream: &mut TcpStream, mut bytes: &[u8], spin: bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if spin && error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How opening connections went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opened {
    pub(super) connections: u64,
    pub(super) refused: u64,
    pub(super) seconds: f64,
}

/// Opens connections one after the other from each of `clients` threads. Each waits until the server has accepted and
/// closed it, and then ends it with a RST, so that no TIME-WAIT uses up the ports.
pub(super) fn open_many(to: SocketAddr, clients: usize, duration: Duration) -> io::Result<Opened> {
    let barrier = Barrier::new(clients);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..clients).map(|_| scope.spawn(|| open_in_turn(to, duration, &barrier))).collect();
        let mut all = Opened::default();
        for thread in threads {
            let opened = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.connections += opened.connections;
            all.refused += opened.refused;
            all.seconds = all.seconds.max(opened.seconds);
        }
        Ok(all)
    })
}

fn open_in_turn(to: SocketAddr, duration: Duration, barrier: &Barrier) -> io::Result<Opened> {
    barrier.wait();
    let start = Instant::now();
    let mut opened = Opened::default();
    while start.elapsed() < duration {
        match connect(to) {
            Ok(mut stream) => {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                match stream.read(&mut [0]) {
                    Ok(_) => opened.connections += 1,
                    Err(error) if is_refusal(&error) => opened.refused += 1,
                    Err(error) => return Err(error),
                }
            }
            Err(error) if is_refusal(&error) => opened.refused += 1,
            Err(error) => return Err(error),
        }
    }
    opened.seconds = start.elapsed().as_secs_f64();
    Ok(opened)
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | TimedOut)
}

/// Bytes of a datagram that counts; shorter ones are signals.
pub(super) const DATAGRAM_LEN: usize = 1400;
/// No datagram for so long is the end of them.
const SILENCE: Duration = Duration::from_millis(200);
/// Signals that are sent before the server is taken for dead.
const SIGNALS_MAX: usize = 20;

/// Datagrams that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// CPU seconds of the client's thread.
    pub(super) cpu: f64,
}

/// Asks the server for datagrams; how many arrived here.
pub(super) fn count_datagrams(from: SocketAddr) -> io::Result<Arrived> {
    let cpu = cpu::thread_seconds();
    let socket = udp_socket(from)?;
    let mut buffer = vec![0; DATAGRAM_LEN + 1];
    signal_until(&socket, &mut buffer)?;
    let start = Instant::now();
    let (mut count, mut last) = (1u64, start);
    while socket.recv(&mut buffer).is_ok() {
        count += 1;
        // The clock is read now and then: it costs as much as a tenth of a datagram.
        if count % 64 == 0 {
            last = Instant::now();
        }
    }
    Ok(Arrived { count, seconds: (last - start).as_secs_f64(), cpu: cpu::thread_seconds() - cpu })
}

/// Sends datagrams, then asks how many arrived there.
pub(super) fn send_datagrams(to: SocketAddr, duration: Duration) -> io::Result<Arrived> {
    let cpu = cpu::thread_seconds();
    let socket = udp_socket(to)?;
    let datagram = vec![0x5a; DATAGRAM_LEN];
    let start = Instant::now();
    while start.elapsed() < duration {
        for _ in 0..16 {
            match socket.send(&datagram) {
                // The device's queue is full: as good as lost.
                Err(error) if error.raw_os_error() != Some(ENOBUFS) => return Err(error),
                _ => {}
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut answer = [0; 8];
    signal_until(&socket, &mut answer)?;
    Ok(Arrived { count: u64::from_be_bytes(answer), seconds, cpu: cpu::thread_seconds() - cpu })
}

fn udp_socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(peer)?;
    socket.set_read_timeout(Some(SILENCE))?;
    Ok(socket)
}

/// Sends signals until something comes back.
fn signal_until(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    for _ in 0..SIGNALS_MAX {
        // Nobody listens yet where this is refused.
        let _ = socket.send(&[0]);
        if socket.recv(buffer).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::ErrorKind::TimedOut.into())
}

const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
