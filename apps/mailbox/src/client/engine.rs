//! A client's side of the protocol, without its socket: records in, records out, senders and readers in between.

use super::inbox::Inbox;
use super::outbox::{Outbox, Phase};
use super::rtt::Rtt;
use super::{AskError, Mode, ReaderOptions, SenderOptions};
use crate::BoxName;
use crate::message::Refusal;
use crate::server::{FETCH_WAIT_MAX, STREAM_IDLE_MAX};
use crate::wire::{self, Answer, Ask, DATAGRAM_BYTES, Header, Record, SEGMENT_BYTES};
use std::collections::BTreeMap;
use std::task::Waker;
use tapstack::time::{Duration, Instant};

/// How long a question may stay without an answer.
pub const ASK_PATIENCE: Duration = Duration::from_secs(30);

/// A sender that was idle for so long is opened again before it sends: its host forgets those that are silent for
/// longer.
const REOPEN_AFTER: Duration = Duration::from_secs(300);
/// A connection over which nothing comes for so long, although something should, is dead: its host has crashed without
/// a word, and there is nothing to be sent that would show it.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(SILENCE_MAX.as_secs() >= 2 * FETCH_WAIT_MAX.as_secs());
const _: () = assert!(REOPEN_AFTER.as_secs() * 2 <= STREAM_IDLE_MAX.as_secs());

/// All that a client has under way with one host.
#[derive(Debug)]
pub(super) struct Engine {
    mode: Mode,
    state: State,
    /// The host's incarnation, as it was known last.
    boot: u64,
    rtt: Rtt,
    next_request: u64,
    asks: BTreeMap<u64, Asked>,
    pub(super) senders: BTreeMap<u64, Sender>,
    pub(super) readers: BTreeMap<u64, Inbox>,
    /// Since when the host owes an answer.
    owed_since: Option<Instant>,
    /// Records that made no sense, or were not for this client.
    pub(super) strays: u64,
}

#[derive(Debug)]
pub(super) struct Sender {
    pub(super) outbox: Outbox,
    /// The host's incarnation to which it was opened; 0 for none.
    boot: u64,
    used_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection.
    Down,
    /// Who are you, and do I receive here?
    Hello {
        nonce: u64,
        sent_at: Option<Instant>,
        tries: u32,
    },
    Up {
        token: u64,
    },
}

#[derive(Debug)]
struct Asked {
    ask: Ask,
    whose: Whose,
    asked_at: Instant,
    sent_at: Option<Instant>,
    tries: u32,
    answer: Option<Result<Answer, AskError>>,
    waker: Option<Waker>,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Caller,
    Sender(u64),
    Reader(u64),
    Nobody,
}

impl Engine {
    /// A client that is not connected yet. `chance` is to be random.
    pub(super) fn new(mode: Mode, chance: u64) -> Engine {
        Engine {
            mode,
            state: State::Down,
            boot: 0,
            rtt: Rtt::default(),
            next_request: chance,
            asks: BTreeMap::new(),
            senders: BTreeMap::new(),
            readers: BTreeMap::new(),
            owed_since: None,
            strays: 0,
        }
    }

    /// Records can be sent from now on. `nonce` is to be random.
    pub(super) fn connected(&mut self, nonce: u64) {
        self.state = State::Hello { nonce, sent_at: None, tries: 0 };
        self.owed_since = None;
    }

    /// They can't any more.
    pub(super) fn disconnected(&mut self) {
        self.state = State::Down;
        self.lose_all();
    }

    /// Senders and readers are to be opened again; what was asked is asked again.
    fn lose_all(&mut self) {
        self.senders.values_mut().for_each(|sender| sender.outbox.close());
        self.readers.values_mut().for_each(Inbox::close);
        self.asks.retain(|_, asked| matches!(asked.whose, Whose::Caller | Whose::Nobody));
        self.asks.values_mut().for_each(|asked| asked.sent_at = None);
    }

    pub(super) fn add_sender(&mut self, now: Instant, id: u64, name: BoxName, options: SenderOptions) {
        let outbox = Outbox::new(name, self.mode, options);
        self.senders.insert(id, Sender { outbox, boot: 0, used_at: now });
    }

