//! Ties the layers together: one machine's protocol state, without thread, clock, entropy or system call.
//!
//! - **In**: frames ([`Stack::handle_frame`]), passed deadlines ([`Stack::handle_timeout`]), socket calls.
//! - **Out**: frames, pulled by whoever owns the device ([`Stack::poll_transmit`]); socket events
//!   ([`Stack::poll_event`]).
//! - **Keeps**: the layers: `ip` (with `link` inside), `udp`, `tcp`, the sockets, the counters.
//! - **Timers**: the earliest of all layers' ([`Stack::poll_timeout`]).
//! - **RFC**: none of its own.
//! - **Never**: reads a clock, sends by itself, or lets a frame in call a frame out.
//!
//! The order of calls, for each turn of a driver: `handle_frame` for up to [`RX_BATCH_MAX`] waiting frames, then
//! `end_batch`, `handle_timeout` if `poll_timeout` has passed, `poll_event` until it is empty, and `poll_transmit`
//! for each interface until it has nothing more.
//!
//! What the machine sends to itself goes through interface 0, which no driver has to pull: `end_batch`,
//! `handle_timeout` and `poll_transmit` carry it over, up to a limit for each call. While some is left, `poll_timeout`
//! says that it is time. So events can come up in `poll_transmit` too.

mod config;
mod configure;
mod context;
mod counters;
mod drive;
mod express;
mod ports;
#[cfg(test)]
mod tests;

pub use config::{Cidr, CidrError, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
pub use configure::InterfaceInfo;
pub(crate) use context::{Context, Keys};
pub use counters::Counters;
pub(crate) use ports::Ports;

use crate::icmp::Icmp;
use crate::ip::Ip;
use crate::socket::Sockets;
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
    numbers: drive::PacketNumbers,
    express: express::Express,
}

impl Stack {
    /// A machine without interfaces but the loopback.
    pub fn new(now: Instant, config: Config) -> Stack {
        let mut cx = Context::new(now, config.seed);
        Stack {
            ip: Ip::new(&config, &mut cx),
            icmp: Icmp::new(&config, &mut cx),
            udp: Udp::new(&config, &mut cx),
            tcp: Tcp::new(&config, &mut cx),
            sockets: Sockets::new(config.sockets_max),
            observer: None,
            numbers: drive::PacketNumbers::new(config.machine),
            express: express::Express::default(),
            cx,
        }
    }

    /// Has every frame in and out shown to an observer, or to none.
    pub fn set_observer(&mut self, observer: Option<Box<dyn crate::capture::Observer>>) {
        self.ip.set_watched(observer.is_some());
        self.observer = observer;
    }

    /// The time of the last call that told one.
    pub fn latest(&self) -> Instant {
        self.cx.now
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
    }
}
