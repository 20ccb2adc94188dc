//! Socket options as typed values, named as programs know them.

use crate::time::Duration;
use core::fmt;

/// What closing a socket does with data that is still unsent (`SO_LINGER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// Close at once; what is queued is sent in the background.
    #[default]
    Background,
    /// Linger for this long; zero aborts the connection with a RST.
    For(Duration),
}

/// A socket option with its value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SocketOption {
    /// `SO_REUSEADDR`.
    ReuseAddress(bool),
    /// `SO_REUSEPORT`.
    ReusePort(bool),
    /// `SO_BROADCAST`.
    Broadcast(bool),
    /// `SO_KEEPALIVE`.
    KeepAlive(bool),
    /// `SO_LINGER`.
    Linger(Linger),
    /// `SO_RCVBUF`, in bytes; fixing it turns auto-tuning off.
    ReceiveBuffer(usize),
    /// `SO_SNDBUF`, in bytes; fixing it turns auto-tuning off.
    SendBuffer(usize),
    /// `SO_RCVTIMEO`: for the blocking types; none waits for ever.
    ReceiveTimeout(Option<Duration>),
    /// `SO_SNDTIMEO`: for the blocking types; none waits for ever.
    SendTimeout(Option<Duration>),
    /// `SO_RCVLOWAT`, in bytes.
    ReceiveLowWater(usize),
    /// `SO_BINDTODEVICE`, by the interface's index.
    BindToInterface(Option<crate::stack::InterfaceId>),
    /// `IP_TTL`.
    Ttl(u8),
    /// `IP_TOS`: DSCP and ECN bits.
    Tos(u8),
    /// `TCP_NODELAY`.
    NoDelay(bool),
    /// `TCP_CORK`.
    Cork(bool),
    /// `TCP_MAXSEG`, in bytes.
    MaxSegment(u16),
    /// `TCP_KEEPIDLE`.
    KeepIdle(Duration),
    /// `TCP_KEEPINTVL`.
    KeepInterval(Duration),
    /// `TCP_KEEPCNT`.
    KeepCount(u8),
    /// `TCP_USER_TIMEOUT`; none uses the default retry counts.
    UserTimeout(Option<Duration>),
    /// `TCP_QUICKACK`.
    QuickAck(bool),
    /// `TCP_DEFER_ACCEPT`: wait this long for data before a connection is accepted.
    DeferAccept(Option<Duration>),
    /// `TCP_NOTSENT_LOWAT`, in bytes.
    NotSentLowWater(usize),
    /// `TCP_CONGESTION`: `"cubic"` or `"reno"`.
    Congestion(&'static str),
    /// `TCP_SYNCNT`: how often a SYN is retransmitted.
    SynCount(u8),
    /// `TCP_LINGER2`: how long an orphan stays in FIN-WAIT-2.
    Linger2(Option<Duration>),
    /// `TCP_WINDOW_CLAMP`, in bytes; 0 for none.
    WindowClamp(usize),
    /// `SO_MAX_PACING_RATE`, in bytes a second; none is no limit.
    MaxPacingRate(Option<u64>),
    /// `SO_OOBINLINE`: urgent bytes stay in the stream.
    OobInline(bool),
    /// `TCP_INFO`; can be read only.
    Info(Box<TcpInfo>),
    /// `SIOCATMARK`: the next byte to be read is the urgent one; can be read only.
    AtUrgentMark(bool),
    /// `SIOCINQ`: bytes that can be read; can be read only.
    InQueue(usize),
    /// `SIOCOUTQ`: bytes that are not acknowledged yet; can be read only.
    OutQueue(usize),
    /// `SIOCOUTQNSD`: bytes that were not sent yet; can be read only.
    OutQueueUnsent(usize),
}

/// Names an option to be read: see [`SocketOption`] for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum OptionName {
    ReuseAddress,
    ReusePort,
    Broadcast,
    KeepAlive,
    Linger,
    ReceiveBuffer,
    SendBuffer,
    ReceiveTimeout,
    SendTimeout,
    ReceiveLowWater,
    BindToInterface,
    Ttl,
    Tos,
    NoDelay,
    Cork,
    MaxSegment,
    KeepIdle,
    KeepInterval,
    KeepCount,
    UserTimeout,
    QuickAck,
    DeferAccept,
    NotSentLowWater,
    Congestion,
    SynCount,
    Linger2,
    WindowClamp,
    MaxPacingRate,
    OobInline,
    Info,
    AtUrgentMark,
    InQueue,
    OutQueue,
    OutQueueUnsent,
}

