//! Tests of a reader's side: copies, and what a delivery confirms.

use super::*;
use crate::message::{Message, StreamSeq};

const T0: Instant = Instant::from_millis(1_000);
const READER: u64 = 5;
/// Two incarnations of a host.
const A: u64 = 11;
const B: u64 = 12;

fn letter(id: u64) -> Letter {
    Letter {
        id,
        from: StreamSeq { stream: 1, seq: id },
        semantics: Semantics::EffectivelyOnce,
        deliveries: 1,
        death: None,
        message: Message::new("x"),
    }
}

/// An attached reader that has fetched the letters 1 and 2.
fn inbox() -> (Inbox, Rtt) {
    let name = BoxName::new("box").unwrap();
    let (mut inbox, mut rtt) =
        (Inbox::new(name, Mode::Datagrams, ReaderOptions { prefetch: 4 }), Rtt::default());
    inbox.attached(A, 0);
    let fetch = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((fetch.request, fetch.letters_max), (0, 4));
    inbox.handle_delivery(T0, 0, Ok(vec![letter(1), letter(2)]), &mut rtt);
    (inbox, rtt)
}

fn popped(inbox: &mut Inbox) -> Vec<u64> {
    std::iter::from_fn(|| inbox.pop()).map(|letter| letter.id).collect()
}

#[test]
fn a_copy_is_kept_from_the_program_and_its_verdict_said_again() {
    let (mut inbox, mut rtt) = inbox();
    assert_eq!(popped(&mut inbox), [1, 2]);
    inbox.judge(T0, 1, Verdict::Ack);
    // The host has come up again, and brings both once more.
    inbox.attached(B, 0);
    let fetch = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((fetch.request, fetch.verdicts.as_slice()), (0, &[(1, Verdict::Ack)][..]));
    inbox.close();
    inbox.attached(B, 0);
    inbox.handle_delivery(T0, 0, Ok(vec![letter(2)]), &mut rtt);
    assert_eq!((popped(&mut inbox), inbox.copies), (vec![], 1));
}

#[test]
fn what_came_too_early_from_a_host_that_crashed_is_not_mixed_with_what_the_next_one_says() {
    let name = BoxName::new("box").unwrap();
    let (mut inbox, mut rtt) =
        (Inbox::new(name, Mode::Datagrams, ReaderOptions { prefetch: 100 }), Rtt::default());
    inbox.attached(A, 0);
    let requests = [0, 1].map(|_| inbox.transmit(T0, READER, &rtt).unwrap().request);
    assert_eq!(requests, [0, 1]);
    inbox.handle_delivery(T0, 1, Ok(vec![letter(2)]), &mut rtt);
    assert!(popped(&mut inbox).is_empty());
    inbox.attached(B, 0);
    let requests = [0, 1].map(|_| inbox.transmit(T0, READER, &rtt).unwrap().request);
    assert_eq!(requests, [0, 1]);
    inbox.handle_delivery(T0, 0, Ok(vec![letter(1)]), &mut rtt);
    inbox.handle_delivery(T0, 1, Ok(vec![letter(2)]), &mut rtt);
    assert_eq!((popped(&mut inbox), inbox.copies), (vec![1, 2], 0));
}

#[test]
fn an_answer_to_an_earlier_copy_of_a_fetch_confirms_no_later_verdict() {
    let (mut inbox, mut rtt) = inbox();
    assert_eq!(popped(&mut inbox), [1, 2]);
    inbox.attached(A, 0);
    let first = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((first.request, first.verdicts.len()), (0, 0));
    inbox.judge(T0, 1, Verdict::Ack);
    // The same host again, which hasn't answered that fetch: it goes out once more as it was.
    inbox.close();
    inbox.attached(A, 0);
    let again = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((again.request, again.verdicts.len()), (0, 0));
    inbox.handle_delivery(T0, 0, Ok(Vec::new()), &mut rtt);
    assert!(!inbox.is_settled(), "nobody has heard the verdict");
    inbox.hurry(T0);
    let next = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!(next.verdicts, [(1, Verdict::Ack)]);
    inbox.handle_taken(T0, next.request, &mut rtt);
    assert!(inbox.is_settled());
}

