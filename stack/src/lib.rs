//! A user-space TCP/IP stack without I/O inside: one stack for simulation and for Linux TAP devices.
#![cfg_attr(test, allow(clippy::unwrap_used))]

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
