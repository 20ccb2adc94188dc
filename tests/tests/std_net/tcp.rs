//! Behaviours of open TCP connections: waiting, peeking, modes, options, and many threads on one socket.

use super::world::{Listener, Log, Net, PAUSE, Stream, TIMEOUT, World};
use super::{Entry, entry};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) type Us<W> = <<W as World>::Us as Net>::Stream;
pub(crate) type Them<W> = <<W as World>::Them as Net>::Stream;

pub(crate) fn list<W: World>() -> Vec<Entry<W>> {
    vec![
        entry("read_timeout", read_timeout),
        entry("write_timeout", write_timeout),
        entry("timeouts_of_zero", timeouts_of_zero),
        entry("peek", peek),
        entry("nonblocking_read_and_accept", nonblocking_read_and_accept),
        entry("nonblocking_write_is_partial", nonblocking_write_is_partial),
        entry("blocking_write_takes_all", blocking_write_takes_all),
        entry("zero_length", zero_length),
        entry("zero_length_read_of_nothing", zero_length_read_of_nothing).differs(
            "Linux waits for data that it has no room for, then says 0; ours says so at once, as there is nothing to \
             wait for",
        ),
        entry("options", options),
        entry("many_threads_on_one_socket", many_threads_on_one_socket),
        entry("many_threads_read_one_socket", many_threads_read_one_socket),
        entry("many_threads_accept", many_threads_accept),
        entry("clones_share_and_outlive", clones_share_and_outlive),
        entry("ping_pong", ping_pong),
    ]
}

/// A connection that we have opened.
pub(crate) fn connected<W: World>(w: &W) -> (Us<W>, Them<W>) {
    let listener = w.them().listen(w.them().at(0)).unwrap();
    let us = w.us().connect(listener.local_addr().unwrap()).unwrap();
    (us, listener.accept().unwrap().0)
}

/// A connection that they have opened.
pub(crate) fn accepted<W: World>(w: &W) -> (Us<W>, Them<W>) {
    let listener = w.us().listen(w.us().at(0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(address).unwrap());
        (listener.accept().unwrap().0, them.join().unwrap())
    })
}

fn read_timeout<W: World>(w: &W, log: &mut Log) {
    for (us, them) in [connected(w), accepted(w)] {
        us.set_read_timeout(Some(TIMEOUT)).unwrap();
        log.result("the time-out is kept", us.read_timeout());
        log.timed("a read waits", || us.read(&mut [0; 8]));
        log.timed("a peek waits", || us.peek(&mut [0; 8]));
        them.write_all(b"later").unwrap();
        log.timed("and then reads", || us.read(&mut [0; 8]));
        us.set_read_timeout(None).unwrap();
        log.result("none is kept", us.read_timeout());
        thread::scope(|scope| {
            scope.spawn(|| {
                w.them().pause(TIMEOUT);
                them.write_all(b"x").unwrap();
            });
            log.timed("without one, it waits for data", || us.read(&mut [0; 8]));
        });
    }
}

fn write_timeout<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = connected(w);
    us.set_write_timeout(Some(TIMEOUT)).unwrap();
    log.result("the time-out is kept", us.write_timeout());
    let much = vec![7; 16 << 20];
    let first = us.write(&much);
    log.note("much is taken in part", first.is_ok_and(|len| len > 0 && len < much.len()));
    // Buffers may grow a little yet.
    while us.write(&much).is_ok() {}
    log.timed("and more of it not", || us.write(&much));
}

fn timeouts_of_zero<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    log.result("read", us.set_read_timeout(Some(Duration::ZERO)));
    log.result("write", us.set_write_timeout(Some(Duration::ZERO)));
    log.result("connect", w.us().connect_timeout(w.them().at(1), Duration::ZERO).map(drop));
    drop(them);
}

fn peek<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    them.write_all(b"peeked").unwrap();
    let mut buffer = [0; 4];
    log.result("a peek", us.peek(&mut buffer));
    log.note("sees", buffer);
    let mut buffer = [0; 16];
    log.result("a second one", us.peek(&mut buffer));
    log.result("the read", us.read(&mut buffer));
    log.note("gets", &buffer[..6]);
    us.set_nonblocking(true).unwrap();
    log.result("a peek at nothing", us.peek(&mut buffer));
    drop(them);
    w.us().pause(PAUSE);
    log.result("a peek at the end", us.peek(&mut buffer));
    log.result("a read of the end", us.read(&mut buffer));
}

