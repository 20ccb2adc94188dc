//! Has etherparse, an independent dissector, look at frames: their lengths, and every checksum in them.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

const ETHERNET_LEN: usize = 14;

/// What is wrong with a complete Ethernet frame that a machine of ours sent.
pub fn wrong_with(frame: &[u8]) -> Option<String> {
    let packet = match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        Err(error) => return Some(error.to_string()),
    };
    let ip = match &packet.net {
        Some(NetSlice::Arp(_)) => return None,
        Some(NetSlice::Ipv4(ip)) => ip,
        _ => return Some("neither IPv4 nor ARP".to_owned()),
    };
    let header = ip.header().to_header();
    if usize::from(header.total_len) + ETHERNET_LEN != frame.len() {
        return Some(format!("{} bytes in IPv4, {} in the frame", header.total_len, frame.len()));
    }
    if header.header_checksum != header.calc_header_checksum() {
        return Some("IPv4 checksum".to_owned());
    }
    if header.is_fragmenting_payload() {
        return None;
    }
    let (source, destination) = (header.source, header.destination);
    let (protocol, is, should_be) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            ("TCP", tcp.checksum(), tcp.calc_checksum_ipv4(source, destination).ok())
        }
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            if usize::from(header.length) != udp.slice().len()
                || udp.slice().len() != ip.payload().payload.len()
            {
                return Some("UDP length".to_owned());
            }
            ("UDP", udp.checksum(), header.calc_checksum_ipv4_raw(source, destination, udp.payload()).ok())
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            ("ICMP", icmp.checksum(), Some(icmp.icmp_type().calc_checksum(icmp.payload())))
        }
        _ => return Some("no transport that we speak".to_owned()),
    };
    (should_be != Some(is)).then(|| format!("{protocol} checksum {is:#06x}, should be {should_be:x?}"))
}
