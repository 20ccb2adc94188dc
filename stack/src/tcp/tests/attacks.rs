//! What forged segments, greedy peers and missing neighbours can't do.

use super::script::{OUR_PORT, OURS, PEER, PEER_PORT, Script};
use crate::frame::{DropReason, Outcome};
use crate::socket::{SocketKind, TcpState};
use crate::stack::{Cidr, Config, InterfaceConfig, MacAddr, Medium, Offloads, Stack};
use crate::tcp::TcpConfig;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_guessed_sequence_number_does_not_poison_paws() {
    let mut t = Script::new();
    t.timestamps = Some(0);
    let socket = t.accepted("TS 900000 0");
    // In the window, from the future, but with an ACK that can't be (RFC 5961 section 5).
    assert_eq!(t.inject("P. 1:11 ack 5000 <TS 1900000 0>"), Outcome::Dropped(DropReason::TcpBadAck));
    while t.pull().is_some() {}
    t.inject("P. 1:11 ack 1");
    assert_eq!(t.recv(socket, 100), Ok(10));
}

#[test]
fn the_window_of_an_old_ack_is_not_believed() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 1_000).unwrap();
    t.expect("P. 1:1001 ack 1");
    t.inject(". 1 ack 1001 win 2000");
    // Data that was sent before that ACK, and comes after it.
    t.inject("P. 1:11 ack 1 win 60000");
    while t.pull().is_some() {}
    assert_eq!(t.info(socket).snd_wnd, 2_000);
}

#[test]
fn an_orphan_is_not_held_by_a_window_that_stays_closed() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject(". 1 ack 1 win 0");
    t.send(socket, 100).unwrap();
    t.stack.close(t.now, socket).unwrap();
    let mut probes = 0;
    while t.wait_for_segment(10_000 * SECOND).is_some() {
        t.inject(". 1 ack 1 win 0");
        probes += 1;
        assert!(probes < 50, "it is held for ever");
    }
    assert_eq!(t.stack.tcp_usage().connections, 0);
}

#[test]
fn a_syn_from_a_neighbour_that_is_not_there_leaves_nothing() {
    // The SYN-ACK never leaves, since nobody answers ARP: so no timer runs for it.
    let mut t = Script::new();
    let mut now = Instant::from_millis(1_000_000);
    let mut stack = Stack::new(now, Config::default());
    let ethernet = InterfaceConfig {
        name: "eth0".into(),
        medium: Medium::Ethernet,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1_500,
        addresses: vec![Cidr { address: OURS, prefix_len: 24 }],
        offloads: Offloads::default(),
    };
    let interface = stack.add_interface(now, ethernet).unwrap();
    let listener = stack.socket(SocketKind::Stream).unwrap();
    stack.bind(listener, SocketAddr::from((OURS, OUR_PORT))).unwrap();
    stack.listen(now, listener, 8).unwrap();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend(t.packet(PEER, OURS, PEER_PORT, "S 0 <mss 1460>"));
    assert_eq!(stack.handle_frame(now, interface, crate::frame::RxFrame::new(frame)), Outcome::Handshake);
    assert_eq!(stack.tcp_usage().connections, 1);
    let mut out = crate::frame::TxFrame::default();
    for _ in 0..1_000 {
        while stack.poll_transmit(now, interface, &mut out) {}
        let Some(at) = stack.poll_timeout() else { break };
        now = now.max(at);
        stack.handle_timeout(now);
    }
    assert_eq!(stack.tcp_usage().connections, 0, "{:?}", stack.poll_timeout());
    t.quiet();
}

#[test]
fn tiny_pieces_out_of_order_cost_no_more_than_twice_the_window() {
    let mut t = Script::new();
    let socket = t.accepted("");
    // The SYN offered whole segments; what counts is the limit behind it, half of the buffer.
    let window = TcpConfig::default().receive_buffer.initial / 2;
    assert!(t.info(socket).rcv_wnd as usize <= window);
    for at in (3..60_000).step_by(2) {
        t.inject_without_end(PEER_PORT, &format!(". {at}:{} ack 1", at + 1));
    }
    let held = t.stack.tcp_usage().queued_bytes;
    assert!(held <= 2 * window, "{held} bytes for a window of {window}");
}

#[test]
fn unread_data_of_many_connections_is_bounded() {
    let tcp = TcpConfig { memory_max: 100_000, ..TcpConfig::default() };
    let mut t = Script::with(Config { seed: 7, tcp, ..Config::default() });
    let listener = t.listener(128);
    let mut sockets = Vec::new();
    for port in 1_000..1_100 {
        t.inject_from(port, "S 0 <mss 1460>");
        let synack = t.pull().unwrap();
        assert!(synack.starts_with("S. "));
        // Relative to the first connection's initial number, so from here on relative to this one's.
        let iss = u32::from_be_bytes(t.last_packet[24..28].try_into().unwrap());
        t.ack_base = Some(iss);
        t.inject_from(port, ". 1 ack 1");
        sockets.push(t.stack.accept(t.now, listener).unwrap().0);
        for at in (1..50_000).step_by(1_000) {
            t.inject_from(port, &format!(". {at}:{} ack 1", at + 1_000));
        }
        while t.pull().is_some() {}
    }
    let held = t.stack.tcp_usage().queued_bytes;
    assert!(held <= 100_000 + 101 * 1_460, "{held}");
    assert!(sockets.iter().all(|socket| t.recv(*socket, 10).is_ok()), "each has got its first segment");
    assert!(sockets.iter().all(|socket| t.state(*socket) == TcpState::Established));
}
