//! smoltcp as a server, over its own TAP device and over ours.

use super::client::{DATAGRAM_LEN, READ_CHUNK, WRITE_CHUNK};
use super::server::{Role, Server, serve_meanwhile};
use super::smoltcp_device::OffloadPhy;
use super::stage::{self, PORT, PREFIX_LEN, SERVER};
use crate::testbed::NetNs;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, Medium, TunTapInterface};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{EthernetAddress, IpCidr, IpEndpoint};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Instant;
use tapstack::device::TapOptions;

/// Bytes of each socket's buffers, where they matter.
const BUFFER_LEN: usize = 512 << 10;
/// Datagrams that a socket's buffer has room for.
const BUFFER_DATAGRAMS: usize = BUFFER_LEN / DATAGRAM_LEN;
/// smoltcp has no backlog: a listening socket takes one connection.
const LISTENERS: usize = 128;
/// How often the end is looked for while nothing happens.
const IDLE_WAIT: SmolDuration = SmolDuration::from_millis(5);

/// smoltcp on a device.
pub(super) struct SmoltcpServer<D> {
    client_ns: Arc<NetNs>,
    fd: Arc<OwnedFd>,
    interface: Interface,
    device: D,
}

impl SmoltcpServer<TunTapInterface> {
    /// As it comes, over the device that it brings.
    pub(super) fn stock() -> io::Result<SmoltcpServer<TunTapInterface>> {
        let stage = stage::tap(TapOptions::default())?;
        let fd = stage.device.fd.ok_or(io::ErrorKind::Unsupported)?;
        let frame_max = usize::from(stage.device.mtu) + 14;
        let device = TunTapInterface::from_fd(fd.try_clone()?.into_raw_fd(), Medium::Ethernet, frame_max)?;
        Ok(SmoltcpServer::new(stage.client_ns, fd, device))
    }
}

impl SmoltcpServer<OffloadPhy> {
    /// Over a device of ours that carries super-frames: the strongest peer that a hundred lines make.
    pub(super) fn offload() -> io::Result<SmoltcpServer<OffloadPhy>> {
        let stage = stage::tap(TapOptions { offload: true, ..TapOptions::default() })?;
        let device = OffloadPhy::new(stage.device).ok_or(io::ErrorKind::Unsupported)?;
        Ok(SmoltcpServer::new(stage.client_ns, Arc::clone(device.fd()), device))
    }
}

impl<D: phy::Device> SmoltcpServer<D> {
    fn new(client_ns: Arc<NetNs>, fd: Arc<OwnedFd>, mut device: D) -> SmoltcpServer<D> {
        let config = Config::new(EthernetAddress([0x02, 0x74, 0, 0, 0, 3]).into());
        let mut interface = Interface::new(config, &mut device, SmolInstant::now());
        interface.update_ip_addrs(|addresses| {
            // There is room for at least one.
            let _ = addresses.push(IpCidr::new(SERVER.into(), PREFIX_LEN));
        });
        SmoltcpServer { client_ns, fd, interface, device }
    }
}

impl<D: phy::Device> Server for SmoltcpServer<D> {
    fn client_ns(&self) -> Arc<NetNs> {
        Arc::clone(&self.client_ns)
    }

    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let mut sockets = SocketSet::new(Vec::new());
        if role.is_udp() {
            let mut datagrams = Datagrams::new(&mut sockets, role)?;
            return self.drive(&mut sockets, false, client, |sockets| datagrams.work(sockets));
        }
        let (count, buffer_len) =
            if matches!(role, Role::Close { .. }) { (LISTENERS, 2048) } else { (1, BUFFER_LEN) };
        let mut connections: Vec<Connection> =
            (0..count).map(|_| Connection::new(&mut sockets, role, buffer_len)).collect();
        let spin = matches!(role, Role::Echo { spin: true, .. });
        self.drive(&mut sockets, spin, client, |sockets| {
            let mut worked = false;
            for connection in &mut connections {
                worked |= connection.work(sockets.get_mut(connection.handle));
            }
            if worked { Worked::Some } else { Worked::Nothing }
        })
    }
}

impl<D: phy::Device> SmoltcpServer<D> {
    /// Polls, and lets the application work, until the client has returned.
    fn drive(
        &mut self,
        sockets: &mut SocketSet<'_>,
        spin: bool,
        client: &mut (dyn FnMut(SocketAddr) + Send),
        mut work: impl FnMut(&mut SocketSet<'_>) -> Worked,
    ) -> io::Result<()> {
        serve_meanwhile(SERVER, client, || {
            let now = SmolInstant::now();
            self.interface.poll(now, &mut self.device, sockets);
            let worked = work(sockets);
            if worked != Worked::Nothing {
                // What was written goes out before there is any sleep. Nothing is taken in: it wakes us at once.
                while self.interface.poll_egress(now, &mut self.device, sockets) != PollResult::None {}
            }
            if !spin && worked != Worked::More {
                let delay = self.interface.poll_delay(now, sockets);
                let wait = delay.map_or(IDLE_WAIT, |delay| delay.min(IDLE_WAIT));
                phy::wait(self.fd.as_raw_fd(), Some(wait))?;
            }
            Ok(())
        })
    }
}

/// What an application did in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worked {
    Nothing,
    /// All that it could until something comes in.
    Some,
    /// It goes on as soon as there is room.
    More,
}

