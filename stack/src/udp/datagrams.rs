//! What UDP sockets and echo sockets share: bounded queues, errors, and waiting for the next hop.

pub(crate) use super::settings::Settings;
use crate::icmp::{IcmpErrorKind, IcmpNotice};
use crate::ip::{Ip, NextHop, PacketOut, Route, Sender};
use crate::socket::{Errno, Readiness, RecvFlags, Shutdown};
use crate::stack::{Context, InterfaceId};
use crate::wire::{ipv4, udp};
use bytes::{Bytes, BytesMut};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::VecDeque;

/// A datagram socket's state, whatever its protocol.
pub(crate) struct Datagrams {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) settings: Settings,
    /// The way that was looked up last, and where it leads.
    pub(super) route: Option<(IpAddr, Route)>,
    receive: VecDeque<Received>,
    receive_charge: usize,
    send: VecDeque<Outgoing>,
    send_charge: usize,
    /// Whether this socket is in a ready queue, or waits for a next hop.
    is_ready: bool,
    error: Option<Errno>,
    errors: VecDeque<ErrorQueueEntry>,
    shut_read: bool,
    shut_write: bool,
}

/// An error about a datagram that was sent: what traceroute reads (Linux's `IP_RECVERR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorQueueEntry {
    /// Where the datagram was sent to; an echo socket's peers have port 0.
    pub peer: SocketAddr,
    /// Who reported the error; our own address where this machine found it out itself.
    pub from: IpAddr,
    /// What it says.
    pub kind: IcmpErrorKind,
    /// The echo request's sequence number; 0 on UDP.
    pub sequence: u16,
}

struct Received {
    from: SocketAddr,
    data: Bytes,
    charge: usize,
}

/// A datagram that waits to be sent, with what was set when it was handed in.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: SocketAddr,
    pub(crate) route: Route,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// An echo request's sequence number.
    pub(crate) sequence: u16,
    pub(crate) data: Bytes,
}

/// What a pulled socket has to send.
#[derive(Debug)]
pub(crate) enum Next {
    /// To be completed in the pulled frame: the next hop is known, and the datagram fits.
    Now(Outgoing),
    /// To be queued by [`Ip::send`]: it has to be fragmented, or waits for its next hop without blocking others.
    Queue(Outgoing),
    /// Nothing now.
    Nothing,
}

impl Datagrams {
    pub(crate) fn new(ttl: u8) -> Datagrams {
        Datagrams {
            local: None,
            peer: None,
            settings: Settings::new(ttl),
            route: None,
            receive: VecDeque::new(),
            receive_charge: 0,
            send: VecDeque::new(),
            send_charge: 0,
            is_ready: false,
            error: None,
            errors: VecDeque::new(),
            shut_read: false,
            shut_write: false,
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }

    /// Errors: `ENOTCONN`.
    pub(crate) fn peer_addr(&self) -> Result<SocketAddr, Errno> {
        self.peer.ok_or(Errno::ENOTCONN)
    }

    /// Bytes of the datagrams that wait to be received, and of those that wait to be sent.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let receive = self.receive.iter().map(|received| received.data.len()).sum();
        (receive, self.send.iter().map(|outgoing| outgoing.data.len()).sum())
    }

    /// The source address that the socket insists on.
    pub(crate) fn pinned_source(&self) -> Option<IpAddr> {
        self.local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
    }

    /// Connects: only the peer's datagrams come in from now on.
    pub(crate) fn connect(&mut self, local: SocketAddr, peer: SocketAddr, route: Route) {
        self.local = Some(local);
        self.peer = Some(peer);
        self.route = Some((peer.ip(), route));
    }

