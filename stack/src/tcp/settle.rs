//! After every segment, call and deadline: queues, timers, tables and events are brought in line with the connection, in this
//! one place.

use super::bare::Bare;
use super::connection::{Connection, Flags, Owner};
use super::demux::{ConnectionId, Slot};
use super::lone::{Below, Lone};
use super::{Pulled, Tcp};
use crate::frame::{AckWhy, TxFrame};
use crate::ip::{Ip, NextHop, Sender};
use crate::socket::{Sockets, TcpState};
use crate::stack::Context;

impl Tcp {
    /// Enters a new connection into the tables.
    pub(crate) fn insert(&mut self, conn: Box<Connection>) -> ConnectionId {
        let (tuple, port) = (conn.tuple, conn.port);
        let id = self.connections.insert(conn);
        self.demux.insert(tuple, Slot::Connection(id));
        self.ports.connected(port);
        id
    }

    pub(crate) fn settle_id(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
    ) {
        if let Some(conn) = self.connections.take(id) {
            self.settle(cx, ip, sockets, conn);
        }
    }

    /// Puts a connection back after work on it.
    pub(crate) fn settle(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        mut conn: Box<Connection>,
    ) {
        self.charge(&mut conn);
        if core::mem::take(&mut conn.flags.confirmed) {
            ip.confirm(cx.now, conn.route.interface, conn.route.next_hop);
        }
        if let Some(why) = conn.flags.abort.take() {
            self.send_abort(cx, ip, &conn, why);
        }
        if core::mem::take(&mut conn.flags.time_wait) {
            self.enter_time_wait(cx, ip, &mut conn);
        }
        self.tell_owner(cx, sockets, &mut conn);
        if core::mem::take(&mut conn.flags.remove) {
            return self.remove(conn);
        }
        if matches!(conn.state, TcpState::Closed | TcpState::TimeWait) {
            // Only its socket holds it: what was received can still be read.
            return self.connections.put(conn);
        }
        self.tell_writable(cx, sockets, &mut conn);
        self.make_ready(cx, ip, &mut conn);
        let deadline = conn.next_deadline();
        self.timers.arm(cx.now, conn.id.index, &mut conn.armed, deadline);
        self.connections.put(conn);
    }

    /// As [`Tcp::settle`], after a call that moved bytes between the application and a queue: nothing but what depends on
    /// the queues has changed then, and no deadline.
    pub(crate) fn settle_bytes(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        mut conn: Box<Connection>,
    ) {
        if !conn.is_calm() {
            return self.settle(cx, ip, sockets, conn);
        }
        self.charge(&mut conn);
        self.tell_writable(cx, sockets, &mut conn);
        self.make_ready(cx, ip, &mut conn);
        self.connections.put(conn);
    }

