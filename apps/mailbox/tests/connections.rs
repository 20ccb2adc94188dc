//! Connections over mailboxes, with losses below.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use tapstack::sim::{Sim, Wire};
use tapstack::time::Duration;
use tapstack_mailbox::conn::{Connection, Listener, SEGMENT_BYTES};
use tapstack_mailbox::*;

#[test]
fn messages_of_any_length_come_whole_and_in_order() {
    for (seed, loss) in (0..30).map(|seed| (seed, [0.0, 0.05, 0.1][seed as usize % 3])) {
        let mut net = Sim::new(seed);
        let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
        let wire = Wire {
            delay: Duration::from_millis(1),
            loss,
            duplicate: loss,
            reorder: loss,
            reorder_delay: Duration::from_millis(3),
            ..Wire::default()
        };
        net.wire(&a, &b, wire);
        let [at_a, at_b] = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], PORT)));
        let name = BoxName::new("calls").unwrap();
        let sizes = [0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 100_000];
        let (own, box_name) = (a.clone(), name.clone());
        let serving = a.spawn(async move {
            let office = Office::open(&own, &OfficeOptions::default()).await.unwrap();
            let client = office.client();
            let listener = Listener::bind(&own, &client, at_a, &box_name).await.unwrap();
            let mut connection =
                listener.accept(|host| Client::new(&own, Transport::Udp, host)).await.unwrap();
            // Echoes until the other end has closed.
            while let Some(message) = connection.recv(Duration::from_secs(60)).await.unwrap() {
                connection.send(message).await.unwrap();
            }
            connection.close().await.unwrap();
        });
        net.run(async {
            let office = Office::open(&b, &OfficeOptions::default()).await.unwrap();
            let peer = Client::new(&b, Transport::Udp, at_a).unwrap();
            b.sleep(Duration::from_millis(50)).await;
            let mut connection = Connection::connect(&b, &office.client(), at_b, peer, &name).await.unwrap();
            for (index, size) in sizes.into_iter().enumerate() {
                let message: Vec<u8> = (0..size).map(|n| (n * 7 + index) as u8).collect();
                connection.send(message.clone().into()).await.unwrap();
                let echo = connection.recv(Duration::from_secs(60)).await.unwrap().unwrap();
                assert!(echo == message, "seed {seed}: {size} bytes come back as {}", echo.len());
            }
            connection.close().await.unwrap();
            serving.await.unwrap();
        });
    }
}
