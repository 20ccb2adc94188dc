//! Reading and writing, in all of the ways that sockets know.
// The lengths in C's structures have other types with other C libraries.
#![allow(clippy::unnecessary_cast)]

use super::{answer, machine, memory, system};
use crate::calls::{Received, Receiving, Sending};
use crate::machine::Machine;
use core::ffi::{c_int, c_uint, c_void};
use libc::{iovec, loff_t, msghdr, sockaddr, socklen_t, ssize_t};
use tapstack::socket::{RecvFlags, SendFlags, SocketKind};

pub(super) extern "C" fn read(userdata: *mut c_void, fd: c_int, buffer: *mut c_void, len: usize) -> ssize_t {
    let machine = machine(userdata);
    // SAFETY: `read`'s contract.
    let buffer = unsafe { memory::bytes_mut(buffer, len) };
    answer(match machine.owns(fd) {
        true => machine.recv(fd, buffer, Receiving::default()).map(|received| received.len),
        false => system::read(fd, buffer, None),
    })
}

pub(super) extern "C" fn readv(
    userdata: *mut c_void,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    let machine = machine(userdata);
    // SAFETY: `readv`'s contract, throughout.
    answer(unsafe {
        if !machine.owns(fd) {
            return answer(system::readv(fd, vectors, count));
        }
        memory::vectors(vectors, count as usize)
            .and_then(|vectors| receive_into(machine, fd, vectors, 0))
            .map(|received| received.len)
    })
}

pub(super) extern "C" fn recv(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    recvfrom(userdata, fd, buffer, len, flags, core::ptr::null_mut(), core::ptr::null_mut())
}

pub(super) extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    let vector = iovec { iov_base: buffer, iov_len: len };
    // SAFETY: `recvfrom`'s contract, throughout.
    answer(unsafe {
        receive_into(machine(userdata), fd, &[vector], flags).map(|received| {
            memory::put_address(address, address_len, received.from);
            received.len
        })
    })
}

pub(super) extern "C" fn recvmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    let machine = machine(userdata);
    // SAFETY: `recvmsg`'s contract: a message header that may be written, with its vectors and control room.
    answer(unsafe {
        let message = &mut *message;
        memory::vectors(message.msg_iov, message.msg_iovlen as usize)
            .and_then(|vectors| receive_into(machine, fd, vectors, flags))
            .map(|received| {
                let datagram = machine.kind(fd).is_ok_and(|kind| kind != SocketKind::Stream);
                // A stream has no address to tell.
                let from = received.from.filter(|_| datagram);
                memory::put_address(message.msg_name.cast(), &mut message.msg_namelen, from);
                if from.is_none() {
                    message.msg_namelen = 0;
                }
                message.msg_flags = 0;
                put_left(message, received.left);
                received.len
            })
    })
}

/// `TCP_CM_INQ`: how much is left, as a control message.
///
/// # Safety
///
/// The header's control room may be written.
unsafe fn put_left(message: &mut msghdr, left: Option<usize>) {
    let room = message.msg_controllen as usize;
    message.msg_controllen = 0;
    let Some(left) = left else { return };
    let payload = size_of::<c_int>() as c_uint;
    // SAFETY: no memory is involved.
    let (len, space) = unsafe { (libc::CMSG_LEN(payload), libc::CMSG_SPACE(payload) as usize) };
    if room < space || message.msg_control.is_null() {
        message.msg_flags |= libc::MSG_CTRUNC;
        return;
    }
    // SAFETY: the first header and its data lie within the room, by the check above and the caller's promise.
    unsafe {
        let header: *mut libc::cmsghdr = message.msg_control.cast();
        (*header).cmsg_len = len as _;
        (*header).cmsg_level = libc::IPPROTO_TCP;
        (*header).cmsg_type = libc::TCP_CM_INQ;
        libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(left as c_int);
    }
    message.msg_controllen = space as _;
}

/// Receives into a scatter list.
///
/// # Safety
///
/// The vectors' memory may be written.
unsafe fn receive_into(
    machine: &Machine,
    fd: c_int,
    vectors: &[iovec],
    flags: c_int,
) -> Result<Received, i32> {
    if flags & libc::MSG_ERRQUEUE != 0 {
        // Nothing is ever reported there.
        return machine.kind(fd).and(Err(libc::EAGAIN));
    }
    let len = vectors.iter().map(|vector| vector.iov_len).sum::<usize>().min(TRANSFER_MAX);
    let mut buffer = vec![0; len];
    let has = |flag| flags & flag != 0;
    let how = Receiving {
        flags: RecvFlags { peek: has(libc::MSG_PEEK), trunc: has(libc::MSG_TRUNC), oob: has(libc::MSG_OOB) },
        dont_wait: has(libc::MSG_DONTWAIT),
        wait_all: has(libc::MSG_WAITALL),
    };
    let received = machine.recv(fd, &mut buffer, how)?;
    // On a stream, `MSG_TRUNC` throws away what it takes.
    let discard = has(libc::MSG_TRUNC) && machine.kind(fd) == Ok(SocketKind::Stream);
    if !discard {
        // SAFETY: the caller's promise.
        unsafe { memory::scatter(vectors, &buffer[..received.len.min(len)]) };
    }
    Ok(received)
}