    /// Makes the next frame of a connection: [`Pulled::Frame`] with IP and link headers in place.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
        frame: &mut TxFrame,
    ) -> Pulled {
        let Some(mut conn) = self.connections.take(id) else { return Pulled::Nothing };
        conn.flags.ready = false;
        let pulled = self.pull(cx, ip, &mut conn, frame);
        if conn.flags.remove {
            self.settle(cx, ip, sockets, conn);
            return pulled;
        }
        let deadline = conn.next_deadline();
        self.timers.arm(cx.now, conn.id.index, &mut conn.armed, deadline);
        self.connections.put(conn);
        pulled
    }

    fn pull(&mut self, cx: &mut Context, ip: &mut Ip, conn: &mut Connection, frame: &mut TxFrame) -> Pulled {
        if !self.refresh_route(cx, ip, conn) {
            return Pulled::Nothing;
        }
        let mac = match ip.resolve(cx, &conn.route, Sender::Tcp(conn.id)) {
            NextHop::Ready(mac) => mac,
            NextHop::Waiting => {
                conn.flags.ready = true;
                return Pulled::Nothing;
            }
            NextHop::Unreachable => {
                conn.next_hop_fails(cx.now);
                return Pulled::Nothing;
            }
        };
        let link = ip.link_limits(conn.route.interface);
        if let Some(lone) = self.lone_segment(conn) {
            let below =
                Below { link: ip.link.addresses(conn.route.interface, mac), tx_checksum: link.tx_checksum };
            conn.send_lone(cx, lone, &below, frame);
            return Pulled::Frame { more: false };
        }
        let Some(packet) = conn.next_segment(cx, &self.config, link, frame) else {
            return Pulled::Nothing;
        };
        ip.finish_to(&conn.route, mac, &packet, frame);
        conn.flags.ready = conn.wants_to_send();
        Pulled::Frame { more: conn.flags.ready }
    }

    #[cfg(not(test))]
    fn lone_segment(&self, conn: &Connection) -> Option<Lone> {
        conn.lone_segment()
    }

    #[cfg(test)]
    fn lone_segment(&mut self, conn: &Connection) -> Option<Lone> {
        let lone = conn.lone_segment().filter(|_| !self.short_ways.closed);
        self.short_ways.lone += u64::from(lone.is_some());
        lone
    }

    /// Looks the way to the peer up again if routes or addresses have changed.
    fn refresh_route(&mut self, cx: &Context, ip: &Ip, conn: &mut Connection) -> bool {
        if conn.route.generation == ip.generation() {
            return true;
        }
        let (local, remote) = (conn.tuple.local.0, conn.tuple.remote.0);
        match ip.route(remote, Some(local), conn.settings.interface, false) {
            Ok(route) => {
                if route.mtu != conn.route.mtu {
                    conn.path_mtu = self.path_mtus.get(cx.now, remote).unwrap_or(route.mtu).min(route.mtu);
                    conn.sender.set_mss(conn.effective_mss());
                }
                conn.route = route;
                true
            }
            Err(error) => {
                conn.next_hop_fails(cx.now);
                conn.soft_error = Some(error);
                false
            }
        }
    }

    /// Queues the connection for its turn to send, if it may have something.
    fn make_ready(&mut self, cx: &mut Context, ip: &mut Ip, conn: &mut Connection) {
        let stalled = core::mem::take(&mut conn.flags.stalled) && conn.ack.now.is_none();
        if !conn.flags.ready && !stalled && conn.wants_to_send() {
            conn.flags.ready = true;
            self.refresh_route(cx, ip, conn);
            ip.ready(conn.route.interface, Sender::Tcp(conn.id));
        }
    }

    fn tell_owner(&mut self, cx: &mut Context, sockets: &mut Sockets, conn: &mut Connection) {
        let open = conn.is_synchronized();
        if let Owner::Listener(listener) = conn.owner
            && conn.flags.pending
            && (open || conn.flags.remove)
            && let Some(queues) = sockets.tcp_mut(listener).ok().and_then(|socket| socket.listener())
        {
            conn.flags.pending = false;
            queues.forget_half_open(conn.id);
            if open {
                conn.flags.queued = true;
                queues.accepted.push_back(conn.id);
                cx.wake(sockets, listener);
            }
        }
        if core::mem::take(&mut conn.flags.wake)
            && let Owner::Socket(socket) = conn.owner
        {
            cx.wake(sockets, socket);
        }
    }

    /// An event when there is room again; none while there is room anyhow.
    fn tell_writable(&self, cx: &mut Context, sockets: &mut Sockets, conn: &mut Connection) {
        let writable = conn.is_writable(&self.config);
        let was_writable = core::mem::replace(&mut conn.flags.writable, writable);
        let wanted = writable && core::mem::take(&mut conn.flags.want_write);
        if (writable && !was_writable || wanted)
            && let Owner::Socket(socket) = conn.owner
        {
            cx.wake(sockets, socket);
        }
    }

    /// What the queues hold counts against the stack's memory.
    fn charge(&mut self, conn: &mut Connection) {
        let charge = conn.send_queue.len() + conn.rcv.queue.charge();
        self.memory = self.memory - conn.flags.charged + charge;
        conn.flags.charged = charge;
    }

    /// Takes a finished connection out of the tables. Where a socket owns it, it stays readable until that is closed.
    fn remove(&mut self, mut conn: Box<Connection>) {
        self.demux.remove(&conn.tuple, Slot::Connection(conn.id));
        self.ports.disconnected(conn.port);
        self.timers.disarm(conn.id.index, &mut conn.armed);
        conn.flags.in_batch = false;
        match conn.owner {
            Owner::Socket(_) => self.connections.put(conn),
            // A finished connection that was reset still waits to be accepted: what it has received can be read.
            Owner::Listener(_) if conn.flags.queued => self.connections.put(conn),
            Owner::Listener(_) | Owner::Orphan => self.free(conn),
        }
    }

    /// Frees a connection that is in no table any more.
    pub(crate) fn free(&mut self, mut conn: Box<Connection>) {
        self.timers.disarm(conn.id.index, &mut conn.armed);
        if conn.owner == Owner::Orphan && core::mem::take(&mut conn.flags.orphan) {
            self.orphans -= 1;
        }
        self.memory -= conn.flags.charged;
        self.connections.free(conn.id);
    }

    /// The small entry takes over what is left to do: its first duty is the ACK of the peer's FIN.
    fn enter_time_wait(&mut self, cx: &mut Context, ip: &mut Ip, conn: &mut Connection) {
        if self.time_waits.len() >= self.config.time_wait_max
            && let Some((id, oldest)) = self.time_waits.pop_expired(cx.now, true)
        {
            self.demux.remove(&oldest.tuple, Slot::TimeWait(id));
            self.ports.disconnected(oldest.port);
        }
        let window = conn.rcv.advertise(u32::from(conn.advertised_mss()));
        let id = self.time_waits.insert(cx.now, conn, window, self.config.time_wait);
        // The pair of ends leads to the entry from now on; the port stays counted once.
        self.demux.insert(conn.tuple, Slot::TimeWait(id));
        self.ports.connected(conn.port);
        if conn.ack.now.is_some()
            && let Some(entry) = self.time_waits.get(id).copied()
        {
            let route = entry.route;
            Bare::time_wait(cx, &entry, AckWhy::Fin).send(cx, ip, Some(route));
        }
        conn.close_with(None);
        conn.state = TcpState::TimeWait;
    }

    /// Sends a reset for a connection that is being aborted.
    pub(crate) fn send_abort(&mut self, cx: &mut Context, ip: &mut Ip, conn: &Connection, why: &'static str) {
        cx.counters.tcp_resets_out += 1;
        Bare::abort(cx, conn, why).send(cx, ip, Some(conn.route));
    }
}

impl Connection {
    /// Whether nothing was left to be settled but what concerns the queues.
    fn is_calm(&self) -> bool {
        let Flags { wake, remove, time_wait, confirmed, abort, pending, .. } = self.flags;
        self.is_synchronized()
            && self.state != TcpState::TimeWait
            && !(wake | remove | time_wait | confirmed | pending)
            && abort.is_none()
    }

    /// Whether a turn to send might bring a frame. Cheap, and sometimes wrong: then the turn brings nothing.
    fn wants_to_send(&self) -> bool {
        self.handshake.due
            || (self.state == TcpState::SynReceived && self.ack.now.is_some())
            || (self.is_synchronized()
                && (self.ack.now.is_some()
                    || self.timers.probe_due.is_some()
                    || self.queue_end().after(self.sender.nxt())
                    || self.sender.may_resend()))
    }
}
