//! SEGMENT ARRIVES in the states from SYN-RECEIVED on (RFC 9293 section 3.10.7.4), in the order of its checks.

use super::{Env, Reset, Verdict, ack_field, closed};
use crate::frame::{AckWhy, DropReason, Outcome};
use crate::socket::{Errno, SocketId, TcpState};
use crate::tcp::connection::{Connection, INVALID_ANSWER_INTERVAL, Owner};
use crate::tcp::receive_queue::Inserted;
use crate::tcp::segment::Segment;
use crate::tcp::seq::SeqNum;
use crate::time::{Duration, Instant};
use crate::wire::tcp_options::Timestamps;

pub(crate) fn arrives(env: &mut Env<'_>, conn: &mut Connection, segment: Segment) -> Verdict {
    // First, check the sequence number, and before that the timestamp (RFC 7323 section 5.3).
    if let Some(verdict) = check_paws(env, conn, &segment) {
        return verdict;
    }
    if let Some(verdict) = check_sequence(env, conn, &segment) {
        return verdict;
    }
    // Second, check the RST bit.
    if segment.flags.rst() {
        return reset(env, conn, &segment);
    }
    // Third, security: not done, as everywhere (RFC 9293 appendix A.1).
    // Fourth, check the SYN bit.
    if segment.flags.syn() {
        return syn_in_window(env, conn, &segment);
    }
    // Fifth, check the ACK field.
    if !segment.flags.ack() {
        return env.drop(DropReason::TcpNoAck);
    }
    conn.heard_of_peer(env.cx.now);
    if conn.state == TcpState::SynReceived
        && let Some(verdict) = ack_field::complete_handshake(env, conn, &segment)
    {
        return verdict;
    }
    if let Some(verdict) = ack_field::check(env, conn, &segment) {
        return verdict;
    }
    update_recent(env.cx.now, conn, segment.seq, segment.options.timestamps);
    ecn(conn, &segment);
    if segment.payload.is_empty() && !segment.flags.fin() && !segment.flags.urg() {
        return delivered(conn).into();
    }
    text_and_fin(env, conn, segment)
}

/// The sixth to eighth checks: the URG bit, the segment's text, the FIN bit.
pub(super) fn text_and_fin(env: &mut Env<'_>, conn: &mut Connection, mut segment: Segment) -> Verdict {
    conn.counts.data_segments_in += u64::from(segment.wire_segments);
    if conn.can_receive() {
        conn.urgent_arrives(&segment);
    } else {
        // CLOSE-WAIT, CLOSING, LAST-ACK: "This should not occur since a FIN has been received from the remote side.
        // Ignore the segment text." What lies before RCV.NXT comes again because our ACK was lost: the FIN, above all. By
        // the first check it isn't acceptable, and answered; with Linux's left edge it may get this far.
        if segment.len() > 0 && segment.seq.before(conn.rcv.next) {
            let end = segment.end().earliest(conn.rcv.next);
            report_duplicate(env, conn, &segment, end);
            conn.ack.at_once(AckWhy::Duplicate);
            return env.drop(DropReason::TcpDuplicate);
        }
        return env.drop(DropReason::TcpAfterClose);
    }
    let closed_both = conn.owner == Owner::Orphan || conn.read_shut && conn.state != TcpState::Established;
    if !segment.payload.is_empty() && closed_both {
        // Data for a closed socket can't be delivered: say so (RFC 9293 section 3.6.1, as RFC 1122 section 4.2.2.13).
        if conn.rcv.next.before(segment.seq + segment.payload.len() as u32) {
            conn.close_with((conn.owner != Owner::Orphan).then_some(Errno::ECONNRESET));
            env.cx.drop(DropReason::TcpAfterClose);
            return closed::reset(&segment, "data after close");
        }
    }
    let fin = segment.flags.fin().then(|| segment.seq + segment.payload.len() as u32);
    let mut outcome = delivered(conn);
    if fin.is_some_and(|at| segment.payload.is_empty() && at.after(conn.rcv.next)) {
        // A FIN behind a gap is out of order like data there (RFC 5681 section 4.2).
        conn.ack.duplicate(conn.handshake.sack);
    }
    if !segment.payload.is_empty() {
        let payload = core::mem::take(&mut segment.payload);
        if let Some(reason) = text(env, conn, &segment, payload) {
            outcome = env.cx.drop(reason);
        }
    }
    let fin_reached = match fin {
        Some(at) if at.at_or_after(conn.rcv.next) => conn.rcv.fin(at),
        _ => conn.rcv.fin_reached(),
    };
    if fin_reached {
        fin_in_order(conn);
    }
    outcome.into()
}

