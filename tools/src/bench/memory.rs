//! `bench memory`: two machines in memory on one thread, MTU 1500, checksums made and checked; no kernel at all.

use super::Settings;
use super::cpu;
use super::memory_smoltcp;
use super::relay::clock;
use super::rounds::Rounds;
use super::stage::{CLIENT, PORT, PREFIX_LEN, SERVER};
use super::table::{Better, Metric};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tapstack::frame::{Cause, RxFrame, TxFrame};
use tapstack::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind};
use tapstack::stack::{
    Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, RX_BATCH_MAX, Stack,
};
use tapstack::time::Instant;

/// What a transfer in memory is measured by.
pub(super) const METRICS: &[Metric] = &[Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher }];

/// Bytes that are written and read at a time.
pub(super) const CHUNK: usize = 64 << 10;

/// Chunks of the wire that are used in turn, a few more than what lies unread.
const CHUNKS: usize = 6;

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

/// Two machines of this stack and the wire between them.
pub(super) struct Pair {
    client: Stack,
    server: Stack,
    frame: TxFrame,
    wire: Wire,
}

/// Where frames are copied to on their way, since a wire has no references: chunks that are used in turn.
#[derive(Default)]
struct Wire {
    current: BytesMut,
    used: VecDeque<BytesMut>,
}

impl Wire {
    fn copy(&mut self, frame: &TxFrame) -> Bytes {
        if self.current.capacity() < frame.len() {
            let mut fresh = BytesMut::new();
            if self.used.len() >= CHUNKS
                && let Some(oldest) = self.used.pop_front()
            {
                fresh = oldest;
            }
            if !fresh.try_reclaim(CHUNK) {
                fresh = BytesMut::with_capacity(CHUNK);
            }
            self.used.push_back(std::mem::replace(&mut self.current, fresh));
        }
        self.current.extend_from_slice(frame.headers());
        for slice in &frame.payload {
            self.current.extend_from_slice(slice);
        }
        self.current.split().freeze()
    }
}

/// A connection, as both ends see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    client: SocketId,
    server: SocketId,
}

impl Pair {
    pub(super) fn new(seed: u64) -> io::Result<Pair> {
        Ok(Pair {
            client: machine(CLIENT, seed)?,
            server: machine(SERVER, !seed)?,
            frame: TxFrame::new(Cause::default()),
            wire: Wire::default(),
        })
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
            would_block(self.client.send(now, ends.client, &chunk, SendFlags::default()))?;
            self.carry(now);
            while let Some(len) =
                would_block(self.server.recv(now, ends.server, &mut buffer, RecvFlags::default()))?
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
                self.client.send(now, ends.client, b"?", SendFlags::default())?;
            }
            self.carry(now);
            let mut byte = [0];
            for ends in batch {
                if would_block(self.server.recv(now, ends.server, &mut byte, RecvFlags::default()))?
                    == Some(1)
                {
                    self.server.send(now, ends.server, b"!", SendFlags::default())?;
                }
            }
            self.carry(now);
            for ends in batch {
                let got = would_block(self.client.recv(now, ends.client, &mut byte, RecvFlags::default()))?;
                answered += usize::from(got == Some(1) && byte == *b"!");
            }
        }
        Ok(answered)
    }

    fn open(&mut self, port: u16, count: usize) -> io::Result<Vec<Ends>> {
        let address = SocketAddr::from((SERVER, port));
        let listener = self.server.socket(SocketKind::Stream)?;
        self.server.bind(listener, address)?;
        self.server.listen(clock(), listener, 2 * OPENING_MAX)?;
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let opening = (count - all.len()).min(OPENING_MAX);
            let mut clients = Vec::with_capacity(opening);
            for _ in 0..opening {
                let client = self.client.socket(SocketKind::Stream)?;
                match self.client.connect(clock(), client, address) {
                    Ok(()) | Err(Errno::EINPROGRESS) => clients.push(client),
                    Err(errno) => return Err(errno.into()),
                }
            }
            // Both sides number their connections alike: matched by the client's address.
            let mut left = PATIENCE;
            while !clients.is_empty() {
                left = left.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
                let now = clock();
                self.carry(now);
                while let Some((server, peer)) = would_block(self.server.accept(now, listener))? {
                    let local = |client: &SocketId| self.client.local_addr(*client).ok() == Some(peer);
                    let at = clients.iter().position(local).ok_or(io::ErrorKind::NotFound)?;
                    all.push(Ends { client: clients.swap_remove(at), server });
                }
            }
        }
        self.server.close(clock(), listener)?;
        Ok(all)
    }

    /// Carries frames both ways until neither machine has one.
    fn carry(&mut self, now: Instant) {
        let Pair { client, server, frame, wire } = self;
        loop {
            let there = carry(now, client, server, frame, wire);
            let back = carry(now, server, client, frame, wire);
            if !there && !back {
                return;
            }
        }
    }
}

/// One batch from one machine to the other; false if there was nothing.
fn carry(now: Instant, from: &mut Stack, to: &mut Stack, frame: &mut TxFrame, wire: &mut Wire) -> bool {
    if from.poll_timeout().is_some_and(|due| due <= now) {
        from.handle_timeout(now);
    }
    let mut carried = 0;
    while carried < RX_BATCH_MAX && from.poll_transmit(now, INTERFACE, frame) {
        carried += 1;
        let copy = wire.copy(frame);
        frame.payload.clear();
        to.handle_frame(now, INTERFACE, RxFrame::new(copy));
    }
    if carried > 0 {
        to.end_batch(now);
    }
    // Whoever is ready is asked in turn anyway.
    while from.poll_event().is_some() {}
    carried > 0
}

fn machine(address: Ipv4Addr, seed: u64) -> io::Result<Stack> {
    let now = clock();
    let mut stack = Stack::new(now, Config { seed, ..Config::default() });
    let [.., last] = address.octets();
    stack.add_interface(
        now,
        InterfaceConfig {
            name: "wire".to_owned(),
            medium: Medium::Ethernet,
            mac: MacAddr([0x02, 0x74, 0, 0, 0, last]),
            mtu: 1500,
            addresses: vec![Cidr::new(address, PREFIX_LEN)],
            offloads: Offloads::default(),
        },
    )?;
    Ok(stack)
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
