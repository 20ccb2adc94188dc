//! UDP: datagram sockets, and who gets which datagram.
//!
//! - **In**: datagrams ([`Udp::input`]), ICMP errors about ours ([`Udp::icmp_error`]), calls on sockets.
//! - **Out**: datagrams, pulled one at a time, or as a super-frame of those that follow each other alike where the
//!   interface takes such and nobody watches ([`Udp::transmit`]).
//! - **Keeps**: which socket is bound to which port ([`demux`]); each socket's queues ([`datagrams`]).
//! - **Timers**: none.
//! - **RFC**: 768, 1122 section 4.1, 6056 (ports).
//! - **Never**: sends without a checksum, or answers a broadcast that nobody wants.

mod calls;
pub(crate) mod datagrams;
mod demux;
mod input;
mod output;
mod settings;
#[cfg(test)]
mod super_frames_tests;
#[cfg(test)]
mod tests;

pub use datagrams::ErrorQueueEntry;
pub(crate) use datagrams::{Arena, Datagrams};
pub(crate) use demux::{Binding, Demux};

use crate::stack::{Config, Context};

/// UDP's state.
pub(crate) struct Udp {
    demux: Demux,
    arena: Arena,
    /// The default time to live.
    ttl: u8,
}

/// A UDP socket.
pub(crate) struct UdpSocket {
    pub(crate) datagrams: Datagrams,
}

impl Udp {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Udp {
        Udp { demux: Demux::new(&cx.keys), arena: Arena::default(), ttl: config.ttl }
    }

    pub(crate) fn socket(&self) -> UdpSocket {
        UdpSocket { datagrams: Datagrams::new(self.ttl) }
    }
}
