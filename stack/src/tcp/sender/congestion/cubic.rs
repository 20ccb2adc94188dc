//! CUBIC: the window as a cubic function of the time since the last congestion event (RFC 9438).
//!
//! All in integers, so that every machine computes the same: windows in billionths of a segment, times in microseconds.

use super::hystart::HyStart;
use super::{CWND_MAX, CongestionControl, Progress, SSTHRESH_INFINITE, SSTHRESH_MIN, Window};
use crate::time::{Duration, Instant};

/// A window in billionths of a segment.
type NanoSegments = u64;

/// CUBIC with HyStart++.
#[derive(Debug)]
pub(in super::super) struct Cubic {
    hystart: HyStart,
    /// When the last ACK came.
    last_ack_at: Instant,
    /// What congestion avoidance needs; a connection that never leaves slow start has none.
    curve: Option<Box<Curve>>,
}

/// The memory of congestion avoidance.
#[derive(Debug, Default)]
struct Curve {
    /// `W_max`; zero when there is none.
    w_max: NanoSegments,
    /// `cwnd_prior`: the window before the last congestion event; section 4.3 compares W_est with it.
    cwnd_prior: u32,
    epoch: Option<Epoch>,
    /// Growth that has not made a whole segment yet.
    credit: NanoSegments,
    /// `w_max`, `cwnd_prior` and `epoch` before the last event, for when it turns out to be none (section 4.9).
    before: (NanoSegments, u32, Option<Epoch>),
}

/// A congestion avoidance stage.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    started_at: Instant,
    /// `K`: when the plateau is reached, in microseconds from the start.
    k_us: i64,
    /// The plateau: `W_max`, or the window at the start where that is larger.
    origin: NanoSegments,
    /// `W_est`: what Reno would have by now.
    w_est: NanoSegments,
}

impl Cubic {
    pub(super) fn new(now: Instant) -> Cubic {
        Cubic { hystart: HyStart::new(), last_ack_at: now, curve: None }
    }

    /// Time in which the window was not used up is no time in which the path was probed (section 5.8).
    fn skip(&mut self, idle: Duration) {
        if let Some(epoch) = self.curve.as_mut().and_then(|curve| curve.epoch.as_mut()) {
            epoch.started_at += idle;
        }
    }
}

impl Curve {
    /// Congestion avoidance (RFC 9438 section 4.2 to 4.5).
    fn on_progress(&mut self, window: &mut Window, progress: &Progress, delivered: u32) {
        let cwnd = u64::from(window.cwnd) * SEGMENT;
        let w_max = self.w_max;
        let epoch = self.epoch.get_or_insert_with(|| Epoch::new(progress.now, cwnd, w_max));

        // Section 4.3: W_est grows as Reno would, slower by the gentler cut until it has made up for it.
        let recovered = epoch.w_est >= u64::from(self.cwnd_prior) * SEGMENT;
        let (numerator, denominator) = if recovered { (1, 1) } else { ALPHA };
        let per_segment = SEGMENT * numerator / denominator / u64::from(window.cwnd.max(1));
        epoch.w_est = epoch.w_est.saturating_add(per_segment * u64::from(delivered));

        let elapsed = progress.now - epoch.started_at;
        if epoch.w_cubic(elapsed) < epoch.w_est {
            // Section 4.3: the Reno-friendly region.
            let w_est = epoch.w_est / SEGMENT;
            if w_est > u64::from(window.cwnd) {
                window.cwnd = u32::try_from(w_est).unwrap_or(CWND_MAX).min(CWND_MAX);
                self.credit = 0;
            }
            return;
        }
        // Sections 4.4 and 4.5: on the way to where the curve is one round trip later, at most half a window up.
        let target = epoch.w_cubic(elapsed + progress.srtt).clamp(cwnd, cwnd + cwnd / 2);
        let per_segment = (target - cwnd) / u64::from(window.cwnd.max(1));
        self.credit = self.credit.saturating_add(per_segment * u64::from(delivered));
        let grow = u32::try_from(self.credit / SEGMENT).unwrap_or(CWND_MAX);
        self.credit %= SEGMENT;
        window.cwnd = window.cwnd.saturating_add(grow).min(CWND_MAX);
    }
}

