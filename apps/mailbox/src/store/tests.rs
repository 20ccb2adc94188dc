//! Tests of the boxes against a simple model, by random steps.

use super::*;
use crate::message::WhenFull;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tapstack::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Send { priority: u8, len: usize, ttl_ms: Option<u64> },
    Take { reader: u64 },
    Settle { reader: u64, which: usize, verdict: u8 },
    Leave { reader: u64 },
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3u8, 0..50usize, proptest::option::of(1..500u64))
            .prop_map(|(priority, len, ttl_ms)| Step::Send { priority, len, ttl_ms }),
        3 => (1..4u64).prop_map(|reader| Step::Take { reader }),
        3 => (1..4u64, 0..5usize, 0..3u8).prop_map(|(reader, which, verdict)| Step::Settle { reader, which, verdict }),
        1 => (1..4u64).prop_map(|reader| Step::Leave { reader }),
        1 => (1..400u64).prop_map(|ms| Step::Wait { ms }),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    /// Every message is in exactly one place at any time, within the limits, and none is handed to two readers at once
    /// but by a time-out.
    #[test]
    fn nothing_is_lost_or_there_twice(steps in steps(), full in 0..3usize, semantics in 0..3usize) {
        let semantics = Semantics::ALL[semantics];
        let when_full = [WhenFull::Block, WhenFull::Reject, WhenFull::DropOldest][full];
        let options = BoxOptions { messages_max: 10, bytes_max: 200, when_full, redeliver_after: Duration::from_millis(300), ..BoxOptions::default() };
        let mut boxes = Boxes::new(1);
        let mut now = Instant::from_millis(1);
        let number = boxes.create(now, &BoxName::new("box").unwrap(), &options).unwrap();
        let (mut accepted, mut settled) = (0u64, 0u64);
        let mut held: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut seq = 0;
        for step in steps {
            match step {
                Step::Send { priority, len, ttl_ms } => {
                    let message = Message {
                        priority,
                        time_to_live: ttl_ms.map(Duration::from_millis),
                        ..Message::new(vec![0; len])
                    };
                    seq += 1;
                    let admitted = boxes.admit(now, number, StreamSeq { stream: 1, seq }, semantics, message).unwrap();
                    accepted += u64::from(matches!(admitted, Admitted::In(..)));
                }
                Step::Take { reader } => {
                    let letters = boxes.take(now, number, reader, 2, 1_000);
                    for pair in letters.windows(2) {
                        let place = |letter: &Letter| (std::cmp::Reverse(letter.message.priority), letter.id);
                        prop_assert!(place(&pair[0]) < place(&pair[1]));
                    }
                    if semantics == Semantics::AtMostOnce {
                        settled += letters.len() as u64;
                    } else {
                        held.entry(reader).or_default().extend(letters.iter().map(|letter| letter.id));
                    }
                }
                Step::Settle { reader, which, verdict } => {
                    let ids = held.entry(reader).or_default();
                    if which < ids.len() {
                        let id = ids.remove(which);
                        let verdict = [Verdict::Ack, Verdict::Nack, Verdict::Refuse][usize::from(verdict)];
                        let before = boxes.get(number).unwrap().counts;
                        boxes.settle(now, number, reader, &[(id, verdict)]);
                        settled += boxes.get(number).unwrap().counts.settled - before.settled;
                    }
                }
                Step::Leave { reader } => {
                    held.remove(&reader);
                    boxes.reader_gone(now, number, reader);
                }
                Step::Wait { ms } => now += Duration::from_millis(ms),
            }
            boxes.handle_timeout(now);
            let queue = boxes.get(number).unwrap();
            let counts = queue.counts;
            let dead = counts.expired + counts.displaced + counts.undeliverable + counts.refused;
            prop_assert_eq!(queue.len() as u64, accepted - settled - dead, "{:?}", counts);
            prop_assert_eq!(dead, boxes.dead_letters_lost);
            prop_assert!(queue.len() <= 10 && queue.bytes() <= 200);
            prop_assert_eq!(queue.bytes(), queue.all().map(|(_, stored, _)| stored.body.len() as u64).sum::<u64>());
            prop_assert!(boxes.deadline().is_none_or(|at| at > now));
        }
    }
}

#[test]
fn dead_letters_die_once() {
    let name = |text: &str| BoxName::new(text).unwrap();
    let now = Instant::from_millis(1);
    let mut boxes = Boxes::new(1);
    let to = |text: &str| BoxOptions {
        dead_letters: Some(name(text)),
        deliveries_max: 1,
        ..BoxOptions::default()
    };
    let (a, b) =
        (boxes.create(now, &name("a"), &to("b")).unwrap(), boxes.create(now, &name("b"), &to("a")).unwrap());
    let from = StreamSeq { stream: 1, seq: 1 };
    boxes.admit(now, a, from, Semantics::AtLeastOnce, Message::new("x")).unwrap();
    let refuse = |boxes: &mut Boxes, number| {
        let letter = boxes.take(now, number, 7, 1, 100).remove(0);
        boxes.settle(now, number, 7, &[(letter.id, Verdict::Refuse)]);
        letter
    };
    assert_eq!(refuse(&mut boxes, a).death, None);
    let dead = refuse(&mut boxes, b);
    assert_eq!(dead.death, Some(Death { in_box: name("a"), reason: DeathReason::Refused }));
    assert_eq!((boxes.get(a).unwrap().len(), boxes.dead_letters_lost), (0, 1));
}
