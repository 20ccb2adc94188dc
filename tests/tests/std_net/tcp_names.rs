//! Behaviours of binding, listening and connecting: who may have which address, and how attempts fail.

use super::tcp::{accepted, connected};
use super::world::{Listener, Log, Net, PAUSE, Stream, TIMEOUT, World, nobody, show};
use super::{Entry, entry};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;
use tapstack::net::ListenOptions;

pub(crate) fn list<W: World>() -> Vec<Entry<W>> {
    vec![
        entry("accept_order", accept_order),
        entry("backlog", backlog),
        entry("connect_refused", connect_refused),
        entry("connect_nonblocking", connect_nonblocking),
        entry("connect_in_progress", connect_in_progress),
        entry("connect_without_a_route", connect_without_a_route),
        entry("connect_to_nobody", connect_to_nobody),
        entry("connect_to_odd_addresses", connect_to_odd_addresses),
        entry("connect_to_port_0", connect_to_port_0).differs(
            "Linux sends its SYN to port 0, which is reserved (RFC 6335 section 6), and is refused there; ours isn't sent",
        ),
        entry("bind_in_use", bind_in_use),
        entry("bind_to_broadcast", bind_to_broadcast)
            .differs("Linux lets TCP listen where no connection can ever come; ours says so"),
        entry("bind_beside_connections", bind_beside_connections),
        entry("bind_beside_time_wait", bind_beside_time_wait),
        entry("bind_beside_closed_clients", bind_beside_closed_clients),
        entry("reuse_port", reuse_port),
    ]
}

const PLAIN: ListenOptions = ListenOptions { backlog: 128, reuse_address: false, reuse_port: false };
const REUSE: ListenOptions = ListenOptions { reuse_address: true, ..PLAIN };

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn accept_order<W: World>(w: &W, log: &mut Log) {
    let listener = w.us().listen(any(7000)).unwrap();
    let mut came = Vec::new();
    let _them: Vec<_> = (0..5)
        .map(|_| {
            thread::scope(|scope| {
                let them = scope.spawn(|| w.them().connect(w.us().at(7000)).unwrap());
                w.us().pause(PAUSE / 4);
                let them = them.join().unwrap();
                came.push(them.local_addr().unwrap());
                them
            })
        })
        .collect();
    let order = came.iter().all(|them| {
        let (us, peer) = listener.accept().unwrap();
        peer == *them && us.local_addr().unwrap() == w.us().at(7000)
    });
    log.note("first come, first accepted", order);
}

fn backlog<W: World>(w: &W, log: &mut Log) {
    let _listener = w.us().listen_with(any(7000), ListenOptions { backlog: 1, ..REUSE }).unwrap();
    let attempts = thread::scope(|scope| {
        let attempts = scope.spawn(|| {
            let attempt = || w.them().connect_timeout(w.us().at(7000), TIMEOUT);
            [attempt(), attempt(), attempt(), attempt()]
        });
        while !attempts.is_finished() {
            w.us().pause(PAUSE);
        }
        attempts.join().unwrap()
    });
    for attempt in &attempts {
        log.note(
            "one comes",
            show(&attempt.as_ref().map(drop).map_err(|error| io::Error::from(error.kind()))),
        );
    }
}

fn connect_refused<W: World>(w: &W, log: &mut Log) {
    log.timed("at once", || w.us().connect(w.them().at(9)).map(drop));
    log.timed("with a time-out", || w.us().connect_timeout(w.them().at(9), TIMEOUT).map(drop));
    let us = w.us().connect_nonblocking(w.them().at(9)).unwrap();
    w.us().pause(PAUSE);
    log.result("nonblocking: peer", us.peer_addr());
    log.result("nonblocking: the error", us.take_error().unwrap().map_or(Ok(()), Err));
    log.result("nonblocking: the error once more", us.take_error().unwrap().map_or(Ok(()), Err));
    log.result("nonblocking: then a write", us.write(b"x"));
    log.result("nonblocking: then a read", us.read(&mut [0; 8]));
    let us = w.us().connect_nonblocking(w.them().at(9)).unwrap();
    w.us().pause(PAUSE);
    log.result("nonblocking: a read", us.read(&mut [0; 8]));
    log.result("nonblocking: and again", us.read(&mut [0; 8]));
    log.result("nonblocking: then a write", us.write(b"x"));
    let us = w.us().connect_nonblocking(w.them().at(9)).unwrap();
    w.us().pause(PAUSE);
    log.result("nonblocking: a write", us.write(b"x"));
    log.result("nonblocking: and again", us.write(b"x"));
    log.result("nonblocking: then shutdown", us.shutdown(Shutdown::Both));
}

