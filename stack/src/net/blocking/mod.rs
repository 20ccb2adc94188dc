//! Blocking sockets that feel like `std::net`'s: for programs that embed the stack, and for any number of threads.
//!
//! - **In**: a [`Host`](super::Host) of a machine over devices, and calls named as `std::net` names them.
//! - **Out**: what the calls of the operating system's sockets would give, errors and their kinds included.
//! - **Keeps**: a socket for all of its clones, and whether it may block.
//! - **Timers**: read and write time-outs, kept with the socket, as the end of a blocked thread's wait.
//! - **RFC**: none; POSIX and `std::net`, compared call by call with Linux in `tests/tests/std_net.rs`.
//! - **Never**: starts a thread; works in a simulated world, whose one thread can't wait (`Unsupported`).
//!
//! # Who drives
//!
//! A call sends on its own thread, as a system call would. A thread that has to wait drives the machine if nobody
//! else does: it reads the device, hands frames in and runs tasks, until its own call is done; then it passes that
//! duty on to another thread that waits. So an echo server needs no thread but those that serve.
//!
//! A machine is driven while any thread waits in a call, or a loop runs ([`tap::Machine::run`], a [`RunningMachine`]).
//! **While neither is the case, it stands still**: nothing is acknowledged, retransmitted or answered. A program that
//! leaves its sockets alone for long, or ends right after its last `write`, should [`spawn`] the machine.
//!
//! A task that a loop of the same machine runs must not block ([`std::io::ErrorKind::Deadlock`]); it awaits the types of
//! [`super`] instead.
//!
//! # An echo server
//!
//! ```rust,no_run
#![doc = include_str!("../../../examples/echo.rs")]
//! ```
//!
//! # A client
//!
//! ```rust,no_run
#![doc = include_str!("../../../examples/client.rs")]
//! ```
//!
//! [`RunningMachine`]: super::tap::RunningMachine
//! [`tap::Machine::run`]: super::tap::Machine::run
//! [`spawn`]: super::tap::Machine::spawn

mod listener;
mod socket;
mod stream;
mod udp;
mod waiter;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
pub use udp::UdpSocket;
pub(crate) use waiter::Waiter;
