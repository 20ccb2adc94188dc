//! Devices: what carries frames. A device is two halves, so that a program's thread can send while another receives.
//!
//! - **In**: [`TxFrame`]s to put on the link; bytes from the link.
//! - **Out**: [`RxFrame`]s, or [`RxTrain`]s of those that lie in one buffer.
//! - **Keeps**: nothing of the protocols.
//! - **Timers**: only wrappers that delay frames have one ([`Receive::next_deadline`], [`Transmit::next_deadline`]).
//! - **RFC**: none of its own: completed checksums are RFC 1071's; the header of offload mode is virtio 1.2's.
//! - **Never**: blocks; looks at more of a frame than it has to.

mod cut;
mod cut_in_place;
pub mod impair;
pub mod impaired;
pub mod memory;
#[cfg(target_os = "linux")]
mod napi;
#[cfg(target_os = "linux")]
pub mod tap;
#[cfg(target_os = "linux")]
mod tap_pool;
pub mod vnet;

pub use impair::{Impairment, ImpairmentCounts};
pub use impaired::{ImpairedLink, impair};
pub use memory::MemoryOptions;
#[cfg(target_os = "linux")]
pub use tap::{Tap, TapError, TapOptions};

use crate::frame::{RxFrame, RxTrain, TxFrame};
use crate::stack::{Medium, Offloads};
use crate::time::Instant;
use std::io;

/// The receiving half of a device.
pub trait Receive: Send {
    /// The next frame that waits, or none. Errors: the device is gone.
    fn receive(&mut self, now: Instant) -> io::Result<Option<RxFrame>>;

    /// As [`Receive::receive`]: all frames that follow the first one in the same buffer come with it.
    fn receive_train(&mut self, now: Instant) -> io::Result<Option<RxTrain>> {
        Ok(self.receive(now)?.map(RxTrain::from))
    }

    /// When a held-back frame is due, if one is.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// The sending half of a device.
pub trait Transmit: Send {
    /// Puts a frame on the link. `WouldBlock` means that it was not taken: try again when the device is writable.
    fn transmit(&mut self, now: Instant, frame: &TxFrame) -> io::Result<()>;

    /// Sends held-back frames that are due.
    fn handle_deadline(&mut self, _now: Instant) -> io::Result<()> {
        Ok(())
    }

    /// When a held-back frame is due, if one is.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// A device, ready to be given to a machine.
pub struct Device {
    /// Its name, for messages and captures.
    pub name: String,
    /// What its frames look like.
    pub medium: Medium,
    /// The largest IP packet that it carries, in bytes.
    pub mtu: u16,
    /// What it does for the stack.
    pub offloads: Offloads,
    /// Its receiving half.
    pub rx: Box<dyn Receive>,
    /// Its sending half.
    pub tx: Box<dyn Transmit>,
    /// Readable when a frame waits; none for devices that are driven by hand.
    #[cfg(target_os = "linux")]
    pub fd: Option<std::sync::Arc<std::os::fd::OwnedFd>>,
}
