//! UDP between the kernel's sockets and ours, in one piece and in fragments.

use super::tcp::wait;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use tapstack_tests::rig::{Rig, kernel, stack};
use tapstack_tests::skips::{Outcome, ensure};
use tapstack_tests::stream::Stream;

/// Nothing, one byte, what just fits an Ethernet frame, what just doesn't, several fragments, the most that IPv4 carries.
const SIZES: [usize; 8] = [0, 1, 1_000, 1_472, 1_473, 4_000, 20_000, 65_507];

/// Nobody sends a lost datagram again but the program; one of 45 fragments gets through a lossy link and back in two
/// tries of five.
const TRIES_MAX: u32 = 60;
const ANSWER_TIME_MAX: Duration = Duration::from_millis(300);

pub(crate) fn echo_from_kernel(rig: &Rig) -> Outcome {
    let socket = rig.host().udp_bind(stack(7))?;
    let server = rig.host().spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await?;
            let sent = socket.send_to(&buffer[..len], from).await?;
            assert_eq!(sent, len);
        }
        #[expect(unreachable_code, reason = "it says what the task's errors are")]
        Ok::<(), io::Error>(())
    });
    let socket = UdpSocket::bind(kernel(0))?;
    socket.connect(stack(7))?;
    socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    for size in SIZES {
        let question = question(size);
        let mut answer = vec![0; 1 << 16];
        let mut tries = 0;
        let len = loop {
            tries += 1;
            socket.send(&question)?;
            match socket.recv(&mut answer) {
                // A late answer to an earlier question has another length.
                Ok(len) if len == size => break len,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            ensure(tries < TRIES_MAX && !server.is_finished(), || format!("no answer to {size} bytes"))?;
        };
        ensure(answer[..len] == question, || format!("{size} bytes come back changed"))?;
    }
    server.abort();
    fragments_went_both_ways(rig)
}

pub(crate) fn echo_from_stack(rig: &Rig) -> Outcome {
    let server = UdpSocket::bind(kernel(7))?;
    server.set_read_timeout(Some(Duration::from_secs(20)))?;
    let socket = rig.host().udp_bind(stack(0))?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| -> io::Result<()> {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let (len, from) = server.recv_from(&mut buffer)?;
                if buffer[..len] == *GOODBYE {
                    return Ok(());
                }
                server.send_to(&buffer[..len], from)?;
            }
        });
        let asked = SIZES.into_iter().try_for_each(|size| ask_kernel(rig, &socket, size));
        // The kernel's own way to itself loses nothing.
        UdpSocket::bind(kernel(0))?.send_to(GOODBYE, kernel(7))?;
        echo.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        asked
    })?;
    fragments_went_both_ways(rig)
}

const GOODBYE: &[u8] = b"goodbye";

fn ask_kernel(rig: &Rig, socket: &tapstack::net::UdpSocket, size: usize) -> Outcome {
    let (question, mut answer) = (question(size), vec![0; 1 << 16]);
    for _ in 0..TRIES_MAX {
        wait(rig, socket.send_to(&question, kernel(7)))??;
        let received = rig.host().timeout(ANSWER_TIME_MAX, socket.recv_from(&mut answer));
        match wait(rig, received)? {
            Ok(received) => {
                let (len, from) = received?;
                if len == size {
                    ensure(from == kernel(7), || format!("{from} answers"))?;
                    return ensure(answer[..len] == question, || format!("{size} bytes come back changed"));
                }
            }
            Err(timed_out) => drop(timed_out),
        }
    }
    Err(format!("no answer to {size} bytes").into())
}

