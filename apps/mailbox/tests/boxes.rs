//! Boxes as programs use them, in a simulated world: over UDP, over TCP and within one machine.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use tapstack::net::Host;
use tapstack::sim::{Sim, Wire, WireId};
use tapstack::time::Duration;
use tapstack_mailbox::*;

const SERVER: [u8; 4] = [10, 0, 0, 1];

fn server() -> SocketAddr {
    SocketAddr::from((SERVER, PORT))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn name(text: &str) -> BoxName {
    BoxName::new(text).unwrap()
}

/// A host of boxes, a client's machine, and a wire between them.
fn two(seed: u64, wire: Wire) -> (Sim, Host, Host, WireId) {
    let mut net = Sim::new(seed);
    let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
    let wire = net.wire(&a, &b, wire);
    (net, a, b, wire)
}

fn rough() -> Wire {
    Wire { delay: ms(1), loss: 0.05, duplicate: 0.05, reorder: 0.05, reorder_delay: ms(5), ..Wire::default() }
}

/// Runs a body with an office that has a box named "box", and a client over each way.
fn each_way<F: Future<Output = ()>>(options: BoxOptions, body: impl Fn(Office, Host, Client) -> F + Copy) {
    for transport in [Some(Transport::Udp), Some(Transport::Tcp), None] {
        for wire in [Wire::default(), rough()] {
            let (mut net, a, b, _) = two(1, wire);
            net.run(async {
                let office = Office::open(&a, &OfficeOptions::default()).await.unwrap();
                office.create(&name("box"), &options).unwrap();
                let client = match transport {
                    Some(transport) => Client::new(&b, transport, server()).unwrap(),
                    None => office.client(),
                };
                body(office, b.clone(), client).await;
            });
        }
    }
}

fn text(letter: &Letter) -> String {
    String::from_utf8(letter.message.body.to_vec()).unwrap()
}

#[test]
fn messages_come_in_order_whatever_the_way_and_the_semantics() {
    each_way(BoxOptions::default(), |_, _, client| async move {
        for semantics in [Semantics::AtLeastOnce, Semantics::EffectivelyOnce] {
            let sender = client.sender(&name("box"), SenderOptions::new(semantics));
            let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
            for number in 0..200u32 {
                sender.post(Message::new(format!("{number}"))).unwrap();
            }
            assert_eq!(sender.flush().await, 0);
            for number in 0..200u32 {
                let letter = reader.recv().await.unwrap();
                assert_eq!(text(&letter), format!("{number}"), "{semantics}");
                assert_eq!((letter.from.seq, letter.deliveries), (u64::from(number), 1));
                reader.ack(&letter);
            }
            reader.flush().await;
            assert_eq!(reader.try_recv().await.unwrap(), None);
        }
    });
}

#[test]
fn at_most_once_needs_no_verdict_and_is_in_order_where_it_comes() {
    each_way(BoxOptions::default(), |_, host, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::new(Semantics::AtMostOnce));
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        for number in 0..100u32 {
            sender.send(Message::new(format!("{number}"))).await.unwrap();
            host.sleep(ms(1)).await;
        }
        let mut last = None;
        while let Some(letter) = reader.recv_timeout(ms(500)).await.unwrap() {
            assert!(last < Some(letter.from.seq));
            last = Some(letter.from.seq);
        }
        assert!(last > Some(80));
    });
}

#[test]
fn priorities_overtake_and_equal_ones_do_not() {
    each_way(BoxOptions::default(), |_, _, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        for (priority, body) in [(0, "a"), (5, "b"), (0, "c"), (9, "d"), (5, "e")] {
            sender.send(Message { priority, ..Message::new(body) }).await.unwrap();
        }
        let peeked = client.peek(&name("box"), 3).await.unwrap();
        assert_eq!(peeked.iter().map(text).collect::<String>(), "dbe");
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        let mut order = String::new();
        while order.len() < 5 {
            let letter = reader.recv().await.unwrap();
            order.push_str(&text(&letter));
            reader.ack(&letter);
        }
        assert_eq!(order, "dbeac");
    });
}

