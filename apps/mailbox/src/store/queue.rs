//! One box: letters that wait by priority and age, letters that are handed out, and when either's time is up.

use crate::message::{
    BODY_BYTES_MAX, BoxOptions, Death, DeathReason, Letter, Message, PRIORITY_MAX, ReplyTo, Semantics,
    StreamSeq, Verdict, WhenFull,
};
use crate::wire::BoxCounts;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapstack::time::Instant;

/// A box and what is in it.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) options: BoxOptions,
    /// The box's incarnation: for a durable box its own, else its host's.
    pub(crate) life: u64,
    next_id: u64,
    /// Those that may be handed out, in the order of that: high priorities first, then by age.
    ready: BTreeMap<Place, Stored>,
    /// Those that the disk doesn't have yet.
    staged: BTreeMap<u64, Stored>,
    /// Those that a reader has.
    out: BTreeMap<u64, Out>,
    /// When those of at-least-once semantics are to come back, earliest first: `redeliver_after` is the box's.
    returns: VecDeque<(Instant, u64, u32)>,
    /// When those that wait expire.
    expiries: BTreeSet<(Instant, Place)>,
    bytes: u64,
    pub(crate) counts: BoxCounts,
}

/// Where a letter stands: first by inverted priority, then by its number.
pub(crate) type Place = (u8, u64);

/// A letter as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) from: StreamSeq,
    pub(crate) semantics: Semantics,
    pub(crate) priority: u8,
    pub(crate) expires: Option<Instant>,
    pub(crate) deliveries: u32,
    pub(crate) death: Option<Death>,
    pub(crate) reply_to: Option<ReplyTo>,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Out {
    stored: Stored,
    reader: u64,
}

/// What became of a message that came.
#[derive(Debug, PartialEq)]
pub(crate) enum Admitted {
    /// It is in, with this number, and the one that it displaced, if any.
    In(u64, Option<(u64, Stored)>),
    /// There is no room now: its sender is to wait.
    Wait,
    /// There is no room, and its sender is not to wait.
    Rejected,
    /// It will never fit.
    TooLarge,
}

/// What became of a letter that was settled.
#[derive(Debug, PartialEq)]
pub(crate) enum Settled {
    /// It is gone for good.
    Gone,
    /// It waits again.
    Back,
    /// It has died.
    Dead(DeathReason, Stored),
    /// The reader doesn't have it: settled before, or given to somebody else since.
    NotHeld,
}

impl Queue {
    pub(crate) fn new(options: BoxOptions, life: u64) -> Queue {
        Queue {
            options,
            life,
            // Numbers of different lives differ, so that a verdict about a letter of the last one meets none of this.
            next_id: (life & 0x7fff_ffff) << 32,
            ready: BTreeMap::new(),
            staged: BTreeMap::new(),
            out: BTreeMap::new(),
            returns: VecDeque::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            counts: BoxCounts::default(),
        }
    }

