//! One connection's state: the transmission control block of RFC 9293 section 3.3.1.

use super::ack::AckState;
use super::demux::{ConnectionId, Tuple};
use super::isn;
use super::ports::PortName;
use super::push::Pushes;
use super::receiver::Receiver;
use super::send_queue::SendQueue;
use super::sender::Sender;
use super::seq::SeqNum;
use super::settings::Settings;
use super::timers::Armed;
use super::urgent::Urgent;
use crate::ip::Route;
use crate::socket::{Errno, SocketId, TcpState};
use crate::time::{Duration, Instant};
use crate::wire::tcp_options;
use std::sync::Arc;

/// Who a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A socket of the application's.
    Socket(SocketId),
    /// A listener, until it is accepted.
    Listener(SocketId),
    /// Nobody: the application has closed it, and it finishes by itself.
    Orphan,
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) tuple: Tuple,
    /// How it has its local port; what the socket says of reuse later doesn't change that.
    pub(crate) port: PortName,
    pub(crate) state: TcpState,
    pub(crate) owner: Owner,
    /// Its socket has the same.
    pub(crate) settings: Arc<Settings>,
    pub(crate) route: Route,
    /// The path's MTU, in bytes of IP packet: the route's, or less (RFC 1191).
    pub(crate) path_mtu: u16,
    pub(crate) snd: SendVariables,
    pub(crate) sender: Sender,
    pub(crate) send_queue: SendQueue,
    pub(crate) rcv: Receiver,
    pub(crate) ack: AckState,
    pub(crate) timestamps: Timestamps,
    pub(crate) handshake: Handshake,
    pub(crate) timers: Timers,
    pub(crate) urgent: Urgent,
    /// Where PSH belongs.
    pub(crate) pushes: Pushes,
    pub(crate) ecn: Ecn,
    pub(crate) counts: Counts,
    /// Where probing for the path MTU stands (RFC 4821).
    pub(crate) probing: super::mtu::Probing,
    /// An error that ended the connection, until the application takes it.
    pub(crate) error: Option<Errno>,
    /// An ICMP error that may explain a time-out later (RFC 1122 section 4.2.3.9).
    pub(crate) soft_error: Option<Errno>,
    /// The application takes no more data (`shutdown(SHUT_RD)`).
    pub(crate) read_shut: bool,
    /// A FIN follows what is queued.
    pub(crate) fin_queued: bool,
    pub(crate) flags: Flags,
    pub(crate) armed: Armed,
}

/// What a call or segment left to be done, and where the connection is queued: settled in one place, by `Tcp::settle`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// It is in its interface's ready queue, or waits for its next hop.
    pub(crate) ready: bool,
    /// It is in the list of those that data came in for in this batch.
    pub(crate) in_batch: bool,
    /// The socket's readiness may have changed.
    pub(crate) wake: bool,
    /// The connection is over: take it out of the tables.
    pub(crate) remove: bool,
    /// Both sides are done: it becomes a TIME-WAIT entry.
    pub(crate) time_wait: bool,
    /// The next hop answers: something of ours was acknowledged.
    pub(crate) confirmed: bool,
    /// A corked or held-back partial segment goes out now.
    pub(crate) push: bool,
    /// The next hop did not answer: nothing is tried until a timer or a segment says so.
    pub(crate) stalled: bool,
    /// It was ESTABLISHED once.
    pub(crate) was_open: bool,
    /// There was room to write when it was last settled.
    pub(crate) writable: bool,
    /// The application found no room, and waits for some.
    pub(crate) want_write: bool,
    /// The peer is to be told by a reset that the connection is over, and why.
    pub(crate) abort: Option<&'static str>,
    /// It counts as an orphan.
    pub(crate) orphan: bool,
    /// It is among its listener's half-open connections.
    pub(crate) pending: bool,
    /// It waits to be accepted.
    pub(crate) queued: bool,
    /// Bytes that it is charged for.
    pub(crate) charged: usize,
    /// What auto-tuning lets the application write, in bytes.
    pub(crate) send_limit: u32,
}

