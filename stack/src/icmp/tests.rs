//! ICMP between machines: what is answered, what is reported, what is believed, and echo sockets.

use super::IcmpErrorKind;
use crate::frame::{DropReason, Outcome, TxFrame};
use crate::ip::RouteEntry;
use crate::socket::{Errno, SocketKind, SocketOption};
use crate::stack::InterfaceId;
use crate::testing::{Net, mac};
use crate::time::Duration;
use crate::wire::{ethernet, icmp, ipv4, udp};
use bytes::Bytes;
use core::net::Ipv4Addr;

const ETH: InterfaceId = InterfaceId(1);
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A pair whose announcements are over, and who know each other.
fn pair() -> Net {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    let ping = net.socket(0, SocketKind::Echo);
    net.send_to(0, ping, b"hello", "10.0.0.2:0").unwrap();
    net.run();
    net.machines[0].close(net.now, ping).unwrap();
    net.take_causes();
    net
}

/// A packet from B to A's interface.
struct Packet {
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    offset: u16,
    to_all: bool,
    payload: Vec<u8>,
}

impl Packet {
    fn new(protocol: u8, payload: Vec<u8>) -> Packet {
        Packet { protocol, source: B, destination: A, offset: 0, to_all: false, payload }
    }

    fn frame(&self) -> Vec<u8> {
        let mut frame = TxFrame::default();
        frame.payload.push(self.payload.clone().into());
        let header = ipv4::Header {
            header_len: 20,
            total_len: 0,
            tos: 0,
            ident: 1,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: self.offset,
            ttl: 64,
            protocol: self.protocol,
            source: self.source,
            destination: self.destination,
        };
        header.emit(&mut frame);
        let destination = if self.to_all { crate::stack::MacAddr::BROADCAST } else { mac(0, 1) };
        ethernet::Header { destination, source: mac(1, 1), ethertype: 0x0800 }.emit(&mut frame);
        frame.to_vec()
    }
}

/// An ICMP error of this type and code that quotes a datagram from `source` port 1000 to B's port 7.
fn error(kind: u8, code: u8, source: Ipv4Addr, quoted: usize) -> Vec<u8> {
    let mut frame = TxFrame::default();
    frame.payload.push(Bytes::from_static(b"what was sent"));
    udp::Header { src_port: 1000, dst_port: 7 }.emit(&mut frame, source.into(), B.into(), false);
    let quote = Packet { source, destination: B, ..Packet::new(udp::PROTOCOL, frame.to_vec()) };
    let mut frame = TxFrame::default();
    frame.payload.push(quote.frame()[ethernet::HEADER_BYTES..][..quoted].to_vec().into());
    icmp::Header { kind, code, rest: [0; 4] }.emit(&mut frame);
    frame.to_vec()
}

#[test]
fn errors_are_sent_about_what_may_be_answered_only() {
    // An unknown protocol is refused, and that is reported…
    let unknown = || Packet::new(200, vec![0; 16]);
    let icmp_error = Packet::new(icmp::PROTOCOL, error(icmp::kind::UNREACHABLE, 3, A, 28));
    let reported = |packet: &Packet| {
        let mut net = pair();
        net.inject((0, ETH), &packet.frame());
        net.run();
        net.take_causes().iter().any(|cause| cause.contains("reports an error"))
    };
    assert!(reported(&unknown()));
    // …but not (RFC 1122 section 3.2.2) about what many got, later fragments, odd sources, and ICMP errors.
    assert!(!reported(&Packet { destination: Ipv4Addr::new(10, 0, 0, 255), ..unknown() }));
    assert!(!reported(&Packet { destination: Ipv4Addr::BROADCAST, to_all: true, ..unknown() }));
    assert!(!reported(&Packet { destination: Ipv4Addr::new(224, 0, 0, 1), ..unknown() }));
    assert!(!reported(&Packet { to_all: true, ..unknown() }));
    assert!(!reported(&Packet { offset: 8, ..unknown() }));
    assert!(!reported(&Packet { source: Ipv4Addr::UNSPECIFIED, ..unknown() }));
    assert!(!reported(&icmp_error));
}

