//! smoltcp as the peer, in memory: a stack that is only tested against itself hides its faults.

mod world;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpEndpoint};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tapstack::device::Impairment;
use tapstack::socket::{Errno, RecvFlags, SendFlags, Shutdown, SocketId, SocketKind};
use tapstack_tests::stream::Stream;
use world::{PEER, STACK, World};

const BYTES: u64 = 1 << 20;
const PORT: u16 = 7;

/// Names of streams by direction.
const TO_STACK: u64 = 1;
const TO_PEER: u64 = 2;

#[test]
fn tcp_opened_by_the_peer_without_loss() {
    transfer(1, calm(), Opener::Peer, [BYTES, BYTES]);
}

#[test]
fn tcp_opened_by_the_stack_without_loss() {
    transfer(2, calm(), Opener::Stack, [BYTES, BYTES]);
}

#[test]
fn tcp_with_loss_in_any_roles() {
    for seed in 0..8 {
        let opener = if seed % 2 == 0 { Opener::Peer } else { Opener::Stack };
        let lost = transfer(seed, rough(), opener, [BYTES, BYTES]);
        assert!(lost > 20, "only {lost} frames were lost");
    }
}

#[test]
fn tcp_one_way_at_a_time_with_loss() {
    for seed in 0..4 {
        transfer(seed, rough(), Opener::Peer, [BYTES, 0]);
        transfer(seed, rough(), Opener::Stack, [0, BYTES]);
    }
}

#[test]
fn tcp_closed_without_a_byte_by_either() {
    for opener in [Opener::Peer, Opener::Stack] {
        transfer(1, calm(), opener, [0, 0]);
        transfer(1, rough(), opener, [0, 0]);
    }
}

#[test]
fn a_reset_is_told_to_the_other_side() {
    let mut world = World::new(1, calm());
    let (ours, theirs) = connected(&mut world, Opener::Peer);
    world.sockets.get_mut::<tcp::Socket<'_>>(theirs).abort();
    world.run(|world| recv(world, ours) == Err(Errno::ECONNRESET));
    world.stack.close(world.now, ours).unwrap();
    world.run_until_idle();

    let mut world = World::new(1, calm());
    let (ours, theirs) = connected(&mut world, Opener::Stack);
    // What comes in after a close with nobody to read it is answered by RST.
    world.stack.close(world.now, ours).unwrap();
    world.sockets.get_mut::<tcp::Socket<'_>>(theirs).send_slice(b"too late").unwrap();
    world.run(|world| world.sockets.get::<tcp::Socket<'_>>(theirs).state() == tcp::State::Closed);
    world.run_until_idle();
}

#[test]
fn connections_are_refused_both_ways() {
    let mut world = World::new(1, calm());
    let theirs = world.peer_tcp();
    world.peer_connect(theirs, 9);
    world.run(|world| world.sockets.get::<tcp::Socket<'_>>(theirs).state() == tcp::State::Closed);
    let ours = world.stack.socket(SocketKind::Stream).unwrap();
    assert_eq!(world.stack.connect(world.now, ours, peer(9)), Err(Errno::EINPROGRESS));
    world.run(|world| world.stack.take_error(ours) == Ok(Some(Errno::ECONNREFUSED)));
}

#[test]
fn pings_are_answered_both_ways() {
    let mut world = World::new(1, calm());
    let ours = world.stack.socket(SocketKind::Echo).unwrap();
    world.stack.send_to(world.now, ours, b"ping from the stack", peer(0)).unwrap();
    let mut buffer = [0; 100];
    world.run(|world| {
        let flags = RecvFlags::default();
        match world.stack.recv_from(world.now, ours, &mut buffer, flags) {
            Ok((len, from)) => {
                assert_eq!((&buffer[..len], from.ip()), (&b"ping from the stack"[..], IpAddr::from(PEER)));
                true
            }
            Err(errno) => errno != Errno::EAGAIN,
        }
    });

    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let theirs = world.sockets.add(icmp::Socket::new(buffer(), buffer()));
    let socket = world.sockets.get_mut::<icmp::Socket<'_>>(theirs);
    socket.bind(icmp::Endpoint::Ident(0x77)).unwrap();
    let request = Icmpv4Repr::EchoRequest { ident: 0x77, seq_no: 1, data: b"ping from smoltcp" };
    let room = socket.send(request.buffer_len(), STACK.into()).unwrap();
    request.emit(&mut Icmpv4Packet::new_unchecked(room), &Default::default());
    world.run(|world| {
        let Ok((bytes, from)) = world.sockets.get_mut::<icmp::Socket<'_>>(theirs).recv() else {
            return false;
        };
        let reply =
            Icmpv4Repr::parse(&Icmpv4Packet::new_checked(bytes).unwrap(), &Default::default()).unwrap();
        assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 0x77, seq_no: 1, data: b"ping from smoltcp" });
        assert_eq!(from, STACK.into());
        true
    });
}

