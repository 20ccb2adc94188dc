//! The boxes of a host: what is in them, and what of that the log has to know.
//!
//! - **In**: messages and verdicts, with the time; the entries of a log at the start.
//! - **Out**: letters; entries for the log in a journal; the names of boxes that have letters or room since.
//! - **Keeps**: at most [`BOXES_MAX`] boxes, each within its own limits.
//! - **Timers**: times to live and the return of letters from slow readers, all behind [`Boxes::deadline`].
//! - **RFC**: none.
//! - **Never**: hands out a letter of a durable box before its disk has it; waits; reads a clock.
//!
//! What is logged leaves in *groups*: [`Boxes::take_group`] starts to commit all that was journalled so far, and
//! [`Boxes::committed`] says that the disk has it. Whoever acknowledges something waits for its group.

mod queue;
mod replay;
#[cfg(test)]
mod tests;

pub(crate) use queue::{Admitted, Queue, Settled, Stored};
pub(crate) use replay::LoggedStream;

use crate::log::{Entry, IDS_MAX, Journal};
use crate::message::{
    BoxOptions, Death, DeathReason, Kind, Letter, Message, Refusal, Semantics, StreamSeq, Verdict,
};
use crate::wire::{BoxInfo, ITEMS_MAX, item_bytes};
use crate::{ADDRESS_BYTES_MAX, BoxName, NAME_BYTES_MAX};
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use tapstack::time::Instant;

/// Boxes of a host at most.
pub const BOXES_MAX: usize = 1_024;

/// Bytes that all letters of a host may take, about; then boxes have no room, whatever their own limits say.
pub const STORE_BYTES_MAX: u64 = 1 << 30;
/// How often that is counted, in messages.
const COUNT_EVERY: u32 = 64;

/// All boxes of a host.
#[derive(Debug)]
pub(crate) struct Boxes {
    /// The host's incarnation, which is also the life of its volatile boxes.
    boot: u64,
    boxes: BTreeMap<u32, NamedBox>,
    numbers: BTreeMap<BoxName, u32>,
    next_number: u32,
    journal: Journal,
    /// The group that is being filled.
    group: u64,
    /// Groups before this one are on the disk.
    committed: u64,
    /// Letters of the group that is being filled, and of the one that the disk is at.
    staged: Vec<(u32, u64)>,
    committing: Vec<(u32, u64)>,
    /// Boxes that letters came into, or left, since somebody looked.
    changed: BTreeSet<u32>,
    deadline: Option<Instant>,
    until_count: u32,
    is_full: bool,
    /// Dead letters for which there was no place.
    pub(crate) dead_letters_lost: u64,
}

#[derive(Debug)]
struct NamedBox {
    name: BoxName,
    queue: Queue,
}

impl Boxes {
    pub(crate) fn new(boot: u64) -> Boxes {
        Boxes {
            boot,
            boxes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 1,
            journal: Journal::default(),
            group: 0,
            committed: 0,
            staged: Vec::new(),
            committing: Vec::new(),
            changed: BTreeSet::new(),
            deadline: None,
            until_count: 0,
            is_full: false,
            dead_letters_lost: 0,
        }
    }

    /// Makes a box, or finds one with the same options. Errors: another is there, the limit is reached, or the
    /// options make no sense.
    pub(crate) fn create(
        &mut self,
        now: Instant,
        name: &BoxName,
        options: &BoxOptions,
    ) -> Result<u32, Refusal> {
        if let Some(&number) = self.numbers.get(name) {
            let same = self.boxes.get(&number).is_some_and(|found| found.queue.options == *options);
            return if same { Ok(number) } else { Err(Refusal::Exists) };
        }
        let process_on_disk = options.kind == Kind::Process && options.durable;
        if options.messages_max == 0
            || options.bytes_max == 0
            || options.deliveries_max == 0
            || process_on_disk
        {
            return Err(Refusal::Malformed);
        }
        if self.boxes.len() >= BOXES_MAX {
            return Err(Refusal::Busy);
        }
        let number = self.next_number;
        self.next_number += 1;
        // A durable box has a life of its own, which its first host's incarnation and its number make unique.
        let life = if options.durable { self.boot ^ (u64::from(number) << 32) } else { self.boot };
        let queue = Queue::new(options.clone(), life);
        if options.durable {
            let (name, options, next_id) = (name.clone(), options.clone(), queue.next_id());
            self.journal.put(now, &Entry::Made { number, name, options, life, next_id });
        }
        self.add(number, name.clone(), queue);
        Ok(number)
    }

