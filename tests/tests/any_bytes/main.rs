//! Any bytes, calls and times in: a whole stack never panics, never holds more than it may, and comes to rest at last.
//!
//! A victim and an honest peer hold real conversations; what the peer sends is delivered, lost, doubled, reordered,
//! and mutated with checksums that fit; and both are called as no sane program would. Whatever the victim is told,
//! every frame that it sends is well-formed. Once everybody has closed and the wire is cut, no timer and no socket is left.

mod calls;
mod mutate;

use bytes::Bytes;
use calls::Caller;
use std::time::Duration;
use tapstack::frame::{Cause, RxFrame, TxFrame};
use tapstack::stack::{Cidr, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use tapstack::tcp::TcpConfig;
use tapstack::{Config, Instant, Stack};
use tapstack_tests::dissect;
use tapstack_tests::seeds::over_seeds;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// Seeds where nobody asks for another number with `TAPSTACK_SEEDS`.
const SEEDS_DEFAULT: u64 = 60;
const STEPS: u32 = 8_000;

/// What all queues of one of the stacks may hold.
const QUEUES_BYTES_MAX: usize = 2 << 20;

/// What both stacks and the test itself may allocate, each thread of the test for itself: sixteen times their queues,
/// since a queue is charged for its payload and some more, and tables double when they grow.
const ALLOCATED_BYTES_MAX: usize = 32 << 20;

/// Frames that a machine may want to send without time passing. A window of a loopback-like path and some more.
const FRAMES_IN_AN_INSTANT_MAX: u32 = 20_000;
const TIMEOUTS_IN_AN_INSTANT_MAX: u32 = 1_000;

/// Frames that are remembered, to be sent again and to be changed.
const REMEMBERED_MAX: usize = 64;

/// Retries of anything take less than this.
const REST_TIME_MAX: Duration = Duration::from_secs(12 * 3_600);

#[test]
fn nothing_that_comes_in_harms_a_stack() {
    let counts = over_seeds(SEEDS_DEFAULT, attack, |_| ());
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let (delivered, mutated, answered) =
        (sum(|c| c.delivered), sum(|c| c.mutated), sum(|c| c.received_bytes));
    // An attack at which nothing gets through would prove little.
    assert!(delivered > 0 && mutated > 0 && answered > 0, "{counts:?}");
}

#[derive(Debug, Default)]
struct Counts {
    /// Frames of the peer that reached the victim as they were.
    delivered: u64,
    /// Frames that reached it changed or made up.
    mutated: u64,
    /// Bytes that programs on the victim have read.
    received_bytes: u64,
}

struct World {
    now: Instant,
    rng: fastrand::Rng,
    /// The victim and the peer.
    stacks: [Stack; 2],
    interfaces: [InterfaceId; 2],
    callers: [Caller; 2],
    /// Frames under way to each.
    flying: [Vec<Bytes>; 2],
    /// Frames that were sent to the victim lately.
    remembered: Vec<Bytes>,
    counts: Counts,
}

const VICTIM: usize = 0;
const PEER: usize = 1;

fn attack(seed: u64) -> Counts {
    let before = ALLOCATOR.allocated();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
        let held = ALLOCATOR.allocated().saturating_sub(before);
        assert!(held < ALLOCATED_BYTES_MAX * threads, "{held} bytes are held");
    }
    world.come_to_rest();
    world.counts.received_bytes = world.callers[VICTIM].received_bytes();
    world.counts
}

impl World {
    fn new(seed: u64) -> World {
        let now = Instant::from_millis(1_000);
        let mut stacks = [1, 2].map(|number| {
            let tcp = TcpConfig { memory_max: QUEUES_BYTES_MAX, ..TcpConfig::default() };
            Stack::new(
                now,
                Config {
                    seed: seed ^ number << 32,
                    machine: number as u16,
                    sockets_max: 200,
                    tcp,
                    ..Config::default()
                },
            )
        });
        let interfaces = [1, 2].map(|number: u8| {
            let config = InterfaceConfig {
                name: "eth0".into(),
                medium: Medium::Ethernet,
                mac: MacAddr([2, 0, 0, 0, 0, number]),
                mtu: 1500,
                addresses: vec![Cidr::new([10, 0, 0, number].into(), 24)],
                offloads: Offloads::default(),
            };
            stacks[usize::from(number) - 1].add_interface(now, config).expect("the interface is possible")
        });
        let callers = [Caller::new([10, 0, 0, 2].into()), Caller::new([10, 0, 0, 1].into())];
        World {
            now,
            rng: fastrand::Rng::with_seed(seed),
            stacks,
            interfaces,
            callers,
            flying: [Vec::new(), Vec::new()],
            remembered: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// One thing happens, and then all that follows from it at once.
    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..30 => self.deliver(VICTIM),
            30..60 => self.deliver(PEER),
            60..67 => self.inject(),
            67..80 => self.call(VICTIM),
            80..92 => self.call(PEER),
            _ => self.let_time_pass(),
        }
        self.flush();
    }