fn nonblocking_read_and_accept<W: World>(w: &W, log: &mut Log) {
    let listener = w.us().listen(w.us().at(0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    log.timed("accept of nobody", || listener.accept().map(drop));
    let them = thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(listener.local_addr().unwrap()).unwrap());
        w.us().pause(PAUSE);
        them.join().unwrap()
    });
    let us = listener.accept();
    log.note("accept of somebody", us.is_ok());
    let (us, _) = us.unwrap();
    // An accepted socket is blocking, whatever its listener is.
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    log.timed("a read waits", || us.read(&mut [0; 8]));
    us.set_nonblocking(true).unwrap();
    log.timed("a nonblocking one does not", || us.read(&mut [0; 8]));
    them.write_all(b"data").unwrap();
    w.us().pause(PAUSE);
    log.timed("it reads what is there", || us.read(&mut [0; 8]));
    us.set_nonblocking(false).unwrap();
    log.timed("blocking again", || us.read(&mut [0; 8]));
    // Nobody calls meanwhile: a nonblocking call itself takes in what has come.
    us.set_nonblocking(true).unwrap();
    them.write_all(b"more").unwrap();
    thread::sleep(PAUSE);
    log.timed("and what has come unseen", || us.read(&mut [0; 8]));
}

fn nonblocking_write_is_partial<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    us.set_nonblocking(true).unwrap();
    let much = vec![7; 1 << 20];
    let mut total = 0;
    let error = loop {
        match us.write(&much) {
            Ok(len) => {
                assert!(len > 0);
                total += len;
            }
            Err(error) => break error,
        }
        assert!(total < 64 << 20, "it must end some time");
        w.us().pause(Duration::from_millis(20));
    };
    log.result("the write that nothing fits into", Err::<(), _>(error));
    log.note("some did fit", total > 1 << 10);
    let reader = thread::spawn(move || them.read_all());
    w.us().pause(PAUSE * 3);
    let again = us.write(b"again");
    log.result("once the peer reads", again);
    us.set_nonblocking(false).unwrap();
    us.shutdown(Shutdown::Write).unwrap();
    w.us().pause(PAUSE);
    let (read, end) = reader.join().unwrap();
    log.note("the peer gets all", read == total + 5);
    log.result("and the end", end);
}

fn blocking_write_takes_all<W: World>(w: &W, log: &mut Log) {
    let (us, them) = accepted(w);
    let much = vec![7; 16 << 20];
    let reader = thread::spawn(move || them.read_all());
    log.result("one write", us.write(&much));
    us.shutdown(Shutdown::Write).unwrap();
    log.result("ends with the peer's", us.read(&mut [0; 8]));
    log.note("which got", reader.join().unwrap().0);
}

fn zero_length<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    log.timed("a write of nothing", || us.write(&[]));
    them.write_all(b"data").unwrap();
    w.us().pause(PAUSE);
    log.timed("a read into nothing, with data there", || us.read(&mut []));
    log.result("the data is still there", us.read(&mut [0; 8]));
    us.shutdown(Shutdown::Write).unwrap();
    log.timed("a write of nothing after the shutdown", || us.write(&[]));
    drop(them);
    w.us().pause(PAUSE);
    log.timed("a read into nothing at the end", || us.read(&mut []));
}

fn zero_length_read_of_nothing<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = connected(w);
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    log.timed("a read", || us.read(&mut []));
    log.timed("a peek", || us.peek(&mut []));
}

fn options<W: World>(w: &W, log: &mut Log) {
    let (us, _them) = connected(w);
    log.result("nodelay", us.nodelay());
    log.result("set nodelay", us.set_nodelay(true).and_then(|()| us.nodelay()));
    log.result("ttl", us.ttl());
    log.result("set ttl", us.set_ttl(33).and_then(|()| us.ttl()));
    log.result("ttl 0", us.set_ttl(0));
    log.result("ttl 255", us.set_ttl(255));
    log.result("ttl 256", us.set_ttl(256));
    log.result("read time-out", us.read_timeout());
    log.result("write time-out", us.write_timeout());
    log.result("error", us.take_error().map(|error| error.is_some()));
    let listener = w.us().listen(w.us().at(0)).unwrap();
    log.result("error of a listener", listener.take_error().map(|error| error.is_some()));
    listener.set_ttl(44).unwrap();
    let address = listener.local_addr().unwrap();
    let (us, _them) = thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(address).unwrap());
        (listener.accept().unwrap().0, them.join().unwrap())
    });
    log.result("ttl of one accepted", us.ttl());
}

