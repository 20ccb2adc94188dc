//! What apps use: a [`Host`] to open sockets and files on, to sleep, spawn and draw random numbers; the same in every
//! world.
//!
//! - **In**: an app's calls and awaits; the world's turns (frames, deadlines, the clock).
//! - **Out**: socket calls to the [`crate::Stack`], wake-ups to tasks and blocked threads.
//! - **Keeps**: for each machine one lock around its stack, with those who wait for sockets and those who sleep;
//!   the tasks that were spawned, in an executor of its own.
//! - **Timers**: the sleepers of a machine, in one ordered map beside the stack's own deadline.
//! - **RFC**: none; POSIX and `std::net` for names and errors, `tokio::io` for the stream traits.
//! - **Never**: holds the stack's lock over a system call, over a task's poll or over a wake-up.
//!
//! A socket call takes the machine's lock, does the call, and lets the *world* settle what came of it: frames to
//! send, tasks to wake, a nearer deadline. [`crate::sim`] and `tap` are the two worlds; everything else here is
//! written once for both. An await tries its call first and leaves a waker under the same lock if the call would
//! block, so no readiness event can fall in between.
//!
//! The types here are async. Those of [`blocking`] are made in the manner of `std::net`, for programs that embed the
//! stack: a thread that is about to block drives the device itself if nobody else does (see `tap`).
//!
//! # HTTP by `hyper`
//!
//! ```rust,no_run
#![doc = include_str!("../../examples/web.rs")]
//! ```

pub mod blocking;
pub mod disk;
mod executor;
mod host;
mod machine;
mod socket;
#[cfg(target_os = "linux")]
pub mod tap;
mod tcp;
mod udp;
mod waiters;

pub(crate) use disk::{Content, Store, Syncing};
pub use disk::{Disk, File};
pub(crate) use executor::{Executor, TaskTag};
pub use executor::{JoinError, JoinHandle, yield_now};
pub use host::{Host, ListenOptions, Pong, Sleep};
pub(crate) use machine::{Core, Drive, Machine, World};
pub use tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use udp::UdpSocket;
pub(crate) use waiters::Woken;
