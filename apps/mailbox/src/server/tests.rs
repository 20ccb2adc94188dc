//! Tests of the host's side by records: who may say what, what bad input gets, and the order of things.

use super::*;
use crate::message::{BODY_BYTES_MAX, Kind, Message, Semantics, Verdict, WhenFull};
use crate::wire::{Ack, Fetch, encode};
use proptest::prelude::*;
use std::net::SocketAddr;

const T0: Instant = Instant::from_millis(1_000);

fn peer(port: u16) -> Peer {
    Peer::Udp(SocketAddr::from(([10, 0, 0, 9], port)))
}

fn name() -> BoxName {
    BoxName::new("box").unwrap()
}

/// A host with one box, and one client that has said hello.
struct Desk {
    server: Server,
    header: Header,
    now: Instant,
}

impl Desk {
    fn new(options: &BoxOptions) -> Desk {
        let mut server = Server::new(T0, 7, [1; 16]);
        if options.durable {
            server.replay(T0, &crate::log::MAGIC);
        }
        server.create(T0, &name(), options).unwrap();
        let mut desk = Desk { server, header: Header::default(), now: T0 };
        desk.server.handle_record(T0, peer(1), Header::default(), Record::Hello { nonce: 5 });
        let welcome = desk.out();
        assert_eq!(welcome.len(), 1);
        desk.header = welcome[0].1;
        assert_eq!(welcome[0].2, Record::Welcome { nonce: 5 });
        desk
    }

    fn out(&mut self) -> Vec<(Peer, Header, Record)> {
        self.server.settle(self.now);
        std::iter::from_fn(|| self.server.poll_out()).collect()
    }

    /// What a record is answered by.
    fn says(&mut self, record: Record) -> Vec<Record> {
        let header = self.header;
        assert!(self.server.handle_record(self.now, peer(1), header, record));
        self.out().into_iter().map(|(_, _, record)| record).collect()
    }

    fn open(&mut self, semantics: Semantics) {
        let ask = Ask::Open { stream: 3, name: name(), semantics, first: 0 };
        self.says(Record::Ask { request: 1, ask });
    }

    fn attach(&mut self) {
        self.says(Record::Ask { request: 2, ask: Ask::Attach { reader: 4, name: name() } });
    }

    fn send(&mut self, first: u64, count: u64) -> Vec<Record> {
        let items = (first..first + count).map(|n| Message::new(n.to_string())).collect();
        self.says(Record::Send { stream: 3, first, heard: 0, items })
    }

    fn fetch(&mut self, request: u64, letters_max: u32, verdicts: &[(u64, Verdict)]) -> Vec<Record> {
        let fetch = Fetch {
            reader: 4,
            request,
            heard: request,
            letters_max,
            bytes_max: 10_000,
            wait_ms: 1_000,
            verdicts: verdicts.to_vec(),
        };
        self.says(Record::Fetch(fetch))
    }
}

fn ack(records: &[Record]) -> &Ack {
    let acks: Vec<&Ack> =
        records.iter().filter_map(|r| if let Record::Ack(ack) = r { Some(ack) } else { None }).collect();
    assert_eq!(acks.len(), 1, "{records:?}");
    acks[0]
}

fn bodies(records: &[Record]) -> Vec<String> {
    let letters = records.iter().flat_map(|record| match record {
        Record::Delivery { letters: Ok(letters), .. } => letters.clone(),
        _ => Vec::new(),
    });
    letters.map(|letter| String::from_utf8(letter.message.body.to_vec()).unwrap()).collect()
}