#[test]
fn datagrams_are_echoed_both_ways_also_in_fragments() {
    let mut world = World::new(1, calm());
    let ours = world.stack.socket(SocketKind::Datagram).unwrap();
    world.stack.bind(ours, SocketAddr::from(([0, 0, 0, 0], PORT))).unwrap();
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 64 << 10]);
    let theirs = world.sockets.add(udp::Socket::new(buffer(), buffer()));
    world.sockets.get_mut::<udp::Socket<'_>>(theirs).bind(PORT).unwrap();
    // smoltcp's buffers hold 16,384 bytes of a fragmented packet.
    for size in [0, 1, 1_472, 1_473, 2_953, 9_000, 16_000] {
        let mut datagram = vec![0; size];
        Stream::new(size as u64).fill(&mut datagram);
        world.stack.send_to(world.now, ours, &datagram, peer(PORT)).unwrap();
        world.run(|world| {
            let socket = world.sockets.get_mut::<udp::Socket<'_>>(theirs);
            let Ok((bytes, from)) = socket.recv() else { return false };
            assert_eq!((bytes, from.endpoint), (&datagram[..], IpEndpoint::new(STACK.into(), PORT)));
            true
        });
        let socket = world.sockets.get_mut::<udp::Socket<'_>>(theirs);
        socket.send_slice(&datagram, IpEndpoint::new(STACK.into(), PORT)).unwrap();
        let mut buffer = vec![0; 64 << 10];
        world.run(|world| {
            let received = world.stack.recv_from(world.now, ours, &mut buffer, RecvFlags::default());
            let Ok((len, from)) = received else { return false };
            assert_eq!((&buffer[..len], from), (&datagram[..], peer(PORT)));
            true
        });
    }
    assert!(world.stack.counters().fragments_out >= 2 + 3 + 7 + 11);
    assert_eq!(world.stack.counters().reassembled, 4);
}

/// A wire that does nothing but take time.
fn calm() -> Impairment {
    Impairment { delay: Duration::from_micros(200), ..Impairment::default() }
}

