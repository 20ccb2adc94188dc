//! Making connections: active and passive, what the two SYNs agree on, and the step to ESTABLISHED.

use super::ack::AckState;
use super::config::{EcnMode, TcpConfig};
use super::connection::{
    Connection, Counts, Ecn, Flags, Handshake, MSS_DEFAULT, Owner, SendVariables, Timers, Timestamps,
};
use super::demux::{ConnectionId, Tuple};
use super::isn;
use super::mtu::Probing;
use super::ports::PortName;
use super::push::Pushes;
use super::receiver::Receiver;
use super::segment::Segment;
use super::send_queue::SendQueue;
use super::sender::{Algorithm, Sender, SenderConfig};
use super::seq::SeqNum;
use super::settings::Settings;
use super::timers::Armed;
use super::urgent::Urgent;
use crate::ip::Route;
use crate::socket::TcpState;
use crate::stack::Context;
use crate::time::{Duration, Instant};
use crate::wire::tcp_options::WINDOW_SCALE_MAX;
use std::sync::Arc;

/// The time-out of a SYN that was never answered (RFC 6298 section 2.1).
pub(crate) const RTO_INITIAL: Duration = Duration::from_secs(1);

/// How far behind a connection that waits in TIME-WAIT its successor's numbers begin: no window without scaling reaches.
const TIME_WAIT_GAP: u32 = 65_537;

impl Connection {
    /// A connection whose SYN is about to be sent (active) or answered (passive). Its timestamps have no offset yet.
    pub(crate) fn new(
        cx: &Context,
        config: &TcpConfig,
        tuple: Tuple,
        route: Route,
        settings: Arc<Settings>,
        owner: Owner,
    ) -> Box<Connection> {
        let iss = isn::initial_sequence(cx, &tuple);
        let sender = Sender::new(cx.now, iss + 1, &SenderConfig::default());
        let rcv = new_receiver(&settings, config);
        // `Box::new` would make it on the call stack first, and copy its many bytes.
        let room = Box::new_uninit();
        Box::write(
            room,
            Connection {
                id: ConnectionId { index: 0, generation: 0 },
                tuple,
                port: PortName {
                    address: tuple.local.0,
                    port: tuple.local.1,
                    reuse_address: settings.reuse_address,
                    reuse_port: settings.reuse_port,
                },
                state: TcpState::SynSent,
                owner,
                settings,
                route,
                path_mtu: route.mtu,
                snd: SendVariables {
                    iss,
                    wnd: 0,
                    wl1: SeqNum::new(0),
                    wl2: SeqNum::new(0),
                    wnd_max: 0,
                    scale: 0,
                    peer_mss: MSS_DEFAULT,
                    small_end: iss,
                    more: false,
                    in_flow: false,
                },
                sender,
                send_queue: SendQueue::new(iss + 1),
                rcv,
                ack: AckState::new(SeqNum::new(0)),
                timestamps: Timestamps { enabled: config.timestamps, ..Timestamps::default() },
                handshake: Handshake {
                    due: true,
                    sent_at: cx.now,
                    sack: config.sack,
                    scaling: config.window_scaling,
                    ..Handshake::default()
                },
                timers: Timers { last_received: cx.now, ..Timers::default() },
                urgent: Urgent::default(),
                pushes: Pushes::new(iss + 1),
                ecn: Ecn { enabled: config.ecn == EcnMode::Offer, echo: false },
                counts: Counts::default(),
                probing: Probing::default(),
                error: None,
                soft_error: None,
                read_shut: false,
                fin_queued: false,
                flags: Flags::default(),
                armed: Armed::default(),
            },
        )
    }

    /// Begins beyond what the last connection between the same ends has used, which waited in TIME-WAIT until now (RFC 9293
    /// section 3.6.1, MAY-2, first condition): a fast connection outruns the clock that the ISS comes from. To be called
    /// before anything was sent.
    pub(crate) fn follow_on(&mut self, used: SeqNum) {
        if self.snd.iss.before(used + TIME_WAIT_GAP) {
            self.begin_at(used + TIME_WAIT_GAP);
        }
    }

