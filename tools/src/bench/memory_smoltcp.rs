//! Two machines of smoltcp in memory, for comparison: as [`super::memory`] has it for this stack.

use super::cpu;
use super::memory::CHUNK;
use super::stage::{CLIENT, PORT, PREFIX_LEN, SERVER};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Sizes of its buffers that are tried; the best one counts.
const BUFFER_LENS: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// A frame of 1500 bytes with its link header.
const FRAME_LEN_MAX: usize = 1514;
/// Frames that wait on the wire at most.
const QUEUE_FRAMES_MAX: usize = 1000;

/// The goodput of one stream in Gbit/s, with the buffers that suit it best.
pub(super) fn best_transfer(duration: Duration) -> io::Result<f64> {
    let each = duration / BUFFER_LENS.len() as u32;
    BUFFER_LENS
        .into_iter()
        .map(|len| transfer(len, each))
        .try_fold(0.0, |best: f64, rate| Ok(best.max(rate?)))
}

fn transfer(buffer_len: usize, duration: Duration) -> io::Result<f64> {
    let (there, back, spare) = (Queue::default(), Queue::default(), Spare::default());
    let wire =
        |rx: &Queue, tx: &Queue| Wire { rx: Rc::clone(rx), tx: Rc::clone(tx), spare: Rc::clone(&spare) };
    let mut client = Machine::new(CLIENT, wire(&back, &there), buffer_len);
    let mut server = Machine::new(SERVER, wire(&there, &back), buffer_len);
    let failed = |error: &dyn std::fmt::Debug| io::Error::other(format!("smoltcp: {error:?}"));
    server.socket().listen(PORT).map_err(|error| failed(&error))?;
    let Machine { interface, sockets, handle, .. } = &mut client;
    sockets
        .get_mut::<tcp::Socket<'_>>(*handle)
        .connect(interface.context(), (SERVER, PORT), 40_000)
        .map_err(|error| failed(&error))?;
    let (chunk, mut buffer) = (vec![0x5a; CHUNK], vec![0; CHUNK]);
    let (start, cpu) = (Instant::now(), cpu::thread_seconds());
    let mut bytes = 0;
    while start.elapsed() < duration {
        while client.socket().can_send() && client.socket().send_slice(&chunk).is_ok_and(|len| len > 0) {}
        client.poll();
        server.poll();
        while server.socket().can_recv() {
            bytes += server.socket().recv_slice(&mut buffer).map_err(|error| failed(&error))? as u64;
        }
        server.poll();
    }
    Ok(bytes as f64 * 8.0 / (cpu::thread_seconds() - cpu) / 1e9)
}

struct Machine {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Machine {
    fn new(address: Ipv4Addr, mut wire: Wire, buffer_len: usize) -> Machine {
        let [.., last] = address.octets();
        let config = Config::new(EthernetAddress([0x02, 0x74, 0, 0, 0, last]).into());
        let mut interface = Interface::new(config, &mut wire, SmolInstant::now());
        interface.update_ip_addrs(|addresses| {
            // There is room for at least one.
            let _ = addresses.push(IpCidr::new(address.into(), PREFIX_LEN));
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer_len]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Machine { interface, wire, sockets, handle }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn poll(&mut self) {
        self.interface.poll(SmolInstant::now(), &mut self.wire, &mut self.sockets);
    }
}

type Queue = Rc<RefCell<VecDeque<Frame>>>;
/// Buffers of frames that were received, the last one on top: it is still in the cache.
type Spare = Rc<RefCell<Vec<Box<[u8]>>>>;

/// A frame in a buffer that holds the largest, so that nothing is allocated or cleared for the next one.
struct Frame {
    buffer: Box<[u8]>,
    len: usize,
}

struct Wire {
    rx: Queue,
    tx: Queue,
    spare: Spare,
}

struct Received<'a> {
    frame: Frame,
    spare: &'a Spare,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Frame { buffer, len } = self.frame;
        let result = f(&buffer[..len]);
        self.spare.borrow_mut().push(buffer);
        result
    }
}

struct Sending<'a> {
    queue: &'a Queue,
    spare: &'a Spare,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut buffer = self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new([0; FRAME_LEN_MAX]));
        let result = f(&mut buffer[..len]);
        self.queue.borrow_mut().push_back(Frame { buffer, len });
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_LEN_MAX;
        capabilities
    }

    fn receive(&mut self, _: SmolInstant) -> Option<(Received<'_>, Sending<'_>)> {
        let frame = self.rx.borrow_mut().pop_front()?;
        let spare = &self.spare;
        Some((Received { frame, spare }, Sending { queue: &self.tx, spare }))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Sending<'_>> {
        let has_room = self.tx.borrow().len() < QUEUE_FRAMES_MAX;
        has_room.then_some(Sending { queue: &self.tx, spare: &self.spare })
    }
}
