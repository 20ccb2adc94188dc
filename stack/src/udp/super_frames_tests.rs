//! Datagrams that share super-frames arrive as those that leave one by one.

use crate::capture::Observer;
use crate::device::{Device, MemoryOptions, memory};
use crate::frame::{GsoKind, Outcome, RxFrame, TxFrame};
use crate::socket::{Errno, RecvFlags, SocketId, SocketKind, SocketOption};
use crate::stack::{InterfaceId, Offloads, Stack};
use crate::testing::machine_with;
use crate::time::Instant;
use core::net::{Ipv4Addr, SocketAddr};
use proptest::prelude::*;

/// What a program does with its socket.
#[derive(Clone, Debug)]
enum Step {
    /// Sends datagrams of one length to one of the receiver's ports.
    Send {
        port: usize,
        len: usize,
        count: usize,
    },
    Ttl(u8),
    Tos(u8),
    /// Everything that waits is carried over, and read.
    Carry,
}

/// A machine that sends from one socket, one that receives on several, and the link between them.
struct Link {
    now: Instant,
    sender: (Stack, Device, SocketId),
    receiver: (Stack, Device, Vec<SocketId>),
    /// Frames that the link carried to the receiver.
    frames: Vec<RxFrame>,
    /// Datagrams as they were read, by port.
    read: Vec<Vec<Vec<u8>>>,
    super_frames: usize,
    /// Numbers the datagrams.
    sent: usize,
}

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const INTERFACE: InterfaceId = InterfaceId(1);
const PORTS: usize = 3;

/// Who cuts super-frames: nobody makes any; the link; nobody, they arrive whole.
fn ways() -> [MemoryOptions; 3] {
    let offloads = Offloads { tx_checksum: true, tso_max: 0, uso_max: 65_000, software: false };
    [
        MemoryOptions::default(),
        MemoryOptions::segmenting(),
        MemoryOptions { offloads, ..MemoryOptions::default() },
    ]
}

impl Link {
    fn new(options: MemoryOptions) -> Link {
        let now = Instant::from_millis(1_000);
        let (a, b) = memory::pair(["a", "b"], MemoryOptions { queue_frames_max: 10_000, ..options });
        let (mut sender, mut receiver) = (machine(now, 1, &a), machine(now, 2, &b));
        let bind = |stack: &mut Stack, address: Ipv4Addr, port: u16| {
            let id = stack.socket(SocketKind::Datagram).unwrap();
            stack.bind(id, (address, port).into()).unwrap();
            id
        };
        let ports = (0..PORTS).map(|port| bind(&mut receiver, RECEIVER, 7 + port as u16)).collect();
        let from = bind(&mut sender, SENDER, 1000);
        Link {
            now,
            sender: (sender, a, from),
            receiver: (receiver, b, ports),
            frames: Vec::new(),
            read: vec![Vec::new(); PORTS],
            super_frames: 0,
            sent: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send { port, len, count } => (0..count).for_each(|_| self.send(port, len)),
            Step::Ttl(ttl) => {
                self.sender.0.set_option(self.now, self.sender.2, SocketOption::Ttl(ttl)).unwrap()
            }
            Step::Tos(tos) => {
                self.sender.0.set_option(self.now, self.sender.2, SocketOption::Tos(tos)).unwrap()
            }
            Step::Carry => self.carry(),
        }
    }

    fn send(&mut self, port: usize, len: usize) {
        let data: Vec<u8> = (0..len).map(|at| (self.sent + at) as u8).collect();
        self.sent += 1;
        let to = SocketAddr::from((RECEIVER, 7 + port as u16));
        let (stack, _, id) = &mut self.sender;
        let mut sent = stack.send_to(self.now, *id, &data, to);
        if sent == Err(Errno::EAGAIN) {
            self.carry();
            let (stack, _, id) = &mut self.sender;
            assert!(stack.readiness(*id).unwrap().writable, "what was sent has made room");
            sent = stack.send_to(self.now, *id, &data, to);
        }
        assert_eq!(sent, Ok(len));
    }

    fn carry(&mut self) {
        loop {
            let there = self.carry_there();
            if !there && !self.carry_back() {
                break;
            }
        }
        let (stack, _, ports) = &mut self.receiver;
        let mut buffer = vec![0; 1 << 16];
        for (port, id) in ports.iter().enumerate() {
            while let Ok((len, from)) = stack.recv_from(self.now, *id, &mut buffer, RecvFlags::default()) {
                assert_eq!(from, (SENDER, 1000).into());
                self.read[port].push(buffer[..len].to_vec());
            }
        }
    }

    fn carry_there(&mut self) -> bool {
        let mut frame = TxFrame::default();
        let mut any = false;
        while self.sender.0.poll_transmit(self.now, INTERFACE, &mut frame) {
            any = true;
            self.super_frames += usize::from(frame.gso.is_some_and(|gso| gso.kind == GsoKind::Udp4));
            assert!(frame.segments() <= 64 && frame.payload.len() <= 64);
            self.sender.1.tx.transmit(self.now, &frame).unwrap();
        }
        while let Some(frame) = self.receiver.1.rx.receive(self.now).unwrap() {
            self.frames.push(frame.clone());
            self.receiver.0.handle_frame(self.now, INTERFACE, frame);
        }
        any
    }

    fn carry_back(&mut self) -> bool {
        let mut frame = TxFrame::default();
        let mut any = false;
        while self.receiver.0.poll_transmit(self.now, INTERFACE, &mut frame) {
            any = true;
            self.receiver.1.tx.transmit(self.now, &frame).unwrap();
        }
        while let Some(frame) = self.sender.1.rx.receive(self.now).unwrap() {
            self.sender.0.handle_frame(self.now, INTERFACE, frame);
        }
        any
    }

