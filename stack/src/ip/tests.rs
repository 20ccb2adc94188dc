//! IP between machines: routes, fragments, routers, and what ICMP says about it all.

use crate::frame::{DropReason, Gso, GsoKind, Outcome, RxChecksum, RxFrame, TxFrame};
use crate::icmp::IcmpErrorKind;
use crate::ip::RouteEntry;
use crate::socket::{Errno, SocketId, SocketOption};
use crate::stack::{InterfaceId, Medium};
use crate::testing::{Net, cidr, mac};
use crate::time::Duration;
use crate::wire::{checksum, ethernet, ipv4, tcp, udp};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr};

const ETH: InterfaceId = InterfaceId(1);

/// a (10.0.1.1) — r — b (10.0.2.1); the second link carries packets of `mtu` bytes.
struct Routed {
    net: Net,
    a: usize,
    r: usize,
    b: usize,
}

fn routed(mtu: u16) -> Routed {
    let mut net = Net::new();
    let (a, r, b) = (net.machine(), net.machine(), net.machine());
    let (a_eth, b_eth) = (
        net.interface(a, &["10.0.1.1/24"]),
        net.interface_with(b, &["10.0.2.1/24"], |config| config.mtu = mtu),
    );
    let (r_a, r_b) = (
        net.interface(r, &["10.0.1.254/24"]),
        net.interface_with(r, &["10.0.2.254/24"], |config| config.mtu = mtu),
    );
    net.link(&[a_eth, r_a]);
    net.link(&[b_eth, r_b]);
    net.machines[r].set_forwarding(true);
    for (machine, gateway) in [(a, Ipv4Addr::new(10, 0, 1, 254)), (b, Ipv4Addr::new(10, 0, 2, 254))] {
        net.machines[machine].add_route(RouteEntry::default_via(gateway, ETH)).unwrap();
    }
    net.advance(Duration::from_secs(3));
    net.take_causes();
    Routed { net, a, r, b }
}

/// The oldest error about a datagram of this socket.
fn error(net: &mut Net, machine: usize, id: SocketId) -> Option<(IcmpErrorKind, String)> {
    let entry = net.machines[machine].recv_error(id).unwrap()?;
    Some((entry.kind, entry.from.to_string()))
}