#[test]
fn what_comes_beyond_a_gap_waits_and_copies_are_counted() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::EffectivelyOnce);
    let beyond = desk.send(4, 2);
    assert_eq!((ack(&beyond).next, ack(&beyond).beyond.clone()), (0, vec![(4, 6)]));
    desk.send(8, 1);
    assert_eq!(ack(&desk.send(2, 2)).beyond, [(2, 6), (8, 9)]);
    let joined = desk.send(0, 3);
    assert_eq!((ack(&joined).next, ack(&joined).beyond.clone()), (6, vec![(8, 9)]));
    assert_eq!(desk.server.counters().duplicates, 1, "the third of the first three was there");
    assert_eq!(ack(&desk.send(0, 8)).next, 9);
    assert_eq!(desk.server.boxes.find(&name()).and_then(|n| desk.server.boxes.get(n)).unwrap().len(), 9);
}

#[test]
fn at_most_once_drops_what_is_late() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::AtMostOnce);
    assert_eq!(ack(&desk.send(4, 2)).next, 6);
    desk.send(0, 4);
    desk.send(4, 2);
    assert_eq!(desk.server.counters().late, 6);
    desk.attach();
    assert_eq!(bodies(&desk.fetch(0, 10, &[])), ["4", "5"]);
    assert!(desk.server.boxes.find(&name()).and_then(|n| desk.server.boxes.get(n)).unwrap().len() == 0);
}

#[test]
fn a_delivery_is_repeated_and_fetches_are_answered_in_order() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::AtLeastOnce);
    desk.attach();
    desk.send(0, 4);
    assert_eq!(desk.fetch(1, 2, &[]), [], "the one before it isn't there yet");
    let header = desk.header;
    let first =
        Fetch { reader: 4, request: 0, letters_max: 2, bytes_max: 9_000, wait_ms: 9, ..Fetch::default() };
    desk.server.handle_record(T0, peer(1), header, Record::Fetch(first.clone()));
    let both: Vec<Record> = desk.out().into_iter().map(|(_, _, record)| record).collect();
    assert_eq!(bodies(&both), ["0", "1", "2", "3"]);
    desk.server.handle_record(T0, peer(1), header, Record::Fetch(first.clone()));
    let again: Vec<Record> = desk.out().into_iter().map(|(_, _, record)| record).collect();
    assert_eq!(bodies(&again), ["0", "1"]);
    desk.fetch(2, 0, &[]);
    desk.server.handle_record(T0, peer(1), header, Record::Fetch(first));
    assert!(desk.out().is_empty(), "that was heard");
    assert_eq!(desk.server.counters().stray_fetches, 1);
}

#[test]
fn who_never_hears_an_answer_has_few_of_them_kept() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::AtMostOnce);
    desk.attach();
    for request in 0..100 {
        desk.send(request, 1);
        let fetch = Fetch { reader: 4, request, letters_max: 1, wait_ms: 9, ..Fetch::default() };
        assert_eq!(bodies(&desk.says(Record::Fetch(fetch.clone()))), [request.to_string()]);
        assert_eq!(bodies(&desk.says(Record::Fetch(fetch))), [request.to_string()], "the first was lost");
    }
    let fetch = |request| Fetch { reader: 4, request, letters_max: 1, ..Fetch::default() };
    let oldest = 100 - FETCHES_MAX;
    assert_eq!(bodies(&desk.says(Record::Fetch(fetch(oldest)))), [oldest.to_string()]);
    assert_eq!(desk.says(Record::Fetch(fetch(oldest - 1))), []);
}

#[test]
fn a_fetch_waits_for_its_time_and_a_silent_reader_is_given_up() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::EffectivelyOnce);
    desk.attach();
    assert!(desk.fetch(0, 1, &[]).is_empty());
    assert_eq!(desk.server.poll_timeout(), Some(T0 + Duration::from_secs(1)));
    desk.now = T0 + Duration::from_secs(1);
    desk.server.handle_timeout(desk.now);
    assert_eq!(desk.out().len(), 1, "an empty delivery");
    assert_eq!(bodies(&desk.send(0, 1)), [""; 0]);
    assert_eq!(bodies(&desk.fetch(1, 1, &[])), ["0"]);
    desk.now = T0 + READER_IDLE_MAX + Duration::from_secs(10);
    desk.server.handle_timeout(desk.now);
    let queue =
        |desk: &Desk| desk.server.boxes.get(desk.server.boxes.find(&name()).unwrap()).unwrap().waiting();
    assert_eq!((desk.server.counters().silent, queue(&desk)), (1, 1), "its letter is back");
    desk.now = T0 + STREAM_IDLE_MAX + Duration::from_secs(60);
    desk.server.handle_timeout(desk.now);
    assert_eq!(desk.server.counters().silent, 2);
    assert_eq!(ack(&desk.send(1, 1)).refused, [(1, Refusal::Unknown)]);
    assert_eq!(desk.server.counters().unknown_streams, 1);
    assert_eq!(desk.server.poll_timeout(), None, "nobody is known, and nothing waits");
}

