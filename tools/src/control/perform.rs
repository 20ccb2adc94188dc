//! Does what a request asks, on the client's thread: looks at the stack, changes it, pings and probes with it.

use super::block_on::block_on;
use super::mail::{self, Mail};
use super::protocol::{ProbeAnswer, Reply, Request, RouteSpec};
use super::rpc;
use super::server::Served;
use super::status::{self, Limits};
use super::{ROWS_MAX, WAIT_MS_MAX};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use tapstack::icmp::IcmpErrorKind;
use tapstack::ip::RouteEntry;
use tapstack::net::Host;
use tapstack::socket::SocketOption;
use tapstack::stack::{Cidr, InterfaceId, Stack};
use tapstack::time::Duration;
use tapstack::udp::ErrorQueueEntry;

/// Does what is asked, and says how that went. Netcat sessions are not for here.
pub(super) fn perform(served: &Served, request: Request) -> Reply {
    let host = &served.host;
    let done = match request {
        Request::Status => {
            let limits = Limits { sockets_max: ROWS_MAX, neighbours_max: ROWS_MAX };
            Ok(Reply::Status { status: Box::new(status::gather(host, served.started, limits)) })
        }
        Request::Sockets { info } => Ok(host.with_stack(|_, stack| {
            let (rows, left_out) = status::sockets(stack, ROWS_MAX);
            let infos = if info { status::infos(stack, ROWS_MAX) } else { Vec::new() };
            Reply::Sockets { rows, left_out, infos }
        })),
        Request::Neighbours => {
            Ok(Reply::Neighbours { rows: host.with_stack(|_, stack| status::neighbours(stack)) })
        }
        Request::Forget { address } => host.with_stack(|_, stack| forget(stack, address)),
        Request::Routes => Ok(host.with_stack(|_, stack| Reply::Routes {
            rows: status::routes(stack),
            interfaces: status::interfaces(stack),
        })),
        Request::RouteAdd { route } => host.with_stack(|_, stack| add_route(stack, &route)),
        Request::RouteDelete { route } => host.with_stack(|_, stack| delete_route(stack, &route)),
        Request::Ping { to, bytes, timeout_ms } => ping(host, to, bytes, wait(timeout_ms)),
        Request::Probe { to, port, ttl, timeout_ms } => {
            probe(host, SocketAddr::new(to, port), ttl, wait(timeout_ms)).map_err(|error| in_words(&error))
        }
        Request::RpcList { to, timeout_ms } => rpc::list(host, to, wait(timeout_ms)),
        Request::RpcCall { call, timeout_ms } => rpc::call(host, &call, wait(timeout_ms)),
        Request::MailSend { to, body, priority, ttl_ms, semantics, tcp, timeout_ms } => {
            mail::send(host, Mail { to, body, priority, ttl_ms, semantics, tcp, timeout_ms })
        }
        Request::MailRecv { from, tcp, timeout_ms } => mail::recv(host, &from, tcp, timeout_ms),
        Request::MailList { host: at, tcp, timeout_ms } => mail::list(host, at, tcp, timeout_ms),
        Request::Connect { .. } | Request::Listen { .. } => Err("not a question".to_owned()),
    };
    done.unwrap_or_else(|why| Reply::Failed { why })
}

/// Adds a route to a stack. Errors: what is missing or wrong, in words.
pub(crate) fn add_route(stack: &mut Stack, spec: &RouteSpec) -> Result<Reply, String> {
    let interface = way_out(stack, spec)?;
    let subnet = Cidr::new(spec.to, spec.prefix_len);
    let entry = match spec.via {
        Some(via) => RouteEntry::via(subnet, via, interface),
        None => RouteEntry::on_link(subnet, interface),
    };
    let entry = RouteEntry { metric: spec.metric.unwrap_or(0), ..entry };
    match stack.add_route(entry) {
        Ok(()) => Ok(Reply::Done { count: 1 }),
        Err(tapstack::Errno::EADDRINUSE) => Err("that route is there already".to_owned()),
        Err(tapstack::Errno::ENETUNREACH) => {
            Err("the gateway is on none of that interface's links".to_owned())
        }
        Err(tapstack::Errno::ENOBUFS) => Err("the routing table is full".to_owned()),
        Err(errno) => Err(format!("the route can't be added: {errno}")),
    }
}

/// The interface that a route leaves by: the one it names, or that whose link its gateway is on.
fn way_out(stack: &Stack, spec: &RouteSpec) -> Result<InterfaceId, String> {
    let interfaces = stack.interfaces();
    if let Some(dev) = &spec.dev {
        let found = interfaces.iter().find(|interface| interface.name == *dev);
        return found.map(|interface| interface.id).ok_or_else(|| {
            let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
            format!("there is no interface {dev}, only {}", names.join(", "))
        });
    }
    let via = spec.via.ok_or("a route needs a gateway or an interface: via ADDRESS, dev NAME, or both")?;
    let on_link = interfaces.iter().find(|interface| interface.addresses.iter().any(|own| own.contains(via)));
    let found = on_link.map(|interface| interface.id);
    found.ok_or_else(|| format!("{via} is on no interface's link: a gateway has to be"))
}