fn connect_nonblocking<W: World>(w: &W, log: &mut Log) {
    let listener = w.them().listen(w.them().at(0)).unwrap();
    let us = w.us().connect_nonblocking(listener.local_addr().unwrap()).unwrap();
    w.us().pause(PAUSE);
    log.result("the error", us.take_error().map(|error| error.is_some()));
    log.note("the peer", us.peer_addr().ok() == listener.local_addr().ok());
    log.result("a read", us.read(&mut [0; 8]));
    log.result("a write", us.write(b"x"));
    let (them, _) = listener.accept().unwrap();
    log.result("arrives", them.read(&mut [0; 8]));
}

fn connect_in_progress<W: World>(w: &W, log: &mut Log) {
    // Nobody has this address, and it takes the machine a second or more to be sure.
    let us = w.us().connect_nonblocking(nobody(9)).unwrap();
    log.result("a read", us.read(&mut [0; 8]));
    log.result("a peek", us.peek(&mut [0; 8]));
    log.result("a write", us.write(b"x"));
    log.result("the peer", us.peer_addr());
    log.note("the local port", us.local_addr().map(|address| address.port() != 0).ok());
    log.result("the error", us.take_error().map(|error| error.is_some()));
    log.result("shutdown", us.shutdown(Shutdown::Both));
    w.us().pause(PAUSE);
    log.result("then a read", us.read(&mut [0; 8]));
    log.result("then a write", us.write(b"x"));
}

fn connect_without_a_route<W: World>(w: &W, log: &mut Log) {
    let far = SocketAddr::from(([192, 0, 2, 1], 9));
    log.timed("connect", || w.us().connect(far).map(drop));
    log.timed("with a time-out", || w.us().connect_timeout(far, TIMEOUT).map(drop));
    log.result("nonblocking", w.us().connect_nonblocking(far).map(drop));
}

fn connect_to_nobody<W: World>(w: &W, log: &mut Log) {
    log.timed("with a time-out", || w.us().connect_timeout(nobody(9), TIMEOUT).map(drop));
    log.timed("connect", || w.us().connect(nobody(9)).map(drop));
}

fn connect_to_odd_addresses<W: World>(w: &W, log: &mut Log) {
    log.result("broadcast", w.us().connect(SocketAddr::from(([10, 0, 0, 255], 9))).map(drop));
    log.result("everybody", w.us().connect(SocketAddr::from(([255, 255, 255, 255], 9))).map(drop));
    log.result("multicast", w.us().connect(SocketAddr::from(([224, 0, 0, 5], 9))).map(drop));
    let listener = w.us().listen(any(7000)).unwrap();
    let us = w.us().connect(any(7000));
    log.note("0.0.0.0 is this host", us.as_ref().map(|us| us.peer_addr().ok()).ok());
    drop(listener);
    log.result(
        "IPv6",
        w.us().connect("[::1]:9".parse().unwrap()).map(drop).map_err(|error| {
            // Where the kernel has IPv6, nobody listens there; ours has none.
            match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::Unsupported => io::ErrorKind::Other.into(),
                _ if error.raw_os_error() == Some(99) || error.raw_os_error() == Some(97) => {
                    io::ErrorKind::Other.into()
                }
                _ => error,
            }
        }),
    );
}

fn connect_to_port_0<W: World>(w: &W, log: &mut Log) {
    log.result("connect", w.us().connect(w.them().at(0)).map(drop));
}

fn bind_in_use<W: World>(w: &W, log: &mut Log) {
    let us = w.us();
    let first = us.listen(us.at(7000)).unwrap();
    log.result("the same", us.listen(us.at(7000)).map(drop));
    log.result("the same, without reuse", us.listen_with(us.at(7000), PLAIN).map(drop));
    log.result("any", us.listen(any(7000)).map(drop));
    log.result("another address", us.listen(SocketAddr::from(([127, 0, 0, 5], 7000))).map(drop));
    log.result("another port", us.listen(us.at(7001)).map(drop));
    drop(first);
    log.result("when it is free again", us.listen_with(us.at(7000), PLAIN).map(drop));
    let _any = us.listen(any(7000)).unwrap();
    log.result("beside any", us.listen(us.at(7000)).map(drop));
    log.result("a foreign address", us.listen(SocketAddr::from(([192, 0, 2, 1], 7000))).map(drop));
    let ports: Vec<u16> =
        [us.listen(any(0)), us.listen(any(0))].map(|it| it.unwrap().local_addr().unwrap().port()).into();
    log.note("port 0 gives ports", ports[0] != ports[1] && ports.iter().all(|&port| port > 1023));
    // What a client uses is taken, too.
    let (client, _them) = connected(w);
    let local = client.local_addr().unwrap();
    log.result("a client's port", us.listen_with(local, PLAIN).map(drop));
    log.result("a client's port, with reuse", us.listen_with(local, REUSE).map(drop));
    let elsewhere = SocketAddr::from(([127, 0, 0, 5], local.port()));
    log.result("a client's port, elsewhere", us.listen_with(elsewhere, PLAIN).map(drop));
}

