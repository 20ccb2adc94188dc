//! Mailboxes: named boxes `box@host`, with delivery guarantees that one can choose and see.
//!
//! - **In**: messages of programs, here and on other machines; records of the protocol over UDP and TCP (`wire`).
//! - **Out**: letters, in each sender's order; to every sender what became of its messages.
//! - **Keeps**: boxes in memory, or in a log on the machine's disk (`log`); for each sender and reader a window; a counter
//!   for whatever is dropped ([`Counters`], [`BoxCounts`](wire::BoxCounts), [`ConnectionCounts`]).
//! - **Timers**: times to live, the return of letters that nobody acknowledged, long polls, retransmission, the patience
//!   with silent peers. All of them are behind one deadline on each side.
//! - **RFC**: 4506 (XDR) and 5531 section 11 (record marking) for the records; 6298 and 8085 for what is sent over UDP.
//!   The protocol is our own: `PROTOCOL.md`, dissected by `mailbox.lua`.
//! - **Never**: takes memory because a peer's length says so; answers an unvalidated source with more than it sent;
//!   acknowledges a message of a durable box before it is on disk.
//!
//! # The rooms
//!
//! | room | holds |
//! |---|---|
//! | `store` | the boxes: priorities, times to live, who has which letter; no I/O, no clock |
//! | `server` | the host's side of the protocol, as a state machine: records in, records out |
//! | `client` | the other side: a sender's window, a reader's fetches; and what programs hold: [`Client`], [`Sender`], [`Reader`] |
//! | `office` | the tasks around a server: sockets, connections, the disk |
//! | `log` | what of durable boxes is on disk, and what is read after a crash |
//! | [`wire`] | records, as bytes and as meaning |
//! | [`conn`] | connections over mailboxes: an exercise in what TCP does |
//! | [`experiment`] | what becomes of the promises when messages get lost and hosts crash |
//!
//! # How often is a message delivered?
//!
//! | semantics | the sender | the box | the reader | what may go wrong |
//! |---|---|---|---|---|
//! | at most once | sends once | drops what is late or there twice; removes a letter as it hands it out | takes it | it is lost, by a lost frame, a full box or a crash |
//! | at least once | repeats until it is acknowledged | keeps a letter until it is acknowledged, and hands it out again after some time | acknowledges | it is there twice, after a crash or when a reader was slow |
//! | effectively once | the same; after a crash it says of what is *in doubt* that it is | knows the sender's numbers, on disk if it is durable; keeps a letter for its reader while that lives | knows copies by their numbers | nothing, as long as a durable box's disk and the reader live; a volatile box loses what it had |
//!
//! At effectively once a letter whose reader died comes to another with [`Letter::deliveries`] above 1: whether the dead
//! one had dealt with it, nobody but its program can know.
//!
//! What a box acknowledged is in memory, or on disk if the box is durable: the log is synced before each
//! acknowledgement, one sync for all that came while the last one ran. Within a priority the messages of a sender come
//! in the order in which it sent them, whatever the semantics.
//!
//! # Who is the message for?
//!
//! Textbooks tell three kinds of destination apart ([`Kind`]). A *process* is found by a name that nobody has after it:
//! who restarts has to be found anew. A *mailbox* is there whoever reads it, and many readers share its letters. A *port*
//! is there whoever reads it too, but one reader at a time owns it.
//!
//! # An example
//!
//! ```
//! use tapstack::sim::{Sim, Wire};
//! use tapstack_mailbox::*;
//!
//! let mut net = Sim::new(1);
//! let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
//! net.wire(&a, &b, Wire { loss: 0.1, ..Wire::default() });
//! net.run(async {
//!     let jobs: Address = "jobs@10.0.0.1".parse()?;
//!     let office = Office::open(&a, &OfficeOptions::default()).await?;
//!     office.create(&jobs.name, &BoxOptions::default())?;
//!
//!     let client = Client::new(&b, Transport::Udp, jobs.host)?;
//!     client.sender(&jobs.name, SenderOptions::default()).send(Message::new("dig")).await?;
//!
//!     let reader = office.client().reader(&jobs.name, ReaderOptions::default()).await?;
//!     let letter = reader.recv().await?;
//!     assert_eq!(letter.message.body, "dig");
//!     reader.ack(&letter);
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod bell;
mod client;
pub mod conn;
pub mod experiment;
mod log;
mod message;
mod office;
pub mod server;
mod store;
pub mod wire;

pub use address::{ADDRESS_BYTES_MAX, Address, BadAddress, BoxName, NAME_BYTES_MAX, PORT};
pub use client::{
    ASK_PATIENCE, AskError, Client, FAILURES_MAX, FLIGHTS_MAX, PostError, Reader, ReaderOptions, SendError,
    Sender, SenderOptions, Ticket, Transport,
};
pub use message::{
    BODY_BYTES_MAX, BoxOptions, Death, DeathReason, Kind, Letter, Message, PRIORITY_MAX, Refusal, ReplyTo,
    Semantics, StreamSeq, Verdict, WhenFull,
};
pub use office::{
    COMPACTION_BYTES_MIN, CONNECTION_IDLE_MAX, CONNECTION_QUEUE_BYTES_MAX, CONNECTIONS_MAX, ConnectionCounts,
    LOG_BYTES_MAX, Office, OfficeOptions,
};
pub use server::Counters;
pub use store::{BOXES_MAX, STORE_BYTES_MAX};