/// Send sequence variables that the [`Sender`] doesn't keep (RFC 9293 section 3.3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendVariables {
    /// ISS.
    pub(crate) iss: SeqNum,
    /// SND.WND, in bytes.
    pub(crate) wnd: u32,
    /// SND.WL1 and SND.WL2.
    pub(crate) wl1: SeqNum,
    pub(crate) wl2: SeqNum,
    /// The largest window that the peer ever offered, in bytes.
    pub(crate) wnd_max: u32,
    /// The peer's window scale.
    pub(crate) scale: u8,
    /// The peer's MSS option, in bytes.
    pub(crate) peer_mss: u16,
    /// The end of the last segment below full size (Minshall's rule).
    pub(crate) small_end: SeqNum,
    /// The end of what was written with `MSG_MORE` behind it: it may wait for more.
    pub(crate) more: bool,
    /// Something was in flight when the application last wrote: it streams, and is likely to write more.
    pub(crate) in_flow: bool,
}

/// Timestamps (RFC 7323).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timestamps {
    /// Both sides use them.
    pub(crate) enabled: bool,
    /// Added to our clock.
    pub(crate) offset: u32,
    /// TS.Recent, and when it was taken.
    pub(crate) recent: u32,
    pub(crate) recent_at: Instant,
}

/// The state of opening: SYN or SYN-ACK, sent until it is answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handshake {
    /// Whether a SYN or SYN-ACK has to go out.
    pub(crate) due: bool,
    /// How often it was sent again.
    pub(crate) retries: u8,
    /// When it was first sent.
    pub(crate) sent_at: Instant,
    /// Whether SACK is in use.
    pub(crate) sack: bool,
    /// Whether both sides scale their windows.
    pub(crate) scaling: bool,
    /// The data that completes the handshake is awaited until then (`TCP_DEFER_ACCEPT`).
    pub(crate) defer_until: Option<Instant>,
    /// It was opened by the peer's SYN (RFC 9293 section 3.10.7.4 tells the two kinds of SYN-RECEIVED apart).
    pub(crate) passive: bool,
}

/// Deadlines that are not the sender's. [`Instant::FAR_FUTURE`] where one isn't set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// SYN or SYN-ACK.
    pub(crate) handshake: Instant,
    /// Probes into a zero window, and how many were sent.
    pub(crate) persist: Instant,
    pub(crate) probes: u8,
    /// How often the time between probes was doubled: until the window opens, whether the peer answers or not.
    pub(crate) persist_backoff: u8,
    /// When the first probe into this zero window was sent.
    pub(crate) probing_since: Instant,
    /// Keep-alive.
    pub(crate) keepalive: Instant,
    pub(crate) keepalive_probes: u8,
    /// FIN-WAIT-2 of an orphan ends.
    pub(crate) expire: Instant,
    /// A corked partial segment goes out then.
    pub(crate) cork: Instant,
    /// When anything was last received.
    pub(crate) last_received: Instant,
    /// A probe is due now.
    pub(crate) probe_due: Option<Probe>,
}

/// What kind of probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Into a zero window.
    Window,
    /// Of an idle connection.
    KeepAlive,
}

impl Default for Timers {
    fn default() -> Timers {
        let never = Instant::FAR_FUTURE;
        Timers {
            handshake: never,
            persist: never,
            probes: 0,
            persist_backoff: 0,
            probing_since: never,
            keepalive: never,
            keepalive_probes: 0,
            expire: never,
            cork: never,
            last_received: Instant::ZERO,
            probe_due: None,
        }
    }
}

/// Explicit congestion notification (RFC 3168).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ecn {
    pub(crate) enabled: bool,
    /// A CE mark came in: echo ECE until the peer sets CWR.
    pub(crate) echo: bool,
}

/// Counters for `TCP_INFO`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) segments_in: u64,
    pub(crate) segments_out: u64,
    pub(crate) data_segments_in: u64,
    pub(crate) data_segments_out: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retransmitted: u64,
    pub(crate) out_of_order_in: u32,
    /// When a challenge or duplicate ACK for an invalid segment was last sent: they are rate-limited.
    pub(crate) last_invalid_answer: Instant,
}

/// At most one answer to an invalid segment in this time (Linux's `tcp_invalid_ratelimit`).
pub(crate) const INVALID_ANSWER_INTERVAL: Duration = Duration::from_millis(500);

impl Connection {
    /// SND.NXT: in the handshake states the SYN alone is outstanding.
    pub(crate) fn snd_nxt(&self) -> SeqNum {
        match self.state {
            TcpState::SynSent | TcpState::SynReceived => self.snd.iss + 1,
            _ => self.sender.nxt(),
        }
    }

