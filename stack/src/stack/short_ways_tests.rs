//! The short ways against the long one: two machines hear the same frames, and one of them takes neither the express lane
//! nor the short way of lone segments. They must say and send the same.

use super::*;
use crate::frame::{RxFrame, RxTrain, TxFrame};
use crate::socket::{Errno, OptionName, RecvFlags, SendFlags, SocketId, SocketKind, SocketOption, TcpInfo};
use crate::testing::machine_with;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use proptest::prelude::*;

const ETH: InterfaceId = InterfaceId(1);

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The client writes so many bytes.
    Write(usize),
    /// The server writes, so that something is in flight.
    Answer(usize),
    /// The server writes with a word about what follows.
    AnswerWith(usize, SendFlags),
    /// The server changes an option.
    Set(SocketOption),
    /// Each writes a few bytes to the other, several times.
    Converse(usize),
    /// The server reads at most so many bytes.
    Read(usize),
    /// Time passes.
    Wait(u64),
    /// The client's frames are carried, one by one or in trains; of each so many, one meets with something.
    Carry { every: usize, fate: Fate, in_trains: bool },
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
    /// With the short ways, and without.
    servers: [Stack; 2],
    client_socket: SocketId,
    server_socket: SocketId,
}

impl World {
    fn new() -> World {
        let now = Instant::from_millis(1_000);
        let machine = |number| machine_with(now, number, |_| {});
        let (mut client, mut servers) = (machine(1), [machine(2), machine(2)]);
        servers[1].express.closed = true;
        servers[1].tcp.short_ways.closed = true;
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
        world.carry(usize::MAX, Fate::Whole, false);
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

    fn carry(&mut self, every: usize, fate: Fate, in_trains: bool) {
        for _ in 0..100 {
            let mut frames: Vec<Vec<u8>> =
                sent(&mut self.client, self.now).into_iter().map(|(_, bytes)| bytes).collect();
            let quiet = frames.is_empty();
            for at in (0..frames.len()).rev().filter(|at| at % every == every - 1) {
                meet(&mut frames, at, fate);
            }
            for batch in frames.chunks(64) {
                if in_trains {
                    let [first, second] = &mut self.servers;
                    for train in trains(batch) {
                        first.handle_train(self.now, ETH, train);
                    }
                    for frame in batch {
                        second.handle_frame(self.now, ETH, RxFrame::new(frame.clone()));
                    }
                }
                for frame in batch.iter().filter(|_| !in_trains) {
                    self.both(|server, now| server.handle_frame(now, ETH, RxFrame::new(frame.clone())));
                }
                self.both(|server, now| server.end_batch(now));
                self.both(|server, _| core::iter::from_fn(|| server.poll_event()).collect::<Vec<_>>());
            }
            let answers = self.both(sent);
            for (_, answer) in &answers {
                self.client.handle_frame(self.now, ETH, RxFrame::new(answer.clone()));
            }
            while self.client.poll_event().is_some() {}
            self.client.end_batch(self.now);
            if quiet && answers.is_empty() {
                return;
            }
        }
    }

    fn answer(&mut self, len: usize, flags: SendFlags) {
        let socket = self.server_socket;
        let _ = self.both(|server, now| server.send(now, socket, &vec![7; len], flags));
    }

    fn read(&mut self, len: usize) {
        let socket = self.server_socket;
        let _ = self.both(|server, now| {
            let mut buffer = vec![0; len];
            let got = server.recv(now, socket, &mut buffer, RecvFlags::default());
            (got, buffer)
        });
    }

    fn step(&mut self, step: &Step) {
        let socket = self.server_socket;
        match *step {
            Step::Write(len) => {
                let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
                let _ = self.client.send(self.now, self.client_socket, &data, SendFlags::default());
            }
            Step::Answer(len) => self.answer(len, SendFlags::default()),
            Step::AnswerWith(len, flags) => self.answer(len, flags),
            Step::Set(ref option) => {
                let _ = self.both(|server, now| server.set_option(now, socket, option.clone()));
            }
            Step::Converse(len) => {
                for _ in 0..4 {
                    let _ =
                        self.client.send(self.now, self.client_socket, &vec![3; len], SendFlags::default());
                    self.carry(usize::MAX, Fate::Whole, false);
                    self.now += Duration::from_micros(70);
                    self.read(len);
                    self.answer(len, SendFlags::default());
                    self.now += Duration::from_micros(70);
                }
            }
            Step::Read(len) => self.read(len),
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                let now = self.now;
                self.client.handle_timeout(now);
                self.both(|server, now| server.handle_timeout(now));
            }
            Step::Carry { every, fate, in_trains } => self.carry(every, fate, in_trains),
        }
        self.both(|server, _| server.poll_timeout());
        self.both(|server, _| match server.option(socket, OptionName::Info) {
            // The short way takes one sample a batch; what is read in one such time follows from it.
            Ok(SocketOption::Info(info)) => Some(TcpInfo { rcv_rtt: Duration::ZERO, rcv_space: 0, ..*info }),
            _ => None,
        });
        self.both(|server, _| server.counters().clone());
        self.both(|server, _| server.tcp.usage());
    }
}

