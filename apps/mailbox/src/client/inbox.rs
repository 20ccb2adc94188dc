//! A reader's side: fetches under way, letters in order, verdicts that are not yet confirmed, and which letters are
//! copies of those it has had.

use super::rtt::Rtt;
use super::{Mode, ReaderOptions};
use crate::BoxName;
use crate::message::{Letter, Refusal, Semantics, Verdict};
use crate::server::{FETCH_WAIT_MAX, FETCHES_MAX, SETTLING_WINDOW};
use crate::wire::{DATAGRAM_BYTES, Fetch, HEADER_BYTES, SEGMENT_BYTES, VERDICTS_MAX};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use tapstack::time::{Duration, Instant};

use super::outbox::Phase;

/// How long a verdict may wait for others, or for a fetch to ride on, as an acknowledgement of TCP does.
const VERDICT_DELAY: Duration = Duration::from_millis(5);
/// So many don't wait.
const VERDICTS_SOON: usize = 256;
/// A fetch that waits at the host is asked about as often as this: so long a host may be up again, and nobody there knows
/// that somebody waits.
const AGAIN_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) name: BoxName,
    pub(super) phase: Phase,
    options: ReaderOptions,
    mode: Mode,
    /// The host's incarnation that it was attached to last.
    boot: u64,
    next_request: u64,
    /// Fetches that aren't answered.
    fetches: BTreeMap<u64, UnderWay>,
    /// The same, for those that only say verdicts.
    settling: BTreeMap<u64, UnderWay>,
    next_settling: u64,
    /// Answers that came before those to earlier fetches.
    early: BTreeMap<u64, Vec<Letter>>,
    letters: VecDeque<Letter>,
    verdicts: VecDeque<(u64, Verdict)>,
    verdicts_since: Option<Instant>,
    /// Letters of effectively-once semantics that the app has had, until the host is known to know, and no answer can
    /// bring them any more.
    had: BTreeMap<u64, Had>,
    /// Letters whose verdicts are confirmed, in that order, each with the first fetch that was made after that: answers
    /// to earlier ones may have been on their way before the verdict came to the host.
    settled: VecDeque<(u64, u64)>,
    /// Somebody waits for letters.
    pub(super) is_wanted: bool,
    /// Somebody wants to know whether there are any.
    pub(super) is_asked: bool,
    /// Copies that were kept from the app.
    pub(super) copies: u64,
    wakers: Vec<Waker>,
}