    fn add(&mut self, number: u32, name: BoxName, queue: Queue) {
        self.next_number = self.next_number.max(number.saturating_add(1));
        self.numbers.insert(name.clone(), number);
        self.boxes.insert(number, NamedBox { name, queue });
    }

    /// Ends a box with all that is in it.
    pub(crate) fn delete(&mut self, now: Instant, number: u32) {
        if let Some(gone) = self.boxes.remove(&number) {
            self.numbers.remove(&gone.name);
            if gone.queue.options.durable {
                self.journal.put(now, &Entry::Ended { number });
            }
            self.changed.insert(number);
        }
    }

    pub(crate) fn find(&self, name: &BoxName) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Queue> {
        self.boxes.get(&number).map(|found| &found.queue)
    }

    /// Takes a message into a box. Of the one that it displaces, a dead letter is made.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        number: u32,
        from: StreamSeq,
        semantics: Semantics,
        message: Message,
    ) -> Result<Admitted, Refusal> {
        self.count();
        let found = self.boxes.get_mut(&number).ok_or(Refusal::NoSuchBox)?;
        if self.is_full {
            let waits = semantics != Semantics::AtMostOnce;
            return Ok(if waits { Admitted::Wait } else { Admitted::Rejected });
        }
        let admitted = found.queue.admit(now, from, semantics, message);
        if let Admitted::In(id, _) = admitted {
            self.came_in(now, number, id);
        }
        let Admitted::In(id, Some((old, stored))) = admitted else { return Ok(admitted) };
        self.gone(now, number, vec![old]);
        self.bury(now, number, DeathReason::Displaced, stored);
        Ok(Admitted::In(id, None))
    }

    /// Finds out now and then whether the host has room at all.
    fn count(&mut self) {
        self.until_count = self.until_count.saturating_sub(1);
        if self.until_count == 0 {
            self.until_count = COUNT_EVERY;
            let bytes = |found: &NamedBox| found.queue.bytes() + (found.queue.len() * LETTER_MEMORY) as u64;
            self.is_full = self.boxes.values().map(bytes).sum::<u64>() >= STORE_BYTES_MAX;
        }
    }

    /// Notes a letter that came into a box: for the log, for those who wait for it, for its time-out.
    fn came_in(&mut self, now: Instant, number: u32, id: u64) {
        let Some(found) = self.boxes.get(&number) else { return };
        if found.queue.options.durable {
            if let Some(stored) = found.queue.staged(id) {
                self.journal.put(now, &Entry::Put { number, id, stored: stored.clone() });
            }
            self.staged.push((number, id));
        } else {
            self.changed.insert(number);
            self.lower_deadline(number);
        }
    }

    fn lower_deadline(&mut self, number: u32) {
        let deadline = self.get(number).and_then(Queue::deadline);
        self.deadline = match (self.deadline, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Logs that letters left a box for good, where it is durable.
    fn gone(&mut self, now: Instant, number: u32, ids: Vec<u64>) {
        self.changed.insert(number);
        if !ids.is_empty() && self.get(number).is_some_and(|queue| queue.options.durable) {
            for ids in ids.chunks(IDS_MAX) {
                self.journal.put(now, &Entry::Gone { number, ids: ids.to_vec() });
            }
        }
    }

    /// Makes a dead letter: it goes to where its box says. One that dies again, and one that finds no place, is lost.
    fn bury(&mut self, now: Instant, number: u32, reason: DeathReason, stored: Stored) {
        let place = self.boxes.get(&number).and_then(|found| {
            let dead = self.find(found.queue.options.dead_letters.as_ref()?)?;
            (dead != number && stored.death.is_none()).then(|| (dead, found.name.clone()))
        });
        let Some((dead, in_box)) = place else {
            self.dead_letters_lost += 1;
            return;
        };
        let death = Some(Death { in_box, reason });
        let stored = Stored { death, expires: None, deliveries: 0, ..stored };
        let Some(grave) = self.boxes.get_mut(&dead) else { return };
        match grave.queue.admit_stored(stored) {
            Admitted::In(id, displaced) => {
                self.came_in(now, dead, id);
                if let Some((old, _)) = displaced {
                    self.dead_letters_lost += 1;
                    self.gone(now, dead, vec![old]);
                }
            }
            Admitted::Wait | Admitted::Rejected | Admitted::TooLarge => self.dead_letters_lost += 1,
        }
    }

    /// Hands out letters to a reader: those that may go, at most so many, with bodies of at most so many bytes. The
    /// first may be longer than that.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        number: u32,
        reader: u64,
        letters_max: usize,
        bytes_max: usize,
    ) -> Vec<Letter> {
        let (mut letters, mut bytes_left) = (Vec::new(), bytes_max);
        let (mut gone, mut handed) = (Vec::new(), Vec::new());
        let Some(found) = self.boxes.get_mut(&number) else { return letters };
        while letters.len() < letters_max.min(ITEMS_MAX) {
            let Some(limit) = bytes_left.checked_sub(LETTER_BYTES_MAX).or(letters.is_empty().then_some(0))
            else {
                break;
            };
            let limit = if letters.is_empty() { usize::MAX } else { limit };
            let Some(letter) = found.queue.take(now, reader, limit) else { break };
            bytes_left = bytes_left.saturating_sub(letter_bytes(&letter));
            match letter.semantics {
                Semantics::AtMostOnce => gone.push(letter.id),
                Semantics::AtLeastOnce => {}
                Semantics::EffectivelyOnce => handed.push(letter.id),
            }
            letters.push(letter);
        }
        if letters.is_empty() {
            return letters;
        }
        if found.queue.options.durable {
            for ids in handed.chunks(IDS_MAX) {
                self.journal.put(now, &Entry::Handed { number, reader, ids: ids.to_vec() });
            }
        }
        self.lower_deadline(number);
        if !gone.is_empty() {
            self.gone(now, number, gone);
        }
        letters
    }

    /// A reader's verdicts about letters that it has. Returns how many of them it doesn't have.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        number: u32,
        reader: u64,
        verdicts: &[(u64, Verdict)],
    ) -> u64 {
        let (mut gone, mut dead, mut not_held) = (Vec::new(), Vec::new(), 0);
        let Some(found) = self.boxes.get_mut(&number) else { return verdicts.len() as u64 };
        for &(id, verdict) in verdicts {
            match found.queue.settle(reader, id, verdict) {
                Settled::Gone => gone.push(id),
                Settled::Back => {}
                Settled::Dead(reason, stored) => {
                    gone.push(id);
                    dead.push((reason, stored));
                }
                Settled::NotHeld => not_held += 1,
            }
        }
        self.gone(now, number, gone);
        for (reason, stored) in dead {
            self.bury(now, number, reason, stored);
        }
        self.lower_deadline(number);
        not_held
    }

    /// A reader is gone: what it has comes back, and a process's box ends.
    pub(crate) fn reader_gone(&mut self, now: Instant, number: u32, reader: u64) {
        let Some(found) = self.boxes.get_mut(&number) else { return };
        let dead = found.queue.reader_gone(reader);
        if found.queue.options.kind == Kind::Process {
            self.delete(now, number);
            return;
        }
        self.dead(now, number, dead);
    }

    fn dead(&mut self, now: Instant, number: u32, dead: Vec<(u64, DeathReason, Stored)>) {
        self.gone(now, number, dead.iter().map(|(id, ..)| *id).collect());
        for (_, reason, stored) in dead {
            self.bury(now, number, reason, stored);
        }
        self.lower_deadline(number);
    }

    /// When [`Boxes::handle_timeout`] has something to do next, or a little earlier.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Handles what is due in any box.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        let is_due = |found: &NamedBox| found.queue.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<u32> =
            self.boxes.iter().filter(|(_, found)| is_due(found)).map(|(number, _)| *number).collect();
        for number in due {
            let dead = self.boxes.get_mut(&number).map(|found| found.queue.expire(now)).unwrap_or_default();
            self.dead(now, number, dead);
        }
        self.deadline = self.boxes.values().filter_map(|found| found.queue.deadline()).min();
    }

    /// The boxes that letters came into, or left, since the last time.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// Logs a change that isn't a box's.
    pub(crate) fn journal(&mut self, now: Instant, entry: &Entry) {
        self.journal.put(now, entry);
    }

    /// The group that whatever was just journalled belongs to, if that isn't on the disk yet.
    pub(crate) fn open_group(&self) -> Option<u64> {
        match (self.journal.is_empty(), self.committed < self.group) {
            (false, _) => Some(self.group),
            (true, true) => Some(self.group - 1),
            (true, false) => None,
        }
    }

    /// Starts to commit what was journalled: the bytes for the disk. None when there are none, or the last group
    /// isn't committed yet.
    pub(crate) fn take_group(&mut self) -> Option<BytesMut> {
        if self.journal.is_empty() || self.committed < self.group {
            return None;
        }
        self.group += 1;
        self.committing = std::mem::take(&mut self.staged);
        Some(self.journal.take())
    }

    /// The disk has the group: its letters may be handed out. Returns the number of groups that are on the disk.
    pub(crate) fn committed(&mut self) -> u64 {
        self.committed = self.group;
        for (number, id) in std::mem::take(&mut self.committing) {
            if let Some(found) = self.boxes.get_mut(&number) {
                found.queue.commit(id);
                self.changed.insert(number);
                self.lower_deadline(number);
            }
        }
        self.committed
    }

    /// The boxes whose names come after `after`, at most `max`, with the readers that `readers` counts; and whether
    /// there are more.
    pub(crate) fn list(
        &self,
        after: Option<&BoxName>,
        max: usize,
        readers: impl Fn(u32) -> u32,
    ) -> (Vec<BoxInfo>, bool) {
        let mut later = self.numbers.iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        let info = |number: u32| {
            let found = self.boxes.get(&number)?;
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            Some(BoxInfo {
                name: found.name.clone(),
                options: found.queue.options.clone(),
                waiting: count(found.queue.waiting()),
                handed_out: count(found.queue.handed_out()),
                bytes: found.queue.bytes(),
                readers: readers(number),
                counts: found.queue.counts,
            })
        };
        let page = later.by_ref().take(max).filter_map(|(_, number)| info(*number)).collect();
        (page, later.next().is_some())
    }
}

/// Bytes that a letter takes in a delivery.
pub(crate) fn letter_bytes(letter: &Letter) -> usize {
    let death = letter.death.as_ref().map_or(0, |death| 8 + death.in_box.as_str().len().next_multiple_of(4));
    LETTER_HEAD_BYTES + death + item_bytes(&letter.message)
}

/// Memory that a letter takes besides its body, about.
const LETTER_MEMORY: usize = 2 * size_of::<Stored>();
/// Its numbers, semantics and deliveries, and whether it has died.
const LETTER_HEAD_BYTES: usize = 36;
/// Bytes that a letter takes at most besides its body.
pub(crate) const LETTER_BYTES_MAX: usize = LETTER_HEAD_BYTES + 8 + NAME_BYTES_MAX + 32 + ADDRESS_BYTES_MAX;