#[test]
fn an_answer_finds_its_question() {
    each_way(BoxOptions::default(), |office, host, client| async move {
        let own = Address::new(name("answers"), SERVER.into());
        client.create(&own.name, &BoxOptions { kind: Kind::Process, ..BoxOptions::default() }).await.unwrap();
        let answers = client.reader(&own.name, ReaderOptions::default()).await.unwrap();
        let served = office.client();
        let serving = host.spawn(async move {
            let questions = served.reader(&name("box"), ReaderOptions::default()).await.unwrap();
            loop {
                let question = questions.recv().await.unwrap();
                let ReplyTo { address, correlation } = question.message.reply_to.clone().unwrap();
                let sender = served.sender(&address.unwrap().name, SenderOptions::default());
                let reply_to = Some(ReplyTo { address: None, correlation });
                let body = text(&question).to_uppercase();
                sender.send(Message { reply_to, ..Message::new(body) }).await.unwrap();
                questions.ack(&question);
            }
        });
        let sender = client.sender(&name("box"), SenderOptions::default());
        for correlation in [7, 8] {
            let reply_to = Some(ReplyTo { address: Some(own.clone()), correlation });
            sender.send(Message { reply_to, ..Message::new("who?") }).await.unwrap();
            let answer = answers.recv().await.unwrap();
            assert_eq!(answer.message.reply_to, Some(ReplyTo { address: None, correlation }));
            assert_eq!(text(&answer), "WHO?");
            answers.ack(&answer);
        }
        serving.abort();
    });
}

#[test]
fn nack_brings_it_back_until_it_is_a_dead_letter() {
    let options = BoxOptions { deliveries_max: 3, dead_letters: Some(name("dead")), ..BoxOptions::default() };
    each_way(options, |office, _, client| async move {
        office.create(&name("dead"), &BoxOptions::default()).unwrap();
        let sender = client.sender(&name("box"), SenderOptions::default());
        sender.send(Message::new("one")).await.unwrap();
        sender.send(Message::new("two")).await.unwrap();
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        for deliveries in 1..=3 {
            let letter = reader.recv().await.unwrap();
            assert_eq!((text(&letter).as_str(), letter.deliveries), ("one", deliveries));
            reader.nack(&letter);
        }
        let letter = reader.recv().await.unwrap();
        assert_eq!(text(&letter), "two");
        reader.refuse(&letter);
        let dead = client.reader(&name("dead"), ReaderOptions::default()).await.unwrap();
        for (body, reason) in [("one", DeathReason::Undeliverable), ("two", DeathReason::Refused)] {
            let letter = dead.recv().await.unwrap();
            assert_eq!(text(&letter), body);
            assert_eq!(letter.death, Some(Death { in_box: name("box"), reason }));
            dead.ack(&letter);
        }
    });
}

#[test]
fn time_to_live_ends_in_the_box() {
    let options = BoxOptions { dead_letters: Some(name("dead")), ..BoxOptions::default() };
    each_way(options, |office, host, client| async move {
        office.create(&name("dead"), &BoxOptions::default()).unwrap();
        let sender = client.sender(&name("box"), SenderOptions::default());
        let time_to_live = Some(ms(2_000));
        sender.send(Message { time_to_live, ..Message::new("short") }).await.unwrap();
        sender.send(Message::new("long")).await.unwrap();
        host.sleep(ms(2_100)).await;
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        assert_eq!(text(&reader.recv().await.unwrap()), "long");
        let dead = client.reader(&name("dead"), ReaderOptions::default()).await.unwrap();
        let letter = dead.recv().await.unwrap();
        assert_eq!((text(&letter).as_str(), letter.death.unwrap().reason), ("short", DeathReason::Expired));
    });
}

