//! Properties: whatever a peer sends, the books are right; and with a fair peer everything arrives.

use super::super::*;
use super::link::{Path, Receiver, World};
use super::script::MSS;
use crate::frame::RetransmitWhy;
use proptest::prelude::*;

/// Frames of up to so many segments are path MTU probes: one segment each.
const PROBED: u32 = 7;
const ISS: u32 = u32::MAX - 20_000;

#[derive(Clone, Debug)]
enum Action {
    /// So many frames may leave, of at most so many segments; the caller cuts them to this many bytes.
    Send {
        frames: u8,
        segments: u8,
        cut: Option<u16>,
    },
    /// `advance` of what is in flight is acknowledged (in thousandths), or a bit less.
    Ack {
        advance: u16,
        shave: u16,
        blocks: Vec<(u16, u16)>,
        echo_ago_ms: Option<u16>,
        ece: bool,
        update: bool,
    },
    /// Any numbers.
    Wild {
        ack: u32,
        blocks: Vec<(u32, u32)>,
        near: bool,
    },
    Wait {
        micros: u32,
    },
    Deadline,
    Mss(u16),
    PathMtu(u16),
    Window(u16),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let cut = prop_oneof![4 => Just(None), 1 => (1u16..3000).prop_map(Some)];
    let send =
        (1u8..12, 1u8..8, cut).prop_map(|(frames, segments, cut)| Action::Send { frames, segments, cut });
    let blocks = prop::collection::vec((0u16..1000, 1u16..300), 0..4);
    let shave = prop_oneof![3 => Just(0u16), 1 => 0u16..2000];
    let ack = (
        prop_oneof![1 => Just(0u16), 2 => 0u16..=1000],
        shave,
        blocks,
        any::<Option<u16>>(),
        0u8..16,
        any::<bool>(),
    )
        .prop_map(|(advance, shave, blocks, echo_ago_ms, ece, update)| Action::Ack {
            advance,
            shave,
            blocks,
            echo_ago_ms,
            ece: ece == 0,
            update,
        });
    let wild = (any::<u32>(), prop::collection::vec((any::<u32>(), any::<u32>()), 0..4), any::<bool>())
        .prop_map(|(ack, blocks, near)| Action::Wild { ack, blocks, near });
    let action = prop_oneof![
        6 => send,
        8 => ack,
        1 => wild,
        3 => (1u32..200_000).prop_map(|micros| Action::Wait { micros }),
        3 => Just(Action::Deadline),
        1 => (200u16..3000).prop_map(Action::Mss),
        1 => (200u16..1500).prop_map(Action::PathMtu),
        1 => (0u16..1200).prop_map(Action::Window),
    ];
    prop::collection::vec(action, 1..120)
}

fn configs() -> impl Strategy<Value = SenderConfig> {
    (any::<[bool; 7]>(), 1u32..20).prop_map(|([sack, rack, tlp, frto, reno, pacing, ecn], window)| {
        SenderConfig {
            mss: MSS,
            sack,
            rack,
            tlp,
            frto,
            ecn,
            pacing,
            congestion: if reno { Algorithm::Reno } else { Algorithm::Cubic },
            initial_window_segments: window,
            ..SenderConfig::default()
        }
    })
}

struct Rig {
    sender: Sender,
    now: Instant,
    /// What has left: ranges of offsets, for the fair ending.
    left: Vec<(u64, u64)>,
    queue_end: u64,
    window: u64,
}

impl Rig {
    fn new(config: &SenderConfig) -> Rig {
        let now = Instant::from_millis(1000);
        let sender = Sender::new(now, SeqNum::new(ISS), config);
        Rig { sender, now, left: Vec::new(), queue_end: 150_000, window: 1 << 20 }
    }

    fn limits(&self, segments: u32) -> Limits {
        let seq = |offset: u64| SeqNum::new(ISS) + offset as u32;
        Limits {
            queue_end: seq(self.queue_end),
            fin: true,
            window_edge: seq(self.sender.board.una() + self.window),
            max_len: segments * self.sender.mss(),
        }
    }

