//! How well a path is filled: CUBIC's response function, long fat links, random loss.

use super::super::*;
use super::link::{Path, World};

fn config() -> SenderConfig {
    SenderConfig { mss: 1448, ..SenderConfig::default() }
}

fn endless(path: Path, config: &SenderConfig, seed: u64) -> World {
    World::new(path, config, 1 << 62, seed)
}

/// The average window under periodic loss at 100 ms, in segments, over `cycles` whole cycles, after `warm_up` of them.
fn average_window(lose_every: u64, warm_up: u64, cycles: u64) -> f64 {
    let path = Path { lose_every, ..Path::new(200, 100) };
    let mut world = endless(path, &config(), 1);
    world.run_until_sent(warm_up * lose_every);
    let (acked, at) = (world.sender.board.una(), world.now);
    world.run_until_sent((warm_up + cycles) * lose_every);
    assert_eq!(world.report.timeouts, 0);
    // By Little's law from what arrived, not by the window's own opinion of itself.
    let rate = (world.sender.board.una() - acked) as f64 / (world.now - at).as_secs_f64();
    rate * 0.1 / 1448.0
}

#[test]
fn one_loss_in_10_000_gives_the_response_function_of_rfc_9438() {
    // Section 5.1: 187 segments at 100 ms.
    let average = average_window(10_000, 30, 10);
    assert!((0.95 * 187.0..1.2 * 187.0).contains(&average), "{average}");
}

#[test]
fn one_loss_in_100_000_gives_the_response_function_of_rfc_9438() {
    let average = average_window(100_000, 6, 3);
    assert!((0.95 * 1054.0..1.2 * 1054.0).contains(&average), "{average}");
}

#[test]
fn gigabit_at_100_ms() {
    let mut world = endless(Path::new(1000, 100), &config(), 1).frames_of(44);
    world.run(Duration::from_secs(10));
    let used = world.utilisation(Duration::from_secs(2));
    assert!(used >= 0.95, "{used}");
}

#[test]
fn gigabit_at_10_ms() {
    let mut world = endless(Path::new(1000, 10), &config(), 1).frames_of(44);
    world.run(Duration::from_secs(10));
    let used = world.utilisation(Duration::from_secs(2));
    assert!(used >= 0.95, "{used}");
}

#[test]
fn random_loss_costs_what_the_formula_says_and_no_timeout() {
    // The window of a sender that halves on each loss is sqrt(1.5 / p); CUBIC is made to do as well there (RFC 9438
    // section 4.3). Lost retransmissions are found by RACK, so no time-out adds to it.
    for (loss_ppm, least) in [(1_000, 1.0), (3_000, 1.0), (10_000, 0.9), (30_000, 0.8)] {
        let path = Path { loss_ppm, ..Path::new(1000, 10) };
        let mut world = endless(path, &config(), 7);
        world.run(Duration::from_secs(5));
        let rate = world.utilisation(Duration::from_secs(30)) * 125e6;
        let formula = 1448.0 / 0.01 * (1.5e6 / f64::from(loss_ppm)).sqrt();
        assert!(rate >= least * formula, "{loss_ppm}: {} of the formula, {:?}", rate / formula, world.report);
        assert_eq!(world.report.timeouts, 0, "{loss_ppm}");
        let needless = world.report.resent - world.report.lost.min(world.report.resent);
        assert!(needless <= 2, "{loss_ppm}: {:?}", world.report);
    }
}

#[test]
fn reordering_is_learnt() {
    // Every twentieth segment comes 3 ms late: far more than three others pass it.
    let path = Path { reorder_ppm: 50_000, late: Duration::from_millis(3), ..Path::new(100, 20) };
    let mut world = endless(path, &config(), 3).frames_of(10);
    world.run(Duration::from_secs(5));
    let used = world.utilisation(Duration::from_secs(10));
    assert!(used >= 0.95, "{used} {:?}", world.report);
    assert!(world.report.resent < 10, "{:?}", world.report);
}

#[test]
fn ecn_keeps_the_queue_without_losses() {
    let path = Path { mark: true, ..Path::new(100, 20) };
    let mut world = endless(path, &SenderConfig { ecn: true, ..config() }, 3).frames_of(10);
    world.run(Duration::from_secs(5));
    let used = world.utilisation(Duration::from_secs(10));
    // Marks keep coming while the queue drains, so some windows are cut twice.
    assert!(used >= 0.9, "{used}");
    assert_eq!(world.report.lost, 0);
}

#[test]
fn pacing_fills_the_path_from_a_short_queue() {
    let short = Path { queue: 30_000, ..Path::new(100, 40) };
    let mut world = endless(short, &SenderConfig { pacing: true, ..config() }, 3);
    world.run(Duration::from_secs(10));
    let used = world.utilisation(Duration::from_secs(20));
    assert!(used >= 0.8, "{used} {:?}", world.report);
}

#[test]
fn reno_fills_a_path_as_well() {
    let reno = SenderConfig { congestion: Algorithm::Reno, ..config() };
    let mut world = endless(Path::new(100, 20), &reno, 3).frames_of(10);
    world.run(Duration::from_secs(5));
    let used = world.utilisation(Duration::from_secs(10));
    assert!(used >= 0.95, "{used}");
}

#[test]
fn a_short_flow_that_loses_its_tail_is_done_within_a_few_round_trips() {
    // The last segment of thirty is lost: a tail loss probe repairs it before a time-out would.
    let path = Path { lose_every: 30, ..Path::new(100, 50) };
    let mut world = World::new(path, &config(), 30 * 1448, 1);
    world.run(Duration::from_secs(10));
    assert!(world.is_done());
    assert_eq!(world.report.timeouts, 0);
    // Three round trips, and the time that an ACK may be delayed when one segment is out.
    assert!(world.now < Instant::from_millis(1 + 3 * 50 + 100 + 250), "{}", world.now);
}

#[test]
fn twenty_thousand_segments_in_flight_behind_a_hole() {
    // Every ACK SACKs one more segment. Walking all of them on each would take 200 million steps.
    let config = SenderConfig { initial_window_segments: 20_000, mss: 1000, ..config() };
    let first = SeqNum::new(7);
    let mut sender = Sender::new(Instant::ZERO, first, &config);
    let limits =
        Limits { queue_end: first + 20_000_000, fin: false, window_edge: first + 30_000_000, max_len: 1000 };
    while let Some(plan) = sender.next(Instant::ZERO, &limits) {
        sender.on_sent(Instant::ZERO, &plan);
    }
    assert_eq!(sender.in_flight(), 20_000);
    for i in 1..20_000 {
        let now = Instant::from_millis(100) + Duration::from_micros(i);
        let sack = [(first + 1000, first + 1000 + 1000 * i as u32)];
        sender.on_ack(now, &AckIn { ack: first, sack: &sack, ..AckIn::default() });
        while let Some(plan) = sender.next(now, &limits) {
            sender.on_sent(now, &plan);
        }
    }
    sender.board.check();
    assert_eq!(sender.board.counts().sacked, 19_999);
    assert_eq!(sender.board.counts().retransmitting, 1);
}
