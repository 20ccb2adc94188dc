//! A sender's side of a stream: a queue of messages, the window of records under way, and what became of each message.
//!
//! It is to messages what `tcp/sender` is to bytes, in small: cumulative acknowledgements with ranges beyond a gap, a
//! retransmission timer after RFC 6298, a congestion window that is halved at a loss (RFC 8085 section 3.1.1 asks that
//! of whoever sends more than a little over UDP), and probes while the other side has no room.

use super::rtt::Rtt;
use super::{Mode, SendError, SenderOptions};
use crate::BoxName;
use crate::message::{Message, Refusal, Semantics};
use crate::wire::{Ack, ITEMS_MAX, item_bytes};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use tapstack::time::{Duration, Instant};

/// What became of messages is kept for so many that failed, or for twice as many as the queue holds; of older ones it is
/// forgotten.
pub const FAILURES_MAX: usize = 1_024;
/// Records under way at most.
pub const FLIGHTS_MAX: usize = 64;

const CWND_FIRST: f64 = 10.0;
const CWND_MIN: f64 = 2.0;
/// So many later records that have come say that one is lost, and not just late (as RFC 5681's three duplicates).
const LATER_MAX: usize = 3;
const PROBE_MAX: Duration = Duration::from_secs(5);

/// What a stream does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has to be opened: at first, and when its host has come up again.
    Closed,
    /// That was asked for.
    Opening,
    Open,
    /// The host will not have it.
    Failed(Refusal),
}

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) name: BoxName,
    pub(super) semantics: Semantics,
    pub(super) phase: Phase,
    options: SenderOptions,
    mode: Mode,
    /// What isn't settled: numbers from `una` up to `next`.
    queue: VecDeque<Message>,
    queue_bytes: usize,
    una: u64,
    /// Up to here it has been sent since it was opened last.
    sent: u64,
    /// Up to here it has been sent at any time: what lies before may have come.
    sent_ever: u64,
    flights: VecDeque<Flight>,
    cwnd: f64,
    ssthresh: f64,
    /// Losses of what was sent before this number have had their effect on the window.
    recover: u64,
    /// The number that the host has no room for.
    limit: u64,
    probe_at: Option<Instant>,
    probes: u32,
    rto_backoff: u32,
    /// Since when nothing has moved that should.
    stuck_since: Option<Instant>,
    failures: BTreeMap<u64, SendError>,
    pub(super) failed: u64,
    wakers: Vec<Waker>,
}

/// A record under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    first: u64,
    end: u64,
    sent_at: Instant,
    tries: u32,
    has_come: bool,
    is_lost: bool,
}

