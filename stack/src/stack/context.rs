//! What every layer is handed: the time of the call, counters, randomness from the seed, and the event queue.

use super::{Counters, Ports};
use crate::frame::DropReason;
use crate::hash::{KeyedState, WordsState};
use crate::socket::{SocketId, Sockets};
use crate::time::Instant;
use std::collections::VecDeque;

/// Handed down through the layers with every call.
pub(crate) struct Context {
    /// The time of the current call.
    pub(crate) now: Instant,
    pub(crate) counters: Counters,
    pub(crate) rng: fastrand::Rng,
    pub(crate) keys: Keys,
    pub(crate) ports: Ports,
    events: VecDeque<SocketId>,
}

/// Secrets derived from the seed, one for each purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// Keys the hash maps.
    pub(crate) maps: KeyedState,
    /// Keys those whose keys are a few words.
    pub(crate) words: WordsState,
    /// Initial sequence numbers (RFC 6528).
    pub(crate) isn: KeyedState,
    /// Timestamp offsets (RFC 7323 section 5.4).
    pub(crate) timestamps: KeyedState,
    /// Ephemeral ports (RFC 6056).
    pub(crate) ports: KeyedState,
    /// SYN cookies (RFC 4987).
    pub(crate) cookies: KeyedState,
    /// IPv4 identification (RFC 7739's lesson).
    pub(crate) idents: KeyedState,
}

impl Context {
    pub(crate) fn new(now: Instant, seed: u64) -> Context {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut key = || KeyedState::new((rng.u64(..), rng.u64(..)));
        let maps = key();
        let keys = Keys {
            maps,
            words: WordsState::new(maps),
            isn: key(),
            timestamps: key(),
            ports: key(),
            cookies: key(),
            idents: key(),
        };
        Context {
            now,
            counters: Counters::default(),
            rng,
            keys,
            ports: Ports::new(),
            events: VecDeque::new(),
        }
    }

    /// Counts a drop and returns its outcome.
    pub(crate) fn drop(&mut self, reason: DropReason) -> crate::frame::Outcome {
        self.counters.count_drop(reason);
        crate::frame::Outcome::Dropped(reason)
    }

    /// Notes that a socket's readiness may have changed; once until the event is taken.
    pub(crate) fn wake(&mut self, sockets: &mut Sockets, id: SocketId) {
        if let Some(entry) = sockets.entry(id)
            && !entry.event_queued
        {
            entry.event_queued = true;
            self.events.push_back(id);
        }
    }

    /// Whether [`Context::next_event`] has one.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next socket whose readiness may have changed.
    pub(crate) fn next_event(&mut self) -> Option<SocketId> {
        self.events.pop_front()
    }
}