    fn send(&mut self, segments: u32, cut: Option<u16>) -> bool {
        let limits = self.limits(segments);
        let Some(mut plan) = self.sender.next(self.now, &limits) else { return false };
        assert_eq!(self.sender.next(self.now, &limits), Some(plan), "asking twice changes nothing");
        let (una, nxt) = (self.sender.una(), self.sender.nxt());
        match plan.kind {
            SendKind::New => {
                assert_eq!(plan.seq, nxt);
                assert!(plan.end().at_or_before(limits.window_edge), "beyond the peer's window");
                if !plan.probe {
                    let segments = plan.payload().div_ceil(self.sender.mss()).max(1);
                    assert!(self.sender.in_flight() + segments <= self.sender.cwnd(), "beyond the window");
                }
            }
            SendKind::Retransmit(why) => {
                assert!(plan.seq.at_or_after(una) && plan.end().at_or_before(nxt), "what was never sent");
                if why != RetransmitWhy::TailLossProbe {
                    assert!(self.sender.in_flight() < self.sender.cwnd(), "beyond the window");
                }
            }
        }
        assert!(plan.len > 0 && plan.payload() <= limits.max_len.max(self.sender.mss()), "{plan:?}");
        assert_eq!(plan.fin, plan.end() == limits.queue_end, "the FIN is at the end");
        if let Some(cut) = cut.filter(|cut| u32::from(*cut) < plan.len) {
            plan.len = u32::from(cut);
            plan.fin = false;
        }
        let start = self.sender.board.una() + u64::from(plan.seq.distance_from(una));
        self.left.push((start, start + u64::from(plan.len)));
        self.sender.on_sent(self.now, &plan);
        if plan.kind == SendKind::New && segments == PROBED {
            self.sender.on_mtu_probe_sent(plan.seq, plan.end());
        }
        self.check();
        true
    }

    fn ack(&mut self, ack: &AckIn<'_>) {
        let (una, nxt) = (self.sender.board.una(), self.sender.board.nxt());
        let out = self.sender.on_ack(self.now, ack);
        assert_eq!(u64::from(out.newly_acked), self.sender.board.una() - una);
        assert_eq!(self.sender.board.nxt(), nxt);
        self.check();
    }

    fn deadline(&mut self) {
        let Some(at) = self.sender.deadline() else { return };
        self.now = self.now.max(at);
        self.sender.on_deadline(self.now);
        self.check();
        assert!(self.sender.deadline().is_none_or(|next| next > self.now), "a deadline that is not over");
    }

    fn check(&self) {
        let sender = &self.sender;
        sender.board.check();
        let counts = sender.board.counts();
        assert!(sender.board.una() <= sender.board.nxt());
        assert!(
            counts.out + counts.retransmitting >= sender.left_network(),
            "pipe: {counts:?} {}",
            sender.reno_sacked
        );
        assert!(sender.cwnd() >= 1 && sender.window.ssthresh >= 2);
        assert_eq!(sender.timer.is_some(), !sender.is_idle(), "a timer runs while data is in flight");
    }

