//! The host's side of the protocol: records in, records out, boxes in between.
//!
//! - **In**: records of peers, with the time; that a peer's connection has ended; that the disk has a group.
//! - **Out**: records for peers, each after the disk has what it speaks of.
//! - **Keeps**: the boxes; up to [`STREAMS_MAX`] senders and [`READERS_MAX`] readers; a counter for whatever is dropped.
//! - **Timers**: times to live and the return of letters (`store`), long polls, silent senders and readers.
//! - **RFC**: 4506 for the records, 8085 (section 6) for what an unvalidated source may get.
//! - **Never**: answers an unvalidated source with more bytes than it sent; keeps anything for it; panics on its bytes.

mod guard;
mod readers;
mod streams;
#[cfg(test)]
mod tests;

pub use guard::Peer;
pub use streams::{HELD_BYTES_MAX, HELD_RECORDS_MAX, WINDOW_MESSAGES_MAX};

use crate::message::Refusal;
use crate::store::{Boxes, letter_bytes};
use crate::wire::{self, Answer, Ask, Header, ITEMS_MAX, LIST_MAX, Record};
use crate::{BoxName, BoxOptions};
use bytes::BytesMut;
use guard::Guard;
use readers::Readers;
use std::collections::{BTreeMap, VecDeque};
use streams::Streams;
use tapstack::time::{Duration, Instant};

/// Senders that are known at most.
pub const STREAMS_MAX: usize = 4_096;
/// Readers that are known at most.
pub const READERS_MAX: usize = 4_096;
/// A sender that was silent for so long is forgotten.
pub const STREAM_IDLE_MAX: Duration = Duration::from_secs(600);
/// A reader that was silent for so long is gone: what it has comes back.
pub const READER_IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a fetch may wait for its first letter.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(5);
/// Fetches of a reader that may be under way at once.
pub const FETCHES_MAX: u64 = 8;
/// A fetch for verdicts alone that is so many behind the latest one counts as one that has had its effect.
pub const SETTLING_WINDOW: u64 = u64::BITS as u64;

/// Records that wait to be sent, and as many that wait for the disk, at most.
pub const OUT_RECORDS_MAX: usize = 65_536;

/// How often silent peers are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What a host dropped or refused, by name, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Records that came.
    pub records_in: u64,
    /// Records that went.
    pub records_out: u64,
    /// Bytes that are no record, or one that only a host may send.
    pub malformed: u64,
    /// Records for an earlier incarnation, or from an unvalidated source.
    pub stale: u64,
    /// Messages that a sender's earlier copy had brought.
    pub duplicates: u64,
    /// Messages of at-most-once senders that came after later ones: dropped.
    pub late: u64,
    /// Records beyond a gap that were held; and those for which there was no room.
    pub held: u64,
    /// See [`Counters::held`].
    pub beyond_window: u64,
    /// Messages of senders that nobody knows.
    pub unknown_streams: u64,
    /// Fetches of readers that nobody knows.
    pub unknown_readers: u64,
    /// Fetches that came too early, or after they had been answered and heard.
    pub stray_fetches: u64,
    /// Verdicts about letters that the reader doesn't have.
    pub stray_verdicts: u64,
    /// Senders and readers that were refused since there are too many.
    pub busy: u64,
    /// Senders that were forgotten, and readers that were given up, because they were silent.
    pub silent: u64,
    /// Dead letters for which there was no place.
    pub dead_letters_lost: u64,
    /// Records that were not sent, since too many wait: who misses them asks again.
    pub unsaid: u64,
    /// Groups that the disk has.
    pub groups: u64,
}

/// A host of boxes, without its sockets and its disk.
#[derive(Debug)]
pub struct Server {
    boot: u64,
    guard: Guard,
    pub(crate) boxes: Boxes,
    streams: Streams,
    readers: Readers,
    out: VecDeque<(Peer, Header, Record)>,
    /// Records that wait for a group, in the order of their groups.
    held: VecDeque<(u64, Peer, Header, Record)>,
    next_sweep: Instant,
    /// There is no disk, or none that works.
    disk_failed: bool,
    counters: Counters,
}

