//! The duplicate-request cache: what was executed, and what was replied, for as long as duplicates may come.

use super::ServerConfig;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tapstack::time::{Duration, Instant};

/// Who sent a call, as far as duplicates are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// A session of this server, from wherever it calls.
    Session(u64),
    /// Who calls without one, by address and port.
    Address(SocketAddr),
}

/// What makes two calls the same: xids alone are only as unique as their clients are careful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) caller: Caller,
    pub(super) xid: u32,
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    /// Of the arguments.
    pub(super) checksum: u64,
}

/// What the cache knows of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// Nothing: it is in the cache from now on, as being executed.
    New,
    /// It is being executed.
    InProgress,
    /// It was executed, and this was replied.
    Replied(Bytes),
    /// Nothing, and there is no room to note it.
    Full,
}

/// The cache.
pub(super) struct Duplicates {
    kept: Duration,
    calls_max: usize,
    bytes_max: usize,
    /// None while the call is being executed.
    calls: BTreeMap<Key, Option<Bytes>>,
    /// When each reply was given; the oldest first.
    replied: VecDeque<(Instant, Key)>,
    bytes: usize,
}

impl Duplicates {
    pub(super) fn new(config: &ServerConfig) -> Duplicates {
        Duplicates {
            kept: config.duplicates_kept,
            calls_max: config.duplicates_max,
            bytes_max: config.duplicate_bytes_max,
            calls: BTreeMap::new(),
            replied: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Looks a call up, and notes it if it is new.
    pub(super) fn look_up(&mut self, now: Instant, key: Key) -> Known {
        match self.calls.get(&key) {
            Some(Some(reply)) => return Known::Replied(reply.clone()),
            Some(None) => return Known::InProgress,
            None => {}
        }
        self.forget_old(now);
        if self.calls.len() >= self.calls_max || self.bytes >= self.bytes_max {
            return Known::Full;
        }
        self.calls.insert(key, None);
        Known::New
    }

    /// Notes what was replied to a call that was new. None stands for a call that gets no reply, ever: its duplicates
    /// are dropped as it was.
    pub(super) fn replied(&mut self, now: Instant, key: Key, reply: Option<Bytes>) {
        if let Some(reply) = reply
            && let Some(place) = self.calls.get_mut(&key)
        {
            self.bytes += reply.len();
            *place = Some(reply);
        }
        self.replied.push_back((now, key));
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, key)) = self.replied.front() {
            if *at + self.kept > now {
                break;
            }
            self.bytes -= self.calls.remove(key).flatten().map_or(0, |reply| reply.len());
            self.replied.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(xid: u32) -> Key {
        let caller = Caller::Address(SocketAddr::from(([10, 0, 0, 1], 700)));
        Key { caller, xid, program: 1, version: 1, procedure: 1, checksum: 5 }
    }

    fn cache(calls_max: usize, bytes_max: usize) -> Duplicates {
        Duplicates::new(&ServerConfig {
            duplicates_kept: Duration::from_secs(10),
            duplicates_max: calls_max,
            duplicate_bytes_max: bytes_max,
            ..ServerConfig::default()
        })
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    #[test]
    fn a_call_is_new_then_in_progress_then_replied_to_again() {
        let mut cache = cache(10, 100);
        let reply = Bytes::from_static(b"done");
        assert_eq!(cache.look_up(at(0), key(1)), Known::New);
        assert_eq!(cache.look_up(at(0), key(1)), Known::InProgress);
        cache.replied(at(1), key(1), Some(reply.clone()));
        assert_eq!(cache.look_up(at(1), key(1)), Known::Replied(reply));
        for other in [
            Key { checksum: 6, ..key(1) },
            Key { procedure: 2, ..key(1) },
            Key { caller: Caller::Session(1), ..key(1) },
        ] {
            assert_eq!(cache.look_up(at(1), other), Known::New);
        }
    }

    #[test]
    fn nothing_is_forgotten_before_its_time_and_a_full_cache_says_so() {
        let mut cache = cache(2, 100);
        for xid in [1, 2] {
            assert_eq!(cache.look_up(at(0), key(xid)), Known::New);
        }
        assert_eq!(cache.look_up(at(0), key(3)), Known::Full);
        cache.replied(at(5), key(1), Some(Bytes::from_static(&[0; 60])));
        assert_eq!(cache.look_up(at(14), key(3)), Known::Full);
        assert_eq!(cache.look_up(at(15), key(3)), Known::New, "ten seconds later it is forgotten");
        assert_eq!(cache.look_up(at(15), key(2)), Known::InProgress, "what is being executed never is");
        cache.replied(at(15), key(3), Some(Bytes::from_static(&[0; 100])));
        cache.replied(at(15), key(2), None);
        assert_eq!(cache.look_up(at(24), key(4)), Known::Full);
        assert_eq!(cache.look_up(at(25), key(4)), Known::New);
        assert_eq!(cache.bytes, 0);
    }
}