    fn act(&mut self, action: &Action) {
        let (una, out) = (self.sender.board.una(), u64::from(self.sender.outstanding()));
        let seq = |offset: u64| SeqNum::new(ISS) + offset as u32;
        match action {
            Action::Send { frames, segments, cut } => {
                for _ in 0..*frames {
                    if !self.send(u32::from(*segments), *cut) {
                        break;
                    }
                }
            }
            Action::Ack { advance, shave, blocks, echo_ago_ms, ece, update } => {
                let part = |thousandths: u16| una + out * u64::from(thousandths) / 1000;
                let ack = part(*advance).saturating_sub(u64::from(*shave)).max(una);
                let sack: Vec<_> = blocks
                    .iter()
                    .map(|&(at, len)| (seq(part(at)), seq(part(at) + out * u64::from(len) / 1000)))
                    .collect();
                let echoed = echo_ago_ms.map(|ago| {
                    Instant::from_millis((self.now - Duration::from_millis(u64::from(ago))).as_millis())
                });
                self.ack(&AckIn {
                    ack: seq(ack),
                    sack: &sack,
                    echoed,
                    ece: *ece,
                    window_changed: *update,
                    carries_data: false,
                });
            }
            Action::Wild { ack, blocks, near } => {
                let base = if *near { self.sender.una().get() } else { 0 };
                let shift = if *near { 12 } else { 0 };
                let any = |number: u32| SeqNum::new(base.wrapping_add(number >> shift));
                let sack: Vec<_> = blocks.iter().map(|&(l, r)| (any(l), any(r))).collect();
                self.ack(&AckIn { ack: any(*ack), sack: &sack, ..AckIn::default() });
            }
            Action::Wait { micros } => {
                let to = self.now + Duration::from_micros(u64::from(*micros));
                if self.sender.deadline().is_none_or(|at| at > to) {
                    self.now = to;
                } else {
                    self.deadline();
                }
            }
            Action::Deadline => self.deadline(),
            Action::Mss(mss) => self.sender.set_mss(u32::from(*mss)),
            Action::PathMtu(mss) => self.sender.on_path_mtu(self.now, u32::from(*mss)),
            Action::Window(kilobytes) => self.window = u64::from(*kilobytes) * 1000,
        }
        self.check();
    }

    /// From now on the peer is fair, and the path loses nothing: everything has to arrive.
    fn finish(&mut self) {
        self.window = 1 << 20;
        // What the hostile peer acknowledged is gone for good; what it SACKed, it may not have.
        let mut receiver = Receiver::default();
        receiver.next = self.sender.board.una();
        let mut steps = 0;
        while self.sender.board.una() < self.queue_end {
            steps += 1;
            assert!(steps < 20_000, "no end: {:?}", self.sender);
            self.left.clear();
            let mut sent = false;
            while self.send(4, None) {
                sent = true;
            }
            if !sent {
                self.deadline();
                continue;
            }
            self.now += Duration::from_millis(20);
            while self.sender.deadline().is_some_and(|at| at <= self.now) {
                self.sender.on_deadline(self.now);
            }
            for (start, end) in core::mem::take(&mut self.left) {
                receiver.take(start, end);
                let seq = |offset: u64| SeqNum::new(ISS) + offset as u32;
                let sack: Vec<_> = receiver.blocks().iter().map(|&(l, r)| (seq(l), seq(r))).collect();
                self.ack(&AckIn { ack: seq(receiver.next), sack: &sack, ..AckIn::default() });
            }
        }
        assert!(self.sender.is_idle());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_are_right_and_everything_arrives(config in configs(), actions in actions()) {
        let mut rig = Rig::new(&config);
        for action in &actions {
            rig.act(action);
        }
        rig.finish();
    }

    #[test]
    fn everything_arrives_over_a_bad_path(
        seed: u64,
        config in configs(),
        loss in 0u32..200_000,
        reorder in 0u32..300_000,
        late_ms in 0u64..60,
        ack_loss in 0u32..300_000,
        queue in 3_000u64..100_000,
        frames in 1u32..10,
    ) {
        let path = Path {
            loss_ppm: loss,
            reorder_ppm: reorder,
            late: Duration::from_millis(late_ms),
            ack_loss_ppm: ack_loss,
            queue,
            mark: config.ecn,
            ..Path::new(10, 20)
        };
        let mut world = World::new(path, &config, 300_000, seed).frames_of(frames);
        world.run(Duration::from_secs(24 * 3600));
        prop_assert!(world.is_done(), "{:?}", world.sender);
        prop_assert!(world.receiver.next == 300_000);
    }
}
