//! The simulated world: machines, wires and switches in memory, on one thread, with a clock that jumps.
//!
//! - **In**: a seed, machines and what connects them, apps as tasks.
//! - **Out**: what the apps return; the same seed and the same apps give the same frames at the same times.
//! - **Keeps**: the clock, the frames that are under way, the next deadline of each machine, the tasks; the machines'
//!   disks, which lose at a crash what was not synced (see [`DiskConfig`]).
//! - **Timers**: every machine's, in one queue with the arrivals, ordered by time and then by when they were planned.
//! - **RFC**: none; the switch learns as IEEE 802.1D describes.
//! - **Never**: waits, reads a clock, asks for entropy, or lets the order of anything depend on an address.
//!
//! ```no_run
//! use tapstack::sim::{Sim, Wire};
//! use tapstack::Duration;
//!
//! let mut net = Sim::new(1);
//! let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
//! net.wire(&a, &b, Wire { delay: Duration::from_millis(5), loss: 0.01, ..Wire::default() });
//! let pong = net.run(async { a.ping([10, 0, 0, 2].into(), b"hello", Duration::from_secs(1)).await });
//! assert!(pong.is_ok());
//! ```

mod build;
mod controls;
mod disk;
mod run;
mod switch;
mod wire;
mod world;

pub use build::{MachineConfig, Sim, Switch};
pub use controls::Controls;
pub use disk::{DiskConfig, DiskCounts};
pub use run::{EVENTS_IN_AN_INSTANT_MAX, IDLE_WAIT_MAX};
pub use switch::{ADDRESS_AGE_MAX, ADDRESSES_MAX};
pub use wire::{DELAY_MIN, Wire, WireCounts, WireId};

use crate::time::Instant;

/// Where the clock of every simulated world starts.
pub const EPOCH: Instant = Instant::ZERO;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod tests;