impl Epoch {
    fn new(now: Instant, cwnd: NanoSegments, w_max: NanoSegments) -> Epoch {
        // Section 4.2: K = cbrt((W_max - cwnd_epoch) / C), or 0 where the window is above W_max already.
        let k_us = icbrt(u128::from(w_max.saturating_sub(cwnd)) * K_SCALE);
        Epoch { started_at: now, k_us: k_us as i64, origin: w_max.max(cwnd), w_est: cwnd }
    }

    /// Section 4.2, figure 1: `W_cubic(t) = C * (t - K)^3 + W_max`.
    fn w_cubic(&self, elapsed: Duration) -> NanoSegments {
        let t = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX).min(ELAPSED_US_MAX);
        let from_plateau = i128::from(t - self.k_us);
        // C = 0.4 segments a cubic second = 0.4 nanosegments a cubic millisecond = 4e-10 of them a cubic microsecond.
        let above = from_plateau.pow(3) * 4 / 10_000_000_000;
        u64::try_from((i128::from(self.origin) + above).max(0)).unwrap_or(u64::MAX)
    }
}

impl CongestionControl for Cubic {
    fn on_progress(&mut self, window: &mut Window, progress: &Progress) {
        let since_last = progress.now - self.last_ack_at;
        self.last_ack_at = progress.now;
        if !progress.may_grow {
            self.skip(since_last);
            return;
        }
        let mut delivered = progress.delivered;
        if window.in_slow_start() {
            if window.ssthresh == SSTHRESH_INFINITE {
                delivered = self.hystart.on_progress(window, progress);
            }
            delivered = window.slow_start(delivered);
        }
        if delivered > 0 && !window.in_slow_start() {
            self.curve.get_or_insert_default().on_progress(window, progress, delivered);
        }
    }

    fn on_congestion(&mut self, window: &Window) -> u32 {
        self.hystart.stop();
        let curve = self.curve.get_or_insert_default();
        curve.before = (curve.w_max, curve.cwnd_prior, curve.epoch.take());
        let cwnd = u64::from(window.cwnd) * SEGMENT;
        // Section 4.7, fast convergence: a flow that lost before it was back at W_max makes room for others.
        curve.w_max = if cwnd < curve.w_max { cwnd * (BETA.0 + BETA.1) / (2 * BETA.1) } else { cwnd };
        curve.cwnd_prior = window.cwnd;
        curve.credit = 0;
        (window.cwnd * BETA.0 as u32 / BETA.1 as u32).max(SSTHRESH_MIN)
    }

    fn on_timeout(&mut self) {
        // Section 4.8: after the slow start that follows, the curve starts at its plateau, from the window of then.
        self.hystart.stop();
        if let Some(curve) = &mut self.curve {
            curve.w_max = 0;
            curve.epoch = None;
            curve.credit = 0;
        }
    }

    fn on_undo(&mut self) {
        if let Some(curve) = &mut self.curve {
            (curve.w_max, curve.cwnd_prior, curve.epoch) = curve.before;
        }
    }

    fn on_idle(&mut self, idle: Duration) {
        self.skip(idle);
        self.last_ack_at += idle;
    }
}

/// The integer cube root, rounded down.
fn icbrt(value: u128) -> u64 {
    let mut root = 0u128;
    for bit in (0..=42).rev() {
        let candidate = root | 1 << bit;
        if candidate * candidate * candidate <= value {
            root = candidate;
        }
    }
    root as u64
}

/// One segment.
const SEGMENT: NanoSegments = 1_000_000_000;
/// `beta_cubic` = 0.7 (section 4.6).
const BETA: (u64, u64) = (7, 10);
/// `alpha_cubic` = 3 * (1 - beta) / (1 + beta) = 9 / 17 (section 4.3).
const ALPHA: (u64, u64) = (9, 17);
/// From nanosegments over C to cubic microseconds: 1e18 us^3/s^3 / 1e9 / 0.4.
const K_SCALE: u128 = 2_500_000_000;
/// An hour: the curve is far above any window by then.
const ELAPSED_US_MAX: i64 = 3_600_000_000;

#[cfg(test)]
#[path = "cubic_tests.rs"]
mod tests;
