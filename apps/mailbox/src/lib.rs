//! Mailboxes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod bell;
mod client;
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
pub use office::{ConnectionCounts, Office, OfficeOptions};
