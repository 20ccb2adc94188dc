//! SEGMENT ARRIVES in SYN-SENT (RFC 9293 section 3.10.7.3).

use super::otherwise;
use super::{Env, Reset, Verdict};
use crate::frame::{AckWhy, DropReason, Outcome};
use crate::socket::{Errno, TcpState};
use crate::tcp::connection::Connection;
use crate::tcp::segment::Segment;

pub(crate) fn arrives(env: &mut Env<'_>, conn: &mut Connection, segment: Segment) -> Verdict {
    // First, check the ACK bit.
    let acceptable_ack = segment.flags.ack() && segment.ack == conn.snd.iss + 1;
    if segment.flags.ack() && !acceptable_ack {
        if segment.flags.rst() {
            return env.drop(DropReason::TcpBadAck);
        }
        let reset = Reset { seq: segment.ack, ack: None, why: "acknowledges what was never sent" };
        env.cx.drop(DropReason::TcpBadAck);
        return Verdict { outcome: Outcome::Answered { with: "RST" }, reset: Some(reset) };
    }
    // RFC 7323 section 5: an echo that isn't ours can't belong to our SYN.
    if acceptable_ack && stale_echo(env, conn, &segment) {
        let reset = Reset { seq: segment.ack, ack: None, why: "echoes a timestamp that was never sent" };
        env.cx.drop(DropReason::TcpPaws);
        return Verdict { outcome: Outcome::Answered { with: "RST" }, reset: Some(reset) };
    }
    // Second, check the RST bit.
    if segment.flags.rst() {
        if !acceptable_ack {
            return env.drop(DropReason::TcpRstNotExact);
        }
        conn.close_with(Some(Errno::ECONNREFUSED));
        return Outcome::Handshake.into();
    }
    // Fourth, check the SYN bit.
    if !segment.flags.syn() {
        return env.drop(DropReason::TcpBadFlags);
    }
    conn.negotiate(env.cx, &segment);
    if acceptable_ack {
        open(env, conn, segment)
    } else {
        // Simultaneous open (RFC 9293 figure 7): answer with our SYN again, now with an ACK.
        conn.state = TcpState::SynReceived;
        conn.handshake.due = true;
        conn.handshake.retries = 0;
        Outcome::Handshake.into()
    }
}

/// Our SYN is acknowledged: ESTABLISHED.
fn open(env: &mut Env<'_>, conn: &mut Connection, mut segment: Segment) -> Verdict {
    // RFC 3168 section 6.1.1: ECE without CWR on the SYN-ACK agrees to ECN.
    conn.ecn.enabled &= segment.flags.ece() && !segment.flags.cwr();
    conn.establish(env.cx, env.config, &segment);
    // The window in a SYN is never scaled (RFC 7323 section 2.2).
    conn.set_window(segment.seq, segment.ack, u32::from(segment.window));
    conn.ack.at_once(AckWhy::Handshake);
    env.cx.counters.tcp_active_opens += 1;
    conn.flags.wake = true;
    // Data and controls beyond the SYN continue at the sixth check of the next section.
    if segment.payload.is_empty() && !segment.flags.fin() {
        return Outcome::Handshake.into();
    }
    segment.seq += 1;
    segment.flags = segment.flags.without(crate::wire::tcp::Flags::SYN);
    otherwise::text_and_fin(env, conn, segment)
}

/// Whether the echo lies outside what our SYNs have sent.
fn stale_echo(env: &Env<'_>, conn: &Connection, segment: &Segment) -> bool {
    segment.options.timestamps.is_some_and(|timestamps| {
        let now = conn.timestamp(env.cx.now);
        let sent = crate::tcp::isn::timestamp(conn.handshake.sent_at, conn.timestamps.offset);
        timestamps.echo != 0 && timestamps.echo.wrapping_sub(sent) > now.wrapping_sub(sent)
    })
}
