//! The fifth check of SEGMENT ARRIVES, the ACK field (RFC 9293 section 3.10.7.4): what it acknowledges, the peer's window,
//! and the transitions that our FIN's acknowledgement makes.

use super::otherwise::{challenge, delivered};
use super::{Env, Reset, Verdict};
use crate::frame::{DropReason, Outcome};
use crate::socket::TcpState;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Connection, Owner};
use crate::tcp::pool::ChunkPool;
use crate::tcp::segment::Segment;
use crate::tcp::sender::AckIn;
use crate::tcp::seq::SeqNum;
use crate::time::Instant;

/// SYN-RECEIVED: "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED". A verdict where it isn't.
pub(super) fn complete_handshake(
    env: &mut Env<'_>,
    conn: &mut Connection,
    segment: &Segment,
) -> Option<Verdict> {
    if segment.ack != conn.snd.iss + 1 {
        env.cx.drop(DropReason::TcpBadAck);
        let reset = Reset { seq: segment.ack, ack: None, why: "acknowledges what was never sent" };
        return Some(Verdict { outcome: Outcome::Answered { with: "RST" }, reset: Some(reset) });
    }
    if let Some(until) = conn.handshake.defer_until
        && segment.len() == 0
        && env.cx.now < until
    {
        // TCP_DEFER_ACCEPT: the connection exists for the application when its data does.
        return Some(Outcome::Handshake.into());
    }
    conn.set_window(segment.seq, segment.ack, u32::from(segment.window) << conn.snd.scale);
    conn.establish(env.cx, env.config, segment);
    env.cx.counters.tcp_passive_opens += 1;
    conn.flags.wake = true;
    None
}

/// ESTABLISHED and later. A verdict where the segment has nothing more to bring.
pub(super) fn check(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment) -> Option<Verdict> {
    let (una, nxt) = (conn.sender.una(), conn.sender.nxt());
    if segment.ack.after(nxt) {
        // "If the ACK acks something not yet sent (SEG.ACK > SND.NXT), then send an ACK, drop the segment."
        return Some(challenge(env, conn, DropReason::TcpBadAck));
    }
    if segment.ack.before(una) {
        // RFC 5961 section 5.2: older than any window that the peer ever offered.
        if segment.ack.before(una - conn.snd.wnd_max) {
            return Some(challenge(env, conn, DropReason::TcpBadAck));
        }
    }
    let window_changed = update_window(conn, segment);
    process(env, conn, segment, window_changed);
    our_fin(env, conn);
    if conn.flags.remove { Some(delivered(conn).into()) } else { None }
}

/// Hands the ACK to the sender, and drops from the queue what it acknowledges.
fn process(env: &mut Env<'_>, conn: &mut Connection, segment: &Segment, window_changed: bool) {
    let now = env.cx.now;
    let mut sack = [(SeqNum::new(0), SeqNum::new(0)); 4];
    let mut count = 0;
    if conn.handshake.sack {
        for (slot, (left, right)) in sack.iter_mut().zip(segment.options.sack.iter()) {
            *slot = (SeqNum::new(left), SeqNum::new(right));
            count += 1;
        }
    }
    let echoed = segment
        .options
        .timestamps
        .filter(|_| conn.timestamps.enabled)
        .and_then(|timestamps| conn.echo_time(now, timestamps.echo));
    let out = conn.sender.on_ack(
        now,
        &AckIn {
            ack: segment.ack,
            sack: &sack[..count],
            echoed,
            ece: segment.flags.ece() && conn.ecn.enabled,
            carries_data: segment.len() > 0,
            window_changed,
        },
    );
    if out.newly_acked > 0 {
        acknowledged(conn, out.newly_acked, env.config, env.pool);
    }
    if let Some(arrived) = out.mtu_probe {
        conn.probing.on_fate(arrived);
    }
    if out.progress {
        conn.flags.confirmed = true;
    }
    any_ack(conn);
    if conn.snd.wnd > 0 {
        window_is_open(conn);
    } else if conn.timers.persist != Instant::FAR_FUTURE {
        // The peer lives and its window is closed still: the next probe's time runs from its answer.
        conn.timers.persist = now + conn.persist_interval(env.config);
    }
}

/// SND.UNA has moved.
pub(super) fn acknowledged(
    conn: &mut Connection,
    newly_acked: u32,
    config: &TcpConfig,
    pool: &mut ChunkPool,
) {
    let una = conn.sender.una();
    let end = conn.send_queue.end_seq();
    conn.counts.bytes_acked += u64::from(newly_acked);
    conn.send_queue.acknowledge(una.earliest(end), pool);
    conn.pushes.forget_before(una);
    if conn.urgent.send.is_some_and(|up| up.at_or_before(una)) {
        conn.urgent.send = None;
    }
    conn.soft_error = None;
    conn.grow_send_buffer(config);
}

/// What every ACK does.
pub(super) fn any_ack(conn: &mut Connection) {
    // What was written with MSG_MORE waits for more until an ACK comes: then Nagle's rule decides about it, as in Linux.
    conn.snd.more = false;
    // Any ACK answers a probe.
    conn.timers.probes = 0;
}

/// The peer takes data: nothing is probed any more.
pub(super) fn window_is_open(conn: &mut Connection) {
    conn.timers.probing_since = Instant::FAR_FUTURE;
    conn.timers.persist = Instant::FAR_FUTURE;
    conn.timers.persist_backoff = 0;
}

/// "If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)), set SND.WND": whether it changed.
fn update_window(conn: &mut Connection, segment: &Segment) -> bool {
    if segment.ack.before(conn.sender.una()) {
        // "If the ACK is a duplicate (SEG.ACK =< SND.UNA), it can be ignored": its window counts from an older left edge.
        return false;
    }
    let window = u32::from(segment.window) << conn.snd.scale;
    let newer = conn.snd.wl1.before(segment.seq)
        || (conn.snd.wl1 == segment.seq && conn.snd.wl2.at_or_before(segment.ack));
    // Linux also takes a larger window from an ACK that moves SND.UNA, whatever its sequence number.
    if !(newer || segment.ack.after(conn.sender.una())) {
        return false;
    }
    let changed = window != conn.snd.wnd;
    conn.set_window(segment.seq, segment.ack, window);
    changed
}

/// FIN-WAIT-1, CLOSING and LAST-ACK move on when our FIN is acknowledged.
fn our_fin(env: &mut Env<'_>, conn: &mut Connection) {
    if !conn.fin_acked() {
        return;
    }
    match conn.state {
        TcpState::FinWait1 => {
            conn.state = TcpState::FinWait2;
            conn.flags.wake = true;
            if conn.owner == Owner::Orphan {
                // RFC 9293 section 3.6 lets an orphan wait for ever; Linux, and we, bound it.
                conn.timers.expire = env.cx.now + conn.settings.linger2.unwrap_or_default();
            }
        }
        TcpState::Closing => {
            conn.state = TcpState::TimeWait;
            conn.flags.time_wait = true;
        }
        TcpState::LastAck => conn.close_with(None),
        _ => {}
    }
}
