//! What came of the messages that reached a server, counted by name.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a message, or a peer, got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dropped {
    /// Too short for a call, or of a type that there isn't.
    Nonsense,
    /// A reply, sent to a server.
    Reply,
    /// The duplicate of a call that is being executed: its reply is to come.
    DuplicateInProgress,
    /// A call for which the duplicate-request cache had no room.
    CacheFull,
    /// A call that the service doesn't answer, by its policy.
    Policy,
    /// An orphan: its caller's machine has restarted since.
    Orphan,
    /// A connection beyond the limit.
    ConnectionLimit,
    /// A connection that was silent for too long.
    SilentPeer,
    /// A connection that took too long for a record, or for taking a reply.
    SlowPeer,
    /// A connection whose record was too long, or of too many fragments.
    BadRecord,
    /// A reply that could not be sent.
    Unsendable,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Dropped; 11] = [
        Dropped::Nonsense,
        Dropped::Reply,
        Dropped::DuplicateInProgress,
        Dropped::CacheFull,
        Dropped::Policy,
        Dropped::Orphan,
        Dropped::ConnectionLimit,
        Dropped::SilentPeer,
        Dropped::SlowPeer,
        Dropped::BadRecord,
        Dropped::Unsendable,
    ];
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Dropped::Nonsense => "no call",
            Dropped::Reply => "a reply, sent to a server",
            Dropped::DuplicateInProgress => "duplicate of a call in progress",
            Dropped::CacheFull => "duplicate-request cache full",
            Dropped::Policy => "not answered by policy",
            Dropped::Orphan => "orphan of a restarted client",
            Dropped::ConnectionLimit => "too many connections",
            Dropped::SilentPeer => "silent peer",
            Dropped::SlowPeer => "slow peer",
            Dropped::BadRecord => "bad record mark",
            Dropped::Unsendable => "reply could not be sent",
        })
    }
}

/// A server's counters at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Messages that came.
    pub messages: u64,
    /// Procedures that were begun.
    pub executed: u64,
    /// Duplicates that were replied to again from the cache.
    pub replayed: u64,
    /// Replies that carry an error of the protocol.
    pub errors: u64,
    dropped: [u64; Dropped::ALL.len()],
}

impl ServerCounts {
    /// How often something was dropped for this reason.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped.get(why as usize).copied().unwrap_or_default()
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) messages: AtomicU64,
    pub(super) executed: AtomicU64,
    pub(super) replayed: AtomicU64,
    pub(super) errors: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Counters {
    pub(super) fn drop(&self, why: Dropped) {
        log::debug!("dropped: {why}");
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> ServerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerCounts {
            messages: read(&self.messages),
            executed: read(&self.executed),
            replayed: read(&self.replayed),
            errors: read(&self.errors),
            dropped: self.dropped.each_ref().map(read),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
