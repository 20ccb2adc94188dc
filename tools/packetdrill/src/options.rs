//! Socket options between the bytes of `setsockopt` and `getsockopt` and the stack's typed values.

use crate::machine::Machine;
use crate::tcp_info;
use libc::{IPPROTO_IP, IPPROTO_TCP, SOL_SOCKET};
use tapstack::socket::{Linger, OptionName, SocketKind, SocketOption};
use tapstack::time::Duration;

impl Machine {
    /// `setsockopt`.
    pub(crate) fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Result<(), i32> {
        self.kind(fd)?;
        match (level, name) {
            (IPPROTO_TCP, libc::TCP_INQ) => self.set_tells_left(fd, flag(value)?),
            _ if ACCEPTED.contains(&(level, name)) => Ok(()),
            _ => self.set_option(fd, decode(level, name, value)?),
        }
    }

    /// `getsockopt`: the value's bytes, of which the caller takes as many as it has room for.
    pub(crate) fn getsockopt(&self, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, i32> {
        let kind = self.kind(fd)?;
        let stream = kind == SocketKind::Stream;
        Ok(match (level, name) {
            (SOL_SOCKET, libc::SO_ERROR) => int(self.take_error(fd)?),
            (SOL_SOCKET, libc::SO_TYPE) if stream => int(libc::SOCK_STREAM),
            (SOL_SOCKET, libc::SO_TYPE) => int(libc::SOCK_DGRAM),
            (SOL_SOCKET, libc::SO_DOMAIN) => int(libc::AF_INET),
            (SOL_SOCKET, libc::SO_PROTOCOL) => int(match kind {
                SocketKind::Stream => IPPROTO_TCP,
                SocketKind::Datagram => libc::IPPROTO_UDP,
                SocketKind::Echo => libc::IPPROTO_ICMP,
            }),
            (SOL_SOCKET, libc::SO_MEMINFO) => self.meminfo(fd)?,
            (IPPROTO_TCP, TCP_CC_INFO) if stream => Vec::new(),
            _ if ACCEPTED.contains(&(level, name)) => int(0),
            _ => encode(&self.option(fd, name_of(level, name)?)?),
        })
    }

    fn meminfo(&self, fd: i32) -> Result<Vec<u8>, i32> {
        let bytes = |name| match self.option(fd, name) {
            Ok(
                SocketOption::InQueue(bytes)
                | SocketOption::OutQueue(bytes)
                | SocketOption::ReceiveBuffer(bytes)
                | SocketOption::SendBuffer(bytes),
            ) => bytes,
            _ => 0,
        };
        let receive = [bytes(OptionName::InQueue), bytes(OptionName::ReceiveBuffer)];
        let send = [bytes(OptionName::OutQueue), bytes(OptionName::SendBuffer)];
        Ok(tcp_info::meminfo(receive, send).to_vec())
    }
}

fn decode(level: i32, name: i32, value: &[u8]) -> Result<SocketOption, i32> {
    let seconds = |value| Ok::<_, i32>(Duration::from_secs(number(value)?));
    Ok(match (level, name) {
        (SOL_SOCKET, libc::SO_REUSEADDR) => SocketOption::ReuseAddress(flag(value)?),
        (SOL_SOCKET, libc::SO_REUSEPORT) => SocketOption::ReusePort(flag(value)?),
        (SOL_SOCKET, libc::SO_BROADCAST) => SocketOption::Broadcast(flag(value)?),
        (SOL_SOCKET, libc::SO_KEEPALIVE) => SocketOption::KeepAlive(flag(value)?),
        (SOL_SOCKET, libc::SO_OOBINLINE) => SocketOption::OobInline(flag(value)?),
        (SOL_SOCKET, libc::SO_LINGER) => linger(value)?,
        (SOL_SOCKET, libc::SO_RCVBUF | libc::SO_RCVBUFFORCE) => {
            SocketOption::ReceiveBuffer(number(value)? as usize)
        }
        (SOL_SOCKET, libc::SO_SNDBUF | libc::SO_SNDBUFFORCE) => {
            SocketOption::SendBuffer(number(value)? as usize)
        }
        (SOL_SOCKET, libc::SO_RCVLOWAT) => SocketOption::ReceiveLowWater(number(value)? as usize),
        (SOL_SOCKET, libc::SO_RCVTIMEO) => SocketOption::ReceiveTimeout(timeval(value)?),
        (SOL_SOCKET, libc::SO_SNDTIMEO) => SocketOption::SendTimeout(timeval(value)?),
        (SOL_SOCKET, libc::SO_MAX_PACING_RATE) => SocketOption::MaxPacingRate(rate(value)?),
        (IPPROTO_IP, libc::IP_TTL) => {
            SocketOption::Ttl(u8::try_from(number(value)?).map_err(|_| libc::EINVAL)?)
        }
        (IPPROTO_IP, libc::IP_TOS) => SocketOption::Tos(number(value)? as u8),
        (IPPROTO_TCP, libc::TCP_NODELAY) => SocketOption::NoDelay(flag(value)?),
        (IPPROTO_TCP, libc::TCP_CORK) => SocketOption::Cork(flag(value)?),
        (IPPROTO_TCP, libc::TCP_MAXSEG) => {
            SocketOption::MaxSegment(u16::try_from(number(value)?).map_err(|_| libc::EINVAL)?)
        }
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => SocketOption::KeepIdle(seconds(value)?),
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => SocketOption::KeepInterval(seconds(value)?),
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => SocketOption::KeepCount(small(value)?),
        (IPPROTO_TCP, libc::TCP_SYNCNT) => SocketOption::SynCount(small(value)?),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            SocketOption::UserTimeout(Some(Duration::from_millis(number(value)?)))
        }
        (IPPROTO_TCP, libc::TCP_QUICKACK) => SocketOption::QuickAck(flag(value)?),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) => SocketOption::DeferAccept(Some(seconds(value)?)),
        (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => SocketOption::NotSentLowWater(match number(value)? {
            0 => usize::MAX,
            bytes => bytes as usize,
        }),
        (IPPROTO_TCP, libc::TCP_LINGER2) => SocketOption::Linger2(Some(seconds(value)?)),
        (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP) => SocketOption::WindowClamp(number(value)? as usize),
        (IPPROTO_TCP, libc::TCP_CONGESTION) => SocketOption::Congestion(congestion(value)?),
        _ => return Err(libc::ENOPROTOOPT),
    })
}

