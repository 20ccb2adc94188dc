//! What kinds of IPv4 addresses there are, and what each may be used for (RFC 6890's registry).

use core::net::Ipv4Addr;

/// The kind of an address. It decides where the address may appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// 0.0.0.0: no address yet.
    Unspecified,
    /// The rest of 0.0.0.0/8: "this network" (RFC 1122 section 3.2.1.3).
    ThisNetwork,
    /// 127.0.0.0/8 (RFC 1122 section 3.2.1.3).
    Loopback,
    /// 10/8, 172.16/12, 192.168/16 (RFC 1918).
    Private,
    /// 100.64.0.0/10, between carriers and their customers (RFC 6598).
    Shared,
    /// 169.254.0.0/16, for one link (RFC 3927).
    LinkLocal,
    /// 224.0.0.0/4 (RFC 5771).
    Multicast,
    /// 240.0.0.0/4, but for the limited broadcast (RFC 1112 section 4).
    Reserved,
    /// 255.255.255.255: all hosts on the link (RFC 919).
    Broadcast,
    /// Everything else. The documentation prefixes of RFC 5737 are here too: labs and examples use them.
    Global,
}

impl AddressKind {
    /// The kind of an address.
    pub const fn of(address: Ipv4Addr) -> AddressKind {
        match address.octets() {
            [0, 0, 0, 0] => AddressKind::Unspecified,
            [0, ..] => AddressKind::ThisNetwork,
            [127, ..] => AddressKind::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
            [100, 64..=127, ..] => AddressKind::Shared,
            [169, 254, ..] => AddressKind::LinkLocal,
            [224..=239, ..] => AddressKind::Multicast,
            [255, 255, 255, 255] => AddressKind::Broadcast,
            [240..=255, ..] => AddressKind::Reserved,
            _ => AddressKind::Global,
        }
    }

    /// Whether one host on a link may have such an address. Directed broadcasts look like hosts here: only the
    /// interface knows its subnets.
    pub const fn is_host(self) -> bool {
        matches!(
            self,
            AddressKind::Private | AddressKind::Shared | AddressKind::LinkLocal | AddressKind::Global
        )
    }

    /// Whether a router may pass on packets from or to such an address (RFC 6890; RFC 3927 section 2.7: "A router
    /// MUST NOT forward a packet with an IPv4 Link-Local source or destination address").
    pub const fn is_forwardable(self) -> bool {
        matches!(self, AddressKind::Private | AddressKind::Shared | AddressKind::Global)
    }
}

#[cfg(test)]
mod tests {
    use super::AddressKind::*;
    use super::*;

    #[test]
    fn kinds_and_their_edges() {
        for (address, kind) in [
            ("0.0.0.0", Unspecified),
            ("0.0.0.1", ThisNetwork),
            ("1.0.0.0", Global),
            ("10.255.255.255", Private),
            ("100.63.255.255", Global),
            ("100.64.0.0", Shared),
            ("100.127.255.255", Shared),
            ("100.128.0.0", Global),
            ("126.255.255.255", Global),
            ("127.0.0.1", Loopback),
            ("169.254.1.1", LinkLocal),
            ("172.15.255.255", Global),
            ("172.16.0.0", Private),
            ("172.32.0.0", Global),
            ("192.0.2.1", Global),
            ("192.168.0.1", Private),
            ("223.255.255.255", Global),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.0", Reserved),
            ("255.255.255.254", Reserved),
            ("255.255.255.255", Broadcast),
        ] {
            assert_eq!(AddressKind::of(address.parse().unwrap()), kind, "{address}");
        }
    }

    #[test]
    fn what_kinds_are_good_for() {
        assert!(LinkLocal.is_host() && !LinkLocal.is_forwardable());
        assert!(Shared.is_host() && Shared.is_forwardable());
        for kind in [Unspecified, ThisNetwork, Loopback, Multicast, Reserved, Broadcast] {
            assert!(!kind.is_host() && !kind.is_forwardable(), "{kind:?}");
        }
    }
}
