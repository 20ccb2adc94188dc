//! Tests of who drives: threads that block, loops that want the driver, and tasks that must not block.

use super::tests::{B, PATIENCE, any, machine, pair, two};
use crate::net::blocking::{TcpListener, TcpStream, UdpSocket};
use crate::net::tap::Machine;
use crate::time::Duration;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    body: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    std::thread::Builder::new().spawn_scoped(scope, body).unwrap()
}

/// Two machines without any loop: only calls drive them.
fn undriven() -> (Machine, Machine) {
    let (one, other) = pair();
    (machine("a", 1, one), machine("b", 2, other))
}

fn echo(listener: &TcpListener, connections: usize) {
    std::thread::scope(|scope| {
        for stream in listener.incoming().take(connections) {
            let stream = stream.unwrap();
            start(scope, move || io::copy(&mut &stream, &mut &stream).unwrap());
        }
    });
}

fn exchange(a: &Machine, rounds: u32) {
    let stream = TcpStream::connect(&a.host(), SocketAddr::new(B, 7)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 4];
    for round in 0..rounds {
        (&stream).write_all(&round.to_be_bytes()).unwrap();
        (&stream).read_exact(&mut answer).unwrap();
        assert_eq!(answer, round.to_be_bytes());
    }
}

#[test]
fn threads_that_block_drive_and_hand_the_driver_on() {
    let (a, b) = undriven();
    let listener = TcpListener::bind(&b.host(), any(7)).unwrap();
    let a = &a;
    std::thread::scope(|scope| {
        start(scope, || echo(&listener, 4));
        // Threads come and go at different times, so the driver passes through many hands.
        let threads: Vec<_> =
            [50, 400, 150, 300].map(|rounds| start(scope, move || exchange(a, rounds))).into();
        for thread in threads {
            thread.join().unwrap();
        }
        // What is left of the connections' ends needs driving once nobody waits at a.
        while b.host().with_stack(|_, stack| stack.sockets_open()) > 1 {
            a.turn(Some(Duration::from_millis(1))).unwrap();
        }
    });
}

#[test]
fn a_loop_gets_the_driver_from_a_thread_that_blocks() {
    let (a, b) = two();
    let socket = UdpSocket::bind(&a.host(), any(7)).unwrap();
    let got = AtomicBool::new(false);
    std::thread::scope(|scope| {
        start(scope, || {
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
            got.store(true, Ordering::SeqCst);
        });
        let host = a.host();
        a.run(async { host.sleep(Duration::from_millis(30)).await }).unwrap();
        for _ in 0..10 {
            a.turn(Some(Duration::from_millis(1))).unwrap();
        }
        assert!(!got.load(Ordering::SeqCst));
        // Nobody but the blocked thread is there to receive this.
        let sender = UdpSocket::bind(&b.host(), any(0)).unwrap();
        sender.send_to(b"x", SocketAddr::new(super::tests::A, 7)).unwrap();
    });
    assert!(got.load(Ordering::SeqCst));
}

#[test]
fn a_blocked_thread_takes_over_when_a_loop_ends() {
    let (a, b) = undriven();
    let (a, listener) = (a.spawn().unwrap(), TcpListener::bind(&b.host(), any(7)).unwrap());
    let host = a.host();
    std::thread::scope(|scope| {
        start(scope, || echo(&listener, 1));
        let stream = TcpStream::connect(&host, SocketAddr::new(B, 7)).unwrap();
        let reader = stream.try_clone().unwrap();
        let read = start(scope, move || (&reader).read(&mut [0; 8]).unwrap());
        a.shutdown().unwrap();
        (&stream).write_all(b"later").unwrap();
        assert_eq!(read.join().unwrap(), 5);
        drop(stream);
    });
}

#[test]
fn a_wait_ends_with_its_time_and_leaves_nothing_behind() {
    let (a, _b) = undriven();
    let socket = UdpSocket::bind(&a.host(), any(7)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    std::thread::scope(|scope| {
        let waits: Vec<_> =
            (0..4).map(|_| start(scope, || socket.recv(&mut [0; 8]).unwrap_err().kind())).collect();
        for wait in waits {
            assert_eq!(wait.join().unwrap(), io::ErrorKind::WouldBlock);
        }
    });
    // The driver is free, for a loop too.
    a.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_task_that_would_block_its_own_loop_is_told() {
    let (a, _b) = two();
    let socket = UdpSocket::bind(&a.host(), any(7)).unwrap();
    let error = a.run(async { socket.recv(&mut [0; 8]).unwrap_err() }).unwrap();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    socket.set_nonblocking(true).unwrap();
    let error = a.run(async { socket.recv(&mut [0; 8]).unwrap_err() }).unwrap();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_device_that_fails_ends_all_waits() {
    let (one, other) = pair();
    let a = machine("a", 1, one);
    let socket = UdpSocket::bind(&a.host(), any(7)).unwrap();
    std::thread::scope(|scope| {
        let waits: Vec<_> =
            (0..3).map(|_| start(scope, || socket.recv(&mut [0; 8]).unwrap_err().kind())).collect();
        drop(other);
        for wait in waits {
            // The thread that drives sees the device's error, the others that the machine is down.
            let kind = wait.join().unwrap();
            assert!(matches!(kind, io::ErrorKind::NetworkDown | io::ErrorKind::NotConnected), "{kind:?}");
        }
    });
}

#[test]
fn a_simulated_world_has_no_threads_to_block() {
    let mut net = crate::sim::Sim::new(1);
    let host = net.machine("a", "10.0.0.1/24");
    let error = TcpListener::bind(&host, any(7)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("async"));
    assert_eq!(UdpSocket::bind(&host, any(7)).unwrap_err().kind(), io::ErrorKind::Unsupported);
    let connected = TcpStream::connect(&host, SocketAddr::new(B, 7));
    assert_eq!(connected.unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert!(net.run(async { host.tcp_listen(any(7)) }).is_ok());
}
