//! CUBIC against the formulas of RFC 9438.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn progress(now: Instant, delivered: u32, srtt: Duration) -> Progress {
    Progress { now, delivered, rtt: Some(srtt), srtt, una: 0, nxt: 0, may_grow: true }
}

/// A window delivered each round trip, evenly, for `time`; returns the time when it ends.
fn run(cubic: &mut Cubic, window: &mut Window, mut now: Instant, time: Duration, srtt: Duration) -> Instant {
    let end = now + time;
    while now < end {
        now += srtt / window.cwnd;
        cubic.on_progress(window, &progress(now, 1, srtt));
    }
    now
}

fn curve(cubic: &Cubic) -> &Curve {
    cubic.curve.as_deref().unwrap()
}

fn congested(cwnd: u32) -> (Cubic, Window) {
    let mut cubic = Cubic::new(Instant::ZERO);
    let ssthresh = cubic.on_congestion(&Window { cwnd, ssthresh: SSTHRESH_INFINITE });
    (cubic, Window { cwnd: ssthresh, ssthresh })
}

#[test]
fn cube_roots() {
    for value in [0u64, 1, 2, 7, 8, 9, 26, 27, 1_000_000, 4_398_046_511_103] {
        let cube = u128::from(value).pow(3);
        assert_eq!(icbrt(cube), value);
        assert_eq!(icbrt(cube + 1), if value == 0 { 1 } else { value });
        if value > 0 {
            assert_eq!(icbrt(cube - 1), value - 1);
        }
    }
}

#[test]
fn k_is_the_cube_root_of_the_drop_over_c() {
    // W_max = 1000, cwnd_epoch = 700: K = cbrt(300 / 0.4) = 9.0856 s.
    let epoch = Epoch::new(Instant::ZERO, 700 * SEGMENT, 1000 * SEGMENT);
    assert_eq!(epoch.k_us, 9_085_602);
    assert_eq!(Epoch::new(Instant::ZERO, 1000 * SEGMENT, 700 * SEGMENT).k_us, 0);
}

#[test]
fn the_curve_starts_at_the_cut_rests_at_w_max_and_climbs_beyond() {
    let epoch = Epoch::new(Instant::ZERO, 700 * SEGMENT, 1000 * SEGMENT);
    let at = |ms: u64| epoch.w_cubic(Duration::from_millis(ms)) as f64 / SEGMENT as f64;
    let formula = |s: f64| 0.4 * (s - 9.085_602_964).powi(3) + 1000.0;
    assert!((at(0) - 700.0).abs() < 0.001, "{}", at(0));
    assert!((at(9_086) - 1000.0).abs() < 0.001);
    for ms in [1, 500, 3_000, 9_000, 12_000, 60_000] {
        assert!(
            (at(ms) - formula(ms as f64 / 1000.0)).abs() < 0.01,
            "{ms}: {} {}",
            at(ms),
            formula(ms as f64 / 1000.0)
        );
    }
    assert!(epoch.w_cubic(Duration::MAX) > 1_000_000 * SEGMENT, "no overflow");
}

#[test]
fn the_window_follows_the_curve() {
    let (mut cubic, mut window) = congested(1000);
    assert_eq!(window.cwnd, 700);
    let srtt = 100 * MS;
    let start = Instant::from_millis(5);
    cubic.on_progress(&mut window, &progress(start, 1, srtt));
    let now = run(&mut cubic, &mut window, start, Duration::from_secs(4), srtt);
    let epoch = curve(&cubic).epoch.unwrap();
    let expected = epoch.w_cubic(now - epoch.started_at) / SEGMENT;
    assert!(u64::from(window.cwnd).abs_diff(expected) <= 12, "{} {expected}", window.cwnd);
    run(&mut cubic, &mut window, now, Duration::from_millis(5_100), srtt);
    assert!((995..=1001).contains(&window.cwnd), "the plateau at K: {}", window.cwnd);
}

#[test]
fn short_round_trips_are_as_fast_as_reno() {
    // Section 4.3: with small windows and short round trips, W_est leads. alpha = 9/17 a round trip until W_est is back at
    // cwnd_prior, then 1.
    let (mut cubic, mut window) = congested(20);
    assert_eq!(window.cwnd, 14);
    let srtt = 5 * MS;
    let now = run(&mut cubic, &mut window, Instant::from_millis(1), 17 * srtt, srtt);
    assert!(
        (25..=26).contains(&window.cwnd),
        "6 segments in about 11.3 rounds, then one a round: {}",
        window.cwnd
    );
    let before = window.cwnd;
    run(&mut cubic, &mut window, now, 20 * srtt, srtt);
    assert!(window.cwnd.abs_diff(before + 20) <= 1, "{before} {}", window.cwnd);
}

#[test]
fn fast_convergence_gives_way_when_congestion_comes_early() {
    let (mut cubic, _) = congested(100);
    assert_eq!(curve(&cubic).w_max, 100 * SEGMENT);
    let ssthresh = cubic.on_congestion(&Window { cwnd: 80, ssthresh: 70 });
    assert_eq!(ssthresh, 56);
    assert_eq!(curve(&cubic).w_max, 68 * SEGMENT, "80 * (1 + 0.7) / 2");
    assert_eq!(cubic.on_congestion(&Window { cwnd: 90, ssthresh: 56 }), 63);
    assert_eq!(curve(&cubic).w_max, 90 * SEGMENT);
}

#[test]
fn growth_is_at_most_half_a_window_a_round_trip() {
    let (mut cubic, mut window) = congested(10);
    let srtt = Duration::from_secs(20);
    cubic.on_progress(&mut window, &progress(Instant::from_millis(1), 1, srtt));
    for _ in 0..6 {
        cubic.on_progress(&mut window, &progress(Instant::from_millis(1), 1, srtt));
    }
    assert!(window.cwnd <= 11, "{}", window.cwnd);
}

#[test]
fn time_without_use_is_taken_out() {
    let (mut cubic, mut window) = congested(1000);
    let srtt = 100 * MS;
    let start = Instant::from_millis(1);
    cubic.on_progress(&mut window, &progress(start, 1, srtt));
    let mut idle = progress(start + Duration::from_secs(100), 1, srtt);
    idle.may_grow = false;
    cubic.on_progress(&mut window, &idle);
    cubic.on_progress(&mut window, &progress(start + Duration::from_secs(100), 1, srtt));
    cubic.on_idle(Duration::from_secs(50));
    cubic.on_progress(&mut window, &progress(start + Duration::from_secs(150), 700, srtt));
    assert!(window.cwnd < 720, "{}", window.cwnd);
}

#[test]
fn undo_and_timeout() {
    let (mut cubic, _) = congested(100);
    cubic.on_congestion(&Window { cwnd: 80, ssthresh: 70 });
    cubic.on_undo();
    assert_eq!((curve(&cubic).w_max, curve(&cubic).cwnd_prior), (100 * SEGMENT, 100));
    cubic.on_congestion(&Window { cwnd: 80, ssthresh: 70 });
    cubic.on_timeout();
    assert_eq!(curve(&cubic).w_max, 0, "section 4.8: the next stage starts at its plateau");
    cubic.on_undo();
    assert_eq!(curve(&cubic).w_max, 100 * SEGMENT);
}
