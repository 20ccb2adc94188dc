//! Tests of ladders, from frames that etherparse builds.
#![allow(clippy::unwrap_used)]

use super::*;
use etherparse::PacketBuilder;
use tapstack::capture::LinkType;

const A: [u8; 4] = [10, 0, 0, 2];
const B: [u8; 4] = [10, 0, 0, 3];
const KERNEL: [u8; 4] = [10, 0, 0, 1];

fn mac(ip: [u8; 4]) -> [u8; 6] {
    [2, 0, 0, 0, 0, ip[3]]
}

fn record(interface: &str, micros: u64, direction: Direction, comment: &str, bytes: Vec<u8>) -> Record {
    Record {
        interface: interface.into(),
        link: LinkType::Ethernet,
        unix_nanos: 1_000_000_000 + micros * 1000,
        direction: Some(direction),
        packet_id: 0,
        dropped: false,
        comment: comment.into(),
        original_len: bytes.len(),
        bytes,
    }
}

/// A TCP segment between the ports 40000 and 80.
fn tcp(from: [u8; 4], to: [u8; 4], seq: u32, ack: Option<u32>, flags: &str, payload: &[u8]) -> Vec<u8> {
    let ports = if from[3] < to[3] { (40000, 80) } else { (80, 40000) };
    let mut builder =
        PacketBuilder::ethernet2(mac(from), mac(to)).ipv4(from, to, 64).tcp(ports.0, ports.1, seq, 500);
    if flags.contains('S') {
        use etherparse::TcpOptionElement::{MaximumSegmentSize, WindowScale};
        builder = builder.syn().options(&[MaximumSegmentSize(1460), WindowScale(7)]).unwrap();
    }
    if flags.contains('F') {
        builder = builder.fin();
    }
    if let Some(ack) = ack {
        builder = builder.ack(ack);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn texts(records: &[Record], names: &[(IpAddr, &str)]) -> Vec<String> {
    ladder(records, names).iter().map(LadderLine::to_string).collect()
}

#[test]
fn a_handshake_between_two_captured_machines_is_one_line_a_frame() {
    use Direction::{In, Out};
    let syn = tcp(A, B, 1000, None, "S", b"");
    let syn_ack = tcp(B, A, u32::MAX, Some(1001), "S", b"");
    let data = tcp(A, B, 1001, Some(0), "", b"hello");
    let records = [
        record("a:tap0", 0, Out, "opens a connection", syn.clone()),
        record("b:tap0", 50, In, "part of a handshake", syn),
        record("b:tap0", 60, Out, "accepts a connection", syn_ack.clone()),
        record("a:tap0", 123, In, "part of a handshake", syn_ack),
        record("a:tap0", 1_000_200, Out, "new data", data.clone()),
        Record { dropped: true, ..record("b:tap0", 1_000_300, In, "dropped: no room", data) },
    ];
    let expected = [
        "0.000000  a → b  TCP 10.0.0.2:40000 > 10.0.0.3:80 [SYN] seq 0 win 500 len 0 mss 1460   opens a connection",
        "0.000060  b → a  TCP 10.0.0.3:80 > 10.0.0.2:40000 [SYN, ACK] seq 0 ack 1 win 500 len 0 mss 1460   \
         accepts a connection",
        "1.000200  a → b  TCP 10.0.0.2:40000 > 10.0.0.3:80 [ACK] seq 1 ack 1 win 64000 len 5   \
         new data → dropped: no room",
    ];
    assert_eq!(texts(&records, &[]), expected);
    let lines = ladder(&records, &[]);
    assert_eq!(lines[0].took, Some(Duration::from_micros(50)));
    assert!(lines[2].dropped);
}

#[test]
fn the_other_side_is_named_by_the_caller_or_its_address() {
    use Direction::{In, Out};
    let records = [
        record("a:tap0", 0, In, "delivered to socket 1", tcp(KERNEL, A, 7, Some(9), "", b"x")),
        record("a:tap0", 5, Out, "ACK: at once", tcp(A, KERNEL, 9, Some(8), "", b"")),
    ];
    let named = texts(&records, &[(IpAddr::from(KERNEL), "kernel")]);
    assert!(named[0].starts_with("0.000000  kernel → a  TCP"), "{}", named[0]);
    // A connection that was open before: its first numbers count as 1.
    assert!(named[0].contains("seq 1 ack 1 win 500 len 1"), "{}", named[0]);
    assert!(
        named[1].starts_with("0.000005  a → kernel  TCP") && named[1].contains("seq 1 ack 2"),
        "{}",
        named[1]
    );
    assert!(texts(&records, &[])[0].starts_with("0.000000  10.0.0.1 → a  TCP"));
}

#[test]
fn forwarded_packets_are_a_line_for_each_wire() {
    use Direction::{In, Out};
    let hop = |from: u8, to: u8| {
        let mut bytes = tcp(A, B, 5, None, "", b"x");
        bytes[5] = to;
        bytes[11] = from;
        bytes
    };
    let id =
        |record: Record| Record { packet_id: 77, dropped: record.comment.starts_with("dropped"), ..record };
    let records = [
        id(record("a:eth0", 0, Out, "new data", hop(2, 9))),
        id(record("r:eth0", 1, In, "forwarded to 10.0.0.3", hop(2, 9))),
        id(record("r:eth1", 2, Out, "forwarded for somebody else", hop(9, 3))),
        // The second wire damages it: it is still the same packet.
        id(record("b:eth0", 3, In, "dropped: bad TCP checksum", [hop(9, 3), vec![1]].concat())),
        // And delivers it again.
        id(record("b:eth0", 4, In, "delivered to socket 1", hop(9, 3))),
    ];
    let lines = ladder(&records, &[]);
    let brief: Vec<_> = lines.iter().map(|l| (&l.from[..], &l.to[..], l.why())).collect();
    let expected = [
        ("a", "r", "new data → forwarded to 10.0.0.3".to_owned()),
        ("r", "b", "forwarded for somebody else → dropped: bad TCP checksum".to_owned()),
        ("r", "b", "delivered to socket 1".to_owned()),
    ];
    assert_eq!(brief, expected);
}

#[test]
fn other_protocols_are_said_in_their_words() {
    let ethernet = |kind: [u8; 2], payload: &[u8]| [&[0xff; 6][..], &mac(A), &kind, payload].concat();
    let arp = |operation: u8, sender: [u8; 4], target: [u8; 4]| {
        ethernet(
            [8, 6],
            &[&[0, 1, 8, 0, 6, 4, 0, operation][..], &mac(A), &sender, &[0; 6], &target].concat(),
        )
    };
    let udp = {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(mac(A), mac(B))
            .ipv4(A, B, 64)
            .udp(5, 53)
            .write(&mut bytes, &[0; 30])
            .unwrap();
        bytes
    };
    let icmp = |kind: etherparse::Icmpv4Type, payload: &[u8]| {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(mac(A), mac(B))
            .ipv4(A, B, 64)
            .icmpv4(kind)
            .write(&mut bytes, payload)
            .unwrap();
        bytes
    };
    use etherparse::icmpv4::DestUnreachableHeader::{FragmentationNeeded, Port};
    use etherparse::{IcmpEchoHeader, Icmpv4Type};
    let mut fragment = udp.clone();
    fragment[20..22].copy_from_slice(&[0x20, 185]);
    let echo = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 7, seq: 1 });
    let cases = [
        (arp(1, A, KERNEL), "a → all  ARP who has 10.0.0.1? tell 10.0.0.2"),
        (arp(2, A, KERNEL), "a → all  ARP 10.0.0.2 is at 02:00:00:00:00:02"),
        (arp(1, A, A), "a → all  ARP 10.0.0.2 is at 02:00:00:00:00:02, to all"),
        (arp(1, [0; 4], A), "a → all  ARP does anybody use 10.0.0.2?"),
        (udp.clone(), "a → 10.0.0.3  UDP 10.0.0.2:5 > 10.0.0.3:53 len 30"),
        (
            fragment,
            "a → 10.0.0.3  IPv4 10.0.0.2 > 10.0.0.3 UDP (17) len 38 (fragment at byte 1480, more follow)",
        ),
        (icmp(echo, &[0; 56]), "a → 10.0.0.3  ICMP 10.0.0.2 > 10.0.0.3 echo request id 7 seq 1 len 56"),
        (
            icmp(Icmpv4Type::DestinationUnreachable(Port), &udp[14..42]),
            "a → 10.0.0.3  ICMP 10.0.0.2 > 10.0.0.3 port unreachable, about UDP 10.0.0.2:5 > 10.0.0.3:53",
        ),
        (
            icmp(Icmpv4Type::DestinationUnreachable(FragmentationNeeded { next_hop_mtu: 1400 }), &[]),
            "a → 10.0.0.3  ICMP 10.0.0.2 > 10.0.0.3 fragmentation needed, the next MTU is 1400",
        ),
        (ethernet([0x88, 0xcc], &[0; 46]), "a → all  Ethernet type 0x88cc, 60 bytes"),
        (vec![2, 0, 0], "a → ?  ? 3 bytes that can't be read"),
    ];
    for (bytes, expected) in cases {
        let text = texts(&[record("a:tap0", 0, Direction::Out, "", bytes)], &[]);
        assert_eq!(text, [format!("0.000000  {expected}")]);
    }
}