/// Seventh, process the segment text. A reason is returned where nothing of it was kept.
fn text(
    env: &mut Env<'_>,
    conn: &mut Connection,
    segment: &Segment,
    payload: bytes::Bytes,
) -> Option<DropReason> {
    let now = env.cx.now;
    let (start, end) = (segment.seq, segment.seq + payload.len() as u32);
    let had_early = conn.rcv.queue.has_early();
    let before = conn.rcv.next;
    sample_round_trip(now, conn, segment.options.timestamps, segment.segment_bytes);
    conn.rcv.segment_max = conn.rcv.segment_max.max(segment.segment_bytes);
    // After a shutdown of reading alone, data is taken still, and can be read, as on Linux.
    match conn.rcv.data(start, payload) {
        Inserted::InOrder { bytes, filled_hole } => {
            conn.counts.bytes_received += bytes as u64;
            conn.flags.wake = true;
            if start.before(before) && env.config.dsack {
                conn.rcv.report_duplicate(start, before);
            }
            if filled_hole || had_early {
                // RFC 5681 section 4.2: at once when a segment fills all or part of a gap.
                conn.ack.at_once(AckWhy::FilledHole);
            }
            conn.ack.data_in(now, conn.sender.rto());
            if !conn.timestamps.enabled {
                conn.rcv.measure_window(now);
            }
            None
        }
        Inserted::OutOfOrder => {
            conn.counts.out_of_order_in += segment.wire_segments;
            conn.ack.duplicate(conn.handshake.sack);
            None
        }
        Inserted::Duplicate => {
            report_duplicate(env, conn, segment, end);
            conn.ack.enter_quick();
            conn.ack.at_once(AckWhy::Duplicate);
            Some(DropReason::TcpDuplicate)
        }
        Inserted::Full => {
            conn.ack.at_once(AckWhy::ProbeAnswer);
            Some(if conn.rcv.window() == 0 {
                DropReason::TcpReceiveFull
            } else {
                DropReason::TcpReassemblyFull
            })
        }
    }
}

/// A full segment's echoed timestamp tells the receiver how long a round trip takes.
pub(super) fn sample_round_trip(
    now: Instant,
    conn: &mut Connection,
    timestamps: Option<Timestamps>,
    segment_bytes: u32,
) {
    if let Some(echo) = timestamps.filter(|_| conn.timestamps.enabled)
        && segment_bytes >= conn.rcv.segment_max
        && let Some(sent) = conn.echo_time(now, echo.echo)
    {
        conn.rcv.rtt_sample(now.nanos_since(sent).max(ROUND_TRIP_MIN_NS));
    }
}

/// Eighth, check the FIN bit: the peer's FIN is in order.
fn fin_in_order(conn: &mut Connection) {
    conn.ack.at_once(AckWhy::Fin);
    conn.flags.wake = true;
    conn.rcv.queue.forget_early();
    match conn.state {
        TcpState::SynReceived | TcpState::Established => conn.state = TcpState::CloseWait,
        // "If our FIN has been ACKed (perhaps in this segment), then enter TIME-WAIT": the ACK was processed before,
        // so that would be FIN-WAIT-2 by now.
        TcpState::FinWait1 => conn.state = TcpState::Closing,
        TcpState::FinWait2 => {
            conn.state = TcpState::TimeWait;
            conn.flags.time_wait = true;
        }
        _ => {}
    }
}

