//! Segments of no connection: resets, SYN cookies and TIME-WAIT's ACKs, queued as control frames.

use super::arrives::Reset;
use super::connection::Connection;
use super::demux::Tuple;
use super::isn;
use super::seq::SeqNum;
use super::time_wait::TimeWait;
use crate::frame::{AckWhy, Cause, CauseKind, TxFrame};
use crate::ip::{Ip, PacketOut, Route};
use crate::stack::Context;
use crate::wire::tcp::{Flags, Header, PROTOCOL};
use crate::wire::tcp_options::{TcpOptions, Timestamps};

/// A segment without a connection.
pub(crate) struct Bare {
    pub(crate) tuple: Tuple,
    pub(crate) seq: SeqNum,
    pub(crate) ack: Option<SeqNum>,
    /// Besides ACK, which follows from `ack`.
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    pub(crate) cause: CauseKind,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
}

impl Bare {
    pub(crate) fn reset(tuple: Tuple, reset: &Reset, ttl: u8) -> Bare {
        Bare {
            tuple,
            seq: reset.seq,
            ack: reset.ack,
            flags: Flags::RST,
            window: 0,
            options: TcpOptions::default(),
            cause: CauseKind::Reset { why: reset.why },
            ttl,
            tos: 0,
        }
    }

    /// The reset that ends a connection of ours: a segment of the connection, with its window and timestamps (RFC 7323
    /// section 3.2 asks for them on resets of a connection that uses them).
    pub(crate) fn abort(cx: &Context, conn: &Connection, why: &'static str) -> Bare {
        let timestamps = conn.timestamps_option(cx.now);
        let reset = Reset { seq: conn.snd_nxt(), ack: Some(conn.rcv.next), why };
        Bare {
            window: (conn.rcv.window() >> conn.rcv.scale).min(u32::from(u16::MAX)) as u16,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            tos: conn.settings.tos & !3,
            ..Bare::reset(conn.tuple, &reset, conn.settings.ttl)
        }
    }

    /// The ACK that TIME-WAIT answers with.
    pub(crate) fn time_wait(cx: &Context, entry: &TimeWait, why: AckWhy) -> Bare {
        let timestamps = entry
            .timestamps
            .map(|ts| Timestamps { value: isn::timestamp(cx.now, ts.offset), echo: ts.recent });
        Bare {
            tuple: entry.tuple,
            seq: entry.snd_nxt,
            ack: Some(entry.rcv_nxt),
            flags: Flags::default(),
            window: entry.window,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            cause: CauseKind::Ack(why),
            ttl: entry.ttl,
            tos: entry.tos,
        }
    }

    /// Queues it on the way that `route` names, or on the one that leads to the peer.
    pub(crate) fn send(self, cx: &mut Context, ip: &mut Ip, route: Option<Route>) {
        let (local, remote) = (self.tuple.local, self.tuple.remote);
        let route = route.filter(|route| route.generation == ip.generation());
        let Some(route) = route.or_else(|| ip.route(remote.0, Some(local.0), None, false).ok()) else {
            return;
        };
        let mut frame = TxFrame::new(Cause::from(self.cause));
        frame.cause.riders.ack = self.ack.is_some();
        let header = Header {
            src_port: local.1,
            dst_port: remote.1,
            seq: self.seq.get(),
            ack: self.ack.map_or(0, SeqNum::get),
            flags: if self.ack.is_some() { self.flags | Flags::ACK } else { self.flags },
            window: self.window,
            urgent: 0,
            options: self.options,
        };
        header.emit(&mut frame, local.0, remote.0, ip.link_limits(route.interface).tx_checksum);
        let packet = PacketOut {
            source: local.0,
            destination: remote.0,
            protocol: PROTOCOL,
            ttl: self.ttl,
            tos: self.tos,
            dont_fragment: true,
        };
        cx.counters.tcp_segments_out += 1;
        // A full egress queue drops it by name; whoever waits for it asks again.
        if let Err(reason) = ip.send(cx, &route, &packet, frame) {
            cx.drop(reason);
        }
    }
}
