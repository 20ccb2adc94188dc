//! What can be seen of a machine: rows for tables and for the web page, taken under its lock in one look.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use tapstack::net::Host;
use tapstack::socket::{OptionName, SocketKind, SocketOption, SocketSummary, TcpInfo};
use tapstack::stack::{Counters, InterfaceId, Stack};
use tapstack::time::Instant;

/// How a machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_ms: u64,
    pub(crate) interfaces: Vec<InterfaceRow>,
    pub(crate) counters: Vec<Count>,
    pub(crate) drops: Vec<Count>,
    pub(crate) sockets: Vec<SocketRow>,
    /// Sockets and connections that are not among the rows.
    pub(crate) sockets_left_out: usize,
    pub(crate) routes: Vec<RouteRow>,
    pub(crate) neighbours: Vec<NeighbourRow>,
}

/// Something that was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) what: String,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InterfaceRow {
    pub(crate) name: String,
    pub(crate) mac: String,
    pub(crate) mtu: u16,
    pub(crate) addresses: Vec<String>,
    pub(crate) offload: bool,
    pub(crate) frames_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) bytes_out: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SocketRow {
    /// `tcp`, `udp` or `icmp`.
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) local: SocketAddr,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) receive_queue: usize,
    pub(crate) send_queue: usize,
    pub(crate) listens: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouteRow {
    /// `default`, or a prefix.
    pub(crate) to: String,
    pub(crate) via: Option<IpAddr>,
    pub(crate) dev: String,
    pub(crate) metric: u32,
    /// `connected` or `static`.
    pub(crate) origin: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NeighbourRow {
    pub(crate) address: IpAddr,
    pub(crate) mac: Option<String>,
    pub(crate) state: String,
    pub(crate) dev: String,
}

/// What `ss -i` shows of a connection, from `TCP_INFO`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) congestion: String,
    pub(crate) congestion_state: String,
    pub(crate) wscale: Option<(u8, u8)>,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) ecn: bool,
    pub(crate) rto_us: u64,
    pub(crate) rtt_us: u64,
    pub(crate) rttvar_us: u64,
    pub(crate) min_rtt_us: u64,
    pub(crate) mss: u32,
    pub(crate) pmtu: u32,
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    pub(crate) segs_out: u64,
    pub(crate) segs_in: u64,
    pub(crate) unacked: u32,
    pub(crate) lost: u32,
    pub(crate) retrans: u32,
    pub(crate) total_retrans: u32,
    pub(crate) snd_wnd: u32,
    pub(crate) rcv_wnd: u32,
}

/// How much of a machine is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) sockets_max: usize,
    pub(crate) neighbours_max: usize,
}

/// Looks at a machine.
pub(crate) fn gather(host: &Host, started: Instant, limits: Limits) -> Status {
    host.with_stack(|now, stack| {
        let (sockets, sockets_left_out) = sockets(stack, limits.sockets_max);
        let mut neighbours = neighbours(stack);
        neighbours.truncate(limits.neighbours_max);
        Status {
            name: host.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from((now - started).as_millis()).unwrap_or(u64::MAX),
            interfaces: interfaces(stack),
            counters: counters(stack.counters()),
            drops: drops(stack.counters()),
            sockets,
            sockets_left_out,
            routes: routes(stack),
            neighbours,
        }
    })
}

/// The sockets, at most so many, and how many are left out.
pub(super) fn sockets(stack: &Stack, max: usize) -> (Vec<SocketRow>, usize) {
    let all = stack.socket_summaries();
    let left_out = all.len().saturating_sub(max);
    (all.iter().take(max).map(socket_row).collect(), left_out)
}

/// `TCP_INFO` of the connections among the first `max` sockets, by their row.
pub(super) fn infos(stack: &Stack, max: usize) -> Vec<(usize, Info)> {
    let all = stack.socket_summaries();
    let with_info = all.iter().take(max).enumerate().filter_map(|(row, summary)| {
        let connected = summary.kind == SocketKind::Stream && summary.peer.is_some();
        let id = summary.socket.filter(|_| connected)?;
        match stack.option(id, OptionName::Info) {
            Ok(SocketOption::Info(tcp)) => Some((row, info(&tcp))),
            _ => None,
        }
    });
    with_info.collect()
}

pub(super) fn neighbours(stack: &Stack) -> Vec<NeighbourRow> {
    let known = stack.neighbours().into_iter().map(|neighbour| NeighbourRow {
        address: neighbour.address,
        mac: neighbour.mac.map(|mac| mac.to_string()),
        state: neighbour.state.to_string(),
        dev: interface_name(stack, neighbour.interface),
    });
    known.collect()
}

