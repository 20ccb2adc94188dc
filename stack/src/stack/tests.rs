//! Whole machines: pings over a link and over the loopback, and bytes that nobody would send.

use super::*;
use crate::frame::{DropReason, Gso, GsoKind, Outcome, RxChecksum, RxFrame, TxFrame};
use crate::socket::{Errno, SocketKind};
use crate::testing::Net;
use crate::time::Duration;
use crate::wire::{captured, icmp, ipv4};
use bytes::Bytes;
use proptest::prelude::*;

const ETH: InterfaceId = InterfaceId(1);

/// A ping from the first machine of a pair, made by hand.
fn ping(net: &mut Net, from: usize, to: &str, len: usize) {
    let machine = &mut net.machines[from];
    machine.cx.now = net.now;
    let route = machine.ip.route(to.parse().unwrap(), None, None, false).unwrap();
    let mut frame = TxFrame::new(crate::frame::CauseKind::EchoRequest.into());
    frame.payload.push(Bytes::from(vec![0x5a; len]));
    icmp::Header::echo(icmp::kind::ECHO_REQUEST, 7, 1).emit(&mut frame);
    let packet = crate::ip::PacketOut {
        source: route.source,
        destination: to.parse().unwrap(),
        protocol: icmp::PROTOCOL,
        ttl: 64,
        tos: 0,
        dont_fragment: false,
    };
    machine.ip.send(&mut machine.cx, &route, &packet, frame).unwrap();
}

#[test]
fn a_ping_is_resolved_and_answered() {
    let mut net = Net::pair();
    net.run();
    net.take_causes();
    ping(&mut net, 0, "10.0.0.2", 56);
    net.run();
    assert_eq!(
        net.take_causes(),
        [
            "0 asks who has next hop 10.0.0.2",
            "1 answers an ARP request",
            "0 a program pings",
            "1 answers an echo request",
        ]
    );
    assert_eq!(net.machines[0].counters().drops(DropReason::IcmpUnasked), 1, "it came back");
}

#[test]
fn a_captured_ping_is_answered_as_linux_does() {
    let mut net = Net::new();
    let b = net.machine();
    net.interface_with(b, &["10.9.0.2/24"], |config| {
        config.mac = MacAddr([0x86, 0x21, 0x83, 0xa5, 0x16, 0x16]);
    });
    net.run();
    assert_eq!(
        net.inject((b, ETH), &captured::bytes(captured::ARP_REQUEST)),
        Outcome::Answered { with: "ARP reply" }
    );
    assert_eq!(
        net.inject((b, ETH), &captured::bytes(captured::ECHO_REQUEST)),
        Outcome::Answered { with: "echo reply" }
    );
    net.sent.clear();
    net.run();
    assert_eq!(net.sent[0].bytes, captured::bytes(captured::ARP_REPLY));
    // But for the identification and with it the header's checksum, which are ours to choose.
    let (ours, linux) = (&net.sent[1].bytes, captured::bytes(captured::ECHO_REPLY));
    assert_eq!((&ours[..18], &ours[26..]), (&linux[..18], &linux[26..]));
}

#[test]
fn pings_to_ourselves_never_leave() {
    let mut net = Net::pair();
    net.run();
    net.take_causes();
    for to in ["127.0.0.1", "127.1.2.3", "10.0.0.1"] {
        let before = net.machines[0].counters().drops(DropReason::IcmpUnasked);
        ping(&mut net, 0, to, 56);
        assert_eq!(net.machines[0].poll_timeout(), Some(net.now), "the loopback wants to be carried");
        net.machines[0].handle_timeout(net.now);
        assert_eq!(net.machines[0].counters().drops(DropReason::IcmpUnasked), before + 1, "{to}");
    }
    net.run();
    assert!(net.take_causes().is_empty());
}

#[test]
fn packet_ids_name_machine_and_number() {
    let mut net = Net::pair();
    let mut frame = TxFrame::default();
    assert!(net.machines[1].poll_transmit(net.now, ETH, &mut frame));
    assert_eq!(frame.id.to_string(), "2:1");
}