    /// Takes a message in, if there is room. In a durable box it waits for [`Queue::commit`].
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        from: StreamSeq,
        semantics: Semantics,
        message: Message,
    ) -> Admitted {
        let time_to_live = message.time_to_live.or(self.options.time_to_live);
        let stored = Stored {
            from,
            semantics,
            priority: message.priority.min(PRIORITY_MAX),
            expires: time_to_live.map(|time| now + time),
            deliveries: 0,
            death: None,
            reply_to: message.reply_to,
            body: message.body,
        };
        self.admit_stored(stored)
    }

    /// As [`Queue::admit`], for a letter that another box had.
    pub(crate) fn admit_stored(&mut self, stored: Stored) -> Admitted {
        let len = stored.body.len() as u64;
        if stored.body.len() > BODY_BYTES_MAX || len > u64::from(self.options.bytes_max) {
            self.counts.rejected += 1;
            return Admitted::TooLarge;
        }
        let mut displaced = None;
        if !self.has_room(len) {
            match self.options.when_full {
                WhenFull::Block if stored.semantics != Semantics::AtMostOnce => return Admitted::Wait,
                WhenFull::Block | WhenFull::Reject => {
                    self.counts.rejected += 1;
                    return Admitted::Rejected;
                }
                WhenFull::DropOldest => displaced = self.displace(),
            }
            // The oldest may be shorter than what takes its place; one for one is the rule, so this one waits outside.
            if !self.has_room(len) {
                if let Some((id, stored)) = displaced {
                    self.insert(id, stored);
                    self.counts.displaced -= 1;
                }
                self.counts.rejected += 1;
                return Admitted::Rejected;
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        self.counts.accepted += 1;
        if self.options.durable {
            self.bytes += len;
            self.staged.insert(id, stored);
        } else {
            self.insert(id, stored);
        }
        Admitted::In(id, displaced)
    }

    fn has_room(&self, len: u64) -> bool {
        self.len() < self.options.messages_max as usize
            && self.bytes + len <= u64::from(self.options.bytes_max)
    }

    /// Messages that would be taken now, whatever their length: none where their senders would have to wait.
    pub(crate) fn room(&self) -> u32 {
        let (free, bytes_free) = (
            (self.options.messages_max as usize).saturating_sub(self.len()),
            u64::from(self.options.bytes_max).saturating_sub(self.bytes),
        );
        match self.options.when_full {
            // Of what doesn't wait for room, any number may come.
            WhenFull::Reject | WhenFull::DropOldest => u32::MAX,
            WhenFull::Block if bytes_free == 0 => 0,
            WhenFull::Block => u32::try_from(free).unwrap_or(u32::MAX),
        }
    }

    /// Takes the oldest that waits out of the box.
    fn displace(&mut self) -> Option<(u64, Stored)> {
        let firsts =
            (0..=PRIORITY_MAX).filter_map(|rank| self.ready.range((rank, 0)..=(rank, u64::MAX)).next());
        let place = *firsts.min_by_key(|((_, id), _)| *id)?.0;
        let stored = self.remove_ready(place)?;
        self.counts.displaced += 1;
        Some((place.1, stored))
    }

    /// The disk has it: it may be handed out.
    pub(crate) fn commit(&mut self, id: u64) {
        if let Some(stored) = self.staged.remove(&id) {
            self.bytes -= stored.body.len() as u64;
            self.insert(id, stored);
        }
    }

    /// Puts a letter where it belongs, as one that waits.
    pub(crate) fn insert(&mut self, id: u64, stored: Stored) {
        let place = (PRIORITY_MAX - stored.priority.min(PRIORITY_MAX), id);
        self.next_id = self.next_id.max(id + 1);
        self.bytes += stored.body.len() as u64;
        if let Some(expires) = stored.expires {
            self.expiries.insert((expires, place));
        }
        self.ready.insert(place, stored);
    }

    fn remove_ready(&mut self, place: Place) -> Option<Stored> {
        let stored = self.ready.remove(&place)?;
        self.bytes -= stored.body.len() as u64;
        if let Some(expires) = stored.expires {
            self.expiries.remove(&(expires, place));
        }
        Some(stored)
    }

    /// Hands the next letter out, if it has at most `bytes_max` bytes. One of at-most-once semantics is gone with that.
    /// What has expired by now is left for [`Queue::expire`].
    pub(crate) fn take(&mut self, now: Instant, reader: u64, bytes_max: usize) -> Option<Letter> {
        let (place, stored) = self.ready.first_key_value()?;
        let place = *place;
        if stored.body.len() > bytes_max || stored.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let mut stored = self.remove_ready(place)?;
        stored.deliveries += 1;
        self.counts.handed_out += 1;
        let letter = stored.letter(place.1, now);
        match stored.semantics {
            Semantics::AtMostOnce => self.counts.settled += 1,
            semantics => {
                if semantics == Semantics::AtLeastOnce {
                    self.returns.push_back((now + self.options.redeliver_after, place.1, stored.deliveries));
                }
                self.bytes += stored.body.len() as u64;
                self.out.insert(place.1, Out { stored, reader });
            }
        }
        Some(letter)
    }

    /// A letter that was just staged.
    pub(crate) fn staged(&self, id: u64) -> Option<&Stored> {
        self.staged.get(&id)
    }

    /// Takes a letter out of the box, wherever in it that is.
    pub(crate) fn forget(&mut self, id: u64) {
        // A log that is read has no other way to find it than its number.
        let place = (0..=PRIORITY_MAX).map(|rank| (rank, id)).find(|place| self.ready.contains_key(place));
        if let Some(place) = place {
            self.remove_ready(place);
        } else {
            self.take_back(id);
        }
    }

    /// Notes that a reader has had a letter in the host's earlier incarnation: it stays that reader's. The log doesn't
    /// say that a letter came back, only who got it next: the last of them has it.
    pub(crate) fn assign(&mut self, id: u64, reader: u64) {
        if let Some(out) = self.out.get_mut(&id) {
            out.stored.deliveries += 1;
            out.reader = reader;
            return;
        }
        let place = (0..=PRIORITY_MAX).map(|rank| (rank, id)).find(|place| self.ready.contains_key(place));
        if let Some(mut stored) = place.and_then(|place| self.remove_ready(place)) {
            stored.deliveries += 1;
            self.bytes += stored.body.len() as u64;
            self.out.insert(id, Out { stored, reader });
        }
    }

    /// A reader's verdict about a letter that it has.
    pub(crate) fn settle(&mut self, reader: u64, id: u64, verdict: Verdict) -> Settled {
        if self.out.get(&id).is_none_or(|out| out.reader != reader) {
            return Settled::NotHeld;
        }
        let Some(stored) = self.take_back(id) else { return Settled::NotHeld };
        match verdict {
            Verdict::Ack => {
                self.counts.settled += 1;
                Settled::Gone
            }
            Verdict::Nack => self.give_back(id, stored),
            Verdict::Refuse => {
                self.counts.refused += 1;
                Settled::Dead(DeathReason::Refused, stored)
            }
        }
    }

    fn take_back(&mut self, id: u64) -> Option<Stored> {
        let stored = self.out.remove(&id)?.stored;
        self.bytes -= stored.body.len() as u64;
        Some(stored)
    }

    fn give_back(&mut self, id: u64, stored: Stored) -> Settled {
        if stored.deliveries >= self.options.deliveries_max {
            self.counts.undeliverable += 1;
            return Settled::Dead(DeathReason::Undeliverable, stored);
        }
        self.counts.returned += 1;
        self.insert(id, stored);
        Settled::Back
    }

    /// A reader is gone: what it has comes back. Returns what has died of that.
    pub(crate) fn reader_gone(&mut self, reader: u64) -> Vec<(u64, DeathReason, Stored)> {
        let held: Vec<u64> = self.held_by(reader);
        let mut dead = Vec::new();
        for id in held {
            if let Some(stored) = self.take_back(id)
                && let Settled::Dead(reason, stored) = self.give_back(id, stored)
            {
                dead.push((id, reason, stored));
            }
        }
        dead
    }

    /// The letters that a reader has.
    pub(crate) fn held_by(&self, reader: u64) -> Vec<u64> {
        self.out.iter().filter(|(_, out)| out.reader == reader).map(|(id, _)| *id).collect()
    }

    /// The readers that have letters.
    pub(crate) fn holders(&self) -> BTreeSet<u64> {
        self.out.values().map(|out| out.reader).collect()
    }

    /// A letter that a reader has, as it was handed out.
    pub(crate) fn held(&self, id: u64, reader: u64, now: Instant) -> Option<Letter> {
        self.out.get(&id).filter(|out| out.reader == reader).map(|out| out.stored.letter(id, now))
    }

    /// Handles what is due: letters come back from slow readers, and others expire. Returns what has died.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(u64, DeathReason, Stored)> {
        let mut dead = Vec::new();
        while let Some(&(at, id, deliveries)) = self.returns.front() {
            if at > now {
                break;
            }
            self.returns.pop_front();
            // Settled, or handed out again, in the meantime?
            if self.out.get(&id).is_some_and(|out| out.stored.deliveries == deliveries)
                && let Some(stored) = self.take_back(id)
                && let Settled::Dead(reason, stored) = self.give_back(id, stored)
            {
                dead.push((id, reason, stored));
            }
        }
        while let Some(&(at, place)) = self.expiries.first() {
            if at > now {
                break;
            }
            if let Some(stored) = self.remove_ready(place) {
                self.counts.expired += 1;
                dead.push((place.1, DeathReason::Expired, stored));
            } else {
                self.expiries.remove(&(at, place));
            }
        }
        dead
    }

    /// When [`Queue::expire`] has something to do next, or a little earlier.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let back = self.returns.front().map(|(at, ..)| *at);
        let expiry = self.expiries.first().map(|(at, _)| *at);
        match (back, expiry) {
            (Some(back), Some(expiry)) => Some(back.min(expiry)),
            (back, expiry) => back.or(expiry),
        }
    }

    /// Copies of the letters that would be handed out next.
    pub(crate) fn peek(&self, now: Instant, max: usize) -> Vec<Letter> {
        self.ready.iter().take(max).map(|((_, id), stored)| stored.letter(*id, now)).collect()
    }

    /// Every letter in the box with its number, and the reader that has it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Stored, Option<u64>)> {
        let ready = self.ready.iter().map(|((_, id), stored)| (*id, stored, None));
        let staged = self.staged.iter().map(|(id, stored)| (*id, stored, None));
        ready.chain(staged).chain(self.out.iter().map(|(id, out)| (*id, &out.stored, Some(out.reader))))
    }

    /// Sees to it that numbers below this are not used again.
    pub(crate) fn reserve_ids(&mut self, below: u64) {
        self.next_id = self.next_id.max(below);
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.staged.len() + self.out.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn handed_out(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Stored {
    /// The letter as a reader gets it.
    pub(crate) fn letter(&self, id: u64, now: Instant) -> Letter {
        let message = Message {
            body: self.body.clone(),
            priority: self.priority,
            time_to_live: self.expires.map(|expires| expires.since(now)),
            reply_to: self.reply_to.clone(),
        };
        Letter {
            id,
            from: self.from,
            semantics: self.semantics,
            deliveries: self.deliveries,
            death: self.death.clone(),
            message,
        }
    }
}
