//! Readers as their host knows them: fetches in order, answers that can be repeated, and who waits for which box.

use super::{FETCH_WAIT_MAX, FETCHES_MAX, Peer, READER_IDLE_MAX, READERS_MAX, Server, fitting};
use crate::BoxName;
use crate::message::{Kind, Letter, Refusal};
use crate::store::letter_bytes;
use crate::wire::{Answer, Fetch, ITEMS_MAX, RECORD_BYTES_MAX, Record};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapstack::time::{Duration, Instant};

/// All readers of a host.
#[derive(Debug, Default)]
pub(super) struct Readers {
    readers: BTreeMap<u64, Reader>,
    /// Those whose next fetch waits for a letter, by box; they take turns.
    waiting: BTreeMap<u32, VecDeque<u64>>,
    /// When such fetches are answered without one.
    waits: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Reader {
    /// Where it was heard last; none since the host came up again.
    peer: Option<Peer>,
    number: u32,
    /// The fetch that is to be answered next.
    next: u64,
    /// Fetches that have come and aren't answered.
    pending: BTreeMap<u64, Fetch>,
    /// Which fetches for verdicts alone have had their effect.
    settled: Seen,
    /// Answers that may have to be repeated.
    answered: BTreeMap<u64, Vec<Letter>>,
    /// Letters that it was given by the host's earlier incarnation, and may never have got.
    again: VecDeque<u64>,
    /// Set while the next fetch waits.
    waits_until: Option<Instant>,
    heard_at: Instant,
}

impl Readers {
    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.first().map(|(at, _)| *at)
    }

    /// The readers of a box.
    pub(super) fn count(&self, number: u32) -> u32 {
        let count =
            self.readers.values().filter(|reader| reader.number == number && reader.peer.is_some()).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Keeps a place for a reader that had letters when the host went down.
    pub(super) fn restore(&mut self, now: Instant, number: u32, id: u64) {
        self.readers.insert(id, Reader::new(now, None, number));
    }

    fn end_wait(&mut self, id: u64) {
        if let Some(reader) = self.readers.get_mut(&id)
            && let Some(until) = reader.waits_until.take()
        {
            self.waits.remove(&(until, id));
            if let Some(waiting) = self.waiting.get_mut(&reader.number) {
                waiting.retain(|one| *one != id);
            }
        }
    }

    fn start_wait(&mut self, id: u64, number: u32, until: Instant) {
        if let Some(reader) = self.readers.get_mut(&id)
            && reader.waits_until.is_none()
        {
            reader.waits_until = Some(until);
            self.waits.insert((until, id));
            self.waiting.entry(number).or_default().push_back(id);
        }
    }
}

impl Reader {
    fn new(now: Instant, peer: Option<Peer>, number: u32) -> Reader {
        Reader {
            peer,
            number,
            next: 0,
            pending: BTreeMap::new(),
            settled: Seen::default(),
            answered: BTreeMap::new(),
            again: VecDeque::new(),
            waits_until: None,
            heard_at: now,
        }
    }
}

/// Which numbers have come, of the last [`super::SETTLING_WINDOW`] and all before (as the anti-replay window of RFC 4303,
/// section 3.4.3).
#[derive(Debug, Default)]
struct Seen {
    /// The highest so far.
    newest: u64,
    /// The lowest bit is that of the newest, the next one that of the number before it, and so on.
    bits: u64,
}

impl Seen {
    /// Notes a number. Returns whether it is new: what is too old to be known counts as seen.
    fn note(&mut self, number: u64) -> bool {
        let shifted = |bits: u64, by: u64| u32::try_from(by).ok().and_then(|by| bits.checked_shl(by));
        if number > self.newest {
            self.bits = shifted(self.bits, number - self.newest).unwrap_or(0);
            self.newest = number;
        }
        let Some(bit) = shifted(1, self.newest - number) else { return false };
        let is_new = self.bits & bit == 0;
        self.bits |= bit;
        is_new
    }
}

/// What to do with a reader's next fetch.
enum Next {
    Answer(Vec<Letter>),
    WaitUntil(Instant),
    Nothing,
}

impl Server {
    /// Makes somebody a reader of a box. One that is known goes on from wherever it asks now; what it has stays with
    /// it, and comes again.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        peer: Peer,
        id: u64,
        name: &BoxName,
    ) -> Result<Answer, Refusal> {
        let number = self.boxes.find(name).ok_or(Refusal::NoSuchBox)?;
        let queue = self.boxes.get(number).ok_or(Refusal::NoSuchBox)?;
        let (life, one_only) = (queue.life, queue.options.kind != Kind::Mailbox);
        let others = self.readers.readers.iter().any(|(one, reader)| *one != id && reader.number == number);
        if one_only && others {
            return Err(Refusal::Owned);
        }
        if let Some(reader) = self.readers.readers.get_mut(&id) {
            if reader.number != number {
                return Err(Refusal::Malformed);
            }
            if reader.peer.is_none() {
                reader.again = queue.held_by(id).into();
            }
            (reader.peer, reader.heard_at) = (Some(peer), now);
            return Ok(Answer::Attached { life, next: reader.next });
        }
        if self.readers.readers.len() >= READERS_MAX {
            self.counters.busy += 1;
            return Err(Refusal::Busy);
        }
        self.readers.readers.insert(id, Reader::new(now, Some(peer), number));
        Ok(Answer::Attached { life, next: 0 })
    }