#[test]
fn martians_are_dropped() {
    let mut net = Net::pair();
    net.run();
    let mut send = |source: &str, destination: &str| {
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::from_static(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]));
        let header = ipv4::Header {
            header_len: 20,
            total_len: 0,
            tos: 0,
            ident: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 9,
            protocol: 1,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        header.emit(&mut frame);
        let ethernet = crate::wire::ethernet::Header {
            destination: crate::testing::mac(0, 1),
            source: crate::testing::mac(1, 1),
            ethertype: 0x0800,
        };
        ethernet.emit(&mut frame);
        net.inject((0, ETH), &frame.to_vec())
    };
    for source in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "10.0.0.255",
        "10.0.0.1",
    ] {
        assert_eq!(send(source, "10.0.0.1"), Outcome::Dropped(DropReason::IpMartianSource), "{source}");
    }
    for destination in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "240.0.0.1"] {
        let outcome = send("10.0.0.2", destination);
        assert_eq!(outcome, Outcome::Dropped(DropReason::IpMartianDestination), "{destination}");
    }
    assert_eq!(send("10.0.0.2", "10.0.0.3"), Outcome::Dropped(DropReason::IpNotForUs));
    assert_eq!(send("10.0.0.2", "224.0.0.9"), Outcome::Dropped(DropReason::IpNotForUs));
    assert_eq!(send("10.0.0.2", "10.0.0.255"), Outcome::Dropped(DropReason::IcmpBroadcastEcho));
    assert_eq!(send("10.0.0.2", "10.0.0.1"), Outcome::Answered { with: "echo reply" });
}

/// Carries `data` over TCP from `a` to `to`, where `b` listens; returns what came.
fn transfer(net: &mut Net, a: usize, b: usize, to: &str, data: &[u8]) -> Vec<u8> {
    let listener = net.socket(b, SocketKind::Stream);
    net.machines[b].bind(listener, to.parse().unwrap()).unwrap();
    net.machines[b].listen(net.now, listener, 5).unwrap();
    let client = net.socket(a, SocketKind::Stream);
    assert_eq!(net.connect(a, client, to), Err(Errno::EINPROGRESS));
    net.run();
    let (server, _) = net.machines[b].accept(net.now, listener).unwrap();
    let (mut sent, mut received) = (0, Vec::new());
    for _ in 0..10_000 {
        if sent < data.len() {
            sent += net.send(a, client, &data[sent..]).unwrap_or(0);
        }
        net.advance(Duration::from_millis(1));
        while let Ok((bytes, _)) = net.recv(b, server) {
            received.extend(bytes);
        }
        if received.len() >= data.len() {
            break;
        }
    }
    for (machine, id) in [(a, client), (b, server), (b, listener)] {
        net.machines[machine].close(net.now, id).unwrap();
    }
    net.advance(Duration::from_secs(1));
    received
}

fn bytes(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i * 7 / 8) as u8).collect()
}

#[test]
fn tcp_over_a_link() {
    let mut net = Net::pair();
    let data = bytes(300_000);
    assert!(transfer(&mut net, 0, 1, "10.0.0.2:80", &data) == data);
    assert_eq!(net.super_frames, 0);
}

#[test]
fn tcp_over_the_loopback() {
    let mut net = Net::pair();
    let data = bytes(300_000);
    for to in ["127.0.0.1:80", "10.0.0.1:81"] {
        assert!(transfer(&mut net, 0, 0, to, &data) == data, "{to}");
    }
    assert!(net.sent.iter().all(|sent| sent.bytes[12..14] == [8, 6]), "nothing but ARP leaves");
}

#[test]
fn tcp_over_links_that_segment_and_checksum() {
    let mut net = Net::new();
    let (a, b) = (net.machine(), net.machine());
    let offloads = |config: &mut InterfaceConfig| {
        config.offloads = Offloads { tx_checksum: true, tso_max: 65_000, ..Offloads::default() };
    };
    let ends = [
        net.interface_with(a, &["10.0.0.1/24"], offloads),
        net.interface_with(b, &["10.0.0.2/24"], offloads),
    ];
    net.link(&ends);
    let data = bytes(300_000);
    assert!(transfer(&mut net, 0, 1, "10.0.0.2:80", &data) == data);
    assert!(net.super_frames > 0, "there were super-frames to segment");
}

