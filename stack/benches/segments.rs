//! Segments of an established connection, on their way in and out of a whole stack: no device, no kernel, no sleep.
//!
//! Two stacks hand each other their frames. Only one side's work is timed, a batch at a time; what the other does for it
//! (reading, acknowledging, carrying) is not.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::measurement::{Measurement as _, WallTime};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration as Time;
use tapstack::frame::{RxChecksum, RxFrame, TxChecksum, TxFrame};
use tapstack::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind, SocketOption};
use tapstack::stack::{
    Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, RX_BATCH_MAX, Stack,
};
use tapstack::{Duration, Instant};

criterion_group!(segments, segments_in, segments_out);
criterion_main!(segments);

/// What is written at a time, and what the device would do for it.
const CASES: [(&str, usize, bool); 3] =
    [("1", 1, false), ("1448", 1448, false), ("super-frame", 60_000, true)];

/// From the device's frame to the receive queue, the decision to acknowledge included; `ack` is one for a batch.
fn segments_in(c: &mut Criterion) {
    let mut group = c.benchmark_group("segment_in");
    for (name, len, offload) in CASES {
        time(&mut group, name, len, offload, |pair, timer| {
            let frames = pair.client_sends(len);
            let (server, now) = (&mut pair.server, pair.now);
            timer.time(frames.len(), || server.take(now, frames));
            pair.server_reads();
            let acks = pair.server.give(now);
            pair.client.take(now, acks);
        });
    }
    time(&mut group, "ack", 1448, false, |pair, timer| {
        let (frames, now) = (pair.client_sends(1448), pair.now);
        pair.server.take(now, frames);
        pair.server_reads();
        let acks = pair.server.give(now);
        let client = &mut pair.client;
        timer.time(acks.len(), || client.take(now, acks));
    });
    group.finish();
}

/// From the app's write to the frame that a device would take.
fn segments_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("segment_out");
    for (name, len, offload) in CASES {
        let data = vec![0x5a; len];
        let mut frame = TxFrame::default();
        time(&mut group, name, len, offload, |pair, timer| {
            pair.now += TURN;
            let (now, mut frames) = (pair.now, Vec::new());
            for _ in 0..batch(len) {
                let client = &mut pair.client;
                let made = timer.time(1, || client.write(now, &data) && client.next(now, &mut frame));
                if !made {
                    timer.count -= 1;
                    break;
                }
                frames.push(received(&frame));
            }
            frames.extend(pair.client.give(now));
            pair.server.take(now, frames);
            pair.server_reads();
            let acks = pair.server.give(now);
            pair.client.take(now, acks);
        });
    }
    group.finish();
}

/// Benchmarks a turn that times one or more segments itself.
fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    len: usize,
    offload: bool,
    mut turn: impl FnMut(&mut Pair, &mut Timer),
) {
    let mut pair = Pair::new(offload);
    // Windows and buffers have their size before anything is measured.
    let mut warm_up = Timer::default();
    for _ in 0..WARM_UP_TURNS {
        turn(&mut pair, &mut warm_up);
    }
    assert!(warm_up.count >= WARM_UP_TURNS, "{name} of {len} bytes: a segment a turn at least");
    group.bench_function(name, |b| {
        b.iter_custom(|count| {
            let mut timer = Timer::default();
            while timer.count < count {
                turn(&mut pair, &mut timer);
            }
            // A batch goes on behind the last one that was asked for.
            timer.spent.mul_f64(count as f64 / timer.count as f64)
        });
    });
}

/// What was timed so far.
#[derive(Default)]
struct Timer {
    count: u64,
    spent: Time,
}

impl Timer {
    fn time<T>(&mut self, count: usize, work: impl FnOnce() -> T) -> T {
        let start = WallTime.start();
        let result = work();
        self.spent += WallTime.end(start);
        self.count += count as u64;
        result
    }
}

/// Two machines with a connection.
struct Pair {
    client: Machine,
    server: Machine,
    now: Instant,
    buffer: Vec<u8>,
}

struct Machine {
    stack: Stack,
    socket: SocketId,
}

