//! Tests of the log: what was written is read again, and what is torn ends it.

use super::*;
use crate::message::{Message, Semantics, StreamSeq};
use crate::store::{Admitted, Boxes};
use crate::{BODY_BYTES_MAX, Verdict};
use std::collections::BTreeMap;
use tapstack::time::Duration;

const T0: Instant = Instant::from_millis(5_000);

fn name(text: &str) -> BoxName {
    BoxName::new(text).unwrap()
}

/// A log in which something of everything happened, and the boxes as they were in the end.
fn history() -> (Vec<u8>, Boxes) {
    let mut boxes = Boxes::new(9);
    let mut log = MAGIC.to_vec();
    let options = BoxOptions { durable: true, dead_letters: Some(name("dead")), ..BoxOptions::default() };
    let number = boxes.create(T0, &name("box"), &options).unwrap();
    boxes.create(T0, &name("dead"), &BoxOptions { durable: true, ..BoxOptions::default() }).unwrap();
    let gone = boxes.create(T0, &name("gone"), &options).unwrap();
    boxes.journal(T0, &Entry::Stream { stream: 3, number, next: 0 });
    for seq in 0..6 {
        let semantics = Semantics::ALL[seq as usize % 3];
        let message = Message { priority: seq as u8 % 2, ..Message::new(vec![seq as u8; 100]) };
        let admitted = boxes.admit(T0, number, StreamSeq { stream: 3, seq }, semantics, message).unwrap();
        assert!(matches!(admitted, Admitted::In(..)));
        log.extend_from_slice(&boxes.take_group().unwrap());
        boxes.committed();
    }
    boxes.delete(T0, gone);
    let letters = boxes.take(T0, number, 4, 4, 1_000_000);
    assert_eq!(letters.len(), 4);
    let verdict = |letter: &crate::Letter| match letter.message.body[0] {
        1 => Some((letter.id, Verdict::Ack)),
        5 => Some((letter.id, Verdict::Refuse)),
        _ => None,
    };
    boxes.settle(T0, number, 4, &letters.iter().filter_map(verdict).collect::<Vec<_>>());
    log.extend_from_slice(&boxes.take_group().unwrap());
    boxes.committed();
    (log, boxes)
}

fn read(log: &[u8]) -> (Boxes, usize, BTreeMap<u64, crate::store::LoggedStream>) {
    let (mut boxes, mut streams) = (Boxes::new(10), BTreeMap::new());
    let good = replay(T0, log, |entry| boxes.replay(entry, &mut streams));
    boxes.replayed();
    (boxes, good, streams)
}

/// What there is in a box: numbers, bodies and who has them.
fn content(boxes: &Boxes, text: &str) -> Vec<(u64, u8, Option<u64>)> {
    let queue = boxes.get(boxes.find(&name(text)).unwrap()).unwrap();
    let mut all: Vec<_> = queue.all().map(|(id, stored, reader)| (id, stored.body[0], reader)).collect();
    all.sort_unstable();
    all
}

