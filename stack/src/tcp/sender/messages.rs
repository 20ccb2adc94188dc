//! What goes in and out of the sender's door: ACKs, limits, plans, deadlines.

use crate::frame::RetransmitWhy;
use crate::tcp::seq::SeqNum;
use crate::time::{Duration, Instant};

/// An acceptable ACK: its number is at most `snd.nxt`. Older ones than `snd.una` are welcome for their SACK blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckIn<'a> {
    /// `SEG.ACK`.
    pub(crate) ack: SeqNum,
    /// SACK blocks, left and right edge, in the option's order (the first may be a D-SACK). Any edges are survived.
    pub(crate) sack: &'a [(SeqNum, SeqNum)],
    /// When the segment was sent whose timestamp this ACK echoes, in whole milliseconds of the stack's clock (as
    /// timestamps tick); none without a timestamp option or with a zero echo.
    pub(crate) echoed: Option<Instant>,
    /// ECE is set (and this is no SYN).
    pub(crate) ece: bool,
    /// The segment carries data, SYN or FIN, so it is no duplicate ACK (RFC 5681 section 2).
    pub(crate) carries_data: bool,
    /// The segment changes the peer's window, so it is no duplicate ACK.
    pub(crate) window_changed: bool,
}

/// What an ACK brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckOut {
    /// By how much `snd.una` moved: data, and 1 for a FIN. The caller drops so much from its queue.
    pub(crate) newly_acked: u32,
    /// Something was newly acknowledged, cumulatively or selectively: the path works (neighbour confirmed).
    pub(crate) progress: bool,
    /// It counted as a duplicate ACK.
    pub(crate) duplicate: bool,
    /// Its first block was a D-SACK: the peer received something twice.
    pub(crate) dsack: bool,
    /// A congestion window reduction turned out to be needless, and was undone.
    pub(crate) undone: bool,
    /// A round-trip time sample was taken.
    pub(crate) rtt: Option<Duration>,
    /// What became of the path MTU probe, told once: whether it arrived as it was sent. If not, it is being sent again
    /// in smaller segments.
    pub(crate) mtu_probe: Option<bool>,
}

/// What bounds the next transmission, besides the congestion window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The end of what is queued: one past the last byte, and past the FIN when it is queued.
    pub(crate) queue_end: SeqNum,
    /// Whether the last number before `queue_end` is a FIN.
    pub(crate) fin: bool,
    /// The right edge of the peer's window: `snd.una + snd.wnd` (with the window of the last update).
    pub(crate) window_edge: SeqNum,
    /// The largest payload of one frame, in bytes: the device's segmentation limit, or the MSS. It is rounded down to
    /// whole segments, and never below one.
    pub(crate) max_len: u32,
}

/// New data, or something that was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendKind {
    /// Never sent before: starts at `snd.nxt`.
    New,
    /// Sent before.
    Retransmit(RetransmitWhy),
}

/// What may be sent now. A plan never mixes new data with retransmission, nor two reasons of retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Its first sequence number.
    pub(crate) seq: SeqNum,
    /// How many sequence numbers: payload, and 1 for a FIN. The caller may send less from the front (Nagle: only whole
    /// segments): lower `len`, and clear `fin`, before [`Sender::on_sent`].
    pub(crate) len: u32,
    /// Whether the last number is a FIN.
    pub(crate) fin: bool,
    /// What it is.
    pub(crate) kind: SendKind,
    /// Set CWR on (the first segment of) this frame: RFC 3168 section 6.1.2. Only on new data.
    pub(crate) cwr: bool,
    /// A tail loss probe made of new data: Nagle must not hold it back.
    pub(crate) probe: bool,
}

impl Plan {
    /// Payload, in bytes: the FIN taken off.
    pub(crate) fn payload(&self) -> u32 {
        self.len - u32::from(self.fin)
    }

    /// One past the last sequence number.
    pub(crate) fn end(&self) -> SeqNum {
        self.seq + self.len
    }
}

/// What a deadline was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlineOut {
    /// It had not come yet, or there is nothing left to wait for.
    Nothing,
    /// `next` may have something now: a tail loss probe, what the reordering window has let go, or a paced segment.
    Poll,
    /// The retransmission timer ran out (RFC 6298 section 5): `next` offers the first segment again. The caller decides
    /// whether to give up, by [`Sender::timeouts`] and [`Sender::first_retransmit_at`].
    TimedOut {
        /// The time-out that ran out.
        rto: Duration,
        /// How often it ran out in a row, this one included.
        backoff: u8,
    },
}
