//! Tests of the simulated world, with hosts that ping and send datagrams.

use super::*;
use crate::capture::{Capture, CaptureOptions};
use crate::net::{Host, UdpSocket};
use crate::time::Duration;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two machines and a wire between them.
fn two(seed: u64, wire: Wire) -> (Sim, Host, Host, WireId) {
    let mut net = Sim::new(seed);
    let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
    let wire = net.wire(&a, &b, wire);
    (net, a, b, wire)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// Sends back what it gets, for ever.
async fn echo(host: Host, port: u16) {
    let socket = host.udp_bind(any(port)).unwrap();
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(&buffer[..len], from).await.unwrap();
    }
}

async fn connected(host: &Host, port: u16) -> UdpSocket {
    let socket = host.udp_bind(any(0)).unwrap();
    socket.connect(SocketAddr::new(B, port)).await.unwrap();
    socket
}

#[test]
fn a_ping_takes_two_delays_and_no_real_time() {
    let (mut net, a, ..) = two(1, Wire { delay: ms(5), ..Wire::default() });
    let (first, second) = net.run(async {
        (a.ping(B, b"who?", ms(100)).await.unwrap(), a.ping(B, b"again", ms(100)).await.unwrap())
    });
    assert_eq!(first.rtt, ms(15), "b's announcement is there before the answer to ARP");
    assert_eq!((second.rtt, second.len, second.from), (ms(10), 5, B));
}

#[test]
fn a_machine_pings_itself() {
    let (mut net, a, ..) = two(1, Wire::default());
    let pong = net.run(async { a.ping("127.0.0.1".parse().unwrap(), b"me", ms(100)).await.unwrap() });
    assert_eq!(pong.rtt, Duration::ZERO);
    let pong = net.run(async { a.ping("10.0.0.1".parse().unwrap(), b"me", ms(100)).await.unwrap() });
    assert_eq!(pong.rtt, Duration::ZERO);
}

#[test]
fn an_unanswered_ping_times_out() {
    let (mut net, a, _, wire) = two(1, Wire { loss: 1.0, ..Wire::default() });
    let error = net.run(async { a.ping(B, b"", ms(50)).await.unwrap_err() });
    assert_eq!((error.kind(), net.now()), (ErrorKind::TimedOut, EPOCH + ms(50)));
    let (there, _) = net.counts(wire);
    assert_eq!(there.impairments.lost, there.impairments.frames);
    assert!(there.impairments.frames > 0);
}

#[test]
fn datagrams_cross_a_switch_and_come_back() {
    let mut net = Sim::new(1);
    let switch = net.switch("switch");
    let [a, b, c] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, number)| {
        let host = net.machine(name, &format!("10.0.0.{number}/24"));
        (net.plug(&switch, &host, Wire::default()), host)
    });
    b.1.spawn(echo(b.1.clone(), 7));
    net.run(async {
        let socket = connected(&a.1, 7).await;
        let mut buffer = [0; 64];
        for number in 0..50u8 {
            socket.send(&[number; 40]).await.unwrap();
            assert_eq!(socket.recv(&mut buffer).await.unwrap(), 40);
            assert_eq!(buffer[0], number);
        }
    });
    let (_, to_a) = net.counts(a.0);
    let (_, to_c) = net.counts(c.0);
    assert!(to_a.impairments.frames > 50);
    assert!(to_c.impairments.frames < 10, "a switch that has learned does not flood");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let run = |seed| {
        let lossy = Wire { loss: 0.3, jitter: ms(3), duplicate: 0.2, ..Wire::default() };
        let (mut net, a, b, _) = two(seed, lossy);
        let capture = Capture::new(CaptureOptions::default());
        net.capture(&capture);
        b.spawn(echo(b.clone(), 7));
        net.run(async {
            let socket = connected(&a, 7).await;
            for _ in 0..50 {
                socket.send(&a.random_u64().to_le_bytes()).await.unwrap();
                let _ = a.timeout(ms(10), socket.recv(&mut [0; 64])).await;
            }
        });
        capture.take()
    };
    let first = run(1);
    assert!(first == run(1));
    assert!(first != run(2));
}

#[test]
fn a_machines_chance_follows_from_its_name_alone() {
    let mut one = Sim::new(5);
    let first = one.machine("a", "10.0.0.1/24").random_u64();
    let mut other = Sim::new(5);
    let b = other.machine("b", "10.0.0.2/24").random_u64();
    assert_eq!(other.machine("a", "10.0.0.1/24").random_u64(), first);
    assert_ne!(first, b);
}

#[test]
fn an_icmp_error_reaches_the_socket() {
    let (mut net, a, ..) = two(1, Wire::default());
    let error = net.run(async {
        let socket = connected(&a, 9).await;
        socket.send(b"anybody?").await.unwrap();
        socket.recv(&mut [0; 8]).await.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn each_of_several_waiters_gets_a_datagram() {
    let (mut net, a, b, _) = two(1, Wire::default());
    let socket = Arc::new(b.udp_bind(any(7)).unwrap());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let socket = Arc::clone(&socket);
            b.spawn(async move {
                let mut buffer = [0; 8];
                socket.recv(&mut buffer).await.unwrap();
                buffer[0]
            })
        })
        .collect();
    let mut got = net.run(async {
        let sender = connected(&a, 7).await;
        for number in 0..3u8 {
            sender.send(&[number]).await.unwrap();
        }
        let mut got = Vec::new();
        for handle in waiting {
            got.push(handle.await.unwrap());
        }
        got
    });
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
}

#[test]
fn sleepers_wake_in_time_and_days_cost_nothing() {
    let (mut net, a, b, _) = two(1, Wire::default());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    for (number, host, millis) in [(0, &a, 30), (1, &b, 10), (2, &a, 10), (3, &b, 20)] {
        let (order, own) = (Arc::clone(&order), host.clone());
        host.spawn(async move {
            own.sleep(ms(millis)).await;
            order.lock().unwrap().push(number);
        });
    }
    net.run_for(ms(25));
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    assert_eq!(net.now(), EPOCH + ms(25));
    net.run_until_idle();
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 0]);
    let hour = Duration::from_secs(3600);
    let done = net.run(async { a.timeout(hour * 48, b.sleep(hour * 24)).await });
    assert!(done.is_ok());
}

