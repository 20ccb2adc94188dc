//! Records the frames of one or several machines as pcapng, in a bounded buffer that its owner drains.

use super::Observer;
use super::flow::FlowLimit;
use super::pcapng::{self, Direction, PacketMeta};
use crate::frame::{
    CauseKind, DropReason, Outcome, RxChecksum, RxFrame, TxChecksum, TxFrame, complete_checksum,
};
use crate::stack::{InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a capture is made.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Nanoseconds from 1970 to the zero of the stacks' clock. A simulated world takes [`SIM_EPOCH_UNIX_NANOS`].
    pub epoch_unix_nanos: u64,
    /// Bytes of each frame that are recorded at most.
    pub snaplen: u32,
    /// Ordinary packets that are recorded of each flow; as many notable ones (retransmissions, probes, drops), and
    /// every SYN, FIN and RST come on top. None records everything.
    pub flow_packets_max: Option<u32>,
    /// Bytes that wait to be taken at most. What doesn't fit is missed, and the next record says how much that was.
    pub buffer_bytes_max: usize,
    /// Bytes that the whole capture may have.
    pub total_bytes_max: u64,
    /// What made the capture, `tapstack VERSION` if it is empty.
    pub application: String,
}

impl Default for CaptureOptions {
    fn default() -> CaptureOptions {
        CaptureOptions {
            epoch_unix_nanos: SIM_EPOCH_UNIX_NANOS,
            snaplen: SNAPLEN_MAX,
            flow_packets_max: None,
            buffer_bytes_max: BUFFER_BYTES_DEFAULT,
            total_bytes_max: u64::MAX,
            application: String::new(),
        }
    }
}

/// Where simulated time starts: 2020-01-01 00:00:00 UTC, so that captures of one seed are the same to the byte.
pub const SIM_EPOCH_UNIX_NANOS: u64 = 1_577_836_800 * 1_000_000_000;
/// Room for captured bytes that nobody has taken yet, where nobody asked for another.
pub const BUFFER_BYTES_DEFAULT: usize = 16 * 1024 * 1024;
/// The most that Wireshark takes of one frame.
pub const SNAPLEN_MAX: u32 = 262_144;
/// What a record needs beside the frame and its comment, generously.
const RECORD_OVERHEAD: usize = 256;

/// A capture that is being made. Clones are the same capture.
#[derive(Clone)]
pub struct Capture(Arc<Mutex<Inner>>);

/// How far a capture is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureStats {
    /// Frames that were recorded.
    pub recorded: u64,
    /// Frames that were left out because enough of their flow was recorded.
    pub skipped: u64,
    /// Frames that were missed because the buffer, or the capture, was full.
    pub missed: u64,
    /// Bytes of the capture so far.
    pub bytes: u64,
}

struct Inner {
    options: CaptureOptions,
    buffer: Vec<u8>,
    stats: CaptureStats,
    machines: Vec<String>,
    interfaces: BTreeMap<(usize, InterfaceId), Interface>,
}

struct Interface {
    index: u32,
    medium: Medium,
    /// Missed since the last record of this interface.
    missed: u64,
}

impl Capture {
    /// A capture without any record yet.
    pub fn new(options: CaptureOptions) -> Capture {
        let mut inner = Inner {
            buffer: Vec::new(),
            stats: CaptureStats::default(),
            machines: Vec::new(),
            interfaces: BTreeMap::new(),
            options,
        };
        let version = concat!("tapstack ", env!("CARGO_PKG_VERSION"));
        let application = match inner.options.application.as_str() {
            "" => version,
            application => application,
        };
        pcapng::section_header(&mut inner.buffer, std::env::consts::ARCH, std::env::consts::OS, application);
        inner.stats.bytes = inner.buffer.len() as u64;
        Capture(Arc::new(Mutex::new(inner)))
    }

    /// An observer to give to the stack of this machine. Its interfaces are named `machine:interface`.
    pub fn observer(&self, machine: &str) -> CaptureObserver {
        let mut inner = self.lock();
        let machine = inner.machine(machine);
        let flows = inner.options.flow_packets_max.map(FlowLimit::new);
        CaptureObserver { capture: self.clone(), machine, flows }
    }