/// A wire that does everything.
fn rough() -> Impairment {
    Impairment {
        loss: 0.03,
        duplicate: 0.02,
        corrupt: 0.01,
        reorder: 0.02,
        reorder_delay: Duration::from_millis(2),
        delay: Duration::from_micros(500),
        ..Impairment::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Opener {
    Peer,
    Stack,
}

/// One side of a connection: what it has sent and received so far.
struct Side {
    sent: Stream,
    send_len: u64,
    shut: bool,
    received: Stream,
    ended: bool,
}

impl Side {
    fn new(send: (u64, u64), receive: u64) -> Side {
        let (sent, received) = (Stream::new(send.0), Stream::new(receive));
        Side { sent, send_len: send.1, shut: false, received, ended: false }
    }

    fn is_done(&self) -> bool {
        self.shut && self.ended
    }

    /// The next bytes to be sent, of which `write` takes some.
    fn write(&mut self, write: impl FnOnce(&[u8]) -> usize) {
        let mut chunk = vec![0; (self.send_len - self.sent.position()).min(CHUNK) as usize];
        self.sent.clone().fill(&mut chunk);
        let taken = write(&chunk);
        self.sent.fill(&mut chunk[..taken]);
    }
}

const CHUNK: u64 = 16 << 10;

/// Opens a connection, moves bytes to our machine and from it, closes both ways; returns how many frames were lost.
fn transfer(seed: u64, impairment: Impairment, opener: Opener, [to_stack, to_peer]: [u64; 2]) -> u64 {
    let mut world = World::new(seed, impairment);
    let (ours, theirs) = connected(&mut world, opener);
    let mut stack = Side::new((TO_PEER, to_peer), TO_STACK);
    let mut peer = Side::new((TO_STACK, to_stack), TO_PEER);
    world.run(|world| {
        pump_stack(world, ours, &mut stack);
        pump_peer(world, theirs, &mut peer);
        stack.is_done() && peer.is_done()
    });
    assert_eq!((stack.received.position(), peer.received.position()), (to_stack, to_peer));
    world.stack.close(world.now, ours).unwrap();
    let closed = [tcp::State::Closed, tcp::State::TimeWait];
    world.run(|world| closed.contains(&world.sockets.get::<tcp::Socket<'_>>(theirs).state()));
    world.run_until_idle();
    world.lost()
}

/// Our socket and the peer's of a connection.
fn connected(world: &mut World, opener: Opener) -> (SocketId, SocketHandle) {
    let (ours, theirs) = (world.stack.socket(SocketKind::Stream).unwrap(), world.peer_tcp());
    match opener {
        Opener::Peer => {
            world.stack.bind(ours, SocketAddr::from(([0, 0, 0, 0], PORT))).unwrap();
            world.stack.listen(world.now, ours, 4).unwrap();
            world.peer_connect(theirs, PORT);
            let mut accepted = None;
            world.run(|world| {
                accepted = world.stack.accept(world.now, ours).ok();
                accepted.is_some()
            });
            world.stack.close(world.now, ours).unwrap();
            (accepted.unwrap().0, theirs)
        }
        Opener::Stack => {
            world.sockets.get_mut::<tcp::Socket<'_>>(theirs).listen(PORT).unwrap();
            assert_eq!(world.stack.connect(world.now, ours, peer(PORT)), Err(Errno::EINPROGRESS));
            world.run(|world| world.stack.readiness(ours).unwrap().writable);
            assert_eq!(world.stack.take_error(ours), Ok(None));
            world.run(|world| world.sockets.get::<tcp::Socket<'_>>(theirs).may_send());
            (ours, theirs)
        }
    }
}

fn pump_stack(world: &mut World, id: SocketId, side: &mut Side) {
    let now = world.now;
    side.write(|chunk| match world.stack.send(now, id, chunk, SendFlags::default()) {
        Ok(taken) => taken,
        Err(Errno::EAGAIN) => 0,
        // Nothing more is sent after the shutdown.
        Err(Errno::EPIPE) if chunk.is_empty() => 0,
        Err(errno) => panic!("send: {errno}"),
    });
    if side.sent.position() == side.send_len && !side.shut {
        world.stack.shutdown(now, id, Shutdown::Write).unwrap();
        side.shut = true;
    }
    while !side.ended {
        match recv(world, id) {
            Ok(bytes) if bytes.is_empty() => side.ended = true,
            Ok(bytes) => side.received.check(&bytes),
            Err(Errno::EAGAIN) => break,
            Err(errno) => panic!("recv: {errno}"),
        }
    }
}

fn pump_peer(world: &mut World, handle: SocketHandle, side: &mut Side) {
    let socket = world.sockets.get_mut::<tcp::Socket<'_>>(handle);
    if socket.may_send() {
        side.write(|chunk| socket.send_slice(chunk).unwrap());
        if side.sent.position() == side.send_len && !side.shut {
            socket.close();
            side.shut = true;
        }
    }
    let mut chunk = vec![0; CHUNK as usize];
    while socket.can_recv() {
        let len = socket.recv_slice(&mut chunk).unwrap();
        side.received.check(&chunk[..len]);
    }
    // smoltcp says so in other words than by reading nothing.
    side.ended = socket.recv_slice(&mut chunk) == Err(tcp::RecvError::Finished);
}

fn recv(world: &mut World, id: SocketId) -> Result<Vec<u8>, Errno> {
    let mut chunk = vec![0; CHUNK as usize];
    let len = world.stack.recv(world.now, id, &mut chunk, RecvFlags::default())?;
    chunk.truncate(len);
    Ok(chunk)
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::new(PEER.into(), port)
}
