//! The inner parts that `stack/benches` measures and `tapstack bench` measures with, behind thin handles: hidden, and
//! promised to nobody.
//!
//! A benchmark is a program of its own, which sees what is public. A Cargo feature would keep these handles out of
//! sight better, but then `cargo clippy --all-targets` and `cargo bench` would pass the benchmarks over unless they were
//! told of it, and nobody would notice that they don't compile any more. What no benchmark calls isn't in any program.

use crate::ip::{RouteEntry, Routes};
use crate::socket::SocketId;
use crate::stack::{Cidr, Context, InterfaceId};
use crate::tcp::{Armed, ConnectionId, Demux, Slot, TimerQueue, Tuple};
use crate::time::{Duration, Instant};
use crate::udp;
use crate::wire::{checksum, ethernet, ipv4, tcp, udp as udp_header};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads a frame's Ethernet, IPv4 and TCP or UDP headers, with their options; where its payload starts.
pub fn parse(frame: &[u8]) -> Option<usize> {
    ethernet::Header::parse(frame)?;
    let packet = frame.get(ethernet::HEADER_BYTES..)?;
    let ip = ipv4::Header::parse(packet).ok()?;
    let transport_at = usize::from(ip.header_len);
    let transport = packet.get(transport_at..usize::from(ip.total_len))?;
    let payload_at = match ip.protocol {
        tcp::PROTOCOL => tcp::Header::parse(transport)?.1,
        _ => udp_header::Header::parse(transport).map(|_| udp_header::HEADER_BYTES)?,
    };
    Some(ethernet::HEADER_BYTES + transport_at + payload_at)
}

/// The Internet checksum of bytes.
pub fn sum(bytes: &[u8]) -> u16 {
    checksum::Sum::default().bytes(bytes).checksum()
}

/// The same of bytes that are copied on the way, to a place of the same length.
pub fn copy_and_sum(to: &mut [u8], from: &[u8]) -> u16 {
    checksum::Sum::default().copied(to, from).checksum()
}

/// TCP's connection table with connections in it, each from a peer's port of its own.
pub struct Connections {
    demux: Demux,
    tuples: Vec<Tuple>,
}

impl Connections {
    /// A table of so many.
    pub fn new(count: u32) -> Connections {
        let mut demux = Demux::new(&Context::new(Instant::ZERO, SEED));
        let tuples: Vec<Tuple> = (0..count)
            .map(|number| Tuple { local: (LOCAL, PORT), remote: (peer(number >> 14), peer_port(number)) })
            .collect();
        for (index, tuple) in (0..).zip(&tuples) {
            demux.insert(*tuple, Slot::Connection(ConnectionId { index, generation: 0 }));
        }
        Connections { demux, tuples }
    }

    /// Finds the connection with this number, as a segment of its would.
    pub fn find(&self, number: usize) -> bool {
        self.tuples.get(number).is_some_and(|tuple| self.demux.get(tuple).is_some())
    }
}

/// UDP's table of bound sockets, each with a port of its own.
pub struct Bindings(udp::Demux);

impl Bindings {
    /// A table of so many.
    pub fn new(count: u16) -> Bindings {
        let mut demux = udp::Demux::new(&Context::new(Instant::ZERO, SEED).keys);
        for port in 1..=count {
            let id = SocketId { index: u32::from(port), generation: 0 };
            let binding = udp::Binding {
                id,
                address: Ipv4Addr::UNSPECIFIED.into(),
                reuse_address: false,
                reuse_port: false,
            };
            let bound = demux.bind(port, binding);
            debug_assert!(bound.is_ok(), "each has a port of its own");
        }
        Bindings(demux)
    }

    /// Finds the socket that a datagram to this port is for.
    pub fn find(&self, port: u16) -> bool {
        self.0.find((LOCAL, port).into(), SocketAddr::from((peer(0), PORT)), |_| true).is_some()
    }
}

