//! SEGMENT ARRIVES in LISTEN (RFC 9293 section 3.10.7.2), with SYN cookies (RFC 4987) where the queue is full.

use super::{Verdict, closed};
use crate::frame::{CauseKind, DropReason, Outcome};
use crate::ip::Ip;
use crate::socket::{SocketId, Sockets, TcpState};
use crate::stack::Context;
use crate::tcp::Tcp;
use crate::tcp::bare::Bare;
use crate::tcp::config::{EcnMode, SynCookies};
use crate::tcp::connection::{Connection, MSS_MIN, Owner};
use crate::tcp::cookie::{self, Remembered};
use crate::tcp::demux::Tuple;
use crate::tcp::segment::Segment;
use crate::tcp::settings::Settings;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::{TcpOptions, Timestamps};
use std::sync::Arc;

impl Tcp {
    pub(crate) fn listen_arrives(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        listener: SocketId,
        tuple: Tuple,
        segment: Segment,
    ) -> Verdict {
        // First, check for a RST: "An incoming RST segment could not be valid; it should be ignored."
        if segment.flags.rst() {
            return cx.drop(DropReason::TcpStrayRst).into();
        }
        // Second, check for an ACK: nothing was sent that it could acknowledge, except a cookie.
        if segment.flags.ack() {
            return self.cookie_arrives(cx, ip, sockets, listener, tuple, segment);
        }
        // Third, check for a SYN. A SYN with FIN is no honest opening.
        if !segment.flags.syn() || segment.flags.fin() {
            return cx.drop(DropReason::TcpBadFlags).into();
        }
        let Ok(socket) = sockets.tcp_mut(listener) else { return closed::arrives(cx, &segment) };
        let settings = Arc::clone(&socket.settings);
        let Some(queues) = socket.listener() else { return closed::arrives(cx, &segment) };
        if queues.is_full() {
            return cx.drop(DropReason::TcpBacklogFull).into();
        }
        match self.config.syncookies {
            SynCookies::Always => return self.send_cookie(cx, ip, tuple, &segment, &settings),
            SynCookies::WhenFull if queues.half_open_full() => {
                return self.send_cookie(cx, ip, tuple, &segment, &settings);
            }
            SynCookies::Never if queues.half_open_full() => {
                return cx.drop(DropReason::TcpBacklogFull).into();
            }
            _ => {}
        }
        let Ok(route) = ip.route(tuple.remote.0, Some(tuple.local.0), None, false) else {
            return cx.drop(DropReason::NoRoute).into();
        };
        let mut conn = self.new_passive(cx, tuple, route, settings, listener, &segment);
        // RFC 3168 section 6.1.1: ECE and CWR on a SYN ask for ECN.
        conn.ecn.enabled = self.config.ecn != EcnMode::Off && segment.flags.ece() && segment.flags.cwr();
        let id = self.insert(conn);
        if let Some(queues) = sockets.tcp_mut(listener).ok().and_then(|socket| socket.listener()) {
            queues.half_open.push(id);
        }
        self.settle_id(cx, ip, sockets, id);
        Outcome::Handshake.into()
    }

    fn new_passive(
        &self,
        cx: &Context,
        tuple: Tuple,
        route: crate::ip::Route,
        settings: Arc<Settings>,
        listener: SocketId,
        segment: &Segment,
    ) -> Box<Connection> {
        let mut conn = Connection::new(cx, &self.config, tuple, route, settings, Owner::Listener(listener));
        conn.state = TcpState::SynReceived;
        conn.handshake.passive = true;
        conn.flags.pending = true;
        conn.handshake.defer_until = conn.settings.defer_accept.map(|wait| cx.now + wait);
        conn.path_mtu = self.path_mtus.get(cx.now, tuple.remote.0).unwrap_or(route.mtu).min(route.mtu);
        conn.negotiate(cx, segment);
        conn
    }

