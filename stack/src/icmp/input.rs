//! ICMP messages in: pings are answered, errors are read for whoever sent what they quote.

use super::{Icmp, IcmpErrorKind, IcmpNotice, Input};
use crate::frame::{CauseKind, DropReason, Outcome, TxFrame};
use crate::ip::{Ip, PacketIn, PacketOut};
use crate::socket::Sockets;
use crate::stack::Context;
use crate::wire::icmp::{self, kind, unreachable};
use crate::wire::tcp;
use core::net::{IpAddr, SocketAddr};

impl Icmp {
    /// A message came in.
    pub(crate) fn input(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        packet: &PacketIn,
    ) -> Input {
        let Some(header) = icmp::Header::parse(&packet.payload) else {
            return Input::Done(cx.drop(DropReason::IcmpMalformed));
        };
        if !icmp::is_valid(&packet.payload) {
            return Input::Done(cx.drop(DropReason::IcmpBadChecksum));
        }
        match header.kind {
            kind::ECHO_REQUEST => Input::Done(self.echo_request(cx, ip, packet, &header)),
            kind::UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM => {
                self.error(cx, ip, packet, &header)
            }
            // Source quench is obsolete (RFC 6633), and redirects are not believed: anybody can send them.
            kind::ECHO_REPLY => Input::Done(self.echo_reply(cx, sockets, packet, &header)),
            _ => Input::Done(cx.drop(DropReason::IcmpUnknownType)),
        }
    }

    /// Somebody pings us (RFC 1122 section 3.2.2.6: every host "MUST implement an ICMP Echo server function").
    fn echo_request(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        packet: &PacketIn,
        request: &icmp::Header,
    ) -> Outcome {
        if packet.broadcast {
            return cx.drop(DropReason::IcmpBroadcastEcho);
        }
        let Ok(route) = ip.route(packet.source, Some(packet.destination), None, false) else {
            return cx.drop(DropReason::NoRoute);
        };
        let mut frame = TxFrame::new(CauseKind::EchoReply.into());
        frame.payload.push(packet.payload.slice(icmp::HEADER_BYTES..));
        let reply = icmp::Header { kind: kind::ECHO_REPLY, ..*request };
        let checksum = icmp::checksum_of(&packet.payload).unwrap_or_default();
        reply.emit_reply_to(&mut frame, request, checksum);
        let out = PacketOut {
            source: route.source,
            destination: packet.source,
            protocol: icmp::PROTOCOL,
            ttl: self.ttl,
            tos: packet.tos,
            dont_fragment: false,
        };
        match ip.send(cx, &route, &out, frame) {
            Ok(()) => Outcome::Answered { with: "echo reply" },
            Err(reason) => cx.drop(reason),
        }
    }

    /// An error came in. Whether it is to be believed is for the transport to say, which knows what it sent
    /// (RFC 5927); here only what can't be about us is sorted out.
    fn error(&mut self, cx: &mut Context, ip: &Ip, packet: &PacketIn, header: &icmp::Header) -> Input {
        let data = packet.payload.get(icmp::HEADER_BYTES..).unwrap_or_default();
        let Some(quote) = icmp::Quote::parse(data) else {
            return Input::Done(cx.drop(DropReason::IcmpMalformed));
        };
        let Some(kind) = meaning(header) else {
            return Input::Done(cx.drop(DropReason::IcmpUnknownType));
        };
        if !ip.is_local(IpAddr::V4(quote.header.source)) || quote.header.fragment_offset != 0 {
            return Input::Done(cx.drop(DropReason::IcmpUnmatched));
        }
        let protocol = quote.header.protocol;
        let is_echo = protocol == icmp::PROTOCOL;
        let (ports, sequence) = match icmp::Header::parse(quote.transport) {
            Some(echo) if is_echo && echo.kind == kind::ECHO_REQUEST => {
                ((echo.ident(), 0), u32::from(echo.sequence()))
            }
            _ if is_echo => return Input::Done(cx.drop(DropReason::IcmpUnmatched)),
            _ if protocol == tcp::PROTOCOL => (quote.ports(), quote.sequence()),
            _ => (quote.ports(), 0),
        };
        let notice = IcmpNotice {
            local: SocketAddr::new(IpAddr::V4(quote.header.source), ports.0),
            remote: SocketAddr::new(IpAddr::V4(quote.header.destination), ports.1),
            sequence,
            kind,
            from: packet.source,
        };
        Input::Notice { protocol, notice }
    }
}

/// What an error's type and code mean; none for codes that nobody defined.
fn meaning(header: &icmp::Header) -> Option<IcmpErrorKind> {
    Some(match (header.kind, header.code) {
        (kind::UNREACHABLE, unreachable::NET | unreachable::NET_UNKNOWN | unreachable::NET_TOS) => {
            IcmpErrorKind::NetUnreachable
        }
        (
            kind::UNREACHABLE,
            unreachable::HOST
            | unreachable::HOST_UNKNOWN
            | unreachable::HOST_TOS
            | unreachable::SOURCE_ROUTE_FAILED,
        ) => IcmpErrorKind::HostUnreachable,
        (kind::UNREACHABLE, unreachable::PROTOCOL) => IcmpErrorKind::ProtocolUnreachable,
        (kind::UNREACHABLE, unreachable::PORT) => IcmpErrorKind::PortUnreachable,
        (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED) => {
            IcmpErrorKind::FragmentationNeeded { mtu: header.mtu() }
        }
        (
            kind::UNREACHABLE,
            unreachable::NET_PROHIBITED | unreachable::HOST_PROHIBITED | unreachable::ADMIN_PROHIBITED,
        ) => IcmpErrorKind::Prohibited,
        (kind::TIME_EXCEEDED, 0 | 1) => IcmpErrorKind::TimeExceeded,
        (kind::PARAMETER_PROBLEM, _) => IcmpErrorKind::ParameterProblem,
        _ => return None,
    })
}
