//! ARP for IPv4 over Ethernet.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |       Hardware type (1)       |    Protocol type (0x0800)     |
//! +---------------+---------------+-------------------------------+
//! | Hw length (6) | Pr length (4) |           Operation           |
//! +---------------+---------------+-------------------------------+
//! |                 Sender's hardware address                     |
//! |                               +-------------------------------+
//! |                               |  Sender's protocol address    |
//! +-------------------------------+-------------------------------+
//! |         (continued)           |  Target's hardware address    |
//! +-------------------------------+                               |
//! |                                                               |
//! +---------------------------------------------------------------+
//! |                  Target's protocol address                    |
//! +---------------------------------------------------------------+
//! ```
//! (RFC 826)

use crate::frame::TxFrame;
use crate::stack::MacAddr;
use core::net::Ipv4Addr;
use smoltcp::wire::ArpPacket;

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) operation: Operation,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target_mac: MacAddr,
    pub(crate) target: Ipv4Addr,
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Request,
    Reply,
}

impl Packet {
    /// Reads a packet; none when it is malformed, or about something else than IPv4 over Ethernet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Packet> {
        let packet = ArpPacket::new_checked(bytes).ok()?;
        let hardware = (u16::from(packet.hardware_type()), packet.hardware_len());
        let protocol = (u16::from(packet.protocol_type()), packet.protocol_len());
        if hardware != (HARDWARE_ETHERNET, 6) || protocol != (super::ethernet::ETHERTYPE_IPV4, 4) {
            return None;
        }
        let mac = |bytes: &[u8]| bytes.first_chunk().copied().map(MacAddr);
        let address = |bytes: &[u8]| bytes.first_chunk::<4>().copied().map(Ipv4Addr::from_octets);
        Some(Packet {
            operation: match u16::from(packet.operation()) {
                1 => Operation::Request,
                2 => Operation::Reply,
                _ => return None,
            },
            sender_mac: mac(packet.source_hardware_addr())?,
            sender: address(packet.source_protocol_addr())?,
            target_mac: mac(packet.target_hardware_addr())?,
            target: address(packet.target_protocol_addr())?,
        })
    }

    /// Writes the packet into an empty frame.
    pub(crate) fn emit(&self, frame: &mut TxFrame) {
        let mut packet = ArpPacket::new_unchecked(frame.prepend(PACKET_BYTES));
        packet.set_hardware_type(HARDWARE_ETHERNET.into());
        packet.set_protocol_type(super::ethernet::ETHERTYPE_IPV4.into());
        packet.set_hardware_len(6);
        packet.set_protocol_len(4);
        packet.set_operation(match self.operation {
            Operation::Request => 1.into(),
            Operation::Reply => 2.into(),
        });
        packet.set_source_hardware_addr(&self.sender_mac.0);
        packet.set_source_protocol_addr(&self.sender.octets());
        packet.set_target_hardware_addr(&self.target_mac.0);
        packet.set_target_protocol_addr(&self.target.octets());
    }
}

/// Bytes of a packet for IPv4 over Ethernet.
pub(crate) const PACKET_BYTES: usize = 28;
/// The hardware type of Ethernet.
const HARDWARE_ETHERNET: u16 = 1;

#[cfg(test)]
mod tests {
    use super::super::{captured, ethernet};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn captured_request_and_reply() {
        for (hex, operation) in
            [(captured::ARP_REQUEST, Operation::Request), (captured::ARP_REPLY, Operation::Reply)]
        {
            let bytes = captured::bytes(hex);
            assert_eq!(bytes.len(), ethernet::HEADER_BYTES + PACKET_BYTES);
            let packet = Packet::parse(&bytes[ethernet::HEADER_BYTES..]).unwrap();
            assert_eq!(packet.operation, operation);
            let mut frame = TxFrame::default();
            packet.emit(&mut frame);
            ethernet::Header::parse(&bytes).unwrap().emit(&mut frame);
            assert_eq!(frame.to_vec(), bytes);
        }
        let reply = Packet::parse(&captured::bytes(captured::ARP_REPLY)[14..]).unwrap();
        assert_eq!(reply.sender, Ipv4Addr::new(10, 9, 0, 2));
        assert_eq!(reply.sender_mac, MacAddr([0x86, 0x21, 0x83, 0xa5, 0x16, 0x16]));
        assert_eq!(reply.target, Ipv4Addr::new(10, 9, 0, 1));
    }

    #[test]
    fn other_hardware_protocols_and_operations_are_refused() {
        let good = captured::bytes(captured::ARP_REQUEST)[14..].to_vec();
        for at in [0, 2, 4, 5, 6] {
            let mut bad = good.clone();
            bad[at] = 9;
            assert_eq!(Packet::parse(&bad), None, "byte {at}");
        }
        assert_eq!(Packet::parse(&good[..27]), None);
    }

    proptest! {
        #[test]
        fn round_trip(
            reply in any::<bool>(), macs in any::<[[u8; 6]; 2]>(), addresses in any::<[u32; 2]>(),
        ) {
            let packet = Packet {
                operation: if reply { Operation::Reply } else { Operation::Request },
                sender_mac: MacAddr(macs[0]), sender: Ipv4Addr::from_bits(addresses[0]),
                target_mac: MacAddr(macs[1]), target: Ipv4Addr::from_bits(addresses[1]),
            };
            let mut frame = TxFrame::default();
            packet.emit(&mut frame);
            prop_assert_eq!(Packet::parse(&frame.to_vec()), Some(packet));
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Packet::parse(&bytes);
        }
    }
}