impl Pair {
    fn new(offload: bool) -> Pair {
        let now = Instant::from_millis(1_000);
        let (client, server) = (Machine::new(now, CLIENT, offload), Machine::new(now, SERVER, offload));
        let mut pair = Pair { client, server, now, buffer: vec![0; 1 << 20] };
        let address = SocketAddr::from((SERVER, 80));
        let listener = pair.server.socket;
        pair.server.stack.bind(listener, address).unwrap();
        pair.server.stack.listen(now, listener, 1).unwrap();
        let socket = pair.client.socket;
        let started = pair.client.stack.connect(now, socket, address);
        assert!(matches!(started, Ok(()) | Err(Errno::EINPROGRESS)), "{started:?}");
        pair.client.stack.set_option(now, socket, SocketOption::NoDelay(true)).unwrap();
        // Both ask for each other's link addresses, then shake hands.
        for _ in 0..8 {
            let there = pair.client.give(now);
            pair.server.take(now, there);
            let back = pair.server.give(now);
            pair.client.take(now, back);
        }
        pair.server.socket = pair.server.stack.accept(now, listener).unwrap().0;
        pair
    }

    /// A batch of writes, and the frames that come of it.
    fn client_sends(&mut self, len: usize) -> Vec<RxFrame> {
        self.now += TURN;
        let data = vec![0x5a; len];
        let mut frames = Vec::new();
        for _ in 0..batch(len) {
            self.client.write(self.now, &data);
            frames.extend(self.client.give(self.now));
        }
        frames
    }

    fn server_reads(&mut self) {
        let Machine { stack, socket } = &mut self.server;
        while stack.recv(self.now, *socket, &mut self.buffer, RecvFlags::default()).is_ok_and(|len| len > 0) {
        }
        stack.end_batch(self.now);
        while stack.poll_event().is_some() {}
    }
}

impl Machine {
    fn new(now: Instant, address: Ipv4Addr, offload: bool) -> Machine {
        let [.., last] = address.octets();
        let mut stack = Stack::new(now, Config { seed: u64::from(last), ..Config::default() });
        let interface = InterfaceConfig {
            name: "eth".to_owned(),
            medium: Medium::Ethernet,
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            mtu: 1500,
            addresses: vec![Cidr::new(address, 24)],
            offloads: if offload {
                Offloads { tx_checksum: true, tso_max: 65_535, uso_max: 65_535, software: false }
            } else {
                Offloads::default()
            },
        };
        stack.add_interface(now, interface).unwrap();
        let socket = stack.socket(SocketKind::Stream).unwrap();
        Machine { stack, socket }
    }

    /// Whether all was taken.
    fn write(&mut self, now: Instant, data: &[u8]) -> bool {
        self.stack.send(now, self.socket, data, SendFlags::default()) == Ok(data.len())
    }

    /// Makes the next frame, if there is one to send.
    fn next(&mut self, now: Instant, frame: &mut TxFrame) -> bool {
        self.stack.poll_transmit(now, INTERFACE, frame)
    }

    /// What there is to send.
    fn give(&mut self, now: Instant) -> Vec<RxFrame> {
        if self.stack.poll_timeout().is_some_and(|due| due <= now) {
            self.stack.handle_timeout(now);
        }
        let mut frame = TxFrame::default();
        std::iter::from_fn(|| self.next(now, &mut frame).then(|| received(&frame))).collect()
    }

    /// A batch comes in.
    fn take(&mut self, now: Instant, frames: Vec<RxFrame>) {
        for frame in frames {
            self.stack.handle_frame(now, INTERFACE, frame);
        }
        self.stack.end_batch(now);
        while self.stack.poll_event().is_some() {}
    }
}

/// Writes in a turn: a batch of frames, but no more bytes than buffers hold without growing.
fn batch(len: usize) -> usize {
    RX_BATCH_MAX.min(240_000 / len)
}

/// A frame as the other side's device would have read it.
fn received(frame: &TxFrame) -> RxFrame {
    RxFrame {
        id: frame.id,
        checksum: match frame.checksum {
            TxChecksum::Complete => RxChecksum::Unverified,
            TxChecksum::Partial { start, offset } => RxChecksum::Partial { start, offset },
        },
        gso: frame.gso,
        ..RxFrame::new(frame.to_vec())
    }
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const INTERFACE: InterfaceId = InterfaceId(1);
/// The time between two batches: no timer comes up in a batch.
const TURN: Duration = Duration::from_micros(100);
/// Turns before anything is measured.
const WARM_UP_TURNS: u64 = 200;
