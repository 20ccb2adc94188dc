//! The stack's inner parts, each alone: parsing, checksums, finding connections, sockets and routes, the timer queue.
//!
//! `cargo bench -p tapstack -- --quick` runs all, `cargo bench -p tapstack -- demux` those whose name says so.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use etherparse::PacketBuilder;
use std::hint::black_box;
use tapstack::bench::{Bindings, Connections, RoutingTable, Timers, copy_and_sum, parse, sum};

criterion_group!(parts, parsing, checksums, demux, routes, timers);
criterion_main!(parts);

/// Ethernet, IPv4 and transport headers of one frame.
fn parsing(c: &mut Criterion) {
    let ip = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let timestamps = etherparse::TcpOptionElement::Timestamp(1, 2);
    let (mut segment, mut datagram) = (Vec::new(), Vec::new());
    let tcp = ip().tcp(40_000, 80, 1, 65_535).ack(1).options(&[timestamps]).unwrap();
    tcp.write(&mut segment, &[0x5a; 64]).unwrap();
    ip().udp(40_000, 53).write(&mut datagram, &[0x5a; 64]).unwrap();
    let mut group = c.benchmark_group("parse");
    for (name, frame) in [("tcp", segment), ("udp", datagram)] {
        assert_eq!(frame.len() - parse(&frame).unwrap(), 64);
        group.bench_function(name, |b| b.iter(|| parse(black_box(&frame))));
    }
    group.finish();
}

/// A header, a segment's data, and a super-frame's.
fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for len in [20, 1448, 65_000] {
        let (from, mut to) = (vec![0x5a; len], vec![0; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group
            .bench_with_input(BenchmarkId::new("sum", len), &from, |b, from| b.iter(|| sum(black_box(from))));
        group.bench_with_input(BenchmarkId::new("copy_and_sum", len), &from, |b, from| {
            b.iter(|| copy_and_sum(black_box(&mut to), black_box(from)));
        });
    }
    group.finish();
}

/// One connection or socket of many, each time another one.
fn demux(c: &mut Criterion) {
    let mut group = c.benchmark_group("demux");
    for count in [1, 1_000, 100_000] {
        let connections = Connections::new(count);
        let mut order = Order::new(count as usize);
        group.bench_function(BenchmarkId::new("tcp", count), |b| b.iter(|| connections.find(order.next())));
    }
    for count in [1, 1_000, 60_000] {
        let bindings = Bindings::new(count);
        let mut order = Order::new(usize::from(count));
        group.bench_function(BenchmarkId::new("udp", count), |b| {
            b.iter(|| bindings.find(1 + order.next() as u16));
        });
    }
    group.finish();
}

/// The way to one of the networks, each time another one, or by the default route.
fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for count in [1, 100, 10_000] {
        let table = RoutingTable::new(count);
        let mut order = Order::new(count as usize);
        group.bench_function(BenchmarkId::new("subnet", count), |b| {
            b.iter(|| table.find(RoutingTable::subnet(order.next() as u32)));
        });
        let elsewhere = black_box(std::net::Ipv4Addr::new(192, 0, 2, 1));
        group.bench_function(BenchmarkId::new("default", count), |b| b.iter(|| table.find(elsewhere)));
    }
    group.finish();
}

/// A deadline that passes and is set anew, and one that is pushed out, as each acknowledgement does.
fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers");
    for count in [1, 1_000, 100_000] {
        let mut timers = Timers::new(count);
        group.bench_function(BenchmarkId::new("pass", count), |b| b.iter(|| timers.step()));
        let mut order = Order::new(count as usize);
        group.bench_function(BenchmarkId::new("push_out", count), |b| {
            b.iter(|| timers.push_out(order.next()));
        });
    }
    group.finish();
}

/// Numbers below a count, in an order that no cache foresees, and at a price that hardly shows.
struct Order {
    count: usize,
    state: u32,
}

impl Order {
    fn new(count: usize) -> Order {
        Order { count, state: 1 }
    }

    fn next(&mut self) -> usize {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state as usize * self.count) >> 32
    }
}
