//! SEGMENT ARRIVES as tables: for every state of RFC 9293 section 3.10.7, what each kind of segment brings about.
//!
//! Each line is a segment, its outcome, what is answered at once, and the state that follows; every line starts anew from
//! the table's state. Sequence numbers are relative, `-` is a segment without ACK bit, or no answer.

use super::script::Script;
use crate::frame::Outcome;
use crate::socket::{Shutdown, SocketId, TcpState};
use crate::time::Duration;

/// Brings a stack into the table's state, and says which socket shows it.
type Setup = fn() -> (Script, Option<SocketId>);

/// Runs every line of a table.
#[track_caller]
fn check(state: &str, setup: Setup, table: &str) {
    let mut differences = String::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let (mut t, socket) = setup();
        assert_eq!(shown(&t, socket), state, "the state to start from");
        let outcome = words(t.inject(columns[0]));
        let replies: Vec<String> = std::iter::from_fn(|| t.pull()).map(|reply| short(&reply)).collect();
        let reply = if replies.is_empty() { "-".to_string() } else { replies.join(", ") };
        let got = format!("{} | {outcome} | {reply} | {}", columns[0], shown(&t, socket));
        if got != columns.join(" | ") {
            differences += &format!("\n  {got}\n    and not\n  {}", columns.join(" | "));
        }
    }
    assert!(differences.is_empty(), "in {state}:{differences}");
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered { .. } => "delivered".into(),
        Outcome::Handshake => "handshake".into(),
        Outcome::Orphan => "orphan".into(),
        Outcome::Answered { with } => format!("answered: {with}"),
        Outcome::Dropped(reason) => format!("{reason:?}"),
        other => format!("{other:?}"),
    }
}

/// Flags, sequence number and acknowledgement.
fn short(segment: &str) -> String {
    segment.split(" win ").next().unwrap_or_default().to_string()
}

/// The state that the socket is in; without a socket, that of the only connection; without one, CLOSED.
fn shown(t: &Script, socket: Option<SocketId>) -> String {
    let connection = || t.stack.tcp.connections.iter().next().map_or(TcpState::Closed, |conn| conn.state);
    socket.map_or_else(connection, |socket| t.state(socket)).to_string()
}

fn closed() -> (Script, Option<SocketId>) {
    (Script::new(), None)
}

#[test]
fn closed_3_10_7_1() {
    // "All data in the incoming segment is discarded"; a reset answers all but a reset.
    check(
        "CLOSED",
        closed,
        "
        R 1                     | TcpStrayRst    | -               | CLOSED
        R. 1 ack 1              | TcpStrayRst    | -               | CLOSED
        S 1                     | answered: RST  | R. 0 ack 2      | CLOSED
        - 1                     | answered: RST  | R. 0 ack 1      | CLOSED
        - 1:11                  | answered: RST  | R. 0 ack 11     | CLOSED
        . 1 ack 77              | answered: RST  | R 77            | CLOSED
        P. 1:11 ack 77          | answered: RST  | R 77            | CLOSED
        F. 1 ack 77             | answered: RST  | R 77            | CLOSED
        S. 1 ack 77             | answered: RST  | R 77            | CLOSED
        FS 1                    | answered: RST  | R. 0 ack 3      | CLOSED
    ",
    );
}

fn listen() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    let listener = t.listener(8);
    (t, Some(listener))
}

#[test]
fn listen_3_10_7_2() {
    check(
        "LISTEN",
        listen,
        "
        R 1                     | TcpStrayRst    | -               | LISTEN
        R. 1 ack 1              | TcpStrayRst    | -               | LISTEN
        . 1 ack 77              | answered: RST  | R 77            | LISTEN
        S. 1 ack 77             | answered: RST  | R 77            | LISTEN
        F. 1 ack 77             | answered: RST  | R 77            | LISTEN
        P. 1:11 ack 77          | answered: RST  | R 77            | LISTEN
        S 0                     | handshake      | S. 0 ack 1      | LISTEN
        S 0:10                  | handshake      | S. 0 ack 1      | LISTEN
        FS 0                    | TcpBadFlags    | -               | LISTEN
        - 1:11                  | TcpBadFlags    | -               | LISTEN
        F 1                     | TcpBadFlags    | -               | LISTEN
    ",
    );
}

fn syn_sent() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    (t, Some(socket))
}

