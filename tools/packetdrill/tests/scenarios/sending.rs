//! Sending: slow start, Nagle, cork, PSH, windows, acknowledgements of what comes in.

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
fn slow_start_with_an_ack_for_every_segment() {
    open(
        "
        +0 write 30000
        +0 > . 1:10001 ack 1
        +0 info cwnd 10 unacked 10
        +.1 < . 1:1 ack 1001 win 257
        +0 > . 10001:12001 ack 1
        +0 info cwnd 11
        +.01 < . 1:1 ack 2001 win 257
        +0 > . 12001:14001 ack 1
        +0 info cwnd 12
        +.01 < . 1:1 ack 4001 win 257
        +0 > . 14001:18001 ack 1
        +0 info cwnd 14
        +.01 < . 1:1 ack 10001 win 257
        +0 > P. 18001:30001 ack 1
        +0 info cwnd 20
        ",
    );
}

#[test]
fn slow_start_does_not_grow_an_unused_window() {
    open(
        "
        +0 write 2000
        +0 > P. 1:2001 ack 1
        +.1 < . 1:1 ack 2001 win 257
        +0 info cwnd 10
        +0 write 5000
        +0 > P. 2001:7001 ack 1
        +.1 < . 1:1 ack 7001 win 257
        +0 info cwnd 10
        +0 write 6000
        +0 > P. 7001:13001 ack 1
        +.1 < . 1:1 ack 13001 win 257
        +0 info cwnd 16
        ",
    );
}

#[test]
fn idling_keeps_the_window_unless_the_setting_says_otherwise() {
    for (setting, cwnd) in [("0", "20"), ("1", "10")] {
        run(&format!(
            "
            sysctl tcp_slow_start_after_idle {setting}
            {OPEN}
            +0 write 10000
            +0 > P. 1:10001 ack 1
            +.1 < . 1:1 ack 10001 win 257
            +0 info cwnd 20
            +2 write 20000
            +0 > {}
            +0 info cwnd {cwnd}
            ",
            if setting == "0" { "P. 10001:30001 ack 1" } else { ". 10001:20001 ack 1" }
        ));
    }
}

#[test]
fn each_write_ends_with_push() {
    open(
        "
        +0 write 2500
        +0 > P. 1:2501 ack 1
        +.1 < . 1:1 ack 2501 win 257
        +0 write 1000
        +0 > P. 2501:3501 ack 1
        +0 write 1000
        +0 > P. 3501:4501 ack 1
        ",
    );
}

#[test]
fn a_long_write_is_pushed_every_half_window() {
    // The largest window so far is 32,896: skbs of 16,000 bytes, of which every second one is pushed.
    open(
        "
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 10001 win 257
        +0 write 20000
        +0 > P. 10001:30001 ack 1
        +.1 < . 1:1 ack 30001 win 257
        +0 write 50000
        +0 > P. 30001:62001 ack 1
        +.1 < . 1:1 ack 62001 win 257
        +0 > P. 62001:80001 ack 1
        ",
    );
}

#[test]
fn nagle_and_minshall() {
    open(
        "
        +0 write 100
        +0 > P. 1:101 ack 1
        +0 write 100
        +.02 write 100
        +.08 < . 1:1 ack 101 win 257
        +0 > P. 101:301 ack 1
        +0 set nodelay 1
        +0 write 10
        +0 > P. 301:311 ack 1
        +0 write 20
        +0 > P. 311:331 ack 1
        ",
    );
}

#[test]
fn nagle_lets_full_segments_go_and_a_tail_behind_them() {
    open(
        "
        +0 write 2300
        +0 > P. 1:2301 ack 1
        +0 write 1300
        +0 > . 2301:3301 ack 1
        +.1 < . 1:1 ack 2301 win 257
        +0 > P. 3301:3601 ack 1
        ",
    );
}

#[test]
fn cork_holds_until_the_time_out() {
    open(
        "
        +0 set cork 1
        +0 write 1600
        +0 > . 1:1001 ack 1
        +.1 < . 1:1 ack 1001 win 257
        +.3 > P. 1001:1601 ack 1
        +.05 < . 1:1 ack 1601 win 257
        +0 write 100
        +.05 set cork 0
        +0 > P. 1601:1701 ack 1
        ",
    );
}

#[test]
fn more_holds_until_more_is_written_or_an_ack_comes() {
    open(
        "
        +0 send 100 MORE = 100
        +.05 write 100
        +0 > P. 1:201 ack 1
        +.1 < . 1:1 ack 201 win 257
        +0 send 1500 MORE = 1500
        +0 > . 201:1201 ack 1
        +.1 < . 1:1 ack 1201 win 257
        +0 > . 1201:1701 ack 1
        ",
    );
}