#[test]
fn routes_follow_addresses() {
    let mut net = Net::pair();
    let list = |net: &Net| -> Vec<String> {
        net.machines[0].routes().iter().map(|r| format!("{}/{}", r.destination, r.prefix_len)).collect()
    };
    assert_eq!(list(&net), ["10.0.0.0/24"]);
    net.machines[0].add_address(net.now, ETH, cidr("10.0.0.3/24")).unwrap();
    net.machines[0].add_address(net.now, ETH, cidr("172.16.0.1/30")).unwrap();
    assert_eq!(list(&net), ["172.16.0.0/30", "10.0.0.0/24"]);
    assert_eq!(net.machines[0].add_address(net.now, ETH, cidr("10.0.0.3/24")), Err(Errno::EADDRINUSE));
    for bad in ["10.0.0.255/24", "10.0.0.0/24", "224.0.0.1/24", "0.0.0.0/0", "255.255.255.255/32"] {
        let added = net.machines[0].add_address(net.now, ETH, cidr(bad));
        assert_eq!(added, Err(Errno::EINVAL), "{bad}");
    }
    let gateway = RouteEntry::default_via(Ipv4Addr::new(10, 9, 9, 9), ETH);
    assert_eq!(net.machines[0].add_route(gateway), Err(Errno::ENETUNREACH), "not on the link");
    net.machines[0].remove_address(Ipv4Addr::new(10, 0, 0, 1)).unwrap();
    assert_eq!(list(&net), ["172.16.0.0/30", "10.0.0.0/24"], "another address keeps the subnet");
    net.machines[0].remove_address(Ipv4Addr::new(10, 0, 0, 3)).unwrap();
    assert_eq!(list(&net), ["172.16.0.0/30"]);
    assert_eq!(net.machines[0].remove_address(Ipv4Addr::new(10, 0, 0, 3)), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn the_source_is_chosen_for_the_next_hop() {
    let mut net = Net::pair();
    net.machines[0].add_address(net.now, ETH, cidr("172.16.0.1/24")).unwrap();
    net.machines[0].add_route(RouteEntry::default_via(Ipv4Addr::new(172, 16, 0, 254), ETH)).unwrap();
    let route = |net: &Net, to: &str, source: Option<&str>| {
        let source = source.map(|source| source.parse().unwrap());
        net.machines[0].ip.route(to.parse().unwrap(), source, None, false)
    };
    let source = |to: &str| route(&net, to, None).unwrap().source.to_string();
    assert_eq!(source("10.0.0.9"), "10.0.0.1");
    assert_eq!(source("172.16.0.9"), "172.16.0.1");
    assert_eq!(source("8.8.8.8"), "172.16.0.1");
    assert_eq!(source("127.0.0.9"), "127.0.0.1");
    assert_eq!(source("10.0.0.1"), "10.0.0.1");
    assert_eq!(route(&net, "8.8.8.8", Some("10.0.0.1")).unwrap().source.to_string(), "10.0.0.1");
    assert_eq!(route(&net, "8.8.8.8", Some("10.0.0.9")), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(route(&net, "8.8.8.8", Some("127.0.0.1")), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(route(&net, "10.0.0.255", None), Err(Errno::EACCES));
}

#[test]
fn large_datagrams_are_fragmented_and_reassembled() {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    net.take_causes();
    let (server, client) = (net.udp(1, "0.0.0.0:7"), net.udp(0, "0.0.0.0:1000"));
    let data: Vec<u8> = (0..65_507u32).map(|i| (i * 7 / 8) as u8).collect();
    for len in [1472, 1473, 4000, 65_507] {
        net.send_to(0, client, &data[..len], "10.0.0.2:7").unwrap();
        net.run();
        assert_eq!(net.recv(1, server).unwrap().0, &data[..len], "{len}");
    }
    let causes = net.take_causes();
    assert_eq!(
        causes[..5],
        [
            "0 asks who has next hop 10.0.0.2",
            "1 answers an ARP request",
            "0 a program's datagram",
            "0 fragment at byte 0, more follow",
            "0 fragment at byte 1480, the last",
        ]
    );
    assert_eq!(net.machines[1].counters().reassembled, 3);
    assert_eq!(net.machines[0].counters().fragments_out, 2 + 3 + 45);
}

#[test]
fn a_missing_fragment_is_reported_when_the_time_is_up() {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    let (_, client) = (net.udp(1, "0.0.0.0:7"), net.udp(0, "0.0.0.0:1000"));
    net.send_to(0, client, b"hello", "10.0.0.2:7").unwrap();
    net.run();
    let next = net.sent.len();
    net.lose = Box::new(move |number| number == next + 1);
    net.send_to(0, client, &[1; 2000], "10.0.0.2:7").unwrap();
    net.advance(Duration::from_secs(29));
    assert_eq!(error(&mut net, 0, client), None);
    net.advance(Duration::from_secs(2));
    assert_eq!(error(&mut net, 0, client), Some((IcmpErrorKind::TimeExceeded, "10.0.0.2".into())));
    assert_eq!(net.drops(1, DropReason::ReassemblyTimeout), 1);
}

#[test]
fn routers_pass_on_and_keep_packet_ids() {
    let Routed { mut net, a, r, b } = routed(1500);
    let (server, client) = (net.udp(b, "0.0.0.0:7"), net.udp(a, "0.0.0.0:1000"));
    net.send_to(a, client, b"far away", "10.0.2.1:7").unwrap();
    net.run();
    assert_eq!(net.recv(b, server), Ok((b"far away".to_vec(), "10.0.1.1:1000".into())));
    assert_eq!(net.machines[r].counters().forwarded, 1);
    let passed: Vec<&crate::testing::Sent> = net
        .sent
        .iter()
        .filter(|sent| sent.cause.contains("datagram") || sent.cause.contains("forwarded"))
        .collect();
    assert_eq!(passed.len(), 2);
    assert_eq!((passed[0].bytes[22], passed[1].bytes[22]), (64, 63), "one hop fewer to live");
    let parked: IpAddr = "10.0.2.1".parse().unwrap();
    assert_eq!(passed[0].outcomes, [Outcome::Parked { next_hop: parked }]);
    assert_eq!(passed[1].outcomes, [Outcome::Delivered { socket: server }]);
    assert_eq!(passed[0].id, passed[1].id);
    assert_eq!(passed[1].id.to_string().split(':').next(), Some("1"), "machine 1 made it");
}

#[test]
fn traceroute_sees_every_hop() {
    let Routed { mut net, a, .. } = routed(1500);
    let client = net.udp(a, "0.0.0.0:1000");
    let mut hops = Vec::new();
    for ttl in 1..=2 {
        net.set(a, client, SocketOption::Ttl(ttl));
        net.send_to(a, client, b"who", "10.0.2.1:33434").unwrap();
        net.run();
        hops.extend(error(&mut net, a, client));
    }
    let far = (IcmpErrorKind::PortUnreachable, "10.0.2.1".into());
    assert_eq!(hops, [(IcmpErrorKind::TimeExceeded, "10.0.1.254".into()), far]);
}

#[test]
fn routers_say_why_not() {
    let Routed { mut net, a, r, b } = routed(1500);
    let client = net.udp(a, "0.0.0.0:1000");
    net.send_to(a, client, b"x", "192.168.7.7:7").unwrap();
    net.run();
    let router = String::from("10.0.1.254");
    assert_eq!(error(&mut net, a, client), Some((IcmpErrorKind::NetUnreachable, router.clone())));
    net.send_to(a, client, b"x", "10.0.2.77:7").unwrap();
    net.advance(Duration::from_secs(4));
    assert_eq!(error(&mut net, a, client), Some((IcmpErrorKind::HostUnreachable, router.clone())));
    net.set(a, client, SocketOption::Broadcast(true));
    net.send_to(a, client, b"x", "10.0.2.255:7").unwrap();
    net.run();
    assert_eq!(net.drops(r, DropReason::IpMartianDestination), 1, "no directed broadcasts (RFC 2644)");
    net.machines[r].set_forwarding(false);
    net.send_to(a, client, b"x", "10.0.2.1:7").unwrap();
    net.run();
    assert_eq!(net.drops(r, DropReason::IpNotForUs), 1);
    assert_eq!(error(&mut net, a, client), None);
    assert_eq!(net.machines[b].counters().drops(DropReason::UdpNoPort), 0);
}

#[test]
fn routers_fragment_or_refuse() {
    let Routed { mut net, a, r, b } = routed(576);
    let (server, client) = (net.udp(b, "0.0.0.0:7"), net.udp(a, "0.0.0.0:1000"));
    let data: Vec<u8> = (0..4000u32).map(|i| (i * 3 / 4) as u8).collect();
    net.send_to(a, client, &data, "10.0.2.1:7").unwrap();
    net.run();
    assert_eq!(net.recv(b, server).unwrap().0, data, "fragments of fragments");

    // The same with don't-fragment, by hand.
    let mut frame = TxFrame::default();
    frame.payload.push(Bytes::from(data[..1000].to_vec()));
    let (source, destination) = (Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1));
    udp::Header { src_port: 1000, dst_port: 7 }.emit(&mut frame, source.into(), destination.into(), false);
    ipv4_header(udp::PROTOCOL, source, destination, true).emit(&mut frame);
    to_router(&mut frame);
    let outcome = net.inject((r, ETH), &frame.to_vec());
    assert_eq!(outcome, Outcome::Dropped(DropReason::FragmentationNeeded));
    net.run();
    let needed = IcmpErrorKind::FragmentationNeeded { mtu: 576 };
    assert_eq!(error(&mut net, a, client), Some((needed, "10.0.1.254".into())));
}

fn ipv4_header(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, dont_fragment: bool) -> ipv4::Header {
    ipv4::Header {
        header_len: 20,
        total_len: 0,
        tos: 0,
        ident: 0,
        dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol,
        source,
        destination,
    }
}

/// The link header of a frame from a's interface to r's first.
fn to_router(frame: &mut TxFrame) {
    let (destination, source) = (mac(1, 1), mac(0, 1));
    ethernet::Header { destination, source, ethertype: ethernet::ETHERTYPE_IPV4 }.emit(frame);
}

#[test]
fn super_frames_are_segmented_for_links_without_offloads() {
    let Routed { mut net, a, r, b } = routed(1500);
    // The router has to know b, so that frames aren't parked.
    let (server, client) = (net.udp(b, "0.0.0.0:7"), net.udp(a, "0.0.0.0:1000"));
    net.send_to(a, client, b"x", "10.0.2.1:7").unwrap();
    net.run();
    net.recv(b, server).unwrap();
    net.sent.clear();
    let towards_b = InterfaceId(2);

    let (source, destination) = (Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1));
    let data: Vec<u8> = (0..10_000u32).map(|i| (i * 5 / 2) as u8).collect();
    for kind in [GsoKind::Tcp4, GsoKind::Udp4] {
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::from(data.clone()));
        let protocol = if kind == GsoKind::Tcp4 { tcp::PROTOCOL } else { udp::PROTOCOL };
        match kind {
            GsoKind::Tcp4 => tcp::Header { src_port: 1000, dst_port: 9, seq: 5, ..tcp::Header::default() }
                .emit(&mut frame, source.into(), destination.into(), true),
            GsoKind::Udp4 => udp::Header { src_port: 1000, dst_port: 7 }.emit(
                &mut frame,
                source.into(),
                destination.into(),
                true,
            ),
        }
        ipv4_header(protocol, source, destination, true).emit(&mut frame);
        to_router(&mut frame);
        let rx = RxFrame {
            bytes: frame.to_vec().into(),
            checksum: RxChecksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind, size: 1400 }),
            ..RxFrame::default()
        };
        let next_hop = destination.into();
        let outcome = net.machines[r].handle_frame(net.now, ETH, rx);
        assert_eq!(outcome, Outcome::Forwarded { next_hop });
        net.run(); // Which has etherparse check every segment.
        assert_eq!(
            net.sent.iter().filter(|sent| (sent.machine, sent.interface) == (r, towards_b)).count(),
            8
        );
        net.sent.clear();
    }
    let mut received = Vec::new();
    while let Ok((datagram, _)) = net.recv(b, server) {
        received.extend(datagram);
    }
    assert_eq!(received, data);
}

