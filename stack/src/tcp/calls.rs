//! User calls (RFC 9293 sections 3.10.1 to 3.10.6), with the sockets' semantics where the RFC's and theirs differ.

use super::connection::{Connection, Owner};
use super::demux::{Slot, Tuple};
use super::listener::Listener;
use super::ports::PortName;
use super::seq::SeqNum;
use super::socket::Role;
use super::{ConnectionId, Tcp, TcpSocket};
use crate::frame::AckWhy;
use crate::ip::Ip;
use crate::socket::{
    Errno, Kind, Linger, Readiness, RecvFlags, SendFlags, Shutdown, SocketId, Sockets, TcpState,
};
use crate::stack::Context;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

impl Tcp {
    pub(crate) fn socket(&self) -> TcpSocket {
        TcpSocket { settings: Arc::clone(&self.defaults), bound: None, role: Role::Fresh, error: None }
    }

    pub(crate) fn bind(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        address: SocketAddr,
    ) -> Result<(), Errno> {
        if !address.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        if !address.ip().is_unspecified() && !ip.is_local(address.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let socket = sockets.tcp_mut(id)?;
        if socket.bound.is_some() || !matches!(socket.role, Role::Fresh) {
            return Err(Errno::EINVAL);
        }
        let port = match address.port() {
            0 => self
                .ports
                .pick(cx, address.ip(), |ports, port| ports.is_unused(port))
                .map_err(|_| Errno::EADDRINUSE)?,
            port => port,
        };
        let settings = &socket.settings;
        let (reuse_address, reuse_port) = (settings.reuse_address, settings.reuse_port);
        self.ports.bind(PortName { address: address.ip(), port, reuse_address, reuse_port }, id)?;
        socket.bound = Some((address.ip(), port));
        Ok(())
    }

    pub(crate) fn listen(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        backlog: usize,
    ) -> Result<(), Errno> {
        let backlog = backlog.min(self.config.backlog_max);
        let socket = sockets.tcp_mut(id)?;
        if let Some(listener) = socket.listener() {
            listener.backlog = backlog;
            return Ok(());
        }
        if !matches!(socket.role, Role::Fresh) {
            return Err(Errno::EINVAL);
        }
        if socket.bound.is_none() {
            self.bind(cx, ip, sockets, id, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        }
        let socket = sockets.tcp_mut(id)?;
        let Some(bound) = socket.bound else { return Err(Errno::EINVAL) };
        self.ports.listen(bound.1, id)?;
        socket.role = Role::Listener(Box::new(Listener { backlog, ..Listener::default() }));
        self.listeners.insert(bound.into(), id);
        Ok(())
    }

    pub(crate) fn accept(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(SocketId, SocketAddr), Errno> {
        let listener = sockets.tcp_mut(id)?.listener().ok_or(Errno::EINVAL)?;
        let accepted = *listener.accepted.front().ok_or(Errno::EAGAIN)?;
        let Some(conn) = self.connections.get(accepted) else {
            listener.accepted.pop_front();
            return Err(Errno::ECONNABORTED);
        };
        let socket = TcpSocket {
            settings: Arc::clone(&conn.settings),
            bound: Some(conn.tuple.local),
            role: Role::Connection(accepted),
            error: None,
        };
        let peer = conn.tuple.remote();
        let new = sockets.insert(Kind::Tcp(Box::new(socket)))?;
        if let Some(listener) = sockets.tcp_mut(id)?.listener() {
            listener.accepted.pop_front();
        }
        if let Some(conn) = self.connections.get_mut(accepted) {
            conn.owner = Owner::Socket(new);
            conn.flags.queued = false;
            cx.wake(sockets, new);
        }
        Ok((new, peer))
    }

    /// OPEN, active (section 3.10.1).
    pub(crate) fn connect(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        let IpAddr::V4(address) = peer.ip() else { return Err(Errno::EAFNOSUPPORT) };
        self.forget_ended(sockets, id)?;
        let socket = sockets.tcp_mut(id)?;
        match &socket.role {
            Role::Fresh => {}
            Role::Listener(_) => return Err(Errno::EISCONN),
            Role::Connection(conn) => {
                return Err(match self.connections.get(*conn).map(|conn| conn.state) {
                    Some(TcpState::SynSent | TcpState::SynReceived) => Errno::EALREADY,
                    _ => Errno::EISCONN,
                });
            }
        }
        // As everywhere, the unspecified address means this host.
        let remote: IpAddr =
            if address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.into() };
        if peer.port() == 0 {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if remote.is_multicast() {
            return Err(Errno::ENETUNREACH);
        }
        let bound = socket.bound;
        let settings = Arc::clone(&socket.settings);
        let source = bound.map(|(address, _)| address).filter(|address| !address.is_unspecified());
        let route = match ip.route(remote, source, settings.interface, false) {
            // Only one host can be connected to (RFC 9293 section 3.9.2.3).
            Err(Errno::EACCES) => return Err(Errno::ENETUNREACH),
            Ok(_) if address.is_multicast() => return Err(Errno::ENETUNREACH),
            route => route?,
        };
        let remote = (remote, peer.port());
        let (local, used) = self.local_end(cx, bound, route.source, remote)?;
        let tuple = Tuple { local, remote };
        let mut conn = Connection::new(cx, &self.config, tuple, route, settings, Owner::Socket(id));
        conn.path_mtu = self.path_mtus.get(cx.now, remote.0).unwrap_or(route.mtu).min(route.mtu);
        conn.offset_timestamps(cx);
        if let Some(used) = used {
            conn.follow_on(used);
        }
        let conn = self.insert(conn);
        sockets.tcp_mut(id)?.role = Role::Connection(conn);
        self.settle_id(cx, ip, sockets, conn);
        Err(Errno::EINPROGRESS)
    }

    /// Our end of a new connection: the bound port, or one that makes the pair of ends unique. Where that takes the place
    /// of a connection in TIME-WAIT, also what that one has used up of our sequence numbers.
    fn local_end(
        &mut self,
        cx: &mut Context,
        bound: Option<(IpAddr, u16)>,
        source: IpAddr,
        remote: (IpAddr, u16),
    ) -> Result<((IpAddr, u16), Option<SeqNum>), Errno> {
        let (now, demux) = (cx.now, &self.demux);
        let time_waits = &self.time_waits;
        let reusable = |local: (IpAddr, u16)| match demux.get(&Tuple { local, remote }) {
            None => true,
            Some(Slot::Connection(_)) => false,
            // RFC 6191 section 2: timestamps keep the old connection's segments apart from the new one's.
            Some(Slot::TimeWait(id)) => time_waits.get(id).is_none_or(|entry| {
                entry.timestamps.is_some_and(|ts| now.since(ts.recent_at) > Duration::from_secs(1))
            }),
        };
        let local = match bound {
            Some((_, port)) if reusable((source, port)) => (source, port),
            Some(_) => return Err(Errno::EADDRNOTAVAIL),
            None => {
                let port = self.ports.pick(cx, (source, remote), |ports, port| {
                    !ports.is_bound(port) && reusable((source, port))
                })?;
                (source, port)
            }
        };
        let mut used = None;
        if let Some(Slot::TimeWait(id)) = self.demux.get(&Tuple { local, remote }) {
            self.demux.remove(&Tuple { local, remote }, Slot::TimeWait(id));
            if let Some(entry) = self.time_waits.remove(id) {
                self.ports.disconnected(entry.port);
                used = Some(entry.snd_nxt);
            }
        }
        Ok((local, used))
    }

    /// A failed connection leaves its socket fresh: it may connect again.
    fn forget_ended(&mut self, sockets: &mut Sockets, id: SocketId) -> Result<(), Errno> {
        let socket = sockets.tcp_mut(id)?;
        if let Some(conn) = socket.connection()
            && self.connections.get(conn).is_none_or(|c| c.state == TcpState::Closed && !c.flags.was_open)
        {
            socket.role = Role::Fresh;
            if let Some(conn) = self.connections.take(conn) {
                self.free(conn);
            }
        }
        Ok(())
    }

    /// Whether what waits unsent gains nothing by waiting for more: nothing is on its way whose acknowledgement has to be
    /// waited for anyhow, it is all that may wait, or each super-frame leaves as a burst of its own.
    pub(crate) fn is_burst_full(&self, ip: &Ip, conn: Option<ConnectionId>) -> bool {
        conn.and_then(|conn| self.connections.get(conn)).is_none_or(|conn| {
            conn.sender.is_idle()
                || conn.unsent_room(1) == 0
                || !ip.carries_super_frames(conn.route.interface)
        })
    }

    /// SEND (section 3.10.2).
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        conn: Option<ConnectionId>,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        let mut conn = conn.and_then(|conn| self.connections.take(conn)).ok_or(Errno::EPIPE)?;
        let sent = self.send_on(cx, &mut conn, data, flags);
        self.settle_bytes(cx, ip, sockets, conn);
        sent
    }

    fn send_on(
        &mut self,
        cx: &mut Context,
        conn: &mut Connection,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        if let Some(error) = conn.error.take() {
            return Err(error);
        }
        match conn.state {
            TcpState::SynSent | TcpState::SynReceived => return Err(Errno::EAGAIN),
            _ if !conn.can_send() => return Err(Errno::EPIPE),
            _ => {}
        }
        let room = conn.send_limit(&self.config).saturating_sub(conn.send_queue.len());
        let count = conn.unsent_room(room.min(data.len()));
        if (count == 0 || self.memory > self.config.memory_max) && !data.is_empty() {
            conn.flags.want_write = true;
            return Err(Errno::EAGAIN);
        }
        if count < data.len() {
            conn.flags.want_write = true;
        }
        let start = conn.send_queue.end_seq();
        let sent_all = conn.unsent() == 0;
        conn.send_queue.push(&data[..count], &mut self.pool);
        let sizes = super::push::Sizes::new(conn.sender.mss(), conn.snd.wnd_max);
        conn.pushes.on_write(start, conn.send_queue.end_seq(), sent_all, &sizes);
        cx.counters.bytes_copied += count as u64;
        conn.snd.more = flags.more;
        conn.snd.in_flow = conn.sender.outstanding() > 0;
        conn.pushes.open = flags.more;
        if flags.eor && count == data.len() {
            conn.pushes.end_record(conn.send_queue.end_seq());
        }
        if flags.oob && count == data.len() {
            // SND.UP: the byte behind the urgent one (RFC 6093).
            conn.urgent.send = Some(conn.send_queue.end_seq());
        }
        Ok(count)
    }

    /// RECEIVE (section 3.10.3).
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        conn: Option<ConnectionId>,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<usize, Errno> {
        let mut conn = conn.and_then(|conn| self.connections.take(conn)).ok_or(Errno::ENOTCONN)?;
        let received = if flags.oob {
            let inline = conn.settings.oob_inline;
            conn.urgent.byte.filter(|_| !inline).ok_or(Errno::EINVAL).map(|byte| {
                if let Some(slot) = buffer.first_mut() {
                    *slot = byte;
                    conn.urgent.byte = conn.urgent.byte.filter(|_| flags.peek);
                }
                buffer.len().min(1)
            })
        } else {
            conn.receive(cx, buffer, flags.peek)
        };
        if received.is_ok() && !flags.peek {
            self.settle_bytes(cx, ip, sockets, conn);
        } else {
            self.connections.put(conn);
        }
        received
    }

    pub(crate) fn shutdown(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), Errno> {
        if sockets.tcp_mut(id)?.listener().is_some() {
            if how != Shutdown::Write {
                self.stop_listening(cx, ip, sockets, id)?;
            }
            return Ok(());
        }
        let conn = self.socket_connection(sockets, id)?;
        let Some(mut conn) = self.connections.take(conn) else { return Err(Errno::ENOTCONN) };
        if matches!(conn.state, TcpState::Closed | TcpState::TimeWait) {
            self.connections.put(conn);
            return Err(Errno::ENOTCONN);
        }
        if conn.state == TcpState::SynSent {
            // There are no directions yet: the attempt is given up, which the error says, as on Linux.
            conn.close_with(Some(Errno::ECONNRESET));
        }
        if how != Shutdown::Write {
            conn.read_shut = true;
        }
        if how != Shutdown::Read {
            conn.close_sending();
        }
        conn.flags.wake = true;
        self.settle(cx, ip, sockets, conn);
        Ok(())
    }

    /// CLOSE and ABORT (sections 3.10.4 and 3.10.5).
    pub(crate) fn close(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        if sockets.tcp_mut(id)?.listener().is_some() {
            self.stop_listening(cx, ip, sockets, id)?;
        }
        let socket = sockets.tcp_mut(id)?;
        let (conn, bound) = (socket.connection(), socket.bound);
        sockets.remove(id);
        if let Some((_, port)) = bound {
            self.ports.unbind(port, id);
        }
        if let Some(conn) = conn.and_then(|conn| self.connections.take(conn)) {
            self.close_connection(cx, ip, sockets, conn);
        }
        Ok(())
    }

    fn close_connection(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        mut conn: Box<Connection>,
    ) {
        conn.owner = Owner::Orphan;
        if matches!(conn.state, TcpState::Closed | TcpState::TimeWait) {
            return self.free(conn);
        }
        let unread = conn.readable() > 0;
        conn.rcv.queue.clear();
        let abort = conn.settings.linger == Linger::For(Duration::ZERO);
        let crowded = self.orphans >= self.config.orphans_max;
        if conn.is_synchronized() && (unread || abort || crowded) {
            // RFC 9293 section 3.10.4, as RFC 1122 section 4.2.2.13: data that nobody will read was lost, and the peer has
            // to know (MUST-13's counterpart); ABORT always sends a reset.
            let why = if abort { "aborted by the application" } else { "closed with data unread" };
            self.send_abort(cx, ip, &conn, why);
            conn.close_with(None);
        } else {
            conn.close_sending();
            if conn.state == TcpState::FinWait2 {
                conn.timers.expire = cx.now + conn.settings.linger2.unwrap_or_default();
            }
            if conn.state != TcpState::Closed {
                conn.flags.orphan = true;
                self.orphans += 1;
            }
        }
        self.settle(cx, ip, sockets, conn);
    }

    /// A listener goes: what waits to be accepted is reset.
    fn stop_listening(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        let socket = sockets.tcp_mut(id)?;
        let Role::Listener(listener) = core::mem::replace(&mut socket.role, Role::Fresh) else {
            return Err(Errno::EINVAL);
        };
        if let Some(bound) = socket.bound {
            self.listeners.remove(bound.into(), id);
            self.ports.stop_listening(bound.1, id);
        }
        for conn in listener.accepted.into_iter().chain(listener.half_open) {
            let Some(mut conn) = self.connections.take(conn) else { continue };
            let was_open = conn.is_synchronized();
            conn.owner = Owner::Orphan;
            conn.flags.queued = false;
            conn.flags.pending = false;
            if conn.state == TcpState::Closed {
                self.free(conn);
                continue;
            }
            if was_open {
                self.send_abort(cx, ip, &conn, "its listener was closed");
            }
            conn.close_with(None);
            self.settle(cx, ip, sockets, conn);
        }
        Ok(())
    }

    pub(crate) fn local_addr(&self, socket: &TcpSocket) -> Result<SocketAddr, Errno> {
        if let Some(conn) = socket.connection().and_then(|conn| self.connections.get(conn)) {
            return Ok(conn.tuple.local());
        }
        Ok(socket.bound.map_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from))
    }

    pub(crate) fn peer_addr(&self, socket: &TcpSocket) -> Result<SocketAddr, Errno> {
        let conn = socket.connection().and_then(|conn| self.connections.get(conn)).ok_or(Errno::ENOTCONN)?;
        match conn.state {
            TcpState::SynSent | TcpState::SynReceived | TcpState::Closed | TcpState::TimeWait => {
                Err(Errno::ENOTCONN)
            }
            _ => Ok(conn.tuple.remote()),
        }
    }

    /// The other end of a socket's connection, in any state. Errors: `ENOTCONN`.
    pub(crate) fn remote_addr(&self, socket: &TcpSocket) -> Result<SocketAddr, Errno> {
        let conn = socket.connection().and_then(|conn| self.connections.get(conn)).ok_or(Errno::ENOTCONN)?;
        Ok(conn.tuple.remote())
    }

    pub(crate) fn take_error(&mut self, sockets: &mut Sockets, id: SocketId) -> Result<Option<Errno>, Errno> {
        let socket = sockets.tcp_mut(id)?;
        let held = socket.connection().and_then(|conn| self.connections.get_mut(conn));
        Ok(match held {
            Some(conn) => {
                let error = conn.error.take();
                // A soft error is told on request, once (RFC 1122 section 4.2.4.1).
                error.or_else(|| conn.soft_error.take())
            }
            None => socket.error.take(),
        })
    }

    pub(crate) fn readiness(&self, socket: &TcpSocket) -> Readiness {
        match &socket.role {
            Role::Fresh => Readiness { writable: true, hangup: true, ..Readiness::default() },
            Role::Listener(listener) => {
                Readiness { readable: !listener.accepted.is_empty(), ..Readiness::default() }
            }
            Role::Connection(id) => match self.connections.get(*id) {
                Some(conn) => conn.readiness(&self.config),
                None => Readiness { readable: true, writable: true, hangup: true, ..Readiness::default() },
            },
        }
    }

    /// The connection that a socket is about. Errors: `ENOTCONN`.
    fn socket_connection(&self, sockets: &mut Sockets, id: SocketId) -> Result<ConnectionId, Errno> {
        sockets.tcp_mut(id)?.connection().ok_or(Errno::ENOTCONN)
    }
}

impl Connection {
    fn receive(&mut self, cx: &mut Context, buffer: &mut [u8], peek: bool) -> Result<usize, Errno> {
        if self.readable() == 0 {
            return self.nothing_to_read(buffer.is_empty());
        }
        let count = self.read_stream(buffer, peek);
        if peek {
            return Ok(count);
        }
        cx.counters.bytes_copied += count as u64;
        let mss = u32::from(self.advertised_mss());
        self.rcv.read(cx.now, count, mss);
        if self.can_receive() && self.rcv.update_due(mss) {
            self.ack.at_once(AckWhy::WindowUpdate);
        }
        Ok(count)
    }

