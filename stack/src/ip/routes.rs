//! The routing table: longest prefix first, then the smallest metric.

use crate::hash::{WordsMap, WordsState};
use crate::socket::Errno;
use crate::stack::{Cidr, InterfaceId};
use core::net::{IpAddr, Ipv4Addr};
use smallvec::SmallVec;

/// A route, as it is added, removed and listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// The prefix that it is for; its host bits are zero.
    pub destination: IpAddr,
    /// Leading bits that count: 0 (the default route) to 32.
    pub prefix_len: u8,
    /// The router to send to; none where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The way out.
    pub interface: InterfaceId,
    /// Of several routes for one prefix, the one with the smallest metric is used.
    pub metric: u32,
    /// Who made it.
    pub origin: RouteOrigin,
}

/// Who made a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RouteOrigin {
    /// It came with an interface's address, and goes with it.
    Connected,
    /// Somebody added it.
    #[default]
    Static,
}

impl RouteEntry {
    /// The route for everything that no other route is for.
    pub const fn default_via(gateway: Ipv4Addr, interface: InterfaceId) -> RouteEntry {
        RouteEntry::via(Cidr::new(Ipv4Addr::UNSPECIFIED, 0), gateway, interface)
    }

    /// A route to a subnet through a router.
    pub const fn via(subnet: Cidr, gateway: Ipv4Addr, interface: InterfaceId) -> RouteEntry {
        let on_link = RouteEntry::on_link(subnet, interface);
        RouteEntry { gateway: Some(IpAddr::V4(gateway)), ..on_link }
    }

    /// A route to a subnet on an interface's link.
    pub const fn on_link(subnet: Cidr, interface: InterfaceId) -> RouteEntry {
        RouteEntry {
            destination: IpAddr::V4(subnet.network()),
            prefix_len: subnet.prefix_len,
            gateway: None,
            interface,
            metric: 0,
            origin: RouteOrigin::Static,
        }
    }

    /// Where to send a packet for `destination`.
    pub(super) fn next_hop(&self, destination: Ipv4Addr) -> IpAddr {
        self.gateway.unwrap_or(IpAddr::V4(destination))
    }

    fn cidr(&self) -> Result<Cidr, Errno> {
        match self.destination {
            IpAddr::V4(address) => {
                let cidr = Cidr::new(address, self.prefix_len);
                if self.prefix_len > 32 || cidr.network() != address {
                    return Err(Errno::EINVAL);
                }
                Ok(cidr)
            }
            IpAddr::V6(_) => Err(Errno::EAFNOSUPPORT),
        }
    }
}

/// All routes of a stack.
pub(crate) struct Routes {
    /// By length and network.
    by_prefix: WordsMap<(u8, u32), SmallVec<[RouteEntry; 1]>>,
    /// Prefixes of each length.
    lengths: [u32; 33],
    /// A bit for each length that occurs: only those are looked up.
    occurring: u64,
    count: usize,
}

impl Routes {
    pub(crate) fn new(words: WordsState) -> Routes {
        Routes { by_prefix: WordsMap::with_hasher(words), lengths: [0; 33], occurring: 0, count: 0 }
    }

    /// Errors: `EINVAL` for an impossible prefix, `EADDRINUSE` where it is there already, `ENOBUFS` at the limit.
    pub(crate) fn add(&mut self, route: RouteEntry) -> Result<(), Errno> {
        let cidr = route.cidr()?;
        if self.count >= ROUTES_MAX {
            return Err(Errno::ENOBUFS);
        }
        let routes = self.by_prefix.entry((cidr.prefix_len, cidr.address.to_bits())).or_default();
        if routes.iter().any(|other| same(other, &route)) {
            return Err(Errno::EADDRINUSE);
        }
        if routes.is_empty() {
            self.lengths[usize::from(cidr.prefix_len)] += 1;
            self.occurring |= 1 << cidr.prefix_len;
        }
        let at = routes.partition_point(|other| other.metric <= route.metric);
        routes.insert(at, route);
        self.count += 1;
        Ok(())
    }

    /// Removes the route with this prefix, gateway, interface and metric. Errors: `ENETUNREACH` if there is none.
    pub(super) fn remove(&mut self, route: &RouteEntry) -> Result<(), Errno> {
        let cidr = route.cidr()?;
        let key = (cidr.prefix_len, cidr.address.to_bits());
        let routes = self.by_prefix.get_mut(&key).ok_or(Errno::ENETUNREACH)?;
        let at = routes.iter().position(|other| same(other, route)).ok_or(Errno::ENETUNREACH)?;
        routes.remove(at);
        self.count -= 1;
        if routes.is_empty() {
            self.by_prefix.remove(&key);
            let count = &mut self.lengths[usize::from(cidr.prefix_len)];
            *count -= 1;
            if *count == 0 {
                self.occurring &= !(1 << cidr.prefix_len);
            }
        }
        Ok(())
    }

    /// Removes the routes that `which` names.
    pub(super) fn remove_where(&mut self, which: impl Fn(&RouteEntry) -> bool) {
        for route in self.list().into_iter().filter(which) {
            let removed = self.remove(&route);
            debug_assert!(removed.is_ok(), "it was listed");
        }
    }