/// The states of RFC 9293 section 3.3.2, printed as the RFC prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TcpState {
    #[default]
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TcpState::Closed => "CLOSED",
            TcpState::Listen => "LISTEN",
            TcpState::SynSent => "SYN-SENT",
            TcpState::SynReceived => "SYN-RECEIVED",
            TcpState::Established => "ESTABLISHED",
            TcpState::FinWait1 => "FIN-WAIT-1",
            TcpState::FinWait2 => "FIN-WAIT-2",
            TcpState::CloseWait => "CLOSE-WAIT",
            TcpState::Closing => "CLOSING",
            TcpState::LastAck => "LAST-ACK",
            TcpState::TimeWait => "TIME-WAIT",
        })
    }
}

/// The congestion state that Linux calls `tcpi_ca_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CongestionState {
    #[default]
    Open,
    Disorder,
    Cwr,
    Recovery,
    Loss,
}

/// What `TCP_INFO` tells of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpInfo {
    /// The connection's state.
    pub state: TcpState,
    /// Where congestion control stands.
    pub congestion_state: CongestionState,
    /// Time-outs in a row.
    pub retransmits: u8,
    /// Unanswered probes (zero window, keep-alive).
    pub probes: u8,
    /// Backoff of the retransmission timer.
    pub backoff: u8,
    /// Whether both sides use timestamps.
    pub timestamps: bool,
    /// Whether both sides use SACK.
    pub sack: bool,
    /// Whether both sides use ECN.
    pub ecn: bool,
    /// Our window scale and the peer's, where both sides scale.
    pub window_scale: Option<(u8, u8)>,
    /// The retransmission time-out.
    pub rto: Duration,
    /// How long an ACK may be delayed now.
    pub ato: Duration,
    /// The segment size that we send, in bytes of payload.
    pub snd_mss: u32,
    /// The segment size that we receive, in bytes of payload (estimated).
    pub rcv_mss: u32,
    /// The segment size that we advertised.
    pub advmss: u32,
    /// The path MTU.
    pub pmtu: u32,
    /// Segments that are sent and not acknowledged.
    pub unacked: u32,
    /// Segments that are selectively acknowledged.
    pub sacked: u32,
    /// Segments that are taken for lost.
    pub lost: u32,
    /// Segments that were retransmitted and are not acknowledged.
    pub retrans: u32,
    /// Retransmissions in all.
    pub total_retrans: u32,
    /// The smoothed round-trip time; zero before the first sample.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// The smallest round-trip time seen.
    pub min_rtt: Duration,
    /// The receiver's estimate of the round-trip time.
    pub rcv_rtt: Duration,
    /// The receiver's buffer target for auto-tuning, in bytes.
    pub rcv_space: u32,
    /// Slow-start threshold, in segments.
    pub snd_ssthresh: u32,
    /// Congestion window, in segments.
    pub snd_cwnd: u32,
    /// The peer's window, in bytes.
    pub snd_wnd: u32,
    /// Our window, in bytes.
    pub rcv_wnd: u32,
    /// The receive window's slow-start threshold.
    pub rcv_ssthresh: u32,
    /// Segments of reordering that are tolerated.
    pub reordering: u32,
    /// Bytes that were acknowledged.
    pub bytes_acked: u64,
    /// Bytes that were received in order.
    pub bytes_received: u64,
    /// Bytes that were sent, with retransmissions.
    pub bytes_sent: u64,
    /// Bytes that were retransmitted.
    pub bytes_retrans: u64,
    /// Segments out.
    pub segs_out: u64,
    /// Segments in.
    pub segs_in: u64,
    /// Segments with data out.
    pub data_segs_out: u64,
    /// Segments with data in.
    pub data_segs_in: u64,
    /// Bytes that were not sent yet.
    pub notsent_bytes: u32,
    /// Segments that were delivered.
    pub delivered: u32,
    /// Duplicate SACKs received.
    pub dsack_dups: u32,
    /// Out-of-order segments received.
    pub rcv_ooopack: u32,
    /// The congestion control's name.
    pub congestion: &'static str,
    /// The pacing rate, in bytes a second; 0 is none.
    pub pacing_rate: u64,
}
