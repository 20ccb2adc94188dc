//! Ends: close, shutdown, resets and what is told of them.

use crate::driver::script::{Script, run};

const OPEN: &str = "
    +0 listen
    +0 < S 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    +0 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
    +.01 < . 1:1 ack 1 win 257
    +0 accept
    +0 unblock
";

fn open(rest: &str) -> Script {
    run(&format!("{OPEN}{rest}"))
}

/// The same with timestamps.
fn open_with_timestamps(rest: &str) -> Script {
    run(&format!(
        "
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
        +0 > S. 0:0 ack 1 <mss 1460,sackOK,TS val 1 ecr 100,nop,wscale 8>
        +.01 < . 1:1 ack 1 win 257 <nop,nop,TS val 110 ecr 1>
        +0 accept
        +0 unblock
        {rest}"
    ))
}

#[test]
fn we_close_first() {
    open(
        "
        +0 write 1000
        +0 > P. 1:1001 ack 1
        +.01 < . 1:1 ack 1001 win 257
        +0 close
        +0 > F. 1001:1001 ack 1
        +.01 < F. 1:1 ack 1002 win 257
        +0 > . 1002:1002 ack 2
        +1 < F. 1:1 ack 1002 win 257
        +0 > . 1002:1002 ack 2
        ",
    );
}

#[test]
fn the_fin_rides_on_the_data_that_waits() {
    open(
        "
        +0 write 12000
        +0 > . 1:10001 ack 1
        +0 close
        +.01 < . 1:1 ack 2001 win 257
        +0 > FP. 10001:12001 ack 1
        ",
    );
}

#[test]
fn the_peer_closes_first() {
    open(
        "
        +.01 < F. 1:1 ack 1 win 257
        +0 > . 1:1 ack 2
        +0 poll = IN|OUT|RDHUP
        +0 read 1000 = 0
        +0 info state 8
        +0 write 1000
        +0 > P. 1:1001 ack 2
        +.01 < . 2:2 ack 1001 win 257
        +0 close
        +0 > F. 1001:1001 ack 2
        +.01 < . 2:2 ack 1002 win 257
        +.01 < . 2:2 ack 1002 win 257
        +0 > R 1002:1002
        ",
    );
}

#[test]
fn both_close_at_once() {
    open(
        "
        +0 shutdown wr
        +0 > F. 1:1 ack 1
        +0 info state 4
        +.01 < F. 1:1 ack 1 win 257
        +0 > . 2:2 ack 2
        +0 info state 11
        +.01 < . 2:2 ack 2 win 257
        ",
    );
}

#[test]
fn shutdown_of_writing_leaves_reading() {
    open(
        "
        +0 shutdown wr
        +0 > F. 1:1 ack 1
        +0 write 10 = EPIPE
        +.01 < . 1:1 ack 2 win 257
        +0 info state 5
        +.01 < P. 1:1001 ack 2 win 257
        +0 > . 2:2 ack 1001
        +0 read 2000 = 1000
        +0 poll = OUT
        +.01 < F. 1001:1001 ack 2 win 257
        +0 > . 2:2 ack 1002
        +0 read 2000 = 0
        +0 poll = IN|OUT|RDHUP|HUP
        ",
    );
}

#[test]
fn closing_with_unread_data_resets() {
    open(
        "
        +.01 < P. 1:1001 ack 1 win 257
        +0 > . 1:1 ack 1001
        +0 close
        +0 > R. 1:1 ack 1001
        ",
    );
}

#[test]
fn resets_of_a_connection_carry_its_timestamps() {
    open_with_timestamps(
        "
        +0 linger 0
        +0 close
        +0 > R. 1:1 ack 1 <nop,nop,TS val 11 ecr 110>
        ",
    );
}

#[test]
fn data_for_a_closed_socket_resets() {
    open(
        "
        +0 close
        +0 > F. 1:1 ack 1
        +.01 < . 1:1 ack 2 win 257
        +.01 < P. 1:1001 ack 2 win 257
        +0 > R 2:2 <>
        ",
    );
}

#[test]
fn a_reset_is_told_once() {
    open(
        "
        +.01 < R. 1:1 ack 1 win 257
        +0 poll = IN|OUT|RDHUP|HUP|ERR
        +0 read 1000 = ECONNRESET
        +0 read 1000 = 0
        +0 write 1000 = EPIPE
        ",
    );
    open(
        "
        +.01 < P. 1:101 ack 1 win 257
        +0 > . 1:1 ack 101
        +.01 < R. 101:101 ack 1 win 257
        +0 write 1000 = ECONNRESET
        +0 read 1000 = 100
        +0 read 1000 = 0
        ",
    );
}

#[test]
fn a_reset_elsewhere_in_the_window_is_challenged() {
    open(
        "
        +.01 < R. 101:101 ack 1 win 257
        +0 > . 1:1 ack 1
        +.6 < S 1000:1000 win 257
        +0 > . 1:1 ack 1
        +.6 < R. 1:1 ack 1 win 257
        +0 read 1000 = ECONNRESET
        ",
    );
}

#[test]
fn fin_is_sent_again() {
    open(
        "
        +0 close
        +0 > F. 1:1 ack 1
        +.21 > F. 1:1 ack 1
        +.21 > F. 1:1 ack 1
        +.42 > F. 1:1 ack 1
        +.01 < . 1:1 ack 2 win 257
        +.01 < F. 1:1 ack 2 win 257
        +0 > . 2:2 ack 2
        ",
    );
}

#[test]
fn an_orphan_waits_for_the_fin_as_long_as_the_setting_says() {
    run(&format!(
        "
        sysctl tcp_fin_timeout 2
        {OPEN}
        +0 close
        +0 > F. 1:1 ack 1
        +.01 < . 1:1 ack 2 win 257
        +3 < F. 1:1 ack 2 win 257
        +0 > R 2:2
        "
    ));
}

#[test]
fn queries_of_queues() {
    open(
        "
        +0 write 3000
        +0 > P. 1:3001 ack 1
        +0 outq = 3000
        +.01 < . 1:1 ack 1001 win 257
        +0 outq = 2000
        +0 < P. 1:501 ack 3001 win 257
        +0 > . 3001:3001 ack 501
        +0 inq = 500
        +0 recv 100 PEEK = 100
        +0 recv 100 TRUNC = 100
        +0 inq = 400
        +0 read 1000 = 400
        +0 recv 100 DONTWAIT = EAGAIN
        ",
    );
}

#[test]
fn urgent_data() {
    open(
        "
        +0 < PU. 1:11 ack 1 win 257 urg 10
        +0 > . 1:1 ack 11
        +0 poll = IN|OUT|PRI
        +0 recv 10 OOB = 1
        +0 recv 10 OOB = EINVAL
        +0 send 10 OOB = 10
        +0 > PU. 1:11 ack 11
        ",
    );
}

#[test]
fn data_after_both_directions_are_shut_resets() {
    open(
        "
        +0 shutdown rdwr
        +0 > F. 1:1 ack 1
        +0 read 10 = 0
        +.01 < . 1:1 ack 2 win 257
        +.01 < P. 1:1001 ack 2 win 257
        +0 > R 2:2
        +0 get error = 104
        ",
    );
}

#[test]
fn closing_before_the_answer_forgets_the_connection() {
    run("
        +0 connect = EINPROGRESS
        +0 > S 0:0 <...>
        +0 close
        +.1 < S. 0:0 ack 1 win 5792 <mss 1460>
        +0 > R 1:1
        +3 quiet
    ");
}
