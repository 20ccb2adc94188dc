//! Says in one line what a frame holds. The dissector is etherparse, which shares no code with the stack.

use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use etherparse::{
    ArpOperation, EtherType, Icmpv4Slice, Icmpv4Type, LaxIpv4Slice, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    TcpOptionElement, TcpSlice, TransportSlice, UdpSlice,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use tapstack::capture::{LinkType, Record};

/// What one frame says.
pub(super) struct Dissected {
    pub(super) protocol: &'static str,
    pub(super) summary: String,
    pub(super) source_mac: Option<[u8; 6]>,
    pub(super) destination_mac: Option<[u8; 6]>,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
}

/// Connections whose starts are remembered at most; beyond them numbers are shown as they are.
const CONNECTIONS_MAX: usize = 65_536;

/// Dissects frames, and remembers what makes later ones readable: where sequence numbers start, how windows scale.
#[derive(Default)]
pub(super) struct Dissector {
    connections: HashMap<Flow, Start>,
}

/// One direction of a connection.
type Flow = ((Ipv4Addr, u16), (Ipv4Addr, u16));

#[derive(Clone, Copy)]
struct Start {
    sequence: u32,
    /// The window's scale that the SYN offered.
    scale: Option<u8>,
}

/// The link addresses of a record, the source's first.
pub(super) fn macs(record: &Record) -> Option<([u8; 6], [u8; 6])> {
    if record.link != LinkType::Ethernet {
        return None;
    }
    let (destination, rest) = record.bytes.split_first_chunk::<6>()?;
    Some((*rest.first_chunk()?, *destination))
}

/// The IPv4 address that sent a record, in IPv4's header or ARP's sender.
pub(super) fn source(record: &Record) -> Option<IpAddr> {
    match parse(record)?.net? {
        LaxNetSlice::Ipv4(ip) => Some(ip.header().source_addr().into()),
        LaxNetSlice::Arp(arp) => {
            let arp = arp.to_packet().try_eth_ipv4().ok()?;
            Some(IpAddr::from(arp.sender_ipv4)).filter(|address| !address.is_unspecified())
        }
        LaxNetSlice::Ipv6(_) => None,
    }
}

fn parse(record: &Record) -> Option<LaxSlicedPacket<'_>> {
    match record.link {
        LinkType::Ethernet => LaxSlicedPacket::from_ethernet(&record.bytes).ok(),
        LinkType::Ip => {
            let version = record.bytes.first()? >> 4;
            let kind = if version == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
            Some(LaxSlicedPacket::from_ether_type(kind, &record.bytes))
        }
        LinkType::Other(_) => None,
    }
}

impl Dissector {
    pub(super) fn dissect(&mut self, record: &Record) -> Dissected {
        let macs = macs(record);
        let mut dissected = Dissected {
            protocol: "?",
            summary: format!("{} bytes that can't be read", record.original_len),
            source_mac: macs.map(|(source, _)| source),
            destination_mac: macs.map(|(_, destination)| destination),
            source: source(record),
            destination: None,
        };
        let Some(packet) = parse(record) else { return dissected };
        match &packet.net {
            Some(LaxNetSlice::Arp(arp)) => {
                dissected.protocol = "ARP";
                dissected.summary = match arp.to_packet().try_eth_ipv4() {
                    Ok(arp) => say_arp(&arp),
                    Err(_) => "not about Ethernet and IPv4".to_owned(),
                };
            }
            Some(LaxNetSlice::Ipv4(ip)) => {
                dissected.destination = Some(ip.header().destination_addr().into());
                (dissected.protocol, dissected.summary) = self.say_ipv4(ip, packet.transport.as_ref());
            }
            Some(LaxNetSlice::Ipv6(_)) => {
                dissected.protocol = "IPv6";
                dissected.summary = format!("{} bytes", record.original_len);
            }
            None => {
                if let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link {
                    dissected.protocol = "Ethernet";
                    let kind = ethernet.ether_type();
                    dissected.summary = format!("type {:#06x}, {} bytes", kind.0, record.original_len);
                }
            }
        }
        if let Some((error, layer)) = &packet.stop_err
            && record.bytes.len() == record.original_len
        {
            dissected.summary += &format!("; malformed {layer}: {error}");
        }
        dissected
    }

