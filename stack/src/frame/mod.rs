//! Frames on their way in and out: owned buffers with what the layers know about them beside the bytes.
//!
//! - **In**: a device makes an [`RxFrame`] from what it read; the bytes are reference-counted, so upper layers
//!   keep payload slices without copying.
//! - **Out**: a layer makes a [`TxFrame`] with its header and payload slices; each lower layer *prepends* its own
//!   header in the headroom; the device gathers headers and slices with one `writev`.
//! - **Keeps**: a packet id that survives simulated wires, the checksum's state, the segmentation that is left to do.
//! - **Timers**: none.
//! - **RFC**: none; each layer's own names its causes and outcomes.
//! - **Never**: copies payload.

mod cause;
mod flatten;
mod outcome;

use bytes::Bytes;
use core::fmt;
use smallvec::SmallVec;

pub use cause::{AckWhy, ArpWhy, Cause, CauseKind, RetransmitWhy, Riders};
pub use flatten::complete_checksum;
pub use outcome::{DropReason, Outcome};

/// Identifies one packet through a capture, across forwarding and simulated wires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub u64);

impl fmt::Display for PacketId {
    /// `machine:number`, or the number alone where ids are not shared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> PacketId::MACHINE_SHIFT {
            0 => write!(f, "{}", self.0),
            machine => write!(f, "{machine}:{}", self.0 & ((1 << PacketId::MACHINE_SHIFT) - 1)),
        }
    }
}

impl PacketId {
    /// The high bits name the machine that made the packet, so that ids of one simulated world never collide.
    pub const MACHINE_SHIFT: u32 = 40;
}

/// What is known about a received frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing: the stack has to verify it.
    #[default]
    Unverified,
    /// The device vouches for it.
    Verified,
    /// A local sender left it to be completed: the field at `start + offset` holds the pseudo-header's sum, so
    /// the bytes never crossed a wire and are taken as they are.
    Partial {
        /// Where the sum starts, from the start of the frame, in bytes.
        start: u16,
        /// Where the checksum field is, from `start`, in bytes.
        offset: u16,
    },
}

/// What is left to do for a transmitted frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxChecksum {
    /// Nothing: the frame is as it goes on the wire.
    #[default]
    Complete,
    /// The field holds the pseudo-header's sum (not inverted); device or wire completes it.
    Partial {
        /// Where the sum starts, from the start of the frame, in bytes.
        start: u16,
        /// Where the checksum field is, from `start`, in bytes.
        offset: u16,
    },
}

/// The kind of segmentation that a super-frame stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4: each segment repeats the headers with its own sequence number and IP id.
    Tcp4,
    /// UDP over IPv4 (USO): each segment is a datagram of its own.
    Udp4,
}

/// A frame that stands for many: `payload.len()` is cut into pieces of `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// How the headers are repeated.
    pub kind: GsoKind,
    /// Payload bytes in each segment but the last.
    pub size: u16,
}

/// A frame that came in.
#[derive(Clone, Debug, Default)]
pub struct RxFrame {
    /// The whole frame as the interface's medium defines it: from the Ethernet header, or from the IP header.
    pub bytes: Bytes,
    /// Kept from the sender's frame on simulated wires; 0 asks the stack to number it.
    pub id: PacketId,
    /// The transport checksum's state.
    pub checksum: RxChecksum,
    /// Set when the frame is a super-frame.
    pub gso: Option<Gso>,
}

impl RxFrame {
    /// A frame of which nothing but its bytes is known.
    pub fn new(bytes: impl Into<Bytes>) -> RxFrame {
        RxFrame { bytes: bytes.into(), ..RxFrame::default() }
    }
}

/// Bytes of headers that fit in front of a payload: Ethernet (14), IPv4 with options (60), TCP with options (60),
/// rounded up.
pub const HEADROOM: usize = 144;

/// Payload slices that a frame holds before its list moves to the heap.
pub const SLICES_INLINE: usize = 4;

/// A frame on its way out: headers, built back to front, and payload slices by reference.
#[derive(Clone, Debug)]
pub struct TxFrame {
    headers: [u8; HEADROOM],
    start: u16,
    /// The payload, in order. Its bytes belong to a send queue, a forwarded frame or an ICMP quote. A payload of few
    /// bytes may lie behind the headers instead: a copy costs less than a reference then.
    pub payload: SmallVec<[Bytes; SLICES_INLINE]>,
    /// Set by the stack when the frame leaves it.
    pub id: PacketId,
    /// Why this frame exists.
    pub cause: Cause,
    /// What is left to do for the transport checksum.
    pub checksum: TxChecksum,
    /// Set when the frame is a super-frame.
    pub gso: Option<Gso>,
}

impl Default for TxFrame {
    fn default() -> TxFrame {
        TxFrame::new(Cause::default())
    }
}

impl TxFrame {
    /// An empty frame with its whole headroom free.
    pub fn new(cause: Cause) -> TxFrame {
        TxFrame {
            headers: [0; HEADROOM],
            start: HEADROOM as u16,
            payload: SmallVec::new(),
            id: PacketId::default(),
            cause,
            checksum: TxChecksum::Complete,
            gso: None,
        }
    }

    /// Empties the frame for reuse; the payload list keeps its capacity.
    pub fn reset(&mut self, cause: Cause) {
        self.start = HEADROOM as u16;
        self.payload.clear();
        self.id = PacketId::default();
        self.cause = cause;
        self.checksum = TxChecksum::Complete;
        self.gso = None;
    }

    /// The headers that were written so far, outermost first.
    pub fn headers(&self) -> &[u8] {
        &self.headers[usize::from(self.start)..]
    }

    /// The headers that were written so far, to be changed.
    pub fn headers_mut(&mut self) -> &mut [u8] {
        &mut self.headers[usize::from(self.start)..]
    }

    /// Makes room for `len` more header bytes in front, and returns them, zeroed.
    ///
    /// A partial checksum's `start`, which counts from the front, moves along.
    ///
    /// Panics if the headroom is used up: header sizes are the stack's own, never a peer's.
    pub fn prepend(&mut self, len: usize) -> &mut [u8] {
        let start = usize::from(self.start);
        assert!(len <= start, "headroom of {HEADROOM} bytes holds every header that the stack writes");
        self.start = (start - len) as u16;
        if let TxChecksum::Partial { start, .. } = &mut self.checksum {
            *start += len as u16;
        }
        let room = &mut self.headers[start - len..start];
        room.fill(0);
        room
    }

    /// As [`TxFrame::prepend`], with the bytes at hand.
    pub(crate) fn prepend_bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        let end = usize::from(self.start);
        let room = self.headers[..end].last_chunk_mut::<N>();
        *room.expect("the headroom holds every header that the stack writes") = *bytes;
        self.start -= N as u16;
        if let TxChecksum::Partial { start, .. } = &mut self.checksum {
            *start += N as u16;
        }
    }

    /// Bytes of the payload's slices; a payload of few bytes may lie behind the headers instead.
    pub fn payload_len(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// How many frames it stands for: 1, unless it is a super-frame.
    pub fn segments(&self) -> usize {
        self.gso.map_or(1, |gso| self.payload_len().div_ceil(usize::from(gso.size).max(1)).max(1))
    }

    /// Bytes of the whole frame.
    pub fn len(&self) -> usize {
        self.headers().len() + self.payload_len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in one piece. It copies: for tests, captures and simulated wires.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(self.headers());
        for slice in &self.payload {
            bytes.extend_from_slice(slice);
        }
        bytes
    }
}