    fn nothing_to_read(&mut self, empty_buffer: bool) -> Result<usize, Errno> {
        if self.rcv.finished {
            return Ok(0);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            // As on Linux, an attempt that failed reads as an end, once its error was told.
            TcpState::Closed => Ok(0),
            _ if self.read_shut || empty_buffer => Ok(0),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// CLOSE (section 3.10.4): a FIN follows what is queued.
    fn close_sending(&mut self) {
        match self.state {
            // "Delete the TCB."
            TcpState::SynSent => self.close_with(None),
            // With the handshake unfinished there is nothing queued; the FIN follows our SYN's acknowledgement.
            TcpState::SynReceived => self.close_with(None),
            TcpState::Established => {
                self.fin_queued = true;
                self.state = TcpState::FinWait1;
            }
            TcpState::CloseWait => {
                self.fin_queued = true;
                self.state = TcpState::LastAck;
            }
            _ => {}
        }
        self.snd.more = false;
        self.pushes.open = false;
    }

    fn readiness(&self, config: &super::TcpConfig) -> Readiness {
        let closed = matches!(self.state, TcpState::Closed | TcpState::TimeWait);
        let opening = matches!(self.state, TcpState::SynSent | TcpState::SynReceived);
        let error = self.error.is_some();
        let room = self.is_writable(config);
        let read_end = self.rcv.finished || self.read_shut || closed;
        let low_water = (self.settings.receive_low_water as usize).max(1);
        Readiness {
            readable: self.readable() >= low_water || read_end || error,
            writable: closed || error || (!opening && (self.fin_queued || room)),
            read_closed: read_end,
            hangup: closed || (self.rcv.finished && self.fin_queued),
            error,
            priority: self.urgent.byte.is_some(),
        }
    }

    /// Linux's rule: writable when at least a third of the buffer is free, and little enough is unsent.
    pub(crate) fn is_writable(&self, config: &super::TcpConfig) -> bool {
        let limit = self.send_limit(config);
        self.send_queue.len() <= limit - limit / 3 && self.is_little_unsent()
    }
}