#[test]
fn records_are_never_joined() {
    open(
        "
        +0 set nodelay 1
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +0 send 400 EOR = 400
        +0 write 400
        +0 write 400
        +.1 < . 1:1 ack 10001 win 257
        +0 > P. 10001:10401 ack 1
        +0 > P. 10401:11201 ack 1
        ",
    );
}

#[test]
fn the_peers_window_limits() {
    run("
        +0 listen
        +0 < S 0:0 win 5000 <mss 1000>
        +0 > S. 0:0 ack 1 <mss 1460>
        +.1 < . 1:1 ack 1 win 5000
        +0 accept
        +0 write 8000
        +0 > P. 1:4001 ack 1
        +0 > . 4001:5001 ack 1
        +.1 < . 1:1 ack 5001 win 1500
        +0 > . 5001:6001 ack 1
        +.1 < . 1:1 ack 6001 win 5000
        +0 > P. 6001:8001 ack 1
    ");
}

#[test]
fn quick_acks_then_delayed_ones() {
    let quick: String = (0..16)
        .map(|i| {
            let (start, end) = (i * 1000 + 1, i * 1000 + 1001);
            format!("+.01 < . {start}:{end} ack 1 win 257\n+0 > . 1:1 ack {end}\n")
        })
        .collect();
    open(&format!(
        "
        {quick}
        +.01 < . 16001:17001 ack 1 win 257
        +.01 < . 17001:18001 ack 1 win 257
        +0 > . 1:1 ack 18001
        +.01 < . 18001:19001 ack 1 win 257
        +.04 > . 1:1 ack 19001
        "
    ));
}

#[test]
fn a_conversation_delays_acks() {
    open(
        "
        +0 < P. 1:101 ack 1 win 257
        +0 > . 1:1 ack 101
        +0 read 1000 = 100
        +0 write 100
        +0 > P. 1:101 ack 101
        +.02 < P. 101:201 ack 101 win 257
        +0 read 1000 = 100
        +0 write 100
        +0 > P. 101:201 ack 201
        +.02 < P. 201:301 ack 201 win 257
        +.04 > . 201:201 ack 301
        ",
    );
}

#[test]
fn segments_out_of_order_are_acknowledged_at_once() {
    open(
        "
        +0 < . 1001:2001 ack 1 win 257
        +0 > . 1:1 ack 1 <nop,nop,sack 1001:2001>
        +0 < . 3001:4001 ack 1 win 257
        +0 > . 1:1 ack 1 <nop,nop,sack 3001:4001 1001:2001>
        +0 < . 1:1001 ack 1 win 257
        +0 > . 1:1 ack 2001 <nop,nop,sack 3001:4001>
        +0 < . 2001:3001 ack 1 win 257
        +0 > . 1:1 ack 4001 <>
        +0 < . 1:1001 ack 1 win 257
        +0 > . 1:1 ack 4001 <nop,nop,sack 1:1001>
        +0 read 9000 = 4000
        ",
    );
}

#[test]
fn data_carries_sack_blocks() {
    open(
        "
        +0 < . 1001:2001 ack 1 win 257
        +0 > . 1:1 ack 1 <nop,nop,sack 1001:2001>
        +0 write 500
        +0 > P. 1:501 ack 1 <nop,nop,sack 1001:2001>
        ",
    );
}

#[test]
fn timestamps_and_old_ones() {
    run("
        +0 listen
        +0 < S 0:0 win 20000 <mss 1000,sackOK,TS val 100 ecr 0>
        +0 > S. 0:0 ack 1 <mss 1460,sackOK,TS val 1 ecr 100>
        +.1 < . 1:1 ack 1 win 20000 <nop,nop,TS val 200 ecr 1>
        +0 accept
        +.05 write 100
        +0 > P. 1:101 ack 1 <nop,nop,TS val 151 ecr 200>
        +.1 < . 1:1 ack 101 win 20000 <nop,nop,TS val 350 ecr 151>
        +.01 < P. 1:101 ack 101 win 20000 <nop,nop,TS val 360 ecr 151>
        +0 > . 101:101 ack 101 <nop,nop,TS val 261 ecr 360>
        +.01 < P. 101:201 ack 101 win 20000 <nop,nop,TS val 300 ecr 151>
        +0 > . 101:101 ack 101 <nop,nop,TS val 271 ecr 360>
    ");
}

#[test]
fn unsent_data_below_the_low_water_mark() {
    open(
        "
        +0 set notsent-lowat 2000
        +0 write 13000
        +0 > . 1:10001 ack 1
        +0 poll = 0
        +.1 < . 1:1 ack 2001 win 257
        +0 > P. 10001:13001 ack 1
        +0 poll = OUT
        ",
    );
}
