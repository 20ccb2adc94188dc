//! A user-space TCP/IP stack without I/O inside: one stack for simulation and for Linux TAP devices.
//!
//! # The map of the house
//!
//! Each room is one module with one door, its `mod.rs`, which says what comes in, what goes out, what it keeps, its
//! timers, its RFCs, and what it never does.
//!
//! | room | holds |
//! |---|---|
//! | [`net`] | what apps use: `Host`, streams, listeners and datagrams, async and blocking; the TAP run loop |
//! | [`sim`] | the simulated world: machines, links, and an executor whose clock jumps |
//! | [`socket`] | BSD socket semantics: handles, options, readiness, errors named as errno names them |
//! | [`tcp`], [`udp`], [`icmp`] | the transports, and the messages about them |
//! | [`ip`] | IPv4: input, output, address kinds, routes, forwarding, fragments |
//! | [`link`] | Ethernet, ARP, the neighbour cache and what waits for it |
//! | [`wire`] | bytes to meaning and back, checksums |
//! | [`device`] | what carries frames: TAP, in-memory links, wrappers that impair and capture |
//! | [`stack`] | ties the layers together: the door for whoever drives a machine |
//! | [`frame`] | frames on their way, with their cause and their outcome |
//! | [`capture`] | pcapng files whose comments say why |
//! | [`mod@time`] | time as a value that is passed in |
//!
//! # Who calls whom
//!
//! A [`Stack`] is one machine's protocol state: no thread, no clock, no entropy, no system call. It is driven from
//! outside, by [`sim`] or by the run loop in [`net`], in turns of
//!
//! 1. [`handle_frame`](Stack::handle_frame) for up to [`stack::RX_BATCH_MAX`] frames that wait,
//!    then [`end_batch`](Stack::end_batch), which decides what to acknowledge;
//! 2. [`handle_timeout`](Stack::handle_timeout) if the time that [`poll_timeout`](Stack::poll_timeout) gave has come;
//! 3. [`poll_event`](Stack::poll_event) until it is empty: these sockets may have become ready;
//! 4. [`poll_transmit`](Stack::poll_transmit) for each interface until it has nothing more to send.
//!
//! Socket calls come between turns, and never block. **Nothing that comes in sends**: an input handler changes state
//! and returns an [`Outcome`](frame::Outcome); whatever has to be said is pulled later, when the device is about to
//! take it. So there is no queue of frames to overflow, and one place where the order of things is decided.
//!
//! # One frame in
//!
//! A segment with data for a connection arrives on a TAP device.
//!
//! 1. **device** reads it into an [`RxFrame`](frame::RxFrame): reference-counted bytes, with what is known about the
//!    checksum beside them. The driver hands it to [`Stack::handle_frame`], with the time.
//! 2. **link** reads the Ethernet header: for us, for all, or for somebody else
//!    ([`NotForThisStation`](frame::DropReason::NotForThisStation)). ARP stays here; IPv4 goes up.
//! 3. **ip** checks the header (length, version, checksum, the *kinds* of both addresses) and asks the routing table:
//!    ours, to be forwarded, or a drop with a name. Fragments wait here for their others.
//! 4. **tcp** verifies the checksum, finds the connection by its four-tuple, and walks through RFC 9293 section 3.10.7:
//!    sequence number, RST, SYN, ACK, then the data, which joins the receive queue *by reference*: the payload has
//!    not been copied since the device read it. What has to be acknowledged is noted, not sent.
//! 5. **socket**: the data made a socket readable, so an event is queued for it, once. The driver takes it by
//!    [`Stack::poll_event`] and wakes the task that waits in `net`; its `read` copies the bytes to the app. That is
//!    the one copy on the way in.
//!
//! The outcome ("delivered to socket 3") goes to the capture, where it stands beside the packet as its comment.
//!
//! # One frame out
//!
//! An app writes to a stream.
//!
//! 1. **net** calls the socket's `send`; **tcp** copies the bytes into the send queue, in reference-counted chunks:
//!    the one copy on the way out, needed because they have to outlive the call until they are acknowledged. The
//!    connection enters its interface's ready queue.
//! 2. The driver calls [`Stack::poll_transmit`], since the device is ready. The fair egress of **ip** picks who is next:
//!    replies and control first, then forwarded packets and sockets in turn.
//! 3. **tcp** decides, with windows, congestion control and Nagle's rule, what the next segment is, and *why*: the
//!    [`Cause`](frame::Cause) is fixed here. It makes a [`TxFrame`](frame::TxFrame) with its header and slices of
//!    the send queue, and starts the retransmission timer.
//! 4. **ip** prepends its header, **link** the Ethernet header with the neighbour's address. If that isn't known yet,
//!    the connection isn't pulled at all: an ARP request goes out instead, and the data waits where it can still be
//!    decided about.
//! 5. **device** gathers headers and slices with one `writev`: the second copy is the kernel's own.
// Doors name private items too: the links are checked, and are plain text to readers from outside.
#![allow(rustdoc::private_intra_doc_links)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[doc(hidden)]
pub mod bench;
pub mod capture;
pub mod device;
pub mod frame;
mod hash;
pub mod icmp;
pub mod ip;
pub mod link;
pub mod net;
pub mod sim;
pub mod socket;
pub mod stack;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod time;
pub mod udp;
pub mod wire;

pub use socket::{Errno, SocketId};
pub use stack::{Config, InterfaceId, Stack};
pub use time::{Duration, Instant};
