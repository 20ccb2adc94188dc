//! Captures: who watches frames go by, and the pcapng that is written of them.

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