impl Outbox {
    pub(super) fn new(name: BoxName, mode: Mode, options: SenderOptions) -> Outbox {
        Outbox {
            name,
            semantics: options.semantics,
            phase: Phase::Closed,
            options,
            mode,
            queue: VecDeque::new(),
            queue_bytes: 0,
            una: 0,
            sent: 0,
            sent_ever: 0,
            flights: VecDeque::new(),
            cwnd: CWND_FIRST,
            ssthresh: f64::MAX,
            recover: 0,
            limit: 0,
            probe_at: None,
            probes: 0,
            rto_backoff: 0,
            stuck_since: None,
            failures: BTreeMap::new(),
            failed: 0,
            wakers: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.una + self.queue.len() as u64
    }

    /// All before this number are settled.
    pub(super) fn una(&self) -> u64 {
        self.una
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.options.queue_messages_max && self.queue_bytes < self.options.queue_bytes_max
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the host owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.flights.is_empty() && self.semantics != Semantics::AtMostOnce
    }

    /// Appends a message, and gives it its number.
    pub(super) fn push(&mut self, now: Instant, message: Message) -> u64 {
        let seq = self.next();
        if self.phase != Phase::Open {
            self.stuck_since.get_or_insert(now);
        }
        self.queue_bytes += message.body.len();
        self.queue.push_back(message);
        seq
    }

    /// What became of a message; none while that isn't known.
    pub(super) fn outcome(&self, seq: u64) -> Option<Result<(), SendError>> {
        match self.phase {
            _ if seq < self.una => Some(self.failures.get(&seq).map_or(Ok(()), |error| Err(error.clone()))),
            Phase::Failed(refusal) => Some(Err(SendError::Refused(refusal))),
            _ => None,
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

    /// Everything before `next` is settled.
    fn settle(&mut self, next: u64) {
        while self.una < next
            && let Some(message) = self.queue.pop_front()
        {
            self.queue_bytes -= message.body.len();
            self.una += 1;
        }
        self.sent = self.sent.max(self.una);
        self.sent_ever = self.sent_ever.max(self.una);
        self.recover = self.recover.max(self.una);
    }

    fn fail(&mut self, seq: u64, error: SendError) {
        self.failed += 1;
        self.failures.insert(seq, error);
        while self.failures.len() > FAILURES_MAX.max(self.options.queue_messages_max * 2) {
            self.failures.pop_first();
        }
    }

    /// The host opened it. `first` is where it stands now; `again` says that the host is another incarnation than that
    /// to which things were sent before, and `restored` that it knows those nevertheless. Returns false when it has to
    /// be opened once more, from a later number on.
    pub(super) fn opened(&mut self, next: u64, room: u32, again: bool, restored: bool) -> bool {
        self.flights.clear();
        (self.probe_at, self.probes, self.rto_backoff) = (None, 0, 0);
        if again {
            (self.cwnd, self.ssthresh) = (CWND_FIRST, f64::MAX);
        }
        let forgotten = again && !restored && self.semantics == Semantics::EffectivelyOnce;
        if forgotten && self.sent_ever > self.una {
            // They may have come and been read before the host went down: to send them again could be once too often.
            for seq in self.una..self.sent_ever {
                self.fail(seq, SendError::InDoubt);
            }
            self.settle(self.sent_ever);
            self.sent = self.una;
            self.phase = Phase::Closed;
            self.wake();
            return false;
        }
        self.phase = Phase::Open;
        self.settle(next);
        self.sent = self.una;
        self.stuck_since = None;
        self.set_limit(self.una, room);
        self.arm_probe_if_stuck(Instant::ZERO);
        self.wake();
        true
    }

    /// The host will not have it.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.phase = Phase::Failed(refusal);
        self.wake();
    }

    /// What came can't be relied on any more: it is to be opened again.
    pub(super) fn close(&mut self) {
        if !matches!(self.phase, Phase::Failed(_)) {
            self.phase = Phase::Closed;
        }
        self.flights.clear();
    }

    /// The host has room for so many from `next` on. What is sent at most once doesn't wait for room.
    fn set_limit(&mut self, next: u64, room: u32) {
        self.limit = match self.semantics {
            Semantics::AtMostOnce => u64::MAX,
            _ => next + u64::from(room),
        };
    }

    fn arm_probe_if_stuck(&mut self, now: Instant) {
        if self.limit <= self.una && !self.queue.is_empty() {
            self.probe_at.get_or_insert(now);
        }
    }

    /// An acknowledgement came.
    pub(super) fn handle_ack(&mut self, now: Instant, ack: &Ack, rtt: &mut Rtt) {
        let at_most_once = self.semantics == Semantics::AtMostOnce;
        if self.phase != Phase::Open || (ack.next < self.una && !at_most_once) || ack.next > self.sent_ever {
            return;
        }
        let unheard = if at_most_once { 0..0 } else { self.una..ack.next };
        for (seq, refusal) in ack.refused.iter().filter(|(seq, _)| unheard.contains(seq)) {
            self.fail(*seq, SendError::Refused(*refusal));
        }
        let progress = ack.next > self.una;
        self.settle(ack.next);
        let mut came = 0;
        for flight in &mut self.flights {
            let covered = |&(from, up_to): &(u64, u64)| from <= flight.first && flight.end <= up_to;
            let is_there = flight.end <= ack.next || ack.beyond.iter().any(covered);
            if is_there && !flight.has_come {
                (flight.has_come, flight.is_lost) = (true, false);
                came += 1;
                // Karn's rule: of what was sent twice nobody knows which was answered.
                if flight.tries == 1 {
                    rtt.sample(now.since(flight.sent_at));
                }
            }
        }
        self.flights.retain(|flight| flight.end > ack.next);
        self.grow(came);
        self.find_lost();
        if progress || came > 0 {
            (self.rto_backoff, self.stuck_since) = (0, None);
        }
        self.set_limit(ack.next, ack.room);
        if ack.room == 0 && !at_most_once {
            // What is under way beyond this was dropped there: it is sent again when there is room.
            self.flights.clear();
            self.sent = self.una;
            // That somebody answers is all that can be asked of a full box.
            self.stuck_since = None;
            if !self.queue.is_empty() && self.probe_at.is_none() {
                self.probe_at = Some(now + self.probe_interval(rtt));
            }
        } else {
            (self.probe_at, self.probes) = (None, 0);
        }
        if progress {
            self.wake();
        }
    }

    /// The window grows with what has come: by as much below the threshold, by one a window above.
    fn grow(&mut self, came: u32) {
        for _ in 0..came {
            self.cwnd += if self.cwnd < self.ssthresh { 1.0 } else { 1.0 / self.cwnd };
        }
        self.cwnd = self.cwnd.min(FLIGHTS_MAX as f64);
    }

    /// Records that were overtaken by several others are lost.
    fn find_lost(&mut self) {
        let mut later = 0;
        let mut found = None;
        for flight in self.flights.iter_mut().rev() {
            if flight.has_come {
                later += 1;
            } else if later >= LATER_MAX && !flight.is_lost && flight.tries == 1 {
                flight.is_lost = true;
                found = Some(flight.first);
            }
        }
        if found.is_some_and(|first| first >= self.recover) {
            self.ssthresh = (self.cwnd / 2.0).max(CWND_MIN);
            self.cwnd = self.ssthresh;
            self.recover = self.sent;
        }
    }

    fn rto(&self, rtt: &Rtt) -> Duration {
        rtt.rto(self.rto_backoff)
    }

    fn probe_interval(&self, rtt: &Rtt) -> Duration {
        rtt.rto(self.probes).min(PROBE_MAX)
    }

    /// When it gives up, if nothing is heard.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.stuck_since.map(|since| since + self.options.give_up_after)
    }

    /// When [`Outbox::handle_timeout`] or [`Outbox::transmit`] has something to do by the clock.
    pub(super) fn deadline(&self, rtt: &Rtt) -> Option<Instant> {
        let give_up = self.gives_up_at();
        if self.phase != Phase::Open {
            return give_up;
        }
        let oldest = self.flights.iter().filter(|flight| !flight.has_come && !flight.is_lost);
        let rto = match self.mode {
            Mode::Datagrams => oldest.map(|flight| flight.sent_at).min().map(|sent| sent + self.rto(rtt)),
            // The connection sees to it.
            Mode::Connection => None,
        };
        [rto, self.probe_at, give_up].into_iter().flatten().min()
    }

    /// Handles what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, rtt: &Rtt) {
        let rto = self.rto(rtt);
        let late = |flight: &Flight| !flight.has_come && !flight.is_lost && flight.sent_at + rto <= now;
        if self.mode == Mode::Datagrams && self.flights.iter().any(late) {
            if self.semantics == Semantics::AtMostOnce {
                // Before more is sent to nobody, somebody has to answer.
                self.close();
                if !self.queue.is_empty() {
                    self.stuck_since.get_or_insert(now);
                }
            } else {
                // RFC 6298 (5.4 to 5.6): all that is under way is in doubt, and the timer backs off.
                self.flights
                    .iter_mut()
                    .filter(|flight| !flight.has_come)
                    .for_each(|flight| flight.is_lost = true);
                self.rto_backoff += 1;
            }
            self.ssthresh = (self.cwnd / 2.0).max(CWND_MIN);
            self.cwnd = CWND_MIN;
            self.recover = self.sent;
        }
        if self.gives_up_at().is_some_and(|at| at <= now) {
            self.give_up();
        }
    }