/// Remembers the longest frame that was sent.
struct Longest(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl crate::capture::Observer for Longest {
    fn sent(&mut self, _now: Instant, _interface: InterfaceId, frame: &TxFrame) {
        self.0.fetch_max(frame.len(), std::sync::atomic::Ordering::Relaxed);
    }

    fn received(&mut self, _now: Instant, _interface: InterfaceId, _frame: &RxFrame, _outcome: &Outcome) {}
}

#[test]
fn who_watches_sees_frames_as_the_wire_has_them_and_counters_count_those() {
    let mut net = Net::new();
    let (a, b) = (net.machine(), net.machine());
    let cuts = |config: &mut InterfaceConfig| {
        config.offloads = Offloads { tso_max: 65_000, software: true, ..Offloads::default() };
    };
    let ends = [net.interface_with(a, &["10.0.0.1/24"], cuts), net.interface_with(b, &["10.0.0.2/24"], cuts)];
    net.link(&ends);
    let data = bytes(300_000);
    assert!(transfer(&mut net, a, b, "10.0.0.2:80", &data) == data);
    let super_frames = net.super_frames;
    assert!(super_frames > 0, "the device cuts them");
    let (sent, received) = (net.machines[a].counters(), net.machines[b].counters());
    assert_eq!((sent.frames_out, sent.bytes_out), (received.frames_in, received.bytes_in));

    let longest = std::sync::Arc::default();
    net.machines[a].set_observer(Some(Box::new(Longest(std::sync::Arc::clone(&longest)))));
    assert!(transfer(&mut net, a, b, "10.0.0.2:81", &data) == data);
    assert_eq!((net.super_frames, longest.load(std::sync::atomic::Ordering::Relaxed)), (super_frames, 1514));
}

#[test]
fn a_full_loopback_drops_by_name() {
    let mut net = Net::pair();
    for _ in 0..600 {
        let machine = &mut net.machines[0];
        let route = machine.ip.route("127.0.0.1".parse().unwrap(), None, None, false).unwrap();
        let packet = crate::ip::PacketOut {
            source: route.source,
            destination: route.next_hop,
            protocol: icmp::PROTOCOL,
            ttl: 64,
            tos: 0,
            dont_fragment: false,
        };
        if let Err(reason) = machine.ip.send(&mut machine.cx, &route, &packet, TxFrame::default()) {
            assert_eq!(reason, DropReason::LoopbackFull);
            return;
        }
    }
    panic!("the loopback takes anything");
}

/// A router with open sockets of each kind, as much of a target as there can be.
fn target() -> (Net, usize) {
    let mut net = Net::new();
    let b = net.machine();
    net.interface_with(b, &["10.9.0.2/24"], |config| {
        config.mac = MacAddr([0x86, 0x21, 0x83, 0xa5, 0x16, 0x16]);
    });
    net.interface(b, &["10.8.0.1/24"]);
    net.machines[b].set_forwarding(true);
    net.udp(b, "0.0.0.0:9999");
    let echo = net.socket(b, SocketKind::Echo);
    net.machines[b].bind(echo, "0.0.0.0:9612".parse().unwrap()).unwrap();
    let listener = net.socket(b, SocketKind::Stream);
    net.machines[b].bind(listener, "0.0.0.0:7000".parse().unwrap()).unwrap();
    net.machines[b].listen(net.now, listener, 5).unwrap();
    (net, b)
}

/// Makes a damaged IPv4 header's checksum right again, so that the damage gets further.
fn repair(frame: &mut [u8]) {
    let header_len = usize::from(frame.get(14).copied().unwrap_or(0) & 15) * 4;
    if let Some(header) = frame.get_mut(14..14 + header_len).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let sum = crate::wire::checksum::Sum::default().bytes(header).checksum();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

proptest! {
    #[test]
    fn any_bytes_do_not_panic(
        frames in proptest::collection::vec(
            (
                proptest::collection::vec(any::<u8>(), 0..120), 0usize..11,
                proptest::collection::vec((0usize..90, any::<u8>()), 0..5), 10usize..200, any::<(bool, u8)>(),
            ),
            1..8,
        ),
    ) {
        let (mut net, b) = target();
        // Bytes at random don't get far: most are captured frames with some damage.
        let captured = [
            captured::ARP_REQUEST, captured::ECHO_REQUEST, captured::UDP_KNOCK, captured::TCP_SYN,
            captured::TCP_DATA, captured::ARP_REPLY, captured::ECHO_REPLY, captured::PORT_UNREACHABLE,
            captured::TCP_RST, captured::ECHO_REQUEST,
        ];
        for (bytes, template, changes, cut, (repaired, kind)) in frames {
            let mut frame = captured.get(template).map_or(bytes, |hex| captured::bytes(hex));
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(cut);
            if repaired {
                repair(&mut frame);
            }
            let gso = match kind {
                0..30 => Some(Gso { kind: GsoKind::Tcp4, size: u16::from(kind) }),
                30..60 => Some(Gso { kind: GsoKind::Udp4, size: u16::from(kind) - 30 }),
                _ => None,
            };
            let checksum = match kind % 3 {
                0 => RxChecksum::Unverified,
                1 => RxChecksum::Verified,
                _ => RxChecksum::Partial { start: u16::from(kind), offset: 16 },
            };
            let frame = RxFrame { gso, checksum, ..RxFrame::new(frame) };
            for interface in [InterfaceId::LOOPBACK, ETH, InterfaceId(9)] {
                let _ = net.machines[b].handle_frame(net.now, interface, frame.clone());
            }
            net.run();
        }
        net.advance(Duration::from_secs(40));
    }
}
