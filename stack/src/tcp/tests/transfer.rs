//! Data: acknowledgement, windows, Nagle, retransmission, reassembly and SACK.

use super::script::Script;
use crate::frame::{DropReason, Outcome};
use crate::socket::{Errno, SendFlags, Shutdown, SocketId, SocketOption};
use crate::stack::{Config, Offloads};
use crate::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn data_is_segmented_and_pushed_at_its_end() {
    let mut t = Script::new();
    let socket = t.accepted("");
    assert_eq!(t.send(socket, 4_000), Ok(4_000));
    t.expect(". 1:1461 ack 1");
    t.expect(". 1461:2921 ack 1");
    t.expect("P. 2921:4001 ack 1");
    t.quiet();
    t.inject(". 1 ack 4001");
    assert!(t.info(socket).unacked == 0 && t.info(socket).bytes_acked == 4_000);
}

#[test]
fn quick_acks_then_delayed_ones() {
    let mut t = Script::new();
    let socket = t.accepted("");
    let mut seq = 1;
    for _ in 0..16 {
        t.inject(&format!(". {seq}:{} ack 1", seq + 100));
        seq += 100;
        t.expect(&format!(". 1 ack {seq}"));
    }
    t.inject(&format!(". {seq}:{} ack 1", seq + 100));
    t.quiet();
    let (waited, segment) = t.wait_for_segment(Duration::from_secs(1)).unwrap();
    assert_eq!(waited, 40 * MS, "{segment}");
    t.inject(&format!(". {}:{} ack 1", seq + 100, seq + 200));
    t.quiet();
    // The second full segment is acknowledged at once.
    t.inject(&format!(". {}:{} ack 1", seq + 200, seq + 300));
    t.expect(&format!(". 1 ack {}", seq + 300));
    assert_eq!(t.recv(socket, 10_000), Ok(1_900));
}

#[test]
fn out_of_order_data_is_held_and_reported() {
    let mut t = Script::new();
    let socket = t.accepted("sackOK");
    t.inject(". 1001:2001 ack 1");
    t.expect(". 1 ack 1 <sack 1001:2001>");
    t.inject(". 3001:4001 ack 1");
    t.expect(". 1 ack 1 <sack 3001:4001 1001:2001>");
    t.inject(". 2001:3001 ack 1");
    t.expect(". 1 ack 1 <sack 1001:4001>");
    assert_eq!(t.recv(socket, 10_000), Err(Errno::EAGAIN));
    t.inject(". 1:1001 ack 1");
    t.expect(". 1 ack 4001 <>");
    assert_eq!(t.recv(socket, 10_000), Ok(4_000));
    // A duplicate is reported once (RFC 2883).
    assert_eq!(t.inject(". 1:1001 ack 1"), Outcome::Dropped(DropReason::TcpDuplicate));
    t.expect(". 1 ack 4001 <sack 1:1001>");
}

#[test]
fn duplicate_acks_are_not_merged_without_sack() {
    let mut t = Script::new();
    t.accepted("");
    for seq in [1_001, 2_001, 3_001] {
        t.inject_without_end(super::script::PEER_PORT, &format!(". {seq}:{} ack 1", seq + 1_000));
    }
    t.stack.end_batch(t.now);
    for _ in 0..3 {
        t.expect(". 1 ack 1");
    }
    t.quiet();
}

#[test]
fn three_duplicate_acks_retransmit() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 7_300).unwrap();
    for _ in 0..5 {
        assert!(t.pull().is_some());
    }
    t.inject(". 1 ack 1");
    t.inject(". 1 ack 1");
    t.quiet();
    t.inject(". 1 ack 1");
    t.expect(". 1:1461 ack 1");
    t.inject(". 1 ack 7301");
    t.quiet();
    assert_eq!(t.stack.counters().tcp_retransmits, 1);
}

