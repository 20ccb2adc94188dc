//! A small language for the sender's tests: what is acknowledged, when, and what leaves upon it.
//!
//! ```text
//! queue 20              twenty more segments are waiting (of 1000 bytes)
//! fin                   and a FIN behind them
//! at 100ms              the clock stands at 100 ms (no deadline may have passed)
//! +5ms                  5 ms later
//! ack 3 sack 5-6,8      an ACK of segments 1 to 3, with SACK blocks of 5 to 6 and 8
//!     dsack 2           ... the first block being a D-SACK of segment 2
//!     echo 90ms         ... echoing the timestamp of what was sent at 90 ms
//!     ece               ... with ECE
//! sends 1-10            exactly these leave now, as one burst of frames
//! sends rack 4, 11-12   segment 4 again, for RACK's reason; then new ones
//! sends nothing
//! fire rto              the deadline comes: a time-out (or `poll`, `nothing`)
//! fires at 300ms        ... when the clock stands at 300 ms
//! is cwnd 7 ssthresh 7 Recovery in-flight 6 lost 1 ...
//! window 5              the peer's window ends after segment 5
//! ```

use super::super::*;
use crate::frame::RetransmitWhy;
use crate::socket::TcpInfo;

pub(super) const MSS: u32 = 1000;
/// Close to the wrap, so that every script crosses it.
const FIRST: u32 = u32::MAX - 4_500;

pub(super) struct Script {
    pub(super) sender: Sender,
    pub(super) now: Instant,
    queued: u32,
    fin: bool,
    window: Option<u32>,
    frame_segments: u32,
}

pub(super) fn config() -> SenderConfig {
    SenderConfig { mss: MSS, ..SenderConfig::default() }
}

/// Runs a script with the default configuration.
pub(super) fn run(script: &str) -> Script {
    run_with(&config(), script)
}

pub(super) fn run_with(config: &SenderConfig, script: &str) -> Script {
    let now = Instant::ZERO;
    let sender = Sender::new(now, SeqNum::new(FIRST), config);
    let mut run = Script { sender, now, queued: 0, fin: false, window: None, frame_segments: 1 };
    run.go(script);
    run
}

impl Script {
    pub(super) fn go(&mut self, script: &str) {
        for (i, line) in script.lines().enumerate() {
            let line = line.split("//").next().unwrap().trim();
            if line.is_empty() {
                continue;
            }
            let at = format!("line {}, {} ms: {line}", i + 1, self.now.as_micros() as f64 / 1000.0);
            self.step(line, &at);
            self.sender.board.check();
        }
    }

