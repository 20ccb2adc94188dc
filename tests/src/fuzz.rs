//! Sequences of frames, calls and times on a pair of hosts, decoded from bytes: what a fuzzer plays.
//!
//! The bytes say which calls are made on which host, which frames arrive, are lost, doubled, swapped, damaged or
//! forged, and how time passes. Whatever they say, nothing may panic, memory stays within the limits that the stacks
//! state, no stack keeps itself busy without time passing, and when the applications have gone, everything goes.

use tapstack::frame::{RxFrame, TxFrame};
use tapstack::socket::{Linger, RecvFlags, SendFlags, Shutdown, SocketKind, SocketOption};
use tapstack::stack::{Cidr, InterfaceConfig, MacAddr, Medium, Offloads};
use tapstack::tcp::{BufferSizes, EcnMode, SynCookies, TcpConfig};
use tapstack::{Config, Duration, Instant, InterfaceId, SocketId, Stack};

const PORT: u16 = 80;
/// Frames that wait on each way at most; further ones are lost, as in a full queue.
const QUEUE_MAX: usize = 256;
/// Sockets that a host opens at most.
const SOCKETS_MAX: usize = 16;
/// Bytes that a stack's queues may hold: its limit, and what one more segment and one more call add on top.
const MEMORY_MAX: usize = (1 << 20) + (1 << 17);
/// Frames that one turn may bring, and deadlines that one instant may have.
const TURN_MAX: usize = 10_000;

/// Plays what `data` says, and checks what has to hold.
///
/// # Panics
/// When it doesn't.
pub fn play(data: &[u8]) -> Played {
    let mut data = Data { bytes: data, at: 0 };
    let mut world = World::new(&mut data);
    while !data.is_over() {
        world.step(&mut data);
        world.check();
    }
    world.end(data.byte());
    world.hosts.iter().fold(Played::default(), |sum, host| {
        let counters = host.stack.counters();
        Played {
            opens: sum.opens + counters.tcp_passive_opens + counters.tcp_active_opens,
            segments: sum.segments + counters.tcp_segments_in,
            retransmits: sum.retransmits + counters.tcp_retransmits,
            challenges: sum.challenges + counters.tcp_challenge_acks,
        }
    })
}

/// What happened, so that a fuzzer that reaches nothing is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Handshakes that were finished, on either side.
    pub opens: u64,
    /// Segments that came in.
    pub segments: u64,
    /// Segments that were sent again.
    pub retransmits: u64,
    /// Challenge ACKs.
    pub challenges: u64,
}

/// The decisions, read one after the other; behind the end everything is 0.
struct Data<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Data<'_> {
    fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes.get(self.at - 1).copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Small numbers more often than large ones: the upper bits of a byte are an exponent.
    fn size(&mut self) -> usize {
        let byte = usize::from(self.byte());
        (byte & 15) << (byte >> 4)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let at = usize::from(self.byte()).checked_rem(list.len())?;
        list.get(at)
    }
}

struct Host {
    stack: Stack,
    sockets: Vec<SocketId>,
    /// Packets on their way to this host.
    queue: Vec<Vec<u8>>,
}

struct World {
    now: Instant,
    hosts: [Host; 2],
}

const INTERFACE: InterfaceId = InterfaceId(1);