/// A routing table: a default route, and routes to /24s behind as many routers.
pub struct RoutingTable(Routes);

impl RoutingTable {
    /// A table with so many /24s, from 11.0.0.0 on.
    pub fn new(count: u32) -> RoutingTable {
        let mut routes = Routes::new(Context::new(Instant::ZERO, SEED).keys.words);
        let subnets = (0..count).map(|number| Cidr::new(RoutingTable::subnet(number), 24));
        for subnet in subnets.chain([Cidr::new(Ipv4Addr::UNSPECIFIED, 0)]) {
            let added = routes.add(RouteEntry::via(subnet, GATEWAY, InterfaceId(1)));
            debug_assert!(added.is_ok(), "fewer than a table holds, and all different");
        }
        RoutingTable(routes)
    }

    /// The network of a number.
    pub fn subnet(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits((11 << 24) + (number << 8))
    }

    /// Finds the way to an address.
    pub fn find(&self, to: Ipv4Addr) -> bool {
        self.0.lookup(to, None).is_some()
    }
}

/// TCP's queue of deadlines, with one of each connection in it.
pub struct Timers {
    queue: TimerQueue,
    armed: Vec<Armed>,
    now: Instant,
}

impl Timers {
    /// A queue of so many connections, whose deadlines come a microsecond after each other.
    pub fn new(count: u32) -> Timers {
        let mut timers = Timers { queue: TimerQueue::default(), armed: Vec::new(), now: Instant::ZERO };
        for index in 0..count {
            let mut armed = Armed::default();
            timers.queue.arm(Instant::ZERO, index, &mut armed, Instant::from_micros(u64::from(index)));
            timers.armed.push(armed);
        }
        timers
    }

    /// Lets the next deadline pass, and gives its connection one behind all others.
    pub fn step(&mut self) -> bool {
        let Some(due) = self.queue.next() else { return false };
        self.now = due;
        let Some(index) = self.queue.pop_due(self.now) else { return false };
        let later = self.now + Duration::from_micros(self.armed.len() as u64);
        let Some(armed) = self.armed.get_mut(index as usize) else { return false };
        armed.fired();
        self.queue.arm(self.now, index, armed, later);
        true
    }

    /// Pushes a connection's deadline out, as each acknowledgement does.
    pub fn push_out(&mut self, number: usize) {
        if let Some(armed) = self.armed.get_mut(number) {
            self.queue.arm(self.now, number as u32, armed, self.now + Duration::from_secs(1000));
        }
    }
}

/// Peers that share the connections between them.
fn peer(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits((10 << 24) + (1 << 16) + number))
}

/// A peer has 2^14 connections at most.
fn peer_port(number: u32) -> u16 {
    40_000 + (number & 0x3fff) as u16
}

const SEED: u64 = 1;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PORT: u16 = 80;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::captured;

    #[test]
    fn each_handle_does_what_it_measures() {
        assert_eq!(parse(&captured::bytes(captured::TCP_DATA)), Some(14 + 20 + 32));
        assert_eq!(parse(&captured::bytes(captured::UDP_KNOCK)), Some(14 + 20 + 8));
        let mut copy = [0; 5];
        assert_eq!((copy_and_sum(&mut copy, b"hello"), copy), (sum(b"hello"), *b"hello"));

        let connections = Connections::new(40_000);
        assert!((0..40_000).all(|number| connections.find(number)) && !connections.find(40_000));
        let bindings = Bindings::new(100);
        assert!((1..=100).all(|port| bindings.find(port)) && !bindings.find(101));
        let routes = RoutingTable::new(10);
        assert!(routes.find(RoutingTable::subnet(9)) && routes.find(Ipv4Addr::new(12, 0, 0, 1)));

        let mut timers = Timers::new(3);
        timers.push_out(2);
        assert!((0..9).all(|_| timers.step()));
        assert_eq!(timers.now, Instant::from_micros(8), "one each microsecond, round and round");
        assert!(!Timers::new(0).step());
    }
}
