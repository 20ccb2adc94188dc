//! Socket options of TCP sockets, and what `TCP_INFO` tells.

use super::connection::Connection;
use super::sender::Algorithm;
use super::settings::Settings;
use super::socket::Role;
use super::{Tcp, TcpSocket};
use crate::frame::AckWhy;
use crate::ip::Ip;
use crate::socket::{Errno, OptionName, SocketId, SocketOption, Sockets, TcpInfo, TcpState};
use crate::stack::Context;
use crate::time::Duration;
use std::sync::Arc;

/// The smallest and largest that a buffer can be set to, in bytes (Linux's `SOCK_MIN_RCVBUF`, and the window's reach).
const BUFFER_MIN: usize = 2_304;
const BUFFER_MAX: usize = 1 << 30;

impl Tcp {
    pub(crate) fn set_option(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        option: SocketOption,
    ) -> Result<(), Errno> {
        let socket = sockets.tcp_mut(id)?;
        let conn = socket.connection().and_then(|conn| self.connections.take(conn));
        let Some(mut conn) = conn else {
            return set(Arc::make_mut(&mut socket.settings), option);
        };
        let result = set(Arc::make_mut(&mut conn.settings), option.clone());
        socket.settings = Arc::clone(&conn.settings);
        if result.is_ok() {
            conn.option_changed(cx, &self.config, &option);
        }
        self.settle(cx, ip, sockets, conn);
        result
    }

    pub(crate) fn option(
        &self,
        cx: &Context,
        socket: &TcpSocket,
        name: OptionName,
    ) -> Result<SocketOption, Errno> {
        let conn = socket.connection().and_then(|conn| self.connections.get(conn));
        let settings = conn.map_or(&socket.settings, |conn| &conn.settings);
        Ok(match name {
            OptionName::Info => SocketOption::Info(Box::new(self.info(cx, socket))),
            OptionName::AtUrgentMark => {
                SocketOption::AtUrgentMark(conn.is_some_and(Connection::at_urgent_mark))
            }
            OptionName::InQueue => match &socket.role {
                Role::Listener(_) => return Err(Errno::EINVAL),
                _ => SocketOption::InQueue(conn.map_or(0, |conn| conn.readable())),
            },
            OptionName::OutQueue => SocketOption::OutQueue(conn.map_or(0, Connection::unacknowledged)),
            OptionName::OutQueueUnsent => {
                SocketOption::OutQueueUnsent(conn.map_or(0, |conn| conn.unsent() as usize))
            }
            OptionName::ReceiveBuffer => {
                let tuned = conn.map_or(self.config.receive_buffer.initial, |conn| conn.rcv.limit * 2);
                SocketOption::ReceiveBuffer(settings.receive_buffer.map_or(tuned, |b| b as usize))
            }
            OptionName::SendBuffer => {
                let tuned = conn.map_or(self.config.send_buffer.initial, |c| c.send_limit(&self.config));
                SocketOption::SendBuffer(settings.send_buffer.map_or(tuned, |b| b as usize))
            }
            OptionName::MaxSegment => {
                let current = conn.map_or(super::connection::MSS_DEFAULT, |c| c.sender.mss() as u16);
                SocketOption::MaxSegment(settings.max_segment.filter(|_| conn.is_none()).unwrap_or(current))
            }
            name => return get(settings, name),
        })
    }

    /// `TCP_INFO`, for any state.
    pub(crate) fn info(&self, cx: &Context, socket: &TcpSocket) -> TcpInfo {
        let mut info = TcpInfo { congestion: socket.settings.congestion, ..TcpInfo::default() };
        match &socket.role {
            Role::Fresh => {}
            Role::Listener(listener) => {
                info.state = TcpState::Listen;
                info.unacked = listener.accepted.len() as u32;
                info.sacked = listener.backlog as u32;
            }
            Role::Connection(id) => {
                if let Some(conn) = self.connections.get(*id) {
                    conn.info(cx, &mut info);
                }
            }
        }
        info
    }
}