/// One socket and what the application does with it.
struct Connection {
    handle: SocketHandle,
    role: Role,
    buffer: Vec<u8>,
    started: Option<Instant>,
}

impl Connection {
    fn new(sockets: &mut SocketSet<'_>, role: Role, buffer_len: usize) -> Connection {
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer_len]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        // Before any client runs: what it finds closed refuses it.
        let _ = socket.listen(PORT);
        let len = match role {
            Role::Sink => READ_CHUNK,
            Role::Source(_) => WRITE_CHUNK,
            Role::Echo { len, .. } => len,
            Role::Close { .. } | Role::UdpSource(_) | Role::UdpSink | Role::Rpc => 0,
        };
        Connection { handle: sockets.add(socket), role, buffer: vec![0x5a; len], started: None }
    }

    /// Does what can be done now; false if that was nothing.
    fn work(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        if !socket.is_open() {
            self.started = None;
            // A socket that isn't open can always listen.
            let _ = socket.listen(PORT);
            return true;
        }
        if socket.is_listening() || matches!(socket.state(), tcp::State::SynReceived) {
            return false;
        }
        let peer_closed = socket.state() == tcp::State::CloseWait && !socket.can_recv();
        let mut worked = false;
        match self.role {
            Role::Sink => {
                while socket.can_recv() && socket.recv_slice(&mut self.buffer).is_ok_and(|len| len > 0) {
                    worked = true;
                }
            }
            Role::Source(duration) => {
                let started = *self.started.get_or_insert_with(Instant::now);
                if started.elapsed() < duration {
                    while socket.can_send() && socket.send_slice(&self.buffer).is_ok_and(|len| len > 0) {
                        worked = true;
                    }
                } else if socket.may_send() {
                    socket.close();
                    worked = true;
                }
            }
            Role::Echo { len, .. } => {
                while socket.recv_queue() >= len && socket.recv_slice(&mut self.buffer).is_ok() {
                    worked |= socket.send_slice(&self.buffer).is_ok();
                }
            }
            Role::Close { .. } => {
                socket.close();
                worked = true;
            }
            Role::UdpSource(_) | Role::UdpSink | Role::Rpc => {}
        }
        if peer_closed && socket.may_send() {
            socket.close();
            worked = true;
        }
        worked
    }
}

/// A socket for datagrams and what the application does with it.
struct Datagrams {
    handle: SocketHandle,
    role: Role,
    buffer: Vec<u8>,
    /// Whole datagrams that arrived.
    count: u64,
    /// Whom a source sends to, and since when.
    asked: Option<(IpEndpoint, Instant)>,
}

impl Datagrams {
    fn new(sockets: &mut SocketSet<'_>, role: Role) -> io::Result<Datagrams> {
        let buffer = || {
            let metadata = vec![udp::PacketMetadata::EMPTY; BUFFER_DATAGRAMS];
            udp::PacketBuffer::new(metadata, vec![0; BUFFER_LEN])
        };
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(PORT).map_err(|error| io::Error::other(format!("smoltcp: {error}")))?;
        let buffer = vec![0x5a; DATAGRAM_LEN];
        Ok(Datagrams { handle: sockets.add(socket), role, buffer, count: 0, asked: None })
    }

    /// Does what can be done now.
    fn work(&mut self, sockets: &mut SocketSet<'_>) -> Worked {
        let socket = sockets.get_mut::<udp::Socket<'_>>(self.handle);
        let mut worked = Worked::Nothing;
        while let Ok((datagram, from)) = socket.recv() {
            worked = Worked::Some;
            if datagram.len() == DATAGRAM_LEN {
                self.count += 1;
            } else if matches!(self.role, Role::UdpSource(_)) {
                self.asked.get_or_insert((from.endpoint, Instant::now()));
            } else {
                // An answer without room is as good as lost: the client asks again.
                let _ = socket.send_slice(&self.count.to_be_bytes(), from.endpoint);
            }
        }
        if let (Role::UdpSource(duration), Some((peer, since))) = (self.role, self.asked)
            && since.elapsed() < duration
        {
            while socket.can_send() && socket.send_slice(&self.buffer, peer).is_ok() {}
            worked = Worked::More;
        }
        worked
    }
}
