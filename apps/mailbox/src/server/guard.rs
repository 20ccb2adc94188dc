//! Who a peer is, and the token that says that it receives where it says it is.

use siphasher::sip::SipHasher24;
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;

/// Whom a host talks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Whoever has this address, by datagrams.
    Udp(SocketAddr),
    /// The other end of a connection, by its number.
    Tcp(u64),
    /// A program on the host itself.
    Local(u64),
}

/// Makes tokens: a keyed hash of a peer's address, which nobody can know without having received it there. Nothing has
/// to be kept for a peer that only asks for one.
#[derive(Debug)]
pub(super) struct Guard {
    hasher: SipHasher24,
}

impl Guard {
    pub(super) fn new(secret: [u8; 16]) -> Guard {
        Guard { hasher: SipHasher24::new_with_key(&secret) }
    }

    /// A peer's token; never 0, which stands for none.
    pub(super) fn token(&self, peer: Peer) -> u64 {
        let mut hasher = self.hasher;
        peer.hash(&mut hasher);
        hasher.finish().max(1)
    }
}
