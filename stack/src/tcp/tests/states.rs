//! Closing, resets and invalid segments: RFC 9293 sections 3.6, 3.10.4 and 3.10.7.4, RFC 5961.

use super::script::Script;
use crate::frame::{DropReason, Outcome};
use crate::socket::{Errno, Shutdown, TcpState};
use crate::time::Duration;

#[test]
fn active_close_runs_through_time_wait() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.shutdown(t.now, socket, Shutdown::Write).unwrap();
    t.expect("F. 1 ack 1");
    assert_eq!(t.state(socket), TcpState::FinWait1);
    t.inject(". 1 ack 2");
    assert_eq!(t.state(socket), TcpState::FinWait2);
    // Half-closed: data still comes in.
    t.inject("P. 1:11 ack 2");
    assert_eq!(t.recv(socket, 100), Ok(10));
    t.inject("F. 11 ack 2");
    t.expect(". 2 ack 12");
    assert_eq!(t.state(socket), TcpState::TimeWait);
    assert_eq!(t.recv(socket, 100), Ok(0));
    t.stack.close(t.now, socket).unwrap();
    // A repeated FIN is answered, and the time starts again.
    t.wait_quietly(Duration::from_secs(30));
    t.inject("F. 11 ack 2");
    t.expect(". 2 ack 12");
    t.wait_quietly(Duration::from_secs(59));
    assert!(t.stack.poll_timeout().is_some());
    t.wait_quietly(Duration::from_secs(2));
    assert_eq!(t.stack.poll_timeout(), None);
    assert_eq!(t.inject(". 12 ack 2"), Outcome::Answered { with: "RST" });
}

#[test]
fn passive_close() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("F. 1 ack 1");
    t.expect(". 1 ack 2");
    assert_eq!(t.state(socket), TcpState::CloseWait);
    assert_eq!(t.recv(socket, 10), Ok(0));
    assert_eq!(t.send(socket, 5), Ok(5));
    t.expect("P. 1:6 ack 2");
    t.stack.close(t.now, socket).unwrap();
    t.expect("F. 6 ack 2");
    t.inject(". 2 ack 7");
    t.quiet();
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn simultaneous_close() {
    // RFC 9293 figure 13.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.shutdown(t.now, socket, Shutdown::Write).unwrap();
    t.expect("F. 1 ack 1");
    t.inject("F. 1 ack 1");
    assert_eq!(t.state(socket), TcpState::Closing);
    t.expect(". 2 ack 2");
    t.inject(". 2 ack 2");
    assert_eq!(t.state(socket), TcpState::TimeWait);
}

#[test]
fn fin_with_the_last_data_and_its_retransmission() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 100).unwrap();
    t.stack.close(t.now, socket).unwrap();
    t.expect("FP. 1:101 ack 1");
    let (_, again) = t.wait_for_segment(Duration::from_secs(2)).unwrap();
    assert!(again.starts_with("FP. 1:101 ack 1"), "{again}");
    t.inject(". 1 ack 102");
    t.inject("F. 1 ack 102");
    t.expect(". 102 ack 2");
}

#[test]
fn unread_data_or_zero_linger_resets() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("P. 1:11 ack 1");
    t.expect(". 1 ack 11");
    t.stack.close(t.now, socket).unwrap();
    t.expect("R. 1 ack 11");
    t.quiet();
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn data_after_close_resets() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.close(t.now, socket).unwrap();
    t.expect("F. 1 ack 1");
    t.inject("P. 1:11 ack 2");
    // RFC 9293 section 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>.
    t.expect("R 2");
}

#[test]
fn an_orphan_does_not_wait_for_ever_in_fin_wait_2() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.close(t.now, socket).unwrap();
    t.expect("F. 1 ack 1");
    t.inject(". 1 ack 2");
    t.wait_quietly(Duration::from_secs(61));
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn only_the_exact_reset_resets() {
    // RFC 5961 section 3.2.
    let mut t = Script::new();
    let socket = t.accepted("");
    assert_eq!(t.inject("R 100000"), Outcome::Dropped(DropReason::TcpOutOfWindow));
    t.quiet();
    assert_eq!(t.inject("R 50"), Outcome::Dropped(DropReason::TcpRstNotExact));
    t.expect(". 1 ack 1");
    t.inject("P. 1:11 ack 1");
    t.expect(". 1 ack 11");
    t.inject("R 11");
    assert_eq!(t.state(socket), TcpState::Closed);
    assert_eq!(t.recv(socket, 100), Ok(10), "what was received can still be read");
    assert_eq!(t.recv(socket, 100), Err(Errno::ECONNRESET));
    assert_eq!(t.recv(socket, 100), Ok(0));
    assert_eq!(t.send(socket, 1), Err(Errno::EPIPE));
}

#[test]
fn a_syn_in_the_window_is_challenged() {
    // RFC 5961 section 4.2; the second within half a second is not answered.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("S 1");
    t.expect(". 1 ack 1");
    t.inject("S 50000");
    t.quiet();
    t.wait_quietly(Duration::from_millis(600));
    t.inject("S 50000");
    t.expect(". 1 ack 1");
    assert_eq!(t.state(socket), TcpState::Established);
    assert_eq!(t.stack.counters().tcp_challenge_acks, 2);
}

#[test]
fn acks_of_the_unsent_are_challenged() {
    let mut t = Script::new();
    let socket = t.accepted("");
    assert_eq!(t.inject(". 1 ack 50"), Outcome::Dropped(DropReason::TcpBadAck));
    t.expect(". 1 ack 1");
    assert_eq!(t.state(socket), TcpState::Established);
}

#[test]
fn keep_alive_probes_and_gives_up() {
    use crate::socket::SocketOption;
    let mut t = Script::new();
    let socket = t.accepted("");
    for option in [
        SocketOption::KeepAlive(true),
        SocketOption::KeepIdle(Duration::from_secs(10)),
        SocketOption::KeepInterval(Duration::from_secs(3)),
        SocketOption::KeepCount(2),
    ] {
        t.stack.set_option(t.now, socket, option).unwrap();
    }
    let (waited, probe) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert_eq!((waited.as_secs(), probe.starts_with(". 0 ack 1")), (10, true), "{probe}");
    t.inject(". 1 ack 1");
    let (waited, _) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert_eq!(waited.as_secs(), 10);
    let (waited, _) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert_eq!(waited.as_secs(), 3);
    let (waited, reset) = t.wait_for_segment(Duration::from_secs(60)).unwrap();
    assert_eq!((waited.as_secs(), reset.starts_with("R. 1 ack 1")), (3, true), "{reset}");
    assert_eq!(t.wait_for_segment(Duration::from_secs(60)), None);
    assert_eq!(t.recv(socket, 1), Err(Errno::ETIMEDOUT));
}