#[test]
fn the_retransmission_timer_backs_off() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 100).unwrap();
    t.expect("P. 1:101 ack 1");
    let mut waits = Vec::new();
    for _ in 0..4 {
        let (waited, segment) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
        assert!(segment.starts_with("P. 1:101"), "{segment}");
        waits.push(waited.as_millis());
    }
    assert!(waits[0] >= 200 && waits[1] >= 2 * waits[0] - 1 && waits[3] >= 2 * waits[2] - 1, "{waits:?}");
}

#[test]
fn nagle_holds_the_second_small_segment() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 10).unwrap();
    t.expect("P. 1:11 ack 1");
    t.send(socket, 10).unwrap();
    t.quiet();
    t.inject(". 1 ack 11");
    t.expect("P. 11:21 ack 1");
    t.stack.set_option(t.now, socket, SocketOption::NoDelay(true)).unwrap();
    t.send(socket, 10).unwrap();
    t.expect("P. 21:31 ack 1");
}

/// Over a link that takes four segments in a frame.
fn over_super_frames() -> Script {
    let offloads = Offloads { tx_checksum: true, tso_max: 4 * 1_460 + 40, ..Offloads::default() };
    Script::over(Config { seed: 7, ..Config::default() }, offloads)
}

#[test]
fn the_end_of_a_stream_in_flow_waits_to_become_a_super_frame() {
    let mut t = over_super_frames();
    let socket = t.accepted("");
    t.send(socket, 6_000).unwrap();
    t.expect(". 1:5841 ack 1");
    t.expect("P. 5841:6001 ack 1");
    t.send(socket, 3_000).unwrap();
    t.quiet();
    t.send(socket, 3_000).unwrap();
    t.expect(". 6001:11841 ack 1");
    t.quiet();
    t.inject(". 1 ack 8921");
    t.quiet();
    t.inject(". 1 ack 10461");
    t.expect("P. 11841:12001 ack 1");
}

#[test]
fn the_end_of_a_stream_waits_for_no_more_than_what_brings_an_ack_soon() {
    let held = |t: &mut Script, socket: SocketId| {
        t.send(socket, 2 * 1_460).unwrap();
        t.expect("P. 1:2921 ack 1");
        t.send(socket, 1_500).unwrap();
        t.pull()
    };
    let mut t = over_super_frames();
    let socket = t.accepted("");
    assert_eq!(held(&mut t, socket), None);
    t.stack.set_option(t.now, socket, SocketOption::NoDelay(true)).unwrap();
    t.expect("P. 2921:4421 ack 1");
    // The end that a FIN follows.
    let mut t = over_super_frames();
    let socket = t.accepted("");
    assert_eq!(held(&mut t, socket), None);
    t.stack.shutdown(t.now, socket, Shutdown::Write).unwrap();
    t.expect("FP. 2921:4421 ack 1");
    // Half of a window.
    let mut t = over_super_frames();
    t.window = 6_000;
    let socket = t.accepted("");
    assert_eq!(held(&mut t, socket), None);
    t.send(socket, 1_500).unwrap();
    t.expect("P. 2921:5921 ack 1");
    // A peer far away.
    let mut t = over_super_frames();
    let listener = t.listener(8);
    t.inject("S 0 <mss 1460>");
    assert!(t.pull().is_some(), "a SYN-ACK");
    t.now += MS;
    t.inject(". 1 ack 1");
    let socket = t.stack.accept(t.now, listener).unwrap().0;
    assert!(held(&mut t, socket).is_some());
}

#[test]
fn more_and_cork_hold_until_they_are_lifted() {
    let mut t = Script::new();
    let socket = t.accepted("");
    let data: Vec<u8> = (1..11).map(super::script::pattern).collect();
    t.stack.send(t.now, socket, &data, SendFlags { more: true, ..SendFlags::default() }).unwrap();
    t.quiet();
    t.send(socket, 10).unwrap();
    t.expect("P. 1:21 ack 1");
    t.inject(". 1 ack 21");
    t.stack.set_option(t.now, socket, SocketOption::Cork(true)).unwrap();
    t.send(socket, 10).unwrap();
    t.quiet();
    t.stack.set_option(t.now, socket, SocketOption::Cork(false)).unwrap();
    t.expect("P. 21:31 ack 1");
}

