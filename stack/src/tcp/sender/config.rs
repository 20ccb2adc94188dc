//! What a sender is told at its making.

use crate::time::Duration;

/// Which congestion control a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RFC 9438, with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// RFC 5681, counted in bytes acknowledged.
    Reno,
}

impl Algorithm {
    /// By the name that `TCP_CONGESTION` uses.
    pub(crate) fn from_name(name: &str) -> Option<Algorithm> {
        match name {
            "cubic" => Some(Algorithm::Cubic),
            "reno" => Some(Algorithm::Reno),
            _ => None,
        }
    }

    /// The name that `TCP_CONGESTION` uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Cubic => "cubic",
            Algorithm::Reno => "reno",
        }
    }
}

/// What a sender is told at its making, when the handshake is over. The defaults are Linux's.
#[derive(Clone, Debug)]
pub(crate) struct SenderConfig {
    /// Payload of a full segment, in bytes (options taken off).
    pub(crate) mss: u32,
    /// Whether the peer sends SACK blocks.
    pub(crate) sack: bool,
    /// Whether ACKs echo timestamps.
    pub(crate) timestamps: bool,
    /// Congestion control.
    pub(crate) congestion: Algorithm,
    /// RFC 6928.
    pub(crate) initial_window_segments: u32,
    /// Lower bound of the variance term of the RTO (Linux's `TCP_RTO_MIN`).
    pub(crate) rto_min: Duration,
    /// The RTO before the first sample.
    pub(crate) rto_initial: Duration,
    /// Upper bound of the RTO, backoff included.
    pub(crate) rto_max: Duration,
    /// DupThresh: segments of reordering that are tolerated.
    pub(crate) reordering: u32,
    /// F-RTO (RFC 5682).
    pub(crate) frto: bool,
    /// RACK (RFC 8985); without it, RFC 6675 decides what is lost. Without SACK neither: RFC 6582.
    pub(crate) rack: bool,
    /// Tail loss probes (RFC 8985 section 7); needs SACK.
    pub(crate) tlp: bool,
    /// Restart from the initial window after idling for an RTO (RFC 5681 section 4.1).
    pub(crate) slow_start_after_idle: bool,
    /// Spread segments over the round-trip time.
    pub(crate) pacing: bool,
    /// `SO_MAX_PACING_RATE`, in bytes a second; some rate turns pacing on.
    pub(crate) max_pacing_rate: Option<u64>,
    /// Whether ECN was negotiated.
    pub(crate) ecn: bool,
    /// Our SYN or SYN-ACK timed out: start from a window of one segment (RFC 5681 section 3.1).
    pub(crate) syn_retransmitted: bool,
    /// The round trip of the handshake, where it is known (not after a retransmitted SYN without timestamps).
    pub(crate) handshake_rtt: Option<Duration>,
}

impl Default for SenderConfig {
    fn default() -> SenderConfig {
        SenderConfig {
            mss: 536,
            sack: true,
            timestamps: true,
            congestion: Algorithm::Cubic,
            initial_window_segments: 10,
            rto_min: Duration::from_millis(200),
            rto_initial: Duration::from_secs(1),
            rto_max: Duration::from_secs(120),
            reordering: 3,
            frto: true,
            rack: true,
            tlp: true,
            slow_start_after_idle: false,
            pacing: false,
            max_pacing_rate: None,
            ecn: false,
            syn_retransmitted: false,
            handshake_rtt: None,
        }
    }
}