    /// The end of all that is queued: data, and the FIN behind it.
    pub(crate) fn queue_end(&self) -> SeqNum {
        self.send_queue.end_seq() + u32::from(self.fin_queued)
    }

    /// Whether our FIN was sent and acknowledged.
    pub(crate) fn fin_acked(&self) -> bool {
        self.fin_queued && self.sender.una() == self.queue_end()
    }

    /// Bytes that were written and not acknowledged. On a closed connection nothing will ever be: none.
    pub(crate) fn unacknowledged(&self) -> usize {
        if self.state == TcpState::Closed { 0 } else { self.send_queue.len() }
    }

    /// Bytes that were written and not sent.
    pub(crate) fn unsent(&self) -> u32 {
        self.send_queue.end_seq().signed_from(self.sender.nxt()).max(0) as u32
    }

    /// How many of `wanted` bytes may be written, as far as those count that wait unsent already.
    ///
    /// The application chooses from how many on it may not write (`TCP_NOTSENT_LOWAT`). A buffer that tunes itself has to
    /// hold all that is in flight; what it would hold beside that only grows old, and leaves the cache before it is sent.
    /// So it takes a burst of full super-frames.
    pub(crate) fn unsent_room(&self, wanted: usize) -> usize {
        let unsent = self.unsent();
        if unsent >= self.settings.not_sent_low_water {
            return 0;
        }
        if self.settings.send_buffer.is_some() || unsent as usize + wanted <= UNSENT_BYTES_EASY as usize {
            return wanted;
        }
        let mss = self.sender.mss();
        let burst = UNSENT_SUPER_FRAMES_MAX * (SUPER_FRAME_BYTES / mss).max(1) * mss;
        wanted.min(burst.saturating_sub(unsent) as usize)
    }

    /// Whether so little waits unsent that a writer is to be told of the room.
    pub(crate) fn is_little_unsent(&self) -> bool {
        let tuned = if self.settings.send_buffer.is_some() { u32::MAX } else { UNSENT_BYTES_EASY };
        self.unsent() < self.settings.not_sent_low_water.min(tuned)
    }

    /// Whether the states allow the application to send.
    pub(crate) fn can_send(&self) -> bool {
        matches!(self.state, TcpState::Established | TcpState::CloseWait) && !self.fin_queued
    }

    /// Whether the peer may still send data.
    pub(crate) fn can_receive(&self) -> bool {
        matches!(self.state, TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2)
    }

    /// Whether the handshake is over.
    pub(crate) fn is_synchronized(&self) -> bool {
        !matches!(self.state, TcpState::Closed | TcpState::Listen | TcpState::SynSent | TcpState::SynReceived)
    }

