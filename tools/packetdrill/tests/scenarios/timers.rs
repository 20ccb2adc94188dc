//! Timers: user time-outs, keep-alive, zero windows.

use crate::driver::script::{Script, run};

const OPEN: &str = "
    +0 listen
    +0 < S 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    +0 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
    +.1 < . 1:1 ack 1 win 257
    +0 accept
    +0 unblock
";

fn open(rest: &str) -> Script {
    run(&format!("{OPEN}{rest}"))
}

#[test]
fn a_user_timeout_ends_retransmission() {
    open(
        "
        +0 set user-timeout 3000
        +0 write 24
        +0 > P. 1:25 ack 1
        +.3 > P. 1:25 ack 1
        +.3 > P. 1:25 ack 1
        +.6 > P. 1:25 ack 1
        +1.2 > P. 1:25 ack 1
        +1.1 poll = OUT
        +.2 poll = IN|OUT|RDHUP|HUP|ERR
        +0 write 24 = ETIMEDOUT
        +3 quiet
        ",
    );
}

#[test]
fn keep_alive_ends_with_a_reset() {
    open(
        "
        +0 set keepidle 5
        +0 set keepintvl 2
        +0 set keepcnt 2
        +0 set keepalive 1
        +5 > . 0:0 ack 1
        +.1 < . 1:1 ack 1 win 257
        +5 > . 0:0 ack 1
        +2 > . 0:0 ack 1
        +2 > R. 1:1 ack 1
        +0 read 100 = ETIMEDOUT
        ",
    );
}

#[test]
fn a_user_timeout_ends_keep_alive() {
    open(
        "
        +0 set keepidle 2
        +0 set keepintvl 1
        +0 set keepcnt 9
        +0 set user-timeout 4000
        +0 set keepalive 1
        +2 > . 0:0 ack 1
        +1 > . 0:0 ack 1
        +1 > R. 1:1 ack 1
        +0 read 100 = ETIMEDOUT
        ",
    );
}

#[test]
fn a_zero_window_is_probed_with_backoff() {
    open(
        "
        +0 write 1000
        +0 > P. 1:1001 ack 1
        +.1 < . 1:1 ack 1001 win 0
        +0 write 2000
        +.3 > . 1000:1000 ack 1
        +.1 < . 1:1 ack 1001 win 0
        +.6 > . 1000:1000 ack 1
        +.1 < . 1:1 ack 1001 win 0
        +1.2 > . 1000:1000 ack 1
        +.1 < . 1:1 ack 1001 win 257
        +0 > P. 1001:3001 ack 1
        ",
    );
}

#[test]
fn our_window_closes_and_opens_again() {
    run("
        sysctl tcp_rmem 4096 8000 8000
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000>
        +0 > S. 0:0 ack 1 win 2920 <mss 1460>
        +.1 < . 1:1 ack 1 win 32792
        +0 accept
        +0 < . 1:1001 ack 1 win 32792
        +0 > . 1:1 ack 1001
        +0 < . 1001:2001 ack 1 win 32792
        +0 > . 1:1 ack 2001
        +0 < . 2001:2921 ack 1 win 32792
        +0 > . 1:1 ack 2921 win 0
        +.1 < . 2920:2920 ack 1 win 32792
        +0 > . 1:1 ack 2921 win 0
        +.1 read 4000 = 2920
        +0 > . 1:1 ack 2921 win 4000
    ");
}

#[test]
fn a_user_timeout_ends_a_closed_window() {
    open(
        "
        +0 set user-timeout 3000
        +0 write 24
        +0 > P. 1:25 ack 1
        +.1 < . 1:1 ack 25 win 0
        +0 write 24
        +.3 > . 24:24 ack 1
        +.1 < . 1:1 ack 25 win 0
        +.6 > . 24:24 ack 1
        +.1 < . 1:1 ack 25 win 0
        +1.2 > . 24:24 ack 1
        +.9 poll = OUT
        +.2 poll = IN|OUT|RDHUP|HUP|ERR
        +0 write 24 = ETIMEDOUT
        ",
    );
}
