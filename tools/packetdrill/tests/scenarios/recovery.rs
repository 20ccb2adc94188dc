//! Loss: fast retransmit, SACK, limited transmit, RACK, probes of the tail, time-outs and undoing.

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
fn fast_retransmit_with_sack() {
    open(
        "
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:2001,nop,nop>
        +0 info ca Disorder
        +.001 < . 1:1 ack 1 win 257 <sack 1001:3001,nop,nop>
        +.001 < . 1:1 ack 1 win 257 <sack 1001:4001,nop,nop>
        +0 > . 1:1001 ack 1
        +0 info ca Recovery ssthresh 7 cwnd 7 sacked 3 lost 1 retrans 1
        +.01 < . 1:1 ack 1 win 257 <sack 1001:10001,nop,nop>
        +.09 < . 1:1 ack 10001 win 257
        +0 info ca Open cwnd 7 ssthresh 7 total_retrans 1
        ",
    );
}

#[test]
fn fast_retransmit_without_sack() {
    run("
        sysctl tcp_sack 0
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
        +0 > S. 0:0 ack 1 <mss 1460,nop,wscale 8>
        +.1 < . 1:1 ack 1 win 257
        +0 accept
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257
        +.001 < . 1:1 ack 1 win 257
        +.001 < . 1:1 ack 1 win 257
        +0 > . 1:1001 ack 1
        +0 info ca Recovery ssthresh 7
        +.1 < . 1:1 ack 10001 win 257
        +0 info ca Recovery
        +0 write 1000
        +0 > P. 10001:11001 ack 1
        +.1 < . 1:1 ack 11001 win 257
        +0 info ca Open cwnd 7
    ");
}

#[test]
fn limited_transmit_keeps_the_clock_going() {
    open(
        "
        +0 write 14000
        +0 > . 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:2001,nop,nop>
        +0 > . 10001:11001 ack 1
        +.001 < . 1:1 ack 1 win 257 <sack 1001:3001,nop,nop>
        +0 > . 11001:12001 ack 1
        +.001 < . 1:1 ack 1 win 257 <sack 1001:4001,nop,nop>
        +0 > . 1:1001 ack 1
        +0 info ca Recovery ssthresh 7
        ",
    );
}

#[test]
fn reno_halves() {
    run(&format!(
        "
        sysctl tcp_congestion_control reno
        {OPEN}
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:4001,nop,nop>
        +0 > . 1:1001 ack 1
        +0 info ca Recovery ssthresh 5
        +.1 < . 1:1 ack 10001 win 257
        +0 info ca Open cwnd 6
        "
    ));
}

#[test]
fn the_tail_is_probed_after_two_round_trips() {
    open(
        "
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 6001 win 257
        +.202 > P. 9001:10001 ack 1
        +.1 < . 1:1 ack 6001 win 257 <sack 9001:10001,nop,nop>
        +0 > . 6001:7001 ack 1
        ",
    );
}

#[test]
fn a_lone_segment_waits_longer_for_its_probe() {
    // 2 x RTT + 200 ms is beyond the RTO, so that the probe goes out when the RTO would have come; then the RTO counts anew.
    open(
        "
        +0 write 1000
        +0 > P. 1:1001 ack 1
        +.3 > P. 1:1001 ack 1
        +0 info ca Open cwnd 10
        +.3 > P. 1:1001 ack 1
        +0 info ca Loss cwnd 1
        +.6 > P. 1:1001 ack 1
        ",
    );
}

#[test]
fn a_time_out_starts_over() {
    run(&format!(
        "
        sysctl tcp_early_retrans 0
        {OPEN}
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.3 > . 1:1001 ack 1
        +0 info ca Loss cwnd 1 ssthresh 7 lost 10 retransmits 1 backoff 1 rto 600000
        +.1 < . 1:1 ack 1001 win 257
        +0 > . 1001:3001 ack 1
        +0 info cwnd 2 rto 600000
        +.1 < . 1:1 ack 3001 win 257
        +0 > . 3001:7001 ack 1
        +.1 < . 1:1 ack 7001 win 257
        +0 > P. 7001:10001 ack 1
        +.1 < . 1:1 ack 10001 win 257
        +0 info ca Open
        "
    ));
}

#[test]
fn a_spurious_time_out_is_undone_by_timestamps() {
    run("
        sysctl tcp_early_retrans 0
        +0 listen
        +0 < S 0:0 win 32792 <mss 1012,sackOK,TS val 100 ecr 0,nop,wscale 7>
        +0 > S. 0:0 ack 1 <mss 1460,sackOK,TS val 1 ecr 100,nop,wscale 8>
        +.1 < . 1:1 ack 1 win 257 <nop,nop,TS val 200 ecr 1>
        +0 accept
        +0 write 10000
        +0 > P. 1:10001 ack 1 <nop,nop,TS val 101 ecr 200>
        +.3 > . 1:1001 ack 1 <nop,nop,TS val 401 ecr 200>
        +0 info ca Loss cwnd 1
        +.1 < . 1:1 ack 10001 win 257 <nop,nop,TS val 600 ecr 101>
        +0 info ca Open cwnd 20
    ");
}

#[test]
fn a_spurious_retransmission_is_undone_by_dsack() {
    open(
        "
        +0 write 10000
        +0 > P. 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:4001,nop,nop>
        +0 > . 1:1001 ack 1
        +0 info ca Recovery ssthresh 7
        +.01 < . 1:1 ack 4001 win 257
        +.09 < . 1:1 ack 10001 win 257 <nop,nop,sack 1:1001>
        +0 info ca Open cwnd 16 ssthresh infinite
        ",
    );
}

#[test]
fn rack_waits_a_quarter_of_a_round_trip_for_reordering() {
    open(
        "
        +0 write 4000
        +0 > P. 1:4001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:2001,nop,nop>
        +.025 > . 1:1001 ack 1
        +0 info ca Recovery
        ",
    );
}

#[test]
fn prr_sends_in_proportion() {
    open(
        "
        +0 write 20000
        +0 > . 1:10001 ack 1
        +.1 < . 1:1 ack 1 win 257 <sack 1001:2001,nop,nop>
        +0 > . 10001:11001 ack 1
        +0 < . 1:1 ack 1 win 257 <sack 1001:3001,nop,nop>
        +0 > . 11001:12001 ack 1
        +0 < . 1:1 ack 1 win 257 <sack 1001:4001,nop,nop>
        +0 > . 1:1001 ack 1
        +0 < . 1:1 ack 1 win 257 <sack 1001:5001,nop,nop>
        +0 < . 1:1 ack 1 win 257 <sack 1001:6001,nop,nop>
        +0 > . 12001:13001 ack 1
        ",
    );
}
