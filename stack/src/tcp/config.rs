//! TCP's settings: Linux's defaults where the RFCs leave a choice, each with its unit.

use crate::time::Duration;

/// Sizes of a buffer that tunes itself: Linux's `tcp_rmem` and `tcp_wmem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// Never smaller, in bytes.
    pub min: usize,
    /// At the start, in bytes.
    pub initial: usize,
    /// Auto-tuning stops here, in bytes.
    pub max: usize,
}

/// A stack's TCP settings: what Linux keeps under `net.ipv4.tcp_*`. A connection takes them at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Receive buffers (`tcp_rmem`). The window offers half of them, as Linux's `tcp_adv_win_scale = 1` does.
    pub receive_buffer: BufferSizes,
    /// Send buffers (`tcp_wmem`). They grow beyond 4 MiB only where a round trip is long enough for the path to hold that
    /// much at 100 Gbit/s.
    pub send_buffer: BufferSizes,
    /// Offer and accept timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer and accept selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Report duplicates by SACK (RFC 2883).
    pub dsack: bool,
    /// Offer and accept window scaling (RFC 7323).
    pub window_scaling: bool,
    /// ECN (RFC 3168).
    pub ecn: EcnMode,
    /// `"cubic"` or `"reno"`.
    pub congestion: &'static str,
    /// Initial congestion window, in segments (RFC 6928).
    pub initial_window_segments: u32,
    /// How often a SYN is sent again before the connect fails (`tcp_syn_retries`).
    pub syn_retries: u8,
    /// How often a SYN-ACK is sent again (`tcp_synack_retries`).
    pub synack_retries: u8,
    /// Time-outs in a row after which a connection is given up (`tcp_retries2`).
    pub retries: u8,
    /// The same for connections that no socket owns any more (`tcp_orphan_retries`).
    pub orphan_retries: u8,
    /// The smallest retransmission time-out.
    pub rto_min: Duration,
    /// The largest retransmission time-out.
    pub rto_max: Duration,
    /// Segments of reordering that are tolerated at first (`tcp_reordering`).
    pub reordering: u32,
    /// F-RTO (RFC 5682).
    pub frto: bool,
    /// RACK loss detection (RFC 8985); off, three duplicate ACKs' worth decides.
    pub rack: bool,
    /// Tail loss probes (RFC 8985 section 7).
    pub tail_loss_probe: bool,
    /// Slow start again after idle times (`tcp_slow_start_after_idle`).
    pub slow_start_after_idle: bool,
    /// Spread data over the round-trip time.
    pub pacing: bool,
    /// When SYN cookies are sent (RFC 4987).
    pub syncookies: SynCookies,
    /// How long TIME-WAIT lasts: twice the maximum segment lifetime.
    pub time_wait: Duration,
    /// How long an orphan stays in FIN-WAIT-2 (`tcp_fin_timeout`).
    pub fin_timeout: Duration,
    /// Idle time before the first keep-alive probe.
    pub keepalive_idle: Duration,
    /// Time between keep-alive probes.
    pub keepalive_interval: Duration,
    /// Unanswered keep-alive probes after which the connection is given up.
    pub keepalive_count: u8,
    /// How long an ACK is held back at most.
    pub delayed_ack: Duration,
    /// Path MTU discovery from ICMP (RFC 1191); off, packets may be fragmented on their way.
    pub path_mtu_discovery: bool,
    /// Probe for the path MTU when time-outs suggest that ICMP is swallowed (RFC 4821).
    pub mtu_probing: bool,
    /// The segment size with which black-hole probing starts, in bytes.
    pub mtu_probe_base: u16,
    /// First and last port that are given to sockets without one.
    pub ephemeral_ports: (u16, u16),
    /// A window below which no listener's backlog may go, and above which none is kept (`somaxconn`).
    pub backlog_max: usize,
    /// Connections that no socket owns any more, at most (`tcp_max_orphans`).
    pub orphans_max: usize,
    /// TIME-WAIT entries at most (`tcp_max_tw_buckets`).
    pub time_wait_max: usize,
    /// Memory that all queues together may hold, in bytes (`tcp_mem`).
    pub memory_max: usize,
    /// Whether a duplicate SYN or an ACK of a finished handshake is told when the accept queue is full
    /// (`tcp_abort_on_overflow`).
    pub abort_on_overflow: bool,
}

/// How ECN is used (`tcp_ecn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnMode {
    /// Not at all.
    Off,
    /// Accepted when the peer asks, not offered.
    #[default]
    Accept,
    /// Offered and accepted.
    Offer,
}

/// When SYN cookies are sent (`tcp_syncookies`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynCookies {
    /// Never: SYNs that don't fit are dropped.
    Never,
    /// When a listener's half-open connections reach its backlog.
    #[default]
    WhenFull,
    /// Always.
    Always,
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            receive_buffer: BufferSizes { min: 4_096, initial: 131_072, max: 64 << 20 },
            send_buffer: BufferSizes { min: 4_096, initial: 65_536, max: 32 << 20 },
            timestamps: true,
            sack: true,
            dsack: true,
            window_scaling: true,
            ecn: EcnMode::Accept,
            congestion: "cubic",
            initial_window_segments: 10,
            syn_retries: 6,
            synack_retries: 5,
            retries: 15,
            orphan_retries: 8,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            reordering: 3,
            frto: true,
            rack: true,
            tail_loss_probe: true,
            slow_start_after_idle: false,
            pacing: false,
            syncookies: SynCookies::WhenFull,
            time_wait: Duration::from_secs(60),
            fin_timeout: Duration::from_secs(60),
            keepalive_idle: Duration::from_secs(7_200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_count: 9,
            delayed_ack: Duration::from_millis(40),
            path_mtu_discovery: true,
            mtu_probing: true,
            mtu_probe_base: 1_024,
            ephemeral_ports: (32_768, 60_999),
            backlog_max: 4_096,
            orphans_max: 16_384,
            time_wait_max: 65_536,
            memory_max: 1 << 30,
            abort_on_overflow: false,
        }
    }
}