#[test]
fn nothing_is_said_before_the_disk_has_it() {
    let mut desk = Desk::new(&BoxOptions { durable: true, ..BoxOptions::default() });
    let commit = |desk: &mut Desk| {
        let log = desk.server.take_group().expect("something to log");
        desk.server.committed();
        log
    };
    let mut log = crate::log::MAGIC.to_vec();
    desk.open(Semantics::EffectivelyOnce);
    log.extend_from_slice(&commit(&mut desk));
    assert_eq!(desk.out().len(), 1, "opened");
    desk.attach();
    assert_eq!(ack(&desk.send(0, 2)).next, 0, "it has come, but isn't safe");
    assert!(desk.fetch(0, 10, &[]).is_empty(), "nor may it be read");
    log.extend_from_slice(&commit(&mut desk));
    let records: Vec<Record> = desk.out().into_iter().map(|(_, _, record)| record).collect();
    assert_eq!(ack(&records).next, 2);
    assert!(bodies(&records).is_empty(), "who has it is logged first");
    log.extend_from_slice(&commit(&mut desk));
    let records: Vec<Record> = desk.out().into_iter().map(|(_, _, record)| record).collect();
    assert_eq!(bodies(&records), ["0", "1"]);

    // The host crashes, and comes up from the log.
    let mut again = Desk::new(&BoxOptions::default());
    again.server = Server::new(T0, 8, [1; 16]);
    assert_eq!(again.server.replay(T0, &log), log.len());
    again.header.boot = 8;
    let ask = Ask::Open { stream: 3, name: name(), semantics: Semantics::EffectivelyOnce, first: 0 };
    let opened = again.says(Record::Ask { request: 1, ask });
    let answer = Ok(Answer::Opened { restored: true, next: 2, room: 9_998 });
    assert_eq!(opened, [Record::Answer { request: 1, answer }]);
    again.attach();
    assert_eq!(bodies(&again.fetch(0, 10, &[])), ["0", "1"], "its letters are its own still");
}

#[test]
fn who_waits_for_letters_hears_at_once_that_the_verdicts_have_come() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::AtLeastOnce);
    desk.attach();
    desk.send(0, 2);
    let ids: Vec<u64> = match &desk.fetch(0, 2, &[])[..] {
        [Record::Delivery { letters: Ok(letters), .. }] => letters.iter().map(|letter| letter.id).collect(),
        other => panic!("{other:?}"),
    };
    let verdicts: Vec<_> = ids.iter().map(|id| (*id, Verdict::Ack)).collect();
    let taken = |request| vec![Record::Taken { reader: 4, request }];
    assert_eq!(desk.fetch(1, 2, &verdicts), taken(1));
    assert_eq!(desk.fetch(1, 2, &verdicts), taken(1), "the first may have been lost");
    assert_eq!(desk.fetch(2, 2, &[]), [], "and this one has nothing to be taken");
    assert_eq!(desk.server.counters().stray_verdicts, 0);
    assert_eq!(bodies(&desk.send(2, 1)), ["2"]);
}