    /// Describes an interface of a machine. One that is not described before its first frame gets a plain name.
    pub fn add_interface(&self, machine: &str, id: InterfaceId, config: &InterfaceConfig) {
        let mut inner = self.lock();
        let machine = inner.machine(machine);
        inner.add_interface(machine, id, config);
    }

    /// The bytes that were captured since they were last taken. All of them in a row are a pcapng file.
    pub fn take(&self) -> Vec<u8> {
        core::mem::take(&mut self.lock().buffer)
    }

    /// How far the capture is.
    pub fn stats(&self) -> CaptureStats {
        self.lock().stats
    }

    /// A panic of somebody else's while it was recording leaves a half-written record at worst, at the end.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn machine(&mut self, name: &str) -> usize {
        if let Some(at) = self.machines.iter().position(|known| known == name) {
            return at;
        }
        self.machines.push(name.to_owned());
        self.machines.len() - 1
    }

    fn add_interface(&mut self, machine: usize, id: InterfaceId, config: &InterfaceConfig) {
        let index = self.interfaces.len() as u32;
        if self.interfaces.contains_key(&(machine, id)) {
            return;
        }
        self.interfaces.insert((machine, id), Interface { index, medium: config.medium, missed: 0 });
        let name = match self.machines[machine].as_str() {
            "" => config.name.clone(),
            machine => format!("{machine}:{}", config.name),
        };
        let mut description = format!("MTU {}", config.mtu);
        for cidr in &config.addresses {
            description += &format!(", {}/{}", cidr.address, cidr.prefix_len);
        }
        let before = self.buffer.len();
        pcapng::interface(&mut self.buffer, &name, &description, config, self.options.snaplen);
        self.stats.bytes += (self.buffer.len() - before) as u64;
    }

    /// An interface's medium; one that nobody described is added with what its number tells.
    fn medium(&mut self, machine: usize, id: InterfaceId) -> Medium {
        if let Some(interface) = self.interfaces.get(&(machine, id)) {
            return interface.medium;
        }
        let loopback = id == InterfaceId::LOOPBACK;
        let medium = if loopback { Medium::Ip } else { Medium::Ethernet };
        let name = if loopback { "lo".to_owned() } else { id.to_string() };
        let unknown = InterfaceConfig {
            name,
            medium,
            mac: MacAddr::default(),
            mtu: u16::MAX,
            addresses: Vec::new(),
            offloads: Offloads::default(),
        };
        self.add_interface(machine, id, &unknown);
        medium
    }

    fn record(&mut self, key: (usize, InterfaceId), now: Instant, seen: Seen<'_>) {
        let room = seen.len.min(self.options.snaplen as usize) + RECORD_OVERHEAD;
        let fits = self.buffer.len() + room <= self.options.buffer_bytes_max
            && self.stats.bytes + room as u64 <= self.options.total_bytes_max;
        let Some(interface) = self.interfaces.get_mut(&key) else { return };
        if !fits {
            interface.missed += 1;
            self.stats.missed += 1;
            return;
        }
        let meta = PacketMeta {
            interface: interface.index,
            unix_nanos: self.options.epoch_unix_nanos.saturating_add(now.as_nanos()),
            direction: seen.direction,
            packet_id: seen.packet_id,
            dropped: seen.dropped,
            missed: core::mem::take(&mut interface.missed),
            comment: &seen.comment,
        };
        let before = self.buffer.len();
        pcapng::packet(&mut self.buffer, meta, self.options.snaplen, |out| {
            let start = out.len();
            out.extend_from_slice(seen.headers);
            seen.payload.iter().for_each(|slice| out.extend_from_slice(slice));
            if let Some((sum_start, offset)) = seen.partial {
                complete_checksum(&mut out[start..], sum_start, offset);
            }
        });
        self.stats.bytes += (self.buffer.len() - before) as u64;
        self.stats.recorded += 1;
    }
}

