//! Which connection a segment belongs to: a keyed hash table over address and port pairs.

use super::TimeWaitId;
use crate::hash::WordsMap;
use crate::stack::Context;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use std::collections::hash_map::Entry;

/// Names a connection; a slot's later connections have other generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
}

impl Tuple {
    pub(crate) fn local(&self) -> SocketAddr {
        self.local.into()
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote.into()
    }
}

impl Hash for Tuple {
    /// The twelve bytes that tell IPv4 connections apart, and nothing else: the derived way hashes four times as many, once
    /// a segment.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Tuple { local, remote } = *self;
        match (local.0, remote.0) {
            (IpAddr::V4(local_address), IpAddr::V4(remote_address)) => {
                state.write_u64(
                    u64::from(local_address.to_bits()) << 32 | u64::from(remote_address.to_bits()),
                );
                state.write_u32(u32::from(local.1) << 16 | u32::from(remote.1));
            }
            _ => (local, remote).hash(state),
        }
    }
}

/// What a pair of ends leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Connection(ConnectionId),
    TimeWait(TimeWaitId),
}

/// The table. Its order is never looked at, its hash is keyed from the seed: repeatable, and hard to flood.
pub(crate) struct Demux {
    slots: WordsMap<Tuple, Slot>,
}

impl Demux {
    pub(crate) fn new(cx: &Context) -> Demux {
        Demux { slots: WordsMap::with_hasher(cx.keys.words) }
    }

    pub(crate) fn get(&self, tuple: &Tuple) -> Option<Slot> {
        self.slots.get(tuple).copied()
    }

    pub(crate) fn insert(&mut self, tuple: Tuple, slot: Slot) {
        self.slots.insert(tuple, slot);
    }

    /// Removes the pair's entry if it still leads to `slot`.
    pub(crate) fn remove(&mut self, tuple: &Tuple, slot: Slot) {
        if let Entry::Occupied(entry) = self.slots.entry(*tuple)
            && *entry.get() == slot
        {
            entry.remove();
        }
    }
}