fn name_of(level: i32, name: i32) -> Result<OptionName, i32> {
    Ok(match (level, name) {
        (SOL_SOCKET, libc::SO_REUSEADDR) => OptionName::ReuseAddress,
        (SOL_SOCKET, libc::SO_REUSEPORT) => OptionName::ReusePort,
        (SOL_SOCKET, libc::SO_BROADCAST) => OptionName::Broadcast,
        (SOL_SOCKET, libc::SO_KEEPALIVE) => OptionName::KeepAlive,
        (SOL_SOCKET, libc::SO_OOBINLINE) => OptionName::OobInline,
        (SOL_SOCKET, libc::SO_LINGER) => OptionName::Linger,
        (SOL_SOCKET, libc::SO_RCVBUF) => OptionName::ReceiveBuffer,
        (SOL_SOCKET, libc::SO_SNDBUF) => OptionName::SendBuffer,
        (SOL_SOCKET, libc::SO_RCVLOWAT) => OptionName::ReceiveLowWater,
        (SOL_SOCKET, libc::SO_RCVTIMEO) => OptionName::ReceiveTimeout,
        (SOL_SOCKET, libc::SO_SNDTIMEO) => OptionName::SendTimeout,
        (SOL_SOCKET, libc::SO_MAX_PACING_RATE) => OptionName::MaxPacingRate,
        (IPPROTO_IP, libc::IP_TTL) => OptionName::Ttl,
        (IPPROTO_IP, libc::IP_TOS) => OptionName::Tos,
        (IPPROTO_TCP, libc::TCP_NODELAY) => OptionName::NoDelay,
        (IPPROTO_TCP, libc::TCP_CORK) => OptionName::Cork,
        (IPPROTO_TCP, libc::TCP_MAXSEG) => OptionName::MaxSegment,
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => OptionName::KeepIdle,
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => OptionName::KeepInterval,
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => OptionName::KeepCount,
        (IPPROTO_TCP, libc::TCP_SYNCNT) => OptionName::SynCount,
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => OptionName::UserTimeout,
        (IPPROTO_TCP, libc::TCP_QUICKACK) => OptionName::QuickAck,
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) => OptionName::DeferAccept,
        (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => OptionName::NotSentLowWater,
        (IPPROTO_TCP, libc::TCP_LINGER2) => OptionName::Linger2,
        (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP) => OptionName::WindowClamp,
        (IPPROTO_TCP, libc::TCP_CONGESTION) => OptionName::Congestion,
        (IPPROTO_TCP, libc::TCP_INFO) => OptionName::Info,
        _ => return Err(libc::ENOPROTOOPT),
    })
}