    /// Answers a SYN without keeping anything.
    fn send_cookie(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        tuple: Tuple,
        segment: &Segment,
        settings: &Arc<Settings>,
    ) -> Verdict {
        let Ok(route) = ip.route(tuple.remote.0, Some(tuple.local.0), None, false) else {
            return cx.drop(DropReason::NoRoute).into();
        };
        // A connection that is never kept tells what would be offered.
        let mut offer = Connection::new(cx, &self.config, tuple, route, Arc::clone(settings), Owner::Orphan);
        offer.state = TcpState::SynReceived;
        offer.negotiate(cx, segment);
        let options = &segment.options;
        let timestamps = offer.timestamps.enabled;
        let remembered = Remembered {
            mss: options.mss.unwrap_or(536),
            window_scale: options.window_scale.filter(|_| timestamps && self.config.window_scaling),
            sack: timestamps && offer.handshake.sack,
            ecn: timestamps && self.config.ecn != EcnMode::Off && segment.flags.ece() && segment.flags.cwr(),
        };
        let value = cookie::timestamp(cx, &tuple, &remembered);
        let reply = Bare {
            tuple,
            seq: cookie::sequence(cx, &tuple, segment),
            ack: Some(segment.seq + 1),
            flags: if remembered.ecn { Flags::SYN | Flags::ECE } else { Flags::SYN },
            window: offer.syn_window(),
            options: TcpOptions {
                mss: Some(offer.advertised_mss()),
                window_scale: remembered.window_scale.map(|_| offer.rcv.scale),
                sack_permitted: remembered.sack,
                timestamps: options
                    .timestamps
                    .filter(|_| timestamps)
                    .map(|theirs| Timestamps { value, echo: theirs.value }),
                ..TcpOptions::default()
            },
            cause: CauseKind::SynAck { retries: 0, cookie: true },
            ttl: settings.ttl,
            tos: settings.tos,
        };
        reply.send(cx, ip, Some(route));
        cx.counters.tcp_cookies_out += 1;
        self.cookie_sent = Some(cx.now);
        Outcome::Answered { with: "a SYN cookie" }.into()
    }

    /// An ACK for a listener: the answer to a cookie, or to nothing.
    fn cookie_arrives(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        listener: SocketId,
        tuple: Tuple,
        segment: Segment,
    ) -> Verdict {
        let fresh = self.cookie_sent.is_some_and(|sent| cx.now.since(sent) < cookie::VALID);
        let remembered =
            if fresh && !segment.flags.syn() { cookie::check(cx, &tuple, &segment) } else { None };
        let Some(remembered) = remembered else {
            cx.drop(if fresh { DropReason::TcpBadCookie } else { DropReason::TcpBadAck });
            return closed::reset(&segment, "acknowledges what was never sent");
        };
        let Ok(socket) = sockets.tcp_mut(listener) else { return closed::arrives(cx, &segment) };
        let settings = Arc::clone(&socket.settings);
        let Some(queues) = socket.listener() else { return closed::arrives(cx, &segment) };
        if queues.is_full() {
            return cx.drop(DropReason::TcpBacklogFull).into();
        }
        let Ok(route) = ip.route(tuple.remote.0, Some(tuple.local.0), None, false) else {
            return cx.drop(DropReason::NoRoute).into();
        };
        // The SYN as it must have been.
        let syn = Segment {
            seq: segment.seq - 1,
            flags: Flags::SYN,
            options: TcpOptions {
                mss: Some(remembered.mss.max(MSS_MIN)),
                window_scale: remembered.window_scale,
                sack_permitted: remembered.sack,
                ..segment.options
            },
            payload: bytes::Bytes::new(),
            ..segment.clone()
        };
        let mut conn = self.new_passive(cx, tuple, route, settings, listener, &syn);
        conn.begin_at(segment.ack - 1);
        conn.handshake.due = false;
        conn.ecn.enabled = remembered.ecn;
        conn.rcv.advertise_syn(conn.syn_window());
        cx.counters.tcp_cookies_in += 1;
        let id = self.insert(conn);
        if let Some(queues) = sockets.tcp_mut(listener).ok().and_then(|socket| socket.listener()) {
            queues.half_open.push(id);
        }
        self.connection_arrives(cx, ip, sockets, id, segment)
    }
}
