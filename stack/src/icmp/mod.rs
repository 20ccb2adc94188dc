//! ICMP: answers to pings, errors in and out, and echo sockets, which are how programs ping.
//!
//! - **In**: ICMP messages ([`Icmp::input`]); packets that went wrong ([`Icmp::report`]); calls on echo sockets.
//! - **Out**: echo replies and errors; [`IcmpNotice`]s for the transport whose packet an error quotes; echo requests,
//!   pulled ([`Icmp::transmit`]).
//! - **Keeps**: which socket has which identifier; the allowance of errors.
//! - **Timers**: none: the allowance is counted when it is used.
//! - **RFC**: 792, 1122 section 3.2.2 (when not to answer), 1812 section 4.3 (quotes, rates), 1191 section 4 (the next
//!   hop's MTU), 5927 (what to believe of an error).
//! - **Never**: answers an error with an error, or believes an error that quotes nothing of ours.

mod echo;
mod errors;
mod input;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use echo::EchoSocket;
pub(crate) use report::ErrorOut;

use crate::hash::KeyedMap;
use crate::socket::SocketId;
use crate::stack::{Config, Context};
use crate::udp::Arena;
use core::net::{IpAddr, SocketAddr};

/// ICMP's state.
pub(crate) struct Icmp {
    allowance: report::Allowance,
    /// Which echo socket has which identifier.
    idents: KeyedMap<u16, SocketId>,
    arena: Arena,
    /// The default time to live.
    ttl: u8,
}

impl Icmp {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Icmp {
        Icmp {
            allowance: report::Allowance::new(cx.now),
            idents: KeyedMap::with_hasher(cx.keys.maps),
            arena: Arena::default(),
            ttl: config.ttl,
        }
    }
}

/// What became of an ICMP message that came in.
#[derive(Debug)]
pub(crate) enum Input {
    /// It is done with.
    Done(crate::frame::Outcome),
    /// An error about a packet of ours, for the protocol that sent it.
    Notice { protocol: u8, notice: IcmpNotice },
}

/// An ICMP error that quotes one of our packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpNotice {
    /// Addresses and ports as the quoted packet had them: `local` is its source. An echo request has its identifier
    /// for a local port, and none for a remote one.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The quoted sequence number, TCP's or an echo request's; 0 on UDP.
    pub(crate) sequence: u32,
    pub(crate) kind: IcmpErrorKind,
    /// Who sent the error.
    pub(crate) from: IpAddr,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IcmpErrorKind {
    /// No route to the network.
    NetUnreachable,
    /// The last router could not reach the host.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nobody is on the port.
    PortUnreachable,
    /// The packet may not be fragmented, and has to be.
    FragmentationNeeded {
        /// The next hop's MTU in bytes; 0 where an old router did not say.
        mtu: u16,
    },
    /// Filtered by policy.
    Prohibited,
    /// Its time to live ran out on the way, or its fragments did not come together.
    TimeExceeded,
    /// Something in its header made no sense to somebody.
    ParameterProblem,
}
