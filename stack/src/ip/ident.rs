//! The identification field: unique where fragments need it, unpredictable for everyone else (RFC 6864, RFC 7739).

use crate::hash::KeyedState;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

/// Counters for the identification of datagrams that may be fragmented.
pub(super) struct Idents {
    key: KeyedState,
    counters: Box<[u16; BUCKETS]>,
}

impl Idents {
    pub(super) fn new(key: KeyedState) -> Idents {
        Idents { key, counters: Box::new([0; BUCKETS]) }
    }

    /// The next identification between two addresses. It counts, so that it repeats as late as possible
    /// (RFC 6864 section 4.3), from a start that outsiders can't tell. `count` numbers are used up, by the segments of a
    /// super-frame.
    pub(super) fn next(&mut self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, count: u16) -> u16 {
        let hash = self.key.hash_one((source, destination, protocol));
        let counter = &mut self.counters[hash as usize % BUCKETS];
        let next = counter.wrapping_add(1);
        *counter = counter.wrapping_add(count);
        next.wrapping_add((hash >> 32) as u16)
    }
}

/// Flows that share a counter only make each other's numbers go up faster.
const BUCKETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_a_flow_and_differs_between_flows() {
        let mut idents = Idents::new(KeyedState::new((3, 4)));
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let first = idents.next(a, b, 17, 1);
        assert_eq!(idents.next(a, b, 17, 3), first.wrapping_add(1));
        assert_eq!(idents.next(a, b, 17, 1), first.wrapping_add(4));
        assert_ne!(idents.next(a, b, 1, 1), first.wrapping_add(5));
        let mut others = Idents::new(KeyedState::new((5, 6)));
        assert_ne!(others.next(a, b, 17, 1), first, "another seed starts elsewhere");
    }
}
