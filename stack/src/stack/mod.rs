//! Ties the layers together: one machine's protocol state, without thread, clock, entropy or system call.
//!
//! - **In**: frames ([`Stack::handle_frame`]), passed deadlines ([`Stack::handle_timeout`]), socket calls.
//! - **Out**: frames, pulled by whoever owns the device ([`Stack::poll_transmit`]); socket events
//!   ([`Stack::poll_event`]).
//! - **Keeps**: the layers: `ip` (with `link` inside), `udp`, `tcp`, the sockets, the counters.
//! - **Timers**: the earliest of all layers' ([`Stack::poll_timeout`]).
//! - **Never**: reads a clock, sends by itself, or lets a frame in call a frame out.
//!
//! The order of calls, for each turn of a driver: `handle_frame` for up to [`RX_BATCH_MAX`] waiting frames, then
//! `end_batch`, `handle_timeout` if `poll_timeout` has passed, `poll_event` until it is empty, and `poll_transmit`
//! for each interface until it has nothing more.

mod config;
mod context;
mod counters;

pub use config::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
pub(crate) use context::{Context, Keys};
pub use counters::Counters;

use crate::frame::{Outcome, RxFrame, TxFrame};
use crate::icmp::Icmp;
use crate::ip::Ip;
use crate::socket::{SocketEvent, Sockets};
use crate::tcp::Tcp;
use crate::time::Instant;
use crate::udp::Udp;

/// How many frames a driver hands in before it lets the stack acknowledge: an ACK costs more than a read.
pub const RX_BATCH_MAX: usize = 64;

/// One machine's protocol state.
pub struct Stack {
    pub(crate) cx: Context,
    pub(crate) ip: Ip,
    pub(crate) icmp: Icmp,
    pub(crate) udp: Udp,
    pub(crate) tcp: Tcp,
    pub(crate) sockets: Sockets,
    pub(crate) observer: Option<Box<dyn crate::capture::Observer>>,
}

#[allow(unused_variables, missing_docs)]
impl Stack {
    /// A machine without interfaces but the loopback.
    pub fn new(now: Instant, config: Config) -> Stack {
        todo!()
    }

    /// Adds an interface; its addresses are announced.
    /// Errors: `EINVAL` for an impossible MTU or address, `EADDRINUSE` for an address that is there already.
    pub fn add_interface(
        &mut self,
        now: Instant,
        config: InterfaceConfig,
    ) -> Result<InterfaceId, crate::Errno> {
        todo!()
    }

    /// A frame came in. Never sends: replies are pulled by [`Stack::poll_transmit`].
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame) -> Outcome {
        todo!()
    }

    /// All frames that waited are in (at most [`RX_BATCH_MAX`]): ACKs are decided now.
    pub fn end_batch(&mut self, now: Instant) {
        todo!()
    }

    /// Makes the interface's next frame in `frame` (which is reset first); false when there is none.
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId, frame: &mut TxFrame) -> bool {
        todo!()
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// When [`Stack::handle_timeout`] has to be called next; none when nothing is planned.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Has every frame in and out shown to an observer, or to none.
    pub fn set_observer(&mut self, observer: Option<Box<dyn crate::capture::Observer>>) {
        self.observer = observer;
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
    }
}
