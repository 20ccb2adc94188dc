//! Congestion control behind one small trait: how the window grows, and to what it is cut.
//!
//! - **In**: ACKs with what they delivered, congestion events, time-outs, undone events, idle times.
//! - **Out**: changes of the [`Window`].
//! - **Keeps**: each algorithm its own memory; window and threshold belong to the sender.
//! - **Timers**: none.
//! - **RFC**: 5681 (Reno), 9438 (CUBIC), 9406 (HyStart++).
//! - **Never**: decides what is lost, nor shrinks the window itself (that is proportional rate reduction's).

mod cubic;
mod hystart;
mod reno;

use super::Algorithm;
use crate::time::{Duration, Instant};
use cubic::Cubic;
use reno::Reno;

/// The congestion window and its threshold, in segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) cwnd: u32,
    /// [`SSTHRESH_INFINITE`] before the first congestion event.
    pub(super) ssthresh: u32,
}

impl Window {
    pub(super) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Slow start (RFC 5681 section 3.1): a segment for each that was delivered, up to the threshold. Returns how many are
    /// left for congestion avoidance.
    fn slow_start(&mut self, delivered: u32) -> u32 {
        let grown = self.cwnd.saturating_add(delivered).min(self.ssthresh).min(CWND_MAX);
        let rest = delivered.saturating_sub(grown.saturating_sub(self.cwnd));
        self.cwnd = grown.max(self.cwnd);
        rest
    }
}

/// An ACK, as congestion control sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) now: Instant,
    /// Segments newly delivered.
    pub(super) delivered: u32,
    /// The round-trip time of the last of them, where it is known.
    pub(super) rtt: Option<Duration>,
    pub(super) srtt: Duration,
    pub(super) una: u64,
    pub(super) nxt: u64,
    /// The window may grow: it was used up (RFC 7661), and no reduction is under way.
    pub(super) may_grow: bool,
}

/// What a congestion control algorithm decides. Four methods make one; the rest have defaults.
pub(super) trait CongestionControl {
    /// Something was delivered: grows the window.
    fn on_progress(&mut self, window: &mut Window, progress: &Progress);

    /// Congestion, once a window: the threshold to go down to. The caller moves the window there.
    fn on_congestion(&mut self, window: &Window) -> u32;

    /// A time-out, after [`CongestionControl::on_congestion`] where that was due.
    fn on_timeout(&mut self);

    /// The last congestion event was none: window and threshold have been restored by the caller.
    fn on_undo(&mut self) {}

    /// Sending starts again after nothing was in flight for `idle`.
    fn on_idle(&mut self, _idle: Duration) {}

    /// A rate of its own, in bytes a second, for algorithms that are driven by one.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}

/// The algorithm of a connection.
#[derive(Debug)]
pub(super) enum Controller {
    Cubic(Cubic),
    Reno(Reno),
}

impl Controller {
    pub(super) fn new(algorithm: Algorithm, now: Instant) -> Controller {
        match algorithm {
            Algorithm::Cubic => Controller::Cubic(Cubic::new(now)),
            Algorithm::Reno => Controller::Reno(Reno::new()),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Controller::Cubic(_) => Algorithm::Cubic,
            Controller::Reno(_) => Algorithm::Reno,
        }
    }

    fn get(&self) -> &dyn CongestionControl {
        match self {
            Controller::Cubic(cubic) => cubic,
            Controller::Reno(reno) => reno,
        }
    }

    fn get_mut(&mut self) -> &mut dyn CongestionControl {
        match self {
            Controller::Cubic(cubic) => cubic,
            Controller::Reno(reno) => reno,
        }
    }
}

impl CongestionControl for Controller {
    fn on_progress(&mut self, window: &mut Window, progress: &Progress) {
        self.get_mut().on_progress(window, progress);
    }

    fn on_congestion(&mut self, window: &Window) -> u32 {
        self.get_mut().on_congestion(window)
    }

    fn on_timeout(&mut self) {
        self.get_mut().on_timeout();
    }

    fn on_undo(&mut self) {
        self.get_mut().on_undo();
    }

    fn on_idle(&mut self, idle: Duration) {
        self.get_mut().on_idle(idle);
    }

    fn pacing_rate(&self) -> Option<u64> {
        self.get().pacing_rate()
    }
}

/// "Arbitrarily high" (RFC 5681 section 3.1): the value that Linux shows in `TCP_INFO`.
pub(super) const SSTHRESH_INFINITE: u32 = 0x7fff_ffff;
/// No window grows beyond this many segments: more can't be in flight.
pub(super) const CWND_MAX: u32 = super::scoreboard::SEGMENTS_MAX;
/// No threshold is below this many segments (RFC 5681 section 3.1, equation 4).
const SSTHRESH_MIN: u32 = 2;