    /// Queues a datagram of `data` to `peer`, or to the connected one. `header_len` is its transport header's.
    pub(crate) fn send(
        &mut self,
        ip: &mut Ip,
        sender: Sender,
        arena: &mut Arena,
        data: &[u8],
        peer: Option<SocketAddr>,
        header_len: usize,
    ) -> Result<usize, Errno> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.shut_write {
            return Err(Errno::EPIPE);
        }
        let to = peer.or(self.peer).ok_or(Errno::EDESTADDRREQ)?;
        if data.len() + header_len + ipv4::HEADER_BYTES > usize::from(u16::MAX) {
            return Err(Errno::EMSGSIZE);
        }
        if self.send_charge >= self.settings.send_buffer {
            return Err(Errno::EAGAIN);
        }
        let route = self.route_to(ip, to.ip())?;
        let (ttl, tos) = (self.settings.ttl, self.settings.tos);
        self.send_charge += charge_of(data.len());
        self.send.push_back(Outgoing { to, route, ttl, tos, sequence: 0, data: arena.keep(data) });
        if !self.is_ready {
            self.is_ready = true;
            ip.ready(route.interface, sender);
        }
        Ok(data.len())
    }

    /// The datagram that was queued last, to be completed by its protocol.
    pub(crate) fn last_queued(&mut self) -> Option<&mut Outgoing> {
        self.send.back_mut()
    }

    /// Whose turn it is has to say what it sends on `interface`. `header_len` is the transport header's.
    pub(crate) fn next(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sender: Sender,
        interface: InterfaceId,
        header_len: usize,
    ) -> Next {
        loop {
            let Some(head) = self.send.front() else {
                self.is_ready = false;
                return Next::Nothing;
            };
            let mut route = head.route;
            if route.generation != ip.generation() {
                match ip.route(head.to.ip(), self.pinned_source(), self.settings.interface, true) {
                    Ok(found) => route = found,
                    Err(error) => {
                        self.fail(error);
                        continue;
                    }
                }
                if let Some(head) = self.send.front_mut() {
                    head.route = route;
                }
            }
            if route.interface != interface {
                ip.ready(route.interface, sender);
                return Next::Nothing;
            }
            match self.way(cx, ip, sender, &route, header_len) {
                Way::Pulled => return self.pop().map_or(Next::Nothing, Next::Now),
                Way::Queued => return self.pop().map_or(Next::Nothing, Next::Queue),
                Way::Later => return Next::Nothing,
                Way::None => self.fail(Errno::EHOSTUNREACH),
            }
        }
    }

    /// Takes the data of the next datagram, too, if it can share a super-frame with `first`, which was taken before it,
    /// and isn't longer than `len_max`. An empty one can't: a super-frame has no place for it.
    pub(super) fn next_with(&mut self, first: &Outgoing, len_max: usize) -> Option<Bytes> {
        let next = self.send.front()?;
        let fits = !next.data.is_empty() && next.data.len() <= len_max;
        if !fits || !next.goes_with(first) {
            return None;
        }
        self.pop().map(|outgoing| outgoing.data)
    }

    /// How the first datagram can leave.
    fn way(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sender: Sender,
        route: &Route,
        header_len: usize,
    ) -> Way {
        let len = self.send.front().map_or(0, |head| head.data.len()) + header_len + ipv4::HEADER_BYTES;
        let frames = len.div_ceil(usize::from(route.mtu).saturating_sub(FRAGMENT_HEADERS).max(1));
        match ip.look(cx, route) {
            NextHop::Unreachable => return Way::None,
            NextHop::Ready(_) if len <= usize::from(route.mtu) => return Way::Pulled,
            NextHop::Ready(_) if ip.has_room(route, frames) => return Way::Queued,
            NextHop::Ready(_) => {
                // The egress queue is full, so it has its turn now, and we have ours after it.
                ip.ready(route.interface, sender);
                return Way::Later;
            }
            NextHop::Waiting => {}
        }
        // One peer that doesn't answer must not hold up what goes to others.
        if self.peer.is_none() && ip.has_room(route, frames) {
            return Way::Queued;
        }
        match ip.resolve(cx, route, sender) {
            NextHop::Waiting => Way::Later,
            NextHop::Ready(_) => Way::Pulled,
            NextHop::Unreachable => Way::None,
        }
    }

    /// Whether more waits to be sent; if not, the socket has left the ready queue.
    pub(crate) fn more(&mut self) -> bool {
        self.is_ready = !self.send.is_empty();
        self.is_ready
    }

    /// The next hop of the first datagram did not answer: the socket gets its turn back.
    pub(crate) fn next_hop_failed(&mut self, ip: &mut Ip, sender: Sender) {
        self.fail(Errno::EHOSTUNREACH);
        self.is_ready = false;
        if let Some(head) = self.send.front() {
            self.is_ready = true;
            ip.ready(head.route.interface, sender);
        }
    }

    /// Everything that is still queued, for a socket that is closed.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Outgoing> {
        self.send_charge = 0;
        core::mem::take(&mut self.send).into_iter()
    }

    /// Keeps a received datagram, if there is room for it.
    pub(crate) fn deliver(&mut self, cx: &mut Context, from: SocketAddr, data: Bytes) -> bool {
        let charge = charge_of(data.len());
        // One datagram may exceed the limit, as in Linux: else a small buffer would refuse a large datagram for ever.
        if self.receive_charge >= self.settings.receive_buffer || self.shut_read {
            return false;
        }
        let data = if data.len() < REFERENCE_MIN {
            cx.counters.bytes_copied += data.len() as u64;
            Bytes::copy_from_slice(&data)
        } else {
            data
        };
        self.receive_charge += charge;
        self.receive.push_back(Received { from, data, charge });
        true
    }

    /// Takes a datagram: as much of it as fits, and who sent it.
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Errno> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(received) = self.receive.front() else {
            let closed = (0, self.peer.unwrap_or(self.local_addr()));
            return if self.shut_read { Ok(closed) } else { Err(Errno::EAGAIN) };
        };
        let (from, len, charge) = (received.from, received.data.len(), received.charge);
        let copied = len.min(buffer.len());
        buffer[..copied].copy_from_slice(&received.data[..copied]);
        cx.counters.bytes_copied += copied as u64;
        if !flags.peek {
            self.receive.pop_front();
            self.receive_charge -= charge;
        }
        Ok((if flags.trunc { len } else { copied }, from))
    }

    /// An ICMP error about a datagram of ours: connected sockets report it (RFC 1122 section 4.1.3.3), and all keep
    /// it for those who ask.
    pub(crate) fn icmp_error(&mut self, notice: &IcmpNotice) {
        let sequence = notice.sequence as u16;
        self.note(ErrorQueueEntry { peer: notice.remote, from: notice.from, kind: notice.kind, sequence });
        if self.peer == Some(notice.remote) {
            self.error = Some(notice.kind.errno());
        }
    }

    pub(crate) fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    pub(crate) fn take_error_entry(&mut self) -> Option<ErrorQueueEntry> {
        self.errors.pop_front()
    }

    /// Errors: `ENOTCONN`.
    pub(crate) fn shutdown(&mut self, how: Shutdown) -> Result<(), Errno> {
        if self.peer.is_none() {
            return Err(Errno::ENOTCONN);
        }
        self.shut_read |= matches!(how, Shutdown::Read | Shutdown::Both);
        self.shut_write |= matches!(how, Shutdown::Write | Shutdown::Both);
        Ok(())
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let error = self.error.is_some();
        Readiness {
            readable: error || self.shut_read || !self.receive.is_empty(),
            writable: error || self.shut_write || self.is_writable(),
            read_closed: self.shut_read,
            hangup: self.shut_read && self.shut_write,
            error,
            priority: !self.errors.is_empty(),
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.send_charge < self.settings.send_buffer
    }

    /// Whether so much waits to be sent that it had better leave before more comes: a super-frame that the next one like
    /// the last wouldn't fit, or all that the buffer takes.
    pub(crate) fn is_burst_full(&self) -> bool {
        let Some(last) = self.send.back() else { return false };
        let bytes = self.send_charge - self.send.len() * DATAGRAM_OVERHEAD;
        self.send.len() >= SEGMENTS_MAX || bytes + last.data.len() > SUPER_FRAME_MAX || !self.is_writable()
    }

    /// Bytes of the datagram that is received next.
    pub(super) fn next_len(&self) -> usize {
        self.receive.front().map_or(0, |received| received.data.len())
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued_bytes(&self) -> usize {
        self.send.iter().map(|outgoing| outgoing.data.len()).sum()
    }

    fn route_to(&mut self, ip: &Ip, to: IpAddr) -> Result<Route, Errno> {
        if let Some((known, route)) = self.route
            && known == to
            && route.generation == ip.generation()
        {
            return Ok(route);
        }
        let (source, interface) = (self.pinned_source(), self.settings.interface);
        let route = ip.route(to, source, interface, self.settings.broadcast)?;
        self.route = Some((to, route));
        Ok(route)
    }

    fn pop(&mut self) -> Option<Outgoing> {
        let outgoing = self.send.pop_front()?;
        self.send_charge -= charge_of(outgoing.data.len());
        Some(outgoing)
    }

    /// The first datagram can't be sent.
    fn fail(&mut self, error: Errno) {
        let Some(outgoing) = self.pop() else { return };
        let kind = match error {
            Errno::EHOSTUNREACH => IcmpErrorKind::HostUnreachable,
            _ => IcmpErrorKind::NetUnreachable,
        };
        let (from, sequence) = (outgoing.route.source, outgoing.sequence);
        self.note(ErrorQueueEntry { peer: outgoing.to, from, kind, sequence });
        if self.peer == Some(outgoing.to) {
            self.error = Some(error);
        }
    }

    fn note(&mut self, entry: ErrorQueueEntry) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push_back(entry);
        }
    }
}

