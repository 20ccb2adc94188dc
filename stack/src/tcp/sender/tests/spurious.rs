//! Reductions that turn out to be needless, and are taken back: F-RTO, Eifel, D-SACK.

use super::super::SenderConfig;
use super::script::{config, run_with};
use crate::time::Duration;

fn warm() -> SenderConfig {
    SenderConfig { handshake_rtt: Some(Duration::from_millis(100)), tlp: false, ..config() }
}

#[test]
fn frto_with_sack_finds_a_spurious_timeout() {
    // RFC 5682 section 3.1: the path paused; the ACKs of the first transmissions come after the time-out.
    run_with(
        &warm(),
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         is Loss cwnd 1 ssthresh 7
         at 310ms
         ack 1
         sends 11-12          // step 2b: new data
         at 312ms
         ack 2                // step 3b: never sent again, yet here
         is Open cwnd 11 ssthresh infinite lost 0",
    );
}

#[test]
fn frto_without_sack_finds_it_too() {
    let basic = SenderConfig { sack: false, ..warm() };
    run_with(
        &basic,
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         at 310ms
         ack 1
         sends 11-12
         at 312ms
         ack 3
         is Open cwnd 12 ssthresh infinite lost 0",
    );
}

#[test]
fn frto_falls_back_when_the_loss_was_real() {
    // Step 3a: duplicate ACKs after the new data.
    run_with(
        &warm(),
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         at 400ms
         ack 1
         sends 11-12
         at 500ms
         ack 1 sack 11
         is Loss
         sends after 2
         ack 1 sack 11-12
         sends after 3",
    );
}

#[test]
fn frto_without_sack_retransmits_after_a_duplicate_ack() {
    let basic = SenderConfig { sack: false, ..warm() };
    run_with(
        &basic,
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         at 400ms
         ack 1
         sends 11-12
         at 500ms
         ack 1
         is Loss
         sends after 2",
    );
}

#[test]
fn frto_without_new_data_goes_on_with_retransmissions() {
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         fire rto
         sends rto 1
         at 400ms
         ack 1
         sends after 2-3",
    );
}

#[test]
fn an_ack_of_everything_without_sack_proves_nothing() {
    let basic = SenderConfig { sack: false, ..warm() };
    // 1 was lost, 2 and 3 had arrived.
    run_with(
        &basic,
        "queue 3
         sends 1-3
         at 100ms
         ack 0
         ack 0
         fire rto
         sends rto 1
         at 400ms
         ack 3
         is ssthresh 7",
    );
}

#[test]
fn eifel_undoes_a_timeout_by_its_timestamp() {
    let plain = SenderConfig { frto: false, ..warm() };
    run_with(
        &plain,
        "queue 20
         sends 1-10
         fire rto
         sends rto 1
         at 310ms
         ack 1 echo 0ms       // sent at 0 ms, not at 300 ms
         is Open cwnd 11 ssthresh infinite lost 0 backoff 0",
    );
}

#[test]
fn eifel_undoes_fast_recovery() {
    run_with(
        &warm(),
        "queue 40
         sends 1-10
         at 100ms
         ack 0 sack 2-5 echo 0ms
         sends rack 1, 11
         is Recovery ssthresh 7
         at 105ms
         ack 10 echo 0ms      // 1 was only late
         is ssthresh infinite",
    );
}

#[test]
fn dsacks_undo_recovery_when_every_retransmission_was_needless() {
    run_with(
        &warm(),
        "queue 40
         sends 1-10
         at 100ms
         ack 0 sack 3-6
         is lost 2
         sends rack 1-2, 11
         at 110ms
         ack 10
         is Open cwnd 7 ssthresh 7
         at 200ms
         ack 10 dsack 1
         is cwnd 7 ssthresh 7
         ack 10 dsack 2
         is cwnd 10",
    );
}

#[test]
fn dsacks_of_what_we_never_sent_twice_are_not_believed() {
    run_with(
        &warm(),
        "queue 40
         sends 1-10
         at 100ms
         ack 5 dsack 1
         ack 5 dsack 2
         is cwnd 15 Open",
    );
}

#[test]
fn what_ecn_asked_for_is_not_undone() {
    let ecn = SenderConfig { ecn: true, ..warm() };
    run_with(
        &ecn,
        "queue 40
         sends 1-10
         at 100ms
         ack 2 ece
         is Cwr ssthresh 7
         ack 3 ece
         is Cwr ssthresh 7    // once a window
         sends 11
         at 110ms
         ack 10
         is Cwr               // until something sent after the signal is acknowledged
         at 200ms
         ack 11
         is Open cwnd 7",
    );
}

#[test]
fn ece_without_negotiation_is_ignored() {
    run_with(
        &warm(),
        "queue 40
         sends 1-10
         at 100ms
         ack 2 ece
         is Open ssthresh infinite",
    );
}

#[test]
fn cwr_rides_on_the_first_new_data_and_no_later() {
    let ecn = SenderConfig { ecn: true, ..warm() };
    let mut run = run_with(
        &ecn,
        "queue 40
         sends 1-10
         at 100ms
         ack 8 ece",
    );
    let limits = super::super::Limits {
        queue_end: run.sender.nxt() + 10_000,
        fin: false,
        window_edge: run.sender.nxt() + 10_000,
        max_len: 1000,
    };
    let plan = run.sender.next(run.now, &limits).unwrap();
    assert!(plan.cwr);
    run.sender.on_sent(run.now, &plan);
    assert!(run.sender.next(run.now, &limits).is_none_or(|plan| !plan.cwr));
}