#[test]
fn partial_checksums_are_completed_for_links_without_offloads() {
    let Routed { mut net, a, r, b } = routed(1500);
    let (server, client) = (net.udp(b, "0.0.0.0:7"), net.udp(a, "0.0.0.0:1000"));
    let (source, destination) = (Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1));
    let mut frame = TxFrame::default();
    frame.payload.push(Bytes::from_static(b"left to others"));
    udp::Header { src_port: 1000, dst_port: 7 }.emit(&mut frame, source.into(), destination.into(), true);
    ipv4_header(udp::PROTOCOL, source, destination, false).emit(&mut frame);
    to_router(&mut frame);
    let rx = RxFrame {
        bytes: frame.to_vec().into(),
        checksum: RxChecksum::Partial { start: 34, offset: checksum::UDP_CHECKSUM_AT },
        ..RxFrame::default()
    };
    net.machines[r].handle_frame(net.now, ETH, rx);
    net.run();
    assert_eq!(net.recv(b, server).unwrap().0, b"left to others");
    let _ = client;
}

#[test]
fn errors_are_limited_and_never_answer_errors() {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    let client = net.udp(0, "0.0.0.0:1000");
    for _ in 0..70 {
        net.send_to(0, client, b"x", "10.0.0.2:9").unwrap();
    }
    net.run();
    assert_eq!(net.machines[1].counters().icmp_errors_out, 50);
    assert_eq!(net.drops(1, DropReason::IcmpSuppressed), 20);

    // An ICMP error to a machine without such a socket is dropped, and that's that.
    net.machines[0].close(net.now, client).unwrap();
    net.advance(Duration::from_secs(1));
    let stray = net.sent.iter().rev().find(|sent| sent.cause.contains("unreachable")).unwrap().bytes.clone();
    let outcome = net.inject((0, ETH), &stray);
    assert_eq!(outcome, Outcome::Dropped(DropReason::IcmpUnmatched));
    net.sent.clear();
    net.run();
    assert!(net.sent.is_empty());
}

