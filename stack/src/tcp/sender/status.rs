//! What can be asked of a sender: numbers, times, `TCP_INFO`.

use super::frto::Frto;
use super::{Sender, pacing};
use crate::socket::{CongestionState, TcpInfo};
use crate::tcp::seq::SeqNum;
use crate::time::{Duration, Instant};

/// Counted over the connection's life.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) bytes_sent: u64,
    pub(super) bytes_resent: u64,
    pub(super) segments_sent: u64,
    pub(super) segments_resent: u32,
    pub(super) delivered: u32,
    pub(super) dsacks: u32,
}

impl Sender {
    /// `SND.UNA`: the oldest number that is not acknowledged.
    pub(crate) fn una(&self) -> SeqNum {
        self.seq(self.board.una())
    }

    /// `SND.NXT`: the next number of new data.
    pub(crate) fn nxt(&self) -> SeqNum {
        self.seq(self.board.nxt())
    }

    /// Sequence numbers sent and not acknowledged (`SND.NXT - SND.UNA`).
    pub(crate) fn outstanding(&self) -> u32 {
        (self.board.nxt() - self.board.una()) as u32
    }

    /// Segments that are taken to be in the network (RFC 6675's pipe, counted as Linux does).
    pub(crate) fn in_flight(&self) -> u32 {
        let counts = self.board.counts();
        (counts.out + counts.retransmitting).saturating_sub(self.left_network())
    }

    /// Whether all that was sent is acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.board.is_empty()
    }

    /// Whether [`Sender::next`] may have something besides new data: a probe, or what has to be sent again.
    pub(crate) fn may_resend(&self) -> bool {
        self.probe.due || self.board.has_troubles()
    }

    /// Whether nothing is in flight, and nothing stands between new data and the wire but the peer's window: then
    /// [`Sender::next`] would plan all of it, if it fits one segment.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.board.is_empty()
            && self.state == CongestionState::Open
            && self.window.cwnd > 0
            && self.frto == Frto::Off
            && !self.probe.due
            && !self.cwr_due
            && !self.pacer.is_on()
            && !self.settings.slow_start_after_idle
    }

    /// Congestion window, in segments.
    pub(crate) fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    /// The shortest round trip lately.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.rtt.min()
    }

    /// Payload of a full segment, in bytes.
    pub(crate) fn mss(&self) -> u32 {
        self.settings.mss
    }

    /// The retransmission time-out as it is now, backoff included. Zero-window probes start from it as well.
    pub(crate) fn rto(&self) -> Duration {
        self.rtt.rto()
    }

    /// Retransmission time-outs in a row without progress.
    pub(crate) fn timeouts(&self) -> u8 {
        self.timeouts
    }

    /// When something was first sent again since `snd.una` moved last: where the user time-out (RFC 5482) counts from.
    pub(crate) fn first_retransmit_at(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Whether the congestion window, not the application or the peer, was what limited sending lately (for the
    /// auto-tuning of the send buffer).
    pub(crate) fn is_cwnd_limited(&self) -> bool {
        self.usage.is_limited(self.window.cwnd, self.window.in_slow_start())
    }

    /// The rate at which segments leave, in bytes a second, by the window where no algorithm says one.
    pub(super) fn pacing_rate(&self) -> u64 {
        use super::congestion::CongestionControl;
        if let Some(rate) = self.congestion.pacing_rate() {
            return self.pacer.cap(rate);
        }
        let window = u64::from(self.window.cwnd.max(self.in_flight())) * u64::from(self.settings.mss);
        let slow_start = self.window.cwnd < self.window.ssthresh / 2;
        self.pacer.cap(self.rtt.srtt().map_or(u64::MAX, |srtt| pacing::rate(window, slow_start, srtt)))
    }

    /// Fills in what this room knows of `TCP_INFO`.
    pub(crate) fn info(&self, info: &mut TcpInfo) {
        let counts = self.board.counts();
        info.congestion_state = self.state;
        info.retransmits = self.timeouts;
        info.backoff = self.rtt.backoff();
        info.sack = self.settings.sack;
        info.ecn = self.settings.ecn;
        info.rto = self.rtt.rto();
        info.snd_mss = self.settings.mss;
        info.unacked = counts.out;
        info.sacked = counts.sacked + self.reno_sacked;
        info.lost = counts.lost;
        info.retrans = counts.retransmitting;
        info.total_retrans = self.totals.segments_resent;
        info.rtt = self.rtt.srtt().unwrap_or_default();
        info.rttvar = self.rtt.deviation();
        info.min_rtt = self.min_rtt().unwrap_or_default();
        info.snd_ssthresh = self.window.ssthresh;
        info.snd_cwnd = self.window.cwnd;
        info.reordering = self.reordering;
        info.bytes_acked = self.board.una();
        info.bytes_sent = self.totals.bytes_sent;
        info.bytes_retrans = self.totals.bytes_resent;
        info.data_segs_out = self.totals.segments_sent;
        info.delivered = self.totals.delivered;
        info.dsack_dups = self.totals.dsacks;
        info.congestion = self.congestion.algorithm().name();
        info.pacing_rate = if self.pacer.is_on() { self.pacing_rate() } else { 0 };
    }

    /// Segments that have left the network: arrived, or lost.
    pub(super) fn left_network(&self) -> u32 {
        let counts = self.board.counts();
        counts.sacked + self.reno_sacked + counts.lost
    }

    pub(super) fn seq(&self, offset: u64) -> SeqNum {
        self.first + offset as u32
    }

    /// The offset of a sequence number near `snd.una`; none before the first one sent.
    pub(super) fn offset(&self, seq: SeqNum) -> Option<u64> {
        self.board.una().checked_add_signed(i64::from(seq.signed_from(self.una())))
    }
}