#[test]
fn syn_sent_3_10_7_3() {
    check(
        "SYN-SENT",
        syn_sent,
        "
        R. 0 ack 1              | handshake      | -               | CLOSED
        R. 0 ack 0              | TcpBadAck      | -               | SYN-SENT
        R. 0 ack 2              | TcpBadAck      | -               | SYN-SENT
        R 0                     | TcpRstNotExact | -               | SYN-SENT
        . 0 ack 0               | answered: RST  | R 0             | SYN-SENT
        . 0 ack 2               | answered: RST  | R 2             | SYN-SENT
        . 0 ack 1               | TcpBadFlags    | -               | SYN-SENT
        P. 0:10 ack 1           | TcpBadFlags    | -               | SYN-SENT
        F. 0 ack 1              | TcpBadFlags    | -               | SYN-SENT
        - 0                     | TcpBadFlags    | -               | SYN-SENT
        S. 0 ack 0              | answered: RST  | R 0             | SYN-SENT
        S. 0 ack 2              | answered: RST  | R 2             | SYN-SENT
        S. 0 ack 1              | handshake      | . 1 ack 1       | ESTABLISHED
        S. 0:10 ack 1           | delivered      | . 1 ack 11      | ESTABLISHED
        FS. 0 ack 1             | delivered      | . 1 ack 2       | CLOSE-WAIT
        FS. 0:10 ack 1          | delivered      | . 1 ack 12      | CLOSE-WAIT
        S 0                     | handshake      | S. 0 ack 1      | SYN-RECEIVED
        S 0:10                  | handshake      | S. 0 ack 1      | SYN-RECEIVED
    ",
    );
}

/// By simultaneous open (figure 7): the peer's SYN came, and ours was sent again with an ACK.
fn syn_received() -> (Script, Option<SocketId>) {
    let (mut t, socket) = syn_sent();
    t.inject("S 0 <mss 1460>");
    t.expect("S. 0 ack 1");
    (t, socket)
}

#[test]
fn syn_received_3_10_7_4() {
    check(
        "SYN-RECEIVED",
        syn_received,
        "
        R 1                     | delivered      | -               | CLOSED
        R. 1 ack 1              | delivered      | -               | CLOSED
        R 101                   | TcpRstNotExact | . 1 ack 1       | SYN-RECEIVED
        R 100001                | TcpOutOfWindow | -               | SYN-RECEIVED
        S 0                     | handshake      | S. 0 ack 1      | SYN-RECEIVED
        S 1                     | TcpSynInWindow | . 1 ack 1       | SYN-RECEIVED
        S. 0 ack 1              | handshake      | . 1 ack 1       | ESTABLISHED
        S. 0 ack 7              | answered: RST  | R 7             | SYN-RECEIVED
        - 1                     | TcpNoAck       | -               | SYN-RECEIVED
        . 1 ack 0               | answered: RST  | R 0             | SYN-RECEIVED
        . 1 ack 2               | answered: RST  | R 2             | SYN-RECEIVED
        . 1 ack 1               | delivered      | -               | ESTABLISHED
        . 101 ack 1             | delivered      | -               | ESTABLISHED
        . 100001 ack 1          | TcpOutOfWindow | . 1 ack 1       | SYN-RECEIVED
        P. 1:11 ack 1           | delivered      | . 1 ack 11      | ESTABLISHED
        P. 101:111 ack 1        | delivered      | . 1 ack 1       | ESTABLISHED
        P. 100001:100011 ack 1  | TcpOutOfWindow | . 1 ack 1       | SYN-RECEIVED
        F. 1 ack 1              | delivered      | . 1 ack 2       | CLOSE-WAIT
        FP. 1:11 ack 1          | delivered      | . 1 ack 12      | CLOSE-WAIT
    ",
    );
}

/// A listener's half-open connection; the listener lives on.
fn syn_received_passive() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    t.listener(8);
    t.inject("S 0 <mss 1460>");
    t.expect("S. 0 ack 1");
    (t, None)
}

