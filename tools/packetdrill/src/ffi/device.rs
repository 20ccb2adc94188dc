//! The network device, the clock, and waiting for several descriptors at once.

use super::{done, machine, memory, status, system};
use core::ffi::{c_int, c_longlong, c_uint, c_ulong, c_void};
use libc::{epoll_event, pollfd, timeval, timezone};
use tapstack::time::Duration;

pub(super) extern "C" fn netdev_send(userdata: *mut c_void, packet: *const c_void, len: usize) -> c_int {
    // SAFETY: packetdrill's packet, readable for the call.
    machine(userdata).netdev_send(unsafe { memory::bytes(packet, len) });
    0
}

pub(super) extern "C" fn netdev_receive(
    userdata: *mut c_void,
    buffer: *mut c_void,
    len: *mut usize,
    micros: *mut c_longlong,
) -> c_int {
    let sent = machine(userdata).netdev_receive();
    // SAFETY: packetdrill's buffer with its size, and a place for the time.
    unsafe {
        let room = memory::bytes_mut(buffer, *len);
        // Nothing will ever come: an empty packet fails the script, where -1 would be tried for ever.
        let (at, packet) = sent.unwrap_or_default();
        let count = packet.len().min(room.len());
        room[..count].copy_from_slice(&packet[..count]);
        *len = count;
        *micros = at.as_micros() as c_longlong;
    }
    0
}

pub(super) extern "C" fn usleep(userdata: *mut c_void, micros: c_uint) -> c_int {
    machine(userdata).usleep(Duration::from_micros(micros.into()));
    0
}

pub(super) extern "C" fn gettimeofday(
    userdata: *mut c_void,
    time: *mut timeval,
    zone: *mut timezone,
) -> c_int {
    let now = machine(userdata).gettimeofday();
    let _ = zone;
    if !time.is_null() {
        let micros = now.as_micros() as i64;
        // SAFETY: `gettimeofday`'s contract.
        unsafe { time.write(timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 }) };
    }
    0
}

pub(super) extern "C" fn poll(
    userdata: *mut c_void,
    entries: *mut pollfd,
    count: c_ulong,
    timeout_ms: c_int,
) -> c_int {
    let machine = machine(userdata);
    if entries.is_null() {
        return status(if count == 0 { Ok(0) } else { Err(libc::EFAULT) });
    }
    // SAFETY: `poll`'s contract.
    let entries = unsafe { core::slice::from_raw_parts_mut(entries, count as usize) };
    let mut others = 0;
    for entry in entries.iter_mut() {
        entry.revents = 0;
        if entry.fd >= 0 && !machine.owns(entry.fd) {
            entry.revents = system::poll(entry.fd, entry.events);
            others += c_int::from(entry.revents != 0);
        }
    }
    // Ours alone are waited for; where one of the others has something, the call returns at once anyhow.
    let ours: Vec<(c_int, super::Events)> = entries
        .iter()
        .map(|entry| (if machine.owns(entry.fd) { entry.fd } else { -1 }, entry.events))
        .collect();
    let timeout = if others > 0 { Some(Duration::ZERO) } else { millis(timeout_ms) };
    for (entry, revents) in entries.iter_mut().zip(machine.poll(&ours, timeout)) {
        entry.revents |= revents;
    }
    entries.iter().filter(|entry| entry.revents != 0).count() as c_int
}

pub(super) extern "C" fn epoll_create(userdata: *mut c_void, size: c_int) -> c_int {
    if size <= 0 {
        return status(Err(libc::EINVAL));
    }
    status(system::placeholder().inspect(|fd| machine(userdata).epoll_create(*fd)))
}

pub(super) extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    if event.is_null() && operation != libc::EPOLL_CTL_DEL {
        return status(Err(libc::EFAULT));
    }
    let (events, data) = if event.is_null() {
        (0, 0)
    } else {
        // SAFETY: `epoll_ctl`'s contract; the structure is packed on some machines.
        let event = unsafe { event.read_unaligned() };
        (event.events, event.u64)
    };
    done(machine(userdata).epoll_ctl(epoll, operation, fd, events, data))
}

pub(super) extern "C" fn epoll_wait(
    userdata: *mut c_void,
    epoll: c_int,
    events: *mut epoll_event,
    max: c_int,
    timeout_ms: c_int,
) -> c_int {
    if max <= 0 || events.is_null() {
        return status(Err(libc::EINVAL));
    }
    status(machine(userdata).epoll_wait(epoll, max as usize, millis(timeout_ms)).map(|ready| {
        for (at, (bits, data)) in ready.iter().enumerate() {
            // SAFETY: there are at most `max`, for which `epoll_wait`'s contract gives room.
            unsafe { events.add(at).write_unaligned(epoll_event { events: *bits, u64: *data }) };
        }
        ready.len() as c_int
    }))
}

pub(super) extern "C" fn pipe(_userdata: *mut c_void, ends: *mut c_int) -> c_int {
    done(system::pipe().map(|[read, write]| {
        // SAFETY: `pipe`'s contract: room for two.
        unsafe {
            ends.write(read);
            ends.add(1).write(write);
        }
    }))
}

/// A time-out in milliseconds; a negative one never comes.
fn millis(timeout_ms: c_int) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}
