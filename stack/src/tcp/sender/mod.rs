//! Everything about data in flight, in sequence space: what is lost, what may be sent now, and when to act by oneself.
//!
//! - **In**: [`Sender::on_sent`], [`Sender::on_ack`], [`Sender::on_deadline`], changes of MSS and path MTU.
//! - **Out**: [`Sender::next`], what may be sent now (pulled, lost segments first), and [`Sender::deadline`].
//! - **Keeps**: the scoreboard of what is in flight, loss recovery, congestion control, RTT and RTO.
//! - **Timers**: one deadline: retransmission time-out, tail loss probe, RACK's reordering window, or pacing.
//! - **RFC**: 2018, 2883, 3042, 3168, 3522, 4015, 5681, 5682, 6298, 6582, 6675, 6928, 8985, 9406, 9438, 9937.
//! - **Never**: sees payload, headers or sockets; sends; gives up (the caller counts [`Sender::timeouts`]).
//!
//! The order of calls: `on_ack` for each acceptable ACK; then `next` until it says none, each time followed by
//! `on_sent` with what really left (the same plan, or its head cut off); `on_deadline` when `deadline` has come,
//! and `next` again after it. `next` promises nothing until `on_sent`: it may be asked as often as one likes.
//!
//! Windows are counted in segments, as Linux counts them: a record of n bytes is n / MSS segments, rounded up.

mod ack;
mod config;
mod congestion;
mod delivery;
mod frto;
mod messages;
mod mtu_probe;
mod pacing;
mod plain_ack;
mod probe;
mod prr;
mod rack;
mod record;
mod recovery;
mod rtt;
mod scoreboard;
mod setup;
mod status;
mod timers;
mod transmit;
mod undo;
mod usage;

use super::seq::SeqNum;
use crate::socket::CongestionState;
use crate::time::{Duration, Instant};
pub(crate) use config::{Algorithm, SenderConfig};
use congestion::{Controller, Window};
pub(crate) use messages::{AckIn, AckOut, DeadlineOut, Limits, Plan, SendKind};

/// Data in flight of one connection, from the end of the handshake on.
#[derive(Debug)]
pub(crate) struct Sender {
    /// The sequence number at offset 0: inside this room, positions are 64-bit offsets from there.
    first: SeqNum,
    board: scoreboard::Scoreboard,
    rtt: rtt::Rtt,
    window: Window,
    congestion: Controller,
    state: CongestionState,
    /// Where the episode (disorder, reduction, recovery) ends: `snd.nxt` when it began (RFC 6582's `recover`).
    high_seq: u64,
    /// Without SACK: duplicate ACKs, each of them a segment that has left the network.
    reno_sacked: u32,
    /// DupThresh, raised when reordering is seen.
    reordering: u32,
    rack: rack::Rack,
    probe: probe::Probe,
    prr: prr::Prr,
    undo: undo::Undo,
    frto: frto::Frto,
    timer: Option<(timers::TimerKind, Instant)>,
    pacer: pacing::Pacer,
    mtu_probe: mtu_probe::MtuProbe,
    usage: usage::Usage,
    /// CWR has to be set on the next new data.
    cwr_due: bool,
    /// Time-outs in a row without progress.
    timeouts: u8,
    /// The time-out that ran out last.
    last_timeout: Duration,
    /// When something was first sent again since `snd.una` moved last.
    stalled_since: Option<Instant>,
    last_sent_at: Instant,
    settings: Settings,
    totals: status::Totals,
}

/// What stays of the configuration.
#[derive(Debug)]
struct Settings {
    mss: u32,
    initial_window: u32,
    reordering: u32,
    sack: bool,
    timestamps: bool,
    rack: bool,
    tlp: bool,
    frto: bool,
    ecn: bool,
    slow_start_after_idle: bool,
}

#[cfg(test)]
mod tests;
