//! Handshakes: options and their order, windows, retransmitted SYNs, refused and failed connections.

use crate::driver::script::run;

#[test]
fn passive_with_every_option() {
    run("
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460,sackOK,TS val 1 ecr 100,nop,wscale 8>
        +.05 < . 1:1 ack 1 win 257 <nop,nop,TS val 150 ecr 1>
        +0 accept
        +0 info state 1 ca Open cwnd 10 ssthresh infinite advmss 1448 mss 988 options 7 rtt 50000 rto 250000
    ");
}

#[test]
fn passive_without_timestamps_scaling_or_sack() {
    run("
        sysctl tcp_timestamps 0
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460,nop,nop,sackOK,nop,wscale 8>
        +0 < . 1:1 ack 1 win 257
        +0 accept
        +0 info advmss 1460 mss 1000 options 6
    ");
    run("
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460>
        +0 < . 1:1 ack 1 win 32792
        +0 accept
        +0 info advmss 1460 mss 1000 options 0
    ");
    run("
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,nop,wscale 7>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460,nop,wscale 8>
    ");
    run("
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,nop,nop,TS val 7 ecr 0>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460,nop,nop,TS val 1 ecr 7>
    ");
    run("
        sysctl tcp_sack 0
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,TS val 7 ecr 0,nop,wscale 7>
        +0 > S. 0:0 ack 1 win 65535 <mss 1460,nop,nop,TS val 1 ecr 7,nop,wscale 8>
    ");
}

#[test]
fn linux_default_buffers_offer_a_multiple_of_the_mss() {
    run("
        sysctl tcp_rmem 4096 131072 6291456
        +0 connect = EINPROGRESS
        +0 > S 0:0 win 64240 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>
    ");
}

#[test]
fn active() {
    run("
        +0 connect = EINPROGRESS
        +0 poll = 0
        +0 > S 0:0 win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>
        +0 connect = EALREADY
        +.02 < S. 0:0 ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 1,nop,wscale 6>
        +0 > . 1:1 ack 1 win 256 <nop,nop,TS val 21 ecr 700>
        +0 poll = OUT
        +0 connect = 0
        +0 connect = EISCONN
        +0 get error = 0
        +0 info state 1 mss 1448 rtt 20000
    ");
}

#[test]
fn a_refused_connection() {
    run("
        +0 connect = EINPROGRESS
        +0 > S 0:0 <...>
        +.1 < R. 0:0 ack 1 win 0
        +0 poll = IN|OUT|RDHUP|HUP|ERR
        +0 get error = 111
        +0 get error = 0
    ");
    run("
        +0 connect = EINPROGRESS
        +0 > S 0:0 <...>
        +.1 < R. 0:0 ack 1 win 0
        +0 connect = ECONNREFUSED
    ");
}

#[test]
fn syns_are_sent_again_until_it_times_out() {
    run("
        sysctl tcp_syn_retries 3
        +0 connect = EINPROGRESS
        +0 > S 0:0 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>
        +1 > S 0:0 <mss 1460,sackOK,TS val 1001 ecr 0,nop,wscale 8>
        +2 > S 0:0 <...>
        +4 > S 0:0 <...>
        +8.01 get error = 110
        +1 quiet
    ");
}

#[test]
fn syn_acks_are_sent_again() {
    run("
        +0 listen
        +0 < S 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
        +0 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
        +1 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
        +2 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
        +.1 < . 1:1 ack 1 win 257
        +0 accept
    ");
}

#[test]
fn a_bad_ack_in_the_handshake_is_reset_without_options() {
    run("
        +0 connect = EINPROGRESS
        +0 > S 0:0 <...>
        +.1 < S. 0:0 ack 2 win 5792 <mss 1460>
        +0 > R 2:2 <>
        +.1 < S. 0:0 ack 1 win 5792 <mss 1460>
        +0 > . 1:1 ack 1 <>
    ");
}

#[test]
fn nobody_listens() {
    run("
        +0 < S 0:0 win 1000 <mss 1000>
        +0 > R. 0:0 ack 1 win 0 <>
        +0 < . 1:1 ack 1 win 1000
        +0 > R 1:1 win 0 <>
        +0 < R 1:1 win 0
        +0 < R. 1:1 ack 1 win 0
        +1 quiet
    ");
}

#[test]
fn maxseg_limits_both_directions() {
    run("
        +0 listen
        +0 set maxseg 1100
        +0 < S 0:0 win 32792 <mss 2000,sackOK,nop,nop,nop,wscale 7>
        +0 > S. 0:0 ack 1 <mss 1100,nop,nop,sackOK,nop,wscale 8>
        +0 < . 1:1 ack 1 win 257
        +0 accept
        +0 write 2200
        +0 > P. 1:2201 ack 1
        +0 info mss 1100 advmss 1100
    ");
}

#[test]
fn simultaneous_open() {
    run("
        +0 connect = EINPROGRESS
        +0 > S 0:0 win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>
        +.1 < S 0:0 win 5792 <mss 1460,sackOK,TS val 700 ecr 0,nop,wscale 6>
        +0 > S. 0:0 ack 1 <mss 1460,sackOK,TS val 101 ecr 700,nop,wscale 8>
        +.1 < S. 0:0 ack 1 win 5792 <mss 1460,sackOK,TS val 800 ecr 101,nop,wscale 6>
        +0 > . 1:1 ack 1 <nop,nop,TS val 201 ecr 800>
        +0 get error = 0
    ");
}

#[test]
fn ecn_is_offered_and_used() {
    run("
        sysctl tcp_ecn 1
        +0 connect = EINPROGRESS
        +0 > [noecn] SEW 0:0 <...>
        +.05 < [noecn] SE. 0:0 ack 1 win 32767 <mss 1000,sackOK,nop,wscale 6>
        +0 > [noecn] . 1:1 ack 1
        +0 write 3000
        +0 > [ect0] P. 1:3001 ack 1
        +.05 < [ect0] E. 1:1 ack 3001 win 257
        +0 info ca CWR
        +0 write 1000
        +0 > [ect0] WP. 3001:4001 ack 1
        +.05 < [ce] P. 1:1001 ack 4001 win 257
        +0 > [noecn] E. 4001:4001 ack 1001
    ");
}

#[test]
fn ecn_is_refused_or_taken_as_the_setting_says() {
    for (setting, answer) in [("0", "S."), ("2", "SE."), ("1", "SE.")] {
        run(&format!(
            "
            sysctl tcp_ecn {setting}
            +0 listen
            +0 < SEW 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0 > {answer} 0:0 ack 1 <...>
            "
        ));
    }
}

#[test]
fn a_segment_is_at_most_half_of_a_small_window() {
    run("
        +0 listen
        +0 < S 0:0 win 1500 <mss 1000>
        +0 > S. 0:0 ack 1 <mss 1460>
        +.1 < . 1:1 ack 1 win 1500
        +0 accept
        +0 write 1000
        +0 > . 1:751 ack 1
    ");
}

#[test]
fn data_that_is_awaited_before_accepting() {
    run("
        +0 listen
        +0 set defer-accept 3
        +0 < S 0:0 win 32792 <mss 1000>
        +0 > S. 0:0 ack 1 <...>
        +.1 < . 1:1 ack 1 win 1000
        +.1 < P. 1:101 ack 1 win 1000
        +0 > . 1:1 ack 101
        +0 accept
        +0 read 1000 = 100
    ");
}