#[test]
fn a_timeout_drops_what_it_waited_for() {
    let (mut net, a, ..) = two(1, Wire::default());
    let error = net.run(async {
        let socket = a.udp_bind(any(7)).unwrap();
        for _ in 0..1000 {
            let wait = a.timeout(ms(1), socket.recv(&mut [0; 8])).await;
            assert_eq!(wait.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        a.timeout(ms(1), std::future::pending::<()>()).await.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(net.now(), EPOCH + ms(1001));
}

#[test]
#[should_panic(expected = "the world stands still")]
fn a_world_without_events_is_an_error() {
    let (mut net, a, ..) = two(42, Wire::default());
    net.run(async { a.udp_bind(any(7)).unwrap().recv(&mut [0; 8]).await.unwrap() });
}

#[test]
#[should_panic(expected = "the world spins")]
fn a_world_that_spins_is_an_error() {
    let (mut net, ..) = two(42, Wire::default());
    net.run(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
}

#[test]
#[should_panic(expected = "nobody looks")]
fn a_panic_that_nobody_joins_ends_the_run() {
    let (mut net, a, ..) = two(1, Wire::default());
    drop(a.spawn(async { panic!("nobody looks") }));
    net.run(a.sleep(ms(1)));
}

#[test]
fn a_panic_that_is_joined_does_not() {
    let (mut net, a, ..) = two(1, Wire::default());
    let task = a.spawn(async { panic!("somebody looks") });
    let error = net.run(async { task.await.map(|()| "fine").unwrap_err() });
    assert!(error.is_panic());
}

#[test]
fn a_crash_is_silent_and_a_restart_begins_anew() {
    let (mut net, a, b, wire) = two(1, Wire::default());
    let socket = net.run(async { connected(&b, 9).await });
    let polls = Arc::new(AtomicU32::new(0));
    let (count, own) = (Arc::clone(&polls), b.clone());
    let ticking = b.spawn(async move {
        let _open = own.udp_bind(any(7)).unwrap();
        loop {
            count.fetch_add(1, Ordering::SeqCst);
            own.sleep(ms(1)).await;
        }
    });
    net.run(async { a.ping(B, b"", ms(100)).await.unwrap() });
    net.crash(&b);
    let (before, (_, sent)) = (polls.load(Ordering::SeqCst), net.counts(wire));
    let error = net.run(async { a.ping(B, b"", ms(100)).await.unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!((polls.load(Ordering::SeqCst), net.counts(wire).1), (before, sent));
    assert!(before > 0);
    assert!(net.run(ticking).unwrap_err().is_aborted());
    assert_eq!(b.udp_bind(any(7)).unwrap_err().kind(), ErrorKind::NetworkDown);
    net.restart(&b);
    net.run(async {
        assert!(a.ping(B, b"", ms(1000)).await.is_ok());
        let error = socket.send(b"of the first life").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        assert!(b.udp_bind(any(7)).is_ok(), "the port is free again");
    });
}

#[test]
fn a_crash_sends_no_fin_and_the_next_life_resets_the_connection() {
    let (mut net, a, b, wire) = two(1, Wire::default());
    let (listener, own) = (b.tcp_listen(any(7)).unwrap(), b.clone());
    b.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        own.sleep(ms(60_000)).await;
        drop(stream);
    });
    let stream = net.run(async {
        let stream = a.tcp_connect(SocketAddr::new(B, 7)).await.unwrap();
        stream.write_all(b"before").await.unwrap();
        a.sleep(ms(500)).await;
        stream
    });
    let (_, before) = net.counts(wire);
    net.crash(&b);
    net.run_for(ms(500));
    assert_eq!(net.counts(wire).1, before, "not a frame, and so no FIN");
    assert_eq!(net.run(a.timeout(ms(1), stream.read(&mut [0; 8]))).unwrap_err().kind(), ErrorKind::TimedOut);
    net.restart(&b);
    net.run(async {
        stream.write_all(b"after").await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_scenario_can_crash_a_machine_from_inside() {
    let (mut net, a, b, wire) = two(1, Wire::default());
    let controls = net.controls();
    net.run(async {
        assert!(a.ping(B, b"", ms(100)).await.is_ok());
        controls.set_wire(wire, Wire { loss: 1.0, ..Wire::default() });
        assert!(a.ping(B, b"", ms(100)).await.is_err());
        controls.set_wire(wire, Wire::default());
        assert!(a.ping(B, b"", ms(100)).await.is_ok());
        controls.crash(&b);
        assert!(a.ping(B, b"", ms(100)).await.is_err());
        controls.restart(&b);
        assert!(a.ping(B, b"", ms(1000)).await.is_ok());
    });
}

#[test]
#[should_panic(expected = "of another world")]
fn machines_of_two_worlds_can_not_be_wired() {
    let (mut net, a, ..) = two(1, Wire::default());
    let stranger = Sim::new(1).machine("b", "10.0.0.2/24");
    net.wire(&a, &stranger, Wire::default());
}