#[test]
fn what_happened_is_what_is_read() {
    let (log, before) = history();
    let (after, good, streams) = read(&log);
    assert_eq!(good, log.len());
    assert!(after.find(&name("gone")).is_none());
    assert_eq!(content(&after, "dead"), content(&before, "dead"));
    assert_eq!(content(&after, "dead").len(), 1, "the one that was refused");
    // Of what a reader had, only what is effectively once stays its own.
    let ids =
        |boxes: &Boxes| content(boxes, "box").iter().map(|(id, body, _)| (*id, *body)).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(streams[&3].next, 6);
    let number = after.find(&name("box")).unwrap();
    assert_eq!(
        after.holders(),
        before
            .holders()
            .into_iter()
            .filter(|_| after.get(number).unwrap().handed_out() > 0)
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_shorter_log_says_the_same() {
    let (log, _) = history();
    let (boxes, _, streams) = read(&log);
    let short = boxes.snapshot(T0, streams.clone().into_iter());
    assert!(short.len() < log.len());
    let (again, good, same_streams) = read(&short);
    assert_eq!((good, same_streams), (short.len(), streams));
    for name in ["box", "dead"] {
        assert_eq!(content(&again, name), content(&boxes, name));
    }
    let number = again.find(&name("box")).unwrap();
    assert_eq!(again.get(number).unwrap().next_id(), boxes.get(number).unwrap().next_id());
}

#[test]
fn it_ends_where_it_is_torn_and_no_byte_passes_unseen() {
    let (log, _) = history();
    let whole = read(&log).0;
    let mut goods = Vec::new();
    for len in 0..log.len() {
        let good = read(&log[..len]).1;
        assert!(good <= len);
        goods.push(good);
    }
    goods.dedup();
    assert!(goods.len() > 10, "it is cut at entries: {goods:?}");
    for at in (0..log.len()).step_by(7) {
        let mut spoiled = log.clone();
        spoiled[at] ^= 0x10;
        let (boxes, good, _) = read(&spoiled);
        assert!(good <= at, "byte {at} was spoiled, and {good} are taken for good");
        drop(boxes);
    }
    drop(whole);
}

#[test]
fn anything_may_follow_the_end() {
    let (log, _) = history();
    let mut rng = fastrand::Rng::with_seed(1);
    for len in 0..200 {
        let mut torn = log.clone();
        torn.extend(std::iter::repeat_with(|| rng.u8(..)).take(len));
        assert_eq!(read(&torn).1, log.len());
    }
    assert_eq!(read(b"").1, 0);
    assert_eq!(read(b"another").1, 0);
}

#[test]
fn the_largest_entry_fits() {
    let long = "x".repeat(crate::NAME_BYTES_MAX);
    let stored = Stored {
        from: StreamSeq { stream: 1, seq: 2 },
        semantics: Semantics::EffectivelyOnce,
        priority: 9,
        expires: Some(T0 + Duration::from_secs(1)),
        deliveries: 1,
        death: Some(crate::Death { in_box: name(&long), reason: crate::DeathReason::Expired }),
        reply_to: Some(crate::ReplyTo {
            address: Some(format!("{long}@[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535").parse().unwrap()),
            correlation: 1,
        }),
        body: vec![7; BODY_BYTES_MAX].into(),
    };
    for entry in [
        Entry::Put { number: 1, id: 2, stored },
        Entry::Gone { number: 1, ids: vec![1; IDS_MAX] },
        Entry::Handed { number: 1, reader: 2, ids: vec![1; IDS_MAX] },
    ] {
        let mut journal = Journal::default();
        journal.put(T0, &entry);
        let mut log = MAGIC.to_vec();
        log.extend_from_slice(&journal.take());
        let mut found = Vec::new();
        assert_eq!(replay(T0, &log, |entry| found.push(entry)), log.len());
        assert_eq!(found, [entry]);
    }
}

#[test]
fn a_letter_is_the_readers_who_got_it_last() {
    let (mut boxes, mut log) = (Boxes::new(9), MAGIC.to_vec());
    let options = BoxOptions { durable: true, ..BoxOptions::default() };
    let number = boxes.create(T0, &name("box"), &options).unwrap();
    let from = StreamSeq { stream: 3, seq: 0 };
    boxes.admit(T0, number, from, Semantics::EffectivelyOnce, Message::new("x")).unwrap();
    log.extend_from_slice(&boxes.take_group().unwrap());
    boxes.committed();
    let first = boxes.take(T0, number, 4, 1, 1_000);
    boxes.settle(T0, number, 4, &[(first[0].id, Verdict::Nack)]);
    let second = boxes.take(T0, number, 5, 1, 1_000);
    assert_eq!((second[0].id, second[0].deliveries), (first[0].id, 2));
    log.extend_from_slice(&boxes.take_group().unwrap());

    let (after, ..) = read(&log);
    assert_eq!(after.holders(), [(number, 5)]);
    assert_eq!(after.get(number).unwrap().held(first[0].id, 5, T0).unwrap().deliveries, 2);
}
