//! ARP between machines: resolution, time-outs, conflicts, announcements, and the table's bound.

use super::interface::EGRESS_MAX;
use super::neighbours::{NEIGHBOURS_MAX, PARKED_MAX};
use super::*;
use crate::frame::{DropReason, TxFrame};
use crate::socket::{Errno, OptionName, SocketId, SocketOption};
use crate::stack::{InterfaceId, MacAddr};
use crate::testing::{Net, cidr, mac};
use crate::time::Duration;
use crate::wire::{arp, ethernet};
use core::net::Ipv4Addr;

const ETH: InterfaceId = InterfaceId(1);
const B: &str = "10.0.0.2";

/// An ARP packet as a frame.
fn arp(
    operation: arp::Operation,
    sender_mac: MacAddr,
    sender: &str,
    target_mac: MacAddr,
    target: &str,
) -> Vec<u8> {
    let mut frame = TxFrame::default();
    let (sender, target) = (sender.parse().unwrap(), target.parse().unwrap());
    arp::Packet { operation, sender_mac, sender, target_mac, target }.emit(&mut frame);
    let destination = if target_mac == MacAddr::default() { MacAddr::BROADCAST } else { target_mac };
    ethernet::Header { destination, source: sender_mac, ethertype: ethernet::ETHERTYPE_ARP }.emit(&mut frame);
    frame.to_vec()
}

/// A neighbour's state as the first machine sees it.
fn state(net: &Net, address: &str) -> Option<NeighbourState> {
    let address: core::net::IpAddr = address.parse().unwrap();
    net.machines[0].neighbours().iter().find(|n| n.address == address).map(|n| n.state)
}

/// A machine on a link with nobody else, after its announcements.
fn alone() -> Net {
    let mut net = Net::new();
    let a = net.machine();
    let end = net.interface(a, &["10.0.0.1/24"]);
    net.link(&[end]);
    net.advance(Duration::from_secs(60));
    net.take_causes();
    net
}

fn stranger(last: u8) -> MacAddr {
    MacAddr([2, 9, 9, 9, 9, last])
}

#[test]
fn addresses_are_announced_twice() {
    let mut net = Net::pair();
    net.run();
    let announces = "announces its own address";
    assert_eq!(net.take_causes(), [format!("0 {announces}"), format!("1 {announces}")]);
    net.advance(Duration::from_millis(1_999));
    assert!(net.take_causes().is_empty());
    net.advance(Duration::from_secs(60));
    assert_eq!(net.take_causes(), [format!("0 {announces}"), format!("1 {announces}")]);

    net.machines[0].add_address(net.now, ETH, cidr("10.0.0.7/24")).unwrap();
    net.run();
    let sent = net.sent.pop().unwrap();
    let packet = arp::Packet::parse(&sent.bytes[14..]).unwrap();
    assert_eq!((packet.sender, packet.target), (Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(10, 0, 0, 7)));
}

