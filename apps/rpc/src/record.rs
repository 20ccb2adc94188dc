//! Record marking: messages on a stream, each in fragments (RFC 5531 section 11).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-------------------------------------------------------------+
//! |L|             length of the fragment, in bytes                |   L: it is the record's last
//! +-+-------------------------------------------------------------+
//! ```

use bytes::{Bytes, BytesMut};
use std::fmt;

/// Fragments of a record at most: a peer that sends bytes one by one would cost more than its record is worth.
pub const FRAGMENTS_MAX: u32 = 1024;

/// Bytes before each fragment.
const MARK_BYTES: usize = 4;
const LAST: u32 = 1 << 31;

/// Why a stream can't be read on: where the next record begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A record would become longer than the limit.
    TooLong,
    /// A record has more than [`FRAGMENTS_MAX`] fragments.
    TooManyFragments,
}

/// Takes records out of a stream's bytes, as they come.
#[derive(Debug)]
pub struct RecordReader {
    bytes_max: usize,
    /// What came and isn't in a record yet.
    buffer: BytesMut,
    /// The record so far.
    record: BytesMut,
    fragments: u32,
    /// What is left of the present fragment, and whether it is the last.
    fragment: Option<(usize, bool)>,
}

impl RecordReader {
    /// A reader of records of `bytes_max` bytes at most.
    pub fn new(bytes_max: usize) -> RecordReader {
        RecordReader {
            bytes_max,
            buffer: BytesMut::new(),
            record: BytesMut::new(),
            fragments: 0,
            fragment: None,
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the stream may end here: no record has begun.
    pub fn is_between_records(&self) -> bool {
        self.buffer.is_empty() && self.fragment.is_none() && self.fragments == 0
    }

    /// The next record that is whole. Errors: the stream has to be closed.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        loop {
            let (left, last) = match self.fragment {
                Some(fragment) => fragment,
                None => {
                    let Some(mark) = self.buffer.first_chunk::<MARK_BYTES>() else { return Ok(None) };
                    let mark = u32::from_be_bytes(*mark);
                    let len = (mark & !LAST) as usize;
                    // Held against the limit before anything of it is taken in.
                    if len > self.bytes_max.saturating_sub(self.record.len()) {
                        return Err(RecordError::TooLong);
                    }
                    self.fragments += 1;
                    if self.fragments > FRAGMENTS_MAX {
                        return Err(RecordError::TooManyFragments);
                    }
                    let _mark = self.buffer.split_to(MARK_BYTES);
                    (len, mark & LAST != 0)
                }
            };
            let taken = left.min(self.buffer.len());
            let part = self.buffer.split_to(taken);
            if self.record.is_empty() {
                self.record = part;
            } else {
                self.record.extend_from_slice(&part);
            }
            if taken < left {
                self.fragment = Some((left - taken, last));
                return Ok(None);
            }
            self.fragment = None;
            if last {
                self.fragments = 0;
                return Ok(Some(self.record.split().freeze()));
            }
        }
    }
}

/// A message as one record of one fragment.
pub fn to_record(message: &[u8]) -> Bytes {
    // No message of ours comes near 2 GiB: encoders have limits.
    let mark = LAST | message.len() as u32;
    let mut record = BytesMut::with_capacity(MARK_BYTES + message.len());
    record.extend_from_slice(&mark.to_be_bytes());
    record.extend_from_slice(message);
    record.freeze()
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordError::TooLong => "a record is longer than the limit",
            RecordError::TooManyFragments => "a record has too many fragments",
        })
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_however_their_bytes_come() {
        let messages: [&[u8]; 4] = [b"one!", b"", b"a longer one", b"x"];
        let mut stream: Vec<u8> = messages.iter().flat_map(|m| to_record(m).to_vec()).collect();
        // And one in three fragments, an empty one among them.
        stream.extend([0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0x80, 0, 0, 1, b'c']);
        for step in 1..stream.len() {
            let (mut reader, mut found) = (RecordReader::new(100), Vec::new());
            for chunk in stream.chunks(step) {
                reader.push(chunk);
                while let Some(record) = reader.next_record().unwrap() {
                    found.push(record);
                }
            }
            assert_eq!(found.len(), 5, "in steps of {step}");
            assert!(found.iter().zip(messages).all(|(found, message)| found == message));
            assert_eq!(found[4], &b"abc"[..]);
            assert!(reader.is_between_records());
        }
    }

    #[test]
    fn lengths_and_fragments_are_bounded_before_anything_is_kept() {
        let mut reader = RecordReader::new(10);
        reader.push(&[0, 0, 0, 6, 1, 2, 3, 4, 5, 6, 0x80, 0, 0, 5]);
        assert_eq!(reader.next_record(), Err(RecordError::TooLong));
        let mut reader = RecordReader::new(10);
        reader.push(&[0xff; 4]);
        assert_eq!(reader.next_record(), Err(RecordError::TooLong));
        let mut reader = RecordReader::new(10);
        reader.push(&[0; 4 * (FRAGMENTS_MAX as usize + 1)]);
        assert_eq!(reader.next_record(), Err(RecordError::TooManyFragments));
    }
}
