//! Seeded hashing: maps whose order and cost depend on the stack's seed alone, and can't be flooded by a peer.

use core::hash::BuildHasher;
use siphasher::sip::SipHasher13;

/// Builds SipHash-1-3 hashers from a 128-bit key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedState {
    key: (u64, u64),
}

impl KeyedState {
    /// A hasher state with this key.
    pub(crate) const fn new(key: (u64, u64)) -> KeyedState {
        KeyedState { key }
    }
}

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// A hash map keyed from the stack's seed.
pub(crate) type KeyedMap<K, V> = std::collections::HashMap<K, V, KeyedState>;
