//! ICMP errors out: whether one may be sent, how many, and what it quotes.

use super::Icmp;
use crate::frame::{CauseKind, DropReason, TxFrame};
use crate::ip::{AddressKind, Ip, PacketIn, PacketOut};
use crate::stack::{Context, InterfaceId};
use crate::time::{Duration, Instant};
use crate::wire::{icmp, ipv4};
use bytes::Bytes;
use core::net::IpAddr;

/// An error that could be reported about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorOut {
    NetUnreachable,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    /// With the MTU of the link that it doesn't fit through.
    FragmentationNeeded {
        mtu: u16,
    },
    TtlExceeded,
    ReassemblyTimeExceeded,
}

impl ErrorOut {
    /// In words, for captures.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            ErrorOut::NetUnreachable => "network unreachable",
            ErrorOut::HostUnreachable => "host unreachable",
            ErrorOut::ProtocolUnreachable => "protocol unreachable",
            ErrorOut::PortUnreachable => "port unreachable",
            ErrorOut::FragmentationNeeded { .. } => "fragmentation needed",
            ErrorOut::TtlExceeded => "time to live exceeded",
            ErrorOut::ReassemblyTimeExceeded => "fragments missing",
        }
    }

    fn header(self) -> icmp::Header {
        use icmp::{kind, unreachable};
        let (kind, code) = match self {
            ErrorOut::NetUnreachable => (kind::UNREACHABLE, unreachable::NET),
            ErrorOut::HostUnreachable => (kind::UNREACHABLE, unreachable::HOST),
            ErrorOut::ProtocolUnreachable => (kind::UNREACHABLE, unreachable::PROTOCOL),
            ErrorOut::PortUnreachable => (kind::UNREACHABLE, unreachable::PORT),
            ErrorOut::FragmentationNeeded { .. } => (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED),
            ErrorOut::TtlExceeded => (kind::TIME_EXCEEDED, 0),
            ErrorOut::ReassemblyTimeExceeded => (kind::TIME_EXCEEDED, 1),
        };
        let mut rest = [0; 4];
        if let ErrorOut::FragmentationNeeded { mtu } = self {
            rest[2..].copy_from_slice(&mtu.to_be_bytes());
        }
        icmp::Header { kind, code, rest }
    }
}

impl Icmp {
    /// Something went wrong with a packet: tells its sender, if that may be told. True if an error was queued.
    pub(crate) fn report(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        packet: &PacketIn,
        error: ErrorOut,
    ) -> bool {
        if !may_be_answered(packet) || !self.allowance.take(cx.now) {
            cx.drop(DropReason::IcmpSuppressed);
            return false;
        }
        // RFC 1122 section 3.2.2: the source is the address that the packet was sent to, where that is ours; a router
        // answers from the interface that it answers through (RFC 1812 section 4.3.2.4).
        let source = Some(packet.destination).filter(|&destination| ip.is_local(destination));
        let Ok(route) = ip.route(packet.source, source, None, false) else {
            cx.drop(DropReason::NoRoute);
            return false;
        };
        let mut frame = TxFrame::new(CauseKind::IcmpError { what: error.text() }.into());
        let quoted = QUOTED_PACKET_MAX.saturating_sub(packet.header.len()).min(packet.payload.len());
        frame.payload.push(Bytes::copy_from_slice(&packet.header));
        frame.payload.push(packet.payload.slice(..quoted));
        error.header().emit(&mut frame);
        let out = PacketOut {
            source: route.source,
            destination: packet.source,
            protocol: icmp::PROTOCOL,
            ttl: self.ttl,
            tos: TOS_OF_ERRORS,
            dont_fragment: false,
        };
        match ip.send(cx, &route, &out, frame) {
            Ok(()) => {
                cx.counters.icmp_errors_out += 1;
                true
            }
            Err(reason) => {
                cx.drop(reason);
                false
            }
        }
    }
}

/// Whether an error may be sent about a packet (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7): not about an ICMP
/// error, not about what went to many, not about a later fragment, and only to a source that is a single host.
fn may_be_answered(packet: &PacketIn) -> bool {
    let IpAddr::V4(source) = packet.source else { return false };
    let kind = AddressKind::of(source);
    let is_host =
        kind.is_host() || (kind == AddressKind::Loopback && packet.interface == InterfaceId::LOOPBACK);
    let is_group = match packet.destination {
        IpAddr::V4(to) => matches!(AddressKind::of(to), AddressKind::Multicast | AddressKind::Broadcast),
        IpAddr::V6(_) => true,
    };
    let is_later_fragment =
        ipv4::Header::parse_quoted(&packet.header).map_or(true, |header| header.fragment_offset != 0);
    let is_icmp_error = packet.protocol == icmp::PROTOCOL
        && !matches!(packet.payload.first(), Some(&(icmp::kind::ECHO_REQUEST | icmp::kind::ECHO_REPLY)));
    is_host && !is_group && !packet.broadcast && !is_later_fragment && !is_icmp_error
}

/// A token bucket for all errors (RFC 1812 section 4.3.2.8).
pub(super) struct Allowance {
    tokens: u32,
    /// When the bucket was last filled up to here.
    filled: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Allowance {
        Allowance { tokens: ERRORS_BURST, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let new = now.since(self.filled).as_nanos() / TOKEN_INTERVAL.as_nanos();
        if new >= u128::from(ERRORS_BURST - self.tokens) {
            (self.tokens, self.filled) = (ERRORS_BURST, now);
        } else {
            self.tokens += new as u32;
            self.filled += TOKEN_INTERVAL * new as u32;
        }
        let allowed = self.tokens > 0;
        self.tokens -= u32::from(allowed);
        allowed
    }
}

/// Errors that may be sent at once. Linux's `icmp_msgs_burst`.
const ERRORS_BURST: u32 = 50;
/// Time for another error: Linux's `icmp_msgs_per_sec` is 1000.
const TOKEN_INTERVAL: Duration = Duration::from_millis(1);
/// An error with its own headers is at most 576 bytes long (RFC 1812 section 4.3.2.3).
const QUOTED_PACKET_MAX: usize = 576 - ipv4::HEADER_BYTES - icmp::HEADER_BYTES;
/// Precedence 6, internetwork control (RFC 1812 section 4.3.2.5).
const TOS_OF_ERRORS: u8 = 0xc0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_a_burst_then_a_rate() {
        let mut allowance = Allowance::new(Instant::ZERO);
        let taken = (0..100).filter(|_| allowance.take(Instant::ZERO)).count();
        assert_eq!(taken, 50);
        let after = |micros| Instant::from_micros(micros);
        assert!(!allowance.take(after(999)));
        assert!(allowance.take(after(1_000)));
        assert!(!allowance.take(after(1_999)));
        assert!(allowance.take(after(2_000)));
        let taken = (0..100).filter(|_| allowance.take(after(10_000_000))).count();
        assert_eq!(taken, 50, "it does not save up more than a burst");
    }
}