/// A frame as it is recorded.
struct Seen<'a> {
    direction: Direction,
    packet_id: u64,
    dropped: bool,
    comment: Comment<'a>,
    headers: &'a [u8],
    payload: &'a [bytes::Bytes],
    len: usize,
    partial: Option<(u16, u16)>,
}

/// What is shown beside a packet.
enum Comment<'a> {
    Sent(&'a TxFrame),
    Received(&'a RxFrame, &'a Outcome),
}

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gso = match self {
            Comment::Sent(frame) => {
                write!(f, "{}", frame.cause)?;
                frame.gso
            }
            Comment::Received(frame, outcome) => {
                write!(f, "{outcome}")?;
                frame.gso
            }
        };
        gso.map_or(Ok(()), |gso| write!(f, "; a super-frame of segments of {} bytes", gso.size))
    }
}

/// Watches one machine's frames for a [`Capture`]. It does no I/O.
pub struct CaptureObserver {
    capture: Capture,
    machine: usize,
    flows: Option<FlowLimit>,
}

impl CaptureObserver {
    fn record(&mut self, now: Instant, id: InterfaceId, notable: bool, headers: &[u8], seen: Seen<'_>) {
        let mut inner = self.capture.lock();
        let link_len = match inner.medium(self.machine, id) {
            Medium::Ethernet => ETHERNET_LEN,
            Medium::Ip => 0,
        };
        if let Some(flows) = &mut self.flows
            && !flows.allows(id.0, headers.get(link_len..).unwrap_or(&[]), notable)
        {
            inner.stats.skipped += 1;
            return;
        }
        inner.record((self.machine, id), now, seen);
    }
}

/// Bytes of an Ethernet header.
const ETHERNET_LEN: usize = 14;

impl Observer for CaptureObserver {
    fn received(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame, outcome: &Outcome) {
        let dropped = match outcome {
            // Not every drop is a verdict on the packet: what the link shows to everybody is just not ours.
            Outcome::Dropped(reason) => {
                !matches!(reason, DropReason::NotForThisStation | DropReason::ArpNotForUs)
            }
            _ => false,
        };
        let partial = match frame.checksum {
            RxChecksum::Partial { start, offset } => Some((start, offset)),
            RxChecksum::Unverified | RxChecksum::Verified => None,
        };
        let seen = Seen {
            direction: Direction::In,
            packet_id: frame.id.0,
            dropped,
            comment: Comment::Received(frame, outcome),
            headers: &frame.bytes,
            payload: &[],
            len: frame.bytes.len(),
            partial,
        };
        self.record(now, interface, dropped, &frame.bytes, seen);
    }

    fn sent(&mut self, now: Instant, interface: InterfaceId, frame: &TxFrame) {
        let ordinary = matches!(
            frame.cause.kind,
            CauseKind::Data | CauseKind::Ack(_) | CauseKind::Datagram | CauseKind::Forwarded
        );
        let partial = match frame.checksum {
            TxChecksum::Partial { start, offset } => Some((start, offset)),
            TxChecksum::Complete => None,
        };
        let seen = Seen {
            direction: Direction::Out,
            packet_id: frame.id.0,
            dropped: false,
            comment: Comment::Sent(frame),
            headers: frame.headers(),
            payload: &frame.payload,
            len: frame.len(),
            partial,
        };
        // A frame that is passed on has its IP header in the payload: it is then looked at in one piece.
        let flat;
        let headers = if frame.headers().len() > ETHERNET_LEN || self.flows.is_none() {
            frame.headers()
        } else {
            flat = leading_bytes(frame);
            &flat
        };
        self.record(now, interface, !ordinary, headers, seen);
    }
}

/// The first bytes of a frame, enough for any IPv4 and TCP header.
fn leading_bytes(frame: &TxFrame) -> Vec<u8> {
    const ENOUGH: usize = ETHERNET_LEN + 60 + 20;
    let slices = core::iter::once(frame.headers()).chain(frame.payload.iter().map(|slice| &slice[..]));
    slices.flatten().copied().take(ENOUGH).collect()
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