impl World {
    fn new(data: &mut Data<'_>) -> World {
        let now = Instant::from_millis(1_000_000);
        let host = |number: u8, data: &mut Data<'_>| {
            let options = data.word();
            let on = |bit: u16| options >> bit & 1 == 0;
            let tcp = TcpConfig {
                timestamps: on(0),
                sack: on(1),
                window_scaling: on(2),
                ecn: if on(3) { EcnMode::Accept } else { EcnMode::Offer },
                congestion: if on(4) { "cubic" } else { "reno" },
                syncookies: if on(5) { SynCookies::WhenFull } else { SynCookies::Always },
                pacing: !on(6),
                rack: on(7),
                frto: on(8),
                slow_start_after_idle: !on(9),
                abort_on_overflow: !on(10),
                receive_buffer: BufferSizes { min: 4_096, initial: 16_384, max: 1 << 18 },
                send_buffer: BufferSizes { min: 4_096, initial: 16_384, max: 1 << 18 },
                memory_max: 1 << 20,
                ..TcpConfig::default()
            };
            let mut stack = Stack::new(now, Config { seed: number.into(), tcp, ..Config::default() });
            let interface = InterfaceConfig {
                name: "ip0".into(),
                medium: Medium::Ip,
                mac: MacAddr::default(),
                mtu: if on(11) { 1_500 } else { 576 },
                addresses: vec![Cidr { address: [10, 0, 0, number].into(), prefix_len: 24 }],
                offloads: Offloads { tso_max: if on(12) { 0 } else { 65_535 }, ..Offloads::default() },
            };
            stack.add_interface(now, interface).expect("an interface that can be");
            Host { stack, sockets: Vec::new(), queue: Vec::new() }
        };
        let mut world = World { now, hosts: [host(1, data), host(2, data)] };
        world.call(1, 0, data);
        world.call(0, 1, data);
        world
    }

    fn step(&mut self, data: &mut Data<'_>) {
        let what = data.byte();
        let host = usize::from(what & 1);
        match what >> 1 & 15 {
            0..=3 => self.deliver(host, 64),
            4 => self.deliver(host, 1),
            5 => self.spoil(host, data),
            6 => self.forge(host, data),
            7 => self.pass(Duration::from_micros(data.size() as u64)),
            8 => self.pass(Duration::from_millis(data.size() as u64)),
            9 => self.jump(),
            _ => self.call(host, data.byte(), data),
        }
        self.transmit();
    }

    /// A call of an application's.
    fn call(&mut self, number: usize, what: u8, data: &mut Data<'_>) {
        let now = self.now;
        let Host { stack, sockets, .. } = &mut self.hosts[number];
        let mut buffer = vec![0; 1 << 16];
        match what % 16 {
            0 | 1 => {
                if sockets.len() >= SOCKETS_MAX {
                    return;
                }
                let socket = stack.socket(SocketKind::Stream).expect("few sockets are open");
                sockets.push(socket);
                if what.is_multiple_of(16) {
                    let _ = stack.bind(socket, ([0, 0, 0, 0], PORT).into());
                    let _ = stack.listen(now, socket, usize::from(data.byte() & 7));
                } else {
                    let _ = stack.connect(now, socket, ([10, 0, 0, 2 - number as u8], PORT).into());
                }
            }
            2 => {
                for listener in sockets.clone() {
                    if sockets.len() < SOCKETS_MAX
                        && let Ok((socket, _)) = stack.accept(now, listener)
                    {
                        sockets.push(socket);
                    }
                }
            }
            3..=6 => {
                let flags = data.byte();
                let flags = SendFlags { more: flags & 7 == 0, oob: flags & 24 == 0, ..SendFlags::default() };
                let len = data.size().min(buffer.len());
                if let Some(&socket) = data.pick(sockets) {
                    let _ = stack.send(now, socket, &buffer[..len], flags);
                }
            }
            7..=10 => {
                let flags = data.byte();
                let flags = RecvFlags { peek: flags & 7 == 0, oob: flags & 24 == 0, ..RecvFlags::default() };
                let len = data.size().min(buffer.len());
                if let Some(&socket) = data.pick(sockets) {
                    let _ = stack.recv(now, socket, &mut buffer[..len], flags);
                }
            }
            11 => {
                let how = [Shutdown::Write, Shutdown::Read, Shutdown::Both][usize::from(data.byte() % 3)];
                if let Some(&socket) = data.pick(sockets) {
                    let _ = stack.shutdown(now, socket, how);
                }
            }
            12 | 13 => {
                let option = option(data);
                if let Some(&socket) = data.pick(sockets) {
                    let _ = stack.set_option(now, socket, option);
                }
            }
            _ => {
                if let Some(&socket) = data.pick(sockets) {
                    sockets.retain(|open| *open != socket);
                    let _ = stack.close(now, socket);
                }
            }
        }
        while stack.poll_event().is_some() {}
    }

    /// The first packets arrive, as one batch.
    fn deliver(&mut self, host: usize, most: usize) {
        let Host { stack, queue, .. } = &mut self.hosts[host];
        for packet in queue.drain(..queue.len().min(most)) {
            stack.handle_frame(self.now, INTERFACE, RxFrame::new(packet));
        }
        stack.end_batch(self.now);
    }

    /// A packet is lost, doubled, overtaken, or damaged.
    fn spoil(&mut self, host: usize, data: &mut Data<'_>) {
        let queue = &mut self.hosts[host].queue;
        let (what, at) = (data.byte(), usize::from(data.byte()));
        let Some(at) = at.checked_rem(queue.len()) else { return };
        match what % 4 {
            0 => drop(queue.remove(at)),
            1 => queue.push(queue[at].clone()),
            2 => queue.swap(0, at),
            _ => {
                let bit = usize::from(data.word()) % (queue[at].len() * 8);
                queue[at][bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    /// A packet that nobody sent: one that is on its way, with a field changed and its checksums right.
    fn forge(&mut self, host: usize, data: &mut Data<'_>) {
        let queue = &mut self.hosts[host].queue;
        let Some(mut packet) = data.pick(queue).filter(|packet| is_tcp(packet)).cloned() else { return };
        match data.byte() % 8 {
            0 => add(&mut packet, 24, data.size() as i32),
            1 => add(&mut packet, 24, -(data.size() as i32)),
            2 => add(&mut packet, 28, data.size() as i32),
            3 => add(&mut packet, 28, -(data.size() as i32)),
            4 => packet[33] = data.byte(),
            5 => packet[34..36].copy_from_slice(&data.word().to_be_bytes()),
            6 => {
                packet[33] |= 0x20;
                packet[38..40].copy_from_slice(&data.word().to_be_bytes());
            }
            _ => {
                let at = 40 + usize::from(data.byte() % 40);
                if let Some(byte) = packet.get_mut(at) {
                    *byte = data.byte();
                }
            }
        }
        seal(&mut packet);
        queue.insert(0, packet);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.timeouts();
    }

    /// The clock jumps to the next deadline of either host.
    fn jump(&mut self) {
        if let Some(at) = self.hosts.iter().filter_map(|host| host.stack.poll_timeout()).min() {
            self.now = self.now.max(at);
            self.timeouts();
        }
    }

    fn timeouts(&mut self) {
        for host in &mut self.hosts {
            let mut times = 0;
            while host.stack.poll_timeout().is_some_and(|at| at <= self.now) {
                host.stack.handle_timeout(self.now);
                times += 1;
                assert!(times < TURN_MAX, "a deadline that never passes");
            }
            while host.stack.poll_event().is_some() {}
        }
    }

    /// Both hosts send what they have.
    fn transmit(&mut self) {
        for number in 0..2 {
            let mut frame = TxFrame::default();
            let mut count = 0;
            while self.hosts[number].stack.poll_transmit(self.now, INTERFACE, &mut frame) {
                count += 1;
                assert!(count < TURN_MAX, "a host that sends for ever");
                let queue = &mut self.hosts[1 - number].queue;
                if queue.len() < QUEUE_MAX {
                    queue.push(frame.to_vec());
                }
            }
        }
    }

    fn check(&self) {
        for host in &self.hosts {
            let usage = host.stack.tcp_usage();
            assert!(usage.queued_bytes <= MEMORY_MAX, "{usage:?}");
            assert!(usage.connections <= SOCKETS_MAX * 20 && usage.time_wait < 10_000, "{usage:?}");
        }
    }

    /// The applications end, and the wire is cut or carries everything: a day later nothing is left.
    fn end(&mut self, how: u8) {
        for host in &mut self.hosts {
            for socket in host.sockets.drain(..) {
                let _ = host.stack.close(self.now, socket);
            }
        }
        let end = self.now + Duration::from_secs(86_400);
        let mut turns = 0;
        loop {
            self.transmit();
            if how & 1 == 0 {
                self.deliver(0, QUEUE_MAX);
                self.deliver(1, QUEUE_MAX);
                self.transmit();
            } else {
                self.hosts.iter_mut().for_each(|host| host.queue.clear());
            }
            if self.hosts.iter().any(|host| !host.queue.is_empty()) {
                self.now += Duration::from_millis(1);
            } else if self.hosts.iter().all(|host| host.stack.poll_timeout().is_none()) {
                break;
            }
            self.jump();
            turns += 1;
            assert!(turns < TURN_MAX && self.now < end, "hosts that never come to rest");
        }
        for host in &self.hosts {
            let usage = host.stack.tcp_usage();
            assert_eq!(host.stack.sockets_open(), 0);
            assert_eq!((usage.connections, usage.time_wait, usage.orphans), (0, 0, 0), "{usage:?}");
            assert_eq!(usage.queued_bytes, 0, "{usage:?}");
        }
    }
}

fn option(data: &mut Data<'_>) -> SocketOption {
    let (what, on) = (data.byte(), data.byte() & 1 == 1);
    let time = Duration::from_millis(data.size() as u64);
    match what % 16 {
        0 => SocketOption::NoDelay(on),
        1 => SocketOption::Cork(on),
        2 => SocketOption::KeepAlive(on),
        3 => SocketOption::KeepIdle(time),
        4 => SocketOption::KeepInterval(time),
        5 => SocketOption::UserTimeout(Some(time)),
        6 => SocketOption::QuickAck(on),
        7 => SocketOption::DeferAccept(Some(time)),
        8 => SocketOption::NotSentLowWater(data.size()),
        9 => SocketOption::Congestion(if on { "reno" } else { "cubic" }),
        10 => SocketOption::Linger2(on.then_some(time)),
        11 => SocketOption::WindowClamp(data.size()),
        12 => SocketOption::MaxPacingRate(on.then_some(1 + data.size() as u64)),
        13 => SocketOption::OobInline(on),
        14 => SocketOption::ReceiveBuffer(data.size()),
        _ if on => SocketOption::Linger(Linger::For(Duration::ZERO)),
        _ => SocketOption::SendBuffer(data.size()),
    }
}

fn is_tcp(packet: &[u8]) -> bool {
    packet.len() >= 40 && packet[0] == 0x45 && packet[9] == 6
}

fn add(packet: &mut [u8], at: usize, step: i32) {
    let field: [u8; 4] = packet[at..at + 4].try_into().expect("four bytes");
    packet[at..at + 4].copy_from_slice(&u32::from_be_bytes(field).wrapping_add_signed(step).to_be_bytes());
}

/// Makes the TCP checksum right.
fn seal(packet: &mut [u8]) {
    packet[36..38].copy_from_slice(&[0, 0]);
    let len = ((packet.len() - 20) as u16).to_be_bytes();
    let covered = [&packet[12..20], &[0, 6], &len, &packet[20..]].concat();
    let mut sum: u32 =
        covered.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
