//! ONC RPC (RFC 5531) over the machines of tapstack: client, server, rpcbind, and call semantics as a choice.
//!
//! - **In**: calls of programs of one's own; calls of anybody, as messages over UDP and TCP.
//! - **Out**: results or a [`CallError`]; replies, protocol errors, or drops that are counted by name.
//! - **Keeps**: what waits for a reply; the replies to what was executed, as long as duplicates may come.
//! - **Timers**: deadlines and retransmissions of calls; patience with silent and slow peers.
//! - **RFC**: 5531, 4506 (by `tapstack_xdr`), 1833 (rpcbind).
//! - **Never**: takes memory because a length says so; executes a call more often than its semantics allow.
//!
//! Everything is written against [`tapstack::net::Host`], so it runs in the simulated world, with loss and crashes,
//! and on a TAP, against the programs of the kernel's side.
//!
//! | module | holds |
//! |---|---|
//! | [`bind`] | rpcbind: which program is where |
//! | [`client`] | [`Client`]: calls, retransmissions, sessions |
//! | [`server`] | [`Server`]: checks, duplicates, orphans, UDP and TCP |
//! | [`service`] | [`Service`]: what a server runs, and what generated code implements |
//! | [`exactly`] | [`ExactlyOnce`]: effects and replies in one redo log |
//! | [`experiment`] | what each semantics does to a bank account |
//! | [`semantics`] | [`Semantics`]: maybe, at least once, at most once, exactly once |
//! | [`message`], [`auth`], [`record`] | what is on the wire |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod auth;
pub mod bind;
pub mod client;
pub mod error;
pub mod exactly;
pub mod experiment;
pub mod message;
pub mod record;
pub mod semantics;
pub mod server;
pub mod service;

pub use bytes::Bytes;
pub use client::{Client, ClientConfig, Identity};
pub use error::CallError;
pub use exactly::{ExactlyOnce, Executed, StateMachine};
pub use semantics::Semantics;
pub use server::{Server, ServerConfig};
pub use service::{Answer, BoxFuture, CallContext, Procedure, Refusal, Service, Transport};
pub use tapstack_xdr as xdr;
