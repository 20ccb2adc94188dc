//! Senders as their host knows them: what has come of each, in which order, and what it has to be told.

use super::{Peer, STREAM_IDLE_MAX, STREAMS_MAX, Server};
use crate::BoxName;
use crate::log::Entry;
use crate::message::{Message, Refusal, Semantics, StreamSeq};
use crate::store::{Admitted, LoggedStream};
use crate::wire::{Ack, Answer, RANGES_MAX, REFUSALS_MAX, Record};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapstack::time::Instant;

/// Records beyond a gap that are held for a sender at most.
pub const HELD_RECORDS_MAX: usize = 64;

/// Bytes of such records at most, of all senders together.
pub const HELD_BYTES_MAX: usize = 32 << 20;

/// Messages that a sender may have under way at most.
pub const WINDOW_MESSAGES_MAX: u64 = 4_096;

/// All senders of a host.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: BTreeMap<u64, Stream>,
    /// Bytes of all records that are held beyond a gap.
    held_bytes: usize,
    /// Those that are to be acknowledged.
    dirty: BTreeSet<u64>,
    /// Those that wait for room in a box, first come first served.
    blocked: BTreeMap<u32, VecDeque<u64>>,
}

#[derive(Debug)]
struct Stream {
    /// Where it was heard last; none since the host came up again.
    peer: Option<Peer>,
    number: u32,
    semantics: Semantics,
    durable: bool,
    /// All before this number have been taken or refused.
    next: u64,
    /// What of that may be acknowledged.
    acked: u64,
    /// Up to where the disk will have it, by group.
    committing: VecDeque<(u64, u64)>,
    /// Records beyond a gap, by the number of their first message.
    beyond: BTreeMap<u64, Vec<Message>>,
    /// What was refused, until the sender has heard it.
    refused: BTreeMap<u64, Refusal>,
    is_blocked: bool,
    /// Whether it comes from the log.
    restored: bool,
    heard_at: Instant,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Brings back what the log says about senders.
    pub(super) fn restore(&mut self, now: Instant, logged: BTreeMap<u64, LoggedStream>) {
        for (id, LoggedStream { number, next }) in logged {
            let stream = Stream::new(now, None, number, Semantics::EffectivelyOnce, true, next);
            self.streams.insert(id, Stream { restored: true, ..stream });
        }
    }

    /// What the log has to say about senders.
    pub(super) fn logged(&self) -> impl Iterator<Item = (u64, LoggedStream)> {
        let logged = self.streams.iter().filter(|(_, stream)| stream.is_logged());
        logged.map(|(id, stream)| (*id, LoggedStream { number: stream.number, next: stream.next }))
    }

    /// So many groups are on the disk: what is in them may be acknowledged.
    pub(super) fn committed(&mut self, groups: u64) {
        for (id, stream) in &mut self.streams {
            while let Some(&(group, next)) = stream.committing.front() {
                if group >= groups {
                    break;
                }
                stream.committing.pop_front();
                stream.acked = next;
                self.dirty.insert(*id);
            }
        }
    }
}

impl Stream {
    fn new(
        now: Instant,
        peer: Option<Peer>,
        number: u32,
        semantics: Semantics,
        durable: bool,
        next: u64,
    ) -> Stream {
        Stream {
            peer,
            number,
            semantics,
            durable,
            next,
            acked: next,
            committing: VecDeque::new(),
            beyond: BTreeMap::new(),
            refused: BTreeMap::new(),
            is_blocked: false,
            restored: false,
            heard_at: now,
        }
    }

    fn is_logged(&self) -> bool {
        self.durable && self.semantics == Semantics::EffectivelyOnce
    }

    /// Drops what is held beyond the gap; returns how many bytes that were.
    fn drop_held(&mut self) -> usize {
        std::mem::take(&mut self.beyond).values().map(|items| held_bytes(items)).sum()
    }

    /// The runs of messages beyond the gap.
    fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (&first, items) in &self.beyond {
            let end = first + items.len() as u64;
            let full = ranges.len() == RANGES_MAX;
            match ranges.last_mut() {
                Some(last) if last.1 >= first => last.1 = last.1.max(end),
                _ if full => break,
                _ => ranges.push((first, end)),
            }
        }
        ranges
    }
}

/// What messages take, about.
fn held_bytes(items: &[Message]) -> usize {
    items.iter().map(|message| size_of::<Message>() + message.body.len()).sum()
}

