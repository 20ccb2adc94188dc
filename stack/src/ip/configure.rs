//! Interfaces, addresses and routes: what is configured, and what follows from it.

use super::ident::Idents;
use super::reassembly::Reassembly;
use super::routes::Routes;
use super::{AddressKind, Ip, LinkLimits, RouteEntry, RouteOrigin};
use crate::link::Link;
use crate::socket::Errno;
use crate::stack::{Cidr, Config, Context, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;

impl Ip {
    /// The loopback interface exists from the start.
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Ip {
        let mut ip = Ip {
            link: Link::new(cx.keys.maps),
            routes: Routes::new(cx.keys.words),
            locals: Vec::new(),
            generation: 0,
            forwarding: config.forwarding,
            watched: false,
            idents: Idents::new(cx.keys.idents),
            reassembly: Reassembly::new(cx.keys.maps),
            news: VecDeque::new(),
        };
        let loopback = ip.link.add(InterfaceConfig {
            name: "lo".into(),
            medium: Medium::Ip,
            mac: MacAddr::default(),
            mtu: LOOPBACK_MTU,
            addresses: Vec::new(),
            // What never leaves needs no checksum, and a frame as large as a packet can be needs no segmentation.
            offloads: Offloads { tx_checksum: true, ..Offloads::default() },
        });
        ip.link.add_address(cx, loopback, Cidr::new(Ipv4Addr::LOCALHOST, 8));
        ip.own(Ipv4Addr::LOCALHOST, loopback);
        ip
    }

    /// Adds an interface with its addresses.
    /// Errors: `EINVAL` for an impossible MTU or address, `EADDRINUSE` for an address that is there already, `ENOBUFS`
    /// at the limit of interfaces.
    pub(crate) fn add_interface(
        &mut self,
        cx: &mut Context,
        mut config: InterfaceConfig,
    ) -> Result<InterfaceId, Errno> {
        let addresses = core::mem::take(&mut config.addresses);
        let mac_can_be = config.medium == Medium::Ip || config.mac.is_unicast();
        if config.mtu < MTU_MIN || !mac_can_be {
            return Err(Errno::EINVAL);
        }
        for (index, cidr) in addresses.iter().enumerate() {
            self.check_address(*cidr)?;
            if addresses.iter().skip(index + 1).any(|other| other.address == cidr.address) {
                return Err(Errno::EADDRINUSE);
            }
        }
        if self.link.interfaces().len() >= INTERFACES_MAX {
            return Err(Errno::ENOBUFS);
        }
        let id = self.link.add(config);
        for cidr in addresses {
            self.add_address(cx, id, cidr)?;
        }
        Ok(id)
    }

    /// Gives an interface an address, and its subnet a route. Errors: `EINVAL`, `EADDRINUSE`.
    pub(crate) fn add_address(&mut self, cx: &mut Context, id: InterfaceId, cidr: Cidr) -> Result<(), Errno> {
        self.check_address(cidr)?;
        if self.link.interface(id).is_none() {
            return Err(Errno::EINVAL);
        }
        self.link.add_address(cx, id, cidr);
        self.own(cidr.address, id);
        self.generation = self.generation.wrapping_add(1);
        if cidr.prefix_len < 32 && id != InterfaceId::LOOPBACK {
            let connected = RouteEntry { origin: RouteOrigin::Connected, ..RouteEntry::on_link(cidr, id) };
            match self.routes.add(connected) {
                // Two addresses in one subnet share its route.
                Ok(()) | Err(Errno::EADDRINUSE) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes an address from its interface; the subnet's route goes with its last address.
    /// Errors: `EADDRNOTAVAIL` where it isn't ours.
    pub(crate) fn remove_address(&mut self, address: Ipv4Addr) -> Result<(), Errno> {
        let id = self.disown(address).ok_or(Errno::EADDRNOTAVAIL)?;
        let interface = self.link.interface(id).ok_or(Errno::EADDRNOTAVAIL)?;
        let removed = interface.addresses.iter().find(|own| own.address == address).copied();
        self.link.remove_address(id, address);
        self.generation = self.generation.wrapping_add(1);
        if let (Some(cidr), Some(interface)) = (removed, self.link.interface(id)) {
            let is_same_subnet = |own: &Cidr| own.prefix_len == cidr.prefix_len && own.contains(address);
            if !interface.addresses.iter().any(is_same_subnet) {
                let (subnet, len) = (IpAddr::V4(cidr.network()), cidr.prefix_len);
                self.routes.remove_where(|route| {
                    route.origin == RouteOrigin::Connected
                        && (route.interface, route.destination, route.prefix_len) == (id, subnet, len)
                });
            }
        }
        Ok(())
    }

    /// Adds a route. Errors: `EINVAL` for an impossible prefix or interface, `ENETUNREACH` where the gateway isn't on
    /// the interface's link, `EADDRINUSE` where the route is there already, `ENOBUFS` at the limit.
    pub(crate) fn add_route(&mut self, route: RouteEntry) -> Result<(), Errno> {
        let interface = self.link.interface(route.interface).ok_or(Errno::EINVAL)?;
        if let Some(gateway) = route.gateway {
            let IpAddr::V4(gateway) = gateway else { return Err(Errno::EAFNOSUPPORT) };
            let is_on_link = interface.addresses.iter().any(|own| own.contains(gateway))
                || self.routes.lookup(gateway, Some(route.interface)).is_some_and(|r| r.gateway.is_none());
            if !AddressKind::of(gateway).is_host() || !is_on_link {
                return Err(Errno::ENETUNREACH);
            }
        }
        self.routes.add(RouteEntry { origin: RouteOrigin::Static, ..route })?;
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    /// Removes a route. Errors: `ENETUNREACH` where there is no such route.
    pub(crate) fn remove_route(&mut self, route: &RouteEntry) -> Result<(), Errno> {
        self.routes.remove(route)?;
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    /// All routes, the longest prefixes first.
    pub(crate) fn routes(&self) -> Vec<RouteEntry> {
        self.routes.list()
    }

    /// Whether packets for others are passed on.
    pub(crate) fn set_forwarding(&mut self, forwarding: bool) {
        self.forwarding = forwarding;
    }

    /// Changes whenever routes or addresses change, so that cached [`super::Route`]s can be checked cheaply.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether an address is one of ours (any interface's, or loopback).
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.is_loopback() || self.owner(v4).is_some(),
            IpAddr::V6(_) => false,
        }
    }

    /// What may be sent as one frame on an interface.
    pub(crate) fn link_limits(&self, interface: InterfaceId) -> LinkLimits {
        let offloads = self.link.interface(interface).map(|i| i.offloads).unwrap_or_default();
        let most = |max| if offloads.software && self.watched { 0 } else { max };
        LinkLimits {
            tx_checksum: offloads.tx_checksum,
            tso_max: most(offloads.tso_max),
            uso_max: most(offloads.uso_max),
        }
    }

    /// Whether super-frames leave an interface as they are, to be cut on its other side if at all.
    pub(crate) fn carries_super_frames(&self, interface: InterfaceId) -> bool {
        self.link.interface(interface).is_some_and(|i| i.offloads.tso_max > 0 && !i.offloads.software)
    }

    /// See [`Ip::set_watched`].
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// Says whether every frame is shown to somebody, who is to see what the wires carry.
    pub(crate) fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// The interface that has an address.
    pub(super) fn owner(&self, address: Ipv4Addr) -> Option<InterfaceId> {
        let at = self.locals.binary_search_by_key(&address, |&(own, _)| own).ok()?;
        self.locals.get(at).map(|&(_, id)| id)
    }

    fn own(&mut self, address: Ipv4Addr, id: InterfaceId) {
        if let Err(at) = self.locals.binary_search_by_key(&address, |&(own, _)| own) {
            self.locals.insert(at, (address, id));
        }
    }

    fn disown(&mut self, address: Ipv4Addr) -> Option<InterfaceId> {
        let at = self.locals.binary_search_by_key(&address, |&(own, _)| own).ok()?;
        Some(self.locals.remove(at).1)
    }

    fn check_address(&self, cidr: Cidr) -> Result<(), Errno> {
        let kind = AddressKind::of(cidr.address);
        let names_no_host =
            cidr.prefix_len < 31 && [Some(cidr.network()), cidr.broadcast()].contains(&Some(cidr.address));
        if cidr.prefix_len > 32 || !(kind.is_host() || kind == AddressKind::Loopback) || names_no_host {
            return Err(Errno::EINVAL);
        }
        if self.owner(cidr.address).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        Ok(())
    }
}

/// The largest packet, in bytes.
const LOOPBACK_MTU: u16 = u16::MAX;
/// What every link has to carry, in bytes (RFC 791 section 3.2).
const MTU_MIN: u16 = 68;
/// Interfaces that a stack holds.
const INTERFACES_MAX: usize = 4096;
