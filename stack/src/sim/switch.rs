//! A learning Ethernet switch: which station is behind which port.

use crate::stack::MacAddr;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Stations that a switch remembers at most; frames to others go out of every port.
pub const ADDRESSES_MAX: usize = 1024;

/// How long a switch remembers a silent station (IEEE 802.1D's recommended ageing time).
pub const ADDRESS_AGE_MAX: Duration = Duration::from_secs(300);

/// Where a frame has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Egress {
    /// Out of this port.
    Port(u32),
    /// Out of every port but the one that it came in by.
    Flood,
    /// Nowhere: its station is where it came from, or it is no Ethernet frame.
    Nowhere,
}

/// What a switch has learned.
#[derive(Default)]
pub(super) struct Bridge {
    stations: BTreeMap<MacAddr, Seen>,
}

struct Seen {
    port: u32,
    at: Instant,
}

impl Bridge {
    /// A frame came in by `port`: learns its sender, and says where it has to go.
    pub(super) fn forward(&mut self, now: Instant, port: u32, frame: &[u8]) -> Egress {
        let Some((destination, rest)) = frame.split_first_chunk::<6>() else { return Egress::Nowhere };
        let Some((source, _)) = rest.split_first_chunk::<6>() else { return Egress::Nowhere };
        self.learn(now, port, MacAddr(*source));
        let destination = MacAddr(*destination);
        match self.stations.get(&destination).filter(|seen| now - seen.at <= ADDRESS_AGE_MAX) {
            Some(seen) if seen.port == port => Egress::Nowhere,
            Some(seen) => Egress::Port(seen.port),
            None => Egress::Flood,
        }
    }

    fn learn(&mut self, now: Instant, port: u32, station: MacAddr) {
        if !station.is_unicast() {
            return;
        }
        if self.stations.len() >= ADDRESSES_MAX && !self.stations.contains_key(&station) {
            self.stations.retain(|_, seen| now - seen.at <= ADDRESS_AGE_MAX);
            if self.stations.len() >= ADDRESSES_MAX {
                return;
            }
        }
        self.stations.insert(station, Seen { port, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
        [&destination[..], &source, &[8, 0]].concat()
    }

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn floods_until_it_has_learned_and_again_when_it_has_forgotten() {
        let mut bridge = Bridge::default();
        let start = Instant::from_millis(1);
        assert_eq!(bridge.forward(start, 0, &frame(B, A)), Egress::Flood);
        assert_eq!(bridge.forward(start, 1, &frame(A, B)), Egress::Port(0));
        assert_eq!(bridge.forward(start, 0, &frame(B, A)), Egress::Port(1));
        assert_eq!(bridge.forward(start, 1, &frame(B, A)), Egress::Nowhere, "B is behind the same port");
        let later = start + ADDRESS_AGE_MAX + Duration::from_nanos(1);
        assert_eq!(bridge.forward(later, 0, &frame(B, A)), Egress::Flood);
    }

    #[test]
    fn broadcasts_are_flooded_and_stubs_are_dropped() {
        let mut bridge = Bridge::default();
        assert_eq!(bridge.forward(Instant::ZERO, 0, &frame([0xff; 6], [0xff; 6])), Egress::Flood);
        assert_eq!(bridge.forward(Instant::ZERO, 1, &frame([0xff; 6], A)), Egress::Flood);
        assert_eq!(bridge.forward(Instant::ZERO, 0, &[0; 11]), Egress::Nowhere);
    }

    #[test]
    fn a_full_table_floods_and_learns_again_when_entries_have_aged() {
        let mut bridge = Bridge::default();
        for station in 0..ADDRESSES_MAX as u32 {
            let [a, b, c, d] = station.to_be_bytes();
            bridge.forward(Instant::ZERO, 0, &frame([0xff; 6], [6, 0, a, b, c, d]));
        }
        bridge.forward(Instant::ZERO, 1, &frame([0xff; 6], A));
        assert_eq!(bridge.forward(Instant::ZERO, 0, &frame(A, B)), Egress::Flood);
        let later = Instant::ZERO + ADDRESS_AGE_MAX + Duration::from_secs(1);
        bridge.forward(later, 1, &frame([0xff; 6], A));
        assert_eq!(bridge.forward(later, 0, &frame(A, B)), Egress::Port(1));
        assert!(bridge.stations.len() <= ADDRESSES_MAX);
    }
}