#[test]
fn syn_received_after_a_passive_open_3_10_7_4() {
    // "If this connection was initiated with a passive OPEN, then return this connection to the LISTEN state."
    check(
        "SYN-RECEIVED",
        syn_received_passive,
        "
        R 1                     | handshake      | -               | CLOSED
        R. 1 ack 1              | handshake      | -               | CLOSED
        R 0                     | TcpOutOfWindow | -               | SYN-RECEIVED
        R 101                   | TcpRstNotExact | . 1 ack 1       | SYN-RECEIVED
        R 100001                | TcpOutOfWindow | -               | SYN-RECEIVED
        S 0                     | handshake      | S. 0 ack 1      | SYN-RECEIVED
        S 1                     | TcpSynInWindow | . 1 ack 1       | SYN-RECEIVED
        S. 0 ack 1              | handshake      | . 1 ack 1       | ESTABLISHED
        - 1                     | TcpNoAck       | -               | SYN-RECEIVED
        . 1 ack 0               | answered: RST  | R 0             | SYN-RECEIVED
        . 1 ack 2               | answered: RST  | R 2             | SYN-RECEIVED
        . 1 ack 1               | handshake      | -               | ESTABLISHED
        . 100001 ack 1          | TcpOutOfWindow | . 1 ack 1       | SYN-RECEIVED
        P. 1:11 ack 1           | handshake      | . 1 ack 11      | ESTABLISHED
        P. 101:111 ack 1        | handshake      | . 1 ack 1       | ESTABLISHED
        F. 1 ack 1              | handshake      | . 1 ack 2       | CLOSE-WAIT
    ",
    );
}

/// A hundred bytes are in flight.
fn established() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 100).unwrap();
    t.expect("P. 1:101 ack 1");
    (t, Some(socket))
}

#[test]
fn established_3_10_7_4() {
    check(
        "ESTABLISHED",
        established,
        "
        R 1                     | delivered      | -               | CLOSED
        R. 1 ack 101            | delivered      | -               | CLOSED
        R 101                   | TcpRstNotExact | . 101 ack 1     | ESTABLISHED
        R 0                     | TcpOutOfWindow | -               | ESTABLISHED
        R 100001                | TcpOutOfWindow | -               | ESTABLISHED
        S 1                     | TcpSynInWindow | . 101 ack 1     | ESTABLISHED
        S 0                     | TcpSynInWindow | . 101 ack 1     | ESTABLISHED
        S 101                   | TcpSynInWindow | . 101 ack 1     | ESTABLISHED
        S 100001                | TcpSynInWindow | . 101 ack 1     | ESTABLISHED
        S. 0 ack 1              | TcpSynInWindow | . 101 ack 1     | ESTABLISHED
        - 1                     | TcpNoAck       | -               | ESTABLISHED
        P 1:11                  | TcpNoAck       | -               | ESTABLISHED
        . 1 ack 0               | delivered      | -               | ESTABLISHED
        . 1 ack -100000         | TcpBadAck      | . 101 ack 1     | ESTABLISHED
        . 1 ack 1               | delivered      | -               | ESTABLISHED
        . 1 ack 51              | delivered      | -               | ESTABLISHED
        . 1 ack 101             | delivered      | -               | ESTABLISHED
        . 1 ack 102             | TcpBadAck      | . 101 ack 1     | ESTABLISHED
        . 0 ack 1               | delivered      | . 101 ack 1     | ESTABLISHED
        . -10 ack 1             | TcpOutOfWindow | . 101 ack 1     | ESTABLISHED
        . 100001 ack 101        | TcpOutOfWindow | . 101 ack 1     | ESTABLISHED
        P. 1:11 ack 101         | delivered      | . 101 ack 11    | ESTABLISHED
        P. 1:11 ack 102         | TcpBadAck      | . 101 ack 1     | ESTABLISHED
        P. 1:11 ack -100000     | TcpBadAck      | . 101 ack 1     | ESTABLISHED
        P. 101:111 ack 101      | delivered      | . 101 ack 1     | ESTABLISHED
        P. -9:1 ack 101         | TcpDuplicate   | . 101 ack 1     | ESTABLISHED
        P. -9:11 ack 101        | delivered      | . 101 ack 11    | ESTABLISHED
        P. 100001:100011 ack 101 | TcpOutOfWindow | . 101 ack 1     | ESTABLISHED
        F. 1 ack 1              | delivered      | . 101 ack 2     | CLOSE-WAIT
        F. 1 ack 101            | delivered      | . 101 ack 2     | CLOSE-WAIT
        FP. 1:11 ack 101        | delivered      | . 101 ack 12    | CLOSE-WAIT
        F. 101 ack 101          | delivered      | . 101 ack 1     | ESTABLISHED
        F. 100001 ack 101       | TcpOutOfWindow | . 101 ack 1     | ESTABLISHED
        F 1                     | TcpNoAck       | -               | ESTABLISHED
    ",
    );
}