fn encode(option: &SocketOption) -> Vec<u8> {
    match *option {
        SocketOption::ReuseAddress(on)
        | SocketOption::ReusePort(on)
        | SocketOption::Broadcast(on)
        | SocketOption::KeepAlive(on)
        | SocketOption::OobInline(on)
        | SocketOption::NoDelay(on)
        | SocketOption::Cork(on)
        | SocketOption::QuickAck(on) => int(i32::from(on)),
        SocketOption::Linger(Linger::Background) => [int(0), int(0)].concat(),
        SocketOption::Linger(Linger::For(time)) => [int(1), int(time.as_secs() as i32)].concat(),
        SocketOption::ReceiveBuffer(bytes)
        | SocketOption::SendBuffer(bytes)
        | SocketOption::ReceiveLowWater(bytes)
        | SocketOption::WindowClamp(bytes) => int(i32::try_from(bytes).unwrap_or(i32::MAX)),
        SocketOption::NotSentLowWater(bytes) => int(bytes as u32 as i32),
        SocketOption::ReceiveTimeout(time) | SocketOption::SendTimeout(time) => {
            let time = time.unwrap_or_default();
            [time.as_secs().to_ne_bytes(), u64::from(time.subsec_micros()).to_ne_bytes()].concat()
        }
        SocketOption::MaxPacingRate(rate) => rate.unwrap_or(u64::MAX).to_ne_bytes().to_vec(),
        SocketOption::Ttl(value) | SocketOption::Tos(value) => int(i32::from(value)),
        SocketOption::MaxSegment(bytes) => int(i32::from(bytes)),
        SocketOption::KeepIdle(time) | SocketOption::KeepInterval(time) => int(time.as_secs() as i32),
        SocketOption::KeepCount(count) | SocketOption::SynCount(count) => int(i32::from(count)),
        SocketOption::UserTimeout(time) => int(time.unwrap_or_default().as_millis() as i32),
        SocketOption::DeferAccept(time) | SocketOption::Linger2(time) => {
            int(time.unwrap_or_default().as_secs() as i32)
        }
        // Linux answers with a name's room, filled up with zeros.
        SocketOption::Congestion(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(CONGESTION_NAME_MAX, 0);
            bytes
        }
        SocketOption::Info(ref info) => tcp_info::encode(info).to_vec(),
        _ => Vec::new(),
    }
}

fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn signed(value: &[u8]) -> Result<i32, i32> {
    let bytes = value.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or(libc::EINVAL)?;
    Ok(i32::from_ne_bytes(bytes))
}

fn number(value: &[u8]) -> Result<u64, i32> {
    u64::try_from(signed(value)?).map_err(|_| libc::EINVAL)
}

fn small(value: &[u8]) -> Result<u8, i32> {
    u8::try_from(number(value)?).map_err(|_| libc::EINVAL)
}

fn flag(value: &[u8]) -> Result<bool, i32> {
    Ok(signed(value)? != 0)
}

fn linger(value: &[u8]) -> Result<SocketOption, i32> {
    let on = flag(value)?;
    let seconds = number(value.get(4..).unwrap_or_default())?;
    let linger = if on { Linger::For(Duration::from_secs(seconds)) } else { Linger::Background };
    Ok(SocketOption::Linger(linger))
}

/// A `struct timeval`; zero is no limit.
fn timeval(value: &[u8]) -> Result<Option<Duration>, i32> {
    let long = |at: usize| {
        let bytes = value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).ok_or(libc::EINVAL)?;
        u64::try_from(i64::from_ne_bytes(bytes)).map_err(|_| libc::EDOM)
    };
    let time = Duration::from_secs(long(0)?) + Duration::from_micros(long(8)?);
    Ok((!time.is_zero()).then_some(time))
}

/// Bytes a second, as 32 or 64 bits; all ones is no limit.
fn rate(value: &[u8]) -> Result<Option<u64>, i32> {
    if let Some(bytes) = value.get(..8).and_then(|bytes| bytes.try_into().ok()) {
        return Ok(Some(u64::from_ne_bytes(bytes)).filter(|rate| *rate != u64::MAX));
    }
    let rate = signed(value)? as u32;
    Ok((rate != u32::MAX).then_some(u64::from(rate)))
}

fn congestion(value: &[u8]) -> Result<&'static str, i32> {
    match value.split(|byte| *byte == 0).next().unwrap_or_default() {
        b"cubic" => Ok("cubic"),
        b"reno" => Ok("reno"),
        _ => Err(libc::ENOENT),
    }
}

/// Room for a congestion control's name (`TCP_CA_NAME_MAX`).
const CONGESTION_NAME_MAX: usize = 16;
/// Details of the congestion control: ours have none, as cubic and reno have none in Linux.
const TCP_CC_INFO: i32 = 26;
/// Options that are taken and change nothing here: marks, priorities and reports that a script may switch on.
const ACCEPTED: [(i32, i32); 8] = [
    (SOL_SOCKET, libc::SO_PRIORITY),
    (SOL_SOCKET, libc::SO_MARK),
    (SOL_SOCKET, libc::SO_ZEROCOPY),
    (SOL_SOCKET, libc::SO_TIMESTAMPING),
    (SOL_SOCKET, libc::SO_INCOMING_CPU),
    (SOL_SOCKET, libc::SO_BUSY_POLL),
    (IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (IPPROTO_IP, libc::IP_RECVERR),
];
