//! The express lane against the long way: two machines hear the same frames, one of them without the lane, and must
//! say and send the same.

use super::*;
use crate::frame::TxFrame;
use crate::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind, SocketOption};
use crate::stack::{Config, InterfaceConfig, Medium, Offloads};
use crate::testing::{cidr, mac};
use crate::time::{Duration, Instant};
use proptest::prelude::*;

const ETH: InterfaceId = InterfaceId(1);

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The client writes so many bytes.
    Write(usize),
    /// The server writes, so that something is in flight.
    Answer(usize),
    /// The server reads at most so many bytes.
    Read(usize),
    /// Time passes.
    Wait(u64),
    /// The client's frames are carried; of each so many, one meets with something.
    Carry { every: usize, fate: Fate },
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    Lost,
    Twice,
    Late,
    Damaged(usize),
    /// A congestion mark.
    Marked,
}

struct World {
    now: Instant,
    client: Stack,
    /// With the lane, and without.
    servers: [Stack; 2],
    client_socket: SocketId,
    server_socket: SocketId,
}

fn machine(number: u8, now: Instant) -> Stack {
    let config = Config { seed: number.into(), machine: number.into(), ..Config::default() };
    let mut stack = Stack::new(now, config);
    let interface = InterfaceConfig {
        name: "eth".into(),
        medium: Medium::Ethernet,
        mac: mac(number.into(), 0),
        mtu: 1500,
        addresses: vec![cidr(&format!("10.0.0.{number}/24"))],
        offloads: Offloads::default(),
    };
    stack.add_interface(now, interface).unwrap();
    stack
}

impl World {
    fn new() -> World {
        let now = Instant::from_millis(1_000);
        let (mut client, mut servers) = (machine(1, now), [machine(2, now), machine(2, now)]);
        servers[1].express.closed = true;
        let mut listener = None;
        for server in &mut servers {
            let id = server.socket(SocketKind::Stream).unwrap();
            // A buffer of a fixed size: how often a round trip is measured tunes the others.
            server.set_option(now, id, SocketOption::ReceiveBuffer(200_000)).unwrap();
            server.bind(id, "10.0.0.2:80".parse().unwrap()).unwrap();
            server.listen(now, id, 8).unwrap();
            listener = Some(id);
        }
        let client_socket = client.socket(SocketKind::Stream).unwrap();
        let connecting = client.connect(now, client_socket, "10.0.0.2:80".parse().unwrap());
        assert_eq!(connecting, Err(Errno::EINPROGRESS));
        let mut world = World { now, client, servers, client_socket, server_socket: listener.unwrap() };
        world.carry(usize::MAX, Fate::Whole);
        let accepted = world.both(|server, now| server.accept(now, listener.unwrap()));
        world.server_socket = accepted.unwrap().0;
        world
    }

    /// Does the same on both servers, and finds that the same comes of it.
    fn both<T: PartialEq + std::fmt::Debug>(&mut self, mut what: impl FnMut(&mut Stack, Instant) -> T) -> T {
        let [first, second] = self.servers.each_mut().map(|server| what(server, self.now));
        assert_eq!(first, second);
        first
    }

    fn carry(&mut self, every: usize, fate: Fate) {
        for _ in 0..100 {
            let mut frames = sent(&mut self.client, self.now);
            let quiet = frames.is_empty();
            for at in (0..frames.len()).rev().filter(|at| at % every == every - 1) {
                meet(&mut frames, at, fate);
            }
            for batch in frames.chunks(64) {
                for frame in batch {
                    self.both(|server, now| server.handle_frame(now, ETH, RxFrame::new(frame.clone())));
                }
                self.both(|server, now| server.end_batch(now));
                self.both(|server, _| core::iter::from_fn(|| server.poll_event()).collect::<Vec<_>>());
            }
            let answers = self.both(sent);
            for answer in &answers {
                self.client.handle_frame(self.now, ETH, RxFrame::new(answer.clone()));
            }
            self.client.end_batch(self.now);
            if quiet && answers.is_empty() {
                return;
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let socket = self.server_socket;
        match *step {
            Step::Write(len) => {
                let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
                let _ = self.client.send(self.now, self.client_socket, &data, SendFlags::default());
            }
            Step::Answer(len) => {
                let _ =
                    self.both(|server, now| server.send(now, socket, &vec![7; len], SendFlags::default()));
            }
            Step::Read(len) => {
                let _ = self.both(|server, now| {
                    let mut buffer = vec![0; len];
                    let got = server.recv(now, socket, &mut buffer, RecvFlags::default());
                    (got, buffer)
                });
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                let now = self.now;
                self.client.handle_timeout(now);
                self.both(|server, now| server.handle_timeout(now));
            }
            Step::Carry { every, fate } => self.carry(every, fate),
        }
        self.both(|server, _| server.poll_timeout());
        self.both(|server, _| server.counters().clone());
        self.both(|server, _| server.tcp.usage());
    }
}

/// What a machine has to send.
fn sent(stack: &mut Stack, now: Instant) -> Vec<Vec<u8>> {
    let mut frame = TxFrame::default();
    core::iter::from_fn(|| stack.poll_transmit(now, ETH, &mut frame).then(|| frame.to_vec())).collect()
}

fn meet(frames: &mut Vec<Vec<u8>>, at: usize, fate: Fate) {
    match fate {
        Fate::Whole => {}
        Fate::Lost => drop(frames.remove(at)),
        Fate::Twice => frames.insert(at, frames[at].clone()),
        Fate::Late => {
            let frame = frames.remove(at);
            frames.push(frame);
        }
        Fate::Damaged(bit) => {
            let bit = bit % (frames[at].len() * 8);
            frames[at][bit / 8] ^= 1 << (bit % 8);
        }
        Fate::Marked => {
            frames[at][15] |= 3;
            let sum = Sum::default().bytes(&frames[at][14..24]).bytes(&frames[at][26..34]).checksum();
            frames[at][24..26].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Whole),
        Just(Fate::Lost),
        Just(Fate::Twice),
        Just(Fate::Late),
        (0usize..600).prop_map(Fate::Damaged),
        any::<usize>().prop_map(Fate::Damaged),
        Just(Fate::Marked),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let carry = || (1usize..40, fate()).prop_map(|(every, fate)| Step::Carry { every, fate });
    prop_oneof![
        (1usize..100_000).prop_map(Step::Write),
        (1usize..5_000).prop_map(Step::Answer),
        (1usize..200_000).prop_map(Step::Read),
        (0u64..400).prop_map(Step::Wait),
        carry(),
        carry(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000.max(ProptestConfig::default().cases), ..ProptestConfig::default() })]
    #[test]
    fn the_long_way_comes_to_the_same(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
    }
}

#[test]
fn a_bulk_transfer_takes_the_lane() {
    let mut world = World::new();
    for _ in 0..20 {
        world.step(&Step::Write(60_000));
        world.step(&Step::Carry { every: usize::MAX, fate: Fate::Whole });
        world.step(&Step::Read(200_000));
    }
    let [with, without] = world.servers.each_ref().map(|server| server.express.taken);
    assert!(with > 500, "{with} frames took the lane");
    assert_eq!(without, 0);
}