    fn say_ipv4(
        &mut self,
        ip: &LaxIpv4Slice<'_>,
        transport: Option<&TransportSlice<'_>>,
    ) -> (&'static str, String) {
        let header = ip.header();
        let (source, destination) = (header.source_addr(), header.destination_addr());
        let offset = header.fragments_offset().byte_offset();
        let fragment = match (offset, header.more_fragments()) {
            (0, false) => String::new(),
            (at, true) => format!(" (fragment at byte {at}, more follow)"),
            (at, false) => format!(" (fragment at byte {at}, the last)"),
        };
        let payload_len = usize::from(header.payload_len().unwrap_or(0));
        let (protocol, text) = match transport {
            Some(TransportSlice::Tcp(tcp)) => ("TCP", self.say_tcp(source, destination, tcp, payload_len)),
            Some(TransportSlice::Udp(udp)) => ("UDP", say_udp(source, destination, udp)),
            Some(TransportSlice::Icmpv4(icmp)) => {
                ("ICMP", format!("{source} > {destination} {}", say_icmp(icmp, payload_len)))
            }
            _ => {
                let number = ip.payload_ip_number();
                let name = number.keyword_str().unwrap_or("protocol");
                ("IPv4", format!("{source} > {destination} {name} ({}) len {payload_len}", number.0))
            }
        };
        (protocol, text + &fragment)
    }

    fn say_tcp(&mut self, source: Ipv4Addr, destination: Ipv4Addr, tcp: &TcpSlice<'_>, len: usize) -> String {
        let (from, to) = ((source, tcp.source_port()), (destination, tcp.destination_port()));
        let len = len.saturating_sub(tcp.header_slice().len());
        let mut options = String::new();
        let mut scale = None;
        for option in tcp.options_iterator().map_while(Result::ok) {
            match option {
                TcpOptionElement::MaximumSegmentSize(mss) => options += &format!(" mss {mss}"),
                TcpOptionElement::WindowScale(shift) => scale = Some(shift),
                TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
                    let start = self.connections.get(&(to, from)).map_or(0, |start| start.sequence);
                    let blocks = core::iter::once(first).chain(rest.into_iter().flatten());
                    for (left, right) in blocks {
                        options +=
                            &format!(" sack {}-{}", left.wrapping_sub(start), right.wrapping_sub(start));
                    }
                }
                _ => {}
            }
        }
        let sequence = self.relative(tcp, (from, to), scale);
        let mut text = format!("{}:{} > {}:{} [{}] seq {sequence}", from.0, from.1, to.0, to.1, flags(tcp));
        if tcp.ack() {
            let start = self.connections.get(&(to, from)).map_or(0, |start| start.sequence);
            text += &format!(" ack {}", tcp.acknowledgment_number().wrapping_sub(start));
        }
        text += &format!(" win {}", self.window(tcp, (from, to)));
        text + &format!(" len {len}{options}")
    }

    /// The sequence number, counted from the connection's start as far as the capture shows it.
    fn relative(&mut self, tcp: &TcpSlice<'_>, flow: Flow, scale: Option<u8>) -> u32 {
        let sequence = tcp.sequence_number();
        let full = self.connections.len() >= CONNECTIONS_MAX;
        if tcp.syn() && (!full || self.connections.contains_key(&flow)) {
            self.connections.insert(flow, Start { sequence, scale });
            // An answer's numbers start anew with it, too, even if the ports were used before.
            if !tcp.ack() {
                self.connections.remove(&(flow.1, flow.0));
            }
        } else if !full && !tcp.rst() {
            // A connection that was open when the capture began: its first number counts as 1.
            self.connections.entry(flow).or_insert(Start { sequence: sequence.wrapping_sub(1), scale: None });
            let other = (flow.1, flow.0);
            if tcp.ack() && !self.connections.contains_key(&other) {
                let sequence = tcp.acknowledgment_number().wrapping_sub(1);
                self.connections.insert(other, Start { sequence, scale: None });
            }
        }
        sequence.wrapping_sub(self.connections.get(&flow).map_or(0, |start| start.sequence))
    }

    /// The window in bytes: scaled once both ends have offered it (RFC 7323 section 2.2), never in a SYN.
    fn window(&self, tcp: &TcpSlice<'_>, flow: Flow) -> u32 {
        let window = u32::from(tcp.window_size());
        let scale = |flow| self.connections.get(&flow).and_then(|start: &Start| start.scale);
        match (scale(flow), scale((flow.1, flow.0))) {
            (Some(shift), Some(_)) if !tcp.syn() => window << shift.min(14),
            _ => window,
        }
    }
}

