//! What a host does about bad input, slow peers, and crashes: through its sockets and its disk, in a simulated world.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use tapstack::net::Host;
use tapstack::sim::{Sim, Wire};
use tapstack::time::Duration;
use tapstack_mailbox::wire::{Header, Record, encode};
use tapstack_mailbox::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn name(text: &str) -> BoxName {
    BoxName::new(text).unwrap()
}

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], PORT))
}

fn two() -> (Sim, Host, Host) {
    let mut net = Sim::new(1);
    let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
    net.wire(&a, &b, Wire { delay: ms(1), ..Wire::default() });
    (net, a, b)
}

async fn open(host: &Host, durable: bool) -> Office {
    let office = Office::open(host, &OfficeOptions { durable, ..OfficeOptions::default() }).await.unwrap();
    office.create(&name("box"), &BoxOptions { durable, ..BoxOptions::default() }).unwrap();
    office
}

/// That somebody who behaves is served.
async fn works(host: &Host, transport: Transport) {
    let client = Client::new(host, transport, server()).unwrap();
    let sender = client.sender(&name("box"), SenderOptions::default());
    sender.send(Message::new("works")).await.unwrap();
    let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
    let letter = reader.recv().await.unwrap();
    assert_eq!(letter.message.body, "works");
    reader.ack(&letter);
    reader.flush().await;
}

#[test]
fn datagrams_of_any_bytes_are_counted_and_answered_by_no_more() {
    let (mut net, a, b) = two();
    net.run(async {
        let office = open(&a, false).await;
        let socket = b.udp_bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let hello = encode(Header::default(), &Record::Hello { nonce: 1 }).unwrap();
        let (mut sent, mut received) = (0, 0);
        for round in 0..500 {
            let mut bytes = vec![0; rng.usize(0..200)];
            rng.fill(&mut bytes);
            if round % 2 == 0 {
                let len = bytes.len().min(hello.len());
                bytes[..len].copy_from_slice(&hello[..len]);
                if let Some(byte) = bytes.get_mut(rng.usize(0..60)) {
                    *byte = rng.u8(..);
                }
            }
            sent += socket.send_to(&bytes, server()).await.unwrap();
            while let Ok(Ok((len, _))) = b.timeout(ms(5), socket.recv_from(&mut [0; 2048])).await {
                received += len;
            }
        }
        assert!(received > 0 && received <= sent, "{sent} bytes were answered by {received}");
        let counters = office.counters();
        assert!(counters.malformed > 100 && counters.stale > 10, "{counters:?}");
        works(&b, Transport::Udp).await;
    });
}

#[test]
fn connections_that_bring_what_is_no_record_are_ended_and_so_are_those_that_stand_still() {
    let (mut net, a, b) = two();
    net.run(async {
        let office = open(&a, false).await;
        for bytes in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0x80, 0, 0, 24], &[0xff; 40], &[0; 64]] {
            let stream = b.tcp_connect(server()).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            if bytes.len() > 4 {
                assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0, "{bytes:?}");
                continue;
            }
            // A record that never comes, a byte at a time.
            let before = b.now();
            loop {
                b.sleep(Duration::from_secs(20)).await;
                if stream.write_all(&[0]).await.is_err() {
                    break;
                }
            }
            assert!(b.now().since(before) < CONNECTION_IDLE_MAX * 2);
        }
        let counts = office.connections();
        assert_eq!((counts.accepted, counts.malformed, counts.idle), (4, 3, 1));
        works(&b, Transport::Tcp).await;
    });
}

#[test]
fn too_many_connections_are_refused_and_make_room_again() {
    let (mut net, a, b) = two();
    net.run(async {
        let office = open(&a, false).await;
        let mut held = Vec::new();
        while office.connections().too_many == 0 {
            held.push(b.tcp_connect(server()).await.unwrap());
            b.sleep(ms(5)).await;
        }
        assert_eq!(office.connections().accepted, CONNECTIONS_MAX as u64);
        drop(held);
        works(&b, Transport::Tcp).await;
    });
}