#[derive(Debug)]
struct UnderWay {
    fetch: Fetch,
    /// None: it is to be sent.
    sent_at: Option<Instant>,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Had {
    /// The app has it.
    Held,
    /// The app has said what it thinks of it.
    Judged(Verdict),
    /// The host knows that.
    Settled,
}

impl Inbox {
    pub(super) fn new(name: BoxName, mode: Mode, options: ReaderOptions) -> Inbox {
        Inbox {
            name,
            phase: Phase::Closed,
            options,
            mode,
            boot: 0,
            next_request: 0,
            fetches: BTreeMap::new(),
            settling: BTreeMap::new(),
            next_settling: SETTLING,
            early: BTreeMap::new(),
            letters: VecDeque::new(),
            verdicts: VecDeque::new(),
            verdicts_since: None,
            had: BTreeMap::new(),
            settled: VecDeque::new(),
            is_wanted: false,
            is_asked: false,
            copies: 0,
            wakers: Vec::new(),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Letter> {
        self.letters.pop_front()
    }

    /// Whether letters were asked for.
    pub(super) fn has_asked(&self) -> bool {
        !self.fetches.is_empty()
    }

    pub(super) fn judge(&mut self, now: Instant, id: u64, verdict: Verdict) {
        if let Some(had) = self.had.get_mut(&id) {
            *had = Had::Judged(verdict);
        }
        self.verdicts.push_back((id, verdict));
        let soon = verdict != Verdict::Ack || self.verdicts.len() >= VERDICTS_SOON;
        let at = if soon { now } else { now + VERDICT_DELAY };
        self.verdicts_since = Some(self.verdicts_since.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether the host knows all verdicts.
    pub(super) fn is_settled(&self) -> bool {
        self.verdicts.is_empty()
            && self.settling.is_empty()
            && self.fetches.values().all(|one| one.fetch.verdicts.is_empty())
    }

    /// Whether the host owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        !(self.fetches.is_empty() && self.settling.is_empty())
    }

    /// Says what is to be said at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        if !self.verdicts.is_empty() {
            self.verdicts_since = Some(now);
        }
    }

    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|one| one.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    pub(super) fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// The host, in its incarnation `boot`, has it as a reader, and will answer the fetch `next`.
    pub(super) fn attached(&mut self, boot: u64, next: u64) {
        self.phase = Phase::Open;
        let same = std::mem::replace(&mut self.boot, boot) == boot;
        let first = self.fetches.first_key_value().map_or(self.next_request, |(first, _)| *first);
        // Where the same host is at one of the fetches under way, it knows them, and they keep their numbers: an answer to
        // an earlier copy must never be taken for one to a fetch with other verdicts.
        if !same || !(first..=self.next_request).contains(&next) {
            self.begin_anew(next);
        }
        let under_way = self.fetches.values_mut().chain(self.settling.values_mut());
        under_way.for_each(|one| one.sent_at = None);
        self.wake();
    }

    /// The host knows nothing of what was fetched: all that isn't confirmed is said again. Letters that are here stay:
    /// if they come again, those of effectively-once semantics are known by their numbers.
    fn begin_anew(&mut self, next: u64) {
        let (fetches, settling) = (std::mem::take(&mut self.fetches), std::mem::take(&mut self.settling));
        let unconfirmed =
            settling.into_values().chain(fetches.into_values()).flat_map(|one| one.fetch.verdicts);
        let unconfirmed: Vec<_> = unconfirmed.collect();
        unconfirmed.into_iter().rev().for_each(|one| self.verdicts.push_front(one));
        // What was sent at most once came by this way only; the rest the host has still.
        let early = std::mem::take(&mut self.early).into_values().flatten();
        self.letters.extend(early.filter(|letter| letter.semantics == Semantics::AtMostOnce));
        // No answer to an earlier fetch counts any more.
        self.forget_settled(u64::MAX);
        self.next_request = next;
        if !self.verdicts.is_empty() {
            self.verdicts_since = Some(Instant::ZERO);
        }
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.phase = Phase::Failed(refusal);
        self.wake();
    }

    pub(super) fn close(&mut self) {
        if !matches!(self.phase, Phase::Failed(_)) {
            self.phase = Phase::Closed;
        }
    }

    /// Letters came. Returns false when the host doesn't know the reader.
    pub(super) fn handle_delivery(
        &mut self,
        now: Instant,
        request: u64,
        letters: Result<Vec<Letter>, Refusal>,
        rtt: &mut Rtt,
    ) -> bool {
        if self.phase != Phase::Open {
            return true;
        }
        let letters = match letters {
            Ok(letters) => letters,
            Err(Refusal::Unknown) => {
                self.phase = Phase::Closed;
                return false;
            }
            Err(refusal) => {
                self.refused(refusal);
                return true;
            }
        };
        let Some(under_way) = self.fetches.remove(&request) else { return true };
        // A fetch that waits at the host measures the box, not the way.
        if let (1, Some(sent_at), 0) = (under_way.tries, under_way.sent_at, under_way.fetch.wait_ms) {
            rtt.sample(now.since(sent_at));
        }
        self.confirm(under_way.fetch.verdicts);
        self.early.insert(request, letters);
        self.is_asked = false;
        while let Some(entry) = self.early.first_entry() {
            if self.fetches.first_key_value().is_some_and(|(first, _)| first < entry.key()) {
                break;
            }
            for letter in entry.remove() {
                self.take_in(now, letter);
            }
        }
        // The host answers in order: the answer to an earlier fetch is lost, or late.
        if let Some(first) = self.fetches.values_mut().next().filter(|_| !self.early.is_empty())
            && first.tries == 1
        {
            first.sent_at = None;
        }
        let answered = self.fetches.first_key_value().map_or(self.next_request, |(first, _)| *first);
        self.forget_settled(answered);
        self.wake();
        true
    }

    /// The host has the verdicts of a fetch.
    pub(super) fn handle_taken(&mut self, now: Instant, request: u64, rtt: &mut Rtt) {
        if self.phase != Phase::Open {
            return;
        }
        let verdicts = match self.fetches.get_mut(&request) {
            // It waits for letters, and needs not say them again.
            Some(waits) => std::mem::take(&mut waits.fetch.verdicts),
            None => {
                let Some(under_way) = self.settling.remove(&request) else { return };
                if let (1, Some(sent_at)) = (under_way.tries, under_way.sent_at) {
                    rtt.sample(now.since(sent_at));
                }
                under_way.fetch.verdicts
            }
        };
        self.confirm(verdicts);
        let answered = self.fetches.first_key_value().map_or(self.next_request, |(first, _)| *first);
        self.forget_settled(answered);
        self.wake();
    }

    /// The host knows these verdicts.
    fn confirm(&mut self, verdicts: Vec<(u64, Verdict)>) {
        for (id, _) in verdicts {
            match self.had.get_mut(&id) {
                // It is to come again.
                Some(Had::Judged(Verdict::Nack)) => drop(self.had.remove(&id)),
                Some(had @ Had::Judged(_)) => {
                    *had = Had::Settled;
                    self.settled.push_back((id, self.next_request));
                }
                _ => {}
            }
        }
    }

    /// Forgets settled letters that no answer can bring, since all fetches before `answered` are answered.
    fn forget_settled(&mut self, answered: u64) {
        while let Some(&(id, before)) = self.settled.front()
            && before <= answered
        {
            self.settled.pop_front();
            if self.had.get(&id) == Some(&Had::Settled) {
                self.had.remove(&id);
            }
        }
    }

    fn take_in(&mut self, now: Instant, letter: Letter) {
        if letter.semantics == Semantics::EffectivelyOnce {
            match self.had.get(&letter.id) {
                Some(Had::Held | Had::Settled) => {
                    self.copies += 1;
                    return;
                }
                Some(Had::Judged(verdict @ (Verdict::Ack | Verdict::Refuse))) => {
                    self.copies += 1;
                    self.judge(now, letter.id, *verdict);
                    return;
                }
                _ => {
                    self.had.insert(letter.id, Had::Held);
                }
            }
        }
        self.letters.push_back(letter);
    }

    /// How many letters are to be fetched now.
    fn wants(&self) -> u32 {
        if self.fetches.len() as u64 >= FETCHES_MAX {
            return 0;
        }
        let wanted = self.is_wanted || self.options.prefetch > 1;
        let room = self.options.prefetch.saturating_sub(self.letters.len());
        let fetches_max = match self.mode {
            _ if self.options.prefetch <= PREFETCH_LONG => 1,
            Mode::Datagrams => FETCHES_DATAGRAMS,
            Mode::Connection => 2,
        };
        if wanted && room > self.options.prefetch / 2 && self.fetches.len() < fetches_max {
            return u32::try_from(room).unwrap_or(u32::MAX);
        }
        u32::from(self.is_asked && self.fetches.is_empty() && self.letters.is_empty())
    }

    /// The next fetch to be sent.
    pub(super) fn transmit(&mut self, now: Instant, reader: u64, rtt: &Rtt) -> Option<Fetch> {
        if self.phase != Phase::Open {
            return None;
        }
        let heard = self.fetches.first_key_value().map_or(self.next_request, |(first, _)| *first);
        let mode = self.mode;
        let due = |one: &UnderWay| Inbox::again_at(mode, one, rtt).is_none_or(|at| at <= now);
        if let Some(again) = self.fetches.values_mut().chain(self.settling.values_mut()).find(|one| due(one))
        {
            again.tries += 1;
            again.sent_at = Some(now);
            again.fetch.heard = heard;
            return Some(again.fetch.clone());
        }
        let letters_max = self.wants();
        if letters_max == 0 && !(self.may_settle() && self.verdicts_since.is_some_and(|at| at <= now)) {
            return None;
        }
        let wait = self.is_wanted || !self.is_asked;
        let verdicts = self.verdicts.drain(..self.verdicts.len().min(VERDICTS_PER_FETCH)).collect();
        if self.verdicts.is_empty() {
            self.verdicts_since = None;
        }
        let bytes_max = match self.mode {
            Mode::Datagrams => DATAGRAM_BYTES - HEADER_BYTES - 24,
            Mode::Connection => SEGMENT_BYTES,
        };
        let (list, number) = match letters_max {
            0 => (&mut self.settling, &mut self.next_settling),
            _ => (&mut self.fetches, &mut self.next_request),
        };
        let fetch = Fetch {
            reader,
            request: *number,
            heard,
            letters_max,
            bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            wait_ms: if wait && letters_max > 0 { crate::wire::millis(FETCH_WAIT_MAX) } else { 0 },
            verdicts,
        };
        *number += 1;
        list.insert(fetch.request, UnderWay { fetch: fetch.clone(), sent_at: Some(now), tries: 1 });
        Some(fetch)
    }

    /// Whether one more fetch for verdicts alone may be under way.
    fn may_settle(&self) -> bool {
        let first = self.settling.first_key_value().map_or(self.next_settling, |(first, _)| *first);
        (self.settling.len() as u64) < FETCHES_MAX && self.next_settling - first < SETTLING_WINDOW
    }

    /// When a fetch is to be sent (again); at once where none is known.
    fn again_at(mode: Mode, one: &UnderWay, rtt: &Rtt) -> Option<Instant> {
        let sent_at = one.sent_at?;
        Some(match mode {
            Mode::Datagrams => sent_at + rtt.rto(one.tries.saturating_sub(1)).min(AGAIN_MAX),
            Mode::Connection => Instant::FAR_FUTURE,
        })
    }

    pub(super) fn deadline(&self, rtt: &Rtt) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        let under_way = self.fetches.values().chain(self.settling.values());
        let again = under_way.map(|one| Inbox::again_at(self.mode, one, rtt).unwrap_or(Instant::ZERO));
        let again = again.filter(|at| *at < Instant::FAR_FUTURE).min();
        let verdicts = self.verdicts_since.filter(|_| self.may_settle());
        match (again, verdicts) {
            (Some(again), Some(verdicts)) => Some(again.min(verdicts)),
            (again, verdicts) => again.or(verdicts),
        }
    }
}

/// Verdicts of one fetch: so many fit a datagram.
const VERDICTS_PER_FETCH: usize = 100;
/// Fetches that only say verdicts are numbered from here on, so that they need not be answered in their turn.
const SETTLING: u64 = 1 << 63;
/// A reader that fetches more than this ahead has several fetches under way.
const PREFETCH_LONG: usize = 64;
/// So many where each brings no more than a datagram has room for.
const FETCHES_DATAGRAMS: usize = 4;
const _: () = assert!((FETCHES_DATAGRAMS as u64) < FETCHES_MAX);
const _: () = assert!(VERDICTS_PER_FETCH <= VERDICTS_MAX);

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