fn bind_to_broadcast<W: World>(w: &W, log: &mut Log) {
    log.result("listen", w.us().listen(SocketAddr::from(([10, 0, 0, 255], 7000))).map(drop));
}

fn bind_beside_connections<W: World>(w: &W, log: &mut Log) {
    let us = w.us();
    let (first, them) = accepted(w);
    let local = first.local_addr().unwrap();
    log.result("beside a connection", us.listen_with(local, PLAIN).map(drop));
    log.result("with reuse", us.listen_with(local, REUSE).map(drop));
    log.result("any", us.listen_with(any(local.port()), PLAIN).map(drop));
    log.result("any, with reuse", us.listen_with(any(local.port()), REUSE).map(drop));
    let elsewhere = SocketAddr::from(([127, 0, 0, 5], local.port()));
    log.result("elsewhere", us.listen_with(elsewhere, PLAIN).map(drop));
    drop((first, them));
}

fn bind_beside_time_wait<W: World>(w: &W, log: &mut Log) {
    let us = w.us();
    let (first, them) = accepted(w);
    let local = first.local_addr().unwrap();
    // Who closes first waits.
    drop(first);
    w.us().pause(PAUSE);
    drop(them);
    w.us().pause(PAUSE);
    log.result("beside TIME-WAIT", us.listen_with(local, PLAIN).map(drop));
    log.result("any", us.listen_with(any(local.port()), PLAIN).map(drop));
    let elsewhere = SocketAddr::from(([127, 0, 0, 5], local.port()));
    log.result("elsewhere", us.listen_with(elsewhere, PLAIN).map(drop));
    let again = us.listen_with(local, REUSE).unwrap();
    let (us, _them) = thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(local).unwrap());
        (again.accept().unwrap().0, them.join().unwrap())
    });
    log.note("with reuse, it serves again", us.local_addr().ok() == Some(local));
}

fn bind_beside_closed_clients<W: World>(w: &W, log: &mut Log) {
    let us = w.us();
    let (client, them) = connected(w);
    let local = client.local_addr().unwrap();
    drop(them);
    w.us().pause(PAUSE);
    drop(client);
    w.us().pause(PAUSE);
    log.result("the peer closed first: nothing is left", us.listen_with(local, PLAIN).map(drop));
    let (client, them) = connected(w);
    let local = client.local_addr().unwrap();
    drop(client);
    w.us().pause(PAUSE);
    drop(them);
    w.us().pause(PAUSE);
    log.result("we closed first", us.listen_with(local, PLAIN).map(drop));
    log.result("we closed first, with reuse", us.listen_with(local, REUSE).map(drop));
    // The known case: a connection over loopback, and the same port on another address.
    let listener = us.listen(loopback(7080)).unwrap();
    let client = us.connect(loopback(7080)).unwrap();
    let (served, _) = listener.accept().unwrap();
    drop((served, listener));
    w.us().pause(PAUSE);
    drop(client);
    w.us().pause(PAUSE);
    log.result(
        "the port elsewhere",
        us.listen_with(SocketAddr::from(([10, 0, 0, 2], 7080)), PLAIN).map(drop),
    );
    log.result("the port here", us.listen_with(loopback(7080), PLAIN).map(drop));
}

fn reuse_port<W: World>(w: &W, log: &mut Log) {
    let share = ListenOptions { reuse_port: true, ..PLAIN };
    let first = w.us().listen_with(any(7000), share).unwrap();
    let second = w.us().listen_with(any(7000), share);
    log.result("two share", second.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
    log.result("one that doesn't", w.us().listen(any(7000)).map(drop));
    let second = second.unwrap();
    for listener in [&first, &second] {
        listener.set_nonblocking(true).unwrap();
    }
    let mut them = Vec::new();
    let mut served = 0;
    for _ in 0..12 {
        thread::scope(|scope| {
            let one = scope.spawn(|| w.them().connect(w.us().at(7000)).unwrap());
            w.us().pause(Duration::from_millis(20));
            them.push(one.join().unwrap());
        });
        served += [&first, &second].iter().filter(|listener| listener.accept().is_ok()).count();
    }
    w.us().pause(PAUSE);
    while first.accept().is_ok() || second.accept().is_ok() {
        served += 1;
    }
    log.note("all are served", served);
}