    /// Sets ISS.
    pub(crate) fn begin_at(&mut self, iss: SeqNum) {
        self.snd.iss = iss;
        self.snd.small_end = iss;
        self.send_queue = SendQueue::new(iss + 1);
        self.pushes = Pushes::new(iss + 1);
    }

    /// Takes what the peer's SYN says (RFC 9293 section 3.10.7.2 and .3: IRS, RCV.NXT, options).
    pub(crate) fn negotiate(&mut self, cx: &Context, segment: &Segment) {
        let options = &segment.options;
        self.snd.peer_mss = options.mss.unwrap_or(MSS_DEFAULT);
        self.handshake.sack &= options.sack_permitted;
        self.handshake.scaling &= options.window_scale.is_some();
        self.snd.scale = options.window_scale.filter(|_| self.handshake.scaling).unwrap_or(0);
        self.timestamps.enabled &= options.timestamps.is_some();
        if let Some(timestamps) = options.timestamps {
            self.timestamps.recent = timestamps.value;
            self.timestamps.recent_at = cx.now;
        }
        if self.state != TcpState::SynSent && self.timestamps.enabled {
            self.offset_timestamps(cx);
        }
        let advertised = self.syn_window();
        self.rcv.begin_at(segment.seq + 1);
        if !self.handshake.scaling {
            self.rcv.scale = 0;
        }
        if self.state == TcpState::SynSent {
            // What our SYN has offered stands.
            self.rcv.advertise_syn(advertised);
        }
        self.ack = AckState::new(self.rcv.next);
        // The window in a SYN is never scaled.
        self.snd.wnd = u32::from(segment.window);
        self.snd.wl1 = segment.seq;
    }

    /// Gives the timestamps their offset, without which none may be sent.
    pub(crate) fn offset_timestamps(&mut self, cx: &Context) {
        self.timestamps.offset = isn::timestamp_offset(cx, &self.tuple);
    }

    /// Both SYNs are acknowledged: the sender starts (RFC 9293's ESTABLISHED).
    pub(crate) fn establish(&mut self, cx: &Context, config: &TcpConfig, segment: &Segment) {
        self.state = TcpState::Established;
        self.flags.was_open = true;
        self.handshake.due = false;
        self.timers.handshake = Instant::FAR_FUTURE;
        let echoed = segment
            .options
            .timestamps
            .filter(|_| self.timestamps.enabled)
            .and_then(|timestamps| self.echo_time(cx.now, timestamps.echo));
        let handshake_rtt = match (self.handshake.retries, echoed) {
            (0, _) => Some(cx.now.since(self.handshake.sent_at)),
            (_, Some(sent)) => Some(cx.now.since(sent)),
            (_, None) => None,
        };
        self.sender = Sender::new(cx.now, self.snd.iss + 1, &self.sender_config(config, handshake_rtt));
        self.restart_keepalive(cx.now);
    }

    /// Opens a connection from a SYN cookie or a SYN-ACK that carries no state of ours.
    fn sender_config(&self, config: &TcpConfig, handshake_rtt: Option<Duration>) -> SenderConfig {
        SenderConfig {
            mss: self.effective_mss(),
            sack: self.handshake.sack,
            timestamps: self.timestamps.enabled,
            congestion: Algorithm::from_name(self.settings.congestion).unwrap_or_default(),
            initial_window_segments: config.initial_window_segments,
            rto_min: config.rto_min,
            rto_initial: RTO_INITIAL,
            rto_max: config.rto_max,
            reordering: config.reordering,
            frto: config.frto,
            rack: config.rack,
            tlp: config.tail_loss_probe,
            slow_start_after_idle: config.slow_start_after_idle,
            pacing: config.pacing,
            max_pacing_rate: self.settings.max_pacing_rate,
            ecn: self.ecn.enabled,
            syn_retransmitted: self.handshake.retries > 0,
            handshake_rtt,
        }
    }

    /// SND.WND, SND.WL1, SND.WL2.
    pub(crate) fn set_window(&mut self, seq: SeqNum, ack: SeqNum, window: u32) {
        self.snd.wnd = window;
        self.snd.wl1 = seq;
        self.snd.wl2 = ack;
        self.snd.wnd_max = self.snd.wnd_max.max(window);
    }

