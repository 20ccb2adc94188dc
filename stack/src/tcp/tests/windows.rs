//! Windows: never shrunk, never silly, probed when closed, and survived when the peer does otherwise (RFC 9293 section 3.8.6).

use super::script::{PEER_PORT, Script};
use crate::frame::{DropReason, Outcome};
use crate::socket::{Errno, SocketOption, TcpState};
use crate::tcp::receiver::Receiver;
use crate::tcp::seq::SeqNum;
use crate::time::Duration;
use bytes::Bytes;
use proptest::prelude::*;

proptest! {
    /// SHLD-14, MUST-39, MUST-1: whatever arrives, is read, and becomes of the limit, the right edge never moves left, is
    /// never further away than the window field can say, and opens by a segment or half the buffer.
    #[test]
    fn the_right_edge_never_moves_left(
        first: u32,
        scale in 0u8..=14,
        limit in 1usize..1 << 20,
        steps in prop::collection::vec((0u8..5, 1usize..40_000), 1..200),
    ) {
        let mss = 1_460;
        let mut receiver = Receiver::new(SeqNum::new(first), scale, limit, limit * 4);
        receiver.advertise_syn(receiver.syn_window(1_460));
        let mut edge = receiver.next + receiver.window();
        let mut buffer = vec![0; 40_000];
        for (what, size) in steps {
            match what {
                0 => {
                    let data = Bytes::from(vec![0; size]);
                    receiver.data(receiver.next, data);
                }
                1 => {
                    receiver.data(receiver.next + size as u32, Bytes::from_static(b"early"));
                }
                2 => {
                    receiver.queue.read(&mut buffer[..size]);
                }
                3 => receiver.limit = size,
                _ => {
                    let before = receiver.window();
                    let field = u32::from(receiver.advertise(mss));
                    let new = receiver.next + (field << scale);
                    let grown = new.signed_from(edge);
                    prop_assert!(grown >= 0, "the edge moved left by {}", -grown);
                    prop_assert!(field << scale >= before);
                    let step = mss.min(receiver.limit as u32 / 2);
                    let rounding = 1 << scale;
                    let rounded = (grown as u32) < rounding;
                    let worth_it = grown as u32 + rounding >= step || receiver.queue.readable() == 0;
                    // While the window opens with what comes in, it is kept as wide as it may be: never a small one.
                    let kept_open = receiver.ssthresh() < receiver.limit as u32
                        && receiver.window() + rounding >= receiver.ssthresh();
                    prop_assert!(rounded || worth_it || kept_open, "silly: {grown} of {step}");
                    edge = new;
                }
            }
            prop_assert!(receiver.next.at_or_before(edge), "data beyond what was offered");
            prop_assert_eq!(receiver.next + receiver.window(), edge);
            prop_assert!(receiver.queue.charge() <= limit.max(40_000) * 8 + (1 << 20));
        }
    }
}

#[test]
fn a_shrunk_window_is_survived() {
    // MUST-34, SHLD-15 to SHLD-17: nothing new beyond it, the oldest again, and no end of the connection.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 4_380).unwrap();
    for _ in 0..3 {
        assert!(t.pull().is_some());
    }
    t.inject(". 1 ack 1 win 1000");
    t.send(socket, 1_000).unwrap();
    t.quiet();
    let (_, again) = t.wait_for_segment(Duration::from_secs(5)).unwrap();
    assert!(again.starts_with(". 1:") || again.starts_with("P. 2921:4381"), "{again}");
    t.inject(". 1 ack 4381 win 65535");
    t.expect("P. 4381:5381 ack 1");
    assert_eq!(t.state(socket), TcpState::Established);
}