impl Server {
    /// A host in a new incarnation. `boot` and `secret` are to be random.
    pub fn new(now: Instant, boot: u64, secret: [u8; 16]) -> Server {
        Server {
            boot,
            guard: Guard::new(secret),
            boxes: Boxes::new(boot),
            streams: Streams::default(),
            readers: Readers::default(),
            out: VecDeque::new(),
            held: VecDeque::new(),
            next_sweep: now + SWEEP,
            disk_failed: true,
            counters: Counters::default(),
        }
    }

    /// The host's incarnation.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters { dead_letters_lost: self.boxes.dead_letters_lost, ..self.counters }
    }

    /// Makes a box, as a program on the host does. Errors: see [`Refusal`].
    pub fn create(&mut self, now: Instant, name: &BoxName, options: &BoxOptions) -> Result<(), Refusal> {
        if options.durable && self.disk_failed {
            return Err(Refusal::DiskFailed);
        }
        self.boxes.create(now, name, options).map(drop)
    }

    /// Reads the log of earlier incarnations; returns how many of its bytes are good. To be called once, at the start, by
    /// whoever has a disk: without, there are no durable boxes.
    pub fn replay(&mut self, now: Instant, log: &[u8]) -> usize {
        self.disk_failed = false;
        let mut streams = BTreeMap::new();
        let boxes = &mut self.boxes;
        let good = crate::log::replay(now, log, |entry| boxes.replay(entry, &mut streams));
        self.boxes.replayed();
        self.streams.restore(now, streams);
        for (number, reader) in self.boxes.holders() {
            self.readers.restore(now, number, reader);
        }
        good
    }

    /// Takes in a datagram or a record of a connection. Returns whether it was one: a connection that brings something
    /// else has to be ended.
    pub fn handle(&mut self, now: Instant, peer: Peer, bytes: &[u8]) -> bool {
        self.counters.records_in += 1;
        let Ok(header) = wire::decode_header(bytes) else {
            self.counters.malformed += 1;
            return false;
        };
        let hello = bytes.len() == HELLO_BYTES && header == Header::default();
        if !hello && !self.is_ours(peer, header) {
            return true;
        }
        match wire::decode(bytes) {
            Ok((header, record)) => self.handle_record(now, peer, header, record),
            Err(error) => {
                log::debug!("{peer:?} sent what is no record: {error}");
                self.counters.malformed += 1;
                false
            }
        }
    }

    /// As [`Server::handle`], for a record that was never coded: that of a program on the host.
    pub fn handle_record(&mut self, now: Instant, peer: Peer, header: Header, record: Record) -> bool {
        if let Record::Hello { nonce } = record {
            self.send(peer, Record::Welcome { nonce });
            return true;
        }
        if !self.is_ours(peer, header) {
            return true;
        }
        match record {
            Record::Ask { request, ask } => {
                let answer = self.answer(now, peer, ask);
                self.send_after_disk(peer, Record::Answer { request, answer });
            }
            Record::Send { stream, first, heard, items } => {
                self.handle_send(now, peer, stream, first, heard, items);
            }
            Record::Fetch(fetch) => self.handle_fetch(now, peer, fetch),
            _ => {
                self.counters.malformed += 1;
                return false;
            }
        }
        true
    }

    /// Whether a record is for this incarnation and from where it says; else its sender learns who is here, in a record
    /// that is no longer than any other.
    fn is_ours(&mut self, peer: Peer, header: Header) -> bool {
        let ours = header.boot == self.boot && header.token == self.guard.token(peer);
        if !ours {
            self.counters.stale += 1;
            if self.out.len() < OUT_RECORDS_MAX {
                self.out.push_back((peer, Header { boot: self.boot, token: 0 }, Record::Stale));
            }
        }
        ours
    }

    fn answer(&mut self, now: Instant, peer: Peer, ask: Ask) -> Result<Answer, Refusal> {
        match ask {
            Ask::Create { name, options } => self.create(now, &name, &options).map(|()| Answer::Done),
            Ask::Delete { name } => {
                let number = self.boxes.find(&name).ok_or(Refusal::NoSuchBox)?;
                self.boxes.delete(now, number);
                Ok(Answer::Done)
            }
            Ask::List { after } => {
                let readers = &self.readers;
                let (boxes, more) = self.boxes.list(after.as_ref(), LIST_MAX, |number| readers.count(number));
                Ok(Answer::List { boxes, more })
            }
            Ask::Peek { name, max } => {
                let number = self.boxes.find(&name).ok_or(Refusal::NoSuchBox)?;
                let max = (max as usize).min(ITEMS_MAX);
                let mut letters =
                    self.boxes.get(number).map(|queue| queue.peek(now, max)).unwrap_or_default();
                letters.truncate(fitting(&letters, PEEK_BYTES_MAX));
                Ok(Answer::Peek { letters })
            }
            Ask::Open { stream, name, semantics, first } => {
                self.open_stream(now, peer, stream, &name, semantics, first)
            }
            Ask::Close { stream } => {
                self.close_stream(now, stream);
                Ok(Answer::Done)
            }
            Ask::Attach { reader, name } => self.attach(now, peer, reader, &name),
            Ask::Detach { reader } => {
                self.detach(now, reader);
                Ok(Answer::Done)
            }
        }
    }

    /// The next record to be sent. Before asking, say [`Server::settle`].
    pub fn poll_out(&mut self) -> Option<(Peer, Header, Record)> {
        let next = self.out.pop_front();
        self.counters.records_out += u64::from(next.is_some());
        next
    }

    /// Draws the conclusions of all that was handled since the last time: letters for fetches that wait, room for
    /// senders that wait, one acknowledgement for each sender.
    pub fn settle(&mut self, now: Instant) {
        for number in self.boxes.take_changed() {
            self.serve_waiting(now, number);
            self.release_blocked(number);
        }
        self.acknowledge();
    }

    /// When [`Server::handle_timeout`] has something to do next, or a little earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sweep = (!self.streams.is_empty() || !self.readers.is_empty()).then_some(self.next_sweep);
        [sweep, self.boxes.deadline(), self.readers.deadline()].into_iter().flatten().min()
    }

    /// Handles what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.boxes.handle_timeout(now);
        self.end_waits(now);
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sweep_streams(now);
            self.sweep_readers(now);
        }
    }

    /// What is to be appended to the log, after which [`Server::committed`] is to be said. None while there is nothing,
    /// or an earlier group isn't committed.
    pub fn take_group(&mut self) -> Option<BytesMut> {
        self.boxes.take_group()
    }

    /// A whole new log in place of the old one and of the group that was just taken.
    pub fn snapshot(&self, now: Instant) -> BytesMut {
        self.boxes.snapshot(now, self.streams.logged())
    }

    /// The disk has the group that was taken last.
    pub fn committed(&mut self) {
        let done = self.boxes.committed();
        self.counters.groups = done;
        while self.held.front().is_some_and(|(group, ..)| *group < done) {
            if let Some((_, peer, header, record)) = self.held.pop_front() {
                self.out.push_back((peer, header, record));
            }
        }
        self.streams.committed(done);
    }

    /// The disk failed: nothing that waits for it is ever said, and durable boxes take nothing more.
    pub fn disk_failed(&mut self) {
        self.disk_failed = true;
        self.held.clear();
    }

    fn send(&mut self, peer: Peer, record: Record) {
        if self.out.len() >= OUT_RECORDS_MAX {
            self.counters.unsaid += 1;
            return;
        }
        let header = self.header(peer);
        self.out.push_back((peer, header, record));
    }

    /// Sends a record when the disk has all that was journalled so far.
    fn send_after_disk(&mut self, peer: Peer, record: Record) {
        match self.boxes.open_group() {
            Some(_) if self.disk_failed || self.held.len() >= OUT_RECORDS_MAX => self.counters.unsaid += 1,
            Some(group) => self.held.push_back((group, peer, self.header(peer), record)),
            None => self.send(peer, record),
        }
    }

    fn header(&self, peer: Peer) -> Header {
        Header { boot: self.boot, token: self.guard.token(peer) }
    }
}

/// How many of the letters fit into so many bytes; the first always does.
fn fitting(letters: &[crate::Letter], bytes_max: usize) -> usize {
    let sizes = letters.iter().map(letter_bytes);
    let sums = sizes.scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= bytes_max).count().max(1)
}

/// Bytes of a hello.
const HELLO_BYTES: usize = wire::HEADER_BYTES + 8;
/// Bytes of letters in the answer to a peek.
const PEEK_BYTES_MAX: usize = 32 << 10;
