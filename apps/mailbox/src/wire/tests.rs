//! Tests of the records: captured bytes, round trips, and any bytes.

use super::*;
use crate::message::{Death, DeathReason, Kind, ReplyTo, StreamSeq, WhenFull};
use proptest::prelude::*;
use tapstack::time::Duration;

fn header() -> Header {
    Header { boot: 0x0102_0304_0506_0708, token: 9 }
}

#[test]
fn a_send_is_these_bytes() {
    let items = vec![Message::new(&b"hello"[..])];
    let record = Record::Send { stream: 0xaa, first: 3, heard: 2, items };
    let bytes = encode(header(), &record).unwrap();
    let expected: &[u8] = &[
        0x54, 0x4d, 0x42, 0x31, 0, 0, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, // header
        0, 0, 0, 0, 0, 0, 0, 0xaa, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
        2, // stream, first, heard
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // one item: priority, time to live, no reply
        0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0,
    ];
    assert_eq!(&bytes[..], expected);
    assert_eq!(decode(expected).unwrap(), (header(), record));
}

#[test]
fn a_welcome_is_as_long_as_its_hello_and_stale_is_the_shortest() {
    let len = |record: &Record| encode(header(), record).unwrap().len();
    assert_eq!(len(&Record::Hello { nonce: 1 }), len(&Record::Welcome { nonce: 1 }));
    assert_eq!(len(&Record::Stale), HEADER_BYTES);
}

#[test]
fn an_item_is_as_long_as_was_counted() {
    let reply_to = Some(ReplyTo { address: Some("answers@10.0.0.9:99".parse().unwrap()), correlation: 5 });
    for message in [
        Message::new(Vec::new()),
        Message::new(vec![1; 63]),
        Message { reply_to, ..Message::new(vec![1; 65]) },
        Message { reply_to: Some(ReplyTo { address: None, correlation: 5 }), ..Message::default() },
    ] {
        let bytes = tapstack_xdr::to_bytes(&message, RECORD_BYTES_MAX).unwrap();
        assert_eq!(bytes.len(), item_bytes(&message), "{message:?}");
    }
}

#[test]
fn records_are_split_from_a_stream_however_it_is_cut() {
    let records: Vec<Record> = (0..5).map(|nonce| Record::Hello { nonce }).chain([Record::Stale]).collect();
    let all: Vec<u8> =
        records.iter().flat_map(|record| encode_marked(header(), record).unwrap().to_vec()).collect();
    for piece in 1..all.len() {
        let (mut unmarker, mut got) = (Unmarker::default(), Vec::new());
        for bytes in all.chunks(piece) {
            unmarker.push(bytes);
            while let Some(record) = unmarker.next_record().unwrap() {
                got.push(decode(&record).unwrap().1);
            }
        }
        assert_eq!(got, records);
        assert_eq!(unmarker.pending(), 0);
    }
}

#[test]
fn a_bad_mark_is_an_error_before_memory_is_taken() {
    for mark in [0u32, 24, LAST_FRAGMENT, LAST_FRAGMENT | 23, u32::MAX, LAST_FRAGMENT | 65_001] {
        let mut unmarker = Unmarker::default();
        unmarker.push(&mark.to_be_bytes());
        assert!(unmarker.next_record().is_err(), "{mark:#x}");
    }
}

fn names() -> impl Strategy<Value = BoxName> {
    "[a-zA-Z0-9._-]{1,64}".prop_map(|text| BoxName::new(&text).unwrap())
}

fn semantics() -> impl Strategy<Value = Semantics> {
    (0..3usize).prop_map(|index| Semantics::ALL[index])
}

fn messages() -> impl Strategy<Value = Message> {
    let reply = proptest::option::of((proptest::option::of(names()), any::<u64>(), any::<[u8; 4]>()));
    let body = proptest::collection::vec(any::<u8>(), 0..100);
    (body, 0..=9u8, proptest::option::of(1..u32::MAX), reply).prop_map(|(body, priority, ttl, reply)| {
        Message {
            body: body.into(),
            priority,
            time_to_live: ttl.map(|ms| Duration::from_millis(ms.into())),
            reply_to: reply.map(|(name, correlation, host)| ReplyTo {
                address: name.map(|name| crate::Address::new(name, host.into())),
                correlation,
            }),
        }
    })
}

fn letters() -> impl Strategy<Value = Letter> {
    let death = proptest::option::of(names())
        .prop_map(|name| name.map(|in_box| Death { in_box, reason: DeathReason::Displaced }));
    (any::<[u64; 3]>(), semantics(), any::<u32>(), death, messages()).prop_map(
        |([id, stream, seq], semantics, deliveries, death, message)| Letter {
            id,
            from: StreamSeq { stream, seq },
            semantics,
            deliveries,
            death,
            message,
        },
    )
}

