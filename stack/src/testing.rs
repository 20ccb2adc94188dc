//! Machines joined by hand, for tests: frames are carried at once, and each is dissected by etherparse on its way.

use crate::frame::{DropReason, Outcome, PacketId, RxFrame, TxFrame};
use crate::ip::segments;
use crate::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind, SocketOption};
use crate::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, Stack};
use crate::time::{Duration, Instant};
use crate::wire::{checksum, ethernet};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Machines, and the links between their interfaces.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) machines: Vec<Stack>,
    links: Vec<Vec<End>>,
    /// How many super-frames were handed out.
    pub(crate) super_frames: usize,
    /// Everything that was sent, as tcpdump would print its gist.
    pub(crate) sent: Vec<Sent>,
    /// Frames that don't arrive: asked with the frame's number.
    pub(crate) lose: Box<dyn FnMut(usize) -> bool>,
}

/// A machine's interface.
pub(crate) type End = (usize, InterfaceId);

/// A frame that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) machine: usize,
    pub(crate) interface: InterfaceId,
    pub(crate) id: PacketId,
    pub(crate) cause: String,
    pub(crate) bytes: Vec<u8>,
    /// What those who heard it made of it.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Net {
    pub(crate) fn new() -> Net {
        Net {
            now: Instant::from_millis(1_000_000),
            machines: Vec::new(),
            links: Vec::new(),
            super_frames: 0,
            sent: Vec::new(),
            lose: Box::new(|_| false),
        }
    }

    /// Two machines, 10.0.0.1 and 10.0.0.2, on an Ethernet.
    pub(crate) fn pair() -> Net {
        let mut net = Net::new();
        let (a, b) = (net.machine(), net.machine());
        let ends = [net.interface(a, &["10.0.0.1/24"]), net.interface(b, &["10.0.0.2/24"])];
        net.link(&ends);
        net
    }

    /// Adds a machine.
    pub(crate) fn machine(&mut self) -> usize {
        let number = self.machines.len();
        let config = Config { seed: number as u64, machine: number as u16 + 1, ..Config::default() };
        self.machines.push(Stack::new(self.now, config));
        number
    }

    /// Adds an Ethernet interface to a machine.
    pub(crate) fn interface(&mut self, machine: usize, addresses: &[&str]) -> End {
        self.interface_with(machine, addresses, |_| {})
    }

    /// As [`Net::interface`], with a change to its configuration.
    pub(crate) fn interface_with(
        &mut self,
        machine: usize,
        addresses: &[&str],
        change: impl FnOnce(&mut InterfaceConfig),
    ) -> End {
        let mut config = ethernet(mac(machine, self.machines[machine].interfaces().len()), addresses);
        change(&mut config);
        let id = self.machines[machine].add_interface(self.now, config).unwrap();
        (machine, id)
    }

    /// Joins interfaces: what one sends, all others hear.
    pub(crate) fn link(&mut self, ends: &[End]) {
        self.links.push(ends.to_vec());
    }

    /// Carries frames until nobody has any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            let mut quiet = true;
            for machine in 0..self.machines.len() {
                let interfaces: Vec<InterfaceId> =
                    self.machines[machine].interfaces().iter().map(|i| i.id).collect();
                for interface in interfaces {
                    let mut frame = TxFrame::default();
                    while self.machines[machine].poll_transmit(self.now, interface, &mut frame) {
                        quiet = false;
                        self.carry((machine, interface), &mut frame);
                    }
                }
            }
            for machine in &mut self.machines {
                machine.end_batch(self.now);
            }
            if quiet && self.machines.iter().all(|m| m.poll_timeout() != Some(self.now)) {
                return;
            }
        }
        panic!("the machines never fall silent");
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            self.run();
            let next = self.machines.iter().filter_map(Stack::poll_timeout).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            for machine in &mut self.machines {
                if machine.poll_timeout().is_some_and(|due| due <= self.now) {
                    machine.handle_timeout(self.now);
                    assert!(machine.poll_timeout().is_none_or(|due| due > next), "a deadline stays due");
                }
            }
        }
        self.now = end;
        self.run();
    }

    /// Hands bytes to a machine, as if somebody had sent them.
    pub(crate) fn inject(&mut self, to: End, bytes: &[u8]) -> Outcome {
        let frame = RxFrame::new(bytes.to_vec());
        self.machines[to.0].handle_frame(self.now, to.1, frame)
    }

    /// What was sent since the last call, one line each.
    pub(crate) fn take_causes(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|sent| format!("{} {}", sent.machine, sent.cause)).collect()
    }

    pub(crate) fn drops(&self, machine: usize, reason: DropReason) -> u64 {
        self.machines[machine].counters().drops(reason)
    }

    /// Carries a frame as a device with offloads would: super-frames in their segments, checksums completed.
    fn carry(&mut self, from: End, frame: &mut TxFrame) {
        let medium = self.machines[from.0].interfaces()[usize::from(from.1.0)].medium;
        let network_at = if medium == Medium::Ethernet { ethernet::HEADER_BYTES } else { 0 };
        if let Some(segments) = segments(frame, network_at) {
            let len = frame.payload_len();
            self.super_frames += 1;
            assert_eq!(segments.map(|mut segment| self.carry_one(from, &mut segment)).sum::<usize>(), len);
        } else {
            assert_eq!(frame.gso, None, "a super-frame that can't be cut");
            self.carry_one(from, frame);
        }
    }

    /// Returns how many bytes of payload the frame had.
    fn carry_one(&mut self, from: End, frame: &mut TxFrame) -> usize {
        checksum::complete(frame);
        let bytes = frame.to_vec();
        let info = &self.machines[from.0].interfaces()[usize::from(from.1.0)];
        dissect(info.medium, &bytes);
        let link_header = if info.medium == Medium::Ethernet { ethernet::HEADER_BYTES } else { 0 };
        assert!(bytes.len() - link_header <= usize::from(info.mtu), "larger than the link's MTU");
        let number = self.sent.len();
        let mut outcomes = Vec::new();
        if !(self.lose)(number) {
            let link = self.links.iter().find(|link| link.contains(&from)).cloned().unwrap_or_default();
            for (machine, interface) in link.into_iter().filter(|&end| end != from) {
                let frame = RxFrame { id: frame.id, ..RxFrame::new(bytes.clone()) };
                outcomes.push(self.machines[machine].handle_frame(self.now, interface, frame));
            }
        }
        let cause = frame.cause.to_string();
        self.sent.push(Sent { machine: from.0, interface: from.1, id: frame.id, cause, bytes, outcomes });
        frame.payload_len()
    }
}