/// A datagram to a port that nobody has is answered by ICMP (RFC 1122 section 4.1.3.1), and a connected socket hears of it.
pub(crate) fn refused_both_ways(rig: &Rig) -> Outcome {
    let socket = UdpSocket::bind(kernel(0))?;
    socket.connect(stack(9))?;
    socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let until = Instant::now() + Duration::from_secs(10);
    let mut got = None;
    while got != Some(ErrorKind::ConnectionRefused) && Instant::now() < until {
        got =
            socket.send(b"anybody?").and_then(|_| socket.recv(&mut [0; 10])).err().map(|error| error.kind());
    }
    ensure(got == Some(ErrorKind::ConnectionRefused), || format!("the kernel got {got:?}"))?;
    let socket = rig.host().udp_bind(stack(0))?;
    wait(rig, socket.connect(kernel(9)))??;
    let mut got = None;
    while got != Some(ErrorKind::ConnectionRefused) && Instant::now() < until {
        let asked = async {
            socket.send(b"anybody?").await?;
            socket.recv(&mut [0; 10]).await
        };
        got = wait(rig, rig.host().timeout(ANSWER_TIME_MAX, asked))?
            .and_then(|r| r)
            .err()
            .map(|error| error.kind());
    }
    ensure(got == Some(ErrorKind::ConnectionRefused), || format!("the stack got {got:?}"))
}

/// Bursts of datagrams, alike and not: each arrives by itself, whole and in order. While frames are captured each is a
/// frame of its own; afterwards they leave as super-frames where the device takes such.
pub(crate) fn bursts_to_kernel(rig: &Rig) -> Outcome {
    let socket = rig.host().udp_bind(stack(7))?;
    let server = rig.host().spawn(async move {
        let mut number = [0; 8];
        loop {
            let (_, from) = socket.recv_from(&mut number).await?;
            for datagram in burst(u64::from_be_bytes(number)) {
                socket.send_to(&datagram, from).await?;
            }
        }
        #[expect(unreachable_code, reason = "it says what the task's errors are")]
        Ok::<(), io::Error>(())
    });
    let socket = UdpSocket::bind(kernel(0))?;
    socket.connect(stack(7))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let frames_out = || rig.host().with_stack(|_, stack| stack.counters().frames_out);
    let mut buffer = vec![0; 1 << 16];
    for is_watched in [true, false] {
        if !is_watched {
            rig.host().set_observer(None);
        }
        let (before, mut datagrams) = (frames_out(), 0);
        for number in 0..BURSTS {
            socket.send(&number.to_be_bytes())?;
            for expected in burst(number) {
                let len = socket.recv(&mut buffer).map_err(|error| format!("burst {number}: {error}"))?;
                ensure(buffer[..len] == expected, || format!("burst {number}: {} bytes", expected.len()))?;
                datagrams += 1;
            }
        }
        let frames = frames_out() - before;
        let are_single = is_watched || !rig.is_offload();
        ensure(are_single == (frames >= datagrams), || format!("{datagrams} in {frames} frames"))?;
    }
    ensure(!server.is_finished(), || "the server has ended".to_owned())
}

const BURSTS: u64 = 200;

/// The datagrams of a burst, up to 60 of them: what the kernel's receive buffer holds of the smallest.
fn burst(number: u64) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut bytes = Stream::new(number);
    let mut datagrams = Vec::new();
    for _ in 0..random.usize(1..4) {
        let len = [0, 1, 100, 1_000, 1_400, 1_472, random.usize(0..1_472)][random.usize(0..7)];
        for _ in 0..random.usize(1..20) {
            let mut datagram = vec![0; len];
            bytes.fill(&mut datagram);
            datagrams.push(datagram);
        }
    }
    datagrams
}

fn question(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Stream::new(size as u64).fill(&mut bytes);
    bytes
}

fn fragments_went_both_ways(rig: &Rig) -> Outcome {
    let (sent, reassembled) =
        rig.host().with_stack(|_, stack| (stack.counters().fragments_out, stack.counters().reassembled));
    // 1473, 4000, 20,000 and 65,507 bytes make 2, 3, 14 and 45 fragments.
    ensure(sent >= 64, || format!("only {sent} fragments were sent"))?;
    ensure(reassembled >= 4, || format!("only {reassembled} datagrams were put together"))
}
