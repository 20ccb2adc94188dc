//! Streams of bytes that both ends can make by themselves, so that what arrives is compared byte for byte.

/// A stream that follows from its name. No stretch of it repeats another, so bytes that are lost, doubled or moved
/// are found at once.
#[derive(Clone, Debug)]
pub struct Stream {
    name: u64,
    position: u64,
    scratch: Vec<u8>,
}

impl Stream {
    /// The stream of this name, from its start.
    pub fn new(name: u64) -> Stream {
        Stream { name, position: 0, scratch: Vec::new() }
    }

    /// How many bytes were made or compared so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Fills `buffer` with the next bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        let mut rest = buffer;
        while !rest.is_empty() {
            let (word, skip) = (self.word(self.position / 8), (self.position % 8) as usize);
            let piece = &word[skip..];
            let len = piece.len().min(rest.len());
            rest[..len].copy_from_slice(&piece[..len]);
            self.position += len as u64;
            rest = &mut rest[len..];
        }
    }

    /// Compares `bytes` with the next ones of the stream.
    ///
    /// # Panics
    /// When they differ; the message says where.
    pub fn check(&mut self, bytes: &[u8]) {
        let start = self.position;
        let mut expected = std::mem::take(&mut self.scratch);
        expected.resize(bytes.len(), 0);
        self.fill(&mut expected);
        if expected != bytes {
            let at = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            panic!(
                "stream {:#x} differs at byte {} (in {} bytes)",
                self.name,
                start + at as u64,
                bytes.len()
            );
        }
        self.scratch = expected;
    }

    /// Eight bytes: a mix of name and place (the finalizer of SplitMix64, which is a bijection of the place).
    fn word(&self, index: u64) -> [u8; 8] {
        let mut x = self.name.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_any_pieces() {
        let mut whole = [0; 100];
        Stream::new(7).fill(&mut whole);
        let mut pieces = Stream::new(7);
        for piece in whole.chunks(13) {
            pieces.check(piece);
        }
        assert_eq!(pieces.position(), 100);
    }

    #[test]
    #[should_panic(expected = "differs at byte 9")]
    fn a_wrong_byte_is_found() {
        let mut bytes = [0; 16];
        Stream::new(7).fill(&mut bytes);
        bytes[9] ^= 1;
        Stream::new(7).check(&bytes);
    }
}
