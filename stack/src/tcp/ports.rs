//! Which local ports are bound, and how a free one is found (RFC 6056).

use crate::hash::KeyedMap;
use crate::socket::{Errno, SocketId};
use crate::stack::Context;
use core::hash::BuildHasher;
use core::net::IpAddr;
use smallvec::SmallVec;

/// A socket that is bound to a port.
#[derive(Clone, Copy, Debug)]
struct Binding {
    address: IpAddr,
    socket: SocketId,
    reuse_address: bool,
    reuse_port: bool,
    listening: bool,
}

/// What a port is used for.
#[derive(Default)]
struct PortUse {
    bindings: SmallVec<[Binding; 1]>,
    /// Connections whose local port this is, accepted ones and TIME-WAIT entries too.
    connections: u32,
}

/// All ports in use.
pub(crate) struct Ports {
    ports: KeyedMap<u16, PortUse>,
    range: (u16, u16),
    /// Moves the search on, so that ports that were just freed rest (RFC 6056 section 3.3.3, algorithm 3).
    next: u32,
}

/// Ports that are tried before a call fails.
const TRIES_MAX: u32 = 28_232;

impl Ports {
    pub(crate) fn new(cx: &Context, range: (u16, u16)) -> Ports {
        Ports { ports: KeyedMap::with_hasher(cx.keys.maps), range, next: 0 }
    }

    /// Binds a socket to an address and port. Errors: `EADDRINUSE`.
    pub(crate) fn bind(
        &mut self,
        address: IpAddr,
        port: u16,
        socket: SocketId,
        reuse_address: bool,
        reuse_port: bool,
    ) -> Result<(), Errno> {
        let usage = self.ports.entry(port).or_default();
        let conflict = usage.bindings.iter().any(|other| {
            let overlap =
                other.address == address || other.address.is_unspecified() || address.is_unspecified();
            // POSIX leaves it open, Linux decides: reuse both ways, and nobody listens.
            let shared =
                other.reuse_port && reuse_port || other.reuse_address && reuse_address && !other.listening;
            overlap && !shared
        });
        if conflict || (usage.connections > 0 && usage.bindings.is_empty() && !reuse_address) {
            return Err(Errno::EADDRINUSE);
        }
        usage.bindings.push(Binding { address, socket, reuse_address, reuse_port, listening: false });
        Ok(())
    }

    /// A bound socket begins to listen. Errors: `EADDRINUSE` where another listens there without `SO_REUSEPORT`.
    pub(crate) fn listen(&mut self, port: u16, socket: SocketId) -> Result<(), Errno> {
        let Some(usage) = self.ports.get_mut(&port) else { return Err(Errno::EINVAL) };
        let Some(at) = usage.bindings.iter().position(|binding| binding.socket == socket) else {
            return Err(Errno::EINVAL);
        };
        let this = usage.bindings[at];
        let taken = usage.bindings.iter().any(|other| {
            let overlap = other.address == this.address
                || other.address.is_unspecified()
                || this.address.is_unspecified();
            other.socket != socket && other.listening && overlap && !(other.reuse_port && this.reuse_port)
        });
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        usage.bindings[at].listening = true;
        Ok(())
    }

    pub(crate) fn unbind(&mut self, port: u16, socket: SocketId) {
        if let Some(usage) = self.ports.get_mut(&port) {
            usage.bindings.retain(|binding| binding.socket != socket);
            self.forget_unused(port);
        }
    }

    /// A connection or TIME-WAIT entry uses the port from now on.
    pub(crate) fn connected(&mut self, port: u16) {
        self.ports.entry(port).or_default().connections += 1;
    }

    /// It doesn't any more.
    pub(crate) fn disconnected(&mut self, port: u16) {
        if let Some(usage) = self.ports.get_mut(&port) {
            usage.connections = usage.connections.saturating_sub(1);
            self.forget_unused(port);
        }
    }

    /// Whether a socket was bound to the port by name. Connections that only use it may share it.
    pub(crate) fn is_bound(&self, port: u16) -> bool {
        self.ports.get(&port).is_some_and(|usage| !usage.bindings.is_empty())
    }

    /// The socket stays bound, but doesn't listen any more.
    pub(crate) fn stop_listening(&mut self, port: u16, socket: SocketId) {
        if let Some(usage) = self.ports.get_mut(&port) {
            usage.bindings.iter_mut().filter(|b| b.socket == socket).for_each(|b| b.listening = false);
        }
    }

    /// Whether nobody uses the port at all.
    pub(crate) fn is_unused(&self, port: u16) -> bool {
        !self.ports.contains_key(&port)
    }

    /// A free ephemeral port (RFC 6056 section 3.3.3): the search starts at a hash of what the port is for, so that
    /// ports are hard to guess, and moves on with every call. Errors: `EADDRNOTAVAIL`.
    pub(crate) fn pick<H: core::hash::Hash>(
        &mut self,
        cx: &Context,
        purpose: H,
        mut is_free: impl FnMut(&Ports, u16) -> bool,
    ) -> Result<u16, Errno> {
        let (first, last) = self.range;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let start = (cx.keys.ports.hash_one(purpose) as u32).wrapping_add(self.next);
        for step in 0..count.min(TRIES_MAX) {
            let port = first + (start.wrapping_add(step) % count) as u16;
            if is_free(self, port) {
                self.next = self.next.wrapping_add(step + 1);
                return Ok(port);
            }
        }
        Err(Errno::EADDRNOTAVAIL)
    }

    fn forget_unused(&mut self, port: u16) {
        if self.ports.get(&port).is_some_and(|usage| usage.bindings.is_empty() && usage.connections == 0) {
            self.ports.remove(&port);
        }
    }
}
