//! The log of durable boxes: what is appended before anything is acknowledged, and what is read after a crash.
//!
//! - **In**: [`Entry`]s, in the order in which the boxes changed; a log's bytes at the start.
//! - **Out**: bytes to append; the entries of a log up to where it is torn.
//! - **Keeps**: nothing: the file is the office's.
//! - **Timers**: none.
//! - **RFC**: 4506 for the entries; CRC-32C (RFC 9260, appendix A) over each.
//! - **Never**: trusts a length or a byte that the checksum doesn't vouch for.
//!
//! ```text
//! +-------+-------+-------+-------+-------+-------+-------+-------+
//! |  "tapmail1"                                                   |  once, at the front
//! +=======+=======+=======+=======+=======+=======+=======+=======+
//! |  length of the entry          |  CRC-32C of length and entry  |  for each entry
//! +-------+-------+-------+-------+-------+-------+-------+-------+
//! |  the entry in XDR …
//! ```
//!
//! A crash can tear what was not synced: the end of the file may lack bytes or hold any. The first entry whose length
//! or checksum is wrong is where the log ends; what follows was never acknowledged, and is cut off.

mod coding;
mod crc;
#[cfg(test)]
mod tests;

use crate::store::Stored;
use crate::{BoxName, BoxOptions};
use bytes::BytesMut;
use crc::crc32c;
use tapstack::time::Instant;
use tapstack_xdr::{Decoder, Encoder};

/// What a log begins with.
pub(crate) const MAGIC: [u8; 8] = *b"tapmail1";

/// Bytes of an entry at most.
const ENTRY_BYTES_MAX: usize = 64 << 10;

/// Numbers of letters in one entry at most.
pub(crate) const IDS_MAX: usize = 1_024;

/// A change of durable state. Boxes have numbers here, since each letter names its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A box was made; letters below `next_id` are not to be numbered again.
    Made { number: u32, name: BoxName, options: BoxOptions, life: u64, next_id: u64 },
    /// A box was ended, with all in it.
    Ended { number: u32 },
    /// A letter came into a box.
    Put { number: u32, id: u64, stored: Stored },
    /// Letters left a box for good.
    Gone { number: u32, ids: Vec<u64> },
    /// Letters of effectively-once semantics were handed to a reader: nobody else may have them while it may live.
    Handed { number: u32, reader: u64, ids: Vec<u64> },
    /// A sender of effectively-once semantics is known, and all its messages before `next`.
    Stream { stream: u64, number: u32, next: u64 },
    /// A sender is forgotten.
    Forgotten { stream: u64 },
}

/// Appends entries to bytes for the disk.
///
/// Times to live are logged as what is left of them: clocks of different boots are not comparable, so a time to live
/// stands still while its host is down.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    bytes: BytesMut,
}

impl Journal {
    /// Appends an entry.
    pub(crate) fn put(&mut self, now: Instant, entry: &Entry) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 8]);
        let mut to = Encoder::onto(std::mem::take(&mut self.bytes), start + 8 + ENTRY_BYTES_MAX);
        let coded = entry.encode(now, &mut to);
        self.bytes = to.into_buffer();
        // Everything in an entry has a limit of its own that fits: see the tests.
        if let Err(error) = coded {
            log::error!("an entry can't be logged: {error}");
            self.bytes.truncate(start);
            return;
        }
        let (head, body) = self.bytes.get_mut(start..).unwrap_or_default().split_at_mut(8);
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let crc = crc32c(crc32c(0, &len), body).to_be_bytes();
        for (place, byte) in head.iter_mut().zip(len.into_iter().chain(crc)) {
            *place = byte;
        }
    }

    /// Takes what was appended since the last time.
    pub(crate) fn take(&mut self) -> BytesMut {
        self.bytes.split()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Reads a log from its front: hands every entry to `each`, and returns how many bytes were good. A file that doesn't
/// begin as a log has none.
pub(crate) fn replay(now: Instant, bytes: &[u8], mut each: impl FnMut(Entry)) -> usize {
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else { return 0 };
    while let Some((entry, after)) = next_entry(now, rest) {
        each(entry);
        rest = after;
    }
    bytes.len() - rest.len()
}

fn next_entry(now: Instant, bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let body_len = usize::try_from(u32::from_be_bytes(*len)).ok().filter(|len| *len <= ENTRY_BYTES_MAX)?;
    let (body, rest) = rest.split_at_checked(body_len)?;
    if crc32c(crc32c(0, len), body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut from = Decoder::new(body);
    let entry = Entry::decode(now, &mut from).ok()?;
    from.finish().ok()?;
    Some((entry, rest))
}
