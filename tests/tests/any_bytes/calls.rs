//! A program that makes socket calls at random, on any socket, in any order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tapstack::socket::{
    Linger, OptionName, RecvFlags, SendFlags, Shutdown, SocketId, SocketKind, SocketOption,
};
use tapstack::{Instant, InterfaceId, Stack};

/// Ports that both programs use, so that they meet.
const PORTS: std::ops::RangeInclusive<u16> = 1..=4;

/// Sockets that the program keeps. One more call for a socket closes another.
const SOCKETS_MAX: usize = 24;

pub(crate) struct Caller {
    /// The other machine's address.
    peer: Ipv4Addr,
    sockets: Vec<SocketId>,
    received_bytes: u64,
    buffer: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(peer: Ipv4Addr) -> Caller {
        Caller { peer, sockets: Vec::new(), received_bytes: 0, buffer: vec![0; 100_000] }
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    pub(crate) fn close_all(&mut self, now: Instant, stack: &mut Stack) {
        for id in self.sockets.drain(..) {
            stack.close(now, id).expect("an open socket can be closed");
        }
    }

    /// Makes one call. Its errors are its own: it only must not do harm.
    pub(crate) fn call(&mut self, now: Instant, stack: &mut Stack, rng: &mut fastrand::Rng) {
        let Some(&id) = rng.choice(&self.sockets).filter(|_| rng.u32(..16) > 0) else {
            self.open(now, stack, rng);
            return;
        };
        match rng.u32(..80) {
            0..24 => self.send(now, stack, rng, id),
            24..56 => self.receive(now, stack, rng, id),
            56..70 => {
                if let Ok((accepted, _)) = stack.accept(now, id) {
                    self.add(now, stack, accepted);
                }
            }
            70 => {
                let backlog = rng.usize(..5);
                let _ = stack.listen(now, id, backlog);
            }
            71 => drop(stack.connect(now, id, self.address(rng))),
            72 => drop(stack.bind(id, self.address(rng))),
            73 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][rng.usize(..3)];
                let _ = stack.shutdown(now, id, how);
            }
            74..77 => {
                let _ = stack.set_option(now, id, option(rng));
            }
            77 | 78 => {
                look(stack, id);
                let _ = stack.take_error(id);
            }
            _ => {
                self.sockets.retain(|&other| other != id);
                stack.close(now, id).expect("an open socket can be closed");
                assert!(stack.close(now, id).is_err(), "a closed socket's id is of no use");
            }
        }
    }

    /// Opens a socket, and most often does at once what makes it useful.
    fn open(&mut self, now: Instant, stack: &mut Stack, rng: &mut fastrand::Rng) {
        let kinds = [
            SocketKind::Stream,
            SocketKind::Stream,
            SocketKind::Stream,
            SocketKind::Datagram,
            SocketKind::Echo,
        ];
        let kind = kinds[rng.usize(..kinds.len())];
        let Ok(id) = stack.socket(kind) else { return };
        let _ = stack.set_option(now, id, SocketOption::ReuseAddress(rng.bool()));
        match rng.u32(..5) {
            0 => {}
            1 | 2 => {
                let _ = stack.bind(id, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), rng.u16(PORTS)));
                let _ = stack.listen(now, id, rng.usize(1..5));
            }
            _ => {
                // Some talk to themselves.
                let peer = if rng.u32(..6) == 0 { Ipv4Addr::LOCALHOST } else { self.peer };
                let _ = stack.connect(now, id, SocketAddr::new(peer.into(), rng.u16(PORTS)));
            }
        }
        self.add(now, stack, id);
    }

    fn add(&mut self, now: Instant, stack: &mut Stack, id: SocketId) {
        self.sockets.push(id);
        if self.sockets.len() > SOCKETS_MAX {
            let oldest = self.sockets.remove(0);
            stack.close(now, oldest).expect("an open socket can be closed");
        }
    }

    fn send(&mut self, now: Instant, stack: &mut Stack, rng: &mut fastrand::Rng, id: SocketId) {
        let len = [rng.usize(..10), rng.usize(..3_000), rng.usize(..self.buffer.len())][rng.usize(..3)];
        let (data, peer) = (&self.buffer[..len], SocketAddr::new(self.peer.into(), rng.u16(PORTS)));
        if rng.u32(..4) == 0 {
            let _ = stack.send_to(now, id, data, peer);
        } else {
            let mut often = |times: u32| rng.u32(..times) == 0;
            let flags = SendFlags { more: often(8), oob: often(16), eor: often(16) };
            let _ = stack.send(now, id, data, flags);
        }
    }

    fn receive(&mut self, now: Instant, stack: &mut Stack, rng: &mut fastrand::Rng, id: SocketId) {
        let len = if rng.bool() { self.buffer.len() } else { rng.usize(..3_000) };
        let mut often = |times: u32| rng.u32(..times) == 0;
        let flags = RecvFlags { peek: often(8), trunc: often(16), oob: often(16) };
        if let Ok((len, _)) = stack.recv_from(now, id, &mut self.buffer[..len], flags) {
            self.received_bytes += len as u64;
        }
    }

    fn address(&self, rng: &mut fastrand::Rng) -> SocketAddr {
        let address: IpAddr = match rng.u32(..10) {
            0 => Ipv4Addr::UNSPECIFIED.into(),
            1 => Ipv4Addr::LOCALHOST.into(),
            2 => Ipv4Addr::BROADCAST.into(),
            3 => IpAddr::from([224, 0, 0, 1]),
            4 => IpAddr::from([10, 0, 0, 99]),
            5 => IpAddr::from([192, 0, 2, 1]),
            6 => IpAddr::from([0_u16; 8]),
            _ => self.peer.into(),
        };
        SocketAddr::new(address, rng.u16(0..=*PORTS.end()))
    }
}

