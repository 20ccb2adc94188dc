//! The door of a machine that is up: a Unix socket that its owner's commands speak JSON lines through.
//!
//! - **In**: one request a connection (`Request`), in one line of at most `REQUEST_BYTES_MAX` bytes.
//! - **Out**: one `Reply`, in one line; after `Reply::Open`, frames of a netcat session in both directions.
//! - **Keeps**: a folder for each user (mode 0700) with a lock, a state file and a socket (0600) for each machine.
//! - **Timers**: a client has `REQUEST_TIMEOUT` to ask, and `REPLY_TIMEOUT` to take the answer.
//! - **Never**: serves anybody but the owner; lets a client hold the machine's own thread, or more of other threads
//!   than `CLIENTS_MAX`.

pub mod args;
mod block_on;
mod client;
mod commands;
mod folder;
mod hex;
mod mail;
mod nc;
mod perform;
mod protocol;
mod rpc;
mod server;
mod status;

pub(crate) use client::Machine;
pub(crate) use commands::{run, unexpected};
pub(crate) use folder::{Change, Claim, Claimed, State, folder, is_name};
pub(crate) use hex::{from_hex, to_hex};
pub(crate) use perform::add_route;
pub(crate) use protocol::{LetterRow, Reply, Request, RouteSpec};
pub(crate) use server::{Served, serve};
pub(crate) use status::{Count, Limits, Status, gather};

use std::time::Duration;

/// Bytes of a request at most.
const REQUEST_BYTES_MAX: usize = 128 << 10;
/// A message for a box, in hexadecimal, is the longest.
const _: () = assert!(REQUEST_BYTES_MAX > 2 * tapstack_mailbox::BODY_BYTES_MAX + 4096);
/// Clients that are served at once; further ones are told so.
const CLIENTS_MAX: usize = 64;
/// Netcat sessions among them, which may last.
const SESSIONS_MAX: usize = 32;
/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to read the answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may have the machine wait, in milliseconds.
const WAIT_MS_MAX: u32 = 120_000;
/// Rows of a table in one reply at most; the rest is counted.
const ROWS_MAX: usize = 10_000;