/// Our FIN is in flight, alone.
fn fin_wait_1() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.shutdown(t.now, socket, Shutdown::Write).unwrap();
    t.expect("F. 1 ack 1");
    (t, Some(socket))
}

#[test]
fn fin_wait_1_3_10_7_4() {
    check(
        "FIN-WAIT-1",
        fin_wait_1,
        "
        R 1                     | delivered      | -               | CLOSED
        R 101                   | TcpRstNotExact | . 2 ack 1       | FIN-WAIT-1
        R 100001                | TcpOutOfWindow | -               | FIN-WAIT-1
        S 1                     | TcpSynInWindow | . 2 ack 1       | FIN-WAIT-1
        - 1                     | TcpNoAck       | -               | FIN-WAIT-1
        . 1 ack -100000         | TcpBadAck      | . 2 ack 1       | FIN-WAIT-1
        . 1 ack 1               | delivered      | -               | FIN-WAIT-1
        . 1 ack 2               | delivered      | -               | FIN-WAIT-2
        . 1 ack 3               | TcpBadAck      | . 2 ack 1       | FIN-WAIT-1
        P. 1:11 ack 1           | delivered      | . 2 ack 11      | FIN-WAIT-1
        P. 1:11 ack 2           | delivered      | . 2 ack 11      | FIN-WAIT-2
        P. 101:111 ack 1        | delivered      | . 2 ack 1       | FIN-WAIT-1
        P. -9:1 ack 1           | TcpDuplicate   | . 2 ack 1       | FIN-WAIT-1
        P. 100001:100011 ack 1  | TcpOutOfWindow | . 2 ack 1       | FIN-WAIT-1
        F. 1 ack 1              | delivered      | . 2 ack 2       | CLOSING
        F. 1 ack 2              | delivered      | . 2 ack 2       | TIME-WAIT
        FP. 1:11 ack 2          | delivered      | . 2 ack 12      | TIME-WAIT
    ",
    );
}

fn fin_wait_2() -> (Script, Option<SocketId>) {
    let (mut t, socket) = fin_wait_1();
    t.inject(". 1 ack 2");
    (t, socket)
}

#[test]
fn fin_wait_2_3_10_7_4() {
    check(
        "FIN-WAIT-2",
        fin_wait_2,
        "
        R 1                     | delivered      | -               | CLOSED
        R 101                   | TcpRstNotExact | . 2 ack 1       | FIN-WAIT-2
        R 100001                | TcpOutOfWindow | -               | FIN-WAIT-2
        S 1                     | TcpSynInWindow | . 2 ack 1       | FIN-WAIT-2
        - 1                     | TcpNoAck       | -               | FIN-WAIT-2
        . 1 ack -100000         | TcpBadAck      | . 2 ack 1       | FIN-WAIT-2
        . 1 ack 1               | delivered      | -               | FIN-WAIT-2
        . 1 ack 2               | delivered      | -               | FIN-WAIT-2
        . 1 ack 3               | TcpBadAck      | . 2 ack 1       | FIN-WAIT-2
        P. 1:11 ack 2           | delivered      | . 2 ack 11      | FIN-WAIT-2
        P. 101:111 ack 2        | delivered      | . 2 ack 1       | FIN-WAIT-2
        P. -9:1 ack 2           | TcpDuplicate   | . 2 ack 1       | FIN-WAIT-2
        P. 100001:100011 ack 2  | TcpOutOfWindow | . 2 ack 1       | FIN-WAIT-2
        F. 1 ack 2              | delivered      | . 2 ack 2       | TIME-WAIT
        F. 1 ack 1              | delivered      | . 2 ack 2       | TIME-WAIT
        FP. 1:11 ack 2          | delivered      | . 2 ack 12      | TIME-WAIT
        F. 11 ack 2             | delivered      | . 2 ack 1       | FIN-WAIT-2
    ",
    );
}

fn close_wait() -> (Script, Option<SocketId>) {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("F. 1 ack 1");
    t.expect(". 1 ack 2");
    (t, Some(socket))
}