    pub(super) fn remove_sender(&mut self, now: Instant, id: u64) {
        if self.senders.remove(&id).is_some_and(|sender| sender.boot != 0) {
            self.start_ask(now, Ask::Close { stream: id }, Whose::Nobody);
        }
    }

    pub(super) fn add_reader(&mut self, id: u64, name: BoxName, options: ReaderOptions) {
        self.readers.insert(id, Inbox::new(name, self.mode, options));
    }

    pub(super) fn remove_reader(&mut self, now: Instant, id: u64) {
        if let Some(mut inbox) = self.readers.remove(&id) {
            inbox.wake();
            self.start_ask(now, Ask::Detach { reader: id }, Whose::Nobody);
        }
    }

    /// Asks something for a caller, who polls for the answer by the number.
    pub(super) fn ask(&mut self, now: Instant, ask: Ask) -> u64 {
        self.start_ask(now, ask, Whose::Caller)
    }

    fn start_ask(&mut self, now: Instant, ask: Ask, whose: Whose) -> u64 {
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let asked = Asked { ask, whose, asked_at: now, sent_at: None, tries: 0, answer: None, waker: None };
        self.asks.insert(request, asked);
        request
    }

    /// Takes the answer, or leaves a waker for it.
    pub(super) fn poll_answer(&mut self, request: u64, waker: &Waker) -> Option<Result<Answer, AskError>> {
        let Some(asked) = self.asks.get_mut(&request) else { return Some(Err(AskError::Unreachable)) };
        if asked.answer.is_none() {
            asked.waker = Some(waker.clone());
            return None;
        }
        self.asks.remove(&request).and_then(|asked| asked.answer)
    }

    pub(super) fn forget_ask(&mut self, request: u64) {
        self.asks.remove(&request);
    }

    /// Takes in a datagram, or a record of a connection. Returns false for what is none.
    pub(super) fn handle(&mut self, now: Instant, bytes: &[u8]) -> bool {
        match wire::decode(bytes) {
            Ok((header, record)) => {
                self.handle_record(now, header, record);
                true
            }
            Err(error) => {
                log::debug!("the host sent what is no record: {error}");
                self.strays += 1;
                false
            }
        }
    }

    /// As [`Engine::handle`], for a record that was never coded.
    pub(super) fn handle_record(&mut self, now: Instant, header: Header, record: Record) {
        match (self.state, record) {
            (State::Hello { nonce, sent_at, tries }, Record::Welcome { nonce: theirs })
                if nonce == theirs =>
            {
                if let (Some(sent_at), 1) = (sent_at, tries) {
                    self.rtt.sample(now.since(sent_at));
                }
                self.welcome(header);
            }
            // Somebody may forge it, so it only makes us ask.
            (State::Up { token }, Record::Stale) => {
                self.state =
                    State::Hello { nonce: token.rotate_left(7) ^ self.boot, sent_at: None, tries: 0 };
            }
            (State::Up { token }, record) if (header.token, header.boot) == (token, self.boot) => {
                self.handle_valid(now, record);
                self.owed_since = self.is_waiting().then_some(now);
            }
            _ => self.strays += 1,
        }
    }

    fn is_waiting(&self) -> bool {
        self.asks.values().any(|asked| asked.sent_at.is_some() && asked.answer.is_none())
            || self.senders.values().any(|sender| sender.outbox.is_waiting())
            || self.readers.values().any(Inbox::is_waiting)
    }

