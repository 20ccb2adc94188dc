//! Seeded hashing: maps whose order and cost depend on the stack's seed alone, and can't be flooded by a peer.

use core::hash::{BuildHasher, Hasher};
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

/// Builds hashers for keys of a few 32-bit words: a port, the ends of a connection.
///
/// It is multilinear hashing, `k0 + k1 * w1 + k2 * w2 + k3 * w3` modulo 2^64, whose upper half is strongly universal: to
/// whoever doesn't know the keys, any two inputs collide in it with odds of one to 2^32 (Lemire and Kaser, "Strongly
/// universal string hashing is fast", 2014). It takes a few multiplications where SipHash takes 170 instructions. Unlike
/// that one it is of use for maps only: who is shown what it makes can work out the keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordsState {
    keys: [u64; BLOCK_WORDS + 1],
}

/// Words that one sum takes.
const BLOCK_WORDS: usize = 3;

impl WordsState {
    /// A hasher state whose keys come from another one's.
    pub(crate) fn new(secret: KeyedState) -> WordsState {
        WordsState { keys: core::array::from_fn(|number| secret.hash_one(("words", number))) }
    }
}

impl BuildHasher for WordsState {
    type Hasher = WordsHasher;
    fn build_hasher(&self) -> WordsHasher {
        WordsHasher { keys: self.keys, sum: self.keys[0], words: 0 }
    }
}

/// See [`WordsState`].
pub(crate) struct WordsHasher {
    keys: [u64; BLOCK_WORDS + 1],
    sum: u64,
    /// Words in this sum.
    words: usize,
}

impl Hasher for WordsHasher {
    #[inline]
    fn write_u32(&mut self, word: u32) {
        if self.words == BLOCK_WORDS {
            // A longer key: what was made of the words before is the next sum's first word.
            (self.sum, self.words) =
                (self.keys[0].wrapping_add(self.keys[1].wrapping_mul(self.sum >> 32)), 1);
        }
        self.words += 1;
        self.sum = self.sum.wrapping_add(self.keys[self.words].wrapping_mul(u64::from(word)));
    }

    #[inline]
    fn write_u64(&mut self, words: u64) {
        self.write_u32((words >> 32) as u32);
        self.write_u32(words as u32);
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.write_u32(word.into());
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.write_u32(word.into());
    }

    #[inline]
    fn write_usize(&mut self, words: usize) {
        self.write_u64(words as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(4) {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u32(u32::from_be_bytes(word));
        }
    }

    /// Spreads the sum over all bits, as a map looks at the lowest and the uppermost: sums of keys in a row are in a row.
    #[inline]
    fn finish(&self) -> u64 {
        let folded = (self.sum ^ (self.sum >> 32)).wrapping_mul(ODD);
        folded ^ (folded >> 32)
    }
}

/// 2^64 divided by the golden ratio: an odd number without a pattern, so that multiplying by it loses nothing.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash map keyed from the stack's seed, for keys of a few words.
pub(crate) type WordsMap<K, V> = std::collections::HashMap<K, V, WordsState>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn state(seed: u64) -> WordsState {
        WordsState::new(KeyedState::new((seed, !seed)))
    }

    /// How many of 2^16 keys have a place of their own among 2^16, and how many tags (the upper seven bits) there are.
    fn spread(seed: u64, key: impl Fn(u32) -> (u32, u32, u32)) -> (usize, usize) {
        let hashes: Vec<u64> = (0..1 << 16).map(|number| state(seed).hash_one(key(number))).collect();
        let places: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
        let tags: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        (places.len(), tags.len())
    }

    #[test]
    fn keys_that_are_alike_spread_as_random_ones_would() {
        // Random ones take 1 - 1/e of the places: 41,427 of 65,536.
        for seed in 0..64 {
            let ports = spread(seed, |number| (0x0a00_0001, 0x0a00_0002, 0x0050_0000 | number));
            let addresses = spread(seed, |number| (0x0a00_0001, number, 0x0050_1000));
            let shifted = spread(seed, |number| (0x0a00_0001, number << 16, 0x0050_1000));
            for (places, tags) in [ports, addresses, shifted] {
                assert!(places > 38_000 && tags == 128, "seed {seed}: {places} places, {tags} tags");
            }
        }
    }

    #[test]
    fn every_word_counts_in_keys_of_any_length() {
        let state = state(7);
        for len in 1..=10 {
            let words = vec![1u32; len];
            let hash = |words: &[u32]| {
                let mut hasher = state.build_hasher();
                words.iter().for_each(|&word| hasher.write_u32(word));
                hasher.finish()
            };
            let mut seen = BTreeSet::from([hash(&words)]);
            for at in 0..len {
                let mut other = words.clone();
                other[at] = 2;
                assert!(seen.insert(hash(&other)), "{len} words, another {at}");
            }
        }
        assert_ne!(state.hash_one([1u8, 2, 3]), state.hash_one([1u8, 2, 4]));
        assert_ne!(
            state.hash_one(1u32),
            super::tests::state(8).hash_one(1u32),
            "another secret, another hash"
        );
    }
}