#[test]
fn a_request_is_answered_and_its_sender_remembered() {
    let mut net = alone();
    let request = arp(arp::Operation::Request, stranger(2), B, MacAddr::default(), "10.0.0.1");
    assert_eq!(net.inject((0, ETH), &request), Outcome::Answered { with: "ARP reply" });
    net.run();
    let reply = arp::Packet::parse(&net.sent[0].bytes[14..]).unwrap();
    assert_eq!((reply.operation, reply.sender_mac), (arp::Operation::Reply, mac(0, 1)));
    assert_eq!((reply.target_mac, reply.target), (stranger(2), Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(state(&net, B), Some(NeighbourState::Stale));
}

#[test]
fn a_probe_for_our_address_is_answered_but_not_remembered() {
    let mut net = alone();
    let probe = arp(arp::Operation::Request, stranger(2), "0.0.0.0", MacAddr::default(), "10.0.0.1");
    assert_eq!(net.inject((0, ETH), &probe), Outcome::Answered { with: "ARP reply" });
    assert!(net.machines[0].neighbours().is_empty());
}

#[test]
fn what_is_not_about_us_is_not_remembered() {
    let mut net = alone();
    let request = arp(arp::Operation::Request, stranger(2), B, MacAddr::default(), "10.0.0.3");
    assert_eq!(net.inject((0, ETH), &request), Outcome::Dropped(DropReason::ArpNotForUs));
    let unasked = arp(arp::Operation::Reply, stranger(2), B, mac(0, 1), "10.0.0.1");
    assert_eq!(net.inject((0, ETH), &unasked), Outcome::Dropped(DropReason::ArpNotForUs));
    assert!(net.machines[0].neighbours().is_empty());
}

#[test]
fn impossible_senders_are_refused() {
    let mut net = alone();
    for (mac, address) in [
        (MacAddr([1, 0, 0, 0, 0, 1]), B),
        (MacAddr::default(), B),
        (stranger(2), "224.0.0.1"),
        (stranger(2), "127.0.0.1"),
        (stranger(2), "10.0.0.255"),
        (stranger(2), "255.255.255.255"),
    ] {
        let bytes = arp(arp::Operation::Request, mac, address, MacAddr::default(), "10.0.0.1");
        assert_eq!(net.inject((0, ETH), &bytes), Outcome::Dropped(DropReason::ArpBadSender), "{address}");
    }
}

#[test]
fn conflicts_are_defended_at_a_rate() {
    let mut net = alone();
    let conflict = arp(arp::Operation::Request, stranger(2), "10.0.0.1", MacAddr::default(), "10.0.0.1");
    assert_eq!(net.inject((0, ETH), &conflict), Outcome::Answered { with: "ARP defence" });
    assert_eq!(net.inject((0, ETH), &conflict), Outcome::Learned { what: "an address conflict" });
    net.advance(Duration::from_secs(9));
    assert_eq!(net.inject((0, ETH), &conflict), Outcome::Learned { what: "an address conflict" });
    net.advance(Duration::from_secs(1));
    assert_eq!(net.inject((0, ETH), &conflict), Outcome::Answered { with: "ARP defence" });
    net.run();
    assert_eq!(net.take_causes(), ["0 defends its address against another user of it"; 2]);
    assert_eq!(net.machines[0].counters().address_conflicts, 4);
    assert!(net.machines[0].neighbours().is_empty());
}

#[test]
fn the_table_is_bounded_and_keeps_what_is_in_use() {
    let mut net = alone();
    let ask = |net: &mut Net, number: usize| {
        let sender = format!("10.0.{}.{}", number / 250 + 1, number % 250 + 1);
        let request =
            arp(arp::Operation::Request, stranger(number as u8), &sender, MacAddr::default(), "10.0.0.1");
        net.inject((0, ETH), &request)
    };
    for number in 0..2 * NEIGHBOURS_MAX {
        assert_eq!(ask(&mut net, number), Outcome::Answered { with: "ARP reply" });
        net.run();
    }
    assert_eq!(net.machines[0].neighbours().len(), NEIGHBOURS_MAX);
}

/// A pair in which the first machine has just resolved the second.
fn resolved() -> (Net, SocketId) {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    let server = net.udp(1, "0.0.0.0:7");
    let client = net.udp(0, "0.0.0.0:1000");
    net.connect(0, client, "10.0.0.2:7").unwrap();
    net.send(0, client, b"x").unwrap();
    net.run();
    net.recv(1, server).unwrap();
    assert_eq!(state(&net, B), Some(NeighbourState::Reachable));
    net.take_causes();
    (net, client)
}

const PROBES: &str = "0 checks that neighbour 10.0.0.2 is still there";

#[test]
fn a_stale_neighbour_is_used_then_probed() {
    let (mut net, client) = resolved();
    net.advance(Duration::from_secs(31));
    net.send(0, client, b"x").unwrap();
    net.run();
    assert_eq!(state(&net, B), Some(NeighbourState::Delay));
    assert_eq!(net.take_causes(), ["0 a program's datagram"], "no ARP before it is sent");
    net.advance(Duration::from_millis(4_999));
    assert!(net.take_causes().is_empty());
    net.advance(Duration::from_millis(1));
    assert_eq!(net.take_causes(), [PROBES, "1 answers an ARP request"]);
    assert_eq!(state(&net, B), Some(NeighbourState::Reachable));
    // What is not used is not probed, however long.
    net.advance(Duration::from_secs(3600));
    assert!(net.take_causes().is_empty());
}

#[test]
fn probes_go_to_the_neighbour_itself_and_end_in_failure() {
    let (mut net, client) = resolved();
    net.advance(Duration::from_secs(31));
    net.lose = Box::new(|_| true);
    net.send(0, client, b"x").unwrap();
    net.advance(Duration::from_secs(5));
    assert_eq!(state(&net, B), Some(NeighbourState::Probe));
    assert_eq!(net.sent[1].bytes[..6], mac(1, 1).0);
    net.advance(Duration::from_millis(2_999));
    assert_eq!(net.take_causes()[1..], [PROBES, PROBES, PROBES]);
    assert_eq!(state(&net, B), Some(NeighbourState::Probe));
    net.advance(Duration::from_millis(1));
    assert_eq!(state(&net, B), Some(NeighbourState::Failed));
    net.send(0, client, b"x").unwrap();
    net.run();
    assert_eq!(net.recv(0, client), Err(Errno::EHOSTUNREACH));
}

#[test]
fn progress_upstairs_makes_probes_needless() {
    let (mut net, client) = resolved();
    net.advance(Duration::from_secs(31));
    net.send(0, client, b"x").unwrap();
    net.run();
    assert_eq!(state(&net, B), Some(NeighbourState::Delay));
    let now = net.now;
    net.machines[0].ip.confirm(now, ETH, B.parse().unwrap());
    assert_eq!(state(&net, B), Some(NeighbourState::Reachable));
    net.take_causes();
    net.advance(Duration::from_secs(20));
    assert!(net.take_causes().is_empty());
}

#[test]
fn a_neighbour_that_moves_is_followed() {
    let (mut net, client) = resolved();
    let moved = arp(arp::Operation::Request, stranger(7), B, MacAddr::default(), B);
    assert_eq!(net.inject((0, ETH), &moved), Outcome::Learned { what: "ARP request" });
    assert_eq!(state(&net, B), Some(NeighbourState::Stale));
    net.send(0, client, b"x").unwrap();
    net.run();
    assert_eq!(net.sent[0].bytes[..6], stranger(7).0);
}

#[test]
fn a_neighbour_is_forgotten_on_request_and_its_timers_with_it() {
    let (mut net, client) = resolved();
    let forget = |net: &mut Net, last: u8| {
        let address = core::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        net.machines[0].forget_neighbour(ETH, address)
    };
    // One more behind it, which takes its place in the table.
    let other = arp(arp::Operation::Request, stranger(7), "10.0.0.7", MacAddr::default(), "10.0.0.1");
    net.inject((0, ETH), &other);
    net.run();
    net.take_causes();
    assert_eq!(forget(&mut net, 9), Err(Errno::EADDRNOTAVAIL), "nobody knows it");
    assert_eq!(forget(&mut net, 2), Ok(()));
    assert_eq!(state(&net, B), None);
    assert_eq!(state(&net, "10.0.0.7"), Some(NeighbourState::Stale));
    // The next use asks again, and what waits keeps it from being forgotten.
    net.lose = Box::new(|_| true);
    net.send(0, client, b"x").unwrap();
    net.run();
    assert_eq!(state(&net, B), Some(NeighbourState::Incomplete));
    assert_eq!(forget(&mut net, 2), Err(Errno::EADDRNOTAVAIL), "it is being asked for");
    assert_eq!(forget(&mut net, 7), Ok(()));
    net.advance(Duration::from_secs(10));
    assert_eq!(state(&net, B), Some(NeighbourState::Failed), "its timers still run");
}

#[test]
fn parked_packets_are_bounded() {
    let mut net = alone();
    let client = net.udp(0, "0.0.0.0:1000");
    net.set(0, client, SocketOption::SendBuffer(1 << 20));
    for _ in 0..PARKED_MAX + 10 {
        net.send_to(0, client, b"x", "10.0.0.2:7").unwrap();
    }
    net.run();
    assert!(net.machines[0].readiness(client).unwrap().writable);
    let left = net.machines[0].option(client, OptionName::OutQueue);
    assert_eq!(left, Ok(SocketOption::OutQueue(10)), "what can't be parked waits in its socket");
}

#[test]
fn control_and_senders_take_turns() {
    let (mut net, client) = resolved();
    let now = net.now;
    for _ in 0..3 {
        net.send(0, client, b"data").unwrap();
        let request = arp(arp::Operation::Request, mac(1, 1), B, MacAddr::default(), "10.0.0.1");
        net.inject((0, ETH), &request);
    }
    let mut frame = TxFrame::default();
    let mut order = Vec::new();
    while net.machines[0].poll_transmit(now, ETH, &mut frame) {
        order.push(frame.cause.to_string());
    }
    order.dedup();
    assert_eq!(order.len(), 6, "they alternate: {order:?}");
}

#[test]
fn the_egress_queue_is_bounded() {
    let (mut net, _) = resolved();
    let request = arp(arp::Operation::Request, mac(1, 1), B, MacAddr::default(), "10.0.0.1");
    for _ in 0..EGRESS_MAX + 5 {
        net.inject((0, ETH), &request);
    }
    assert_eq!(net.drops(0, DropReason::EgressFull), 5);
    net.run();
    assert_eq!(net.sent.len(), EGRESS_MAX);
}
