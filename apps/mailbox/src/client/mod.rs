//! What programs use: a client of one host's boxes, with senders and readers.
//!
//! - **In**: messages and verdicts of the program; records of the host; the time.
//! - **Out**: letters and outcomes; records for the host, over UDP, over TCP, or within the host itself.
//! - **Keeps**: for each sender what isn't acknowledged, within [`SenderOptions`]; for each reader what was fetched.
//! - **Timers**: retransmission, probes of full boxes, patience; all of them in one deadline (`engine`).
//! - **RFC**: 6298 for the time-out, 8085 for what UDP asks of its users, 5531 (section 11) for records over TCP.
//! - **Never**: sends a message of at-most-once semantics twice; gives one of effectively-once semantics to the program
//!   twice, while this reader lives.
//!
//! # Blocking, non-blocking, and the buffer rule
//!
//! A *blocking* send returns when the buffer may be used again. [`Sender::send`] goes further: it returns when the
//! outcome is known. A *non-blocking* send returns at once, and leaves the question from when on the buffer may be
//! changed. Here the answer is the type of the body: [`bytes::Bytes`] are shared and can't be changed, so
//! [`Sender::post`] takes them as they are, without a copy, and no rule is left to be broken. Its [`Ticket`] is the
//! *notification*: [`Sender::outcome`] awaits what became of the message. If the queue is full, `post` gives the message
//! back, and [`Sender::ready`] awaits room.

mod engine;
mod inbox;
mod link;
mod outbox;
mod rtt;

pub use engine::ASK_PATIENCE;
pub(crate) use link::{Carry, Inner as LinkInner, Shared};
pub use outbox::{FAILURES_MAX, FLIGHTS_MAX};

use crate::BoxName;
use crate::message::{
    BODY_BYTES_MAX, BoxOptions, Letter, Message, PRIORITY_MAX, Refusal, Semantics, Verdict,
};
use crate::wire::{Answer, Ask, BoxInfo};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use tapstack::net::Host;
use tapstack::time::Duration;

/// How records travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They may be lost, come twice or in another order.
    Datagrams,
    /// None of that while the connection lasts.
    Connection,
}

/// Over what a client talks with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, with acknowledgements of the protocol's own.
    Udp,
    /// A connection, made again whenever it breaks.
    Tcp,
}

/// How a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderOptions {
    /// What it promises about each message.
    pub semantics: Semantics,
    /// Messages that it holds at most; then [`Sender::post`] gives them back.
    pub queue_messages_max: usize,
    /// Bytes of bodies after which it takes no more.
    pub queue_bytes_max: usize,
    /// How long it tries although nothing is heard of the host. At most five minutes, so that the host still knows it.
    pub give_up_after: Duration,
}

impl Default for SenderOptions {
    /// Effectively once, 4,096 messages, 4 MiB, a minute.
    fn default() -> SenderOptions {
        SenderOptions {
            semantics: Semantics::EffectivelyOnce,
            queue_messages_max: 4_096,
            queue_bytes_max: 4 << 20,
            give_up_after: Duration::from_secs(60),
        }
    }
}

impl SenderOptions {
    /// The default ones, with these semantics.
    pub fn new(semantics: Semantics) -> SenderOptions {
        SenderOptions { semantics, ..SenderOptions::default() }
    }
}

/// How a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Letters that it fetches ahead of the program; 1 fetches only what is asked for. Those that were fetched ahead
    /// are nobody else's meanwhile.
    pub prefetch: usize,
}

impl Default for ReaderOptions {
    /// One letter at a time: fair among competing readers.
    fn default() -> ReaderOptions {
        ReaderOptions { prefetch: 1 }
    }
}

/// What became of a message that is not in its box, as far as the sender can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The host refused it: it is not in the box.
    Refused(Refusal),
    /// It was sent, and nothing was heard, or its host has come up again and doesn't know: it may be in the box or not.
    InDoubt,
    /// It was never sent, since its host could not be reached: it is not in the box.
    Unreachable,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Refused(refusal) => refusal.fmt(f),
            SendError::InDoubt => f.write_str("it was sent, but nobody can say whether it arrived"),
            SendError::Unreachable => f.write_str("the host can't be reached"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The host said no.
    Refused(Refusal),
    /// The host said nothing for [`ASK_PATIENCE`].
    TimedOut,
    /// The client has ended.
    Unreachable,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Refused(refusal) => refusal.fmt(f),
            AskError::TimedOut => f.write_str("the host does not answer"),
            AskError::Unreachable => f.write_str("the client has ended"),
        }
    }
}

impl std::error::Error for AskError {}