#[test]
fn source_routes_are_refused_and_other_options_skipped() {
    let mut net = Net::pair();
    net.run();
    let with_option = |option: [u8; 4]| {
        let mut frame = TxFrame::default();
        frame.payload.push(Bytes::from_static(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]));
        let header = ipv4_header(1, Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1), false);
        header.emit(&mut frame);
        let mut bytes = frame.to_vec();
        bytes.splice(20..20, option);
        bytes[0] = 0x46;
        bytes[3] += 4;
        bytes[10..12].fill(0);
        let sum = checksum::Sum::default().bytes(&bytes[..24]).checksum();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut ethernet_frame = TxFrame::default();
        ethernet_frame.payload.push(bytes.into());
        ethernet::Header { destination: mac(0, 1), source: mac(1, 1), ethertype: 0x0800 }
            .emit(&mut ethernet_frame);
        ethernet_frame.to_vec()
    };
    let answered = Outcome::Answered { with: "echo reply" };
    for (option, outcome) in [
        ([148, 4, 0, 0], answered),                                   // Router alert.
        ([1, 1, 0, 255], answered),                                   // Padding and an end.
        ([131, 3, 4, 0], Outcome::Dropped(DropReason::IpBadOptions)), // Loose source route.
        ([137, 3, 4, 0], Outcome::Dropped(DropReason::IpBadOptions)), // Strict source route.
        ([7, 1, 0, 0], Outcome::Dropped(DropReason::IpBadOptions)),
        ([7, 9, 0, 0], Outcome::Dropped(DropReason::IpBadOptions)),
    ] {
        assert_eq!(net.inject((0, ETH), &with_option(option)), outcome, "{option:?}");
    }
}

#[test]
fn bare_ip_links_need_no_arp() {
    let mut net = Net::new();
    let (a, b) = (net.machine(), net.machine());
    let tunnel = |config: &mut crate::stack::InterfaceConfig| config.medium = Medium::Ip;
    let ends =
        [net.interface_with(a, &["10.0.0.1/31"], tunnel), net.interface_with(b, &["10.0.0.0/31"], tunnel)];
    net.link(&ends);
    let (server, client) = (net.udp(b, "0.0.0.0:7"), net.udp(a, "0.0.0.0:1000"));
    net.send_to(a, client, b"x", "10.0.0.0:7").unwrap();
    net.run();
    assert_eq!(net.recv(b, server).unwrap().0, b"x");
    assert_eq!(net.take_causes(), ["0 a program's datagram"]);
}