fn delete_route(stack: &mut Stack, spec: &RouteSpec) -> Result<Reply, String> {
    let dev = spec.dev.as_ref().map(|dev| way_out(stack, spec).map_err(|why| format!("{dev}: {why}")));
    let dev = dev.transpose()?;
    let found = stack.routes().into_iter().find(|route| {
        (route.destination, route.prefix_len) == (IpAddr::V4(spec.to), spec.prefix_len)
            && spec.via.is_none_or(|via| route.gateway == Some(IpAddr::V4(via)))
            && dev.is_none_or(|dev| route.interface == dev)
            && spec.metric.is_none_or(|metric| route.metric == metric)
    });
    let route = found.ok_or("there is no such route")?;
    stack.remove_route(&route).map_err(|errno| format!("the route can't be removed: {errno}"))?;
    Ok(Reply::Done { count: 1 })
}

fn forget(stack: &mut Stack, address: Option<IpAddr>) -> Result<Reply, String> {
    let asked = |one: IpAddr| address.is_none_or(|address| address == one);
    let neighbours = stack.neighbours().into_iter().filter(|neighbour| asked(neighbour.address));
    let neighbours: Vec<_> = neighbours.map(|neighbour| (neighbour.interface, neighbour.address)).collect();
    if let (Some(address), true) = (address, neighbours.is_empty()) {
        return Err(format!("{address} is not in the neighbour cache"));
    }
    let forgotten =
        neighbours.iter().filter(|&&(interface, address)| stack.forget_neighbour(interface, address).is_ok());
    match (address, forgotten.count()) {
        (Some(address), 0) => Err(format!("{address} is just being asked for")),
        (_, count) => Ok(Reply::Done { count }),
    }
}

fn ping(host: &Host, to: IpAddr, bytes: u16, timeout: Duration) -> Result<Reply, String> {
    let mut payload = vec![0; usize::from(bytes).min(PING_BYTES_MAX)];
    host.fill_random(&mut payload);
    match block_on(host.ping(to, &payload, timeout)) {
        Ok(pong) => Ok(Reply::Pong { micros: Some(micros(pong.rtt)), error: None }),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Ok(Reply::Pong { micros: None, error: None })
        }
        Err(error) if is_answer(&error) => Ok(Reply::Pong { micros: None, error: Some(error.to_string()) }),
        Err(error) => Err(in_words(&error)),
    }
}

/// An error of the machine's, and what to do about it where that is known.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable => format!("{error}: `tapstack route` shows and adds routes"),
        _ => error.to_string(),
    }
}

/// Whether an error of a ping is what somebody on the way said, and may be otherwise the next time.
fn is_answer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable};
    matches!(error.kind(), HostUnreachable | ConnectionRefused)
}

/// Sends one datagram with few hops to live, and waits for what comes back: an error from whoever ended it, or an
/// answer of the destination.
fn probe(host: &Host, to: SocketAddr, ttl: u8, timeout: Duration) -> io::Result<Reply> {
    let socket = host.udp_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    socket.set_option(SocketOption::Ttl(ttl.max(1)))?;
    let sent = host.now();
    let answer = block_on(async {
        socket.connect(to).await?;
        socket.send(&[PROBE_BYTE; PROBE_BYTES]).await?;
        let mut buffer = [0; 64];
        let (mut received, mut failed) = (pin!(socket.recv(&mut buffer)), pin!(socket.recv_error()));
        let either = poll_fn(|cx| {
            // The error's own queue says who sent it, so it is looked at first.
            if let Poll::Ready(entry) = failed.as_mut().poll(cx) {
                return Poll::Ready(entry.map(Some));
            }
            match received.as_mut().poll(cx) {
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(None)),
                _ => Poll::Pending,
            }
        });
        match host.timeout(timeout, either).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    })?;
    let (from, answer) = match answer {
        None => (None, ProbeAnswer::Silence),
        Some(None) => (Some(to.ip()), ProbeAnswer::Destination),
        Some(Some(entry)) => (Some(entry.from), meaning(&entry)),
    };
    Ok(Reply::Probed { from, micros: micros(host.now() - sent), answer })
}

fn meaning(entry: &ErrorQueueEntry) -> ProbeAnswer {
    let mark = match entry.kind {
        IcmpErrorKind::TimeExceeded => return ProbeAnswer::Hop,
        IcmpErrorKind::PortUnreachable => return ProbeAnswer::Destination,
        IcmpErrorKind::NetUnreachable => "!N".to_owned(),
        IcmpErrorKind::HostUnreachable => "!H".to_owned(),
        IcmpErrorKind::ProtocolUnreachable => "!P".to_owned(),
        IcmpErrorKind::Prohibited => "!X".to_owned(),
        IcmpErrorKind::FragmentationNeeded { mtu } => format!("!F-{mtu}"),
        _ => "!?".to_owned(),
    };
    ProbeAnswer::Unreachable { mark }
}

pub(super) fn wait(timeout_ms: u32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms.clamp(1, WAIT_MS_MAX)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What fits into an IPv4 packet.
const PING_BYTES_MAX: usize = 65_507;
const PROBE_BYTES: usize = 32;
const PROBE_BYTE: u8 = b'@';