    /// A reader goes: what it has comes back.
    pub(super) fn detach(&mut self, now: Instant, id: u64) {
        self.readers.end_wait(id);
        if let Some(reader) = self.readers.readers.remove(&id) {
            self.boxes.reader_gone(now, reader.number, id);
        }
    }

    /// A reader wants letters, or has something to say about those that it has.
    pub(super) fn handle_fetch(&mut self, now: Instant, peer: Peer, fetch: Fetch) {
        let Fetch { reader: id, request, heard, .. } = fetch;
        let Some(reader) = self.readers.readers.get_mut(&id) else {
            self.counters.unknown_readers += 1;
            self.send(peer, Record::Delivery { reader: id, request, letters: Err(Refusal::Unknown) });
            return;
        };
        (reader.peer, reader.heard_at) = (Some(peer), now);
        let number = reader.number;
        reader.answered = reader.answered.split_off(&heard);
        if fetch.letters_max == 0 {
            // It only says verdicts, and need not wait its turn. In a copy of it they have had their effect: a letter
            // that was given back may be the reader's again by now.
            if reader.settled.note(request) {
                self.counters.stray_verdicts += self.boxes.settle(now, number, id, &fetch.verdicts);
            }
            self.send_after_disk(peer, Record::Taken { reader: id, request });
            return;
        }
        if request < reader.next {
            match reader.answered.get(&request).cloned() {
                Some(letters) => {
                    self.send_after_disk(
                        peer,
                        Record::Delivery { reader: id, request, letters: Ok(letters) },
                    );
                }
                None => self.counters.stray_fetches += 1,
            }
            return;
        }
        if request >= reader.next.saturating_add(FETCHES_MAX) {
            self.counters.stray_fetches += 1;
            return;
        }
        let (has_verdicts, is_new) = (!fetch.verdicts.is_empty(), !reader.pending.contains_key(&request));
        if is_new {
            self.counters.stray_verdicts += self.boxes.settle(now, number, id, &fetch.verdicts);
            reader.pending.insert(request, Fetch { verdicts: Vec::new(), ..fetch });
        }
        self.serve_reader(now, id);
        // Nobody should have to wait for letters to know that the verdicts have come.
        let waits = |reader: &Reader| reader.pending.contains_key(&request);
        if has_verdicts && self.readers.readers.get(&id).is_some_and(waits) {
            self.send_after_disk(peer, Record::Taken { reader: id, request });
        }
    }

    /// Answers a reader's fetches as far as there are letters.
    fn serve_reader(&mut self, now: Instant, id: u64) {
        loop {
            match self.next_answer(now, id) {
                Next::Answer(letters) => self.deliver(id, letters),
                Next::WaitUntil(until) => {
                    if let Some(number) = self.readers.readers.get(&id).map(|reader| reader.number) {
                        self.readers.start_wait(id, number, until);
                    }
                    return;
                }
                Next::Nothing => return,
            }
        }
    }