    /// The timestamp to send now.
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        isn::timestamp(now, self.timestamps.offset)
    }

    /// The option to send now, where both sides use it.
    pub(crate) fn timestamps_option(&self, now: Instant) -> Option<tcp_options::Timestamps> {
        let option = || tcp_options::Timestamps { value: self.timestamp(now), echo: self.timestamps.recent };
        self.timestamps.enabled.then(option)
    }

    /// When the segment was sent whose timestamp is `echo`.
    pub(crate) fn echo_time(&self, now: Instant, echo: u32) -> Option<Instant> {
        sent_when(now, self.timestamp(now), echo)
    }

    /// The segment size that our side announces: the interface's MTU without headers (RFC 6691), or `TCP_MAXSEG`.
    pub(crate) fn advertised_mss(&self) -> u16 {
        let mss = self.route.mtu.saturating_sub(HEADERS_BYTES);
        self.settings.max_segment.map_or(mss, |clamp| mss.min(clamp)).max(MSS_MIN)
    }

    /// Payload of a full segment: what path and peer allow (RFC 9293 section 3.7.1, MUST-16), options taken off.
    pub(crate) fn effective_mss(&self) -> u32 {
        let path = self.path_mtu.saturating_sub(HEADERS_BYTES);
        let peer = self.settings.max_segment.map_or(self.snd.peer_mss, |clamp| clamp.min(self.snd.peer_mss));
        let options = if self.timestamps.enabled { TIMESTAMP_BYTES } else { 0 };
        let mss = u32::from(path.min(peer).max(MSS_MIN).saturating_sub(options));
        if self.handshake.passive { self.at_most_half_a_window(mss) } else { mss }
    }

    /// Never more than half of the largest window that the peer offered, so that there are two segments to acknowledge
    /// (Linux's `tcp_bound_to_half_wnd`); windows below the default segment size count whole.
    pub(crate) fn at_most_half_a_window(&self, bytes: u32) -> u32 {
        let limit = match self.snd.wnd_max {
            0 => return bytes,
            wnd if wnd > u32::from(MSS_DEFAULT) => wnd / 2,
            wnd => wnd,
        };
        bytes.min(limit.max(u32::from(HALF_WINDOW_MIN)))
    }

    /// The peer lives.
    pub(crate) fn heard_of_peer(&mut self, now: Instant) {
        self.timers.last_received = now;
        self.timers.keepalive_probes = 0;
    }

    /// The earliest deadline of all.
    pub(crate) fn next_deadline(&self) -> Instant {
        let timers = &self.timers;
        let sender = self.sender.deadline().unwrap_or(Instant::FAR_FUTURE);
        [timers.handshake, timers.persist, timers.keepalive, timers.expire, timers.cork, self.ack.delayed]
            .into_iter()
            .fold(sender, Instant::min)
            .min(self.user_deadline().unwrap_or(Instant::FAR_FUTURE))
    }

    /// The next hop can't be resolved: an opening connection fails at once, an open one tries again later.
    pub(crate) fn next_hop_fails(&mut self, now: Instant) {
        match self.state {
            // Neither has sent anything that a timer would follow up; the peer's next SYN may find the next hop again.
            TcpState::SynSent | TcpState::SynReceived => self.close_with(Some(Errno::EHOSTUNREACH)),
            _ => {
                self.soft_error = Some(Errno::EHOSTUNREACH);
                self.ack.now = None;
                self.timers.probe_due = None;
                self.timers.persist = self.timers.persist.min(now + self.sender.rto());
                self.flags.stalled = true;
            }
        }
    }

    /// The application or the peer ended it: nothing is sent any more, every timer stops.
    pub(crate) fn close_with(&mut self, error: Option<Errno>) {
        self.state = TcpState::Closed;
        self.error = self.error.or(error);
        self.timers = Timers { last_received: self.timers.last_received, ..Timers::default() };
        self.ack.now = None;
        self.ack.delayed = Instant::FAR_FUTURE;
        self.ack.duplicates = 0;
        self.ack.undecided = false;
        self.flags.remove = true;
        self.flags.wake = true;
    }
}

/// When the segment was sent whose timestamp is `echo`, by a clock that shows `timestamp` now.
pub(crate) fn sent_when(now: Instant, timestamp: u32, echo: u32) -> Option<Instant> {
    let age_ms = timestamp.wrapping_sub(echo);
    let millis = now.as_millis().checked_sub(u64::from(age_ms))?;
    (echo != 0).then_some(Instant::from_millis(millis))
}

/// IPv4 and TCP headers without options, in bytes.
pub(crate) const HEADERS_BYTES: u16 = 40;
/// The timestamps option with its padding, in bytes.
pub(crate) const TIMESTAMP_BYTES: u16 = 12;
/// The smallest segment size that is believed, in bytes: a peer can't make us send one-byte segments (Linux's
/// `TCP_MIN_MSS`).
pub(crate) const MSS_MIN: u16 = 88;
/// No window makes segments smaller than this, in bytes: the smallest IP packet's payload (RFC 791).
const HALF_WINDOW_MIN: u16 = 68 - HEADERS_BYTES;
/// The segment size of a peer that announces none (RFC 9293 section 3.7.1, MUST-15), in bytes.
pub(crate) const MSS_DEFAULT: u16 = 536;

/// Super-frames that may wait unsent in a send buffer that tunes itself. They leave in a row, so that a reader that is
/// faster than this side need not be woken for each; more of them would have left the nearest cache by then.
const UNSENT_SUPER_FRAMES_MAX: u32 = 3;
/// Data of the largest super-frame that a TAP takes, beside headers and timestamps, in bytes. On a link that takes less, a
/// burst ends in a frame that isn't full.
const SUPER_FRAME_BYTES: u32 = 65_535 - 60 - 60 - 12;
/// As much as this is always taken, in bytes, and with less than this unsent a writer is told of the room.
const UNSENT_BYTES_EASY: u32 = SUPER_FRAME_BYTES;
