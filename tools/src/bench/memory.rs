//! `bench memory`: two machines in memory on one thread, MTU 1500, checksums made and checked; no kernel at all.

use super::Settings;
use super::cpu;
use super::memory_smoltcp;
use super::relay::clock;
use super::rounds::Rounds;
use super::stage::{CLIENT, PORT, PREFIX_LEN, SERVER};
use super::table::{Better, Metric};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tapstack::device::{Device, MemoryOptions, memory};
use tapstack::frame::TxFrame;
use tapstack::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind};
use tapstack::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, RX_BATCH_MAX, Stack};
use tapstack::time::Instant;

/// What a transfer in memory is measured by.
pub(super) const METRICS: &[Metric] = &[Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher }];

/// Bytes that are written and read at a time.
pub(super) const CHUNK: usize = 64 << 10;

/// Connections that are opened at once, fewer than a backlog holds.
const OPENING_MAX: usize = 64;
/// Connections to one port: fewer than there are ephemeral ports.
const PER_PORT_MAX: usize = 20_000;
/// Rounds of frames and calls after which something that has to happen is taken for lost.
const PATIENCE: usize = 100_000;

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let ours = rounds.contender("memory tapstack", METRICS, move || {
        Pair::new(settings.seed)?.transfer(settings.duration).map(|rate| vec![rate])
    });
    let smoltcp = rounds.contender("memory smoltcp", METRICS, move || {
        memory_smoltcp::best_transfer(settings.duration).map(|rate| vec![rate])
    });
    rounds.compare("memory.transfer", ("tapstack", ours), ("smoltcp", smoltcp));
    Ok(())
}

/// Two machines of this stack, and the link between them: it carries frames of the MTU with their checksums, and cuts
/// them out of super-frames.
pub(super) struct Pair {
    client: Machine,
    server: Machine,
}

/// A machine and its end of the link.
struct Machine {
    stack: Stack,
    device: Device,
    frame: TxFrame,
    /// The frame was made, and the link had no room for it.
    held: bool,
}

/// A connection, as both ends see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    client: SocketId,
    server: SocketId,
}

impl Pair {
    pub(super) fn new(seed: u64) -> io::Result<Pair> {
        let (client, server) = memory::pair(["client", "server"], MemoryOptions::segmenting());
        Ok(Pair { client: Machine::new(CLIENT, seed, client)?, server: Machine::new(SERVER, !seed, server)? })
    }

    /// One stream from the client to the server; its goodput in Gbit/s, by the CPU time of this thread, which is all that
    /// it needs: whatever else runs on the machine doesn't count.
    pub(super) fn transfer(&mut self, duration: Duration) -> io::Result<f64> {
        let ends = self.open(PORT, 1)?.pop().ok_or(io::ErrorKind::NotConnected)?;
        let (chunk, mut buffer) = (vec![0x5a; CHUNK], vec![0; CHUNK]);
        let (start, cpu) = (clock(), cpu::thread_seconds());
        let mut bytes = 0;
        loop {
            let now = clock();
            if now - start >= duration {
                return Ok(bytes as f64 * 8.0 / (cpu::thread_seconds() - cpu) / 1e9);
            }
            would_block(self.client.stack.send(now, ends.client, &chunk, SendFlags::default()))?;
            self.carry(now)?;
            while let Some(len) =
                would_block(self.server.stack.recv(now, ends.server, &mut buffer, RecvFlags::default()))?
            {
                bytes += len as u64;
            }
        }
    }

    /// Opens `count` connections, some at a time, to as many ports as are needed.
    pub(super) fn open_many(&mut self, count: usize) -> io::Result<Vec<Ends>> {
        let mut all = Vec::with_capacity(count);
        for port in PORT + 1.. {
            let left = (count - all.len()).min(PER_PORT_MAX);
            if left == 0 {
                break;
            }
            all.append(&mut self.open(port, left)?);
        }
        Ok(all)
    }

    /// Has every connection carry a byte there and back; returns how many did.
    pub(super) fn answers(&mut self, connections: &[Ends]) -> io::Result<usize> {
        let mut answered = 0;
        for batch in connections.chunks(OPENING_MAX) {
            let now = clock();
            for ends in batch {
                self.client.stack.send(now, ends.client, b"?", SendFlags::default())?;
            }
            self.carry(now)?;
            let mut byte = [0];
            for ends in batch {
                if would_block(self.server.stack.recv(now, ends.server, &mut byte, RecvFlags::default()))?
                    == Some(1)
                {
                    self.server.stack.send(now, ends.server, b"!", SendFlags::default())?;
                }
            }
            self.carry(now)?;
            for ends in batch {
                let got =
                    would_block(self.client.stack.recv(now, ends.client, &mut byte, RecvFlags::default()))?;
                answered += usize::from(got == Some(1) && byte == *b"!");
            }
        }
        Ok(answered)
    }

