//! What bounds answers to strangers and suspects for the whole stack.

use crate::time::{Duration, Instant};

/// Challenge ACKs a second for the whole stack (RFC 5961 section 7; Linux's `tcp_challenge_ack_limit`).
const CHALLENGES_MAX: u32 = 1_000;

/// Counts challenge ACKs. The bound varies from second to second, so that nobody can measure from outside how many
/// others were challenged (CVE-2016-5696).
#[derive(Debug)]
pub(crate) struct ChallengeLimit {
    second: u64,
    left: u32,
    rng: fastrand::Rng,
}

impl ChallengeLimit {
    pub(crate) fn new(seed: u64) -> ChallengeLimit {
        ChallengeLimit { second: u64::MAX, left: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Whether one more may be sent now.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let second = now.as_millis() / 1_000;
        if second != self.second {
            self.second = second;
            self.left = CHALLENGES_MAX / 2 + self.rng.u32(..CHALLENGES_MAX);
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// How long a path MTU is believed (RFC 1191 section 6.3).
const PATH_MTU_VALID: Duration = Duration::from_secs(600);
/// Paths whose MTU is remembered, at most; at the limit all are forgotten, and learned anew.
const PATHS_MAX: usize = 1_024;

/// Path MTUs that were learned, for connections that come after.
pub(crate) struct PathMtus {
    paths: crate::hash::KeyedMap<core::net::IpAddr, (u16, Instant)>,
}

impl PathMtus {
    pub(crate) fn new(keys: &crate::stack::Keys) -> PathMtus {
        PathMtus { paths: crate::hash::KeyedMap::with_hasher(keys.maps) }
    }

    /// Remembers a path's MTU, in bytes of IP packet.
    pub(crate) fn learn(&mut self, now: Instant, destination: core::net::IpAddr, mtu: u16) {
        if self.paths.len() >= PATHS_MAX && !self.paths.contains_key(&destination) {
            self.paths.clear();
        }
        self.paths.insert(destination, (mtu, now));
    }

    /// The MTU that is known for a path, if it is fresh.
    pub(crate) fn get(&self, now: Instant, destination: core::net::IpAddr) -> Option<u16> {
        let &(mtu, learned) = self.paths.get(&destination)?;
        (now.since(learned) < PATH_MTU_VALID).then_some(mtu)
    }
}