/// PAWS: RFC 7323 section 5.3, R1. A timestamp older than TS.Recent belongs to an old duplicate.
fn check_paws(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment) -> Option<Verdict> {
    let timestamps = segment.options.timestamps.filter(|_| conn.timestamps.enabled)?;
    let older = (timestamps.value.wrapping_sub(conn.timestamps.recent) as i32) < 0;
    // R2: a TS.Recent that is 24 days old says nothing any more (section 5.5).
    let outdated = env.cx.now.since(conn.timestamps.recent_at) > RECENT_VALID;
    if !older || outdated || segment.flags.rst() {
        return None;
    }
    // What lies ahead is dropped and may never have been here: to report it would be to SACK it.
    if segment.seq.before(conn.rcv.next) {
        report_duplicate(env, conn, segment, segment.end());
    }
    answer_invalid(env, conn, AckWhy::Unacceptable);
    Some(env.drop(DropReason::TcpPaws))
}

/// The acceptability test of section 3.10.7.4, with Linux's left edge: what was acknowledged by the last ACK that we sent,
/// so that segments which crossed it still bring their ACK field.
fn check_sequence(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment) -> Option<Verdict> {
    let right = conn.rcv.next + conn.rcv.window();
    let acceptable = segment.end().at_or_after(conn.rcv.window_update) && segment.seq.at_or_before(right);
    if acceptable {
        return None;
    }
    if segment.flags.rst() {
        return Some(env.drop(DropReason::TcpOutOfWindow));
    }
    if segment.flags.syn() && conn.state == TcpState::SynReceived {
        // The peer's SYN again: our SYN-ACK was lost.
        return Some(syn_in_window(env, conn, segment));
    }
    if segment.flags.syn() {
        return Some(challenge(env, conn, DropReason::TcpSynInWindow));
    }
    // A retransmission that was received: its sender lost our ACK, and waits. Only bare segments are limited.
    if segment.len() > 0 && segment.seq.before(conn.rcv.next) {
        report_duplicate(env, conn, segment, segment.end());
        conn.ack.enter_quick();
        conn.ack.at_once(if conn.state == TcpState::TimeWait { AckWhy::TimeWait } else { AckWhy::Duplicate });
        return Some(env.drop(DropReason::TcpDuplicate));
    }
    if segment.len() == 0 && segment.seq + 1 == conn.rcv.next {
        // A keep-alive or a probe into our window (RFC 9293 sections 3.8.4 and 3.8.6.1): the ACK field may be news.
        conn.timers.last_received = env.cx.now;
        conn.ack.at_once(AckWhy::ProbeAnswer);
        return Some(delivered(conn).into());
    }
    answer_invalid(env, conn, AckWhy::Unacceptable);
    Some(env.drop(DropReason::TcpOutOfWindow))
}

/// TS.Recent: RFC 7323 section 4.3, (2): a segment that is acceptable, not older, and spans the last ACK sent. Only behind
/// the check of the ACK field: who has guessed a sequence number alone could else make PAWS refuse the peer.
pub(super) fn update_recent(
    now: Instant,
    conn: &mut Connection,
    seq: SeqNum,
    timestamps: Option<Timestamps>,
) {
    if let Some(timestamps) = timestamps.filter(|_| conn.timestamps.enabled)
        && seq.at_or_before(conn.rcv.window_update)
    {
        conn.timestamps.recent = timestamps.value;
        conn.timestamps.recent_at = now;
    }
}

/// Second, the RST bit: RFC 5961 section 3.2. Only the exact next sequence number resets; others are challenged.
fn reset(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment) -> Verdict {
    if segment.seq != conn.rcv.next {
        return challenge(env, conn, DropReason::TcpRstNotExact);
    }
    let error = match conn.state {
        // A passive open returns to LISTEN; an active one (simultaneous open) is refused.
        TcpState::SynReceived => (!conn.handshake.passive).then_some(Errno::ECONNREFUSED),
        TcpState::CloseWait => Some(Errno::EPIPE),
        TcpState::Closing | TcpState::LastAck | TcpState::TimeWait => None,
        _ => Some(Errno::ECONNRESET),
    };
    let outcome = delivered(conn);
    conn.close_with(error);
    outcome.into()
}

