//! Urgent data (RFC 9293 section 3.8.5, RFC 6093), as Linux's sockets show it.

use super::script::{Script, pattern};
use crate::socket::{Errno, OptionName, RecvFlags, SendFlags, SocketId, SocketOption};

fn read(t: &mut Script, socket: SocketId, flags: RecvFlags) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; 100];
    let count = t.stack.recv(t.now, socket, &mut buffer, flags)?;
    Ok(buffer[..count].to_vec())
}

/// The peer's stream from one relative sequence number to another.
fn stream(from: u32, to: u32) -> Vec<u8> {
    (from..to).map(pattern).collect()
}

const PLAIN: RecvFlags = RecvFlags { peek: false, trunc: false, oob: false };
const OOB: RecvFlags = RecvFlags { peek: false, trunc: false, oob: true };

#[test]
fn the_urgent_byte_is_taken_out_of_the_stream() {
    let mut t = Script::new();
    let socket = t.accepted("");
    // The pointer names the byte behind the urgent one, which so is the fifth.
    t.inject("PU. 1:11 ack 1 urg 5");
    assert!(t.stack.readiness(socket).unwrap().priority);
    let at_mark = |t: &Script| t.stack.option(socket, OptionName::AtUrgentMark).unwrap();
    assert!(matches!(at_mark(&t), SocketOption::AtUrgentMark(false)));
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(1, 5)), "a read stops at the mark");
    assert!(matches!(at_mark(&t), SocketOption::AtUrgentMark(true)));
    assert_eq!(read(&mut t, socket, OOB), Ok(stream(5, 6)));
    assert_eq!(read(&mut t, socket, OOB), Err(Errno::EINVAL), "once");
    assert!(!t.stack.readiness(socket).unwrap().priority);
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(6, 11)));
    assert_eq!(read(&mut t, socket, PLAIN), Err(Errno::EAGAIN));
}

#[test]
fn an_urgent_byte_alone_is_nothing_to_read() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("PU. 1:2 ack 1 urg 1");
    let readiness = t.stack.readiness(socket).unwrap();
    assert!(readiness.priority && !readiness.readable);
    assert_eq!(read(&mut t, socket, PLAIN), Err(Errno::EAGAIN));
    t.inject("P. 2:4 ack 1");
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(2, 4)));
    assert_eq!(read(&mut t, socket, OOB), Err(Errno::EINVAL), "passed");
}

#[test]
fn inline_the_urgent_byte_stays_and_reads_stop_before_it() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.set_option(t.now, socket, SocketOption::OobInline(true)).unwrap();
    t.inject("PU. 1:11 ack 1 urg 5");
    assert_eq!(read(&mut t, socket, OOB), Err(Errno::EINVAL));
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(1, 5)));
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(5, 11)));
}

#[test]
fn urgent_data_is_announced_before_it_comes() {
    // MUST-66: even into a window that is closed; MUST-31: of any length before the pointer.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("U. 1 ack 1 urg 1000");
    assert_eq!(read(&mut t, socket, OOB), Err(Errno::EINVAL), "not here yet");
    t.inject("P. 1:1001 ack 1");
    assert_eq!(read(&mut t, socket, OOB), Ok(stream(1_000, 1_001)));
    let mut left = 999;
    while left > 0 {
        left -= read(&mut t, socket, PLAIN).unwrap().len();
    }
    assert_eq!(read(&mut t, socket, PLAIN), Err(Errno::EAGAIN));
}

#[test]
fn a_later_pointer_wins_and_an_old_one_is_ignored() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("PU. 1:11 ack 1 urg 5");
    t.inject("PU. 11:21 ack 1 urg 5");
    t.inject("PU. 1:11 ack 1 urg 3");
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(1, 15)), "the older one is ordinary data now");
    assert_eq!(read(&mut t, socket, OOB), Ok(stream(15, 16)));
    assert_eq!(read(&mut t, socket, PLAIN), Ok(stream(16, 21)));
}

#[test]
fn sending_urgent_data_points_behind_it() {
    let mut t = Script::new();
    let socket = t.accepted("");
    let oob = SendFlags { oob: true, ..SendFlags::default() };
    t.stack.send(t.now, socket, &stream(1, 11), oob).unwrap();
    t.expect("PU. 1:11 ack 1 urg 10");
    t.stack.set_option(t.now, socket, SocketOption::NoDelay(true)).unwrap();
    t.send(socket, 5).unwrap();
    t.expect("P. 11:16 ack 1");
    t.inject(". 1 ack 16");
    t.send(socket, 5).unwrap();
    t.expect("P. 16:21 ack 1");
}