impl Server {
    /// Opens a sender. One that is known goes on where it was, from wherever it asks now.
    pub(super) fn open_stream(
        &mut self,
        now: Instant,
        peer: Peer,
        id: u64,
        name: &BoxName,
        semantics: Semantics,
        first: u64,
    ) -> Result<Answer, Refusal> {
        let number = self.boxes.find(name).ok_or(Refusal::NoSuchBox)?;
        let queue = self.boxes.get(number).ok_or(Refusal::NoSuchBox)?;
        let (durable, room) = (queue.options.durable, queue.room());
        if durable && self.disk_failed {
            return Err(Refusal::DiskFailed);
        }
        if let Some(stream) = self.streams.streams.get_mut(&id) {
            if (stream.number, stream.semantics) != (number, semantics) {
                return Err(Refusal::Malformed);
            }
            (stream.peer, stream.heard_at) = (Some(peer), now);
            // The sender may know of refusals that the log doesn't; it never goes back behind what it has heard.
            stream.next = stream.next.max(first);
            stream.acked = stream.acked.max(first.min(stream.next));
            return Ok(Answer::Opened { restored: stream.restored, next: stream.next, room });
        }
        if self.streams.streams.len() >= STREAMS_MAX {
            self.counters.busy += 1;
            return Err(Refusal::Busy);
        }
        let stream = Stream::new(now, Some(peer), number, semantics, durable, first);
        if stream.is_logged() {
            self.boxes.journal(now, &Entry::Stream { stream: id, number, next: first });
        }
        self.streams.streams.insert(id, stream);
        Ok(Answer::Opened { restored: false, next: first, room })
    }

    /// Forgets a sender.
    pub(super) fn close_stream(&mut self, now: Instant, id: u64) {
        let Some(mut stream) = self.streams.streams.remove(&id) else { return };
        self.streams.held_bytes -= stream.drop_held();
        self.streams.dirty.remove(&id);
        if let Some(waiting) = self.streams.blocked.get_mut(&stream.number) {
            waiting.retain(|one| *one != id);
        }
        if stream.is_logged() {
            self.boxes.journal(now, &Entry::Forgotten { stream: id });
        }
    }

    /// Messages of a sender came.
    pub(super) fn handle_send(
        &mut self,
        now: Instant,
        peer: Peer,
        id: u64,
        first: u64,
        heard: u64,
        items: Vec<Message>,
    ) {
        let Some(stream) = self.streams.streams.get_mut(&id) else {
            self.counters.unknown_streams += 1;
            let refused = vec![(first, Refusal::Unknown)];
            self.send(peer, Record::Ack(Ack { stream: id, refused, ..Ack::default() }));
            return;
        };
        (stream.peer, stream.heard_at) = (Some(peer), now);
        stream.refused = stream.refused.split_off(&heard);
        self.streams.dirty.insert(id);
        // Numbers that no sender gets to in its life are an attack on the sums below.
        let Some(end) = first.checked_add(items.len() as u64).filter(|end| *end < u64::MAX / 2) else {
            self.counters.malformed += 1;
            return;
        };
        if stream.semantics != Semantics::AtMostOnce && first > stream.next {
            let bytes = held_bytes(&items);
            let has_room =
                stream.beyond.len() < HELD_RECORDS_MAX && self.streams.held_bytes + bytes <= HELD_BYTES_MAX;
            if stream.is_blocked || end > stream.next + WINDOW_MESSAGES_MAX || !has_room {
                self.counters.beyond_window += 1;
            } else {
                self.counters.held += 1;
                self.streams.held_bytes += bytes;
                let before = stream.beyond.insert(first, items);
                self.streams.held_bytes -= before.map_or(0, |items| held_bytes(&items));
            }
            return;
        }
        self.accept(now, id, first, items);
        while let Some((first, items)) = self.next_held(id) {
            self.accept(now, id, first, items);
        }
    }

    /// The held record that the gap before is closed to.
    fn next_held(&mut self, id: u64) -> Option<(u64, Vec<Message>)> {
        let stream = self.streams.streams.get_mut(&id)?;
        if stream.is_blocked {
            // They can't be taken for some time, and their sender has them.
            self.streams.held_bytes -= stream.drop_held();
            return None;
        }
        let first = stream.beyond.first_entry().filter(|entry| *entry.key() <= stream.next)?;
        let (first, items) = first.remove_entry();
        self.streams.held_bytes -= held_bytes(&items);
        Some((first, items))
    }