/// Fourth, the SYN bit: RFC 5961 section 4.2: challenge it, whatever its sequence number.
fn syn_in_window(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment) -> Verdict {
    if conn.state == TcpState::SynReceived && segment.seq + 1 == conn.rcv.next && !segment.flags.ack() {
        // The same SYN again: answer it as the first, but not more often than the timer would allow a flood.
        if env.cx.now.since(conn.counts.last_invalid_answer) >= INVALID_ANSWER_INTERVAL {
            conn.counts.last_invalid_answer = env.cx.now;
            conn.handshake.due = true;
        }
        return Outcome::Handshake.into();
    }
    if conn.state == TcpState::SynReceived && segment.flags.ack() && segment.seq + 1 == conn.rcv.next {
        // Simultaneous open: the peer's SYN-ACK (RFC 9293 figure 7) acknowledges our SYN.
        if segment.ack == conn.snd.iss + 1 {
            conn.set_window(segment.seq, segment.ack, u32::from(segment.window));
            conn.establish(env.cx, env.config, segment);
            update_recent(env.cx.now, conn, segment.seq, segment.options.timestamps);
            conn.ack.at_once(AckWhy::Handshake);
            conn.flags.wake = true;
            return Outcome::Handshake.into();
        }
        let reset = Reset { seq: segment.ack, ack: None, why: "acknowledges what was never sent" };
        return Verdict { outcome: Outcome::Answered { with: "RST" }, reset: Some(reset) };
    }
    challenge(env, conn, DropReason::TcpSynInWindow)
}

/// A challenge ACK (RFC 5961 section 7): limited for the whole stack and for each connection.
pub(super) fn challenge(env: &mut Env<'_>, conn: &mut Connection, reason: DropReason) -> Verdict {
    let now = env.cx.now;
    if now.since(conn.counts.last_invalid_answer) >= INVALID_ANSWER_INTERVAL && env.challenges.allow(now) {
        conn.counts.last_invalid_answer = now;
        env.cx.counters.tcp_challenge_acks += 1;
        conn.ack.at_once(AckWhy::Challenge);
    }
    env.drop(reason)
}

/// An ACK for an unacceptable segment, rate-limited so that two confused hosts can't keep each other busy.
fn answer_invalid(env: &mut Env<'_>, conn: &mut Connection, why: AckWhy) {
    if env.cx.now.since(conn.counts.last_invalid_answer) >= INVALID_ANSWER_INTERVAL {
        conn.counts.last_invalid_answer = env.cx.now;
        conn.ack.at_once(why);
    }
}

/// D-SACK (RFC 2883): reports what came again, in the next ACK.
fn report_duplicate(env: &Env<'_>, conn: &mut Connection, segment: &Segment, end: SeqNum) {
    if env.config.dsack && conn.handshake.sack && segment.seq != end {
        conn.rcv.report_duplicate(segment.seq, end);
    }
}

/// RFC 3168 section 6.1.3: a congestion mark is echoed until CWR comes.
fn ecn(conn: &mut Connection, segment: &Segment) {
    if conn.ecn.enabled {
        if segment.flags.cwr() {
            conn.ecn.echo = false;
        }
        if segment.congestion_experienced {
            conn.ecn.echo = true;
            conn.ack.enter_quick();
        }
    }
}

/// The outcome of a segment that was taken.
pub(super) fn delivered(conn: &Connection) -> Outcome {
    match conn.owner {
        Owner::Socket(socket) => Outcome::Delivered { socket },
        Owner::Listener(SocketId { .. }) => Outcome::Handshake,
        Owner::Orphan => Outcome::Orphan,
    }
}

/// The least round trip that a timestamp of milliseconds can tell.
const ROUND_TRIP_MIN_NS: u64 = 1_000_000;
/// How long TS.Recent is believed on an idle connection (RFC 7323 section 5.5).
const RECENT_VALID: Duration = Duration::from_secs(24 * 86_400);