fn many_threads_on_one_socket<W: World>(w: &W, log: &mut Log) {
    const EACH: usize = 300_000;
    let (us, them) = accepted(w);
    let echo = thread::spawn(move || {
        let mut buffer = vec![0; 9_000];
        loop {
            match them.read(&mut buffer).unwrap() {
                0 => return them.shutdown(Shutdown::Write).unwrap(),
                len => them.write_all(&buffer[..len]).unwrap(),
            }
        }
    });
    let counts = thread::scope(|scope| {
        let writers: Vec<_> = (1..=4u8)
            .map(|name| {
                let us = us.try_clone().unwrap();
                scope.spawn(move || (0..EACH / 1000).for_each(|_| us.write_all(&[name; 1000]).unwrap()))
            })
            .collect();
        let reader = us.try_clone().unwrap();
        let counts = scope.spawn(move || {
            let (mut counts, mut buffer) = ([0; 5], vec![0; 7_000]);
            loop {
                match reader.read(&mut buffer).unwrap() {
                    0 => return counts,
                    len => buffer[..len].iter().for_each(|&name| counts[usize::from(name)] += 1),
                }
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        us.shutdown(Shutdown::Write).unwrap();
        counts.join().unwrap()
    });
    echo.join().unwrap();
    log.note("bytes of each writer", counts);
}

fn many_threads_read_one_socket<W: World>(w: &W, log: &mut Log) {
    const ALL: usize = 2_000_000;
    let (us, them) = connected(w);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            let us = us.try_clone().unwrap();
            scope.spawn(|| total.fetch_add(us_read(us), Ordering::Relaxed));
        }
        scope.spawn(|| {
            them.write_all(&vec![1; ALL]).unwrap();
            them.shutdown(Shutdown::Write).unwrap();
        });
    });
    log.note("six readers got, and saw the end", total.into_inner());
}

fn us_read(us: impl Stream) -> usize {
    let (len, end) = us.read_all();
    end.unwrap();
    len
}

fn many_threads_accept<W: World>(w: &W, log: &mut Log) {
    let listener = w.us().listen(w.us().at(0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut peers: Vec<SocketAddr> = thread::scope(|scope| {
        let accepting: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.try_clone().unwrap();
                scope.spawn(move || listener.accept().unwrap())
            })
            .collect();
        let connecting: Vec<_> = (0..4).map(|_| scope.spawn(|| w.them().connect(address).unwrap())).collect();
        let (ours, peers): (Vec<_>, Vec<_>) = accepting.into_iter().map(|one| one.join().unwrap()).unzip();
        for (us, peer) in ours.iter().zip(&peers) {
            assert_eq!(us.peer_addr().unwrap(), *peer);
        }
        connecting.into_iter().for_each(|one| drop(one.join().unwrap()));
        peers
    });
    peers.sort();
    peers.dedup();
    log.note("accepted, all different", peers.len());
}

fn clones_share_and_outlive<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    let clone = us.try_clone().unwrap();
    clone.set_read_timeout(Some(TIMEOUT)).unwrap();
    log.result("the time-out is shared", us.read_timeout());
    clone.set_nonblocking(true).unwrap();
    log.timed("the mode is shared", || us.read(&mut [0; 8]));
    clone.set_nonblocking(false).unwrap();
    drop(us);
    them.write_all(b"still").unwrap();
    log.result("one handle is gone, the other reads", clone.read(&mut [0; 8]));
    // A shutdown ends the wait of a read on another handle.
    let other = clone.try_clone().unwrap();
    clone.set_read_timeout(None).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(TIMEOUT);
            other.shutdown(Shutdown::Both).unwrap();
        });
        log.timed("shut down by another handle", || clone.read(&mut [0; 8]));
    });
}

fn ping_pong<W: World>(w: &W, log: &mut Log) {
    let (us, them) = accepted(w);
    us.set_nodelay(true).unwrap();
    let echo = thread::spawn(move || -> io::Result<()> {
        let mut byte = [0];
        while them.read(&mut byte)? == 1 {
            them.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [0];
    let rounds = (0..200u8).take_while(|&number| {
        us.write_all(&[number]).unwrap();
        us.read(&mut byte).unwrap() == 1 && byte == [number]
    });
    log.note("rounds", rounds.count());
    drop(us);
    // Nobody calls any more; somebody has to see the other side's end to its end.
    w.us().pause(PAUSE);
    log.result("the peer's end", echo.join().unwrap());
}