#[test]
fn a_zero_window_is_probed_and_opens_again() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 100).unwrap();
    t.expect("P. 1:101 ack 1");
    t.inject(". 1 ack 101 win 0");
    t.send(socket, 100).unwrap();
    t.quiet();
    let (first, probe) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert!(probe.starts_with(". 100 ack 1"), "{probe}");
    t.inject(". 1 ack 101 win 0");
    let (second, _) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert!(second >= first, "{first:?} {second:?}");
    t.inject(". 1 ack 101 win 1000");
    t.expect("P. 101:201 ack 1");
}

#[test]
fn our_window_closes_and_reading_opens_it() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.set_option(t.now, socket, SocketOption::ReceiveBuffer(5_000)).unwrap();
    let mut seq = 1;
    let mut window;
    loop {
        t.inject(&format!(". {seq}:{} ack 1", seq + 1_000));
        seq += 1_000;
        let Some(ack) = t.pull() else { continue };
        window = ack.split(" win ").nth(1).unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
        if window < 1_000 {
            break;
        }
        assert!(seq < 100_000);
    }
    // The last segment may have been cut off at the window's edge.
    let unread = t.recv(socket, 200_000).unwrap();
    assert!((seq - 1_001..seq).contains(&unread), "{unread} of {seq}");
    let update = t.pull().expect("a window update");
    let opened: u32 = update.split(" win ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(opened > window, "{window} {opened}");
}

#[test]
fn old_timestamps_are_refused() {
    // RFC 7323 section 5.3.
    let mut t = Script::new();
    t.timestamps = Some(1_000);
    let socket = t.accepted("TS 5000 0");
    t.inject("P. 1:11 ack 1 <TS 1001000 last>");
    let _ = t.pull();
    assert_eq!(t.inject("P. 11:21 ack 1 <TS 4000 last>"), Outcome::Dropped(DropReason::TcpPaws));
    assert_eq!(t.recv(socket, 100), Ok(10));
}

#[test]
fn what_paws_drops_is_not_reported_as_received() {
    // A late segment ahead of RCV.NXT: a SACK block for it would be a lie that its sender finds out by time-outs.
    let mut t = Script::new();
    t.timestamps = Some(1_000);
    t.accepted("sackOK,TS 5000 0");
    t.inject("P. 1:11 ack 1 <TS 1001000 last>");
    let _ = t.pull();
    assert_eq!(t.inject("P. 21:31 ack 1 <TS 4000 last>"), Outcome::Dropped(DropReason::TcpPaws));
    let answer = t.pull().expect("an ACK");
    assert!(answer.contains("ack 11") && !answer.contains("sack"), "{answer}");
    // What was here already is reported (RFC 2883); the answers are limited, so a little later.
    t.now += Duration::from_secs(1);
    assert_eq!(t.inject("P. 1:11 ack 1 <TS 4000 last>"), Outcome::Dropped(DropReason::TcpPaws));
    let answer = t.pull().expect("an ACK");
    assert!(answer.contains("sack 1:11"), "{answer}");
}

#[test]
fn segments_beyond_the_window_are_answered_and_dropped() {
    let mut t = Script::new();
    t.accepted("");
    assert_eq!(t.inject(". 200000:200010 ack 1"), Outcome::Dropped(DropReason::TcpOutOfWindow));
    t.expect(". 1 ack 1");
}

#[test]
fn the_send_buffer_is_bounded() {
    let mut t = Script::new();
    let socket = t.accepted("");
    let mut written = 0;
    let error = loop {
        match t.send(socket, 50_000) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::EAGAIN);
    assert!((60_000..300_000).contains(&written), "{written}");
    assert!(!t.stack.readiness(socket).unwrap().writable);
}
