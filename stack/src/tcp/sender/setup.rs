//! Making a sender, and changing its settings later.

use super::congestion::{Controller, SSTHRESH_INFINITE, Window};
use super::scoreboard::Scoreboard;
use super::{
    Algorithm, Sender, SenderConfig, Settings, frto, mtu_probe, pacing, probe, prr, rack, rtt, status, undo,
    usage,
};
use crate::socket::CongestionState;
use crate::tcp::seq::SeqNum;
use crate::time::{Duration, Instant};

impl Sender {
    /// A sender whose first number to be sent is `first`: ISS + 1.
    pub(crate) fn new(now: Instant, first: SeqNum, config: &SenderConfig) -> Sender {
        let mut rtt = rtt::Rtt::new(config.rto_initial, config.rto_min, config.rto_max);
        if let Some(sample) = config.handshake_rtt {
            rtt.on_min_sample(now, sample);
            rtt.on_sample(sample, 0, 0);
        } else if config.syn_retransmitted {
            rtt.fall_back();
        }
        // RFC 5681 section 3.1: a lost SYN is congestion; RFC 6928 otherwise.
        let cwnd = if config.syn_retransmitted { 1 } else { config.initial_window_segments.max(1) };
        Sender {
            first,
            board: Scoreboard::new(),
            rtt,
            window: Window { cwnd, ssthresh: SSTHRESH_INFINITE },
            congestion: Controller::new(config.congestion, now),
            state: CongestionState::Open,
            high_seq: 0,
            reno_sacked: 0,
            reordering: config.reordering.max(1),
            rack: rack::Rack::default(),
            probe: probe::Probe::default(),
            prr: prr::Prr::default(),
            undo: undo::Undo::default(),
            frto: frto::Frto::default(),
            timer: None,
            pacer: pacing::Pacer::new(config.pacing, config.max_pacing_rate),
            mtu_probe: mtu_probe::MtuProbe::default(),
            usage: usage::Usage::default(),
            cwr_due: false,
            timeouts: 0,
            last_timeout: Duration::ZERO,
            stalled_since: None,
            last_sent_at: now,
            settings: Settings {
                mss: config.mss.clamp(1, MSS_MAX),
                initial_window: config.initial_window_segments.max(1),
                reordering: config.reordering.max(1),
                sack: config.sack,
                timestamps: config.timestamps,
                rack: config.rack,
                tlp: config.tlp,
                frto: config.frto,
                ecn: config.ecn,
                slow_start_after_idle: config.slow_start_after_idle,
            },
            totals: status::Totals::default(),
        }
    }

    /// Full segments have another size from now on (options grew, the route changed). Nothing is sent again.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.settings.mss = mss.clamp(1, MSS_MAX);
    }

    /// The path's MTU shrank (RFC 1191): what is in flight and larger than `mss` is taken for lost, and sent again
    /// without a reduction of the congestion window (it counts segments, and those are smaller now).
    pub(crate) fn on_path_mtu(&mut self, now: Instant, mss: u32) {
        self.set_mss(mss);
        self.board.lose_larger_than(self.settings.mss);
        if self.board.counts().lost == 0 {
            return;
        }
        self.limit_reno_sacked();
        self.resend_without_reduction(now);
    }

    /// Switches congestion control (`TCP_CONGESTION`); window and threshold stay.
    pub(crate) fn set_congestion(&mut self, now: Instant, algorithm: Algorithm) {
        if self.congestion.algorithm() != algorithm {
            self.congestion = Controller::new(algorithm, now);
        }
    }

    /// `SO_MAX_PACING_RATE`, in bytes a second; some rate turns pacing on.
    pub(crate) fn set_max_pacing_rate(&mut self, rate: Option<u64>) {
        self.pacer.set_rate_max(rate);
    }
}

/// The largest payload that an IP packet can carry.
const MSS_MAX: u32 = 65_535;