#[test]
fn a_durable_box_outlives_crashes_and_its_log_does_not_grow_for_ever() {
    let (mut net, a, b) = two();
    let controls = net.controls();
    net.run(async {
        let mut office = open(&a, true).await;
        let client = Client::new(&b, Transport::Tcp, server()).unwrap();
        let sender = client.sender(&name("box"), SenderOptions::default());
        let reader = client.reader(&name("box"), ReaderOptions { prefetch: 64 }).await.unwrap();
        for round in 0..40u8 {
            for _ in 0..100 {
                sender.post(Message::new(vec![round; 1 << 10])).unwrap();
            }
            assert_eq!(sender.flush().await, 0);
            for _ in 0..100 {
                let letter = reader.recv().await.unwrap();
                assert_eq!(letter.message.body[0], round);
                reader.ack(&letter);
            }
        }
        reader.flush().await;
        let log = a.disk().unwrap().open("mailbox.log").unwrap().len().unwrap();
        assert!(log < 2 * COMPACTION_BYTES_MIN, "4 MiB went through a log of {log} bytes");
        for number in 0..10u8 {
            sender.send(Message { priority: number % 2, ..Message::new(vec![number]) }).await.unwrap();
        }
        let _ = reader.recv().await.unwrap();
        for _ in 0..3 {
            controls.crash(&a);
            b.sleep(ms(50)).await;
            controls.restart(&a);
            office = open(&a, true).await;
        }
        drop(reader);
        let reader = client.reader(&name("box"), ReaderOptions::default()).await.unwrap();
        let mut order = Vec::new();
        while order.len() < 10 {
            let letter = reader.recv().await.unwrap();
            order.push(letter.message.body[0]);
            reader.ack(&letter);
        }
        order.sort_unstable();
        assert_eq!(order, (0..10).collect::<Vec<u8>>());
        assert_eq!(reader.try_recv().await.unwrap(), None);
        assert!(office.counters().groups > 0);
    });
}

#[test]
fn a_file_that_is_no_log_is_left_alone() {
    let (mut net, a, _) = two();
    net.run(async {
        let file = a.disk().unwrap().create("mailbox.log").unwrap();
        file.append(b"somebody else's letters").unwrap();
        let options = OfficeOptions { durable: true, ..OfficeOptions::default() };
        let error = Office::open(&a, &options).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert_eq!(file.read_all(100).unwrap(), b"somebody else's letters");
    });
}

#[test]
fn at_most_once_a_host_that_is_down_loses_one_window_and_the_rest_waits() {
    let (mut net, a, b) = two();
    let controls = net.controls();
    net.run(async {
        let office = open(&a, false).await;
        let client = Client::new(&b, Transport::Udp, server()).unwrap();
        let options = SenderOptions {
            give_up_after: Duration::from_secs(20),
            ..SenderOptions::new(Semantics::AtMostOnce)
        };
        let sender = client.sender(&name("box"), options);
        sender.send(Message::new("first")).await.unwrap();
        b.sleep(ms(100)).await;
        drop(office);
        controls.crash(&a);
        let mut tickets = Vec::new();
        for number in 0..1_000 {
            tickets.push(sender.post(Message::new(format!("{number}"))).unwrap());
            b.sleep(ms(10)).await;
        }
        controls.restart(&a);
        let office = open(&a, false).await;
        for ticket in tickets {
            sender.outcome(ticket).await.unwrap();
        }
        let reader = office.client().reader(&name("box"), ReaderOptions::default()).await.unwrap();
        let mut came = 0;
        while reader.recv_timeout(ms(500)).await.unwrap().is_some() {
            came += 1;
        }
        assert!((950..1_000).contains(&came), "{came} of 1000");
        // And what could never be sent has not been said to be on its way.
        controls.crash(&a);
        sender.send(Message::new("into the void")).await.unwrap();
        b.sleep(ms(500)).await;
        assert_eq!(sender.send(Message::new("last")).await, Err(SendError::Unreachable));
    });
}