    /// The best route to a destination, out of one interface if the way out is given.
    pub(crate) fn lookup(&self, to: Ipv4Addr, out: Option<InterfaceId>) -> Option<&RouteEntry> {
        let mut left = self.occurring;
        while let Some(len) = left.checked_ilog2() {
            left &= !(1 << len);
            let len = len as u8;
            let routes = self.by_prefix.get(&(len, Cidr::new(to, len).network().to_bits()));
            let mut routes = routes.into_iter().flatten();
            if let Some(found) = routes.find(|route| out.is_none_or(|out| out == route.interface)) {
                return Some(found);
            }
        }
        None
    }

    /// All routes, the longest prefixes first.
    pub(super) fn list(&self) -> Vec<RouteEntry> {
        let mut list: Vec<RouteEntry> = self.by_prefix.values().flatten().copied().collect();
        list.sort_by_key(|r| {
            (core::cmp::Reverse(r.prefix_len), r.destination, r.metric, r.interface, r.gateway)
        });
        list
    }
}

/// Whether two entries are the same route, whoever made them.
fn same(a: &RouteEntry, b: &RouteEntry) -> bool {
    (a.gateway, a.interface, a.metric) == (b.gateway, b.interface, b.metric)
}

/// Routes that a stack holds.
const ROUTES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyedState;
    use proptest::prelude::*;

    const ETH: InterfaceId = InterfaceId(1);

    fn table() -> Routes {
        Routes::new(WordsState::new(KeyedState::new((1, 2))))
    }

    fn route(prefix: &str, len: u8, gateway: Option<&str>, metric: u32) -> RouteEntry {
        let on_link = RouteEntry::on_link(Cidr::new(prefix.parse().unwrap(), len), ETH);
        RouteEntry { gateway: gateway.map(|g| g.parse().unwrap()), metric, ..on_link }
    }

    fn via(routes: &Routes, to: &str) -> Option<String> {
        let to = to.parse().unwrap();
        routes.lookup(to, None).map(|route| route.next_hop(to).to_string())
    }

    #[test]
    fn the_longest_prefix_wins_then_the_smallest_metric() {
        let mut routes = table();
        routes.add(route("0.0.0.0", 0, Some("10.0.0.1"), 0)).unwrap();
        routes.add(route("10.0.0.0", 8, Some("10.0.0.2"), 20)).unwrap();
        routes.add(route("10.0.0.0", 8, Some("10.0.0.3"), 10)).unwrap();
        routes.add(route("10.1.2.0", 24, None, 0)).unwrap();
        routes.add(route("10.1.2.3", 32, Some("10.0.0.4"), 0)).unwrap();
        assert_eq!(via(&routes, "8.8.8.8").as_deref(), Some("10.0.0.1"));
        assert_eq!(via(&routes, "10.9.9.9").as_deref(), Some("10.0.0.3"));
        assert_eq!(via(&routes, "10.1.2.4").as_deref(), Some("10.1.2.4"));
        assert_eq!(via(&routes, "10.1.2.3").as_deref(), Some("10.0.0.4"));
        routes.remove(&route("10.0.0.0", 8, Some("10.0.0.3"), 10)).unwrap();
        assert_eq!(via(&routes, "10.9.9.9").as_deref(), Some("10.0.0.2"));
        routes.remove_where(|route| route.prefix_len < 24);
        assert_eq!(via(&routes, "10.9.9.9"), None);
        assert_eq!(routes.list().len(), 2);
    }

    #[test]
    fn an_interface_can_be_asked_for() {
        let mut routes = table();
        routes.add(route("10.0.0.0", 8, None, 0)).unwrap();
        let other = RouteEntry { interface: InterfaceId(2), ..route("0.0.0.0", 0, Some("10.0.0.9"), 0) };
        routes.add(other).unwrap();
        let to = "10.1.1.1".parse().unwrap();
        assert_eq!(routes.lookup(to, Some(InterfaceId(2))), Some(&other));
        assert_eq!(routes.lookup(to, Some(InterfaceId(3))), None);
    }

    #[test]
    fn impossible_and_double_routes_are_refused() {
        let mut routes = table();
        let bad = RouteEntry { destination: "10.0.0.1".parse().unwrap(), ..route("10.0.0.0", 8, None, 0) };
        assert_eq!(routes.add(bad), Err(Errno::EINVAL));
        assert_eq!(routes.add(RouteEntry { prefix_len: 33, ..bad }), Err(Errno::EINVAL));
        routes.add(route("10.0.0.0", 8, None, 0)).unwrap();
        assert_eq!(routes.add(route("10.0.0.0", 8, None, 0)), Err(Errno::EADDRINUSE));
        assert_eq!(routes.remove(&route("10.0.0.0", 8, None, 5)), Err(Errno::ENETUNREACH));
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            prefixes in proptest::collection::vec((any::<u32>(), 0u8..=32, 0u32..3), 0..40), to in any::<u32>(),
        ) {
            let mut routes = table();
            let mut all = Vec::new();
            for (bits, len, metric) in prefixes {
                // Few distinct prefixes, so that they nest.
                let subnet = Cidr::new(Ipv4Addr::from_bits(bits & 0xc000_0003), len);
                let route = RouteEntry { metric, ..RouteEntry::on_link(subnet, ETH) };
                if routes.add(route).is_ok() {
                    all.push(route);
                }
            }
            let to = Ipv4Addr::from_bits(to & 0xc000_0003);
            let best = all
                .iter()
                .filter(|r| r.cidr().unwrap().contains(to))
                .min_by_key(|r| (core::cmp::Reverse(r.prefix_len), r.metric));
            prop_assert_eq!(routes.lookup(to, None), best);
        }
    }
}