#[test]
fn close_wait_3_10_7_4() {
    check(
        "CLOSE-WAIT",
        close_wait,
        "
        R 2                     | delivered      | -               | CLOSED
        R 102                   | TcpRstNotExact | . 1 ack 2       | CLOSE-WAIT
        R 100001                | TcpOutOfWindow | -               | CLOSE-WAIT
        S 2                     | TcpSynInWindow | . 1 ack 2       | CLOSE-WAIT
        - 2                     | TcpNoAck       | -               | CLOSE-WAIT
        . 2 ack -100000         | TcpBadAck      | . 1 ack 2       | CLOSE-WAIT
        . 2 ack 1               | delivered      | -               | CLOSE-WAIT
        . 2 ack 2               | TcpBadAck      | . 1 ack 2       | CLOSE-WAIT
        P. 2:12 ack 1           | TcpAfterClose  | -               | CLOSE-WAIT
        F. 1 ack 1              | TcpDuplicate   | . 1 ack 2       | CLOSE-WAIT
        F. 2 ack 1              | TcpAfterClose  | -               | CLOSE-WAIT
        P. 100001:100011 ack 1  | TcpOutOfWindow | . 1 ack 2       | CLOSE-WAIT
    ",
    );
}

fn closing() -> (Script, Option<SocketId>) {
    let (mut t, socket) = fin_wait_1();
    t.inject("F. 1 ack 1");
    t.expect(". 2 ack 2");
    (t, socket)
}

#[test]
fn closing_3_10_7_4() {
    check(
        "CLOSING",
        closing,
        "
        R 2                     | delivered      | -               | CLOSED
        R 102                   | TcpRstNotExact | . 2 ack 2       | CLOSING
        R 100001                | TcpOutOfWindow | -               | CLOSING
        S 2                     | TcpSynInWindow | . 2 ack 2       | CLOSING
        - 2                     | TcpNoAck       | -               | CLOSING
        . 2 ack -100000         | TcpBadAck      | . 2 ack 2       | CLOSING
        . 2 ack 1               | delivered      | -               | CLOSING
        . 2 ack 2               | delivered      | -               | TIME-WAIT
        . 2 ack 3               | TcpBadAck      | . 2 ack 2       | CLOSING
        P. 2:12 ack 2           | TcpAfterClose  | -               | TIME-WAIT
        F. 1 ack 1              | TcpDuplicate   | . 2 ack 2       | CLOSING
        F. 1 ack 2              | TcpDuplicate   | . 2 ack 2       | TIME-WAIT
        P. 100001:100011 ack 1  | TcpOutOfWindow | . 2 ack 2       | CLOSING
    ",
    );
}

fn last_ack() -> (Script, Option<SocketId>) {
    let (mut t, socket) = close_wait();
    t.stack.shutdown(t.now, socket.unwrap(), Shutdown::Write).unwrap();
    t.expect("F. 1 ack 2");
    (t, socket)
}

#[test]
fn last_ack_3_10_7_4() {
    check(
        "LAST-ACK",
        last_ack,
        "
        R 2                     | delivered      | -               | CLOSED
        R 102                   | TcpRstNotExact | . 2 ack 2       | LAST-ACK
        R 100001                | TcpOutOfWindow | -               | LAST-ACK
        S 2                     | TcpSynInWindow | . 2 ack 2       | LAST-ACK
        - 2                     | TcpNoAck       | -               | LAST-ACK
        . 2 ack -100000         | TcpBadAck      | . 2 ack 2       | LAST-ACK
        . 2 ack 1               | delivered      | -               | LAST-ACK
        . 2 ack 2               | delivered      | -               | CLOSED
        . 2 ack 3               | TcpBadAck      | . 2 ack 2       | LAST-ACK
        P. 2:12 ack 1           | TcpAfterClose  | -               | LAST-ACK
        F. 1 ack 1              | TcpDuplicate   | . 2 ack 2       | LAST-ACK
        F. 1 ack 2              | delivered      | -               | CLOSED
        P. 100001:100011 ack 1  | TcpOutOfWindow | . 2 ack 2       | LAST-ACK
    ",
    );
}

fn time_wait() -> (Script, Option<SocketId>) {
    let (mut t, socket) = fin_wait_2();
    t.inject("F. 1 ack 2");
    t.expect(". 2 ack 2");
    (t, socket)
}

