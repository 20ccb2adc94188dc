//! Tests of captures: read back through the reader, and by tshark where it is installed.

use super::*;
use crate::capture::{LinkType, Record, read};
use crate::frame::{AckWhy, Cause, Gso, GsoKind, PacketId, RetransmitWhy};
use crate::stack::Cidr;
use bytes::Bytes;
use std::process::{Command, Stdio};

fn interface(name: &str, last: u8, medium: Medium) -> InterfaceConfig {
    InterfaceConfig {
        name: name.into(),
        medium,
        mac: MacAddr([2, 0, 0, 0, 0, last]),
        mtu: 1500,
        addresses: vec![Cidr { address: [10, 0, 0, last].into(), prefix_len: 24 }],
        offloads: Offloads::default(),
    }
}

/// A UDP datagram from 10.0.0.1:7 to 10.0.0.2:9 with this payload, by the RFCs' diagrams.
fn udp(payload: &'static [u8]) -> TxFrame {
    let mut frame = TxFrame::new(CauseKind::Datagram.into());
    frame.payload.push(Bytes::from_static(payload));
    let udp_len = 8 + payload.len() as u16;
    let udp = frame.prepend(8);
    udp[..4].copy_from_slice(&[0, 7, 0, 9]);
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    // The pseudo-header's sum: both addresses, the protocol, the length.
    udp[6..8].copy_from_slice(&(0x0a00 + 1 + 0x0a00 + 2 + 17 + udp_len).to_be_bytes());
    let ip = frame.prepend(20);
    ip[..2].copy_from_slice(&[0x45, 0]);
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let sum = !smoltcp::wire::checksum::data(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let ethernet = frame.prepend(14);
    ethernet.copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    frame.checksum = TxChecksum::Partial { start: 34, offset: 6 };
    frame
}

const ETH: InterfaceId = InterfaceId(1);

/// Two machines' frames: one that crosses from a to b, and one that b drops.
fn two_machines() -> Capture {
    let capture = Capture::new(CaptureOptions::default());
    capture.add_interface("a", ETH, &interface("tap0", 1, Medium::Ethernet));
    capture.add_interface("b", ETH, &interface("tap0", 2, Medium::Ethernet));
    let (mut a, mut b) = (capture.observer("a"), capture.observer("b"));
    let mut frame = udp(b"hello, odd");
    frame.id = PacketId((1 << PacketId::MACHINE_SHIFT) + 5);
    a.sent(Instant::from_nanos(1_000_000_001), ETH, &frame);
    let mut received = frame.to_received();
    b.received(
        Instant::from_nanos(1_000_001_001),
        ETH,
        &received,
        &Outcome::Forwarded { next_hop: [10, 0, 0, 9].into() },
    );
    received.bytes = udp(b"x").completed();
    received.checksum = RxChecksum::Unverified;
    let outcome = Outcome::Dropped(DropReason::UdpNoPort);
    b.received(Instant::from_nanos(1_000_002_001), ETH, &received, &outcome);
    capture
}

#[test]
fn records_say_who_when_which_way_and_why() {
    let capture = two_machines();
    let read = read(&capture.take()).unwrap();
    assert!(!read.truncated);
    let [sent, delivered, dropped] = &read.records[..] else { panic!("three records: {read:?}") };
    let expected = Record {
        interface: "a:tap0".into(),
        link: LinkType::Ethernet,
        unix_nanos: SIM_EPOCH_UNIX_NANOS + 1_000_000_001,
        direction: Some(Direction::Out),
        packet_id: (1 << 40) + 5,
        dropped: false,
        comment: "a program's datagram".into(),
        original_len: 52,
        bytes: udp(b"hello, odd").completed().to_vec(),
    };
    assert_eq!(*sent, expected);
    let at_b = Record {
        interface: "b:tap0".into(),
        unix_nanos: SIM_EPOCH_UNIX_NANOS + 1_000_001_001,
        direction: Some(Direction::In),
        comment: delivered.comment.clone(),
        ..expected
    };
    assert_eq!(*delivered, at_b);
    assert!(delivered.comment.starts_with("forwarded to 10.0.0.9"));
    assert_eq!((dropped.dropped, &dropped.comment[..]), (true, "dropped: no UDP socket on that port"));
    assert_eq!(capture.stats().recorded, 3);
}

#[test]
fn taken_pieces_in_a_row_are_the_capture() {
    let whole = two_machines();
    let whole_bytes = whole.take();
    assert_eq!(whole.stats().bytes, whole_bytes.len() as u64);
    assert!(whole.take().is_empty());
    let mut more = whole_bytes.clone();
    whole.observer("a").sent(Instant::ZERO, ETH, &udp(b"y"));
    more.extend(whole.take());
    assert_eq!(read(&more).unwrap().records.len(), 4);
    assert_eq!(two_machines().take(), whole_bytes, "the same frames give the same bytes");
}

#[test]
fn snaplen_cuts_what_is_stored_but_not_what_it_says_it_was() {
    let capture = Capture::new(CaptureOptions { snaplen: 43, ..CaptureOptions::default() });
    capture.observer("a").sent(Instant::ZERO, ETH, &udp(b"hello"));
    let records = read(&capture.take()).unwrap().records;
    // The checksum is that of the whole datagram.
    assert_eq!((records[0].original_len, &records[0].bytes[..]), (47, &udp(b"hello").completed()[..43]));
    assert_eq!(&records[0].interface[..], "a:if1", "an interface that nobody described");
}

#[test]
fn full_buffers_miss_frames_and_say_how_many() {
    let capture = Capture::new(CaptureOptions { buffer_bytes_max: 1000, ..CaptureOptions::default() });
    let mut observer = capture.observer("a");
    for i in 0..100 {
        observer.sent(Instant::from_millis(i), ETH, &udp(b"hello"));
    }
    let first = capture.take();
    assert!(first.len() <= 1000);
    let stats = capture.stats();
    assert!(stats.recorded > 0 && stats.missed > 0 && stats.recorded + stats.missed == 100);
    observer.sent(Instant::from_millis(100), ETH, &udp(b"hello"));
    // epb_dropcount, eight bytes, of the record after the gap.
    let mut option = vec![4, 0, 8, 0];
    option.extend_from_slice(&stats.missed.to_le_bytes());
    assert!(capture.take().windows(12).any(|window| window == option));

    let capture = Capture::new(CaptureOptions { total_bytes_max: 2000, ..CaptureOptions::default() });
    let mut observer = capture.observer("a");
    let mut file = Vec::new();
    for i in 0..100 {
        observer.sent(Instant::from_millis(i), ETH, &udp(b"hello"));
        file.extend(capture.take());
    }
    assert!(file.len() <= 2000 && read(&file).is_ok());
}

#[test]
fn bulk_flows_are_limited_and_notable_frames_have_their_own_allowance() {
    let capture = Capture::new(CaptureOptions { flow_packets_max: Some(3), ..CaptureOptions::default() });
    let mut observer = capture.observer("a");
    for forwarded in [false, true] {
        for _ in 0..10 {
            let mut frame = udp(b"bulk");
            if forwarded {
                // The same packet when it is passed on: all of it but the Ethernet header is payload.
                let bytes = frame.completed();
                frame.reset(CauseKind::Forwarded.into());
                frame.payload.push(bytes.slice(14..));
                frame.prepend(14).copy_from_slice(&bytes[..14]);
            }
            observer.sent(Instant::ZERO, ETH, &frame);
            observer.received(Instant::ZERO, ETH, &frame.to_received(), &Outcome::Handshake);
        }
    }
    assert_eq!((capture.stats().recorded, capture.stats().skipped), (3, 37));
    for _ in 0..10 {
        let mut frame = udp(b"bulk");
        frame.cause = CauseKind::Retransmit(RetransmitWhy::Rack).into();
        observer.sent(Instant::ZERO, ETH, &frame);
    }
    assert_eq!((capture.stats().recorded, capture.stats().skipped), (6, 44));
}

#[test]
fn super_frames_and_bare_ip_are_recorded_as_such() {
    let capture = Capture::new(CaptureOptions::default());
    capture.add_interface("", ETH, &interface("tun0", 1, Medium::Ip));
    let mut frame = TxFrame::new(CauseKind::Ack(AckWhy::Quick).into());
    frame.prepend(20)[0] = 0x45;
    frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1448 });
    capture.observer("").sent(Instant::ZERO, ETH, &frame);
    capture.observer("").sent(Instant::ZERO, InterfaceId::LOOPBACK, &frame);
    let records = read(&capture.take()).unwrap().records;
    assert_eq!((&records[0].interface[..], records[0].link), ("tun0", LinkType::Ip));
    assert_eq!(
        records[0].comment,
        "ACK: at once, the connection is young; a super-frame of segments of 1448 bytes"
    );
    assert_eq!((&records[1].interface[..], records[1].link), ("lo", LinkType::Ip));
    assert_eq!(Cause::default(), CauseKind::Unset.into());
}