    fn next_answer(&mut self, now: Instant, id: u64) -> Next {
        let Some(reader) = self.readers.readers.get_mut(&id) else { return Next::Nothing };
        let Some(fetch) = reader.pending.get(&reader.next) else { return Next::Nothing };
        let number = reader.number;
        let Some(queue) = self.boxes.get(number) else { return Next::Answer(Vec::new()) };
        let letters_max = (fetch.letters_max as usize).min(ITEMS_MAX);
        let bytes_max = (fetch.bytes_max as usize).min(DELIVERY_BYTES_MAX);
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while letters.len() < letters_max
            && let Some(&again) = reader.again.front()
        {
            if let Some(letter) = queue.held(again, id, now) {
                bytes += letter_bytes(&letter);
                if bytes > bytes_max && !letters.is_empty() {
                    break;
                }
                letters.push(letter);
            }
            reader.again.pop_front();
        }
        if !letters.is_empty() {
            return Next::Answer(letters);
        }
        let letters = self.boxes.take(now, number, id, letters_max, bytes_max);
        if !letters.is_empty() {
            return Next::Answer(letters);
        }
        let wait = Duration::from_millis(fetch.wait_ms.into()).min(FETCH_WAIT_MAX);
        let until = reader.waits_until.unwrap_or(now + wait);
        if until <= now { Next::Answer(Vec::new()) } else { Next::WaitUntil(until) }
    }

    fn deliver(&mut self, id: u64, letters: Vec<Letter>) {
        self.readers.end_wait(id);
        let Some(reader) = self.readers.readers.get_mut(&id) else { return };
        let request = reader.next;
        reader.next += 1;
        reader.pending.remove(&request);
        debug_assert_eq!(fitting(&letters, RECORD_BYTES_MAX), letters.len().max(1));
        // The box may have ended while the fetch waited.
        let there = self.boxes.get(reader.number).is_some();
        let letters = if there { Ok(letters) } else { Err(Refusal::NoSuchBox) };
        reader.answered.insert(request, letters.clone().unwrap_or_default());
        // Who never says what it has heard has no more of them kept than may be under way.
        while reader.answered.len() as u64 > FETCHES_MAX {
            reader.answered.pop_first();
        }
        if let Some(peer) = reader.peer {
            self.send_after_disk(peer, Record::Delivery { reader: id, request, letters });
        }
    }

    /// Hands what is in a box to those who wait for it, who take turns.
    pub(super) fn serve_waiting(&mut self, now: Instant, number: u32) {
        let gone = self.boxes.get(number).is_none();
        while gone || self.boxes.get(number).is_some_and(|queue| queue.waiting() > 0) {
            let Some(id) = self.readers.waiting.get_mut(&number).and_then(VecDeque::pop_front) else { break };
            // Out of the queue first, so that one whose fetch is too small for the letter is asked once.
            if let Some(reader) = self.readers.readers.get_mut(&id)
                && let Some(until) = reader.waits_until.take()
            {
                self.readers.waits.remove(&(until, id));
                let before = reader.next;
                self.serve_reader(now, id);
                if self.readers.readers.get(&id).is_some_and(|reader| reader.next == before) {
                    break;
                }
            }
        }
        if self.readers.waiting.get(&number).is_some_and(VecDeque::is_empty) {
            self.readers.waiting.remove(&number);
        }
    }

    /// Answers fetches that have waited for long enough.
    pub(super) fn end_waits(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.readers.waits.first() {
            if until > now {
                return;
            }
            self.readers.end_wait(id);
            self.deliver(id, Vec::new());
            self.serve_reader(now, id);
        }
    }

    /// Gives up readers that were silent for long.
    pub(super) fn sweep_readers(&mut self, now: Instant) {
        let silent = |reader: &Reader| now.since(reader.heard_at) > READER_IDLE_MAX;
        let readers = &self.readers.readers;
        let silent: Vec<u64> =
            readers.iter().filter(|(_, reader)| silent(reader)).map(|(id, _)| *id).collect();
        for id in silent {
            self.counters.silent += 1;
            self.detach(now, id);
        }
    }
}

/// Bytes of letters in a delivery at most, so that one more of any length fits its record.
const DELIVERY_BYTES_MAX: usize = 24 << 10;
