//! What is sent and received, and what can be chosen: semantics for a sender, options for a box.

use crate::{Address, BoxName};
use bytes::Bytes;
use std::fmt;
use tapstack::time::Duration;

/// Bytes of a message's body at most. Longer ones are split by [`crate::conn`].
pub const BODY_BYTES_MAX: usize = 32 << 10;

/// The highest priority; 0 is the lowest, and what a message has if nothing is said.
pub const PRIORITY_MAX: u8 = 9;

/// A message at its sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What it says, at most [`BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Higher ones overtake lower ones in the box; at most [`PRIORITY_MAX`].
    pub priority: u8,
    /// How long it may wait in the box; then it is a dead letter. Rounded up to milliseconds.
    pub time_to_live: Option<Duration>,
    /// Where an answer is expected, and by what it is known there.
    pub reply_to: Option<ReplyTo>,
}

/// Where an answer is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The asker's own box; none in an answer, which only carries the correlation.
    pub address: Option<Address>,
    /// Chosen by the asker, repeated by the answer.
    pub correlation: u64,
}

impl Message {
    /// A message with nothing but a body.
    pub fn new(body: impl Into<Bytes>) -> Message {
        Message { body: body.into(), ..Message::default() }
    }
}

/// A message at its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number in its box; never used twice in a box's life.
    pub id: u64,
    /// The incarnation of its sender, and its number there.
    pub from: StreamSeq,
    /// What its sender was promised.
    pub semantics: Semantics,
    /// How often it has been handed out, this time included. Above 1, somebody may have dealt with it already.
    pub deliveries: u32,
    /// Why it died and in which box, if this is a dead letter.
    pub death: Option<Death>,
    /// What was sent. Its time to live is what was left.
    pub message: Message,
}

/// A sender's incarnation and the number of one of its messages, from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamSeq {
    /// Drawn at random for each sender that is opened.
    pub stream: u64,
    /// Counts the sender's messages.
    pub seq: u64,
}

/// What a dead letter died of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The box in which it was.
    pub in_box: BoxName,
    /// Why it can't be delivered there.
    pub reason: DeathReason,
}

/// Why a message became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// Its time to live ran out.
    Expired,
    /// It was handed out [`BoxOptions::deliveries_max`] times, and never acknowledged.
    Undeliverable,
    /// A newer one took its place in a full box.
    Displaced,
    /// Its reader refused it for good.
    Refused,
}

/// How often a message may be delivered: the sender's choice, for all that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Semantics {
    /// Sent once, removed when it is handed out: lost by any mishap, never there twice.
    AtMostOnce,
    /// Sent until it is acknowledged, handed out until it is acknowledged: never lost, perhaps there twice.
    AtLeastOnce,
    /// As at least once, and told apart from its copies by the box and by the reader.
    EffectivelyOnce,
}

impl Semantics {
    /// All of them, the weakest first.
    pub const ALL: [Semantics; 3] =
        [Semantics::AtMostOnce, Semantics::AtLeastOnce, Semantics::EffectivelyOnce];
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Semantics::AtMostOnce => "at most once",
            Semantics::AtLeastOnce => "at least once",
            Semantics::EffectivelyOnce => "effectively once",
        })
    }
}

/// The three kinds of destination that textbooks tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process: its box ends with its one reader, and the next incarnation has another name.
    Process,
    /// Independent of any process; readers compete for its messages.
    Mailbox,
    /// Independent of any process; one reader at a time owns it.
    Port,
}

/// What a box does with a message for which it has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Lets senders wait. Those who send at most once can't, and lose it.
    Block,
    /// Refuses it; its sender is told.
    Reject,
    /// Takes it in place of the oldest that waits, which becomes a dead letter.
    DropOldest,
}

/// How a box is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxOptions {
    /// Who may read it, and how long it lives.
    pub kind: Kind,
    /// Kept on disk: what it acknowledged survives a crash of its host.
    pub durable: bool,
    /// What becomes of a message for which there is no room.
    pub when_full: WhenFull,
    /// Messages in it at most, those that are handed out but not yet acknowledged included.
    pub messages_max: u32,
    /// Bytes of their bodies at most.
    pub bytes_max: u32,
    /// How often a message is handed out at most, before it is a dead letter.
    pub deliveries_max: u32,
    /// How long a reader may keep a message of at-least-once semantics, before somebody else gets it.
    pub redeliver_after: Duration,
    /// The time to live of messages that have none of their own.
    pub time_to_live: Option<Duration>,
    /// Where its dead letters go; none discards them, and counts them.
    pub dead_letters: Option<BoxName>,
}

impl Default for BoxOptions {
    /// A volatile mailbox of 10,000 messages and 16 MiB that lets senders wait and discards dead letters.
    fn default() -> BoxOptions {
        BoxOptions {
            kind: Kind::Mailbox,
            durable: false,
            when_full: WhenFull::Block,
            messages_max: 10_000,
            bytes_max: 16 << 20,
            deliveries_max: 5,
            redeliver_after: Duration::from_secs(30),
            time_to_live: None,
            dead_letters: None,
        }
    }
}

/// What a reader says about a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Ack,
    /// Not now: somebody else, or the same reader later.
    Nack,
    /// Never: it becomes a dead letter.
    Refuse,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no box of that name: a process has ended, or nobody made it.
    NoSuchBox,
    /// There is one of that name with other options.
    Exists,
    /// The box has no room.
    Full,
    /// A limit of the host is reached: try again later.
    Busy,
    /// The port or process has a reader already.
    Owned,
    /// It is longer than the box or the protocol takes.
    TooLarge,
    /// The host knows nothing of this sender or reader: it was silent for too long.
    Unknown,
    /// The host's disk failed; durable boxes take nothing more.
    DiskFailed,
    /// The request makes no sense.
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoSuchBox => "there is no such box",
            Refusal::Exists => "there is a box of that name with other options",
            Refusal::Full => "the box is full",
            Refusal::Busy => "the host is at a limit: try again later",
            Refusal::Owned => "it has a reader already, and takes only one",
            Refusal::TooLarge => "the message is too large",
            Refusal::Unknown => "the host no longer knows who asks: open again",
            Refusal::DiskFailed => "the host's disk failed",
            Refusal::Malformed => "the request makes no sense",
        })
    }
}

impl std::error::Error for Refusal {}
