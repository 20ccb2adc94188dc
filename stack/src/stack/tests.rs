//! Whole machines: pings over a link and over the loopback, and bytes that nobody would send.

use super::*;
use crate::frame::{DropReason, Outcome, RxFrame, TxFrame};
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

proptest! {
    #[test]
    fn any_bytes_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120), template in 0usize..7,
        changes in proptest::collection::vec((0usize..90, any::<u8>()), 0..6), cut in 0usize..120,
    ) {
        let mut net = Net::new();
        let b = net.machine();
        net.interface_with(b, &["10.9.0.2/24"], |config| {
            config.mac = MacAddr([0x86, 0x21, 0x83, 0xa5, 0x16, 0x16]);
        });
        // Bytes at random don't get far: most are captured frames with some damage.
        let captured = [
            captured::ARP_REQUEST, captured::ECHO_REQUEST, captured::UDP_KNOCK, captured::TCP_SYN,
            captured::TCP_DATA, captured::ARP_REPLY,
        ];
        let mut frame = captured.get(template).map_or(bytes, |hex| captured::bytes(hex));
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(cut.max(10));
        for interface in [InterfaceId::LOOPBACK, ETH, InterfaceId(9)] {
            let _ = net.machines[b].handle_frame(net.now, interface, RxFrame::new(frame.clone()));
            net.run();
        }
        net.advance(Duration::from_secs(40));
    }
}
