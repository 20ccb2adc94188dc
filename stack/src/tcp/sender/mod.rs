//! Everything about data in flight, in sequence space: what is lost, what may be sent now, and when to act by oneself.
//!
//! - **In**: [`Sender::on_sent`], [`Sender::on_ack`], [`Sender::on_deadline`], changes of MSS and path MTU.
//! - **Out**: [`Sender::next`], what may be sent now (pulled, lost segments first), and [`Sender::deadline`].
//! - **Keeps**: the scoreboard of what is in flight, loss recovery, congestion control, RTT and RTO.
//! - **Timers**: one deadline: retransmission time-out, tail loss probe, RACK's reordering window, or pacing.
//! - **RFC**: 2018, 2883, 3042, 3168, 3522, 4015, 5681, 5682, 6298, 6582, 6675, 6928, 8985, 9406, 9438, 9937.
//! - **Never**: sees payload, headers or sockets; sends; gives up (the caller counts [`Sender::timeouts`]).
//!
//! The order of calls: `on_ack` for each acceptable ACK; then `next` until it says none, each time followed by
//! `on_sent` with what really left (the same plan, or its head cut off); `on_deadline` when `deadline` has come,
//! and `next` again after it. `next` promises nothing until `on_sent`: it may be asked as often as one likes.
//!
//! Windows are counted in segments, as Linux counts them: a record of n bytes is n / MSS segments, rounded up.

use super::seq::SeqNum;
use crate::frame::RetransmitWhy;
use crate::socket::TcpInfo;
use crate::time::{Duration, Instant};

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

/// Data in flight of one connection, from the end of the handshake on.
#[derive(Debug)]
pub(crate) struct Sender {}

impl Sender {
    /// A sender whose first number to be sent is `first` (ISS + 1, or further with data on the SYN: see `on_sent`).
    pub(crate) fn new(now: Instant, first: SeqNum, config: &SenderConfig) -> Sender {
        todo!()
    }

    /// `SND.UNA`: the oldest number that is not acknowledged.
    pub(crate) fn una(&self) -> SeqNum {
        todo!()
    }

    /// `SND.NXT`: the next number of new data.
    pub(crate) fn nxt(&self) -> SeqNum {
        todo!()
    }

    /// Sequence numbers sent and not acknowledged (`SND.NXT - SND.UNA`).
    pub(crate) fn outstanding(&self) -> u32 {
        todo!()
    }

    /// Segments that are taken to be in the network (RFC 6675's pipe).
    pub(crate) fn in_flight(&self) -> u32 {
        todo!()
    }

    /// Whether all that was sent is acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        todo!()
    }

    /// Congestion window, in segments.
    pub(crate) fn cwnd(&self) -> u32 {
        todo!()
    }

    /// Payload of a full segment, in bytes.
    pub(crate) fn mss(&self) -> u32 {
        todo!()
    }

    /// The retransmission time-out as it is now, backoff included. Zero-window probes start from it as well.
    pub(crate) fn rto(&self) -> Duration {
        todo!()
    }

    /// The smoothed round-trip time; none before the first sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        todo!()
    }

    /// Retransmission time-outs in a row without progress.
    pub(crate) fn timeouts(&self) -> u8 {
        todo!()
    }

    /// When the first retransmission was made of what is still unacknowledged: where the user time-out
    /// (RFC 5482) counts from.
    pub(crate) fn first_retransmit_at(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether the congestion window, not the application or the peer, was what limited sending (for buffer auto-tuning).
    pub(crate) fn is_cwnd_limited(&self) -> bool {
        todo!()
    }

    /// Fills in what this room knows of `TCP_INFO`.
    pub(crate) fn info(&self, info: &mut TcpInfo) {
        todo!()
    }

    /// What may be sent now: lost segments first, then new data. Lost segments go out even into a closed window
    /// if they are the first unacknowledged ones. Nothing is recorded until [`Sender::on_sent`].
    pub(crate) fn next(&mut self, now: Instant, limits: &Limits) -> Option<Plan> {
        todo!()
    }

    /// A frame left: the plan as it was, or cut shorter. New data may also be sent without a plan
    /// (data on a SYN, a probe into a small window): `seq` is then `snd.nxt` and `kind` is `New`.
    pub(crate) fn on_sent(&mut self, now: Instant, plan: &Plan) {
        todo!()
    }

    /// An acceptable ACK came in. `SEG.ACK` beyond `snd.nxt` is the caller's to refuse; here it is ignored.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &AckIn<'_>) -> AckOut {
        todo!()
    }

    /// When [`Sender::on_deadline`] wants to be called; none while nothing is in flight and nothing is paced.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// The deadline has come (calling too early does nothing).
    pub(crate) fn on_deadline(&mut self, now: Instant) -> DeadlineOut {
        todo!()
    }

    /// Full segments have another size from now on (options grew, the route changed). Nothing is sent again.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        todo!()
    }

    /// The path's MTU shrank (RFC 1191): what is in flight and larger than `mss` is taken for lost, and sent again
    /// without a reduction of the congestion window.
    pub(crate) fn on_path_mtu(&mut self, now: Instant, mss: u32) {
        todo!()
    }

    /// Switches congestion control (`TCP_CONGESTION`); window and threshold stay.
    pub(crate) fn set_congestion(&mut self, now: Instant, algorithm: Algorithm) {
        todo!()
    }

    /// `SO_MAX_PACING_RATE`, in bytes a second; some rate turns pacing on.
    pub(crate) fn set_max_pacing_rate(&mut self, rate: Option<u64>) {
        todo!()
    }
}