    /// The window that our SYN offers, unscaled: whole segments, as far as 16 bits go.
    pub(crate) fn syn_window(&self) -> u16 {
        let passive = self.state == TcpState::SynReceived;
        let options = if passive && self.timestamps.enabled { super::connection::TIMESTAMP_BYTES } else { 0 };
        self.rcv.syn_window(u32::from(self.advertised_mss() - options))
    }

    /// The scale for our SYN's option; none where scaling isn't offered.
    pub(crate) fn scale_option(&self) -> Option<u8> {
        self.handshake.scaling.then_some(self.rcv.scale)
    }

    /// Bytes that the application may have written and unacknowledged (`SO_SNDBUF`).
    pub(crate) fn send_limit(&self, config: &TcpConfig) -> usize {
        self.settings.send_buffer.map_or(self.flags.send_limit.max(config.send_buffer.initial as u32), |b| b)
            as usize
    }

    /// The send buffer follows the congestion window.
    pub(crate) fn grow_send_buffer(&mut self, config: &TcpConfig) {
        let window = u64::from(self.sender.cwnd()) * u64::from(self.sender.mss());
        let wanted = send_buffer_for(window, self.sender.min_rtt()).min(config.send_buffer.max as u64);
        self.flags.send_limit = self.flags.send_limit.max(wanted as u32);
    }
}

/// The send buffer for a congestion window, in bytes: twice as much, so that the application can write the next window
/// while one is out (Linux's `tcp_sndbuf_expand`).
///
/// Where nothing is ever lost, the window grows though all that it adds waits in a queue; behind a TAP, that queue takes
/// the caches' room. So a large buffer is for paths that may hold as much.
fn send_buffer_for(window: u64, min_rtt: Option<Duration>) -> u64 {
    let wanted = 2 * window;
    match min_rtt {
        Some(round_trip) if wanted > SEND_BUFFER_EASY => {
            let held = (round_trip.as_nanos() as u64).saturating_mul(PATH_BYTES_PER_NS);
            wanted.min(SEND_BUFFER_EASY.max(held.saturating_mul(2)))
        }
        _ => wanted,
    }
}

/// A send buffer may grow so far on any path, in bytes. (Linux lets none grow further, if nobody says so.)
const SEND_BUFFER_EASY: u64 = 4 << 20;
/// What the fastest path takes in a nanosecond: 100 Gbit/s.
const PATH_BYTES_PER_NS: u64 = 12;

/// The receiver of a connection whose peer hasn't said where it begins.
fn new_receiver(settings: &Settings, config: &TcpConfig) -> Receiver {
    let (buffer, buffer_max) = match settings.receive_buffer {
        Some(fixed) => (fixed as usize, fixed as usize),
        None => (config.receive_buffer.initial, config.receive_buffer.max),
    };
    // The scale covers what could be set later, the window what is offered now.
    let scale =
        if config.window_scaling { receive_scale(config.receive_buffer.max.max(buffer_max)) } else { 0 };
    let clamp = match settings.window_clamp {
        0 => usize::MAX,
        clamp => clamp as usize,
    };
    Receiver::new(SeqNum::new(0), scale, (buffer / 2).min(clamp), (buffer_max / 2).min(clamp))
}

/// Our window scale, chosen so that the largest buffer can be offered (RFC 7323 section 2.3).
fn receive_scale(limit_max: usize) -> u8 {
    (0..WINDOW_SCALE_MAX).find(|&scale| (u16::MAX as usize) << scale >= limit_max).unwrap_or(WINDOW_SCALE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_send_buffer_is_for_paths_that_may_hold_as_much() {
        let window = 20 << 20;
        let after = |round_trip| send_buffer_for(window, Some(round_trip));
        assert_eq!(after(Duration::from_micros(20)), SEND_BUFFER_EASY);
        assert_eq!(after(Duration::from_millis(1)), 2 * 12_000_000);
        assert_eq!(after(Duration::from_millis(10)), 2 * window);
        assert_eq!(after(Duration::MAX), 2 * window);
        assert_eq!(send_buffer_for(window, None), 2 * window);
        assert_eq!(send_buffer_for(100_000, Some(Duration::from_micros(20))), 200_000);
    }
}
