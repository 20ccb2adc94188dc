//! The machine under test: a stack, its virtual clock, the packets that it has sent, and who waits for what.

use crate::files::Files;
use crate::flags::Flags;
use crate::sysctl;
use core::net::Ipv4Addr;
use std::collections::{BTreeMap, VecDeque};
use std::thread::ThreadId;
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::frame::{RxFrame, TxFrame};
use tapstack::ip::RouteEntry;
use tapstack::stack::{Cidr, InterfaceConfig, MacAddr, Medium, Offloads};
use tapstack::time::{Duration, Instant};
use tapstack::{InterfaceId, SocketId, Stack};

/// Everything behind the machine's lock.
pub(crate) struct World {
    /// Virtual time.
    pub(crate) now: Instant,
    pub(crate) files: Files,
    /// Packets that the stack has sent, with their times, until packetdrill takes them.
    pub(crate) sent: VecDeque<(Instant, Vec<u8>)>,
    pub(crate) waiters: Vec<Waiter>,
    /// Threads that were woken and have not asked for the time since.
    pub(crate) held: Vec<Held>,
    flags: Flags,
    /// Made by the first call that needs it: scripts change settings after the library was loaded.
    net: Option<Net>,
    /// How often each socket's readiness has changed: what edge-triggered polling compares.
    changes: BTreeMap<SocketId, u64>,
}

/// A thread that waits in a call.
pub(crate) struct Waiter {
    pub(crate) thread: ThreadId,
    pub(crate) want: Want,
    /// When it gives up.
    pub(crate) until: Option<Instant>,
    pub(crate) woken: bool,
}

/// What a waiting call needs in order to go on.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// Something to read or to accept, the end, or an error.
    Readable(SocketId),
    /// Room to write, or an error.
    Writable(SocketId),
    /// The end of a handshake.
    Opened(SocketId),
    /// All that was written, and the FIN, acknowledged.
    Flushed(SocketId),
    /// One of these descriptors with one of these events.
    Poll(Vec<(i32, i16)>),
    /// An event on this epoll descriptor.
    Epoll(i32),
}

/// A woken thread, and the time that it will be told.
pub(crate) struct Held {
    pub(crate) thread: ThreadId,
    pub(crate) at: Instant,
}

/// The stack with its one interface.
pub(crate) struct Net {
    pub(crate) stack: Stack,
    interface: InterfaceId,
    capture: Option<(Capture, std::fs::File)>,
}

impl World {
    pub(crate) fn new(flags: Flags) -> World {
        World {
            now: EPOCH,
            files: Files::default(),
            sent: VecDeque::new(),
            waiters: Vec::new(),
            held: Vec::new(),
            flags,
            net: None,
            changes: BTreeMap::new(),
        }
    }

    /// The stack; made now if this is the first time.
    pub(crate) fn stack(&mut self) -> &mut Stack {
        &mut self.net().stack
    }

    /// The stack, where something has needed it before.
    pub(crate) fn stack_if_made(&self) -> Option<&Stack> {
        self.net.as_ref().map(|net| &net.stack)
    }

    /// A packet from the script.
    pub(crate) fn packet_in(&mut self, packet: &[u8]) {
        let now = self.now;
        if let Some(destination) = destination(packet) {
            self.own(destination);
        }
        let net = self.net();
        net.stack.handle_frame(now, net.interface, RxFrame::new(packet.to_vec()));
        net.stack.end_batch(now);
        self.pump();
    }

    /// Makes an address the machine's own, if it can be one: scripts choose it by what they bind to and send to.
    pub(crate) fn own(&mut self, address: Ipv4Addr) {
        let unfit = address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast();
        if !unfit {
            let now = self.now;
            let net = self.net();
            // It may be there already.
            let _ = net.stack.add_address(now, net.interface, Cidr::new(address, 32));
        }
    }

