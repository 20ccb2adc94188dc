//! Behaviours of UDP sockets.

use super::world::{Log, Net, PAUSE, TIMEOUT, Udp, World, nobody};
use super::{Entry, entry};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) fn list<W: World>() -> Vec<Entry<W>> {
    vec![
        entry("udp_datagrams", udp_datagrams),
        entry("udp_truncation", udp_truncation),
        entry("udp_timeouts", udp_timeouts),
        entry("udp_peek", udp_peek),
        entry("udp_refused", udp_refused),
        entry("udp_sizes", udp_sizes),
        entry("udp_without_a_peer", udp_without_a_peer),
        entry("udp_connected_filters", udp_connected_filters),
        entry("udp_broadcast", udp_broadcast),
        entry("udp_names", udp_names),
        entry("udp_odd_addresses", udp_odd_addresses),
        entry("udp_options", udp_options),
        entry("udp_many_threads", udp_many_threads),
    ]
}

type Ours<W> = <<W as World>::Us as Net>::Udp;
type Theirs<W> = <<W as World>::Them as Net>::Udp;

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn pair<W: World>(w: &W) -> (Ours<W>, Theirs<W>) {
    let (us, them) = (w.us().udp(w.us().at(0)).unwrap(), w.them().udp(w.them().at(0)).unwrap());
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    them.set_read_timeout(Some(TIMEOUT)).unwrap();
    (us, them)
}

fn udp_datagrams<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    let (ours, theirs) = (us.local_addr().unwrap(), them.local_addr().unwrap());
    let mut buffer = [0; 64];
    for text in [&b"one"[..], b"two", b"", b"four"] {
        log.result("send", us.send_to(text, theirs));
    }
    w.us().pause(PAUSE);
    for _ in 0..4 {
        log.result("they receive", them.recv_from(&mut buffer).map(|(len, from)| (len, from == ours)));
    }
    for text in [&b"one"[..], b"", b"three"] {
        them.send_to(text, ours).unwrap();
        log.result("we receive", us.recv_from(&mut buffer).map(|(len, from)| (len, from == theirs)));
    }
}

fn udp_truncation<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    let mut buffer = [0; 4];
    them.send_to(b"truncated", us.local_addr().unwrap()).unwrap();
    them.send_to(b"ok", us.local_addr().unwrap()).unwrap();
    them.send_to(b"gone", us.local_addr().unwrap()).unwrap();
    log.result("a long one", us.recv_from(&mut buffer).map(|(len, _)| len));
    log.note("its start", buffer);
    log.result("the next", us.recv_from(&mut buffer).map(|(len, _)| len));
    log.result("into nothing", us.recv_from(&mut []).map(|(len, _)| len));
    log.timed("no more", || us.recv_from(&mut buffer).map(drop));
}

fn udp_timeouts<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    log.result("the time-out is kept", us.read_timeout());
    log.timed("it waits", || us.recv(&mut [0; 8]));
    log.timed("into nothing", || us.recv(&mut []));
    log.result("zero", us.set_read_timeout(Some(Duration::ZERO)));
    us.set_nonblocking(true).unwrap();
    log.timed("nonblocking", || us.recv(&mut [0; 8]));
    // Each side learns where the other is.
    us.send_to(b"x", them.local_addr().unwrap()).unwrap();
    w.us().pause(PAUSE);
    them.send_to(b"unseen", us.local_addr().unwrap()).unwrap();
    thread::sleep(PAUSE);
    log.timed("what has come unseen", || us.recv(&mut [0; 8]));
}

fn udp_peek<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    them.send_to(b"peeked", us.local_addr().unwrap()).unwrap();
    let (mut small, mut buffer) = ([0; 2], [0; 16]);
    let theirs = them.local_addr().unwrap();
    log.result("peek_from", us.peek_from(&mut small).map(|(len, from)| (len, from == theirs)));
    log.note("sees", small);
    log.result("peek", us.peek(&mut buffer));
    log.result("recv", us.recv(&mut buffer));
    log.timed("no more", || us.peek(&mut buffer));
}

fn udp_refused<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = pair(w);
    us.connect(w.them().at(9)).unwrap();
    log.result("send", us.send(b"x"));
    w.us().pause(PAUSE);
    log.result("the next", us.send(b"x"));
    log.result("and the next", us.send(b"x"));
    log.timed("receive", || us.recv(&mut [0; 8]));
    log.timed("and again", || us.recv(&mut [0; 8]));
    us.send(b"x").unwrap();
    w.us().pause(PAUSE);
    log.result("the error", us.take_error().unwrap().map_or(Ok(()), Err));
    log.result("and again", us.take_error().unwrap().map_or(Ok(()), Err));
    us.set_read_timeout(None).unwrap();
    us.send(b"x").unwrap();
    log.timed("one that waits", || us.recv(&mut [0; 8]));
    let (us, _them) = pair(w);
    log.result("unconnected: send", us.send_to(b"x", w.them().at(9)));
    w.us().pause(PAUSE);
    log.result("unconnected: the next", us.send_to(b"x", w.them().at(9)));
    log.timed("unconnected: receive", || us.recv(&mut [0; 8]));
}

fn udp_sizes<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    let data = vec![7; 70_000];
    let to = them.local_addr().unwrap();
    for len in [1472, 1473, 9000, 65_507] {
        log.result("send", us.send_to(&data[..len], to));
        w.us().pause(PAUSE / 4);
        log.result("they receive", them.recv(&mut vec![0; 70_000]));
        log.result("they send", them.send_to(&data[..len], us.local_addr().unwrap()));
        log.result("we receive", us.recv(&mut vec![0; 70_000]));
    }
    log.result("too long", us.send_to(&data[..65_508], to));
    log.result("much too long", us.send_to(&data, to));
}