pub(super) extern "C" fn write(userdata: *mut c_void, fd: c_int, data: *const c_void, len: usize) -> ssize_t {
    let machine = machine(userdata);
    // SAFETY: `write`'s contract.
    let data = unsafe { memory::doubtful_bytes(data, len) };
    answer(data.and_then(|data| match machine.owns(fd) {
        true => machine.send(fd, data, Sending::default()),
        false => system::write(fd, data),
    }))
}

pub(super) extern "C" fn writev(
    userdata: *mut c_void,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    let machine = machine(userdata);
    // SAFETY: `writev`'s contract, throughout.
    answer(unsafe {
        if !machine.owns(fd) {
            return answer(system::writev(fd, vectors, count));
        }
        memory::vectors(vectors, count as usize)
            .and_then(|vectors| machine.send(fd, &memory::gather(vectors)?, Sending::default()))
    })
}

pub(super) extern "C" fn send(
    userdata: *mut c_void,
    fd: c_int,
    data: *const c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    sendto(userdata, fd, data, len, flags, core::ptr::null(), 0)
}

pub(super) extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    data: *const c_void,
    len: usize,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    // SAFETY: `sendto`'s contract, throughout.
    answer(unsafe {
        sending(flags, address, address_len)
            .and_then(|how| machine(userdata).send(fd, memory::doubtful_bytes(data, len)?, how))
    })
}

pub(super) extern "C" fn sendmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: `sendmsg`'s contract: a message header, with its vectors.
    answer(unsafe {
        let message = &*message;
        let how = sending(flags, message.msg_name.cast_const().cast(), message.msg_namelen);
        memory::vectors(message.msg_iov, message.msg_iovlen as usize)
            .and_then(|vectors| machine(userdata).send(fd, &memory::gather(vectors)?, how?))
    })
}

/// How to send, from `MSG_*` flags and an address that may be null. Errors: `EOPNOTSUPP` for TCP Fast Open.
///
/// # Safety
///
/// `address` is null, or `len` bytes from there may be read.
unsafe fn sending(flags: c_int, address: *const sockaddr, len: socklen_t) -> Result<Sending, i32> {
    let has = |flag| flags & flag != 0;
    if has(libc::MSG_FASTOPEN) {
        return Err(libc::EOPNOTSUPP);
    }
    // SAFETY: the caller's promise.
    let to = if address.is_null() { None } else { Some(unsafe { memory::address(address, len) }?) };
    let flags = SendFlags { more: has(libc::MSG_MORE), oob: has(libc::MSG_OOB), eor: has(libc::MSG_EOR) };
    Ok(Sending { flags, dont_wait: has(libc::MSG_DONTWAIT), to })
}

/// `splice` between a pipe or file and one of our sockets.
pub(super) extern "C" fn splice(
    userdata: *mut c_void,
    from: c_int,
    from_at: *mut loff_t,
    to: c_int,
    to_at: *mut loff_t,
    len: usize,
    flags: c_uint,
) -> ssize_t {
    let machine = machine(userdata);
    let dont_wait = flags & libc::SPLICE_F_NONBLOCK != 0;
    let mut buffer = vec![0; len.min(PIPE_BYTES)];
    answer(match (machine.owns(from), machine.owns(to)) {
        (true, false) => {
            let how = Receiving { dont_wait, ..Receiving::default() };
            machine.recv(from, &mut buffer, how).and_then(|received| match &buffer[..received.len] {
                [] => Ok(0),
                data => system::write(to, data),
            })
        }
        (false, true) => system::read(from, &mut buffer, None).and_then(|len| {
            let flags = SendFlags { more: flags & libc::SPLICE_F_MORE != 0, ..SendFlags::default() };
            machine.send(to, &buffer[..len], Sending { flags, dont_wait, to: None })
        }),
        (true, true) => Err(libc::EINVAL),
        // SAFETY: `splice`'s contract; neither end is ours.
        (false, false) => unsafe { system::splice((from, from_at), (to, to_at), len, flags) },
    })
}

/// Copies a file's bytes into a socket: `sendfile`. The offset after it.
pub(super) fn send_file(
    machine: &Machine,
    to: c_int,
    from: c_int,
    mut at: Option<loff_t>,
    count: usize,
) -> Result<(usize, Option<loff_t>), i32> {
    let mut buffer = vec![0; count.min(TRANSFER_MAX)];
    let len = system::read(from, &mut buffer, at)?;
    let sent = machine.send(to, &buffer[..len], Sending::default())?;
    if let Some(at) = &mut at {
        *at += sent as loff_t;
    }
    Ok((sent, at))
}

/// Bytes that one call moves at most: what the kernel's own calls move (`MAX_RW_COUNT`) would be a heavy buffer.
const TRANSFER_MAX: usize = 16 << 20;
/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 65_536;