    fn open(&mut self, port: u16, count: usize) -> io::Result<Vec<Ends>> {
        let address = SocketAddr::from((SERVER, port));
        let listener = self.server.stack.socket(SocketKind::Stream)?;
        self.server.stack.bind(listener, address)?;
        self.server.stack.listen(clock(), listener, 2 * OPENING_MAX)?;
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let opening = (count - all.len()).min(OPENING_MAX);
            let mut clients = Vec::with_capacity(opening);
            for _ in 0..opening {
                let client = self.client.stack.socket(SocketKind::Stream)?;
                match self.client.stack.connect(clock(), client, address) {
                    Ok(()) | Err(Errno::EINPROGRESS) => clients.push(client),
                    Err(errno) => return Err(errno.into()),
                }
            }
            // Both sides number their connections alike: matched by the client's address.
            let mut left = PATIENCE;
            while !clients.is_empty() {
                left = left.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
                let now = clock();
                self.carry(now)?;
                while let Some((server, peer)) = would_block(self.server.stack.accept(now, listener))? {
                    let local = |client: &SocketId| self.client.stack.local_addr(*client).ok() == Some(peer);
                    let at = clients.iter().position(local).ok_or(io::ErrorKind::NotFound)?;
                    all.push(Ends { client: clients.swap_remove(at), server });
                }
            }
        }
        self.server.stack.close(clock(), listener)?;
        Ok(all)
    }

    /// Carries frames both ways until neither machine has one.
    fn carry(&mut self, now: Instant) -> io::Result<()> {
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
    fn new(address: Ipv4Addr, seed: u64, device: Device) -> io::Result<Machine> {
        let now = clock();
        let mut stack = Stack::new(now, Config { seed, ..Config::default() });
        let [.., last] = address.octets();
        stack.add_interface(
            now,
            InterfaceConfig {
                name: device.name.clone(),
                medium: device.medium,
                mac: MacAddr([0x02, 0x74, 0, 0, 0, last]),
                mtu: device.mtu,
                addresses: vec![Cidr::new(address, PREFIX_LEN)],
                offloads: device.offloads,
            },
        )?;
        Ok(Machine { stack, device, frame: TxFrame::default(), held: false })
    }

    /// Puts on the link what there is to send, a batch at most; false if there was nothing.
    fn send(&mut self, now: Instant) -> io::Result<bool> {
        if self.stack.poll_timeout().is_some_and(|due| due <= now) {
            self.stack.handle_timeout(now);
        }
        let mut sent = 0;
        while sent < RX_BATCH_MAX && (self.held || self.stack.poll_transmit(now, INTERFACE, &mut self.frame))
        {
            match self.device.tx.transmit(now, &self.frame) {
                Ok(()) => self.held = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.held = true;
                    break;
                }
                Err(error) => return Err(error),
            }
            sent += 1;
        }
        Ok(sent > 0)
    }

    /// Takes a batch from the link; false if there was nothing.
    fn receive(&mut self, now: Instant) -> io::Result<bool> {
        let mut received = 0;
        while received < RX_BATCH_MAX
            && let Some(train) = self.device.rx.receive_train(now)?
        {
            received += self.stack.handle_train(now, INTERFACE, train);
        }
        if received > 0 {
            self.stack.end_batch(now);
        }
        // Whoever is ready is asked in turn anyway.
        while self.stack.poll_event().is_some() {}
        Ok(received > 0)
    }
}

/// None where a call would block.
fn would_block<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The first one that is added beside the loopback.
const INTERFACE: InterfaceId = InterfaceId(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_open_and_all_answer_and_a_stream_flows_beside_them() {
        let mut pair = Pair::new(1).unwrap();
        let idle = pair.open_many(200).unwrap();
        assert_eq!(idle.len(), 200);
        assert!(pair.transfer(Duration::from_millis(20)).unwrap() > 0.0);
        assert_eq!(pair.answers(&idle).unwrap(), 200);
    }

    #[test]
    fn smoltcp_transfers_too() {
        assert!(memory_smoltcp::best_transfer(Duration::from_millis(40)).unwrap() > 0.0);
    }
}