    fn play(options: MemoryOptions, steps: &[Step]) -> Link {
        let mut link = Link::new(options);
        link.send(0, 1);
        link.carry();
        steps.iter().for_each(|step| link.step(step));
        link.carry();
        assert_eq!(
            link.sender.0.option(link.sender.2, crate::socket::OptionName::OutQueue),
            Ok(SocketOption::OutQueue(0))
        );
        link
    }

    fn bytes(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|frame| &frame.bytes[..]).collect()
    }

    fn counted(&self) -> (u64, u64) {
        let counters = self.sender.0.counters();
        (counters.frames_out, counters.bytes_out)
    }
}

fn machine(now: Instant, number: u8, device: &Device) -> Stack {
    machine_with(now, number, |interface| {
        (interface.medium, interface.mtu, interface.offloads) = (device.medium, device.mtu, device.offloads);
    })
}

fn steps(len_max: usize) -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![Just(0), Just(1), Just(100), Just(1_400), Just(1_472), 0..=len_max];
    let send = (0..PORTS, len, 1usize..70).prop_map(|(port, len, count)| Step::Send { port, len, count });
    let step = prop_oneof![
        8 => send,
        1 => (1u8..).prop_map(Step::Ttl),
        1 => any::<u8>().prop_map(Step::Tos),
        1 => Just(Step::Carry),
    ];
    proptest::collection::vec(step, 1..20)
}

proptest! {
    #[test]
    fn the_wire_carries_the_same_bytes_whoever_cuts(steps in steps(1_472)) {
        let [single, cut, whole] = ways().map(|way| Link::play(way, &steps));
        prop_assert_eq!(single.super_frames, 0);
        prop_assert_eq!(single.bytes(), cut.bytes());
        prop_assert_eq!(single.counted(), cut.counted());
        prop_assert_eq!(&single.read, &cut.read);
        prop_assert_eq!(&single.read, &whole.read);
        prop_assert_eq!(single.read.iter().map(Vec::len).sum::<usize>(), single.sent);
        prop_assert!(whole.frames.len() <= single.frames.len());
    }

    /// Fragments take another way, on which later datagrams overtake them; nothing else is in another order.
    #[test]
    fn fragments_among_them_change_nothing(steps in steps(6_000)) {
        let [single, cut, whole] = ways().map(|way| Link::play(way, &steps));
        let parted = |link: &Link| {
            let part = |read: &Vec<Vec<u8>>| -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
                read.iter().cloned().partition(|data| data.len() <= 1_472)
            };
            link.read.iter().map(part).collect::<Vec<_>>()
        };
        prop_assert_eq!(single.read.iter().map(Vec::len).sum::<usize>(), single.sent);
        prop_assert_eq!(parted(&single), parted(&cut));
        prop_assert_eq!(parted(&single), parted(&whole));
    }
}

#[test]
fn one_frame_takes_what_fits_and_ends_with_a_shorter_one() {
    let frames = |steps: &[Step]| -> Vec<usize> {
        let link = Link::play(ways()[2], steps);
        // Behind ARP and the datagram that asks for it.
        let udp = link.frames.iter().filter(|frame| frame.bytes[12..14] == [8, 0]).skip(1);
        udp.map(|frame| frame.bytes.len() - 42).collect()
    };
    let send = |len, count| Step::Send { port: 0, len, count };
    // Of 65,000 bytes, and of 64 datagrams.
    assert_eq!(frames(&[send(1_400, 50)]), [46 * 1_400, 4 * 1_400]);
    assert_eq!(frames(&[send(10, 100)]), [640, 360]);
    assert_eq!(frames(&[send(100, 2), send(60, 2)]), [260, 60]);
    assert_eq!(frames(&[send(60, 1), send(100, 2)]), [60, 200]);
    assert_eq!(frames(&[send(0, 2), send(5, 1), send(0, 1), send(5, 1)]), [0, 0, 5, 0, 5]);
    let elsewhere = Step::Send { port: 1, len: 100, count: 2 };
    assert_eq!(frames(&[send(100, 2), elsewhere, send(100, 1)]), [200, 200, 100]);
    assert_eq!(
        frames(&[send(100, 2), Step::Ttl(9), send(100, 2), Step::Tos(4), send(100, 2)]),
        [200, 200, 200]
    );
}

struct Sees(std::sync::Arc<std::sync::Mutex<Vec<usize>>>);

impl Observer for Sees {
    fn sent(&mut self, _now: Instant, _interface: InterfaceId, frame: &TxFrame) {
        self.0.lock().unwrap().push(frame.segments());
    }

    fn received(&mut self, _now: Instant, _interface: InterfaceId, _frame: &RxFrame, _outcome: &Outcome) {}
}

#[test]
fn who_watches_sees_each_datagram() {
    for way in ways() {
        let mut link = Link::new(way);
        link.send(0, 1);
        link.carry();
        let seen = std::sync::Arc::default();
        link.sender.0.set_observer(Some(Box::new(Sees(std::sync::Arc::clone(&seen)))));
        link.step(&Step::Send { port: 0, len: 1_000, count: 20 });
        link.carry();
        assert_eq!(*seen.lock().unwrap(), [1; 20]);
        assert_eq!((link.super_frames, link.read[0].len()), (0, 21));
        link.sender.0.set_observer(None);
        link.step(&Step::Send { port: 0, len: 1_000, count: 20 });
        link.carry();
        assert_eq!(link.read[0].len(), 41);
        assert_eq!(link.super_frames, usize::from(way.offloads.uso_max > 0));
    }
}
