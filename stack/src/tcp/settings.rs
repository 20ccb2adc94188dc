//! A socket's TCP options, kept by the socket until a connection takes them over.

use super::config::TcpConfig;
use crate::socket::Linger;
use crate::stack::InterfaceId;
use crate::time::Duration;

/// What the application has set, with the stack's defaults.
///
/// Sockets and connections share one for as long as nobody sets anything: most never do, and it would be a fifth of what
/// an idle connection takes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) keepalive: bool,
    pub(crate) linger: Linger,
    /// Fixed receive buffer, in bytes; none tunes itself.
    pub(crate) receive_buffer: Option<u32>,
    /// Fixed send buffer, in bytes; none tunes itself.
    pub(crate) send_buffer: Option<u32>,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) receive_low_water: u32,
    pub(crate) interface: Option<InterfaceId>,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) no_delay: bool,
    pub(crate) cork: bool,
    pub(crate) max_segment: Option<u16>,
    pub(crate) keepalive_idle: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_count: u8,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) quick_ack: bool,
    pub(crate) defer_accept: Option<Duration>,
    pub(crate) not_sent_low_water: u32,
    pub(crate) congestion: &'static str,
    pub(crate) syn_retries: u8,
    pub(crate) linger2: Option<Duration>,
    pub(crate) window_clamp: u32,
    pub(crate) max_pacing_rate: Option<u64>,
    pub(crate) oob_inline: bool,
}

impl Settings {
    pub(crate) fn new(config: &TcpConfig, ttl: u8) -> Settings {
        Settings {
            reuse_address: false,
            reuse_port: false,
            keepalive: false,
            linger: Linger::Background,
            receive_buffer: None,
            send_buffer: None,
            receive_timeout: None,
            send_timeout: None,
            receive_low_water: 1,
            interface: None,
            ttl,
            tos: 0,
            no_delay: false,
            cork: false,
            max_segment: None,
            keepalive_idle: config.keepalive_idle,
            keepalive_interval: config.keepalive_interval,
            keepalive_count: config.keepalive_count,
            user_timeout: None,
            quick_ack: true,
            defer_accept: None,
            not_sent_low_water: u32::MAX,
            congestion: config.congestion,
            syn_retries: config.syn_retries,
            linger2: Some(config.fin_timeout),
            window_clamp: 0,
            max_pacing_rate: None,
            oob_inline: false,
        }
    }
}
