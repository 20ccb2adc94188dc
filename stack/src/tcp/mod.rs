//! TCP: RFC 9293, laid out so that the standard's section 3.10 and the code can be read side by side.
//!
//! - **In**: segments ([`Tcp::input`]), socket calls (`calls.rs`), passed deadlines, ICMP errors about our segments.
//! - **Out**: segments, pulled one at a time ([`Tcp::transmit`]); control segments that belong to no connection
//!   (`bare.rs`); socket events.
//! - **Keeps**: connections, listeners, TIME-WAIT entries, bound ports; all bounded.
//! - **Timers**: one queue (`timers.rs`); each connection has one entry at its earliest deadline.
//! - **RFC**: 9293, 7323, 2018, 2883, 5961, 6528, 6056, 4987, 3168, 1191, 4821, 6191, 5482; recovery's are listed in
//!   [`sender`].
//! - **Never**: sends by itself, copies payload more than once, or lets a peer choose how much memory it gets.
//!
//! | RFC 9293 | what | where |
//! |---|---|---|
//! | 3.3.1 | key connection state variables | `connection.rs`, `receiver.rs`, `sender/` |
//! | 3.4.1 | initial sequence number selection | `isn.rs` |
//! | 3.5, 3.7.1 | establishing a connection, MSS | `open.rs` |
//! | 3.6.1 | half-closed connections, TIME-WAIT | `time_wait.rs` |
//! | 3.7 | segmentation, Nagle, path MTU | `output.rs`, `mtu.rs` |
//! | 3.8.1, 3.8.2 | retransmission, congestion control | `sender/` |
//! | 3.8.3, 3.8.4 | connection failures, keep-alives | `deadlines.rs` |
//! | 3.8.5 | urgent information | `urgent.rs` |
//! | 3.8.6 | managing the window, delayed ACKs | `receiver.rs`, `ack.rs`, `output.rs` |
//! | 3.9.2.2 | ICMP messages | `icmp_error.rs` |
//! | 3.10.1 to 3.10.6 | user calls | `calls.rs`, `options.rs` |
//! | 3.10.7 | SEGMENT ARRIVES | `arrives/` |
//! | 3.10.8 | time-outs | `deadlines.rs` |

mod ack;
mod arrives;
mod bare;
mod calls;
mod config;
mod connection;
mod cookie;
mod deadlines;
mod demux;
mod icmp_error;
mod input;
mod isn;
mod limits;
mod list;
mod listener;
mod lone;
mod mtu;
mod open;
mod options;
mod output;
mod piece;
mod pool;
mod ports;
mod push;
mod receive_queue;
mod receiver;
mod segment;
mod send_queue;
mod sender;
mod seq;
mod settings;
mod settle;
mod slab;
mod socket;
mod time_wait;
mod timers;
mod urgent;
mod usage;

#[cfg(test)]
mod tests;

pub use config::{BufferSizes, EcnMode, SynCookies, TcpConfig};
pub use usage::TcpUsage;

pub(crate) use arrives::Predicted;
pub(crate) use demux::{ConnectionId, Demux, Slot, Tuple};
pub(crate) use seq::SeqNum;
pub(crate) use socket::TcpSocket;
pub(crate) use time_wait::TimeWaitId;
pub(crate) use timers::{Armed, TimerQueue};

use crate::stack::{Config, Context};
use crate::time::Instant;
use std::sync::Arc;

/// What a pull brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// The frame is complete; `more` asks for another turn.
    Frame { more: bool },
    /// Nothing to send now: the sender left the ready queue.
    Nothing,
}

/// All TCP state of a stack.
pub(crate) struct Tcp {
    config: TcpConfig,
    ttl: u8,
    /// What a fresh socket has.
    defaults: Arc<settings::Settings>,
    connections: slab::Connections,
    demux: demux::Demux,
    listeners: listener::Listeners,
    ports: ports::Ports,
    time_waits: time_wait::TimeWaits,
    timers: timers::TimerQueue,
    /// Connections that data came in for since the last `end_batch`.
    batch: Vec<ConnectionId>,
    pool: pool::ChunkPool,
    challenges: limits::ChallengeLimit,
    path_mtus: limits::PathMtus,
    /// When a SYN cookie was last sent: ACKs are taken for cookies only soon after.
    cookie_sent: Option<Instant>,
    /// Connections that no socket owns.
    orphans: usize,
    /// Bytes that all queues are charged for.
    memory: usize,
    #[cfg(test)]
    pub(crate) short_ways: ShortWays,
}

/// Lets tests compare the short ways with the long one.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct ShortWays {
    /// Everything goes the long way.
    pub(crate) closed: bool,
    /// Lone segments sent.
    pub(crate) lone: u64,
}

impl Tcp {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Tcp {
        Tcp {
            config: config.tcp.clone(),
            ttl: config.ttl,
            defaults: Arc::new(settings::Settings::new(&config.tcp, config.ttl)),
            connections: slab::Connections::default(),
            demux: demux::Demux::new(cx),
            listeners: listener::Listeners::new(cx),
            ports: ports::Ports::new(cx, config.tcp.ephemeral_ports),
            time_waits: time_wait::TimeWaits::default(),
            timers: timers::TimerQueue::default(),
            batch: Vec::new(),
            pool: pool::ChunkPool::default(),
            challenges: limits::ChallengeLimit::new(cx.rng.u64(..)),
            path_mtus: limits::PathMtus::new(&cx.keys),
            cookie_sent: None,
            orphans: 0,
            memory: 0,
            #[cfg(test)]
            short_ways: ShortWays::default(),
        }
    }
}
