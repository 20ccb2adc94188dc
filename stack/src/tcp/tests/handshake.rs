//! Opening connections: RFC 9293 sections 3.5 and 3.10.7.1 to .3, options, simultaneous open, backlog and cookies.

use super::script::{OUR_PORT, PEER, PEER_PORT, Script};
use crate::frame::{DropReason, Outcome};
use crate::socket::{Errno, SocketKind, TcpState};
use crate::stack::Config;
use crate::tcp::{SynCookies, TcpConfig};
use crate::time::Duration;
use core::net::SocketAddr;

#[test]
fn passive_open_answers_options_in_linux_order() {
    let mut t = Script::new();
    let listener = t.listener(8);
    t.inject("S 0 <mss 1000,sackOK,TS 77 0,wscale 7>");
    let synack = t.pull().unwrap();
    assert!(synack.starts_with("S. 0 ack 1 win 65160 <mss 1460,sackOK,TS "), "{synack}");
    assert!(synack.ends_with(" 77,wscale 11>"), "{synack}");
    assert_eq!(t.stack.accept(t.now, listener), Err(Errno::EAGAIN));
    t.inject(". 1 ack 1 <TS 78 last>");
    t.quiet();
    let (socket, peer) = t.stack.accept(t.now, listener).unwrap();
    assert_eq!(peer, SocketAddr::from((PEER, PEER_PORT)));
    assert_eq!(t.state(socket), TcpState::Established);
    let info = t.info(socket);
    assert_eq!((info.snd_mss, info.timestamps, info.sack), (988, true, true));
    assert_eq!(info.window_scale, Some((11, 7)));
}

#[test]
fn active_open() {
    let mut t = Script::new();
    let socket = t.connecting();
    let syn = t.pull().unwrap();
    assert!(syn.starts_with("S 0 win 64240 <mss 1460,sackOK,TS ") && syn.ends_with(" 0,wscale 11>"), "{syn}");
    assert_eq!(t.state(socket), TcpState::SynSent);
    t.inject("S. 0 ack 1 <mss 1400,sackOK,TS 9 last,wscale 3>");
    t.expect(". 1 ack 1");
    assert_eq!(t.state(socket), TcpState::Established);
    assert_eq!(t.stack.take_error(socket), Ok(None));
    assert_eq!(t.info(socket).snd_mss, 1_388);
    assert!(t.stack.readiness(socket).unwrap().writable);
}

#[test]
fn a_refused_connection_says_so() {
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    t.inject("R. 0 ack 1");
    assert_eq!(t.state(socket), TcpState::Closed);
    assert_eq!(t.stack.take_error(socket), Ok(Some(Errno::ECONNREFUSED)));
}

#[test]
fn a_blind_reset_does_not_refuse() {
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    t.inject("R 0");
    t.inject("R. 0 ack 5");
    assert_eq!(t.state(socket), TcpState::SynSent);
}

#[test]
fn syn_is_retransmitted_with_backoff_and_given_up() {
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    for seconds in [1, 2, 4, 8, 16, 32] {
        let (waited, segment) = t.wait_for_segment(Duration::from_secs(200)).unwrap();
        assert!(segment.starts_with("S 0"), "{segment}");
        assert_eq!(waited, Duration::from_secs(seconds));
    }
    assert_eq!(t.wait_for_segment(Duration::from_secs(200)), None);
    assert_eq!(t.stack.take_error(socket), Ok(Some(Errno::ETIMEDOUT)));
    assert_eq!(t.stack.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn simultaneous_open() {
    // RFC 9293 figure 7.
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    t.inject("S 0 <mss 1460>");
    assert_eq!(t.state(socket), TcpState::SynReceived);
    t.expect("S. 0 ack 1");
    t.inject("S. 0 ack 1 <mss 1460>");
    assert_eq!(t.state(socket), TcpState::Established);
    t.expect(". 1 ack 1");
    t.quiet();
}

#[test]
fn nobody_listens() {
    let mut t = Script::new();
    assert_eq!(t.inject("S 0"), Outcome::Answered { with: "RST" });
    let reset = t.pull().unwrap();
    assert!(reset.starts_with("R. ") && reset.contains("ack 1"), "{reset}");
    t.inject(". 10 ack 500");
    let reset = t.pull().unwrap();
    assert!(reset.starts_with("R 500"), "{reset}");
    assert_eq!(t.inject("R 10"), Outcome::Dropped(DropReason::TcpStrayRst));
    t.quiet();
    assert_eq!(t.stack.counters().tcp_resets_out, 2);
}

#[test]
fn a_full_accept_queue_holds_the_last_ack_back() {
    let mut t = Script::new();
    let listener = t.listener(0);
    t.inject_from(1_001, "S 0 <mss 1460>");
    t.expect("S. 0 ack 1");
    t.inject_from(1_001, ". 1 ack 1");
    // Linux's rule: one more than the backlog.
    assert_eq!(t.inject_from(1_002, "S 0 <mss 1460>"), Outcome::Dropped(DropReason::TcpBacklogFull));
    t.quiet();
    t.stack.accept(t.now, listener).unwrap();
    t.inject_from(1_002, "S 0 <mss 1460>");
    assert!(t.pull().is_some());
}

#[test]
fn cookies_keep_mss_scale_and_sack() {
    let tcp = TcpConfig { syncookies: SynCookies::Always, ..TcpConfig::default() };
    let mut t = Script::with(Config { seed: 3, tcp, ..Config::default() });
    let listener = t.listener(8);
    t.inject("S 0 <mss 1400,sackOK,TS 50 0,wscale 6>");
    let synack = t.pull().unwrap();
    assert!(synack.contains("mss 1460,sackOK,TS") && synack.contains("wscale 11"), "{synack}");
    assert_eq!(t.stack.poll_timeout(), None, "nothing is kept");
    t.inject(". 1 ack 1 <TS 51 last>");
    let (socket, _) = t.stack.accept(t.now, listener).unwrap();
    let info = t.info(socket);
    assert_eq!((info.snd_mss, info.sack, info.window_scale), (1_388, true, Some((11, 6))));
    assert_eq!(t.stack.counters().tcp_cookies_in, 1);
    // A guess is refused.
    t.inject_from(1_003, ". 1 ack 77");
    assert!(t.pull().unwrap().starts_with("R 77"));
    assert_eq!(t.stack.counters().drops(DropReason::TcpBadCookie), 1);
}

#[test]
fn a_full_syn_queue_turns_to_cookies() {
    let mut t = Script::new();
    t.listener(8);
    for port in 1_000..1_100 {
        t.inject_from(port, "S 0 <mss 1460>");
        assert!(t.pull().unwrap().starts_with('S'));
    }
    assert_eq!(t.stack.counters().tcp_cookies_out, 92);
}

#[test]
fn bound_ports_conflict() {
    let mut t = Script::new();
    t.listener(1);
    let other = t.stack.socket(SocketKind::Stream).unwrap();
    let address = SocketAddr::from(([0, 0, 0, 0], OUR_PORT));
    assert_eq!(t.stack.bind(other, address), Err(Errno::EADDRINUSE));
    let elsewhere = SocketAddr::from(([192, 0, 2, 9], OUR_PORT));
    assert_eq!(t.stack.bind(other, elsewhere), Err(Errno::EADDRNOTAVAIL));
}
