//! The ceiling: a server with next to no stack, over the devices that this stack has.
//!
//! It does what every stack on a TAP has to: it reads and writes frames, copies payload once, sums it where the device
//! doesn't, and acknowledges each batch. It keeps a few numbers for one connection, believes whatever it is told, and has
//! no timers, since a TAP loses nothing that its queue has room for. So what it reaches is what device, kernel and client
//! leave to a stack, and the rest is what a stack costs.

use super::client::{READ_CHUNK, WRITE_CHUNK};
use super::server::{Role, Server, serve_meanwhile};
use super::smoltcp_device::put_pseudo_sum;
use super::stage::{PORT, TapStage};
use crate::testbed::NetNs;
use bytes::{Bytes, BytesMut};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tapstack::bench::copy_and_sum;
use tapstack::device::{Device, Receive, Transmit};
use tapstack::frame::{Cause, Gso, GsoKind, RxChecksum, RxFrame, TxChecksum, TxFrame};

const MAC: EthernetAddress = EthernetAddress([0x02, 0x74, 0, 0, 0, 4]);
const ETHERNET_LEN: usize = 14;
const TRANSPORT_AT: usize = ETHERNET_LEN + 20;
/// Where TCP's checksum is in its header.
const CHECKSUM_AT: u16 = 16;
/// It offers no timestamps: 1500 - 20 - 20.
const MSS: u16 = 1460;
/// The payload of a super-frame: whole segments, as many as an IPv4 packet holds.
const SUPER_FRAME_LEN: usize = (65_535 - 40) / MSS as usize * MSS as usize;
/// Its receive window: 8 MiB less 128 bytes.
const WINDOW: u16 = u16::MAX;
const WINDOW_SCALE: u8 = 7;
/// Bytes that are sent and not acknowledged at most.
const IN_FLIGHT_MAX: u32 = 4 << 20;
/// Super-frames that are sent between two looks at the device.
const BURST: usize = 8;
/// Frames that are taken in before anything is answered.
const BATCH: usize = 64;
/// Where every connection's numbers begin.
const FIRST: TcpSeqNumber = TcpSeqNumber(0x1000);
/// How often the end is looked for while nothing happens.
const IDLE_WAIT: Duration = Duration::from_millis(5);

/// A server that is as fast as a TAP can be served.
pub(super) struct CeilingServer {
    client_ns: Arc<NetNs>,
    fd: Arc<OwnedFd>,
    rx: Box<dyn Receive>,
    wire: Wire,
}

impl CeilingServer {
    pub(super) fn new(stage: TapStage) -> io::Result<CeilingServer> {
        let TapStage { client_ns, device, server_address: address } = stage;
        let Device { rx, tx, fd, offloads, .. } = device;
        let fd = fd.ok_or(io::ErrorKind::Unsupported)?;
        let frame = TxFrame::new(Cause::default());
        Ok(CeilingServer {
            client_ns,
            fd,
            rx,
            wire: Wire { tx, frame, address, sums: !offloads.tx_checksum },
        })
    }

    /// Takes in what waits, and answers it. Whether that was anything.
    fn take_in(&mut self, app: &mut App) -> io::Result<bool> {
        let mut heard = false;
        for _ in 0..BATCH {
            let Some(frame) = self.rx.receive(tapstack::time::Instant::ZERO)? else { break };
            heard = true;
            self.wire.take(&frame, app)?;
        }
        Ok(heard)
    }
}

impl Server for CeilingServer {
    fn client_ns(&self) -> Arc<NetNs> {
        Arc::clone(&self.client_ns)
    }

    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let spin = matches!(role, Role::Echo { spin: true, .. } | Role::Close { spin: true });
        let mut app = App::new(role);
        let address = self.wire.address;
        serve_meanwhile(address, client, || {
            let heard = self.take_in(&mut app)?;
            let worked = app.work(&mut self.wire)?;
            if !heard && !worked && !spin {
                phy::wait(self.fd.as_raw_fd(), Some(IDLE_WAIT.into()))?;
            }
            Ok(())
        })
    }
}

/// The other end of a connection.
#[derive(Clone, Copy)]
struct Peer {
    mac: EthernetAddress,
    address: Ipv4Address,
    port: u16,
}

/// Where frames go out.
struct Wire {
    tx: Box<dyn Transmit>,
    frame: TxFrame,
    address: Ipv4Address,
    /// Checksums of segments without payload are made here; the device makes those of super-frames.
    sums: bool,
}

