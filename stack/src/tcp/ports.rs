//! Which local ports are bound, and how a free one is found (RFC 6056).

use crate::hash::WordsMap;
use crate::socket::{Errno, SocketId};
use crate::stack::{Context, Ports as Allocator};
use crate::wire::tcp as wire;
use core::hash::Hash;
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

/// Connections that use a port alike.
#[derive(Clone, Copy, Debug)]
struct Connected {
    name: PortName,
    count: u32,
}

/// How a connection has its local port, as [`Ports`] counts it: for whoever binds beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortName {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
}

/// What a port is used for.
#[derive(Default)]
struct PortUse {
    bindings: SmallVec<[Binding; 1]>,
    /// Connections whose local port this is, accepted ones and TIME-WAIT entries too.
    connections: SmallVec<[Connected; 1]>,
}

/// All ports in use.
pub(crate) struct Ports {
    ports: WordsMap<u16, PortUse>,
    range: (u16, u16),
}

impl Ports {
    pub(crate) fn new(cx: &Context, range: (u16, u16)) -> Ports {
        Ports { ports: WordsMap::with_hasher(cx.keys.words), range }
    }

    /// Binds a socket to an address and port.
    ///
    /// Errors: `EADDRINUSE` where a socket or connection has an overlapping address. POSIX leaves it open who may
    /// share one, Linux decides: who all say `SO_REUSEPORT`; or `SO_REUSEADDR`, if nobody listens.
    pub(crate) fn bind(&mut self, name: PortName, socket: SocketId) -> Result<(), Errno> {
        let PortName { address, port, reuse_address, reuse_port } = name;
        let usage = self.ports.entry(port).or_default();
        let shares = |other_address: bool, other_port: bool| {
            other_port && reuse_port || other_address && reuse_address
        };
        let beside_binding = usage.bindings.iter().any(|other| {
            let reuse_address = other.reuse_address && !other.listening;
            overlap(other.address, address) && !shares(reuse_address, other.reuse_port)
        });
        let beside_connection = usage.connections.iter().any(|Connected { name: other, .. }| {
            overlap(other.address, address) && !shares(other.reuse_address, other.reuse_port)
        });
        if beside_binding || beside_connection {
            self.forget_unused(port);
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
            let overlap = overlap(other.address, this.address);
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
    pub(crate) fn connected(&mut self, name: PortName) {
        let connections = &mut self.ports.entry(name.port).or_default().connections;
        match connections.iter_mut().find(|other| other.name == name) {
            Some(alike) => alike.count += 1,
            None => connections.push(Connected { name, count: 1 }),
        }
    }

    /// It doesn't any more.
    pub(crate) fn disconnected(&mut self, name: PortName) {
        if let Some(usage) = self.ports.get_mut(&name.port)
            && let Some(at) = usage.connections.iter().position(|other| other.name == name)
        {
            usage.connections[at].count -= 1;
            if usage.connections[at].count == 0 {
                usage.connections.swap_remove(at);
                self.forget_unused(name.port);
            }
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

    /// A free ephemeral port for a purpose, from the one allocator that the stack has.
    /// Errors: `EADDRNOTAVAIL`.
    pub(crate) fn pick(
        &self,
        cx: &mut Context,
        purpose: impl Hash,
        is_free: impl Fn(&Ports, u16) -> bool,
    ) -> Result<u16, Errno> {
        Allocator::pick_from(cx, self.range, (wire::PROTOCOL, purpose), |port| is_free(self, port))
            .ok_or(Errno::EADDRNOTAVAIL)
    }

    fn forget_unused(&mut self, port: u16) {
        if self
            .ports
            .get(&port)
            .is_some_and(|usage| usage.bindings.is_empty() && usage.connections.is_empty())
        {
            self.ports.remove(&port);
        }
    }
}

/// Whether a port on both addresses would be the same to somebody.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use core::net::Ipv4Addr;

    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ports() -> Ports {
        Ports::new(&Context::new(Instant::ZERO, 1), (32_768, 60_999))
    }

    fn name(address: IpAddr, reuse_address: bool) -> PortName {
        PortName { address, port: 80, reuse_address, reuse_port: false }
    }

    fn socket(index: u32) -> SocketId {
        SocketId { index, generation: 0 }
    }

    #[test]
    fn a_connection_holds_its_port_on_its_own_address_only() {
        let mut ports = ports();
        ports.connected(name(OTHER, false));
        ports.connected(name(OTHER, false));
        assert_eq!(ports.bind(name(OTHER, false), socket(1)), Err(Errno::EADDRINUSE));
        assert_eq!(
            ports.bind(name(OTHER, true), socket(1)),
            Err(Errno::EADDRINUSE),
            "reuse takes both sides"
        );
        assert_eq!(ports.bind(name(ANY, false), socket(1)), Err(Errno::EADDRINUSE));
        assert_eq!(ports.bind(name(ONE, false), socket(1)), Ok(()));
        ports.disconnected(name(OTHER, false));
        assert_eq!(ports.bind(name(OTHER, false), socket(2)), Err(Errno::EADDRINUSE), "one is left");
        ports.disconnected(name(OTHER, false));
        assert_eq!(ports.bind(name(OTHER, false), socket(2)), Ok(()));
    }

    #[test]
    fn a_server_may_start_again_beside_its_old_connections() {
        let mut ports = ports();
        assert_eq!(ports.bind(name(ANY, true), socket(1)), Ok(()));
        assert_eq!(ports.listen(80, socket(1)), Ok(()));
        ports.connected(name(ONE, true));
        assert_eq!(ports.bind(name(ANY, true), socket(2)), Err(Errno::EADDRINUSE), "somebody listens");
        ports.unbind(80, socket(1));
        assert_eq!(ports.bind(name(ANY, false), socket(2)), Err(Errno::EADDRINUSE));
        assert_eq!(ports.bind(name(ANY, true), socket(2)), Ok(()));
        ports.unbind(80, socket(2));
        assert!(!ports.is_unused(80));
        ports.disconnected(name(ONE, true));
        assert!(ports.is_unused(80));
    }
}
