//! Captures: who watches frames go by, and the pcapng that is written of them.
//!
//! - **In**: every frame that a stack receives, with its outcome, and every frame that it sends, with its cause.
//! - **Out**: pcapng bytes, which the owner of a [`Capture`] takes and stores; records, read back from such bytes.
//! - **Keeps**: what was recorded and not yet taken, bounded; per flow, how much of it was recorded.
//! - **Timers**: none.
//! - **RFC**: draft-ietf-opsawg-pcapng. Causes, outcomes and packet ids go into its packet options, so that Wireshark
//!   shows beside each packet why it was sent and what became of it.
//! - **Never**: does I/O, or blocks on anything but another machine's record.

mod flow;
pub mod pcapng;
pub mod read;
mod recorder;

pub use pcapng::Direction;
pub use read::{LinkType, ReadError, Record, Records, read};
pub use recorder::{
    BUFFER_BYTES_DEFAULT, Capture, CaptureObserver, CaptureOptions, CaptureStats, SIM_EPOCH_UNIX_NANOS,
    SNAPLEN_MAX,
};

use crate::frame::{Outcome, RxFrame, TxFrame};
use crate::stack::InterfaceId;
use crate::time::Instant;

/// Watches the frames of a stack. It is called inside the stack's calls: it must not block.
pub trait Observer: Send {
    /// A frame came in, and this became of it.
    fn received(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame, outcome: &Outcome);
    /// A frame goes out; its cause and id are in it.
    fn sent(&mut self, now: Instant, interface: InterfaceId, frame: &TxFrame);
}
