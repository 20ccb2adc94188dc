//! Configuring a stack and looking into it: what `ip`, `ss`, `arp` and `route` show.

use super::{Cidr, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, Stack};
use crate::Errno;
use crate::ip::RouteEntry;
use crate::link::{Interface, Neighbour, Traffic};
use crate::time::Instant;
use core::net::{IpAddr, Ipv4Addr};

/// An interface as [`Stack::interfaces`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its id.
    pub id: InterfaceId,
    /// Its name.
    pub name: String,
    /// What its frames look like.
    pub medium: Medium,
    /// Its link address; zeros on a medium without.
    pub mac: MacAddr,
    /// The largest IP packet that its link carries, in bytes.
    pub mtu: u16,
    /// Its addresses.
    pub addresses: Vec<Cidr>,
    /// What its device does for the stack.
    pub offloads: Offloads,
    /// What went through it.
    pub traffic: Traffic,
}

impl Stack {
    /// Adds an interface; its addresses are announced.
    /// Errors: `EINVAL` for an impossible MTU or address, `EADDRINUSE` for an address that is there already, `ENOBUFS`
    /// at the limit of interfaces.
    pub fn add_interface(&mut self, now: Instant, config: InterfaceConfig) -> Result<InterfaceId, Errno> {
        self.cx.now = now;
        self.ip.add_interface(&mut self.cx, config)
    }

    /// Gives an interface another address, which is announced, and its subnet a route.
    /// Errors: `EINVAL` for an impossible address or interface, `EADDRINUSE` for one that is there already.
    pub fn add_address(&mut self, now: Instant, interface: InterfaceId, address: Cidr) -> Result<(), Errno> {
        self.cx.now = now;
        self.ip.add_address(&mut self.cx, interface, address)
    }

    /// Takes an address away. Errors: `EADDRNOTAVAIL` where it isn't ours.
    pub fn remove_address(&mut self, address: Ipv4Addr) -> Result<(), Errno> {
        self.ip.remove_address(address)
    }

    /// Adds a route. Errors: `EINVAL` for an impossible prefix or interface, `ENETUNREACH` where the gateway isn't on
    /// the interface's link, `EADDRINUSE` where the route is there already, `ENOBUFS` at the limit of routes.
    pub fn add_route(&mut self, route: RouteEntry) -> Result<(), Errno> {
        self.ip.add_route(route)
    }

    /// Removes the route with this prefix, gateway, interface and metric. Errors: `ENETUNREACH` if there is none.
    pub fn remove_route(&mut self, route: &RouteEntry) -> Result<(), Errno> {
        self.ip.remove_route(route)
    }

    /// Whether packets for others are passed on from now on.
    pub fn set_forwarding(&mut self, forwarding: bool) {
        self.ip.set_forwarding(forwarding);
    }

    /// All interfaces, the loopback first.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.ip.link.interfaces().iter().map(InterfaceInfo::of).collect()
    }

    /// All routes, the longest prefixes first.
    pub fn routes(&self) -> Vec<RouteEntry> {
        self.ip.routes()
    }

    /// Forgets a neighbour, so that its next use asks for it again. Errors: `EADDRNOTAVAIL` where the cache doesn't have
    /// it, or is asking for it just now.
    pub fn forget_neighbour(&mut self, interface: InterfaceId, address: IpAddr) -> Result<(), Errno> {
        match self.ip.link.forget_neighbour(interface, address) {
            true => Ok(()),
            false => Err(Errno::EADDRNOTAVAIL),
        }
    }

    /// The neighbour cache, by interface and address.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        self.ip.link.neighbours()
    }
}

impl InterfaceInfo {
    fn of(interface: &Interface) -> InterfaceInfo {
        InterfaceInfo {
            id: interface.id,
            name: interface.name.clone(),
            medium: interface.medium,
            mac: interface.mac,
            mtu: interface.mtu,
            addresses: interface.addresses.clone(),
            offloads: interface.offloads,
            traffic: interface.traffic,
        }
    }
}