    /// Takes a run of messages that begins at or before what is expected.
    fn accept(&mut self, now: Instant, id: u64, first: u64, items: Vec<Message>) {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return };
        stream.is_blocked = false;
        for (seq, message) in (first..).zip(items) {
            if seq < stream.next {
                match stream.semantics {
                    Semantics::AtMostOnce => self.counters.late += 1,
                    _ => self.counters.duplicates += 1,
                }
                continue;
            }
            let forgetful = stream.refused.len() >= REFUSALS_MAX;
            let from = StreamSeq { stream: id, seq };
            let admitted = match self.disk_failed && stream.durable {
                true => Err(Refusal::DiskFailed),
                false => self.boxes.admit(now, stream.number, from, stream.semantics, message),
            };
            let refusal = match admitted {
                Ok(Admitted::In(..)) => None,
                Ok(Admitted::Wait) => {
                    stream.is_blocked = true;
                    let waiting = self.streams.blocked.entry(stream.number).or_default();
                    if !waiting.contains(&id) {
                        waiting.push_back(id);
                    }
                    break;
                }
                Ok(Admitted::Rejected) => Some(Refusal::Full),
                Ok(Admitted::TooLarge) => Some(Refusal::TooLarge),
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                // Its sender has to hear of the earlier ones first, and will bring this one again.
                if forgetful && stream.semantics != Semantics::AtMostOnce {
                    stream.is_blocked = true;
                    break;
                }
                if !forgetful {
                    stream.refused.insert(seq, refusal);
                }
            }
            stream.next = seq + 1;
        }
        let group = self.boxes.open_group().filter(|_| stream.durable);
        match group {
            Some(group) if stream.next > stream.acked => match stream.committing.back_mut() {
                Some((last, next)) if *last == group => *next = stream.next,
                _ => stream.committing.push_back((group, stream.next)),
            },
            _ => stream.acked = stream.next,
        }
    }

    /// Tells senders that wait for room in a box that there is some, if it is worth a record.
    pub(super) fn release_blocked(&mut self, number: u32) {
        let Some(waiting) = self.streams.blocked.get_mut(&number) else { return };
        let Some(queue) = self.boxes.get(number) else {
            // The box is gone: let them hear it.
            self.streams.dirty.extend(self.streams.blocked.remove(&number).unwrap_or_default());
            return;
        };
        // A few at a time would bring them back for a few at a time (RFC 9293 section 3.8.6.2: silly windows).
        let mut room = queue.room();
        if room < (queue.options.messages_max / 4).max(1) {
            return;
        }
        while room > 0
            && let Some(id) = waiting.pop_front()
        {
            if let Some(stream) = self.streams.streams.get_mut(&id) {
                stream.is_blocked = false;
                self.streams.dirty.insert(id);
                room = room.saturating_sub(WINDOW_MESSAGES_MAX as u32);
            }
        }
        if waiting.is_empty() {
            self.streams.blocked.remove(&number);
        }
    }

    /// Sends an acknowledgement to each sender of which something came, or for which there is room.
    pub(super) fn acknowledge(&mut self) {
        for id in std::mem::take(&mut self.streams.dirty) {
            let Some(stream) = self.streams.streams.get(&id) else { continue };
            let Some(peer) = stream.peer else { continue };
            let room = self.boxes.get(stream.number).map_or(0, |queue| queue.room());
            let refused = stream.refused.iter().take_while(|(seq, _)| **seq < stream.acked);
            let ack = Ack {
                stream: id,
                next: stream.acked,
                room: if stream.is_blocked { 0 } else { room.min(WINDOW_MESSAGES_MAX as u32) },
                beyond: stream.ranges(),
                refused: refused.map(|(seq, refusal)| (*seq, *refusal)).collect(),
            };
            self.send(peer, Record::Ack(ack));
        }
    }

    /// Forgets senders that were silent for long.
    pub(super) fn sweep_streams(&mut self, now: Instant) {
        let silent = |stream: &Stream| now.since(stream.heard_at) > STREAM_IDLE_MAX;
        let silent: Vec<u64> =
            self.streams.streams.iter().filter(|(_, stream)| silent(stream)).map(|(id, _)| *id).collect();
        for id in silent {
            self.counters.silent += 1;
            self.close_stream(now, id);
        }
    }
}