#[test]
fn a_window_may_stay_closed_for_as_long_as_the_peer_answers() {
    // MUST-35 to MUST-37, SHLD-29, SHLD-30, MAY-8.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject(". 1 ack 1 win 0");
    t.send(socket, 100).unwrap();
    t.quiet();
    let mut waits = Vec::new();
    for _ in 0..40 {
        let (waited, probe) = t.wait_for_segment(Duration::from_secs(1_000)).expect("a probe");
        assert!(probe.starts_with(". 0 ack 1"), "{probe}");
        waits.push(waited);
        t.inject(". 1 ack 1 win 0");
        t.quiet();
    }
    assert!(
        waits[0] >= Duration::from_millis(200) && waits[1] >= waits[0] * 2 - Duration::from_millis(2),
        "{waits:?}"
    );
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(120)), "{waits:?}");
    assert!(
        waits[39] >= Duration::from_secs(100),
        "the backoff goes on while the window stays closed: {waits:?}"
    );
    t.inject(". 1 ack 1 win 65535");
    t.expect("P. 1:101 ack 1");
    assert_eq!(t.state(socket), TcpState::Established);
}

#[test]
fn a_silent_peer_behind_a_closed_window_is_given_up() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject(". 1 ack 1 win 0");
    t.send(socket, 100).unwrap();
    let mut probes = 0;
    while t.wait_for_segment(Duration::from_secs(1_000)).is_some() {
        probes += 1;
        assert!(probes < 100);
    }
    assert_eq!(t.recv(socket, 1), Err(Errno::ETIMEDOUT));
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn resets_and_urgent_pointers_count_when_our_window_is_closed() {
    // MUST-66.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.set_option(t.now, socket, SocketOption::ReceiveBuffer(2_000)).unwrap();
    let mut seq = 1;
    while t.info(socket).rcv_wnd > 0 {
        let next = seq + t.info(socket).rcv_wnd.min(1_000) as i32;
        t.inject(&format!("P. {seq}:{next} ack 1"));
        while t.pull().is_some() {}
        seq = next;
        assert!(seq < 200_000);
    }
    assert_eq!(
        t.inject(&format!("P. {seq}:{} ack 1", seq + 10)),
        Outcome::Dropped(DropReason::TcpReceiveFull)
    );
    t.expect(&format!(". 1 ack {seq} win 0"));
    t.send(socket, 10).unwrap();
    t.expect(&format!("P. 1:11 ack {seq}"));
    t.inject(&format!("U. {seq} ack 11 urg 5"));
    assert_eq!(t.info(socket).unacked, 0, "the ACK field counts");
    t.inject(&format!("R {seq}"));
    assert_eq!(t.state(socket), TcpState::Closed);
}

#[test]
fn the_sender_waits_for_a_window_that_is_worth_it() {
    // MUST-38: neither a full segment nor half of the largest window fits.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 1_460).unwrap();
    t.expect("P. 1:1461 ack 1");
    t.inject(". 1 ack 1461 win 500");
    t.send(socket, 3_000).unwrap();
    t.quiet();
    // The override: what fits goes when the timer has run.
    let (waited, segment) = t.wait_for_segment(Duration::from_secs(5)).unwrap();
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    assert!(segment.starts_with(". 1461:1961") || segment.starts_with(". 1460 "), "{segment}");
}

#[test]
fn a_batch_is_acknowledged_once() {
    // MUST-58, MUST-59, SHLD-18, SHLD-19.
    let mut t = Script::new();
    t.accepted("");
    for i in 0..10 {
        let seq = 1 + i * 1_000;
        t.inject_without_end(PEER_PORT, &format!(". {seq}:{} ack 1", seq + 1_000));
    }
    t.stack.end_batch(t.now);
    t.expect(". 1 ack 10001");
    t.quiet();
}

#[test]
fn nothing_is_kept_beyond_the_window() {
    let mut t = Script::new();
    let socket = t.accepted("sackOK");
    let window = t.info(socket).rcv_wnd;
    // Across the right edge: what fits is kept, and never read as more.
    let from = window as i32 - 500;
    t.inject(&format!(". {from}:{} ack 1", from + 1_460));
    let edge = window + 1;
    t.expect(&format!(". 1 ack 1 <sack {from}:{edge}>"));
}
