//! Segments in: to a connection, a TIME-WAIT entry, a listener, or to nobody; and the end of a batch of them.

use super::arrives::{Env, Reset, Run, Verdict, closed, otherwise, syn_sent};
use super::bare::Bare;
use super::demux::{ConnectionId, Slot, Tuple};
use super::segment::Segment;
use super::time_wait::{Arrival, TimeWaitId};
use super::{Tcp, connection::Connection};
use crate::frame::{AckWhy, DropReason, Outcome};
use crate::ip::{Ip, PacketIn};
use crate::socket::{Sockets, TcpState};
use crate::stack::Context;
use crate::time::Instant;

impl Tcp {
    /// A segment came in; its payload is taken out of the packet.
    pub(crate) fn input(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        packet: &mut PacketIn,
    ) -> Outcome {
        cx.counters.tcp_segments_in += 1;
        if packet.broadcast {
            return cx.drop(DropReason::TcpNotUnicast);
        }
        let (remote_port, local_port, segment) = match Segment::parse(packet) {
            Ok(parsed) => parsed,
            Err(reason) => return cx.drop(reason),
        };
        let tuple = Tuple { local: (packet.destination, local_port), remote: (packet.source, remote_port) };
        let verdict = match self.demux.get(&tuple) {
            Some(Slot::Connection(id)) => self.connection_arrives(cx, ip, sockets, id, segment),
            Some(Slot::TimeWait(id)) => self.time_wait_arrives(cx, ip, sockets, id, tuple, segment),
            None => self.stranger_arrives(cx, ip, sockets, tuple, segment),
        };
        if let Some(reset) = &verdict.reset {
            cx.counters.tcp_resets_out += 1;
            Bare::reset(tuple, reset, self.ttl).send(cx, ip, None);
        }
        verdict.outcome
    }

    /// The end of a receive batch: who has received data decides about its ACK now.
    pub(crate) fn end_batch(&mut self, cx: &mut Context, ip: &mut Ip, sockets: &mut Sockets) {
        let mut batch = core::mem::take(&mut self.batch);
        for id in batch.drain(..) {
            let Some(mut conn) = self.connections.take(id) else { continue };
            conn.flags.in_batch = false;
            let mss = conn.rcv.segment_max.max(1);
            conn.ack.decide(cx.now, conn.rcv.next, mss, self.config.delayed_ack);
            self.settle(cx, ip, sockets, conn);
        }
        self.batch = batch;
    }

    /// Deadlines have passed.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, ip: &mut Ip, sockets: &mut Sockets) {
        while let Some(index) = self.timers.pop_due(cx.now) {
            let Some(mut conn) = self.connections.id_at(index).and_then(|id| self.connections.take(id))
            else {
                continue;
            };
            conn.armed.fired();
            conn.handle_deadline(cx, &self.config);
            self.settle(cx, ip, sockets, conn);
        }
        while let Some((id, entry)) = self.time_waits.pop_expired(cx.now, false) {
            self.demux.remove(&entry.tuple, Slot::TimeWait(id));
            self.ports.disconnected(entry.port);
        }
    }

    /// When the next deadline comes.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match (self.timers.next(), self.time_waits.next_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Begins a run of predicted segments for a connection.
    pub(crate) fn run(&mut self, id: ConnectionId) -> Option<Run<'_>> {
        Some(Run {
            id,
            conn: self.connections.get_mut(id)?,
            batch: &mut self.batch,
            memory: &mut self.memory,
            config: &self.config,
            pool: &mut self.pool,
        })
    }

    /// Whom data came in for since the last end of a batch, the latest last.
    pub(crate) fn batch(&self) -> &[ConnectionId] {
        &self.batch
    }

    /// A segment for a connection.
    pub(crate) fn connection_arrives(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
        segment: Segment,
    ) -> Verdict {
        let Some(mut conn) = self.connections.take(id) else {
            return cx.drop(DropReason::TcpNoListener).into();
        };
        if let Some(refused) = self.refuse(cx, sockets, &mut conn, &segment) {
            self.connections.put(conn);
            return refused;
        }
        conn.counts.segments_in += u64::from(segment.wire_segments);
        conn.flags.stalled = false;
        let verdict = {
            let mut env =
                Env { cx, config: &self.config, pool: &mut self.pool, challenges: &mut self.challenges };
            match conn.state {
                TcpState::SynSent => syn_sent::arrives(&mut env, &mut conn, segment),
                _ => otherwise::arrives(&mut env, &mut conn, segment),
            }
        };
        if conn.ack.undecided && !conn.flags.in_batch {
            conn.flags.in_batch = true;
            self.batch.push(id);
        }
        self.settle(cx, ip, sockets, conn);
        verdict
    }

    /// What no connection may take: a finished handshake that nobody can accept, or data beyond the stack's memory.
    fn refuse(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        conn: &mut Connection,
        segment: &Segment,
    ) -> Option<Verdict> {
        if conn.state == TcpState::SynReceived
            && conn.flags.pending
            && segment.flags.ack()
            && !segment.flags.rst()
        {
            let super::connection::Owner::Listener(listener) = conn.owner else { return None };
            let full = sockets.tcp_mut(listener).ok()?.listener()?.is_full();
            if full {
                let outcome = cx.drop(DropReason::TcpBacklogFull);
                let reset = self.config.abort_on_overflow.then_some(Reset {
                    seq: segment.ack,
                    ack: None,
                    why: "accept queue is full",
                });
                // The SYN-ACK's timer asks the peer again.
                return Some(Verdict { outcome, reset });
            }
        }
        // What comes next is taken where nothing waits to be read: so every connection can go on, if slowly.
        let can_wait = segment.seq != conn.rcv.next || conn.rcv.queue.readable() > 0;
        if self.memory > self.config.memory_max && !segment.payload.is_empty() && can_wait {
            return Some(cx.drop(DropReason::TcpMemoryFull).into());
        }
        None
    }

    /// A segment for which there is no connection.
    fn stranger_arrives(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        tuple: Tuple,
        segment: Segment,
    ) -> Verdict {
        match self.listeners.find(cx, tuple.local, tuple.remote) {
            Some(listener) => self.listen_arrives(cx, ip, sockets, listener, tuple, segment),
            None => closed::arrives(cx, &segment),
        }
    }

    fn time_wait_arrives(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: TimeWaitId,
        tuple: Tuple,
        segment: Segment,
    ) -> Verdict {
        let Some(entry) = self.time_waits.get(id).copied() else {
            return self.stranger_arrives(cx, ip, sockets, tuple, segment);
        };
        let may_reopen = self.listeners.find(cx, tuple.local, tuple.remote).is_some();
        match entry.arrives(cx, &segment, may_reopen) {
            Arrival::Done(verdict) => verdict,
            Arrival::Reopen => {
                self.time_waits.remove(id);
                self.demux.remove(&tuple, Slot::TimeWait(id));
                self.ports.disconnected(entry.port);
                let verdict = self.stranger_arrives(cx, ip, sockets, tuple, segment);
                if let Some(Slot::Connection(new)) = self.demux.get(&tuple)
                    && let Some(conn) = self.connections.get_mut(new)
                {
                    conn.follow_on(entry.snd_nxt);
                }
                verdict
            }
            Arrival::Acknowledge => {
                Bare::time_wait(cx, &entry, AckWhy::TimeWait).send(cx, ip, Some(entry.route));
                if let Some(renamed) = self.time_waits.restart(cx.now, id, self.config.time_wait) {
                    self.demux.insert(tuple, Slot::TimeWait(renamed));
                }
                Outcome::Answered { with: "ACK" }.into()
            }
        }
    }
}