    fn call(&mut self, who: usize) {
        for _ in 0..self.rng.u32(1..4) {
            self.callers[who].call(self.now, &mut self.stacks[who], &mut self.rng);
        }
    }

    /// Some of what is under way arrives, mostly in order and once.
    fn deliver(&mut self, to: usize) {
        for _ in 0..self.rng.u32(1..64) {
            if self.flying[to].is_empty() {
                break;
            }
            let at = if self.rng.u32(..20) == 0 { self.rng.usize(..self.flying[to].len()) } else { 0 };
            let frame = self.flying[to].remove(at);
            match self.rng.u32(..40) {
                0 => continue,
                1 => self.flying[to].push(frame.clone()),
                _ => {}
            }
            self.hand_in(to, frame);
            self.counts.delivered += u64::from(to == VICTIM);
        }
        self.stacks[to].end_batch(self.now);
    }

    /// The victim gets frames that nobody has sent.
    fn inject(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let frame = mutate::frame(&mut self.rng, &self.remembered);
            self.hand_in(VICTIM, frame);
            self.counts.mutated += 1;
        }
        self.stacks[VICTIM].end_batch(self.now);
    }

    fn hand_in(&mut self, to: usize, frame: Bytes) {
        let interface = self.interfaces[to];
        self.stacks[to].handle_frame(self.now, interface, RxFrame::new(frame));
    }

    /// Mostly so little that a conversation goes on; up to the next deadline; or minutes.
    fn let_time_pass(&mut self) {
        let next = self.stacks.iter().filter_map(Stack::poll_timeout).min();
        self.now = match (self.rng.u32(..40), next) {
            (0, _) => self.now + Duration::from_micros(1 << self.rng.u32(14..28)),
            (1..8, Some(next)) => self.now.max(next),
            _ => self.now + Duration::from_micros(1 << self.rng.u32(..14)),
        };
    }

    /// Deadlines, events, and frames to be sent.
    fn flush(&mut self) {
        for who in [VICTIM, PEER] {
            let stack = &mut self.stacks[who];
            let mut timeouts = 0;
            while stack.poll_timeout().is_some_and(|due| due <= self.now) {
                stack.handle_timeout(self.now);
                timeouts += 1;
                assert!(timeouts < TIMEOUTS_IN_AN_INSTANT_MAX, "a deadline stays due at {}", self.now);
                drain(stack, self.now, self.interfaces[who], &mut self.flying[1 - who]);
            }
            while stack.poll_event().is_some() {}
            drain(stack, self.now, self.interfaces[who], &mut self.flying[1 - who]);
        }
        for frame in self.flying[VICTIM].iter().rev().take(4) {
            if self.remembered.len() >= REMEMBERED_MAX {
                let at = self.rng.usize(..REMEMBERED_MAX);
                self.remembered.swap_remove(at);
            }
            self.remembered.push(frame.clone());
        }
        // A wire that nobody reads from loses frames.
        for flying in &mut self.flying {
            flying.truncate(1_000);
        }
    }

    /// The programs end, the wire is cut: retries come to their ends.
    fn come_to_rest(&mut self) {
        let stack = &mut self.stacks[VICTIM];
        self.callers[VICTIM].close_all(self.now, stack);
        let end = self.now + REST_TIME_MAX;
        loop {
            drain(stack, self.now, self.interfaces[VICTIM], &mut Vec::new());
            while stack.poll_event().is_some() {}
            let Some(next) = stack.poll_timeout() else { break };
            assert!(
                next <= end,
                "the stack does not come to rest; it waits for {next}, and it is {}",
                self.now
            );
            self.now = self.now.max(next);
            stack.handle_timeout(self.now);
        }
        assert_eq!(stack.sockets_open(), 0, "no socket is left");
    }
}

/// Pulls all frames that a stack wants to send, and has each of them dissected.
fn drain(stack: &mut Stack, now: Instant, interface: InterfaceId, sent: &mut Vec<Bytes>) {
    let mut frame = TxFrame::new(Cause::default());
    for _ in 0..FRAMES_IN_AN_INSTANT_MAX {
        if !stack.poll_transmit(now, interface, &mut frame) {
            return;
        }
        let bytes = frame.completed();
        assert_eq!(dissect::wrong_with(&bytes), None, "{}: {bytes:02x?}", frame.cause);
        sent.push(bytes);
    }
    panic!("{FRAMES_IN_AN_INSTANT_MAX} frames at once, the last one was: {}", frame.cause);
}