#[test]
fn time_wait_3_10_7_4() {
    // RFC 1337: no reset ends TIME-WAIT. A later SYN may open anew (RFC 6191), where somebody listens.
    check(
        "TIME-WAIT",
        time_wait,
        "
        R 2                     | TcpStrayRst    | -               | TIME-WAIT
        R 102                   | TcpStrayRst    | -               | TIME-WAIT
        R 100001                | TcpStrayRst    | -               | TIME-WAIT
        S 1                     | answered: ACK  | . 2 ack 2       | TIME-WAIT
        S 3                     | handshake      | S. 65539 ack 4  | TIME-WAIT
        S. 0 ack 1              | answered: ACK  | . 2 ack 2       | TIME-WAIT
        . 2 ack 2               | orphan         | -               | TIME-WAIT
        . 2 ack 3               | orphan         | -               | TIME-WAIT
        P. 2:12 ack 2           | answered: ACK  | . 2 ack 2       | TIME-WAIT
        F. 1 ack 2              | answered: ACK  | . 2 ack 2       | TIME-WAIT
        F. 2 ack 2              | answered: ACK  | . 2 ack 2       | TIME-WAIT
        P. 100001:100011 ack 2  | answered: ACK  | . 2 ack 2       | TIME-WAIT
    ",
    );
}

#[test]
fn nothing_stays_for_ever_when_the_application_is_gone_and_the_peer_silent() {
    let states: [(Setup, &str); 9] = [
        (syn_sent, "SYN-SENT"),
        (syn_received, "SYN-RECEIVED"),
        (established, "ESTABLISHED"),
        (fin_wait_1, "FIN-WAIT-1"),
        (fin_wait_2, "FIN-WAIT-2"),
        (close_wait, "CLOSE-WAIT"),
        (closing, "CLOSING"),
        (last_ack, "LAST-ACK"),
        (time_wait, "TIME-WAIT"),
    ];
    for (setup, state) in states {
        // With the window open, and closed over data that waits.
        for closed_window in [false, true] {
            let (mut t, socket) = setup();
            let socket = socket.unwrap();
            if closed_window && matches!(state, "ESTABLISHED" | "CLOSE-WAIT") {
                let (seq, sent) = (if state == "ESTABLISHED" { 1 } else { 2 }, t.info(socket).bytes_sent);
                t.inject(&format!(". {seq} ack {} win 0", 1 + sent));
                t.send(socket, 1_000).unwrap();
            }
            t.stack.close(t.now, socket).unwrap();
            let mut segments = 0;
            while t.wait_for_segment(Duration::from_secs(86_400)).is_some() {
                segments += 1;
                assert!(segments < 50, "{state} goes on sending");
            }
            assert_eq!(t.stack.poll_timeout(), None, "{state}");
            assert_eq!(t.stack.tcp.connections.iter().count(), 0, "{state} holds its connection");
            assert_eq!((t.stack.tcp.memory, t.stack.tcp.orphans), (0, 0), "{state} holds memory");
            assert_eq!(t.stack.tcp.time_waits.len(), 0);
        }
    }
}

#[test]
fn a_half_open_connection_of_a_listener_ends_by_itself() {
    let (mut t, _) = syn_received_passive();
    let mut segments = 0;
    while t.wait_for_segment(Duration::from_secs(86_400)).is_some() {
        segments += 1;
    }
    assert_eq!(segments, 5, "tcp_synack_retries");
    assert_eq!(t.stack.tcp.connections.iter().count(), 0);
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn no_segment_is_answered_by_more_than_it_weighs() {
    // Each state, a hundred copies of each kind of suspect segment at once: never more answers than segments, and none
    // that carries data; most are limited to one in half a second.
    let states: [Setup; 10] = [
        closed,
        listen,
        syn_received,
        established,
        fin_wait_1,
        fin_wait_2,
        close_wait,
        closing,
        last_ack,
        time_wait,
    ];
    for setup in states {
        for suspect in [
            "R 101",
            "R 100001",
            "S 101",
            "S 100001",
            "- 1",
            ". 1 ack 5000",
            ". 1 ack -100000",
            ". 100001 ack 1",
        ] {
            let (mut t, _) = setup();
            let mut answers = 0;
            for _ in 0..100 {
                t.inject(suspect);
                while let Some(segment) = t.pull() {
                    answers += 1;
                    assert!(!segment.split(' ').nth(1).unwrap_or_default().contains(':'), "{segment}");
                }
            }
            assert!(answers <= 100, "{answers} answers to a hundred of {suspect}");
        }
    }
}