pub(super) fn routes(stack: &Stack) -> Vec<RouteRow> {
    let all = stack.routes().into_iter().map(|route| RouteRow {
        to: match route.prefix_len {
            0 => "default".to_owned(),
            len => format!("{}/{len}", route.destination),
        },
        via: route.gateway,
        dev: interface_name(stack, route.interface),
        metric: route.metric,
        origin: format!("{:?}", route.origin).to_lowercase(),
    });
    all.collect()
}

pub(super) fn interfaces(stack: &Stack) -> Vec<InterfaceRow> {
    let all = stack.interfaces().into_iter().map(|interface| InterfaceRow {
        mac: if interface.id == InterfaceId::LOOPBACK { String::new() } else { interface.mac.to_string() },
        mtu: interface.mtu,
        addresses: interface.addresses.iter().map(ToString::to_string).collect(),
        offload: interface.offloads.tso_max > 0 && !interface.offloads.software,
        frames_in: interface.traffic.frames_in,
        bytes_in: interface.traffic.bytes_in,
        frames_out: interface.traffic.frames_out,
        bytes_out: interface.traffic.bytes_out,
        name: interface.name,
    });
    all.collect()
}

pub(super) fn interface_name(stack: &Stack, id: InterfaceId) -> String {
    let found = stack.interfaces().into_iter().find(|interface| interface.id == id);
    found.map_or_else(|| id.to_string(), |interface| interface.name)
}

fn socket_row(summary: &SocketSummary) -> SocketRow {
    let kind = match summary.kind {
        SocketKind::Stream => "tcp",
        SocketKind::Datagram => "udp",
        SocketKind::Echo => "icmp",
    };
    let state = match (summary.state, summary.peer) {
        (Some(state), _) => state.to_string(),
        (None, Some(_)) => "ESTABLISHED".to_owned(),
        (None, None) => "UNCONNECTED".to_owned(),
    };
    SocketRow {
        listens: summary.state == Some(tapstack::socket::TcpState::Listen)
            || (summary.state.is_none() && summary.peer.is_none()),
        kind: kind.to_owned(),
        state,
        local: summary.local,
        peer: summary.peer,
        receive_queue: summary.receive_queue,
        send_queue: summary.send_queue,
    }
}

fn counters(counters: &Counters) -> Vec<Count> {
    let all = [
        ("frames in", counters.frames_in),
        ("bytes in", counters.bytes_in),
        ("frames out", counters.frames_out),
        ("bytes out", counters.bytes_out),
        ("packets forwarded", counters.forwarded),
        ("datagrams reassembled", counters.reassembled),
        ("fragments out", counters.fragments_out),
        ("ICMP errors out", counters.icmp_errors_out),
        ("address conflicts", counters.address_conflicts),
        ("TCP connections accepted", counters.tcp_passive_opens),
        ("TCP connections opened", counters.tcp_active_opens),
        ("TCP segments in", counters.tcp_segments_in),
        ("TCP segments out", counters.tcp_segments_out),
        ("TCP retransmissions", counters.tcp_retransmits),
        ("TCP time-outs", counters.tcp_timeouts),
        ("TCP resets out", counters.tcp_resets_out),
        ("SYN cookies out", counters.tcp_cookies_out),
        ("TCP challenge ACKs", counters.tcp_challenge_acks),
    ];
    all.into_iter().map(|(what, count)| Count { what: what.to_owned(), count }).collect()
}

fn drops(counters: &Counters) -> Vec<Count> {
    counters.all_drops().map(|(reason, count)| Count { what: reason.to_string(), count }).collect()
}

fn info(tcp: &TcpInfo) -> Info {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Info {
        congestion: tcp.congestion.to_owned(),
        congestion_state: format!("{:?}", tcp.congestion_state).to_lowercase(),
        wscale: tcp.window_scale,
        timestamps: tcp.timestamps,
        sack: tcp.sack,
        ecn: tcp.ecn,
        rto_us: micros(tcp.rto),
        rtt_us: micros(tcp.rtt),
        rttvar_us: micros(tcp.rttvar),
        min_rtt_us: micros(tcp.min_rtt),
        mss: tcp.snd_mss,
        pmtu: tcp.pmtu,
        cwnd: tcp.snd_cwnd,
        ssthresh: tcp.snd_ssthresh,
        bytes_acked: tcp.bytes_acked,
        bytes_received: tcp.bytes_received,
        segs_out: tcp.segs_out,
        segs_in: tcp.segs_in,
        unacked: tcp.unacked,
        lost: tcp.lost,
        retrans: tcp.retrans,
        total_retrans: tcp.total_retrans,
        snd_wnd: tcp.snd_wnd,
        rcv_wnd: tcp.rcv_wnd,
    }
}