    fn step(&mut self, line: &str, at: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "queue" => self.queued += rest.parse::<u32>().unwrap(),
            "fin" => self.fin = true,
            "frames" => self.frame_segments = rest.parse().unwrap(),
            "window" => self.window = Some(rest.parse().unwrap()),
            "at" => self.advance(Instant::ZERO + time(rest), at),
            "ack" => self.ack(rest),
            "sends" => assert_eq!(self.drain(), rest, "{at}"),
            "fire" => self.fire(rest, at),
            "fires" => {
                let deadline = self.sender.deadline();
                assert_eq!(deadline, Some(Instant::ZERO + time(rest.strip_prefix("at ").unwrap())), "{at}");
            }
            "quiet" => assert_eq!(self.sender.deadline(), None, "{at}"),
            "is" => self.check(rest, at),
            _ if word.starts_with('+') => self.advance(self.now + time(&word[1..]), at),
            _ => panic!("no such command: {at}"),
        }
    }

    fn advance(&mut self, to: Instant, at: &str) {
        assert!(to >= self.now, "backwards: {at}");
        if let Some(deadline) = self.sender.deadline() {
            assert!(deadline >= to, "the deadline at {deadline} passed: {at}");
        }
        self.now = to;
    }

    fn fire(&mut self, what: &str, at: &str) {
        let deadline = self.sender.deadline().unwrap_or_else(|| panic!("no deadline: {at}"));
        self.now = deadline.max(self.now);
        let out = match self.sender.on_deadline(self.now) {
            DeadlineOut::Nothing => "nothing",
            DeadlineOut::Poll => "poll",
            DeadlineOut::TimedOut { .. } => "rto",
        };
        assert_eq!(out, what, "{at}");
    }

    fn ack(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let upto: u32 = words.next().unwrap().parse().unwrap();
        let mut blocks = Vec::new();
        let mut ack = AckIn { ack: self.left(upto + 1), ..AckIn::default() };
        while let Some(word) = words.next() {
            match word {
                "sack" => blocks.extend(words.next().unwrap().split(',').map(|block| self.block(block))),
                "dsack" => blocks.insert(0, self.block(words.next().unwrap())),
                "echo" => ack.echoed = Some(Instant::ZERO + time(words.next().unwrap())),
                "ece" => ack.ece = true,
                "update" => ack.window_changed = true,
                "data" => ack.carries_data = true,
                "fin" => ack.ack += 1,
                word => panic!("{word}"),
            }
        }
        ack.sack = &blocks;
        self.sender.on_ack(self.now, &ack);
    }

    /// Left edge of a segment, counted from 1.
    fn left(&self, segment: u32) -> SeqNum {
        SeqNum::new(FIRST) + (segment - 1) * MSS
    }

    fn block(&self, text: &str) -> (SeqNum, SeqNum) {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        (self.left(first.parse().unwrap()), self.left(last.parse::<u32>().unwrap() + 1))
    }

    fn limits(&self) -> Limits {
        Limits {
            queue_end: self.left(self.queued + 1) + u32::from(self.fin),
            fin: self.fin,
            window_edge: self.left(self.window.unwrap_or(100_000) + 1),
            max_len: self.frame_segments * MSS,
        }
    }

    /// Sends all that may be sent, and tells it: runs of one kind are joined.
    fn drain(&mut self) -> String {
        let mut runs: Vec<(&str, u32, u32, bool)> = Vec::new();
        while let Some(plan) = self.sender.next(self.now, &self.limits()) {
            assert_eq!(
                self.sender.next(self.now, &self.limits()),
                Some(plan),
                "asking twice changes nothing"
            );
            self.sender.on_sent(self.now, &plan);
            self.sender.board.check();
            let first = plan.seq.distance_from(self.left(1)) / MSS + 1;
            let last = first + plan.payload().div_ceil(MSS) - 1;
            let kind = match plan.kind {
                SendKind::New if plan.probe => "tlp-new ",
                SendKind::New => "",
                SendKind::Retransmit(RetransmitWhy::Fast) => "fast ",
                SendKind::Retransmit(RetransmitWhy::PartialAck) => "partial ",
                SendKind::Retransmit(RetransmitWhy::Rack) => "rack ",
                SendKind::Retransmit(RetransmitWhy::TailLossProbe) => "tlp ",
                SendKind::Retransmit(RetransmitWhy::Timeout { .. }) => "rto ",
                SendKind::Retransmit(RetransmitWhy::AfterTimeout) => "after ",
                SendKind::Retransmit(RetransmitWhy::PathMtu) => "mtu ",
            };
            let fin = plan.fin;
            match runs.last_mut() {
                Some(run) if run.0 == kind && run.2 + 1 == first && !run.3 => (run.2, run.3) = (last, fin),
                _ => runs.push((kind, first, last, fin)),
            }
            assert!(runs.len() < 10_000, "endless");
        }
        let texts = runs.iter().map(|(kind, first, last, fin)| {
            let fin = if *fin { "+fin" } else { "" };
            if last < first {
                format!("{kind}fin")
            } else if first == last {
                format!("{kind}{first}{fin}")
            } else {
                format!("{kind}{first}-{last}{fin}")
            }
        });
        let text = texts.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing".into() } else { text }
    }

    fn check(&self, text: &str, at: &str) {
        let mut info = TcpInfo::default();
        self.sender.info(&mut info);
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            if matches!(word, "Open" | "Disorder" | "Cwr" | "Recovery" | "Loss") {
                assert_eq!(format!("{:?}", info.congestion_state), word, "{at}");
                continue;
            }
            let is = match word {
                "cwnd" => info.snd_cwnd.to_string(),
                "ssthresh" => match info.snd_ssthresh {
                    0x7fff_ffff => "infinite".into(),
                    ssthresh => ssthresh.to_string(),
                },
                "in-flight" => self.sender.in_flight().to_string(),
                "out" => info.unacked.to_string(),
                "lost" => info.lost.to_string(),
                "sacked" => info.sacked.to_string(),
                "retrans" => info.retrans.to_string(),
                "rto" => format!("{}ms", info.rto.as_millis()),
                "rtt" => format!("{}ms", info.rtt.as_millis()),
                "backoff" => info.backoff.to_string(),
                "timeouts" => info.retransmits.to_string(),
                "reordering" => info.reordering.to_string(),
                word => panic!("{word}: {at}"),
            };
            assert_eq!(is, words.next().unwrap(), "{word}: {at}");
        }
    }
}

fn time(text: &str) -> Duration {
    let millis: f64 = text.strip_suffix("ms").unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    Duration::from_nanos((millis * 1e6) as u64)
}
