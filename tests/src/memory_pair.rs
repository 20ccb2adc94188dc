//! Two machines and a link in memory, on one thread and with a clock that the caller moves: the same work in each run.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tapstack::device::{Device, MemoryOptions, memory};
use tapstack::frame::TxFrame;
use tapstack::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind};
use tapstack::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, RX_BATCH_MAX, Stack};
use tapstack::{Duration, Instant};

/// Bytes that are written and read at a time.
pub const CHUNK: usize = 64 << 10;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const INTERFACE: InterfaceId = InterfaceId(1);
/// The time that a turn takes.
const TURN: Duration = Duration::from_micros(10);
/// Connections that are opened at once.
const OPENING_MAX: usize = 64;
/// Turns after which what has to happen is taken for lost.
const PATIENCE: usize = 10_000;

/// The two machines; the link cuts super-frames into frames of 1500 bytes, and makes their checksums.
pub struct Pair {
    client: Machine,
    server: Machine,
    now: Instant,
}

struct Machine {
    stack: Stack,
    device: Device,
    frame: TxFrame,
}

/// A connection, as both ends see it.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's socket.
    pub client: SocketId,
    /// The server's socket.
    pub server: SocketId,
}

impl Pair {
    /// Both machines, which have not met yet.
    pub fn new() -> io::Result<Pair> {
        let now = Instant::from_millis(1_000);
        let (client, server) = memory::pair(["client", "server"], MemoryOptions::segmenting());
        Ok(Pair {
            client: Machine::new(now, CLIENT, client)?,
            server: Machine::new(now, SERVER, server)?,
            now,
        })
    }

    /// Opens `count` connections to a port.
    pub fn open(&mut self, port: u16, count: usize) -> io::Result<Vec<Ends>> {
        let address = SocketAddr::from((SERVER, port));
        let listener = self.server.stack.socket(SocketKind::Stream)?;
        self.server.stack.bind(listener, address)?;
        self.server.stack.listen(self.now, listener, 2 * OPENING_MAX)?;
        let mut all = Vec::with_capacity(count);
        let mut waiting: Vec<SocketId> = Vec::new();
        for _ in 0..PATIENCE {
            while waiting.len() < OPENING_MAX.min(count - all.len()) {
                let client = self.client.stack.socket(SocketKind::Stream)?;
                match self.client.stack.connect(self.now, client, address) {
                    Ok(()) | Err(Errno::EINPROGRESS) => waiting.push(client),
                    Err(errno) => return Err(errno.into()),
                }
            }
            self.carry()?;
            while let Some((server, peer)) = would_block(self.server.stack.accept(self.now, listener))? {
                let stack = &self.client.stack;
                let is_peer = |client: &SocketId| stack.local_addr(*client).ok() == Some(peer);
                let at = waiting.iter().position(is_peer).ok_or(io::ErrorKind::NotFound)?;
                all.push(Ends { client: waiting.swap_remove(at), server });
            }
            if all.len() == count {
                self.server.stack.close(self.now, listener)?;
                return Ok(all);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Carries `bytes` from the client to the server, a chunk at a time; the buffer holds one.
    pub fn transfer(&mut self, ends: Ends, bytes: u64, chunk: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        let mut received = 0;
        let mut stalled = 0;
        while received < bytes {
            self.now += TURN;
            would_block(self.client.stack.send(self.now, ends.client, chunk, SendFlags::default()))?;
            self.carry()?;
            stalled += 1;
            while let Some(len) =
                would_block(self.server.stack.recv(self.now, ends.server, buffer, RecvFlags::default()))?
            {
                received += len as u64;
                stalled = 0;
            }
            if stalled > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Frames that the server has received.
    pub fn frames(&self) -> u64 {
        self.server.stack.counters().frames_in
    }

    fn carry(&mut self) -> io::Result<()> {
        let now = self.now;
        loop {
            let there = self.client.send(now)? | self.server.receive(now)?;
            let back = self.server.send(now)? | self.client.receive(now)?;
            if !there && !back {
                return Ok(());
            }
        }
    }
}

impl Machine {
    fn new(now: Instant, address: Ipv4Addr, device: Device) -> io::Result<Machine> {
        let [.., last] = address.octets();
        let mut stack = Stack::new(now, Config { seed: u64::from(last), ..Config::default() });
        let interface = InterfaceConfig {
            name: device.name.clone(),
            medium: device.medium,
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            mtu: device.mtu,
            addresses: vec![Cidr::new(address, 24)],
            offloads: device.offloads,
        };
        stack.add_interface(now, interface)?;
        Ok(Machine { stack, device, frame: TxFrame::default() })
    }

    fn send(&mut self, now: Instant) -> io::Result<bool> {
        if self.stack.poll_timeout().is_some_and(|due| due <= now) {
            self.stack.handle_timeout(now);
        }
        let mut sent = false;
        // One burst of super-frames: more than a turn has to send, and less than the link holds.
        for _ in 0..8 {
            if !self.stack.poll_transmit(now, INTERFACE, &mut self.frame) {
                break;
            }
            self.device.tx.transmit(now, &self.frame)?;
            sent = true;
        }
        Ok(sent)
    }

    fn receive(&mut self, now: Instant) -> io::Result<bool> {
        let mut any = false;
        let mut batch = 0;
        while let Some(train) = self.device.rx.receive_train(now)? {
            any = true;
            batch += self.stack.handle_train(now, INTERFACE, train);
            if batch >= RX_BATCH_MAX {
                self.stack.end_batch(now);
                batch = 0;
            }
        }
        self.stack.end_batch(now);
        while self.stack.poll_event().is_some() {}
        Ok(any)
    }
}

fn would_block<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
