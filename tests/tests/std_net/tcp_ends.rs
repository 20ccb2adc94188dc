//! Behaviours at the end of TCP connections: half-close, shutdown, reset, linger.

use super::tcp::{accepted, connected};
use super::world::{Listener, Log, Net, PAUSE, Stream, TIMEOUT, World};
use super::{Entry, entry};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

pub(crate) fn list<W: World>() -> Vec<Entry<W>> {
    vec![
        entry("the_peer_half_closes", the_peer_half_closes),
        entry("we_half_close", we_half_close),
        entry("shutdown_of_reading", shutdown_of_reading),
        entry("shutdown_twice", shutdown_twice),
        entry("reset_while_reading", reset_while_reading),
        entry("reset_with_data_unread", reset_with_data_unread),
        entry("write_after_reset", write_after_reset),
        entry("write_after_the_peer_closed", write_after_the_peer_closed),
        entry("linger_of_zero_resets", linger_of_zero_resets),
        entry("linger_waits", linger_waits),
        entry("close_with_data_unread_resets", close_with_data_unread_resets),
        entry("close_sends_what_was_written", close_sends_what_was_written),
        entry("close_of_a_listener_resets", close_of_a_listener_resets),
        entry("addresses_to_the_end", addresses_to_the_end),
    ]
}

fn the_peer_half_closes<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    them.write_all(b"last words").unwrap();
    them.shutdown(Shutdown::Write).unwrap();
    let mut buffer = [0; 64];
    log.result("we read", us.read(&mut buffer));
    log.result("the end", us.read(&mut buffer));
    log.result("and again", us.read(&mut buffer));
    log.result("we still write", us.write(b"answer"));
    log.result("the peer still reads", them.read(&mut buffer));
    drop(us);
    w.us().pause(PAUSE);
    log.result("and sees our end", them.read(&mut buffer));
}

fn we_half_close<W: World>(w: &W, log: &mut Log) {
    let (us, them) = accepted(w);
    us.write_all(b"question").unwrap();
    log.result("shutdown", us.shutdown(Shutdown::Write));
    log.result("write", us.write(b"x"));
    log.result("error", us.take_error().map(|error| error.is_some()));
    log.result("the peer reads", them.read_all().1.map(|()| "to the end"));
    them.write_all(b"answer").unwrap();
    log.result("we still read", us.read(&mut [0; 64]));
    drop(them);
    w.us().pause(PAUSE);
    log.result("and see the end", us.read(&mut [0; 64]));
    log.result("write", us.write(b"x"));
}

fn shutdown_of_reading<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    us.set_read_timeout(Some(TIMEOUT)).unwrap();
    them.write_all(b"before").unwrap();
    w.us().pause(PAUSE);
    log.result("shutdown", us.shutdown(Shutdown::Read));
    log.timed("what came before is read", || us.read(&mut [0; 64]));
    log.timed("then the end", || us.read(&mut [0; 64]));
    log.result("the peer still writes", them.write(b"after"));
    w.us().pause(PAUSE);
    log.timed("and that is read", || us.read(&mut [0; 64]));
    log.timed("then the end", || us.read(&mut [0; 64]));
    log.result("we still write", us.write(b"answer"));
    log.result("the peer reads", them.read(&mut [0; 64]));
    let (us, them) = connected(w);
    log.result("of both", us.shutdown(Shutdown::Both));
    w.us().pause(PAUSE);
    log.result("the peer still writes", them.write(b"after"));
    w.us().pause(PAUSE);
    log.result("which is reset, as it reads after the end", them.read_all().1);
    log.result("we read", us.read(&mut [0; 64]));
    log.result("and again", us.read(&mut [0; 64]));
    log.result("we write", us.write(b"x"));
}

fn shutdown_twice<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    log.result("write", us.shutdown(Shutdown::Write));
    log.result("write again", us.shutdown(Shutdown::Write));
    log.result("both", us.shutdown(Shutdown::Both));
    log.result("both again", us.shutdown(Shutdown::Both));
    drop(them);
    w.us().pause(PAUSE);
    log.result("when all is over", us.shutdown(Shutdown::Both));
    log.result("read", us.read(&mut [0; 8]));
    log.result("write", us.write(b"x"));
    let (us, them) = connected(w);
    drop(them);
    w.us().pause(PAUSE);
    log.result("after the peer's end", us.shutdown(Shutdown::Write));
    w.us().pause(PAUSE);
    log.result("and again", us.shutdown(Shutdown::Write));
    log.result("read", us.read(&mut [0; 8]));
}

/// Ends a connection with a reset.
fn reset(stream: impl Stream) {
    stream.linger_for(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn reset_while_reading<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(TIMEOUT);
            reset(them);
        });
        log.timed("the read that waits", || us.read(&mut [0; 8]));
    });
    log.result("the next read", us.read(&mut [0; 8]));
    log.result("a write", us.write(b"x"));
    log.result("error", us.take_error().map(|error| error.is_some()));
}

fn reset_with_data_unread<W: World>(w: &W, log: &mut Log) {
    let (us, them) = accepted(w);
    them.write_all(b"before the reset").unwrap();
    w.us().pause(PAUSE);
    reset(them);
    w.us().pause(PAUSE);
    log.result("read", us.read(&mut [0; 4]));
    log.result("read", us.read(&mut [0; 64]));
    log.result("read", us.read(&mut [0; 64]));
    log.result("read", us.read(&mut [0; 64]));
}