    /// Nothing was heard for too long: all that waits has failed, and the stream is opened anew after it.
    pub(super) fn give_up(&mut self) {
        for seq in self.una..self.next() {
            let sent = seq < self.sent_ever;
            self.fail(seq, if sent { SendError::InDoubt } else { SendError::Unreachable });
        }
        self.settle(self.next());
        self.stuck_since = None;
        self.close();
        self.wake();
    }

    /// The next run of messages to be sent: their first number, and they themselves.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        rtt: &Rtt,
        bytes_max: usize,
    ) -> Option<(u64, Vec<Message>)> {
        if self.phase != Phase::Open {
            return None;
        }
        if let Some(index) = self.flights.iter().position(|flight| flight.is_lost) {
            let under_way = self.flights.iter().filter(|flight| !flight.has_come && !flight.is_lost).count();
            if (under_way as f64) < self.cwnd.max(1.0) {
                return self.transmit_again(now, index);
            }
            return None;
        }
        if self.probe_at.is_some_and(|at| at <= now) && self.limit <= self.una {
            self.probes += 1;
            self.probe_at = Some(now + self.probe_interval(rtt));
            self.stuck_since.get_or_insert(now);
            let first = self.queue.front()?.clone();
            self.sent_ever = self.sent_ever.max(self.una + 1);
            return Some((self.una, vec![first]));
        }
        let under_way = self.flights.iter().filter(|flight| !flight.has_come).count();
        if self.mode == Mode::Datagrams && under_way as f64 >= self.cwnd || self.flights.len() >= FLIGHTS_MAX
        {
            return None;
        }
        let first = self.sent;
        let from = usize::try_from(first - self.una).ok()?;
        let (mut bytes, mut items) = (RECORD_HEAD_BYTES, Vec::new());
        let may_go = usize::try_from(self.limit.saturating_sub(first)).unwrap_or(usize::MAX).min(ITEMS_MAX);
        for message in self.queue.range(from.min(self.queue.len())..).take(may_go) {
            bytes += item_bytes(message);
            if bytes > bytes_max && !items.is_empty() {
                break;
            }
            items.push(message.clone());
        }
        if items.is_empty() {
            self.arm_probe_if_stuck(now + self.probe_interval(rtt));
            return None;
        }
        let end = first + items.len() as u64;
        let flight = Flight { first, end, sent_at: now, tries: 1, has_come: false, is_lost: false };
        self.flights.push_back(flight);
        self.sent = end;
        self.sent_ever = self.sent_ever.max(end);
        if self.semantics == Semantics::AtMostOnce {
            // It is on its way, and will not be sent again: that is its outcome.
            self.settle(end);
            self.wake();
        } else {
            self.stuck_since.get_or_insert(now);
        }
        Some((first, items))
    }

    fn transmit_again(&mut self, now: Instant, index: usize) -> Option<(u64, Vec<Message>)> {
        let una = self.una;
        let flight = self.flights.get_mut(index)?;
        (flight.is_lost, flight.sent_at) = (false, now);
        flight.tries += 1;
        let first = flight.first.max(una);
        let from = usize::try_from(first - una).ok()?;
        let len = usize::try_from(flight.end.saturating_sub(first)).ok()?;
        Some((first, self.queue.range(from.min(self.queue.len())..).take(len).cloned().collect()))
    }
}

/// Bytes of a send before its first message.
const RECORD_HEAD_BYTES: usize = crate::wire::HEADER_BYTES + 28;