fn options() -> impl Strategy<Value = BoxOptions> {
    (any::<[u32; 3]>(), 1..u32::MAX, any::<bool>(), proptest::option::of(names())).prop_map(
        |([a, b, c], ms, durable, dead_letters)| BoxOptions {
            kind: [Kind::Process, Kind::Mailbox, Kind::Port][a as usize % 3],
            durable,
            when_full: [WhenFull::Block, WhenFull::Reject, WhenFull::DropOldest][b as usize % 3],
            messages_max: a,
            bytes_max: b,
            deliveries_max: c,
            redeliver_after: Duration::from_millis(ms.into()),
            time_to_live: durable.then(|| Duration::from_millis(ms.into())),
            dead_letters,
        },
    )
}

fn records() -> impl Strategy<Value = Record> {
    let n = any::<u64>();
    let list = proptest::collection::vec((names(), options()), 0..LIST_MAX).prop_map(|boxes| {
        let boxes = boxes.into_iter().map(|(name, options)| BoxInfo {
            name,
            options,
            waiting: 1,
            handed_out: 2,
            bytes: 3,
            readers: 4,
            counts: BoxCounts { accepted: 5, refused: 6, ..BoxCounts::default() },
        });
        Answer::List { boxes: boxes.collect(), more: true }
    });
    let ask = prop_oneof![
        (names(), options()).prop_map(|(name, options)| Ask::Create { name, options }),
        names().prop_map(|name| Ask::Delete { name }),
        proptest::option::of(names()).prop_map(|after| Ask::List { after }),
        (names(), any::<u32>()).prop_map(|(name, max)| Ask::Peek { name, max }),
        (n, names(), semantics(), n).prop_map(|(stream, name, semantics, first)| Ask::Open {
            stream,
            name,
            semantics,
            first
        }),
        n.prop_map(|stream| Ask::Close { stream }),
        (n, names()).prop_map(|(reader, name)| Ask::Attach { reader, name }),
        n.prop_map(|reader| Ask::Detach { reader }),
    ];
    let answer = prop_oneof![
        Just(Ok(Answer::Done)),
        Just(Err(Refusal::Owned)),
        list.prop_map(Ok),
        proptest::collection::vec(letters(), 0..4).prop_map(|letters| Ok(Answer::Peek { letters })),
        (any::<bool>(), n, any::<u32>()).prop_map(|(restored, next, room)| Ok(Answer::Opened {
            restored,
            next,
            room
        })),
        (n, n).prop_map(|(life, next)| Ok(Answer::Attached { life, next })),
    ];
    prop_oneof![
        n.prop_map(|nonce| Record::Hello { nonce }),
        n.prop_map(|nonce| Record::Welcome { nonce }),
        Just(Record::Stale),
        (n, ask).prop_map(|(request, ask)| Record::Ask { request, ask }),
        (n, answer).prop_map(|(request, answer)| Record::Answer { request, answer }),
        (any::<[u64; 3]>(), proptest::collection::vec(messages(), 0..5))
            .prop_map(|([stream, first, heard], items)| Record::Send { stream, first, heard, items }),
        (n, n, proptest::collection::vec((n, n), 0..RANGES_MAX)).prop_map(|(stream, next, beyond)| {
            Record::Ack(Ack { stream, next, room: 7, beyond, refused: vec![(next, Refusal::Full)] })
        }),
        (any::<[u64; 3]>(), proptest::collection::vec(n, 0..5)).prop_map(
            |([reader, request, heard], ids)| {
                let verdicts = ids.into_iter().map(|id| (id, Verdict::Nack)).collect();
                Record::Fetch(Fetch {
                    reader,
                    request,
                    heard,
                    letters_max: 1,
                    bytes_max: 2,
                    wait_ms: 3,
                    verdicts,
                })
            }
        ),
        (n, n, proptest::collection::vec(letters(), 0..4)).prop_map(|(reader, request, letters)| {
            Record::Delivery { reader, request, letters: Ok(letters) }
        }),
        (n, n).prop_map(|(reader, request)| Record::Delivery {
            reader,
            request,
            letters: Err(Refusal::Unknown)
        }),
        (n, n).prop_map(|(reader, request)| Record::Taken { reader, request }),
    ]
}

proptest! {
    #[test]
    fn what_was_coded_is_read_again(record in records()) {
        let bytes = encode(header(), &record).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), (header(), record.clone()));
        let marked = encode_marked(header(), &record).unwrap();
        prop_assert_eq!(&marked[4..], &bytes[..]);
    }

    #[test]
    fn cut_off_or_spoiled_records_are_errors_or_other_records(record in records(), at in any::<u16>(), to in any::<u8>()) {
        let bytes = encode(header(), &record).unwrap();
        for len in 0..bytes.len() {
            prop_assert!(decode(&bytes[..len]).is_err());
        }
        let mut spoiled = bytes.to_vec();
        let at = usize::from(at) % spoiled.len();
        spoiled[at] = to;
        let _ = decode(&spoiled);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..12u32) {
        let _ = decode(&bytes);
        let mut framed = MAGIC.to_be_bytes().to_vec();
        framed.extend_from_slice(&kind.to_be_bytes());
        framed.extend_from_slice(&bytes);
        let _ = decode(&framed);
        let mut unmarker = Unmarker::default();
        unmarker.push(&bytes);
        while let Ok(Some(record)) = unmarker.next_record() {
            let _ = decode(&record);
        }
    }
}