impl Wire {
    /// Takes a frame: what isn't for this server is passed over.
    fn take(&mut self, frame: &RxFrame, app: &mut App) -> io::Result<()> {
        let Ok(ethernet) = EthernetFrame::new_checked(&frame.bytes[..]) else { return Ok(()) };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.answer_arp(ethernet.payload()),
            EthernetProtocol::Ipv4 => {
                let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else { return Ok(()) };
                let Ok(tcp) = TcpPacket::new_checked(ip.payload()) else { return Ok(()) };
                if ip.next_header() != IpProtocol::Tcp || tcp.dst_port() != PORT {
                    return Ok(());
                }
                let peer = Peer { mac: ethernet.src_addr(), address: ip.src_addr(), port: tcp.src_port() };
                app.take(self, peer, &tcp, frame.checksum == RxChecksum::Unverified)
            }
            _ => Ok(()),
        }
    }

    fn answer_arp(&mut self, packet: &[u8]) -> io::Result<()> {
        let asked = ArpPacket::new_checked(packet).and_then(|packet| ArpRepr::parse(&packet));
        let Ok(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = asked
        else {
            return Ok(());
        };
        if target_protocol_addr != self.address {
            return Ok(());
        }
        let answer = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: MAC,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        self.frame.reset(Cause::default());
        answer.emit(&mut ArpPacket::new_unchecked(self.frame.prepend(answer.buffer_len())));
        self.send(source_hardware_addr, EthernetProtocol::Arp)
    }

    /// Sends one segment, or a super-frame.
    fn segment(&mut self, peer: Peer, tcp: &TcpRepr<'_>, payload: Bytes) -> io::Result<()> {
        let len = tcp.header_len() + payload.len();
        self.frame.reset(Cause::default());
        let is_summed_here = self.sums && payload.is_empty();
        let mut sums = ChecksumCapabilities::default();
        sums.tcp = if is_summed_here { Checksum::Both } else { Checksum::None };
        let from = self.address;
        let header = self.frame.prepend(tcp.header_len());
        tcp.emit(&mut TcpPacket::new_unchecked(header), &from.into(), &peer.address.into(), &sums);
        if !payload.is_empty() {
            self.frame.payload.push(payload);
        }
        if !is_summed_here {
            self.frame.checksum = TxChecksum::Partial { start: 0, offset: CHECKSUM_AT };
        }
        let is_super = self.frame.payload_len() > usize::from(MSS);
        self.frame.gso =
            (is_super || self.sums && !is_summed_here).then_some(Gso { kind: GsoKind::Tcp4, size: MSS });
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: peer.address,
            next_header: IpProtocol::Tcp,
            payload_len: len,
            hop_limit: 64,
        };
        ip.emit(&mut Ipv4Packet::new_unchecked(self.frame.prepend(ip.buffer_len())), &sums);
        self.send(peer.mac, EthernetProtocol::Ipv4)
    }

    fn send(&mut self, to: EthernetAddress, ethertype: EthernetProtocol) -> io::Result<()> {
        let ethernet = EthernetRepr { src_addr: MAC, dst_addr: to, ethertype };
        ethernet.emit(&mut EthernetFrame::new_unchecked(self.frame.prepend(ETHERNET_LEN)));
        if self.frame.checksum != TxChecksum::Complete {
            let transport_len = self.frame.len() - TRANSPORT_AT;
            put_pseudo_sum(self.frame.headers_mut(), transport_len, IpProtocol::Tcp.into(), CHECKSUM_AT);
        }
        self.tx.transmit(tapstack::time::Instant::ZERO, &self.frame)
    }
}

/// What is known of the latest connection.
#[derive(Clone, Copy)]
struct Connection {
    peer: Peer,
    next: TcpSeqNumber,
    unacknowledged: TcpSeqNumber,
    window: u32,
    window_scale: u8,
    expected: TcpSeqNumber,
    /// What was last acknowledged.
    told: TcpSeqNumber,
    opened: Instant,
    /// Bytes of an echo's message that have come.
    gathered: usize,
    is_closed: bool,
}

/// The application, and the little of TCP that it needs.
struct App {
    role: Role,
    connection: Option<Connection>,
    /// The application's bytes: where they are read to, or what is written.
    bytes: Vec<u8>,
    /// Copies of what is being sent, in turns: no more than the nearer caches hold.
    queue: [BytesMut; BURST],
    turn: usize,
}

impl App {
    fn new(role: Role) -> App {
        let len = if matches!(role, Role::Source(_)) { WRITE_CHUNK } else { READ_CHUNK };
        App { role, connection: None, bytes: vec![0x5a; len], queue: Default::default(), turn: 0 }
    }