/// Why a message was not taken for sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostError {
    /// The sender's queue is full: here is the message again.
    Full(Message),
    /// Its body is longer than [`BODY_BYTES_MAX`], or its priority above [`PRIORITY_MAX`].
    Malformed(Message),
    /// The box will not have anything of this sender.
    Closed(Refusal),
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostError::Full(_) => f.write_str("the sender's queue is full: await ready()"),
            PostError::Malformed(_) => {
                write!(
                    f,
                    "a body has at most {BODY_BYTES_MAX} bytes, and a priority is at most {PRIORITY_MAX}"
                )
            }
            PostError::Closed(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for PostError {}

/// Names a message that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A client of one host. Clones are the same client; dropping the last, senders and readers included, ends it: what was
/// posted and not awaited may then never be sent.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// A client of the boxes at `server`, on this machine. It finds out in the background whether anybody is there.
    /// Errors: no socket is to be had.
    pub fn new(host: &Host, transport: Transport, server: SocketAddr) -> io::Result<Client> {
        Ok(Client { shared: Shared::start(host, transport, server)? })
    }

    pub(crate) fn carried(host: &Host, carry: Carry) -> Client {
        Client { shared: Shared::start_local(host, carry) }
    }

    /// Makes a box, or finds that it is there with these options. Errors: see [`Refusal`].
    pub async fn create(&self, name: &BoxName, options: &BoxOptions) -> Result<(), AskError> {
        self.ask(Ask::Create { name: name.clone(), options: options.clone() }).await.map(drop)
    }

    /// Ends a box with all that is in it. Errors: there is none.
    pub async fn delete(&self, name: &BoxName) -> Result<(), AskError> {
        self.ask(Ask::Delete { name: name.clone() }).await.map(drop)
    }

    /// All boxes of the host, by name.
    pub async fn list(&self) -> Result<Vec<BoxInfo>, AskError> {
        let mut all: Vec<BoxInfo> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            let Answer::List { boxes, more } = self.ask(Ask::List { after }).await? else { return Ok(all) };
            let done = !more || boxes.is_empty();
            all.extend(boxes);
            if done {
                return Ok(all);
            }
        }
    }

    /// Copies of at most `max` letters that would be handed out next, as far as they fit one record.
    pub async fn peek(&self, name: &BoxName, max: u32) -> Result<Vec<Letter>, AskError> {
        match self.ask(Ask::Peek { name: name.clone(), max }).await? {
            Answer::Peek { letters } => Ok(letters),
            _ => Ok(Vec::new()),
        }
    }

    /// A sender to a box, in an incarnation of its own. It is opened in the background: whether the box will have it
    /// shows with the first outcome.
    pub fn sender(&self, name: &BoxName, options: SenderOptions) -> Sender {
        let give_up_after = options.give_up_after.min(GIVE_UP_MAX);
        let id = self.shared.add_sender(name.clone(), SenderOptions { give_up_after, ..options });
        Sender { shared: Arc::clone(&self.shared), id }
    }

    /// A reader of a box. Errors: there is none, or it takes no other reader.
    pub async fn reader(&self, name: &BoxName, options: ReaderOptions) -> Result<Reader, AskError> {
        let id = self.shared.add_reader(name.clone(), options);
        let reader = Reader { shared: Arc::clone(&self.shared), id };
        let attached = poll_fn(|cx| {
            self.shared.with_reader(id, |inbox, _| match inbox.phase {
                outbox::Phase::Open => Poll::Ready(Ok(())),
                outbox::Phase::Failed(refusal) => Poll::Ready(Err(AskError::Refused(refusal))),
                _ => {
                    inbox.wait(cx.waker());
                    Poll::Pending
                }
            })
        });
        match self.shared.host().timeout(ASK_PATIENCE, attached).await {
            Ok(result) => result.map(|()| reader),
            Err(_) => Err(AskError::TimedOut),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        self.shared.ask(ask).await
    }
}

/// Sends messages to one box, in order.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    id: u64,
}

impl Sender {
    /// Its incarnation, which its letters carry.
    pub fn stream(&self) -> u64 {
        self.id
    }

    /// Sends a message and awaits its outcome: it is in the box (on disk where that is durable), or, at most once, on
    /// its way. Dropping the future doesn't take the message back.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        let mut message = message;
        loop {
            match self.post(message) {
                Ok(ticket) => return self.outcome(ticket).await,
                Err(PostError::Full(again)) => message = again,
                Err(PostError::Malformed(_)) => return Err(SendError::Refused(Refusal::TooLarge)),
                Err(PostError::Closed(refusal)) => return Err(SendError::Refused(refusal)),
            }
            self.ready().await;
        }
    }

    /// Takes a message for sending, or gives it back at once.
    pub fn post(&self, message: Message) -> Result<Ticket, PostError> {
        if message.body.len() > BODY_BYTES_MAX || message.priority > PRIORITY_MAX {
            return Err(PostError::Malformed(message));
        }
        let posted = self.shared.with_sender(self.id, |outbox, now| match outbox.phase {
            outbox::Phase::Failed(refusal) => Err(PostError::Closed(refusal)),
            _ if !outbox.has_room() => Err(PostError::Full(message)),
            _ => Ok(Ticket(outbox.push(now, message))),
        });
        if posted.is_ok() {
            self.shared.ring();
        }
        posted
    }

    /// Awaits what became of a message. It is remembered for the last [`FAILURES_MAX`] that failed.
    pub async fn outcome(&self, ticket: Ticket) -> Result<(), SendError> {
        self.wait(|outbox| outbox.outcome(ticket.0)).await
    }

    /// Awaits room in the sender's queue, or that the box refuses the sender.
    pub async fn ready(&self) {
        let is_ready =
            |outbox: &outbox::Outbox| outbox.has_room() || matches!(outbox.phase, outbox::Phase::Failed(_));
        self.wait(|outbox| is_ready(outbox).then_some(())).await;
    }

    /// Awaits the outcome of all that was posted so far. Returns how many messages have failed since the sender was
    /// opened.
    pub async fn flush(&self) -> u64 {
        let is_done =
            |outbox: &outbox::Outbox| outbox.is_idle() || matches!(outbox.phase, outbox::Phase::Failed(_));
        self.wait(|outbox| is_done(outbox).then_some(outbox.failed)).await
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut outbox::Outbox) -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            self.shared.with_sender(self.id, |outbox, _| match look(outbox) {
                Some(found) => Poll::Ready(found),
                None => {
                    outbox.wait(cx.waker());
                    Poll::Pending
                }
            })
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.remove_sender(self.id);
    }
}