/// Wireshark's own dissector reads the interfaces, directions, ids, comments, verdicts and times that were meant,
/// and finds every checksum right.
#[test]
fn tshark_reads_what_was_meant() {
    let found = Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return;
    }
    let path = std::env::temp_dir().join(format!("tapstack-capture-{}.pcapng", std::process::id()));
    std::fs::write(&path, two_machines().take()).unwrap();
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-r")
        .arg(&path)
        .args("-o udp.check_checksum:TRUE -o ip.check_checksum:TRUE -T fields".split(' '));
    let fields = [
        "frame.interface_name",
        "frame.interface_description",
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "frame.packet_id",
        "frame.verdict.ebpf_tc",
        "udp.checksum.status",
        "ip.checksum.status",
        "_ws.malformed",
        "frame.comment",
    ];
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 3, "{text}{errors}");
    let id = ((1u64 << 40) + 5).to_string();
    // Field by field: 1 is "good" for a checksum's status; the direction is 1 for in, 2 for out.
    for (line, name, last, time, out, verdict) in [
        (&lines[0], "a:tap0", 1, "1577836801.000000001", "2", ""),
        (&lines[1], "b:tap0", 2, "1577836801.000001001", "1", ""),
        (&lines[2], "b:tap0", 2, "1577836801.000002001", "1", "2"),
    ] {
        let description = format!("MTU 1500, 10.0.0.{last}/24");
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        assert_eq!(line[..3], [name, &description, time]);
        assert_eq!(number(line[3]), number(out));
        assert!(line[4] == id || number(line[4]) == (1 << 40) + 5, "packet id {}", line[4]);
        assert_eq!(line[5..9], [verdict, "1", "1", ""]);
    }
    assert_eq!(lines[0][9], "a program's datagram");
    assert_eq!(lines[2][9], "dropped: no UDP socket on that port");
}