#[test]
fn an_error_quotes_as_much_as_fits() {
    let mut net = pair();
    for (len, quoted) in [(0, 0), (100, 100), (1400, 528)] {
        net.inject((0, ETH), &Packet::new(200, vec![0x11; len]).frame());
        net.run();
        let sent = net.sent.pop().unwrap();
        assert_eq!(sent.bytes.len(), 14 + 20 + 8 + 20 + quoted, "at most 576 bytes (RFC 1812)");
        assert_eq!(sent.bytes[15], 0xc0, "internetwork control");
    }
}

#[test]
fn errors_reach_the_socket_that_sent_what_they_quote() {
    use icmp::kind::{PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE};
    let mut net = pair();
    let socket = net.udp(0, "0.0.0.0:1000");
    net.connect(0, socket, "10.0.0.2:7").unwrap();
    let delivered = Outcome::Delivered { socket };
    for (kind, code, errno) in [
        (UNREACHABLE, 0, Errno::ENETUNREACH),
        (UNREACHABLE, 1, Errno::EHOSTUNREACH),
        (UNREACHABLE, 2, Errno::ENOPROTOOPT),
        (UNREACHABLE, 3, Errno::ECONNREFUSED),
        (UNREACHABLE, 4, Errno::EMSGSIZE),
        (UNREACHABLE, 13, Errno::EHOSTUNREACH),
        (TIME_EXCEEDED, 0, Errno::EHOSTUNREACH),
        (PARAMETER_PROBLEM, 0, Errno::EPROTO),
    ] {
        // Quotes are cut short by many routers: 8 bytes of UDP's header have to do.
        for quoted in [28, 41] {
            let packet = Packet::new(icmp::PROTOCOL, error(kind, code, A, quoted));
            assert_eq!(net.inject((0, ETH), &packet.frame()), delivered);
            assert_eq!(net.machines[0].take_error(socket), Ok(Some(errno)), "{kind} {code}");
        }
    }
}

#[test]
fn what_quotes_nothing_of_ours_is_not_believed() {
    let mut net = pair();
    let socket = net.udp(0, "0.0.0.0:1000");
    net.connect(0, socket, "10.0.0.3:7").unwrap();
    let mut outcome = |message: Vec<u8>| {
        let packet = Packet::new(icmp::PROTOCOL, message);
        net.inject((0, ETH), &packet.frame())
    };
    let unreachable = icmp::kind::UNREACHABLE;
    let unmatched = Outcome::Dropped(DropReason::IcmpUnmatched);
    assert_eq!(outcome(error(unreachable, 3, A, 28)), unmatched, "connected to somebody else");
    assert_eq!(outcome(error(unreachable, 3, Ipv4Addr::new(10, 0, 0, 9), 28)), unmatched, "not our source");
    let malformed = Outcome::Dropped(DropReason::IcmpMalformed);
    assert_eq!(outcome(error(unreachable, 3, A, 27)), malformed, "too little is quoted");
    assert_eq!(outcome(vec![3, 3, 0]), malformed);
    let unknown = Outcome::Dropped(DropReason::IcmpUnknownType);
    assert_eq!(outcome(error(unreachable, 200, A, 28)), unknown);
    assert_eq!(outcome(error(5, 1, A, 28)), unknown, "redirects are not followed");
    let mut damaged = error(unreachable, 3, A, 28);
    damaged[20] ^= 1;
    assert_eq!(outcome(damaged), Outcome::Dropped(DropReason::IcmpBadChecksum));
}

