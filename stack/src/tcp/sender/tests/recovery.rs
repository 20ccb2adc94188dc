//! Loss found and repaired: RACK, RFC 6675, NewReno, reduction, limited transmit, lost retransmissions.

use super::super::SenderConfig;
use super::script::{config, run, run_with};
use crate::time::Duration;

/// The handshake measured 100 ms.
fn warm() -> SenderConfig {
    SenderConfig { handshake_rtt: Some(Duration::from_millis(100)), ..config() }
}

fn reno_without_sack() -> SenderConfig {
    SenderConfig { sack: false, congestion: super::super::Algorithm::Reno, frto: false, ..warm() }
}

#[test]
fn the_initial_window_is_ten() {
    run("queue 20
         sends 1-10
         is cwnd 10 ssthresh infinite Open in-flight 10");
    let after_lost_syn = SenderConfig { syn_retransmitted: true, ..config() };
    run_with(
        &after_lost_syn,
        "queue 20
         sends 1
         is rto 3000ms",
    );
}

#[test]
fn slow_start_grows_by_what_is_delivered() {
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 2
         sends 11-14
         ack 10
         sends 15-30
         is cwnd 20 Open",
    );
}

#[test]
fn one_loss_three_sacks_recovery_without_a_timeout() {
    // RFC 6675 / RFC 8985 section 6.2: the third SACKed segment sets the reordering window to nothing.
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2
         is Disorder cwnd 10 in-flight 9
         sends 11            // limited transmit (RFC 3042)
         ack 0 sack 2-3
         sends 12
         ack 0 sack 2-4
         is Recovery lost 1 ssthresh 7
         sends rack 1
         +1ms
         ack 0 sack 2-5
         ack 0 sack 2-6
         ack 0 sack 2-7
         ack 0 sack 2-8
         ack 0 sack 2-9
         ack 0 sack 2-10
         at 200ms
         ack 10 sack 11-12
         ack 12
         is Open cwnd 7 ssthresh 7",
    );
}

#[test]
fn the_reorder_timer_finds_a_loss_that_two_sacks_only_hint_at() {
    // Two SACKs are less than DupThresh: wait a quarter of the minimum round trip (section 6.2, step 4).
    run_with(
        &warm(),
        "queue 4
         sends 1-4
         at 100ms
         ack 1 sack 3
         sends nothing
         is Disorder
         fires at 126ms      // 100 ms + 100 / 4, and a tick
         fire poll
         is Recovery lost 1
         sends rack 2
         at 200ms
         ack 1 sack 3-4
         at 226ms
         ack 4
         is Open
         quiet",
    );
}

#[test]
fn reordering_within_the_window_is_no_loss() {
    run_with(
        &warm(),
        "queue 4
         sends 1-4
         at 100ms
         ack 1 sack 3
         at 110ms
         ack 3
         is Open lost 0
         ack 4
         quiet",
    );
}

#[test]
fn after_reordering_was_seen_three_sacks_wait_as_well() {
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2
         ack 2               // 1 came late: reordering
         sends 11-13
         at 102ms
         ack 2 sack 4
         ack 2 sack 4-5
         ack 2 sack 4-6
         is Disorder lost 0  // no loss yet: 3 may be late as well
         at 104ms
         ack 6
         is Open lost 0",
    );
}

#[test]
fn a_dsack_widens_the_reordering_window() {
    let mut run = run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2
         ack 2
         sends 11-13
         at 110ms
         ack 2 sack 4-6
         fires at 136ms      // 3 is late when it comes a quarter of the minimum after 4, and a tick
         fire poll
         sends rack 3
         at 138ms
         ack 6               // 3 was only slow
         at 140ms
         ack 6 dsack 3       // ... and the retransmission was needless
         is Open cwnd 11",
    );
    run.go("sends 14-17
         at 205ms
         ack 13
         sends 18-31
         at 245ms
         ack 13 sack 15-17
         fires at 296ms      // 105 ms for the round trip, and now twice a quarter of 100 ms");
}