fn flags(tcp: &TcpSlice<'_>) -> String {
    let all = [
        (tcp.syn(), "SYN"),
        (tcp.fin(), "FIN"),
        (tcp.rst(), "RST"),
        (tcp.psh(), "PSH"),
        (tcp.ack(), "ACK"),
        (tcp.urg(), "URG"),
        (tcp.ece(), "ECE"),
        (tcp.cwr(), "CWR"),
    ];
    let set: Vec<&str> = all.into_iter().filter(|&(set, _)| set).map(|(_, name)| name).collect();
    set.join(", ")
}

fn say_udp(source: Ipv4Addr, destination: Ipv4Addr, udp: &UdpSlice<'_>) -> String {
    let len = usize::from(udp.length()).saturating_sub(UDP_HEADER_LEN);
    format!("{source}:{} > {destination}:{} len {len}", udp.source_port(), udp.destination_port())
}

const UDP_HEADER_LEN: usize = 8;
const ICMP_HEADER_LEN: usize = 8;

fn say_arp(arp: &etherparse::ArpEthIpv4Packet) -> String {
    let (sender, target) = (Ipv4Addr::from(arp.sender_ipv4), Ipv4Addr::from(arp.target_ipv4));
    let mac = tapstack::stack::MacAddr(arp.sender_mac);
    if sender == target {
        return format!("{sender} is at {mac}, to all");
    }
    match arp.operation {
        ArpOperation::REQUEST if sender.is_unspecified() => format!("does anybody use {target}?"),
        ArpOperation::REQUEST => format!("who has {target}? tell {sender}"),
        ArpOperation::REPLY => format!("{sender} is at {mac}"),
        ArpOperation(other) => format!("operation {other}"),
    }
}

fn say_icmp(icmp: &Icmpv4Slice<'_>, payload_len: usize) -> String {
    let len = payload_len.saturating_sub(ICMP_HEADER_LEN);
    match icmp.icmp_type() {
        Icmpv4Type::EchoRequest(echo) => format!("echo request id {} seq {} len {len}", echo.id, echo.seq),
        Icmpv4Type::EchoReply(echo) => format!("echo reply id {} seq {} len {len}", echo.id, echo.seq),
        Icmpv4Type::DestinationUnreachable(what) => {
            let what = match what {
                DestUnreachableHeader::Network => "network unreachable".to_owned(),
                DestUnreachableHeader::Host => "host unreachable".to_owned(),
                DestUnreachableHeader::Protocol => "protocol unreachable".to_owned(),
                DestUnreachableHeader::Port => "port unreachable".to_owned(),
                DestUnreachableHeader::FragmentationNeeded { next_hop_mtu } => {
                    format!("fragmentation needed, the next MTU is {next_hop_mtu}")
                }
                _ => format!("destination unreachable, code {}", icmp.code_u8()),
            };
            what + &quoted(icmp)
        }
        Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit) => {
            format!("time to live expired{}", quoted(icmp))
        }
        Icmpv4Type::TimeExceeded(_) => format!("reassembly timed out{}", quoted(icmp)),
        Icmpv4Type::Redirect(_) => format!("redirect{}", quoted(icmp)),
        Icmpv4Type::ParameterProblem(_) => format!("parameter problem{}", quoted(icmp)),
        _ => format!("type {} code {} len {len}", icmp.type_u8(), icmp.code_u8()),
    }
}

/// What an ICMP error is about: the start of the packet that it quotes.
fn quoted(icmp: &Icmpv4Slice<'_>) -> String {
    let Ok((ip, _)) = LaxIpv4Slice::from_slice(icmp.payload()) else { return String::new() };
    let header = ip.header();
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let name = ip.payload_ip_number().keyword_str().unwrap_or("a packet");
    match ip.payload().payload.first_chunk::<4>() {
        Some(&[s0, s1, d0, d1]) if matches!(ip.payload_ip_number().0, 6 | 17) => {
            let (from, to) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
            format!(", about {name} {source}:{from} > {destination}:{to}")
        }
        _ => format!(", about {name} {source} > {destination}"),
    }
}