#[test]
fn echo_sockets_have_identifiers_of_their_own() {
    let mut net = pair();
    let (one, two) = (net.socket(0, SocketKind::Echo), net.socket(0, SocketKind::Echo));
    net.machines[0].bind(one, "0.0.0.0:7".parse().unwrap()).unwrap();
    assert_eq!(net.machines[0].bind(two, "0.0.0.0:7".parse().unwrap()), Err(Errno::EADDRINUSE));
    net.send_to(0, one, b"one", "10.0.0.2:0").unwrap();
    net.send_to(0, two, b"two", "10.0.0.2:0").unwrap();
    net.run();
    assert_eq!(net.recv(0, one).unwrap().0, b"one");
    assert_eq!(net.recv(0, two).unwrap().0, b"two");
    assert_eq!(net.recv(0, one), Err(Errno::EAGAIN));
    // A closed one's replies are nobody's.
    net.send_to(0, one, b"one", "10.0.0.2:0").unwrap();
    let mut frame = TxFrame::default();
    assert!(net.machines[0].poll_transmit(net.now, ETH, &mut frame));
    net.machines[0].close(net.now, one).unwrap();
    net.inject((1, ETH), &frame.to_vec());
    net.run();
    assert_eq!(net.drops(0, DropReason::IcmpUnasked), 1);
    let again = net.socket(0, SocketKind::Echo);
    assert_eq!(net.machines[0].bind(again, "0.0.0.0:7".parse().unwrap()), Ok(()), "free again");
}

#[test]
fn connected_echo_sockets_hear_their_peer_only() {
    let mut net = pair();
    let ping = net.socket(0, SocketKind::Echo);
    net.machines[0].bind(ping, "0.0.0.0:9".parse().unwrap()).unwrap();
    net.connect(0, ping, "10.0.0.2:0").unwrap();
    net.send(0, ping, b"hello").unwrap();
    net.run();
    assert_eq!(net.recv(0, ping), Ok((b"hello".to_vec(), "10.0.0.2:0".into())));
    let mut frame = TxFrame::default();
    icmp::Header::echo(icmp::kind::ECHO_REPLY, 9, 1).emit(&mut frame);
    let stranger = Packet { source: Ipv4Addr::new(10, 0, 0, 3), ..Packet::new(1, frame.to_vec()) };
    let outcome = net.inject((0, ETH), &stranger.frame());
    assert_eq!(outcome, Outcome::Dropped(DropReason::IcmpUnasked));
}

#[test]
fn large_pings_come_back_whole() {
    let mut net = pair();
    let ping = net.socket(0, SocketKind::Echo);
    let data: Vec<u8> = (0..65_507u32).map(|i| (i * 11 / 16) as u8).collect();
    for len in [0, 1472, 1473, 65_507] {
        net.send_to(0, ping, &data[..len], "10.0.0.2:0").unwrap();
        net.run();
        assert!(net.recv(0, ping).unwrap().0 == data[..len], "{len}");
    }
    assert_eq!(net.send_to(0, ping, &[0; 65_508], "10.0.0.2:0"), Err(Errno::EMSGSIZE));
}

#[test]
fn a_ping_that_dies_on_the_way_is_told_by_its_number() {
    let mut net = Net::new();
    let (a, r) = (net.machine(), net.machine());
    let ends = [net.interface(a, &["10.0.0.1/24"]), net.interface(r, &["10.0.0.2/24"])];
    net.link(&ends);
    net.interface(r, &["10.0.1.1/24"]);
    net.machines[r].set_forwarding(true);
    net.machines[a].add_route(RouteEntry::default_via(B, ETH)).unwrap();
    let ping = net.socket(a, SocketKind::Echo);
    net.send_to(a, ping, b"fine", "10.0.1.1:0").unwrap();
    net.set(a, ping, SocketOption::Ttl(1));
    net.send_to(a, ping, b"too short", "10.0.1.9:0").unwrap();
    net.run();
    assert_eq!(net.recv(a, ping).unwrap().0, b"fine");
    let entry = net.machines[a].recv_error(ping).unwrap().unwrap();
    assert_eq!((entry.kind, entry.sequence), (IcmpErrorKind::TimeExceeded, 2));
    assert_eq!(entry.from.to_string(), "10.0.0.2");
    assert_eq!(entry.peer.to_string(), "10.0.1.9:0");
}