#[test]
fn a_copy_of_a_verdict_has_no_effect() {
    let mut desk = Desk::new(&BoxOptions::default());
    desk.open(Semantics::EffectivelyOnce);
    desk.attach();
    desk.send(0, 1);
    let id = match &desk.fetch(0, 1, &[])[..] {
        [Record::Delivery { letters: Ok(letters), .. }] => letters[0].id,
        other => panic!("{other:?}"),
    };
    let settling = 1 << 63;
    desk.fetch(settling, 0, &[(id, Verdict::Nack)]);
    assert_eq!(bodies(&desk.fetch(1, 1, &[])), ["0"], "it is the reader's again");
    let copy = desk.fetch(settling, 0, &[(id, Verdict::Nack)]);
    assert_eq!(copy, [Record::Taken { reader: 4, request: settling }]);
    let number = desk.server.boxes.find(&name()).unwrap();
    assert_eq!(desk.server.boxes.get(number).unwrap().waiting(), 0, "and nobody else may have it");
}

#[test]
fn the_disk_fails() {
    let mut desk = Desk::new(&BoxOptions { durable: true, ..BoxOptions::default() });
    desk.server.take_group();
    desk.server.committed();
    desk.open(Semantics::AtLeastOnce);
    desk.server.disk_failed();
    let ack = desk.send(0, 1);
    assert!(matches!(&ack[..], [Record::Ack(ack)] if ack.refused == [(0, Refusal::DiskFailed)]), "{ack:?}");
}

#[test]
fn limits_are_refusals() {
    let mut desk =
        Desk::new(&BoxOptions { kind: Kind::Port, when_full: WhenFull::Reject, ..BoxOptions::default() });
    desk.attach();
    let ask = |desk: &mut Desk, ask| match &desk.says(Record::Ask { request: 9, ask })[..] {
        [Record::Answer { answer, .. }] => answer.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(&mut desk, Ask::Attach { reader: 5, name: name() }), Err(Refusal::Owned));
    let nobody = BoxName::new("nobody").unwrap();
    assert_eq!(ask(&mut desk, Ask::Attach { reader: 5, name: nobody.clone() }), Err(Refusal::NoSuchBox));
    assert_eq!(ask(&mut desk, Ask::Delete { name: nobody }), Err(Refusal::NoSuchBox));
    for number in 0..STREAMS_MAX as u64 {
        let open =
            Ask::Open { stream: 100 + number, name: name(), semantics: Semantics::AtLeastOnce, first: 0 };
        assert!(ask(&mut desk, open).is_ok());
    }
    let open = Ask::Open { stream: 99, name: name(), semantics: Semantics::AtLeastOnce, first: 0 };
    assert_eq!(ask(&mut desk, open), Err(Refusal::Busy));
    for number in desk.server.boxes.list(None, 1, |_| 0).0.len()..crate::BOXES_MAX {
        let name = BoxName::new(&format!("b{number}")).unwrap();
        desk.server.create(T0, &name, &BoxOptions::default()).unwrap();
    }
    let one_more = BoxName::new("one-more").unwrap();
    assert_eq!(desk.server.create(T0, &one_more, &BoxOptions::default()), Err(Refusal::Busy));
    let none = BoxOptions { messages_max: 0, ..BoxOptions::default() };
    assert_eq!(desk.server.create(T0, &one_more, &none), Err(Refusal::Malformed));
}

#[test]
fn who_has_shown_nothing_gets_no_more_than_it_sent_and_nothing_is_kept() {
    let mut desk = Desk::new(&BoxOptions::default());
    let records = [
        Record::Hello { nonce: 1 },
        Record::Ask { request: 1, ask: Ask::List { after: None } },
        Record::Ask { request: 1, ask: Ask::Peek { name: name(), max: 100 } },
        Record::Send { stream: 1, first: 0, heard: 0, items: vec![Message::new(vec![0; 100])] },
        Record::Fetch(Fetch::default()),
        Record::Stale,
    ];
    for record in records {
        for header in [Header::default(), Header { boot: 7, token: 1 }, Header { boot: 6, ..desk.header }] {
            let bytes = encode(header, &record).unwrap();
            desk.server.handle(T0, peer(2), &bytes);
            let out: usize =
                desk.out().iter().map(|(_, header, record)| encode(*header, record).unwrap().len()).sum();
            assert!(out <= bytes.len(), "{record:?} is answered by {out} bytes");
        }
    }
    // A token is good for one address only.
    let list = encode(desk.header, &Record::Ask { request: 1, ask: Ask::List { after: None } }).unwrap();
    desk.server.handle(T0, peer(2), &list);
    assert!(matches!(&desk.out()[..], [(_, _, Record::Stale)]));
    assert!(desk.server.streams.is_empty() && desk.server.readers.is_empty());
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0..20u64, Just(u64::MAX), Just(u64::MAX / 2), any::<u64>()]
}