#[test]
fn a_full_box_does_what_it_was_told() {
    let full = |when_full| BoxOptions { messages_max: 4, when_full, ..BoxOptions::default() };
    each_way(full(WhenFull::Reject), |_, _, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        let tickets: Vec<_> = (0..6).map(|_| sender.post(Message::new("x")).unwrap()).collect();
        for (index, ticket) in tickets.into_iter().enumerate() {
            let expected = if index < 4 { Ok(()) } else { Err(SendError::Refused(Refusal::Full)) };
            assert_eq!(sender.outcome(ticket).await, expected);
        }
    });
    each_way(full(WhenFull::DropOldest), |_, _, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        for number in 0..6 {
            sender.send(Message::new(format!("{number}"))).await.unwrap();
        }
        let left: Vec<String> = client.peek(&name("box"), 9).await.unwrap().iter().map(text).collect();
        assert_eq!(left, ["2", "3", "4", "5"]);
    });
    each_way(full(WhenFull::Block), |_, host, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        let tickets: Vec<_> = (0..40).map(|n| sender.post(Message::new(format!("{n}"))).unwrap()).collect();
        assert_eq!(sender.outcome(tickets[3]).await, Ok(()));
        // However long it takes: a full box is no failure.
        assert!(host.timeout(ms(100_000), sender.outcome(tickets[4])).await.is_err());
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        for number in 0..40 {
            let letter = reader.recv().await.unwrap();
            assert_eq!(text(&letter), format!("{number}"));
            reader.ack(&letter);
        }
        assert_eq!(sender.flush().await, 0);
    });
}

#[test]
fn ports_have_one_reader_and_mailboxes_many_and_processes_end() {
    each_way(BoxOptions::default(), |office, host, client| async move {
        let kind = |kind| BoxOptions { kind, ..BoxOptions::default() };
        office.create(&name("port"), &kind(Kind::Port)).unwrap();
        let one = client.reader(&name("port"), ReaderOptions::default()).await.unwrap();
        let refused = client.reader(&name("port"), ReaderOptions::default()).await;
        assert_eq!(refused.err(), Some(AskError::Refused(Refusal::Owned)));
        drop(one);
        let next = loop {
            match client.reader(&name("port"), ReaderOptions::default()).await {
                Ok(reader) => break reader,
                Err(error) => assert_eq!(error, AskError::Refused(Refusal::Owned)),
            }
            host.sleep(ms(100)).await;
        };
        drop(next);

        client.create(&name("process"), &kind(Kind::Process)).await.unwrap();
        let process = client.reader(&name("process"), ReaderOptions::default()).await.unwrap();
        let sender = client.sender(&name("process"), SenderOptions::default());
        sender.send(Message::new("hello")).await.unwrap();
        drop(process);
        host.sleep(ms(2_000)).await;
        assert_eq!(sender.send(Message::new("again")).await, Err(SendError::Refused(Refusal::NoSuchBox)));

        let mut open = Vec::new();
        for _ in 0..2 {
            open.push(client.reader(&name("box"), ReaderOptions::default()).await.unwrap());
        }
        let sender = client.sender(&name("box"), SenderOptions::default());
        for _ in 0..10 {
            sender.post(Message::new("x")).unwrap();
        }
        sender.flush().await;
        let mut got = Vec::new();
        for index in (0..10).map(|n| n % 2) {
            let letter = open[index].recv().await.unwrap();
            open[index].ack(&letter);
            got.push(letter.from.seq);
        }
        got.sort_unstable();
        assert_eq!(got, (0..10).collect::<Vec<u64>>());
    });
}