fn udp_without_a_peer<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    log.result("send", us.send(b"x"));
    log.result("peer", us.peer_addr());
    us.connect(them.local_addr().unwrap()).unwrap();
    log.note("connected", us.peer_addr().ok() == them.local_addr().ok());
    log.result("send", us.send(b"x"));
    log.result("to another", us.send_to(b"x", w.them().at(9)));
    let free = w.us().udp(any(0)).unwrap();
    log.result("bound to any", free.local_addr().map(|address| address.ip()));
    free.connect(them.local_addr().unwrap()).unwrap();
    log.note(
        "connecting fixes the address",
        free.local_addr().map(|address| address.ip() == w.us().address()).ok(),
    );
}

fn udp_connected_filters<W: World>(w: &W, log: &mut Log) {
    let (us, them) = pair(w);
    let other = w.them().udp(w.them().at(0)).unwrap();
    let ours = us.local_addr().unwrap();
    other.send_to(b"before", ours).unwrap();
    w.us().pause(PAUSE);
    us.connect(them.local_addr().unwrap()).unwrap();
    log.result("what came before", us.recv(&mut [0; 8]));
    other.send_to(b"other", ours).unwrap();
    them.send_to(b"peer", ours).unwrap();
    log.result("receive", us.recv(&mut [0; 8]));
    log.timed("no more", || us.recv(&mut [0; 8]));
    us.connect(other.local_addr().unwrap()).unwrap();
    other.send_to(b"other", ours).unwrap();
    them.send_to(b"peer", ours).unwrap();
    log.result("connected anew", us.recv(&mut [0; 8]));
    log.timed("no more", || us.recv(&mut [0; 8]));
}

fn udp_broadcast<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = pair(w);
    let subnet = SocketAddr::from(([10, 0, 0, 255], 9));
    let everybody = SocketAddr::from(([255, 255, 255, 255], 9));
    // Sockets bound to the loopback address can't reach a subnet's.
    let us = match w.us().address().is_loopback() {
        true => w.us().udp(SocketAddr::from(([10, 0, 0, 2], 0))).unwrap(),
        false => us,
    };
    log.result("not allowed", us.broadcast());
    log.result("to the subnet", us.send_to(b"x", subnet));
    log.result("to everybody", us.send_to(b"x", everybody).map(drop).map_err(|error| error.kind().into()));
    log.result("connect", us.connect(subnet));
    us.set_broadcast(true).unwrap();
    log.result("allowed", us.broadcast());
    log.result("to the subnet", us.send_to(b"x", subnet));
}

fn udp_names<W: World>(w: &W, log: &mut Log) {
    let us = w.us();
    let first = us.udp(us.at(7000)).unwrap();
    log.result("the same", us.udp(us.at(7000)).map(drop));
    log.result("any", us.udp(any(7000)).map(drop));
    log.result("another address", us.udp(SocketAddr::from(([127, 0, 0, 5], 7000))).map(drop));
    log.result("a foreign address", us.udp(SocketAddr::from(([192, 0, 2, 1], 7000))).map(drop));
    drop(first);
    log.result("when it is free again", us.udp(us.at(7000)).map(drop));
    let ports = [us.udp(any(0)), us.udp(any(0))].map(|it| it.unwrap().local_addr().unwrap().port());
    log.note("port 0 gives ports", ports[0] != ports[1] && ports[0] > 1023);
}

fn udp_odd_addresses<W: World>(w: &W, log: &mut Log) {
    let us = w.us().udp(any(0)).unwrap();
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    log.result("port 0", us.send_to(b"x", w.them().at(0)));
    log.result("no route", us.send_to(b"x", SocketAddr::from(([192, 0, 2, 1], 9))));
    log.result("connect: no route", us.connect(SocketAddr::from(([192, 0, 2, 1], 9))));
    log.result("nobody", us.send_to(b"x", nobody(9)));
    log.result("IPv6", us.send_to(b"x", "[::1]:9".parse().unwrap()));
    let (other, port) = (w.us().udp(any(0)).unwrap(), us.local_addr().unwrap().port());
    log.result("0.0.0.0", other.send_to(b"x", any(port)));
    log.result("is this host", us.recv_from(&mut [0; 8]).map(|(len, from)| (len, from.ip())));
}

fn udp_options<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = pair(w);
    log.result("ttl", us.ttl());
    log.result("set ttl", us.set_ttl(33).and_then(|()| us.ttl()));
    log.result("ttl 0", us.set_ttl(0));
    log.result("ttl 256", us.set_ttl(256));
    log.result("error", us.take_error().map(|error| error.is_some()));
}

fn udp_many_threads<W: World>(w: &W, log: &mut Log) {
    const EACH: usize = 100;
    let (us, them) = pair(w);
    let ours = us.local_addr().unwrap();
    let (received, sums) = (AtomicUsize::new(0), AtomicUsize::new(0));
    us.set_read_timeout(Some(TIMEOUT * 2)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let us = us.try_clone().unwrap();
            let (received, sums) = (&received, &sums);
            scope.spawn(move || {
                let mut buffer = [0; 8];
                while let Ok((len, from)) = us.recv_from(&mut buffer) {
                    us.send_to(&buffer[..len], from).unwrap();
                    received.fetch_add(1, Ordering::Relaxed);
                    sums.fetch_add(usize::from(buffer[0]), Ordering::Relaxed);
                }
            });
        }
        for number in 0..EACH {
            them.send_to(&[number as u8], ours).unwrap();
            them.recv(&mut [0; 8]).unwrap();
        }
    });
    log.note("echoed", received.into_inner());
    log.note("sum", sums.into_inner());
}
