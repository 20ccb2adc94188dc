//! The redo log: a checkpoint, and the records since, in one file.
//!
//! ```text
//! +--------+----------+----------------------------+
//! | length | checksum | number, call?, effects     |   a record; all numbers are big-endian
//! |   u32  |   u64    | (XDR)                      |
//! +--------+----------+----------------------------+
//! ```
//!
//! The first entry of a file is a checkpoint, marked by its length's highest bit. A file takes the place of its
//! predecessor by being renamed over it after it was synced, so a log always begins whole. Only its end can be torn: the
//! first entry whose checksum is wrong, and all that follows, was told to nobody.

use super::window::Call;
use crate::server::checksum;
use bytes::Bytes;
use std::io;
use tapstack::net::{Disk, File};
use tapstack_xdr::{Decode, Decoder, Encode, Encoder, Error, LENGTH_MAX};

/// Bytes of a checkpoint at most.
const CHECKPOINT_BYTES_MAX: usize = 512 << 20;
/// Bytes of a log that is read at most: a checkpoint as long as that, as much of records, and what was last added.
const LOG_READ_BYTES_MAX: usize = 3 * CHECKPOINT_BYTES_MAX;

const HEAD_BYTES: usize = 12;
const CHECKPOINT: u32 = 1 << 31;

/// What one call did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// One more than that of the record before.
    pub(super) number: u64,
    /// The call, with its results; none for idempotent ones.
    pub(super) call: Option<Call>,
    pub(super) effects: Bytes,
}

/// All that the records up to one did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) number: u64,
    pub(super) snapshot: Bytes,
    pub(super) clients: Vec<Call>,
}

/// What a log holds.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) records: Vec<Record>,
}

/// An open log.
pub(super) struct Log {
    disk: Disk,
    name: String,
    file: File,
    len: u64,
    /// Where the log gives way to a checkpoint: what was asked for, or twice the last checkpoint if that is more.
    len_max: u64,
    len_max_asked: u64,
}

impl Log {
    /// Opens a log, and reads what it holds.
    pub(super) async fn open(disk: Disk, name: &str, len_max: u64) -> io::Result<(Log, Recovered)> {
        let name = format!("{name}.log");
        let (file, recovered, len) = match disk.open(&name) {
            Ok(file) => {
                let bytes = Bytes::from(file.read_all(LOG_READ_BYTES_MAX)?);
                let (recovered, len) = read(&bytes);
                if !bytes.is_empty() && recovered.checkpoint.is_none() {
                    let text =
                        format!("{name} doesn't begin with a checkpoint: it is no log, or was damaged");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                // What is cut off must not become whole again by what is written behind it.
                file.truncate(len as u64)?;
                (file, recovered, len as u64)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (disk.create(&name)?, Recovered::default(), 0)
            }
            Err(error) => return Err(error),
        };
        file.sync().await?;
        let mut log = Log { disk, name, file, len, len_max, len_max_asked: len_max };
        if recovered.checkpoint.is_none() {
            log.begin_anew(&Checkpoint::default()).await?;
            return Ok((log, Recovered::default()));
        }
        Ok((log, recovered))
    }

    /// Whether a checkpoint should take the log's place before so many bytes are added.
    pub(super) fn is_long(&self, more: usize) -> bool {
        self.len + more as u64 > self.len_max
    }

    /// Adds records, and has them on the disk.
    pub(super) async fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.append(records)?;
        self.len += records.len() as u64;
        self.file.sync().await
    }

    /// Begins a new file with a checkpoint, and has it on the disk in the old one's place.
    pub(super) async fn begin_anew(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let mut entry = Vec::new();
        let too_long = |error| io::Error::new(io::ErrorKind::FileTooLarge, error);
        append_entry(&mut entry, CHECKPOINT, checkpoint, CHECKPOINT_BYTES_MAX).map_err(too_long)?;
        let fresh = format!("{}.new", self.name);
        let file = self.disk.create(&fresh)?;
        file.truncate(0)?;
        file.append(&entry)?;
        file.sync().await?;
        self.disk.rename(&fresh, &self.name)?;
        self.disk.sync().await?;
        self.file = file;
        self.len = entry.len() as u64;
        self.len_max = self.len_max_asked.max(2 * self.len);
        Ok(())
    }
}

