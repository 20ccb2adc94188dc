//! Decides which frames of a bulk flow are worth recording: its first ones, and all that tell of its life.

use std::collections::BTreeMap;

/// Flows that are remembered at most; beyond them all are forgotten, and each may record its first frames again.
const FLOWS_MAX: usize = 16_384;

/// Counts what was recorded of each flow.
#[derive(Debug)]
pub(crate) struct FlowLimit {
    packets_max: u32,
    flows: BTreeMap<Flow, Recorded>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    ordinary: u32,
    notable: u32,
}

/// Both directions of a flow are one: the lower end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    interface: u16,
    protocol: u8,
    ends: [([u8; 4], [u8; 2]); 2],
}

impl FlowLimit {
    pub(crate) fn new(packets_max: u32) -> FlowLimit {
        FlowLimit { packets_max, flows: BTreeMap::new() }
    }

    /// Whether to record a frame of which `headers` are the first bytes, from the IPv4 header on.
    ///
    /// `notable` frames (retransmissions, probes, drops …) have an allowance of their own, as large as the others'.
    /// What belongs to no flow, and TCP's SYN, FIN and RST, are always recorded.
    pub(crate) fn allows(&mut self, interface: u16, headers: &[u8], notable: bool) -> bool {
        let Some((flow, flags)) = parse(interface, headers) else { return true };
        if flags & (TCP_FIN | TCP_SYN | TCP_RST) != 0 {
            return true;
        }
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&flow) {
            self.flows.clear();
        }
        let recorded = self.flows.entry(flow).or_default();
        let count = if notable { &mut recorded.notable } else { &mut recorded.ordinary };
        *count = count.saturating_add(1);
        *count <= self.packets_max
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;

/// The flow of a TCP or UDP packet over IPv4, and TCP's flags. Later fragments have no ports, so no flow.
fn parse(interface: u16, packet: &[u8]) -> Option<(Flow, u8)> {
    let (fixed, _) = packet.split_first_chunk::<20>()?;
    let protocol = fixed[9];
    let later_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0;
    if fixed[0] >> 4 != 4 || later_fragment || (protocol != TCP && protocol != UDP) {
        return None;
    }
    let transport = packet.get(usize::from(fixed[0] & 15) * 4..)?;
    let (&[s0, s1, d0, d1], _) = transport.split_first_chunk::<4>()?;
    let &[.., a0, a1, a2, a3, b0, b1, b2, b3] = fixed;
    let (source, destination) = (([a0, a1, a2, a3], [s0, s1]), ([b0, b1, b2, b3], [d0, d1]));
    let ends = if source <= destination { [source, destination] } else { [destination, source] };
    let flags = if protocol == TCP { transport.get(13).copied().unwrap_or(0) } else { 0 };
    Some((Flow { interface, protocol, ends }, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(source: [u8; 4], ports: [u8; 4], flags: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0];
        packet.extend_from_slice(&source);
        packet.extend_from_slice(&[10, 0, 0, 9]);
        packet.extend_from_slice(&ports);
        packet.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet
    }

    #[test]
    fn first_packets_of_each_flow_and_its_life_are_recorded() {
        let mut limit = FlowLimit::new(2);
        let data = tcp([10, 0, 0, 1], [0, 80, 9, 9], 0x10);
        let back = {
            let mut packet = tcp([10, 0, 0, 9], [9, 9, 0, 80], 0x10);
            packet[16..20].copy_from_slice(&[10, 0, 0, 1]);
            packet
        };
        assert!(limit.allows(1, &data, false) && limit.allows(1, &back, false));
        assert!(
            !limit.allows(1, &data, false) && !limit.allows(1, &back, false),
            "both directions are one flow"
        );
        assert!(
            limit.allows(1, &data, true) && limit.allows(1, &data, true) && !limit.allows(1, &data, true)
        );
        for flags in [TCP_SYN, TCP_FIN | 0x10, TCP_RST] {
            assert!(limit.allows(1, &tcp([10, 0, 0, 1], [0, 80, 9, 9], flags), false));
        }
        assert!(
            limit.allows(1, &tcp([10, 0, 0, 1], [0, 81, 9, 9], 0x10), false),
            "another port is another flow"
        );
        assert!(limit.allows(2, &data, false), "another interface counts by itself");
    }

    #[test]
    fn what_belongs_to_no_flow_is_always_recorded() {
        let mut limit = FlowLimit::new(0);
        let mut fragment = tcp([10, 0, 0, 1], [0, 80, 9, 9], 0x10);
        assert!(!limit.allows(1, &fragment, false));
        fragment[7] = 1;
        let mut icmp = tcp([10, 0, 0, 1], [0, 80, 9, 9], 0x10);
        icmp[9] = 1;
        for packet in [&fragment[..], &icmp, &[], &[0x4f; 20], &[0x45; 23]] {
            assert!(limit.allows(1, packet, false));
        }
    }

    #[test]
    fn remembered_flows_are_bounded() {
        let mut limit = FlowLimit::new(1);
        for i in 0..3 * FLOWS_MAX as u32 {
            let [a, b, c, d] = i.to_be_bytes();
            assert!(limit.allows(1, &tcp([10, a, b, c], [d, 1, 0, 80], 0x10), false));
            assert!(limit.flows.len() <= FLOWS_MAX);
        }
    }
}
