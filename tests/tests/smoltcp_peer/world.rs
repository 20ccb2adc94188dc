//! One machine of ours and one of smoltcp's on a wire in memory, with a clock that jumps.

use bytes::Bytes;
use smoltcp::iface::{Config as PeerConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium as PeerMedium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as PeerInstant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapstack::device::Impairment;
use tapstack::device::impair::{Link, Passage, corrupted};
use tapstack::frame::{Cause, RxFrame, TxFrame};
use tapstack::stack::{Cidr, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use tapstack::{Config, Instant, Stack};
use tapstack_tests::dissect;

/// Our address.
pub(crate) const STACK: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);

/// smoltcp's address.
pub(crate) const PEER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);

const MTU: usize = 1500;
const ETHERNET_LEN: usize = 14;
const PEER_BUFFER: usize = 128 << 10;

/// Far more virtual time than any test takes.
const TIME_MAX: Duration = Duration::from_secs(3_600);
const STEPS_MAX: u32 = 10_000_000;

/// The machines, the wire, and what is under way on it.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) stack: Stack,
    pub(crate) sockets: SocketSet<'static>,
    interface: InterfaceId,
    peer: Interface,
    device: Queues,
    /// To the peer, and to our machine.
    links: [Link; 2],
    flying: BTreeMap<(Instant, u64), (usize, Bytes)>,
    planned: u64,
}

/// smoltcp's device.
#[derive(Default)]
struct Queues {
    received: VecDeque<Bytes>,
    sent: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn new(seed: u64, impairment: Impairment) -> World {
        let now = Instant::from_millis(1_000);
        let mut stack = Stack::new(now, Config { seed, ..Config::default() });
        let config = InterfaceConfig {
            name: "eth0".into(),
            medium: Medium::Ethernet,
            mac: MacAddr([2, 0, 0, 0, 0, 2]),
            mtu: MTU as u16,
            addresses: vec![Cidr::new(STACK, 24)],
            offloads: Offloads::default(),
        };
        let interface = stack.add_interface(now, config).expect("the interface is possible");
        let mut device = Queues::default();
        let mut config = PeerConfig::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
        config.random_seed = seed;
        let mut peer = Interface::new(config, &mut device, peer_time(now));
        peer.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(PEER.into(), 24)).expect("there is room for an address");
        });
        World {
            now,
            stack,
            sockets: SocketSet::new(Vec::new()),
            interface,
            peer,
            device,
            links: [Link::new(impairment, seed), Link::new(impairment, !seed)],
            flying: BTreeMap::new(),
            planned: 0,
        }
    }

    /// Lets time pass until `done` says so; it is asked whenever something may have happened.
    pub(crate) fn run(&mut self, mut done: impl FnMut(&mut World) -> bool) {
        let end = self.now + TIME_MAX;
        for _ in 0..STEPS_MAX {
            if done(self) {
                return;
            }
            if !self.exchange() {
                let next =
                    self.next().unwrap_or_else(|| panic!("nothing can happen any more at {}", self.now));
                assert!(next <= end, "an hour has passed");
                self.now = self.now.max(next);
            }
        }
        panic!("too much happens until {}", self.now);
    }

    /// Lets time pass until our machine has no deadline any more.
    pub(crate) fn run_until_idle(&mut self) {
        self.run(|world| world.stack.poll_timeout().is_none() && world.flying.is_empty());
        assert_eq!(self.stack.sockets_open(), 0, "no socket is left");
    }

    /// Makes a socket of the peer's.
    pub(crate) fn peer_tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; PEER_BUFFER]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    /// Has a socket of the peer's connect to us.
    pub(crate) fn peer_connect(&mut self, handle: SocketHandle, port: u16) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.peer.context(), (STACK, port), 50_000).expect("smoltcp connects");
    }

    /// Frames that were lost, in both directions.
    pub(crate) fn lost(&self) -> u64 {
        self.links.iter().map(|link| link.counts().lost).sum()
    }

    /// Carries what can be carried now; false when that was nothing.
    fn exchange(&mut self) -> bool {
        let mut busy = self.deliver();
        if self.stack.poll_timeout().is_some_and(|due| due <= self.now) {
            self.stack.handle_timeout(self.now);
            busy = true;
        }
        let mut frame = TxFrame::new(Cause::default());
        while self.stack.poll_transmit(self.now, self.interface, &mut frame) {
            let bytes = frame.completed();
            assert_eq!(dissect::wrong_with(&bytes), None, "{}: {bytes:02x?}", frame.cause);
            self.send(TO_PEER, bytes);
            busy = true;
        }
        while self.stack.poll_event().is_some() {}
        self.peer.poll(peer_time(self.now), &mut self.device, &mut self.sockets);
        for frame in std::mem::take(&mut self.device.sent) {
            self.send(TO_STACK, frame.into());
            busy = true;
        }
        busy
    }

    fn send(&mut self, direction: usize, bytes: Bytes) {
        if let Passage::Delivered(copies) = self.links[direction].send(self.now, bytes.len()) {
            for copy in copies {
                let bytes = match copy.corrupt {
                    Some(pick) => corrupted(&bytes, ETHERNET_LEN, pick),
                    None => bytes.clone(),
                };
                self.planned += 1;
                self.flying.insert((copy.at, self.planned), (direction, bytes));
            }
        }
    }

    fn deliver(&mut self) -> bool {
        let mut batch = 0;
        while let Some(first) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (direction, bytes) = first.remove();
            if direction == TO_PEER {
                self.device.received.push_back(bytes);
            } else {
                self.stack.handle_frame(self.now, self.interface, RxFrame::new(bytes));
            }
            batch += 1;
        }
        if batch > 0 {
            self.stack.end_batch(self.now);
        }
        batch > 0
    }

    fn next(&mut self) -> Option<Instant> {
        let peer = self.peer.poll_at(peer_time(self.now), &self.sockets);
        // smoltcp counts in microseconds: at its deadline, rounded down, it would not yet do anything.
        let peer = peer.map(|at| Instant::from_micros(at.total_micros() as u64 + 1).max(self.now));
        let flying = self.flying.keys().next().map(|&(at, _)| at);
        [peer, flying, self.stack.poll_timeout()].into_iter().flatten().min()
    }
}

const TO_PEER: usize = 0;
const TO_STACK: usize = 1;

fn peer_time(now: Instant) -> PeerInstant {
    PeerInstant::from_micros(now.as_micros() as i64)
}

impl phy::Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = PeerMedium::Ethernet;
        capabilities.max_transmission_unit = MTU + ETHERNET_LEN;
        capabilities
    }

    fn receive(&mut self, _: PeerInstant) -> Option<(Received, Room<'_>)> {
        self.received.pop_front().map(|bytes| (Received(bytes), Room(&mut self.sent)))
    }

    fn transmit(&mut self, _: PeerInstant) -> Option<Room<'_>> {
        Some(Room(&mut self.sent))
    }
}

struct Received(Bytes);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Room<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, make: F) -> R {
        let mut bytes = vec![0; len];
        let result = make(&mut bytes);
        self.0.push(bytes);
        result
    }
}