/// Reads entries until one is torn; says how many bytes are whole.
fn read(bytes: &Bytes) -> (Recovered, usize) {
    let (mut recovered, mut whole) = (Recovered::default(), 0);
    let mut last = 0;
    while let Some((mark, payload)) = read_entry(bytes, whole) {
        let end = whole + HEAD_BYTES + payload.len();
        if mark == CHECKPOINT {
            // Only the first entry is one.
            let Some(checkpoint) = decode::<Checkpoint>(&payload).filter(|_| whole == 0) else { break };
            last = checkpoint.number;
            recovered.checkpoint = Some(checkpoint);
        } else {
            let Some(record) = decode::<Record>(&payload).filter(|record| record.number == last + 1) else {
                break;
            };
            last = record.number;
            recovered.records.push(record);
        }
        whole = end;
    }
    (recovered, whole)
}

/// The entry at `at`: its mark and its payload. None if it isn't whole.
fn read_entry(bytes: &Bytes, at: usize) -> Option<(u32, Bytes)> {
    let mut from = Decoder::new(bytes.get(at..)?);
    let (length, sum) = (from.take_u32().ok()?, from.take_u64().ok()?);
    let len = (length & !CHECKPOINT) as usize;
    let begin = at + HEAD_BYTES;
    let end = begin.checked_add(len).filter(|end| *end <= bytes.len())?;
    let payload = bytes.slice(begin..end);
    (checksum(&payload) == sum).then_some((length & CHECKPOINT, payload))
}

fn decode<T: Decode>(payload: &Bytes) -> Option<T> {
    // What we wrote ourselves may take what memory it takes.
    let mut from = Decoder::shared(payload).memory_max(usize::MAX);
    let value = T::decode(&mut from).ok()?;
    from.finish().ok().map(|()| value)
}

fn append_entry<T: Encode>(to: &mut Vec<u8>, mark: u32, value: &T, bytes_max: usize) -> Result<(), Error> {
    let payload = tapstack_xdr::to_bytes(value, bytes_max)?;
    to.extend_from_slice(&(mark | payload.len() as u32).to_be_bytes());
    to.extend_from_slice(&checksum(&payload).to_be_bytes());
    to.extend_from_slice(&payload);
    Ok(())
}

impl Record {
    /// Appends the record as the log has it.
    pub(super) fn append_to(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        append_entry(to, 0, self, 4 * super::LOGGED_BYTES_MAX)
    }
}

impl Encode for Record {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_u64(self.number)?;
        to.put(&self.call)?;
        to.put_opaque(&self.effects, super::LOGGED_BYTES_MAX)
    }
}

impl Decode for Record {
    fn decode(from: &mut Decoder<'_>) -> Result<Record, Error> {
        Ok(Record {
            number: from.take_u64()?,
            call: from.take()?,
            effects: from.take_bytes(super::LOGGED_BYTES_MAX)?,
        })
    }
}

impl Encode for Checkpoint {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_u64(self.number)?;
        to.put_opaque(&self.snapshot, LENGTH_MAX)?;
        to.put(&self.clients)
    }
}

impl Decode for Checkpoint {
    fn decode(from: &mut Decoder<'_>) -> Result<Checkpoint, Error> {
        Ok(Checkpoint {
            number: from.take_u64()?,
            snapshot: from.take_bytes(LENGTH_MAX)?,
            clients: from.take()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_log_is_read_up_to_the_tear_and_no_further() {
        let mut bytes = Vec::new();
        let checkpoint =
            Checkpoint { number: 5, snapshot: Bytes::from_static(b"state"), clients: Vec::new() };
        append_entry(&mut bytes, CHECKPOINT, &checkpoint, 1000).unwrap();
        let mut ends = vec![bytes.len()];
        for number in 6..10 {
            Record { number, call: None, effects: Bytes::from(vec![1; number as usize]) }
                .append_to(&mut bytes)
                .unwrap();
            ends.push(bytes.len());
        }
        for cut in ends[0]..=bytes.len() {
            let (recovered, whole) = read(&Bytes::copy_from_slice(&bytes[..cut]));
            let expected = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(recovered.checkpoint.as_ref(), Some(&checkpoint));
            assert_eq!((recovered.records.len() + 1, whole), (expected, ends[expected - 1]));
        }
        // A hole in the middle ends it, too: what follows was not told to anybody either.
        bytes[ends[1] + 20] ^= 1;
        let (recovered, whole) = read(&Bytes::from(bytes));
        assert_eq!((recovered.records.len(), whole), (1, ends[1]));
    }
}
