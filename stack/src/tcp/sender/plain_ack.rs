//! The plain ACK: all that is in flight arrived, in order and sent once. What `ack.rs` does about it, without looking for
//! what it doesn't say.

use super::Sender;
use super::frto::Frto;
use crate::socket::CongestionState;
use crate::tcp::seq::SeqNum;
use crate::time::Instant;

/// What a plain ACK acknowledges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) segments: u32,
    /// When the first and the last of them were sent.
    pub(super) first_sent_at: Instant,
    pub(super) last_sent_at: Instant,
}

impl Sender {
    /// Whether `ack`, on a segment with data and without SACK blocks, ECE or a new window, is a plain ACK. Where nothing is
    /// in flight, it says nothing at all.
    pub(crate) fn is_plain_ack(&self, ack: SeqNum) -> bool {
        ack == self.nxt()
            && self.state == CongestionState::Open
            && self.frto == Frto::Off
            && self.reno_sacked == 0
            && !self.board.has_troubles()
            && !self.probe.is_open()
            && !self.undo.is_open()
            && self.mtu_probe.is_idle()
    }

    /// A plain ACK came in: how many sequence numbers it acknowledges. `echoed` as in [`super::AckIn`].
    pub(crate) fn on_plain_ack(&mut self, now: Instant, echoed: impl FnOnce() -> Option<Instant>) -> u32 {
        let una_before = self.board.una();
        let Some(arrived) = self.board.ack_all() else { return 0 };
        let una = self.board.una();
        self.timeouts = 0;
        self.stalled_since = None;
        self.probe.due = false;
        self.timer = None;
        let (slow, fast) = (now - arrived.first_sent_at, now - arrived.last_sent_at);
        let echoed = if slow > self.rtt.rto() && self.settings.timestamps { echoed() } else { None };
        let fast = self.take_samples(now, (slow, fast), echoed, arrived.segments == 1);
        self.rack.on_arrival(now, arrived.last_sent_at, una);
        self.totals.delivered = self.totals.delivered.wrapping_add(arrived.segments);
        self.grow_window(now, arrived.segments, Some(fast));
        (una - una_before) as u32
    }
}