/// Writes a value, if it makes sense.
fn set(settings: &mut Settings, option: SocketOption) -> Result<(), Errno> {
    match option {
        SocketOption::ReuseAddress(on) => settings.reuse_address = on,
        SocketOption::ReusePort(on) => settings.reuse_port = on,
        SocketOption::KeepAlive(on) => settings.keepalive = on,
        SocketOption::Linger(linger) => settings.linger = linger,
        // Linux doubles what is asked for, to cover its overhead; so do we: the window is half of the buffer.
        SocketOption::ReceiveBuffer(size) => settings.receive_buffer = Some(doubled(size)),
        SocketOption::SendBuffer(size) => settings.send_buffer = Some(doubled(size)),
        SocketOption::ReceiveTimeout(timeout) => settings.receive_timeout = timeout,
        SocketOption::SendTimeout(timeout) => settings.send_timeout = timeout,
        SocketOption::ReceiveLowWater(bytes) => settings.receive_low_water = bytes.clamp(1, 1 << 30) as u32,
        SocketOption::BindToInterface(interface) => settings.interface = interface,
        SocketOption::Ttl(0) => return Err(Errno::EINVAL),
        SocketOption::Ttl(ttl) => settings.ttl = ttl,
        SocketOption::Tos(tos) => settings.tos = tos,
        SocketOption::NoDelay(on) => settings.no_delay = on,
        SocketOption::Cork(on) => settings.cork = on,
        SocketOption::MaxSegment(0) => settings.max_segment = None,
        SocketOption::MaxSegment(mss @ super::connection::MSS_MIN..=32_767) => {
            settings.max_segment = Some(mss);
        }
        SocketOption::KeepIdle(time) => settings.keepalive_idle = seconds(time)?,
        SocketOption::KeepInterval(time) => settings.keepalive_interval = seconds(time)?,
        SocketOption::KeepCount(count @ 1..=127) => settings.keepalive_count = count,
        SocketOption::UserTimeout(timeout) => settings.user_timeout = timeout.filter(|t| !t.is_zero()),
        SocketOption::QuickAck(on) => settings.quick_ack = on,
        SocketOption::DeferAccept(timeout) => settings.defer_accept = timeout.filter(|t| !t.is_zero()),
        SocketOption::NotSentLowWater(bytes) => {
            settings.not_sent_low_water = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        SocketOption::Congestion(name) => {
            let algorithm = Algorithm::from_name(name).ok_or(Errno::EINVAL)?;
            settings.congestion = algorithm.name();
        }
        SocketOption::SynCount(count @ 1..=127) => settings.syn_retries = count,
        SocketOption::Linger2(time) => settings.linger2 = time,
        SocketOption::WindowClamp(bytes) => {
            settings.window_clamp = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        SocketOption::MaxPacingRate(rate) => settings.max_pacing_rate = rate,
        SocketOption::OobInline(on) => settings.oob_inline = on,
        SocketOption::MaxSegment(_) | SocketOption::KeepCount(_) | SocketOption::SynCount(_) => {
            return Err(Errno::EINVAL);
        }
        SocketOption::Broadcast(_)
        | SocketOption::Info(_)
        | SocketOption::AtUrgentMark(_)
        | SocketOption::InQueue(_)
        | SocketOption::OutQueue(_)
        | SocketOption::OutQueueUnsent(_) => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Reads what the settings hold.
fn get(settings: &Settings, name: OptionName) -> Result<SocketOption, Errno> {
    Ok(match name {
        OptionName::ReuseAddress => SocketOption::ReuseAddress(settings.reuse_address),
        OptionName::ReusePort => SocketOption::ReusePort(settings.reuse_port),
        OptionName::KeepAlive => SocketOption::KeepAlive(settings.keepalive),
        OptionName::Linger => SocketOption::Linger(settings.linger),
        OptionName::ReceiveTimeout => SocketOption::ReceiveTimeout(settings.receive_timeout),
        OptionName::SendTimeout => SocketOption::SendTimeout(settings.send_timeout),
        OptionName::ReceiveLowWater => SocketOption::ReceiveLowWater(settings.receive_low_water as usize),
        OptionName::BindToInterface => SocketOption::BindToInterface(settings.interface),
        OptionName::Ttl => SocketOption::Ttl(settings.ttl),
        OptionName::Tos => SocketOption::Tos(settings.tos),
        OptionName::NoDelay => SocketOption::NoDelay(settings.no_delay),
        OptionName::Cork => SocketOption::Cork(settings.cork),
        OptionName::KeepIdle => SocketOption::KeepIdle(settings.keepalive_idle),
        OptionName::KeepInterval => SocketOption::KeepInterval(settings.keepalive_interval),
        OptionName::KeepCount => SocketOption::KeepCount(settings.keepalive_count),
        OptionName::UserTimeout => SocketOption::UserTimeout(settings.user_timeout),
        OptionName::QuickAck => SocketOption::QuickAck(settings.quick_ack),
        OptionName::DeferAccept => SocketOption::DeferAccept(settings.defer_accept),
        OptionName::NotSentLowWater => SocketOption::NotSentLowWater(settings.not_sent_low_water as usize),
        OptionName::Congestion => SocketOption::Congestion(settings.congestion),
        OptionName::SynCount => SocketOption::SynCount(settings.syn_retries),
        OptionName::Linger2 => SocketOption::Linger2(settings.linger2),
        OptionName::WindowClamp => SocketOption::WindowClamp(settings.window_clamp as usize),
        OptionName::MaxPacingRate => SocketOption::MaxPacingRate(settings.max_pacing_rate),
        OptionName::OobInline => SocketOption::OobInline(settings.oob_inline),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

fn doubled(size: usize) -> u32 {
    (size.saturating_mul(2)).clamp(BUFFER_MIN, BUFFER_MAX) as u32
}

/// Linux's range for keep-alive times.
fn seconds(time: Duration) -> Result<Duration, Errno> {
    (Duration::from_secs(1)..=Duration::from_secs(32_767))
        .contains(&time)
        .then_some(time)
        .ok_or(Errno::EINVAL)
}

impl Connection {
    /// An option of a live connection was changed: what follows from it at once.
    fn option_changed(&mut self, cx: &mut Context, config: &super::TcpConfig, option: &SocketOption) {
        match *option {
            // Turning these on (or the cork off) sends what they held back.
            SocketOption::NoDelay(true) => self.flags.push |= self.unsent() > 0,
            // With Nagle's rule on, that decides about what the cork has held.
            SocketOption::Cork(false) => self.flags.push |= self.settings.no_delay && self.unsent() > 0,
            SocketOption::KeepAlive(_) | SocketOption::KeepIdle(_) => self.restart_keepalive(cx.now),
            SocketOption::QuickAck(true) => {
                self.ack.enter_quick();
                if self.ack.last_sent != self.rcv.next && self.is_synchronized() {
                    self.ack.at_once(AckWhy::Quick);
                }
            }
            SocketOption::QuickAck(false) => self.ack.interactive = true,
            SocketOption::Congestion(name) => {
                if let Some(algorithm) = Algorithm::from_name(name) {
                    self.sender.set_congestion(cx.now, algorithm);
                }
            }
            SocketOption::MaxPacingRate(rate) => self.sender.set_max_pacing_rate(rate),
            SocketOption::ReceiveBuffer(_) | SocketOption::WindowClamp(_) => {
                let fixed = self.settings.receive_buffer.map_or(config.receive_buffer.max, |b| b as usize);
                let clamp = match self.settings.window_clamp {
                    0 => usize::MAX,
                    clamp => clamp as usize,
                };
                // What was offered stays offered; the limit counts from the next time the window moves.
                self.rcv.limit_max = (fixed / 2).min(clamp);
                let fixed_limit = self.settings.receive_buffer.is_some();
                self.rcv.limit =
                    if fixed_limit { self.rcv.limit_max } else { self.rcv.limit.min(self.rcv.limit_max) };
            }
            _ => {}
        }
    }

    fn info(&self, cx: &Context, info: &mut TcpInfo) {
        if self.is_synchronized() {
            self.sender.info(info);
        }
        let (rcv_rtt, rcv_space) = self.rcv.tuning_info();
        info.state = self.state;
        info.probes = self.timers.probes.max(self.timers.keepalive_probes);
        info.timestamps = self.timestamps.enabled;
        info.sack = self.handshake.sack;
        info.ecn = self.ecn.enabled;
        info.window_scale = self.handshake.scaling.then_some((self.rcv.scale, self.snd.scale));
        info.snd_mss = if self.is_synchronized() { self.sender.mss() } else { self.effective_mss() };
        info.rcv_mss = self.rcv.segment_max;
        info.advmss = u32::from(self.advertised_mss())
            - if self.timestamps.enabled { u32::from(super::connection::TIMESTAMP_BYTES) } else { 0 };
        info.pmtu = u32::from(self.path_mtu);
        info.rcv_rtt = rcv_rtt;
        info.rcv_space = rcv_space as u32;
        info.snd_wnd = self.snd.wnd;
        info.rcv_wnd = self.rcv.window();
        info.rcv_ssthresh = self.rcv.ssthresh();
        info.bytes_acked = self.counts.bytes_acked;
        info.bytes_received = self.counts.bytes_received;
        info.bytes_sent = self.counts.bytes_sent;
        info.bytes_retrans = self.counts.bytes_retransmitted;
        info.segs_out = self.counts.segments_out;
        info.segs_in = self.counts.segments_in;
        info.data_segs_out = self.counts.data_segments_out;
        info.data_segs_in = self.counts.data_segments_in;
        info.notsent_bytes = self.unsent();
        info.rcv_ooopack = self.counts.out_of_order_in;
        info.ato = if self.ack.delayed == crate::Instant::FAR_FUTURE {
            Duration::ZERO
        } else {
            self.ack.delayed.since(cx.now)
        };
        info.congestion = self.settings.congestion;
    }
}