fn write_after_reset<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    reset(them);
    w.us().pause(PAUSE);
    log.result("the first write", us.write(b"x"));
    log.result("the second", us.write(b"x"));
    log.result("a read", us.read(&mut [0; 8]));
    let (us, them) = connected(w);
    reset(them);
    w.us().pause(PAUSE);
    let error = us.take_error().unwrap();
    log.result("the error, taken", error.map_or(Ok(()), Err));
    log.result("then a write", us.write(b"x"));
    log.result("and a read", us.read(&mut [0; 8]));
}

fn write_after_the_peer_closed<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    drop(them);
    w.us().pause(PAUSE);
    log.result("the first write", us.write(b"x"));
    w.us().pause(PAUSE);
    log.result("the second", us.write(b"x"));
    log.result("a read", us.read(&mut [0; 8]));
    log.result("a second", us.read(&mut [0; 8]));
    let (us, them) = connected(w);
    drop(them);
    w.us().pause(PAUSE);
    us.write_all(b"x").unwrap();
    w.us().pause(PAUSE);
    log.result("first a read", us.read(&mut [0; 8]));
    log.result("error", us.take_error().map(|error| error.map(|error| error.kind())));
}

fn linger_of_zero_resets<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    reset(us);
    w.us().pause(PAUSE);
    log.result("the peer reads", them.read(&mut [0; 8]));
    let (us, them) = connected(w);
    us.shutdown(Shutdown::Write).unwrap();
    w.us().pause(PAUSE);
    reset(us);
    w.us().pause(PAUSE);
    log.result("after a shutdown, the peer reads", them.read(&mut [0; 8]));
    log.result("and again", them.read(&mut [0; 8]));
}

fn linger_waits<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    us.linger_for(Some(Duration::from_secs(1))).unwrap();
    us.write_all(&[1; 1000]).unwrap();
    log.timed("a close whose data the peer acknowledges", || {
        drop(us);
        Ok(())
    });
    log.note("the peer reads", them.read_all().0);
    let (us, them) = connected(w);
    us.linger_for(Some(Duration::from_secs(1))).unwrap();
    us.set_nonblocking(true).unwrap();
    // Until the peer's buffer is full, too.
    while us.write(&[1; 100_000]).is_ok() {
        while us.write(&[1; 100_000]).is_ok() {}
        w.us().pause(PAUSE);
    }
    log.timed("a close whose data nobody reads", || {
        drop(us);
        Ok(())
    });
    drop(them);
}

fn close_with_data_unread_resets<W: World>(w: &W, log: &mut Log) {
    let (us, them) = accepted(w);
    them.write_all(b"unread").unwrap();
    w.us().pause(PAUSE);
    drop(us);
    w.us().pause(PAUSE);
    log.result("the peer reads", them.read(&mut [0; 8]));
    log.result("and again", them.read(&mut [0; 8]));
}

fn close_sends_what_was_written<W: World>(w: &W, log: &mut Log) {
    let (us, them) = connected(w);
    us.set_write_timeout(Some(TIMEOUT)).unwrap();
    let taken = us.write(&vec![1; 4 << 20]).unwrap();
    drop(us);
    let reader = thread::spawn(move || them.read_all());
    w.us().pause(PAUSE * 5);
    let (read, end) = reader.join().unwrap();
    log.note("the peer gets all that was taken", read == taken);
    log.result("and the end", end);
}

fn close_of_a_listener_resets<W: World>(w: &W, log: &mut Log) {
    let listener = w.us().listen(w.us().at(0)).unwrap();
    let address = listener.local_addr().unwrap();
    let them = thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(address).unwrap());
        w.us().pause(PAUSE);
        them.join().unwrap()
    });
    drop(listener);
    w.us().pause(PAUSE);
    log.result("who was not accepted", them.read(&mut [0; 8]));
    thread::scope(|scope| {
        let them = scope.spawn(|| w.them().connect(address).map(drop));
        w.us().pause(PAUSE);
        log.result("who comes later", them.join().unwrap());
    });
}

fn addresses_to_the_end<W: World>(w: &W, log: &mut Log) {
    let listener = w.us().listen(w.us().at(7000)).unwrap();
    log.result("of a listener", listener.local_addr().map(|address| address.port()));
    let (us, them) = accepted(w);
    let agree = |us: &super::tcp::Us<W>, them: &super::tcp::Them<W>| {
        us.local_addr().ok() == them.peer_addr().ok() && us.peer_addr().ok() == them.local_addr().ok()
    };
    log.note("both sides agree", agree(&us, &them));
    us.shutdown(Shutdown::Write).unwrap();
    w.us().pause(PAUSE);
    log.result("after our shutdown: peer", us.peer_addr().map(drop));
    drop(them);
    w.us().pause(PAUSE);
    log.result("after both: peer", us.peer_addr().map(drop));
    log.note("after both: local port", us.local_addr().map(|address| address.port() != 0).ok());
    let (us, them) = connected(w);
    reset(them);
    w.us().pause(PAUSE);
    log.result("after a reset: peer", us.peer_addr().map(drop));
    log.note("after a reset: local port", us.local_addr().map(|address| address.port() != 0).ok());
}