/// Records of somebody who is known, and means no good.
fn hostile() -> impl Strategy<Value = Record> {
    let items = (0..40usize, 0..3usize).prop_map(|(count, len)| {
        vec![Message::new(vec![0; [0, 64, BODY_BYTES_MAX][len]]); if len == 2 { 1 } else { count }]
    });
    prop_oneof![
        (numbers(), numbers(), items).prop_map(|(first, heard, items)| Record::Send {
            stream: 3,
            first,
            heard,
            items
        }),
        (numbers(), numbers(), any::<[u32; 2]>(), proptest::collection::vec((numbers(), 0..3u8), 0..5))
            .prop_map(|(request, heard, [letters_max, bytes_max], verdicts)| {
                let verdict = |kind| [Verdict::Ack, Verdict::Nack, Verdict::Refuse][usize::from(kind)];
                let verdicts = verdicts.into_iter().map(|(id, kind)| (id, verdict(kind))).collect();
                let letters_max = letters_max % 50;
                Record::Fetch(Fetch {
                    reader: 4,
                    request,
                    heard,
                    letters_max,
                    bytes_max,
                    wait_ms: 5_000,
                    verdicts,
                })
            }),
        Just(Record::Ask { request: 1, ask: Ask::Detach { reader: 4 } }),
        Just(Record::Ask { request: 1, ask: Ask::Attach { reader: 4, name: name() } }),
        Just(Record::Ask { request: 1, ask: Ask::Close { stream: 3 } }),
        numbers().prop_map(|first| Record::Ask {
            request: 1,
            ask: Ask::Open { stream: 3, name: name(), semantics: Semantics::EffectivelyOnce, first }
        }),
        Just(Record::Ask { request: 1, ask: Ask::Peek { name: name(), max: u32::MAX } }),
    ]
}

proptest! {
    #[test]
    fn any_records_in_any_order_do_no_harm(records in proptest::collection::vec((hostile(), 0..3_000u64), 0..60), durable: bool) {
        let options = BoxOptions { durable, messages_max: 30, when_full: WhenFull::DropOldest, ..BoxOptions::default() };
        let mut desk = Desk::new(&options);
        for (record, wait_ms) in records {
            desk.now += Duration::from_millis(wait_ms);
            desk.server.handle_timeout(desk.now);
            let header = desk.header;
            desk.server.handle_record(desk.now, peer(1), header, record);
            if durable && wait_ms % 2 == 0 && desk.server.take_group().is_some() {
                desk.server.committed();
            }
            for (_, header, record) in desk.out() {
                prop_assert!(encode(header, &record).is_ok(), "{:?} is too long", record);
            }
            let number = desk.server.boxes.find(&name()).unwrap();
            prop_assert!(desk.server.boxes.get(number).unwrap().len() <= 30);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), known: bool) {
        let mut desk = Desk::new(&BoxOptions::default());
        let mut datagram = if known { encode(desk.header, &Record::Stale).unwrap().to_vec() } else { Vec::new() };
        if let Some(kind) = bytes.first().filter(|_| known) {
            datagram[7] = kind % 12;
        }
        datagram.extend_from_slice(&bytes);
        desk.server.handle(T0, peer(1), &datagram);
        desk.out();
    }
}