    /// When something is planned: a timer of the stack's, or the end of somebody's patience.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let stack = self.net.as_ref().and_then(|net| net.stack.poll_timeout());
        let waits = self.waiters.iter().filter(|waiter| !waiter.woken).filter_map(|waiter| waiter.until);
        stack.into_iter().chain(waits).min()
    }

    /// The clock stands at `at` now: what was due happens.
    pub(crate) fn tick(&mut self, at: Instant) {
        self.now = self.now.max(at);
        if let Some(net) = &mut self.net {
            net.stack.handle_timeout(self.now);
        }
        self.pump();
    }

    /// Takes what the stack wants to send, its events, and wakes whom they concern. To follow every call into the stack.
    pub(crate) fn pump(&mut self) {
        if let Some(net) = &mut self.net {
            let mut frame = TxFrame::default();
            while net.stack.poll_transmit(self.now, net.interface, &mut frame) {
                self.sent.push_back((self.now, frame.to_vec()));
            }
            while let Some(event) = net.stack.poll_event() {
                *self.changes.entry(event.socket).or_default() += 1;
            }
            net.save_capture();
        }
        self.wake();
    }

    /// How often the socket's readiness has changed so far.
    pub(crate) fn changes(&self, socket: SocketId) -> u64 {
        self.changes.get(&socket).copied().unwrap_or_default()
    }

    /// Forgets a closed socket.
    pub(crate) fn forget(&mut self, socket: SocketId) {
        self.changes.remove(&socket);
    }

    fn wake(&mut self) {
        let mut waiters = core::mem::take(&mut self.waiters);
        for waiter in waiters.iter_mut().filter(|waiter| !waiter.woken) {
            if waiter.until.is_some_and(|until| until <= self.now) || self.satisfies(&waiter.want) {
                waiter.woken = true;
                self.held.push(Held { thread: waiter.thread, at: self.now });
            }
        }
        self.waiters = waiters;
    }

    fn net(&mut self) -> &mut Net {
        let (now, flags) = (self.now, &self.flags);
        self.net.get_or_insert_with(|| Net::new(now, flags))
    }
}

impl Net {
    fn new(now: Instant, flags: &Flags) -> Net {
        let mut stack = Stack::new(now, sysctl::read(&flags.sysctl, flags.seed));
        let config = InterfaceConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mac: MacAddr::default(),
            mtu: flags.mtu,
            addresses: vec![Cidr::new(flags.local, 32)],
            offloads: Offloads::default(),
        };
        let interface =
            stack.add_interface(now, config.clone()).expect("--so_flags: a usable address and MTU");
        let everywhere = RouteEntry::on_link(Cidr::new(Ipv4Addr::UNSPECIFIED, 0), interface);
        stack.add_route(everywhere).expect("the first route of a fresh stack");
        let capture = flags.capture.as_ref().and_then(|path| {
            let file = std::fs::File::create(path)
                .map_err(|error| eprintln!("tapstack: capture: {}: {error}", path.display()))
                .ok()?;
            let capture = Capture::new(CaptureOptions { epoch_unix_nanos: 0, ..CaptureOptions::default() });
            capture.add_interface("tun", interface, &config);
            stack.set_observer(Some(Box::new(capture.observer("tun"))));
            Some((capture, file))
        });
        Net { stack, interface, capture }
    }

    fn save_capture(&mut self) {
        if let Some((capture, file)) = &mut self.capture {
            let bytes = capture.take();
            if !bytes.is_empty() {
                // A capture that can't be written is no reason to fail a script.
                let _ = std::io::Write::write_all(file, &bytes);
            }
        }
    }
}

/// Whom an IPv4 packet is for.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    (packet[0] >> 4 == 4).then_some(Ipv4Addr::from(address))
}

/// Where virtual time starts: some way from zero, as on a machine that runs for a while.
const EPOCH: Instant = Instant::from_nanos(1_000_000 * Duration::from_secs(1).as_nanos() as u64);
