//! The boxes and their log: what a log's entries make of them, and a log that says it shorter.

use super::queue::Queue;
use super::{Boxes, NamedBox};
use crate::log::{Entry, IDS_MAX, Journal, MAGIC};
use crate::message::Semantics;
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use tapstack::time::Instant;

/// What a log says about a sender of effectively-once semantics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedStream {
    /// The box that it sends to.
    pub(crate) number: u32,
    /// All its messages before this number have come.
    pub(crate) next: u64,
}

impl Boxes {
    /// Applies an entry of the log. What it says about senders is kept in `streams`. Entries about what isn't there
    /// have no effect.
    pub(crate) fn replay(&mut self, entry: Entry, streams: &mut BTreeMap<u64, LoggedStream>) {
        match entry {
            Entry::Made { number, name, options, life, next_id } => {
                let mut queue = Queue::new(options, life);
                queue.reserve_ids(next_id);
                self.add(number, name, queue);
            }
            Entry::Ended { number } => {
                if let Some(NamedBox { name, .. }) = self.boxes.remove(&number) {
                    self.numbers.remove(&name);
                }
                streams.retain(|_, stream| stream.number != number);
            }
            Entry::Put { number, id, stored } => {
                if stored.semantics == Semantics::EffectivelyOnce
                    && let Some(stream) = streams.get_mut(&stored.from.stream)
                    && stream.number == number
                {
                    stream.next = stream.next.max(stored.from.seq.saturating_add(1));
                }
                if let Some(found) = self.boxes.get_mut(&number) {
                    found.queue.insert(id, stored);
                }
            }
            Entry::Gone { number, ids } => {
                if let Some(found) = self.boxes.get_mut(&number) {
                    ids.into_iter().for_each(|id| found.queue.forget(id));
                }
            }
            Entry::Handed { number, reader, ids } => {
                if let Some(found) = self.boxes.get_mut(&number) {
                    ids.into_iter().for_each(|id| found.queue.assign(id, reader));
                }
            }
            Entry::Stream { stream, number, next } => {
                streams.insert(stream, LoggedStream { number, next });
            }
            Entry::Forgotten { stream } => {
                streams.remove(&stream);
            }
        }
    }

    /// The log is read: what it brought may be handed out, and times out.
    pub(crate) fn replayed(&mut self) {
        let numbers: Vec<u32> = self.boxes.keys().copied().collect();
        for number in numbers {
            self.changed.insert(number);
            self.lower_deadline(number);
        }
    }

    /// The readers that had letters of effectively-once semantics when the host went down, with their boxes.
    pub(crate) fn holders(&self) -> Vec<(u32, u64)> {
        let holders = |(number, found): (&u32, &NamedBox)| {
            let readers: BTreeSet<u64> = found.queue.holders();
            readers.into_iter().map(|reader| (*number, reader)).collect::<Vec<_>>()
        };
        self.boxes.iter().flat_map(holders).collect()
    }

    /// A whole log that says what is so now, in place of how it came about. What is in the journal is in it; the next
    /// [`Boxes::take_group`] has to be this log's write.
    pub(crate) fn snapshot(
        &self,
        now: Instant,
        streams: impl Iterator<Item = (u64, LoggedStream)>,
    ) -> BytesMut {
        let mut journal = Journal::default();
        let durable = || self.boxes.iter().filter(|(_, found)| found.queue.options.durable);
        for (&number, found) in durable() {
            let (name, options) = (found.name.clone(), found.queue.options.clone());
            let (life, next_id) = (found.queue.life, found.queue.next_id());
            journal.put(now, &Entry::Made { number, name, options, life, next_id });
        }
        for (stream, LoggedStream { number, next }) in streams {
            journal.put(now, &Entry::Stream { stream, number, next });
        }
        for (&number, found) in durable() {
            let mut handed: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (id, stored, reader) in found.queue.all() {
                let mut stored = stored.clone();
                if let Some(reader) = reader.filter(|_| stored.semantics == Semantics::EffectivelyOnce) {
                    // That it is handed out counts it again.
                    stored.deliveries = stored.deliveries.saturating_sub(1);
                    handed.entry(reader).or_default().push(id);
                }
                journal.put(now, &Entry::Put { number, id, stored });
            }
            for (reader, ids) in handed {
                for ids in ids.chunks(IDS_MAX) {
                    journal.put(now, &Entry::Handed { number, reader, ids: ids.to_vec() });
                }
            }
        }
        let mut bytes = BytesMut::from(&MAGIC[..]);
        bytes.unsplit(journal.take());
        bytes
    }
}
