//! Choosing the way to a destination, and the address to send from.

use super::{AddressKind, Ip, Route};
use crate::link::Interface;
use crate::socket::Errno;
use crate::stack::InterfaceId;
use core::net::{IpAddr, Ipv4Addr};

impl Ip {
    /// Longest-prefix match with source-address selection. `source` pins the source; `interface` the way out.
    /// Errors: `ENETUNREACH`; `EADDRNOTAVAIL` where `source` isn't ours; `EACCES` for broadcast destinations,
    /// unless `broadcast` allows them.
    pub(crate) fn route(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        interface: Option<InterfaceId>,
        broadcast: bool,
    ) -> Result<Route, Errno> {
        let IpAddr::V4(to) = destination else { return Err(Errno::ENETUNREACH) };
        let source = match source {
            Some(IpAddr::V4(source)) if !source.is_unspecified() => {
                if !self.is_local(IpAddr::V4(source)) {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                Some(source)
            }
            Some(IpAddr::V6(_)) => return Err(Errno::EADDRNOTAVAIL),
            _ => None,
        };
        if self.is_local(destination) {
            return Ok(self.loopback_route(to, source));
        }

        let (out, next_hop) = match AddressKind::of(to) {
            AddressKind::Broadcast => (self.group_interface(to, source, interface)?, destination),
            AddressKind::Multicast => (self.group_interface(to, source, interface)?, destination),
            kind if kind.is_host() => {
                let found = self.routes.lookup(to, interface).ok_or(Errno::ENETUNREACH)?;
                let out = self.link.interface(found.interface).ok_or(Errno::ENETUNREACH)?;
                (out, found.next_hop(to))
            }
            _ => return Err(Errno::ENETUNREACH),
        };
        if out.is_broadcast(to) && !broadcast {
            return Err(Errno::EACCES);
        }
        // RFC 1122 section 3.2.1.3 (g): a loopback address "MUST NOT appear outside a host".
        if source.is_some_and(|source| source.is_loopback()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let source = source.or_else(|| self.source_towards(out, next_hop)).unwrap_or(Ipv4Addr::UNSPECIFIED);
        if source.is_unspecified() && !out.is_broadcast(to) {
            return Err(Errno::EADDRNOTAVAIL); // Only who asks for an address may have none.
        }
        Ok(Route {
            interface: out.id,
            next_hop,
            source: IpAddr::V4(source),
            mtu: out.mtu,
            generation: self.generation,
        })
    }

    /// To ourselves: nothing leaves the machine, whichever interface has the address.
    fn loopback_route(&self, to: Ipv4Addr, source: Option<Ipv4Addr>) -> Route {
        let source = source.unwrap_or(if to.is_loopback() { Ipv4Addr::LOCALHOST } else { to });
        Route {
            interface: InterfaceId::LOOPBACK,
            next_hop: IpAddr::V4(to),
            source: IpAddr::V4(source),
            mtu: self.link.interface(InterfaceId::LOOPBACK).map_or(u16::MAX, |lo| lo.mtu),
            generation: self.generation,
        }
    }

    /// The way out to a group of hosts: the interface that was asked for, that has the source, that a route leads to,
    /// or the first one.
    fn group_interface(
        &self,
        to: Ipv4Addr,
        source: Option<Ipv4Addr>,
        interface: Option<InterfaceId>,
    ) -> Result<&Interface, Errno> {
        interface
            .or_else(|| source.and_then(|source| self.owner(source)))
            .or_else(|| self.routes.lookup(to, None).map(|route| route.interface))
            .and_then(|id| self.link.interface(id))
            .or_else(|| self.link.interfaces().get(1))
            .ok_or(Errno::ENETUNREACH)
    }

    /// The interface's address from the next hop's subnet, else its first one, else any other interface's.
    fn source_towards(&self, out: &Interface, next_hop: IpAddr) -> Option<Ipv4Addr> {
        let IpAddr::V4(next_hop) = next_hop else { return None };
        out.address_towards(next_hop).or_else(|| {
            let others = self.link.interfaces().iter().flat_map(|other| &other.addresses);
            others.map(|own| own.address).find(|address| !address.is_loopback())
        })
    }
}
