//! Ephemeral ports for every protocol: hard to guess from outside, and seldom used twice in a row (RFC 6056).

use super::Context;
use core::hash::{BuildHasher, Hash};

/// The counters of RFC 6056 section 3.3.4, algorithm 4 (double-hash port selection).
pub(crate) struct Ports {
    counters: [u16; COUNTERS],
}

impl Ports {
    pub(crate) fn new() -> Ports {
        Ports { counters: [0; COUNTERS] }
    }

    /// A free port for a flow, which is whatever tells it from others: protocol, local address, remote address and
    /// port. `is_free` is asked of each candidate. None when every port is taken.
    pub(crate) fn pick(cx: &mut Context, flow: impl Hash, is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        Ports::pick_from(cx, (FIRST, LAST), flow, is_free)
    }

    /// As [`Ports::pick`], out of the ports from `first` to `last`.
    pub(crate) fn pick_from(
        cx: &mut Context,
        (first, last): (u16, u16),
        flow: impl Hash,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let hash = cx.keys.ports.hash_one(flow);
        let counter = &mut cx.ports.counters[(hash >> 32) as usize % COUNTERS];
        let count = u32::from(last.saturating_sub(first)) + 1;
        for _ in 0..count {
            let candidate = (u64::from(*counter) + (hash & 0xffff_ffff)) % u64::from(count);
            *counter = counter.wrapping_add(1);
            let port = first + candidate as u16;
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }
}

/// The range that Linux uses; the servers' ports stay clear of it.
pub(crate) const FIRST: u16 = 32_768;
/// The last port of the range.
pub(crate) const LAST: u16 = 60_999;
/// Counters that flows share (RFC 6056 calls it TABLE_LENGTH).
const COUNTERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn every_port_is_tried_once() {
        let mut cx = Context::new(Instant::ZERO, 1);
        let mut tried = vec![0; 65_536];
        assert_eq!(
            Ports::pick(&mut cx, "flow", |port| {
                tried[usize::from(port)] += 1;
                false
            }),
            None
        );
        assert!(tried.iter().enumerate().all(|(port, &count)| {
            count == u32::from((usize::from(FIRST)..=usize::from(LAST)).contains(&port))
        }));
    }

    #[test]
    fn a_flow_counts_on_and_others_start_elsewhere() {
        let mut cx = Context::new(Instant::ZERO, 1);
        let mut pick = |flow: u32| Ports::pick(&mut cx, flow, |_| true).unwrap();
        let (first, second) = (pick(1), pick(1));
        assert_ne!(first, second);
        let others: std::collections::BTreeSet<u16> = (2..40).map(pick).collect();
        assert!(others.len() > 30, "spread over the range");
    }
}
