//! A path MTU probe in flight: did the larger segment arrive as it was sent (RFC 4821)?

use super::Sender;
use super::frto::Frto;
use crate::socket::CongestionState;
use crate::tcp::seq::SeqNum;
use crate::time::Instant;

/// One probe at a time.
#[derive(Debug, Default)]
pub(super) struct MtuProbe {
    /// The offset of the probe in flight.
    start: u64,
    /// Its length; 0 while none is in flight.
    len: u32,
    /// What became of it, until the caller is told.
    fate: Option<bool>,
}

impl MtuProbe {
    /// Whether none is in flight, and nothing is to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.len == 0 && self.fate.is_none()
    }
}

impl Sender {
    /// The frame that was just sent, `start..end`, is one segment, larger than the MSS: a probe of the path's MTU. Call
    /// it right after [`Sender::on_sent`]; [`super::AckOut::mtu_probe`] tells what became of it.
    pub(crate) fn on_mtu_probe_sent(&mut self, start: SeqNum, end: SeqNum) {
        if let (Some(start), Some(end)) = (self.offset(start), self.offset(end)) {
            self.board.join_into_one_segment(start);
            self.mtu_probe = MtuProbe { start, len: end.saturating_sub(start) as u32, fate: None };
        }
    }

    /// Looks what became of the probe.
    pub(super) fn judge_mtu_probe(&mut self) {
        let MtuProbe { start, len, .. } = self.mtu_probe;
        if len == 0 {
            return;
        }
        let again = self.board.at(start).is_some_and(|record| record.lost || record.retransmitted);
        if again || self.board.una() >= start + u64::from(len) {
            self.mtu_probe = MtuProbe { start, len: 0, fate: Some(!again) };
        }
    }

    pub(super) fn take_mtu_probe_fate(&mut self) -> Option<bool> {
        self.mtu_probe.fate.take()
    }

    /// Whether nothing but the probe is lost: that tells of its size, not of congestion (RFC 4821 section 7.5).
    pub(super) fn only_the_mtu_probe_is_lost(&self) -> bool {
        let calm = matches!(self.state, CongestionState::Open | CongestionState::Disorder);
        let head = self.board.head().filter(|_| calm);
        head.is_some_and(|head| {
            self.mtu_probe.len > 0
                && self.mtu_probe.start == head.start
                && head.lost
                && self.board.counts().lost == u32::from(head.segments)
        })
    }

    /// What is lost was too large, so it is sent again without a reduction of the window.
    pub(super) fn resend_without_reduction(&mut self, now: Instant) {
        if self.state != CongestionState::Loss {
            self.high_seq = self.board.nxt();
            self.window.ssthresh = self.prudent_ssthresh();
            self.undo.stop();
            self.probe.cancel();
            self.frto = Frto::Off;
            self.state = CongestionState::Loss;
            self.arm_rto(now);
        }
    }
}
