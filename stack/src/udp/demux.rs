//! Which socket a datagram is for.

use crate::hash::{KeyedState, WordsMap};
use crate::socket::{Errno, SocketId};
use crate::stack::Keys;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};
use smallvec::SmallVec;

/// A bound socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) id: SocketId,
    /// Its local address; unspecified for all of ours.
    pub(crate) address: IpAddr,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
}

/// All bound sockets, by port, and the connected ones by both addresses too.
pub(crate) struct Demux {
    /// Chooses among sockets that share a port.
    choice: KeyedState,
    ports: WordsMap<u16, Port>,
    connected: WordsMap<(SocketAddr, SocketAddr), SocketId>,
}

#[derive(Default)]
struct Port {
    /// Sockets that take datagrams from anybody, in the order of their binding.
    open: SmallVec<[Binding; 1]>,
    /// Sockets that take them from their peer only.
    connected: Vec<Binding>,
}

impl Demux {
    pub(crate) fn new(keys: &Keys) -> Demux {
        Demux {
            choice: keys.maps,
            ports: WordsMap::with_hasher(keys.words),
            connected: WordsMap::with_hasher(keys.words),
        }
    }

    /// Whether nobody is bound to a port.
    pub(super) fn is_free(&self, port: u16) -> bool {
        !self.ports.contains_key(&port)
    }

    /// Errors: `EADDRINUSE`, where sockets with overlapping addresses don't all agree to share.
    pub(crate) fn bind(&mut self, port: u16, binding: Binding) -> Result<(), Errno> {
        let entry = self.ports.entry(port).or_default();
        let overlaps = |other: &Binding| {
            other.address == binding.address
                || other.address.is_unspecified()
                || binding.address.is_unspecified()
        };
        let shares = |other: &Binding| {
            (other.reuse_address && binding.reuse_address) || (other.reuse_port && binding.reuse_port)
        };
        if entry.open.iter().chain(&entry.connected).any(|other| overlaps(other) && !shares(other)) {
            return Err(Errno::EADDRINUSE);
        }
        entry.open.push(binding);
        Ok(())
    }

    /// A bound socket connects (again): it takes datagrams of this peer only.
    pub(crate) fn connect(
        &mut self,
        id: SocketId,
        local: SocketAddr,
        before: Option<(SocketAddr, SocketAddr)>,
        peer: SocketAddr,
    ) {
        if let Some(before) = before {
            self.forget(id, before);
        }
        if let Some(port) = self.ports.get_mut(&local.port())
            && let Some(at) = port.open.iter().position(|binding| binding.id == id)
        {
            let binding = Binding { address: local.ip(), ..port.open.remove(at) };
            port.connected.push(binding);
        }
        self.connected.insert((local, peer), id);
    }

    pub(super) fn remove(&mut self, id: SocketId, local: SocketAddr, peer: Option<SocketAddr>) {
        if let Some(peer) = peer {
            self.forget(id, (local, peer));
        }
        if let Some(port) = self.ports.get_mut(&local.port()) {
            port.open.retain(|binding| binding.id != id);
            if let Some(at) = port.connected.iter().position(|binding| binding.id == id) {
                port.connected.swap_remove(at);
            }
            if port.open.is_empty() && port.connected.is_empty() {
                self.ports.remove(&local.port());
            }
        }
    }

    /// The socket for a unicast datagram: the connected one, else one with this very address, else one with any. Among
    /// equals that share a port by `SO_REUSEPORT`, the flow's hash decides; else the one that was bound last.
    /// `accepts` may refuse a candidate.
    pub(crate) fn find(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        mut accepts: impl FnMut(SocketId) -> bool,
    ) -> Option<SocketId> {
        if let Some(&id) = self.connected.get(&(local, remote))
            && accepts(id)
        {
            return Some(id);
        }
        let port = self.ports.get(&local.port())?;
        let mut best: SmallVec<[&Binding; 4]> = SmallVec::new();
        for wanted in [Some(local.ip()), None] {
            best.extend(port.open.iter().filter(|binding| {
                let fits = wanted.map_or(binding.address.is_unspecified(), |ip| binding.address == ip);
                fits && accepts(binding.id)
            }));
            if !best.is_empty() {
                break;
            }
        }
        let last = best.last()?;
        if best.len() > 1 && last.reuse_port {
            let hash = self.choice.hash_one((local, remote)) as usize;
            return best.get(hash % best.len()).map(|binding| binding.id);
        }
        Some(last.id)
    }

    /// All sockets that a datagram to many hosts is for.
    pub(super) fn find_all(&self, port: u16, remote: SocketAddr) -> SmallVec<[SocketId; 4]> {
        let open = self.ports.get(&port).into_iter().flat_map(|port| &port.open);
        let all = open.filter(|binding| binding.address.is_unspecified()).map(|binding| binding.id);
        let connected = self.ports.get(&port).into_iter().flat_map(|port| &port.connected);
        let of_peer = connected.map(|binding| (SocketAddr::new(binding.address, port), binding.id));
        all.chain(
            of_peer
                .filter(|&(local, id)| self.connected.get(&(local, remote)) == Some(&id))
                .map(|(_, id)| id),
        )
        .collect()
    }

    fn forget(&mut self, id: SocketId, pair: (SocketAddr, SocketAddr)) {
        if self.connected.get(&pair) == Some(&id) {
            self.connected.remove(&pair);
        }
    }
}