    /// Whether the connection is dead: nothing came for long, although something should.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.mode == Mode::Connection && self.owed_since.is_some_and(|since| since + SILENCE_MAX <= now)
    }

    /// Lets the host have more time.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.owed_since = self.owed_since.map(|_| now);
    }

    fn welcome(&mut self, header: Header) {
        self.boot = header.boot;
        self.state = State::Up { token: header.token };
        self.lose_all();
    }

    fn handle_valid(&mut self, now: Instant, record: Record) {
        match record {
            Record::Answer { request, answer } => self.handle_answer(now, request, answer),
            Record::Ack(ack) => {
                let Some(sender) = self.senders.get_mut(&ack.stream) else {
                    self.strays += 1;
                    return;
                };
                if ack.refused.iter().any(|(_, refusal)| *refusal == Refusal::Unknown) {
                    sender.outbox.close();
                } else {
                    sender.outbox.handle_ack(now, &ack, &mut self.rtt);
                }
            }
            Record::Delivery { reader, request, letters } => match self.readers.get_mut(&reader) {
                Some(inbox) => {
                    inbox.handle_delivery(now, request, letters, &mut self.rtt);
                }
                None => self.strays += 1,
            },
            Record::Taken { reader, request } => match self.readers.get_mut(&reader) {
                Some(inbox) => inbox.handle_taken(now, request, &mut self.rtt),
                None => self.strays += 1,
            },
            _ => self.strays += 1,
        }
    }

    fn handle_answer(&mut self, now: Instant, request: u64, answer: Result<Answer, Refusal>) {
        let Some(asked) = self.asks.get_mut(&request) else {
            self.strays += 1;
            return;
        };
        if let (Some(sent_at), 1) = (asked.sent_at, asked.tries) {
            self.rtt.sample(now.since(sent_at));
        }
        if asked.whose == Whose::Caller {
            asked.answer = Some(answer.map_err(AskError::Refused));
            if let Some(waker) = asked.waker.take() {
                waker.wake();
            }
            return;
        }
        let whose = asked.whose;
        self.asks.remove(&request);
        match (whose, answer) {
            (Whose::Sender(id), Ok(Answer::Opened { restored, next, room })) => {
                if let Some(sender) = self.senders.get_mut(&id) {
                    let again = sender.boot != 0 && sender.boot != self.boot;
                    sender.boot = self.boot;
                    sender.used_at = now;
                    sender.outbox.opened(next, room, again, restored);
                }
            }
            (Whose::Reader(id), Ok(Answer::Attached { next, .. })) => {
                if let Some(inbox) = self.readers.get_mut(&id) {
                    inbox.attached(self.boot, next);
                }
            }
            (Whose::Sender(id), Err(refusal)) => {
                if let Some(sender) = self.senders.get_mut(&id) {
                    sender.outbox.refused(refusal);
                }
            }
            (Whose::Reader(id), Err(refusal)) => {
                if let Some(inbox) = self.readers.get_mut(&id) {
                    inbox.refused(refusal);
                }
            }
            _ => {}
        }
    }

    /// The next record to be sent.
    pub(super) fn poll_out(&mut self, now: Instant) -> Option<(Header, Record)> {
        let out = self.next_out(now);
        if out.is_some() {
            self.owed_since.get_or_insert(now);
        }
        out
    }

    fn next_out(&mut self, now: Instant) -> Option<(Header, Record)> {
        let token = match &mut self.state {
            State::Down => return None,
            State::Hello { nonce, sent_at, tries } => {
                let due = sent_at.is_none_or(|at| at + self.rtt.rto(tries.saturating_sub(1)) <= now);
                let first = sent_at.is_none();
                if !due || (!first && self.mode == Mode::Connection) {
                    return None;
                }
                (*sent_at, *tries) = (Some(now), *tries + 1);
                return Some((Header::default(), Record::Hello { nonce: *nonce }));
            }
            State::Up { token } => *token,
        };
        let header = Header { boot: self.boot, token };
        self.open_what_is_closed(now);
        self.next_ask(now)
            .or_else(|| self.next_send(now))
            .or_else(|| self.next_fetch(now))
            .map(|record| (header, record))
    }

    fn open_what_is_closed(&mut self, now: Instant) {
        let mut asks = Vec::new();
        for (id, sender) in &mut self.senders {
            let outbox = &mut sender.outbox;
            let idle_for_long = now.since(sender.used_at) > REOPEN_AFTER;
            if outbox.phase == Phase::Open && idle_for_long && !outbox.is_idle() {
                outbox.close();
            }
            if outbox.phase == Phase::Closed {
                outbox.phase = Phase::Opening;
                let (name, semantics, first) = (outbox.name.clone(), outbox.semantics, outbox.una());
                asks.push((Ask::Open { stream: *id, name, semantics, first }, Whose::Sender(*id)));
            }
        }
        for (id, inbox) in &mut self.readers {
            if inbox.phase == Phase::Closed {
                inbox.phase = Phase::Opening;
                asks.push((Ask::Attach { reader: *id, name: inbox.name.clone() }, Whose::Reader(*id)));
            }
        }
        for (ask, whose) in asks {
            self.start_ask(now, ask, whose);
        }
    }

    fn next_ask(&mut self, now: Instant) -> Option<Record> {
        let (mode, rtt) = (self.mode, &self.rtt);
        let is_due = |asked: &Asked| again_at(mode, asked, rtt).is_some_and(|at| at <= now);
        let (request, asked) = self.asks.iter_mut().find(|(_, asked)| is_due(asked))?;
        (asked.sent_at, asked.tries) = (Some(now), asked.tries + 1);
        Some(Record::Ask { request: *request, ask: asked.ask.clone() })
    }

    fn next_send(&mut self, now: Instant) -> Option<Record> {
        let bytes_max = match self.mode {
            Mode::Datagrams => DATAGRAM_BYTES,
            Mode::Connection => SEGMENT_BYTES,
        };
        for (&stream, sender) in &mut self.senders {
            if let Some((first, items)) = sender.outbox.transmit(now, &self.rtt, bytes_max) {
                sender.used_at = now;
                return Some(Record::Send { stream, first, heard: sender.outbox.una(), items });
            }
        }
        None
    }

    fn next_fetch(&mut self, now: Instant) -> Option<Record> {
        let rtt = &self.rtt;
        self.readers.iter_mut().find_map(|(id, inbox)| inbox.transmit(now, *id, rtt)).map(Record::Fetch)
    }

    /// When [`Engine::handle_timeout`] or [`Engine::poll_out`] has something to do by the clock.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let patience = self.asks.values().filter(|asked| asked.answer.is_none());
        let patience = patience.map(|asked| asked.asked_at + ASK_PATIENCE).min();
        let give_up = self.senders.values().filter(|_| !matches!(self.state, State::Up { .. }));
        let give_up = give_up.filter_map(|sender| sender.outbox.gives_up_at()).min();
        let again = match self.state {
            State::Down => None,
            State::Hello { sent_at, tries, .. } => {
                Some(sent_at.map_or(Instant::ZERO, |at| at + self.rtt.rto(tries.saturating_sub(1))))
                    .filter(|_| self.mode == Mode::Datagrams || sent_at.is_none())
            }
            State::Up { .. } => {
                let asks = self.asks.values().filter_map(|asked| again_at(self.mode, asked, &self.rtt));
                let senders = self.senders.values().filter_map(|sender| sender.outbox.deadline(&self.rtt));
                let readers = self.readers.values().filter_map(|inbox| inbox.deadline(&self.rtt));
                asks.chain(senders).chain(readers).filter(|at| *at < Instant::FAR_FUTURE).min()
            }
        };
        let silence = self.owed_since.filter(|_| self.mode == Mode::Connection && self.state != State::Down);
        [patience, again, give_up, silence.map(|since| since + SILENCE_MAX)].into_iter().flatten().min()
    }

    /// Handles what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let mut given_up = Vec::new();
        self.asks.retain(|_, asked| {
            if asked.answer.is_some() || asked.asked_at + ASK_PATIENCE > now {
                return true;
            }
            match asked.whose {
                Whose::Caller => {
                    asked.answer = Some(Err(AskError::TimedOut));
                    if let Some(waker) = asked.waker.take() {
                        waker.wake();
                    }
                    return true;
                }
                whose => given_up.push(whose),
            }
            false
        });
        for whose in given_up {
            match whose {
                Whose::Sender(id) => {
                    if let Some(sender) = self.senders.get_mut(&id) {
                        // It gives up by its own clock.
                        sender.outbox.close();
                    }
                }
                Whose::Reader(id) => {
                    if let Some(inbox) = self.readers.get_mut(&id) {
                        inbox.close();
                    }
                }
                Whose::Caller | Whose::Nobody => {}
            }
        }
        for sender in self.senders.values_mut() {
            sender.outbox.handle_timeout(now, &self.rtt);
        }
    }
}

/// When a question is to be asked (again).
fn again_at(mode: Mode, asked: &Asked, rtt: &Rtt) -> Option<Instant> {
    if asked.answer.is_some() {
        return None;
    }
    Some(match (asked.sent_at, mode) {
        (None, _) => Instant::ZERO,
        (Some(at), Mode::Datagrams) => at + rtt.rto(asked.tries.saturating_sub(1)),
        (Some(_), Mode::Connection) => Instant::FAR_FUTURE,
    })
}
