//! Everything that touches C: packetdrill's table of functions, raw memory, real descriptors, and preloaded calls.
//!
//! Each function here turns pointers into slices, asks the machine, and turns the result into `-1` and `errno`. Descriptors
//! that aren't ours (pipes, files) go on to libc.
#![allow(unsafe_code)]

mod device;
mod io;
mod memory;
mod preload;
mod sockets;
mod system;

use crate::flags::Flags;
use crate::machine::Machine;
use core::ffi::{c_char, c_int, c_long, c_longlong, c_short, c_uint, c_ulong, c_void};
use libc::{epoll_event, iovec, loff_t, msghdr, pollfd, sockaddr, socklen_t, ssize_t, timeval, timezone};
use std::sync::{Arc, Mutex, PoisonError};

/// The table that packetdrill asks to be filled: 33 words, in this order.
#[repr(C)]
struct Interface {
    userdata: *mut c_void,
    free: extern "C" fn(*mut c_void),
    socket: extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int,
    bind: extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    accept: extern "C" fn(*mut c_void, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    read: extern "C" fn(*mut c_void, c_int, *mut c_void, usize) -> ssize_t,
    readv: extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t,
    recv: extern "C" fn(*mut c_void, c_int, *mut c_void, usize, c_int) -> ssize_t,
    recvfrom: extern "C" fn(
        *mut c_void,
        c_int,
        *mut c_void,
        usize,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> ssize_t,
    recvmsg: extern "C" fn(*mut c_void, c_int, *mut msghdr, c_int) -> ssize_t,
    write: extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> ssize_t,
    writev: extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t,
    send: extern "C" fn(*mut c_void, c_int, *const c_void, usize, c_int) -> ssize_t,
    sendto:
        extern "C" fn(*mut c_void, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> ssize_t,
    sendmsg: extern "C" fn(*mut c_void, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: extern "C" fn(*mut c_void, c_int, c_int, c_long) -> c_int,
    ioctl: extern "C" fn(*mut c_void, c_int, c_ulong, *mut c_void) -> c_int,
    close: extern "C" fn(*mut c_void, c_int) -> c_int,
    shutdown: extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    getsockopt: extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: extern "C" fn(*mut c_void, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: extern "C" fn(*mut c_void, *mut pollfd, c_ulong, c_int) -> c_int,
    netdev_send: extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    netdev_receive: extern "C" fn(*mut c_void, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    usleep: extern "C" fn(*mut c_void, c_uint) -> c_int,
    gettimeofday: extern "C" fn(*mut c_void, *mut timeval, *mut timezone) -> c_int,
    epoll_create: extern "C" fn(*mut c_void, c_int) -> c_int,
    epoll_ctl: extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: extern "C" fn(*mut c_void, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: extern "C" fn(*mut c_void, *mut c_int) -> c_int,
    splice: extern "C" fn(*mut c_void, c_int, *mut loff_t, c_int, *mut loff_t, usize, c_uint) -> ssize_t,
}

const _: () = assert!(size_of::<Interface>() == 33 * size_of::<usize>());

/// The machine whose script runs now: what preloaded calls, which get no userdata, are about.
static CURRENT: Mutex<Option<Arc<Machine>>> = Mutex::new(None);

/// What packetdrill calls after loading the library.
///
/// # Safety
///
/// `flags` is null or a C string, and `out` has room for 33 pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, out: *mut c_void) {
    // SAFETY: the caller's promise.
    let flags = unsafe { memory::text(flags) };
    let machine = Arc::new(Machine::new(Flags::parse(&flags)));
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(machine.clone());
    let interface = Interface {
        userdata: Arc::into_raw(machine).cast_mut().cast(),
        free,
        socket: sockets::socket,
        bind: sockets::bind,
        listen: sockets::listen,
        accept: sockets::accept,
        connect: sockets::connect,
        read: io::read,
        readv: io::readv,
        recv: io::recv,
        recvfrom: io::recvfrom,
        recvmsg: io::recvmsg,
        write: io::write,
        writev: io::writev,
        send: io::send,
        sendto: io::sendto,
        sendmsg: io::sendmsg,
        fcntl: sockets::fcntl,
        ioctl: sockets::ioctl,
        close: sockets::close,
        shutdown: sockets::shutdown,
        getsockopt: sockets::getsockopt,
        setsockopt: sockets::setsockopt,
        poll: device::poll,
        netdev_send: device::netdev_send,
        netdev_receive: device::netdev_receive,
        usleep: device::usleep,
        gettimeofday: device::gettimeofday,
        epoll_create: device::epoll_create,
        epoll_ctl: device::epoll_ctl,
        epoll_wait: device::epoll_wait,
        pipe: device::pipe,
        splice: io::splice,
    };
    // SAFETY: the caller's promise; the words need no more than the alignment of pointers.
    unsafe { out.cast::<Interface>().write(interface) };
}

/// The script is over.
extern "C" fn free(userdata: *mut c_void) {
    // SAFETY: packetdrill hands back the userdata that it was given, and nothing after this call.
    let machine: Arc<Machine> = unsafe { Arc::from_raw(userdata.cast()) };
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &machine)) {
        *current = None;
    }
}

/// The machine behind a call's userdata.
fn machine<'a>(userdata: *mut c_void) -> &'a Machine {
    // SAFETY: packetdrill hands back the userdata that it was given by `packetdrill_interface_init`, until it calls `free`.
    unsafe { &*userdata.cast::<Machine>() }
}

/// `0` or a count, or `-1` with `errno`.
fn answer(result: Result<usize, i32>) -> ssize_t {
    match result {
        Ok(count) => count as ssize_t,
        Err(errno) => {
            system::set_errno(errno);
            -1
        }
    }
}

/// As [`answer`], for calls that return an `int`.
fn status(result: Result<c_int, i32>) -> c_int {
    answer(result.map(|value| value as usize)) as c_int
}

/// As [`status`], for calls that return nothing but success.
fn done(result: Result<(), i32>) -> c_int {
    status(result.map(|()| 0))
}

/// `revents` and the like.
type Events = c_short;