    /// Takes a segment; where its checksum is to be verified, it is summed, whatever comes of it.
    fn take(
        &mut self,
        wire: &mut Wire,
        peer: Peer,
        tcp: &TcpPacket<&[u8]>,
        is_summed: bool,
    ) -> io::Result<()> {
        if tcp.syn() {
            let mut connection = Connection::new(peer, tcp);
            connection.say(wire, TcpControl::Syn, Bytes::new())?;
            self.connection = Some(connection);
            return Ok(());
        }
        if tcp.rst() || !tcp.ack() {
            return Ok(());
        }
        if matches!(self.role, Role::Close { .. }) {
            return answer_and_close(wire, peer, tcp);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.unacknowledged = tcp.ack_number();
        connection.window = u32::from(tcp.window_len()) << connection.window_scale;
        let payload = tcp.payload();
        let room = &mut self.bytes[..payload.len()];
        if is_summed {
            std::hint::black_box(copy_and_sum(room, payload));
        } else {
            room.copy_from_slice(payload);
        }
        connection.gathered += payload.len();
        connection.expected += payload.len() + usize::from(tcp.fin());
        if tcp.fin() && !connection.is_closed {
            connection.is_closed = true;
            connection.say(wire, TcpControl::Fin, Bytes::new())?;
        }
        Ok(())
    }

    /// Does what can be done behind a batch; whether that was anything.
    fn work(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let Some(mut connection) = self.connection else { return Ok(false) };
        let before = connection.next;
        match self.role {
            Role::Source(duration) if connection.opened.elapsed() < duration => {
                for _ in 0..BURST {
                    if !connection.has_room() {
                        break;
                    }
                    let payload = self.copy(SUPER_FRAME_LEN);
                    connection.say(wire, TcpControl::Psh, payload)?;
                }
            }
            Role::Source(_) if !connection.is_closed => {
                connection.is_closed = true;
                connection.say(wire, TcpControl::Fin, Bytes::new())?;
            }
            Role::Echo { len, .. } if connection.gathered >= len => {
                connection.gathered -= len;
                let payload = self.copy(len);
                connection.say(wire, TcpControl::Psh, payload)?;
            }
            _ => {}
        }
        if connection.told != connection.expected {
            connection.say(wire, TcpControl::None, Bytes::new())?;
        }
        let worked = connection.next != before;
        self.connection = Some(connection);
        Ok(worked)
    }

    /// A copy of the application's first bytes.
    fn copy(&mut self, len: usize) -> Bytes {
        self.turn = (self.turn + 1) % BURST;
        let room = &mut self.queue[self.turn];
        if !room.try_reclaim(len) {
            *room = BytesMut::with_capacity(SUPER_FRAME_LEN);
        }
        room.extend_from_slice(&self.bytes[..len]);
        room.split().freeze()
    }
}

impl Connection {
    /// As a SYN asks for it.
    fn new(peer: Peer, syn: &TcpPacket<&[u8]>) -> Connection {
        // Without a checksum to verify, it doesn't matter whose addresses these are.
        let address = peer.address.into();
        let options = TcpRepr::parse(syn, &address, &address, &ChecksumCapabilities::ignored());
        let expected = syn.seq_number() + 1;
        Connection {
            peer,
            next: FIRST,
            unacknowledged: FIRST,
            window: u32::from(syn.window_len()),
            window_scale: options.ok().and_then(|options| options.window_scale).unwrap_or(0),
            expected,
            told: expected,
            opened: Instant::now(),
            gathered: 0,
            is_closed: false,
        }
    }

    fn has_room(&self) -> bool {
        let in_flight = (self.next - self.unacknowledged) + SUPER_FRAME_LEN;
        in_flight <= self.window.min(IN_FLIGHT_MAX) as usize
    }

    /// Sends a segment or a super-frame, with an acknowledgement of all that has come.
    fn say(&mut self, wire: &mut Wire, control: TcpControl, payload: Bytes) -> io::Result<()> {
        let tcp = segment_to(self.peer, control, self.next, self.expected);
        self.next += payload.len() + control.len();
        self.told = self.expected;
        wire.segment(self.peer, &tcp, payload)
    }
}

/// Closes a connection as soon as it is open, by what its segments say alone: many clients may have one each.
fn answer_and_close(wire: &mut Wire, peer: Peer, tcp: &TcpPacket<&[u8]>) -> io::Result<()> {
    let expected = tcp.seq_number() + tcp.payload().len() + usize::from(tcp.fin());
    let control = match (tcp.ack_number() == FIRST + 1, tcp.fin()) {
        (true, _) => TcpControl::Fin,
        (false, true) => TcpControl::None,
        (false, false) => return Ok(()),
    };
    wire.segment(peer, &segment_to(peer, control, tcp.ack_number(), expected), Bytes::new())
}

fn segment_to(
    peer: Peer,
    control: TcpControl,
    seq_number: TcpSeqNumber,
    expected: TcpSeqNumber,
) -> TcpRepr<'static> {
    let is_syn = control == TcpControl::Syn;
    TcpRepr {
        src_port: PORT,
        dst_port: peer.port,
        control,
        seq_number,
        ack_number: Some(expected),
        window_len: WINDOW,
        window_scale: is_syn.then_some(WINDOW_SCALE),
        max_seg_size: is_syn.then_some(MSS),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}