/// Any option with any value, sensible or not.
fn option(rng: &mut fastrand::Rng) -> SocketOption {
    let on = rng.bool();
    let size = [0, 1, 5_000, 1 << 20, usize::MAX][rng.usize(..5)];
    let time = [0, 1, 1_000, 3_600_000][rng.usize(..4)];
    let time = Duration::from_millis(time);
    let maybe = on.then_some(time);
    match rng.u32(..26) {
        0 => SocketOption::ReuseAddress(on),
        1 => SocketOption::ReusePort(on),
        2 => SocketOption::Broadcast(on),
        3 => SocketOption::KeepAlive(on),
        4 => SocketOption::Linger(if on { Linger::For(time) } else { Linger::Background }),
        5 => SocketOption::ReceiveBuffer(size),
        6 => SocketOption::SendBuffer(size),
        7 => SocketOption::ReceiveLowWater(size),
        8 => SocketOption::BindToInterface(on.then_some(InterfaceId(rng.u16(..3)))),
        9 => SocketOption::Ttl(rng.u8(..)),
        10 => SocketOption::Tos(rng.u8(..)),
        11 => SocketOption::NoDelay(on),
        12 => SocketOption::Cork(on),
        13 => SocketOption::MaxSegment(rng.u16(..)),
        14 => SocketOption::KeepIdle(time),
        15 => SocketOption::KeepInterval(time),
        16 => SocketOption::KeepCount(rng.u8(..)),
        17 => SocketOption::UserTimeout(maybe),
        18 => SocketOption::QuickAck(on),
        19 => SocketOption::DeferAccept(maybe),
        20 => SocketOption::NotSentLowWater(size),
        21 => SocketOption::Congestion(["cubic", "reno", "no such"][rng.usize(..3)]),
        22 => SocketOption::Linger2(maybe),
        23 => SocketOption::WindowClamp(size),
        24 => SocketOption::MaxPacingRate(on.then_some(rng.u64(..) >> rng.u32(..64))),
        _ => SocketOption::OobInline(on),
    }
}

/// Asks for everything that can be asked for.
fn look(stack: &Stack, id: SocketId) {
    use OptionName::*;
    let names = [
        ReuseAddress,
        ReusePort,
        Broadcast,
        KeepAlive,
        Linger,
        ReceiveBuffer,
        SendBuffer,
        ReceiveTimeout,
        SendTimeout,
        ReceiveLowWater,
        BindToInterface,
        Ttl,
        Tos,
        NoDelay,
        Cork,
        MaxSegment,
        KeepIdle,
        KeepInterval,
        KeepCount,
        UserTimeout,
        QuickAck,
        DeferAccept,
        NotSentLowWater,
        Congestion,
        SynCount,
        Linger2,
        WindowClamp,
        MaxPacingRate,
        OobInline,
        Info,
        InQueue,
        OutQueue,
        OutQueueUnsent,
    ];
    for name in names {
        let _ = stack.option(id, name);
    }
    let _ = (stack.local_addr(id), stack.peer_addr(id), stack.readiness(id));
    let _ = (stack.neighbours(), stack.routes(), stack.interfaces());
}