#[test]
fn a_fetch_that_waits_for_letters_does_not_keep_its_verdicts_in_doubt() {
    let (mut inbox, mut rtt) = inbox();
    assert_eq!(popped(&mut inbox), [1, 2]);
    inbox.judge(T0, 1, Verdict::Ack);
    let waiting = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((waiting.letters_max, waiting.verdicts.len()), (4, 1));
    assert!(!inbox.is_settled());
    inbox.handle_taken(T0, waiting.request, &mut rtt);
    assert!(inbox.is_settled());
    let again = inbox.transmit(T0 + AGAIN_MAX, READER, &rtt).unwrap();
    assert_eq!((again.request, again.verdicts.len()), (waiting.request, 0), "it still waits");
}

#[test]
fn verdicts_that_got_lost_are_said_again_by_the_clock() {
    let (mut inbox, rtt) = inbox();
    assert_eq!(popped(&mut inbox), [1, 2]);
    inbox.transmit(T0, READER, &rtt).unwrap();
    inbox.judge(T0, 1, Verdict::Refuse);
    let settling = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!(settling.letters_max, 0);
    inbox.handle_delivery(T0, 0, Ok(Vec::new()), &mut Rtt::default());
    let due = inbox.deadline(&rtt).expect("something is under way");
    assert!(due <= T0 + rtt.rto(0), "{due:?}");
    let again: Vec<Fetch> = std::iter::from_fn(|| inbox.transmit(due, READER, &rtt)).collect();
    assert!(again.iter().any(|fetch| fetch.verdicts == settling.verdicts), "{again:?}");
}

#[test]
fn an_answer_that_overtook_another_has_that_one_fetched_again_and_at_most_once_is_not_thrown_away() {
    let name = BoxName::new("box").unwrap();
    let (mut inbox, mut rtt) =
        (Inbox::new(name, Mode::Datagrams, ReaderOptions { prefetch: 100 }), Rtt::default());
    inbox.attached(A, 0);
    let [first, second] = [0, 1].map(|_| inbox.transmit(T0, READER, &rtt).unwrap());
    while inbox.transmit(T0, READER, &rtt).is_some() {}
    let once = Letter { semantics: Semantics::AtMostOnce, ..letter(3) };
    inbox.handle_delivery(T0, second.request, Ok(vec![letter(2), once]), &mut rtt);
    assert_eq!(inbox.transmit(T0, READER, &rtt).unwrap().request, first.request);
    assert!(popped(&mut inbox).is_empty());
    // The host crashes, and has forgotten what was sent at most once.
    inbox.attached(B, 0);
    assert_eq!(popped(&mut inbox), [3]);
}

#[test]
fn an_answer_that_was_on_its_way_before_a_verdict_brings_no_copy() {
    let (mut inbox, mut rtt) = inbox();
    assert_eq!(popped(&mut inbox), [1, 2]);
    // The host has come up again, and its answer to this brings the letters once more, late.
    inbox.attached(B, 0);
    let late = inbox.transmit(T0, READER, &rtt).unwrap();
    for id in [1, 2] {
        inbox.judge(T0, id, if id == 1 { Verdict::Ack } else { Verdict::Nack });
    }
    inbox.hurry(T0);
    let settling = inbox.transmit(T0, READER, &rtt).unwrap();
    assert_eq!((settling.letters_max, settling.verdicts.len()), (0, 2));
    inbox.handle_taken(T0, settling.request, &mut rtt);
    assert!(inbox.is_settled());
    inbox.handle_delivery(T0, late.request, Ok(vec![letter(1), letter(2), letter(3)]), &mut rtt);
    assert_eq!((popped(&mut inbox), inbox.copies), (vec![2, 3], 1));
    assert!(!inbox.had.contains_key(&1), "nothing can bring it any more");
}