/// What a machine has to send, and why.
fn sent(stack: &mut Stack, now: Instant) -> Vec<(String, Vec<u8>)> {
    let mut frame = TxFrame::default();
    let mut next = || {
        let any = stack.poll_transmit(now, ETH, &mut frame);
        any.then(|| (format!("{} {:?} {:?}", frame.cause, frame.checksum, frame.gso), frame.to_vec()))
    };
    core::iter::from_fn(&mut next).collect()
}

/// The frames as trains: as many together as are equally long, with one that is shorter behind them.
fn trains(frames: &[Vec<u8>]) -> Vec<RxTrain> {
    const GAP: usize = 5;
    let mut trains = Vec::new();
    let mut rest = frames;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|frame| frame.len() == first.len()).count();
        let last = rest.get(alike).filter(|frame| frame.len() < first.len());
        let (train, others) = rest.split_at(alike + usize::from(last.is_some()));
        let bytes = Bytes::from(train.join(&[0xee; GAP][..]));
        let frames = Strided::new(bytes, first.len(), first.len() + GAP);
        trains.push(RxTrain { frames, ..RxTrain::default() });
        rest = others;
    }
    trains
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
    let carry = || {
        (1usize..40, fate(), any::<bool>()).prop_map(|(every, fate, in_trains)| Step::Carry {
            every,
            fate,
            in_trains,
        })
    };
    prop_oneof![
        (1usize..100_000).prop_map(Step::Write),
        (1usize..5_000).prop_map(Step::Answer),
        (1usize..120).prop_map(Step::Answer),
        (1usize..120).prop_map(Step::Write),
        (1usize..90, any::<(bool, bool, bool)>())
            .prop_map(|(len, (more, eor, oob))| { Step::AnswerWith(len, SendFlags { more, eor, oob }) }),
        any::<bool>().prop_map(|on| Step::Set(SocketOption::NoDelay(on))),
        any::<bool>().prop_map(|on| Step::Set(SocketOption::Cork(on))),
        prop_oneof![1usize..90, 1usize..2000].prop_map(Step::Converse),
        (1usize..200_000).prop_map(Step::Read),
        (0u64..400).prop_map(Step::Wait),
        carry(),
        carry(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]
    #[test]
    fn the_long_way_comes_to_the_same(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
    }
}

#[test]
fn a_conversation_takes_the_short_ways() {
    let mut world = World::new();
    for len in [1, 64, 65, 1000] {
        for _ in 0..10 {
            world.step(&Step::Converse(len));
        }
    }
    let [with, without] =
        world.servers.each_ref().map(|server| (server.express.taken, server.tcp.short_ways.lone));
    assert!(with.0 > 140 && with.1 > 140, "{with:?} frames of 160 in and out");
    assert_eq!(without, (0, 0));
}

#[test]
fn a_bulk_transfer_takes_the_lane() {
    for in_trains in [false, true] {
        let mut world = World::new();
        for _ in 0..20 {
            world.step(&Step::Write(60_000));
            world.step(&Step::Carry { every: usize::MAX, fate: Fate::Whole, in_trains });
            world.step(&Step::Read(200_000));
        }
        let [with, without] = world.servers.each_ref().map(|server| server.express.taken);
        assert!(with > 500, "{with} frames took the lane");
        assert_eq!(without, 0);
    }
}

#[test]
fn frames_of_a_train_are_numbered_as_they_would_be_alone() {
    let numbers = |in_trains| {
        let mut world = World::new();
        world.step(&Step::Write(60_000));
        world.step(&Step::Carry { every: usize::MAX, fate: Fate::Whole, in_trains });
        world.step(&Step::Answer(100));
        let mut frame = TxFrame::default();
        assert!(world.servers[0].poll_transmit(world.now, ETH, &mut frame));
        frame.id
    };
    assert_eq!(numbers(true), numbers(false));
}