#[test]
fn a_slow_readers_letter_goes_to_another() {
    let options = BoxOptions { redeliver_after: ms(1_000), ..BoxOptions::default() };
    each_way(options, |_, _, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::new(Semantics::AtLeastOnce));
        sender.send(Message::new("work")).await.unwrap();
        let slow = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        let other = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        let letter = slow.recv().await.unwrap();
        assert_eq!(other.recv_timeout(ms(500)).await.unwrap(), None);
        let again = other.recv().await.unwrap();
        assert_eq!((again.id, again.deliveries), (letter.id, 2));
        other.ack(&again);
        slow.ack(&letter);
        slow.flush().await;
        other.flush().await;
        assert_eq!(slow.recv_timeout(ms(3_000)).await.unwrap(), None);
    });
}

#[test]
fn posts_are_bounded_and_say_so() {
    let (mut net, _, b, _) = two(1, Wire::default());
    net.run(async {
        // Nobody serves there.
        let client = Client::new(&b, Transport::Udp, server()).unwrap();
        let options = SenderOptions { queue_messages_max: 2, ..SenderOptions::default() };
        let sender = client.sender(&name("box"), options);
        let ticket = sender.post(Message::new("1")).unwrap();
        sender.post(Message::new("2")).unwrap();
        let third = Message::new("3");
        assert_eq!(sender.post(third.clone()), Err(PostError::Full(third)));
        let long = Message::new(vec![0; BODY_BYTES_MAX + 1]);
        assert_eq!(sender.post(long.clone()), Err(PostError::Malformed(long)));
        assert_eq!(sender.outcome(ticket).await, Err(SendError::Unreachable));
        assert_eq!(b.now().as_millis() / 1_000, 60, "after a minute");
        assert_eq!(client.list().await, Err(AskError::TimedOut));
    });
}

#[test]
fn boxes_are_made_listed_and_ended_from_afar() {
    each_way(BoxOptions::default(), |_, _, client| async move {
        for number in 0..20 {
            client.create(&name(&format!("n{number:02}")), &BoxOptions::default()).await.unwrap();
        }
        let other = BoxOptions { messages_max: 1, ..BoxOptions::default() };
        assert_eq!(client.create(&name("n00"), &other).await, Err(AskError::Refused(Refusal::Exists)));
        client.delete(&name("n07")).await.unwrap();
        let names: Vec<String> =
            client.list().await.unwrap().iter().map(|one| one.name.to_string()).collect();
        assert_eq!((names.len(), names[0].as_str(), names[8].as_str()), (20, "box", "n08"));
        assert_eq!(client.delete(&name("n07")).await, Err(AskError::Refused(Refusal::NoSuchBox)));
        let durable = BoxOptions { durable: true, ..BoxOptions::default() };
        assert_eq!(client.create(&name("d"), &durable).await, Err(AskError::Refused(Refusal::DiskFailed)));
    });
}

#[test]
fn the_longest_body_comes_whole() {
    each_way(BoxOptions::default(), |_, _, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        let body: Vec<u8> = (0..BODY_BYTES_MAX).map(|n| n as u8).collect();
        for _ in 0..3 {
            sender.send(Message::new(body.clone())).await.unwrap();
        }
        let reader = client.reader(&name("box"), ReaderOptions { prefetch: 100 }).await.unwrap();
        for _ in 0..3 {
            let letter = reader.recv().await.unwrap();
            assert!(letter.message.body == body);
            reader.ack(&letter);
        }
    });
}

#[test]
fn a_flush_takes_a_round_trip_however_many_fetches_wait() {
    each_way(BoxOptions::default(), |_, host, client| async move {
        let sender = client.sender(&name("box"), SenderOptions::default());
        let reader = client.reader(&name("box"), ReaderOptions { prefetch: 1_024 }).await.unwrap();
        for _ in 0..10 {
            sender.send(Message::new("x")).await.unwrap();
            reader.ack(&reader.recv().await.unwrap());
            let before = host.now();
            reader.flush().await;
            // On a rough way it may get lost three times and more.
            assert!(host.now() - before < Duration::from_secs(3), "{:?}", host.now() - before);
        }
    });
}