#[test]
fn a_lost_retransmission_is_found_without_a_timeout() {
    // Section 6.2's second example: the retransmission is lost as well; what was sent after it is delivered.
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2-4
         sends rack 1
         at 101ms
         ack 0 sack 2-10
         sends 11-16
         is Recovery retrans 1
         at 200ms
         ack 0 sack 2-12     // sent at 100 ms too, right after the retransmission
         is lost 1 retrans 0
         sends rack 1, 17-18
         at 201ms
         ack 0 sack 2-16
         at 300ms
         ack 18
         is Open",
    );
}

#[test]
fn many_losses_in_a_window() {
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2
         ack 0 sack 2,4
         ack 0 sack 2,4,6
         is Recovery lost 3
         sends rack 1
         ack 0 sack 2,4,6,8
         sends rack 3
         ack 0 sack 2,4,6,8,10
         sends rack 5
         at 200ms
         ack 2 sack 4,6,8,10-12
         at 201ms
         ack 4 sack 6,8,10-12
         ack 6 sack 8,10-12",
    );
}

#[test]
fn super_frames_are_cut_where_sacks_cut_them() {
    run_with(
        &warm(),
        "queue 100
         frames 10
         sends 1-10
         at 100ms
         ack 0 sack 3-4,7
         is sacked 3 lost 4 Recovery  // 8 to 10 were sent after 7: no word of them yet
         sends rack 1-2, rack 5
         ack 0 sack 3-4,7-10
         is sacked 6",
    );
}

#[test]
fn a_half_covered_segment_is_not_sacked() {
    let mut run = run_with(
        &warm(),
        "queue 10
         sends 1-10
         at 100ms",
    );
    let una = run.sender.una();
    let ack = super::super::AckIn {
        ack: una,
        sack: &[(una + 1500, una + 3500), (una + 4999, una + 6001)],
        ..Default::default()
    };
    run.sender.on_ack(run.now, &ack);
    run.go("is sacked 2 out 10");
}

#[test]
fn reneging_is_survived() {
    // RFC 2018 section 8: the peer drops what it has SACKed. The head is SACKed, yet not acknowledged.
    run_with(
        &warm(),
        "queue 10
         sends 1-10
         at 100ms
         ack 0 sack 2-10
         sends rack 1
         at 200ms
         ack 1
         fires at 250ms
         fire rto
         is Loss lost 9 sacked 0
         sends rto 2",
    );
}

#[test]
fn without_rack_rfc_6675_counts_segments_above() {
    let config = SenderConfig { rack: false, tlp: false, ..warm() };
    run_with(
        &config,
        "queue 100
         sends 1-10
         at 100ms
         ack 0 sack 2
         sends 11
         ack 0 sack 2,4
         sends 12
         is lost 0
         ack 0 sack 2,4,6     // three ranges above 1: lost; 3 has two above it
         is Recovery lost 1
         sends fast 1
         ack 0 sack 2,4,6-8   // 3 and 5 have more than two segments' worth above them
         is lost 3
         sends fast 3, fast 5
         at 200ms
         ack 8
         at 201ms
         ack 12
         is Open cwnd 7",
    );
}

#[test]
fn without_sack_three_duplicate_acks_and_partial_acks() {
    // RFC 6582: one hole is repaired for each partial ACK.
    run_with(
        &reno_without_sack(),
        "queue 100
         sends 1-10
         at 100ms
         ack 0
         sends 11             // limited transmit
         ack 0
         sends 12
         ack 0
         is Recovery lost 1 ssthresh 5
         sends fast 1
         ack 0
         sends nothing
         ack 0
         sends 13
         ack 0
         sends nothing
         ack 0
         sends 14
         at 200ms
         ack 4                // a partial ACK: 5 is missing too
         is Recovery
         sends partial 5
         at 300ms
         ack 12
         is Recovery          // held until something above is acknowledged (section 5)
         ack 14
         is Open cwnd 5 ssthresh 5",
    );
}

