//! Wires: what they do to frames, and one direction of one.

use crate::device::impair::{Link, Passage, corrupted};
use crate::device::{Impairment, ImpairmentCounts};
use crate::frame::RxFrame;
use crate::stack::{InterfaceId, Medium};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::fmt;

/// The shortest time that a frame takes over a wire: no frame arrives in the instant of its sending.
pub const DELAY_MIN: Duration = Duration::from_micros(1);

/// What a wire does to the frames that cross it, in each direction by itself.
///
/// Probabilities are from 0 to 1. The default is a perfect Ethernet cable with a delay of [`DELAY_MIN`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// How long a frame takes from its last bit in to its last bit out; at least [`DELAY_MIN`].
    pub delay: Duration,
    /// Up to how much longer it takes, evenly distributed; frames do not overtake each other by it.
    pub jitter: Duration,
    /// Bits a second; 0 for no limit.
    pub rate_bits_per_s: u64,
    /// Bytes that wait for the rate at most; what doesn't fit is dropped.
    pub queue_bytes_max: usize,
    /// Probability that a frame is lost.
    pub loss: f64,
    /// Of so many frames exactly one is lost, always the same distance apart; 0 for none.
    pub loss_period: u64,
    /// Probability that a frame comes out twice.
    pub duplicate: f64,
    /// Probability that a bit of a frame is flipped, behind its link header.
    pub corrupt: f64,
    /// Probability that a frame is held back by [`Wire::reorder_delay`], so that later ones overtake it.
    pub reorder: f64,
    /// How much longer than the others a held-back frame takes.
    pub reorder_delay: Duration,
    /// The largest IP packet that it carries, in bytes.
    pub mtu: u16,
    /// What its frames look like.
    pub medium: Medium,
}

impl Default for Wire {
    fn default() -> Wire {
        let none = Impairment::default();
        Wire {
            delay: DELAY_MIN,
            jitter: none.jitter,
            rate_bits_per_s: none.rate_bits_per_s,
            queue_bytes_max: none.queue_bytes_max,
            loss: none.loss,
            loss_period: none.loss_period,
            duplicate: none.duplicate,
            corrupt: none.corrupt,
            reorder: none.reorder,
            reorder_delay: none.reorder_delay,
            mtu: 1500,
            medium: Medium::Ethernet,
        }
    }
}

impl From<&Wire> for Impairment {
    fn from(wire: &Wire) -> Impairment {
        Impairment {
            loss: wire.loss,
            loss_period: wire.loss_period,
            duplicate: wire.duplicate,
            corrupt: wire.corrupt,
            reorder: wire.reorder,
            reorder_delay: wire.reorder_delay,
            delay: wire.delay.max(DELAY_MIN),
            jitter: wire.jitter,
            rate_bits_per_s: wire.rate_bits_per_s,
            queue_bytes_max: wire.queue_bytes_max,
        }
    }
}

/// Names a wire of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireId(pub(super) u32);

/// What happened to the frames that entered one direction of a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireCounts {
    /// How often each impairment really occurred.
    pub impairments: ImpairmentCounts,
    /// Frames that were dropped because they exceed the wire's MTU (from a switch with a wider port).
    pub too_long: u64,
}

/// Where a direction of a wire begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Machine { machine: u32, interface: InterfaceId },
    Switch { switch: u32, port: u32 },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Machine { machine, interface } => write!(f, "machine {machine} {interface}"),
            End::Switch { switch, port } => write!(f, "switch {switch} port {port}"),
        }
    }
}

/// One direction of a wire.
pub(super) struct Lane {
    pub(super) to: End,
    link: Link,
    mtu: u16,
    header_len: usize,
    too_long: u64,
}

impl Lane {
    pub(super) fn new(to: End, wire: &Wire, seed: u64) -> Lane {
        let header_len = match wire.medium {
            Medium::Ethernet => ETHERNET_HEADER_LEN,
            Medium::Ip => 0,
        };
        Lane { to, link: Link::new(Impairment::from(wire), seed), mtu: wire.mtu, header_len, too_long: 0 }
    }

    pub(super) fn set_impairment(&mut self, impairment: Impairment) {
        self.link.set_impairment(impairment);
    }

    pub(super) fn counts(&self) -> WireCounts {
        WireCounts { impairments: *self.link.counts(), too_long: self.too_long }
    }

    /// A frame of `len` bytes enters: when does what come out?
    pub(super) fn send(&mut self, now: Instant, len: usize) -> Option<Passage> {
        if len > usize::from(self.mtu) + self.header_len {
            self.too_long += 1;
            return None;
        }
        Some(self.link.send(now, len))
    }

    /// The frame as it comes out, with the bit flipped that [`Lane::send`] chose.
    pub(super) fn deliver(&self, frame: &RxFrame, corrupt: Option<u32>) -> RxFrame {
        let bytes: Bytes = match corrupt {
            Some(pick) => corrupted(&frame.bytes, self.header_len, pick),
            None => frame.bytes.clone(),
        };
        RxFrame { bytes, ..frame.clone() }
    }
}

const ETHERNET_HEADER_LEN: usize = 14;
