//! Time-outs, probes, pacing: what happens when nothing comes.

use super::super::SenderConfig;
use super::script::{config, run, run_with};
use crate::time::Duration;

fn warm() -> SenderConfig {
    SenderConfig { handshake_rtt: Some(Duration::from_millis(100)), ..config() }
}

#[test]
fn one_second_before_the_first_sample() {
    let no_probe = SenderConfig { tlp: false, ..config() };
    run_with(
        &no_probe,
        "queue 1
         sends 1
         fires at 1000ms
         fire rto
         sends rto 1
         is Loss cwnd 1 timeouts 1 backoff 1
         fires at 3000ms
         fire rto
         sends rto 1
         fires at 7000ms",
    );
}

#[test]
fn the_timer_restarts_with_progress_and_stops_with_the_last_ack() {
    let no_probe = SenderConfig { tlp: false, ..warm() };
    run_with(
        &no_probe,
        "queue 2
         sends 1-2
         fires at 300ms       // 100 ms + 200 ms
         at 100ms
         ack 1
         fires at 400ms
         at 150ms
         ack 2
         quiet",
    );
}

#[test]
fn a_timeout_takes_everything_for_lost_and_starts_slowly() {
    let plain = SenderConfig { tlp: false, frto: false, ..warm() };
    run_with(
        &plain,
        "queue 20
         sends 1-10
         fire rto
         is Loss cwnd 1 ssthresh 7 lost 10 in-flight 0
         sends rto 1
         at 400ms
         ack 1
         is cwnd 2
         sends after 2-3
         at 500ms
         ack 3
         sends after 4-7
         at 600ms
         ack 10
         is Open lost 0",
    );
}

#[test]
fn a_second_timeout_in_a_row_does_not_reduce_again() {
    let plain = SenderConfig { tlp: false, frto: false, ..warm() };
    run_with(
        &plain,
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         is ssthresh 7
         fire rto
         sends rto 1
         is ssthresh 7 cwnd 1 timeouts 2 backoff 2
         +10ms
         ack 1 echo 300ms
         is timeouts 0",
    );
}

#[test]
fn karn_keeps_the_backoff_until_something_new_is_measured() {
    let plain = SenderConfig { tlp: false, frto: false, ..warm() };
    run_with(
        &plain,
        "queue 1
         sends 1
         fire rto
         sends rto 1
         at 400ms
         ack 1               // no timestamp: whose ACK is it?
         is backoff 1 rto 600ms
         queue 1
         sends 2
         +100ms
         ack 2
         is backoff 0",
    );
}

#[test]
fn timestamps_measure_retransmissions() {
    let plain = SenderConfig { tlp: false, frto: false, ..warm() };
    run_with(
        &plain,
        "queue 1
         sends 1
         fire rto
         sends rto 1
         at 400ms
         ack 1 echo 300ms
         is backoff 0",
    );
}

#[test]
fn a_lost_tail_is_probed_and_repaired_without_a_timeout() {
    // RFC 8985 section 7: 10 segments, the last two are lost.
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         fires at 202ms       // two round trips (and two ticks)
         at 100ms
         ack 8
         fires at 302ms
         fire poll
         sends tlp 10
         fires at 602ms       // one probe, then a whole time-out
         at 400ms
         ack 8 sack 10
         is Disorder
         sends nothing",
    );
}

#[test]
fn the_probe_is_new_data_where_there_is_some() {
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         queue 5
         sends nothing
         fire poll
         sends tlp-new 11
         is Open out 11
         +50ms
         ack 11
         is Open cwnd 21",
    );
}

#[test]
fn a_probe_that_repaired_a_loss_costs_window() {
    // Section 7.4.2: only the copy arrived, as the ACK after it shows.
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         at 100ms
         ack 9
         fire poll
         sends tlp 10
         +100ms
         ack 10
         is Open ssthresh infinite
         queue 3
         sends 11-13
         +100ms
         ack 11
         is ssthresh 14 cwnd 14",
    );
}

#[test]
fn a_needless_probe_costs_nothing() {
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         at 100ms
         ack 9
         fire poll
         sends tlp 10
         +1ms
         ack 10
         +100ms
         ack 10 dsack 10
         queue 3
         sends 11-13
         +100ms
         ack 13
         is Open ssthresh infinite",
    );
}

#[test]
fn probes_do_not_put_the_timeout_off() {
    run_with(&warm(), "queue 1
         sends 1
         fires at 300ms       // with one segment out the probe waits for a delayed ACK: no sooner than the time-out
         fire poll
         sends tlp 1
         is Open");
    run_with(
        &warm(),
        "queue 3
         sends 1-3
         fires at 202ms
         fire poll
         sends tlp 3
         fires at 502ms
         fire rto
         is Loss lost 3",
    );
}

#[test]
fn pacing_spreads_the_window_over_the_round_trip() {
    let paced = SenderConfig { pacing: true, ..warm() };
    // Slow start: 2 * 10 segments in 100 ms: one each 5 ms.
    let mut run = run_with(
        &paced,
        "queue 20
         sends 1
         fires at 5ms
         fire poll
         sends 2
         fires at 10ms",
    );
    run.go("fire poll
         fires at 207ms       // nothing was sent: nothing is paced
         sends 3");
}

#[test]
fn a_pacing_limit_holds() {
    let limited = SenderConfig { max_pacing_rate: Some(100_000), ..warm() };
    run_with(
        &limited,
        "queue 20
         sends 1
         fires at 10ms
         fire poll
         sends 2
         fires at 20ms",
    );
}

#[test]
fn slow_start_after_idle_is_an_option() {
    let idle = "queue 30
         sends 1-10
         at 100ms
         ack 10
         sends 11-30
         at 200ms
         ack 30
         is cwnd 40
         at 60000ms
         queue 100";
    let mut run_off = run_with(&warm(), idle);
    run_off.go("sends 31-70");
    let mut run_on = run_with(&SenderConfig { slow_start_after_idle: true, ..warm() }, idle);
    run_on.go("sends 31-40
         is cwnd 10");
}

#[test]
fn an_application_that_does_not_use_the_window_does_not_grow_it() {
    run_with(
        &warm(),
        "queue 2
         sends 1-2
         at 100ms
         ack 2
         is cwnd 10
         queue 4
         sends 3-6
         at 200ms
         ack 6
         is cwnd 10
         queue 6
         sends 7-12
         at 300ms
         ack 12
         is cwnd 16           // more than half of it was used, in slow start
         ",
    );
}

#[test]
fn a_quiet_sender_is_small() {
    let size = core::mem::size_of::<super::super::Sender>();
    assert!(size <= 640, "{size} bytes");
    let run = run("queue 1
         sends 1
         +10ms
         ack 1
         quiet");
    assert!(run.sender.is_idle());
}