/// Reads the letters of one box.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    id: u64,
}

impl Reader {
    /// Awaits the next letter. Dropping the future loses nothing. Errors: the box has ended.
    pub async fn recv(&self) -> Result<Letter, Refusal> {
        poll_fn(|cx| {
            let polled = self.shared.with_reader(self.id, |inbox, _| {
                if let Some(letter) = inbox.pop() {
                    inbox.is_wanted = false;
                    return Poll::Ready(Ok(letter));
                }
                if let outbox::Phase::Failed(refusal) = inbox.phase {
                    return Poll::Ready(Err(refusal));
                }
                inbox.is_wanted = true;
                inbox.wait(cx.waker());
                Poll::Pending
            });
            if polled.is_pending() {
                self.shared.ring();
            }
            polled
        })
        .await
    }

    /// As [`Reader::recv`], for `duration` at most: none when no letter came. Errors: the box has ended.
    pub async fn recv_timeout(&self, duration: Duration) -> Result<Option<Letter>, Refusal> {
        match self.shared.host().timeout(duration, self.recv()).await {
            Ok(letter) => letter.map(Some),
            Err(_) => {
                self.shared.with_reader(self.id, |inbox, _| inbox.is_wanted = false);
                Ok(None)
            }
        }
    }

    /// The next letter if there is one: asks the host, but has it wait for nothing. Errors: the box has ended.
    pub async fn try_recv(&self) -> Result<Option<Letter>, Refusal> {
        let mut asked = false;
        poll_fn(|cx| {
            let polled = self.shared.with_reader(self.id, |inbox, _| {
                if let Some(letter) = inbox.pop() {
                    return Poll::Ready(Ok(Some(letter)));
                }
                if let outbox::Phase::Failed(refusal) = inbox.phase {
                    return Poll::Ready(Err(refusal));
                }
                // A fetch that waits at the host says that the box is empty.
                if (asked && !inbox.is_asked) || (!asked && inbox.has_asked()) {
                    return Poll::Ready(Ok(None));
                }
                inbox.is_asked = true;
                inbox.wait(cx.waker());
                Poll::Pending
            });
            asked = true;
            if polled.is_pending() {
                self.shared.ring();
            }
            polled
        })
        .await
    }

    /// Says that a letter is dealt with. A letter of at-most-once semantics needs no verdict.
    pub fn ack(&self, letter: &Letter) {
        self.judge(letter, Verdict::Ack);
    }

    /// Gives a letter back: somebody gets it again, unless it has been handed out too often.
    pub fn nack(&self, letter: &Letter) {
        self.judge(letter, Verdict::Nack);
    }

    /// Makes a letter a dead one.
    pub fn refuse(&self, letter: &Letter) {
        self.judge(letter, Verdict::Refuse);
    }

    fn judge(&self, letter: &Letter, verdict: Verdict) {
        if letter.semantics != Semantics::AtMostOnce {
            self.shared.with_reader(self.id, |inbox, now| inbox.judge(now, letter.id, verdict));
            self.shared.ring();
        }
    }

    /// Awaits that the host knows all verdicts, and has those about durable boxes on its disk.
    pub async fn flush(&self) {
        poll_fn(|cx| {
            let polled = self.shared.with_reader(self.id, |inbox, now| {
                if inbox.is_settled() || matches!(inbox.phase, outbox::Phase::Failed(_)) {
                    return Poll::Ready(());
                }
                inbox.hurry(now);
                inbox.wait(cx.waker());
                Poll::Pending
            });
            self.shared.ring();
            polled
        })
        .await;
    }

    /// Letters that came again, and were kept from the program.
    pub fn copies(&self) -> u64 {
        self.shared.with_reader(self.id, |inbox, _| inbox.copies)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.remove_reader(self.id);
    }
}

/// See [`SenderOptions::give_up_after`].
const GIVE_UP_MAX: Duration = Duration::from_secs(300);