/// How a datagram can leave.
enum Way {
    Pulled,
    Queued,
    Later,
    None,
}

impl Outgoing {
    /// Whether both have the same headers, but for lengths and checksums.
    fn goes_with(&self, other: &Outgoing) -> bool {
        self.to == other.to && self.route == other.route && (self.ttl, self.tos) == (other.ttl, other.tos)
    }

    /// What its IP header says.
    pub(crate) fn packet(&self, protocol: u8) -> PacketOut {
        PacketOut {
            source: self.route.source,
            destination: self.to.ip(),
            protocol,
            ttl: self.ttl,
            tos: self.tos,
            // The stack keeps no path MTU for datagrams, so routers have to be able to fragment them.
            dont_fragment: false,
        }
    }
}

/// Where queued datagrams are copied to: one allocation for many small ones, which are sent soon after each other.
#[derive(Default)]
pub(crate) struct Arena {
    chunk: BytesMut,
}

impl Arena {
    fn keep(&mut self, data: &[u8]) -> Bytes {
        if data.len() > CHUNK_BYTES / 4 {
            return Bytes::copy_from_slice(data);
        }
        if self.chunk.capacity() < data.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES);
        }
        self.chunk.extend_from_slice(data);
        self.chunk.split().freeze()
    }
}

/// What a datagram costs its socket: its bytes, and what surrounds them.
fn charge_of(len: usize) -> usize {
    len + DATAGRAM_OVERHEAD
}

/// Bytes that a queued datagram is charged beside its own, so that empty ones are bounded too.
const DATAGRAM_OVERHEAD: usize = 256;
/// Smaller datagrams are copied out of their frame, so that they don't pin its buffer, in bytes.
const REFERENCE_MIN: usize = 1024;
/// Bytes that the arena allocates at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Errors that wait to be read on one socket.
const ERRORS_MAX: usize = 64;
/// IP header and rounding of a fragment, in bytes.
const FRAGMENT_HEADERS: usize = ipv4::HEADER_BYTES + 8;
/// Datagrams in a super-frame at most: as many as Linux lets a program of its own put into one.
pub(super) const SEGMENTS_MAX: usize = 64;
/// Payload of a super-frame at most, in bytes: its headers, IPv4's with all options, still say its length.
pub(super) const SUPER_FRAME_MAX: usize = u16::MAX as usize - 60 - udp::HEADER_BYTES;