/// Has an independent dissector look at a frame, and at every checksum in it.
pub(crate) fn dissect(medium: Medium, bytes: &[u8]) {
    let packet = match medium {
        Medium::Ethernet => SlicedPacket::from_ethernet(bytes),
        Medium::Ip => SlicedPacket::from_ip(bytes),
    };
    let packet = packet.unwrap_or_else(|error| panic!("etherparse: {error} in {bytes:02x?}"));
    let Some(NetSlice::Ipv4(ip)) = &packet.net else {
        assert!(matches!(packet.net, Some(NetSlice::Arp(_))), "neither IPv4 nor ARP: {bytes:02x?}");
        return;
    };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum(), "IPv4 checksum in {bytes:02x?}");
    let (source, destination) = (header.source, header.destination);
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!(tcp.calc_checksum_ipv4(source, destination), Ok(tcp.checksum()), "TCP checksum");
        }
        Some(TransportSlice::Udp(udp)) => {
            let calculated = udp.to_header().calc_checksum_ipv4_raw(source, destination, udp.payload());
            assert_eq!(calculated, Ok(udp.checksum()), "UDP checksum");
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let calculated = icmp.icmp_type().calc_checksum(icmp.payload());
            assert_eq!(calculated, icmp.checksum(), "ICMP checksum in {bytes:02x?}");
        }
        _ => {}
    }
}

/// Sockets, as a program on a machine of the net would use them.
impl Net {
    pub(crate) fn socket(&mut self, machine: usize, kind: SocketKind) -> SocketId {
        self.machines[machine].socket(kind).unwrap()
    }

    /// A UDP socket that is bound to `address`.
    pub(crate) fn udp(&mut self, machine: usize, address: &str) -> SocketId {
        let id = self.socket(machine, SocketKind::Datagram);
        self.machines[machine].bind(id, address.parse().unwrap()).unwrap();
        id
    }

    pub(crate) fn connect(&mut self, machine: usize, id: SocketId, peer: &str) -> Result<(), Errno> {
        self.machines[machine].connect(self.now, id, peer.parse().unwrap())
    }

    pub(crate) fn send(&mut self, machine: usize, id: SocketId, data: &[u8]) -> Result<usize, Errno> {
        self.machines[machine].send(self.now, id, data, SendFlags::default())
    }

    pub(crate) fn send_to(
        &mut self,
        machine: usize,
        id: SocketId,
        data: &[u8],
        peer: &str,
    ) -> Result<usize, Errno> {
        self.machines[machine].send_to(self.now, id, data, peer.parse().unwrap())
    }

    /// Takes a datagram, with its sender's address as text.
    pub(crate) fn recv(&mut self, machine: usize, id: SocketId) -> Result<(Vec<u8>, String), Errno> {
        let mut buffer = vec![0; 65_536];
        let (len, from) =
            self.machines[machine].recv_from(self.now, id, &mut buffer, RecvFlags::default())?;
        buffer.truncate(len);
        Ok((buffer, from.to_string()))
    }

    pub(crate) fn set(&mut self, machine: usize, id: SocketId, option: SocketOption) {
        self.machines[machine].set_option(self.now, id, option).unwrap();
    }

    /// The sockets that have events.
    pub(crate) fn events(&mut self, machine: usize) -> Vec<SocketId> {
        core::iter::from_fn(|| self.machines[machine].poll_event().map(|event| event.socket)).collect()
    }
}

/// `10.0.0.1/24`.
pub(crate) fn cidr(text: &str) -> Cidr {
    let (address, prefix_len) = text.split_once('/').unwrap();
    Cidr::new(address.parse().unwrap(), prefix_len.parse().unwrap())
}

/// A machine by itself, at 10.0.0.`number`, with a change to its interface's configuration.
pub(crate) fn machine_with(now: Instant, number: u8, change: impl FnOnce(&mut InterfaceConfig)) -> Stack {
    let config = Config { seed: number.into(), machine: number.into(), ..Config::default() };
    let mut stack = Stack::new(now, config);
    let mut config = ethernet(mac(number.into(), 0), &[&format!("10.0.0.{number}/24")]);
    change(&mut config);
    stack.add_interface(now, config).unwrap();
    stack
}

fn ethernet(mac: MacAddr, addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        name: "eth".into(),
        medium: Medium::Ethernet,
        mac,
        mtu: 1500,
        addresses: addresses.iter().map(|text| cidr(text)).collect(),
        offloads: Offloads::default(),
    }
}

/// The link address that [`Net::interface`] gives a machine's interface.
pub(crate) fn mac(machine: usize, interface: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, machine as u8, interface as u8])
}