#[test]
fn a_window_update_or_data_is_no_duplicate_ack() {
    run_with(
        &reno_without_sack(),
        "queue 10
         sends 1-10
         at 100ms
         ack 0 update
         ack 0 data
         ack 0 data
         ack 0
         ack 0
         is Disorder lost 0 sacked 2
         ack 0
         is Recovery lost 1",
    );
}

#[test]
fn a_closed_window_holds_back_all_but_the_first_segment() {
    run_with(
        &warm(),
        "queue 100
         sends 1-10
         window 1             // the peer took its window back
         at 100ms
         ack 0 sack 4-6
         is lost 3 Recovery
         sends rack 1
         ack 0 sack 4-10
         sends nothing
         at 200ms
         ack 1 sack 4-10
         sends rack 2",
    );
}

#[test]
fn the_fin_is_data_as_well() {
    run_with(
        &warm(),
        "queue 2
         fin
         sends 1-2+fin
         at 100ms
         fire poll
         sends tlp 2+fin
         at 350ms
         ack 2 fin
         quiet
         is out 0",
    );
    run_with(
        &warm(),
        "queue 1
         sends 1
         fin
         sends fin
         is out 2
         at 100ms
         ack 1
         ack 1 fin
         is out 0",
    );
}

#[test]
fn a_smaller_path_mtu_resends_without_reduction() {
    let mut run = run_with(
        &warm(),
        "queue 4
         sends 1-4
         at 50ms",
    );
    run.sender.on_path_mtu(run.now, 500);
    run.go("is cwnd 10 Loss lost 4");
    let limits = super::super::Limits {
        queue_end: run.sender.nxt(),
        fin: false,
        window_edge: run.sender.nxt() + 10_000,
        max_len: 500,
    };
    let plan = run.sender.next(run.now, &limits).unwrap();
    assert_eq!((plan.len, plan.seq), (500, run.sender.una()));
}

/// Sends five segments, of which the third is a probe of twice the size.
fn probed() -> super::script::Script {
    let mut run = run_with(&warm(), "queue 2\n sends 1-2\n queue 5");
    let limits = super::super::Limits {
        queue_end: run.sender.una() + 7000,
        fin: false,
        window_edge: run.sender.una() + 100_000,
        max_len: 2000,
    };
    let plan = run.sender.next(run.now, &limits).unwrap();
    assert_eq!(plan.len, 2000);
    run.sender.on_sent(run.now, &plan);
    run.sender.on_mtu_probe_sent(plan.seq, plan.end());
    run.go("is out 3\n sends 5-7\n is out 6");
    run
}

fn ack(segments: u32, sack: &[(u32, u32)], run: &mut super::script::Script) -> Option<bool> {
    let una = run.sender.una();
    let blocks: Vec<_> = sack.iter().map(|&(l, r)| (una + l * 1000, una + r * 1000)).collect();
    let ack = super::super::AckIn { ack: una + segments * 1000, sack: &blocks, ..Default::default() };
    run.sender.on_ack(run.now, &ack).mtu_probe
}

#[test]
fn an_mtu_probe_that_arrives_is_told_once() {
    let mut run = probed();
    run.go("+100ms");
    assert_eq!(ack(2, &[], &mut run), None);
    assert_eq!(ack(2, &[], &mut run), Some(true));
    assert_eq!(ack(1, &[], &mut run), None);
}

#[test]
fn an_mtu_probe_that_is_lost_costs_no_window() {
    let mut run = probed();
    run.go("+100ms");
    assert_eq!(ack(2, &[], &mut run), None);
    assert_eq!(ack(0, &[(2, 5)], &mut run), Some(false));
    run.go("is lost 1 Loss cwnd 12 ssthresh infinite
         sends rack 3-4");
}