#[test]
fn malformed_frames_say_so_and_cut_ones_do_not() {
    let whole = tcp(A, B, 1, None, "", b"hello");
    let mut bad = whole.clone();
    bad[46] = 0x20;
    let line = &texts(&[record("a:tap0", 0, Direction::Out, "", bad)], &[])[0];
    assert!(line.contains("malformed"), "{line}");
    let cut =
        Record { original_len: whole.len(), ..record("a:tap0", 0, Direction::Out, "", whole[..54].to_vec()) };
    let line = &texts(&[cut], &[])[0];
    assert!(line.ends_with("len 5"), "{line}");
}

#[test]
fn records_out_of_order_are_put_in_order_and_none_are_no_ladder() {
    let at = |micros| record("a:tap0", micros, Direction::Out, "", tcp(A, B, 1, None, "", b""));
    let times: Vec<_> =
        ladder(&[at(5), at(1), at(3)], &[]).iter().map(|line| line.time.as_micros()).collect();
    assert_eq!(times, [0, 2, 4]);
    assert!(ladder(&[], &[]).is_empty());
}

#[test]
fn damaged_and_cut_frames_are_said_without_panic() {
    let known = tcp(A, B, 1, None, "S", b"hello");
    let mut records = Vec::new();
    for link in [LinkType::Ethernet, LinkType::Ip, LinkType::Other(9)] {
        let start = if link == LinkType::Ip { 14 } else { 0 };
        for at in start..known.len() {
            for value in 0..=255 {
                let mut bytes = known.clone();
                bytes[at] = value;
                records.push(Record {
                    link,
                    ..record("a:tap0", 0, Direction::Out, "", bytes[start..].to_vec())
                });
            }
            records
                .push(Record { link, ..record("a:tap0", 0, Direction::In, "", known[start..at].to_vec()) });
        }
    }
    assert_eq!(ladder(&records, &[]).len(), records.len());
}
