//! Making, opening, closing sockets, and their options.

use super::{answer, done, machine, memory, status, system};
use core::ffi::{c_int, c_long, c_ulong, c_void};
use libc::{sockaddr, socklen_t};
use tapstack::socket::{OptionName, Shutdown, SocketKind, SocketOption};

pub(super) extern "C" fn socket(userdata: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
    let kind = match (domain, kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC), protocol) {
        (libc::AF_INET, libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => SocketKind::Stream,
        (libc::AF_INET, libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => SocketKind::Datagram,
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP) => SocketKind::Echo,
        (libc::AF_INET, ..) => return status(Err(libc::EPROTONOSUPPORT)),
        _ => return status(Err(libc::EAFNOSUPPORT)),
    };
    status(system::placeholder().and_then(|fd| {
        machine(userdata).socket(fd, kind, nonblocking).inspect_err(|_| _ = system::close(fd))?;
        Ok(fd)
    }))
}

pub(super) extern "C" fn bind(
    userdata: *mut c_void,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: `bind`'s contract.
    let address = unsafe { memory::address(address, len) };
    done(address.and_then(|address| machine(userdata).bind(fd, address)))
}

pub(super) extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    done(machine(userdata).listen(fd, backlog))
}

pub(super) extern "C" fn accept(
    userdata: *mut c_void,
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    status(machine(userdata).accept(fd, system::placeholder).map(|(accepted, peer)| {
        // SAFETY: `accept`'s contract.
        unsafe { memory::put_address(address, len, Some(peer)) };
        accepted
    }))
}

pub(super) extern "C" fn connect(
    userdata: *mut c_void,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: `connect`'s contract.
    let address = unsafe { memory::address(address, len) };
    done(address.and_then(|address| machine(userdata).connect(fd, address)))
}

pub(super) extern "C" fn close(userdata: *mut c_void, fd: c_int) -> c_int {
    let machine = machine(userdata);
    if machine.owns(fd)
        && let Err(errno) = machine.close(fd)
    {
        return status(Err(errno));
    }
    done(system::close(fd))
}

pub(super) extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    let how = match how {
        libc::SHUT_RD => Shutdown::Read,
        libc::SHUT_WR => Shutdown::Write,
        libc::SHUT_RDWR => Shutdown::Both,
        _ => return status(Err(libc::EINVAL)),
    };
    done(machine(userdata).shutdown(fd, how))
}

pub(super) extern "C" fn fcntl(userdata: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    let machine = machine(userdata);
    if !machine.owns(fd) {
        return status(system::fcntl(fd, command, argument));
    }
    match command {
        libc::F_GETFL => status(
            machine
                .is_nonblocking(fd)
                .map(|nonblocking| libc::O_RDWR | if nonblocking { libc::O_NONBLOCK } else { 0 }),
        ),
        libc::F_SETFL => done(machine.set_nonblocking(fd, argument & c_long::from(libc::O_NONBLOCK) != 0)),
        _ => status(system::fcntl(fd, command, argument)),
    }
}

pub(super) extern "C" fn ioctl(
    userdata: *mut c_void,
    fd: c_int,
    request: c_ulong,
    argument: *mut c_void,
) -> c_int {
    let machine = machine(userdata);
    let name = match request {
        // SAFETY: a request that isn't for us is between the script and the kernel.
        _ if !machine.owns(fd) => return status(unsafe { system::ioctl(fd, request, argument) }),
        libc::FIONREAD => OptionName::InQueue,
        libc::TIOCOUTQ => OptionName::OutQueue,
        SIOCOUTQNSD => OptionName::OutQueueUnsent,
        libc::FIONBIO => {
            // SAFETY: `FIONBIO` points to an int.
            let on = unsafe { memory::bytes(argument, size_of::<c_int>()) };
            return done(machine.set_nonblocking(fd, on.iter().any(|byte| *byte != 0)));
        }
        _ => return status(Err(libc::ENOTTY)),
    };
    done(machine.option(fd, name).and_then(|option| {
        let (SocketOption::InQueue(bytes)
        | SocketOption::OutQueue(bytes)
        | SocketOption::OutQueueUnsent(bytes)) = option
        else {
            return Err(libc::EINVAL);
        };
        // SAFETY: these requests point to an int.
        let out = unsafe { memory::bytes_mut(argument, size_of::<c_int>()) };
        out.copy_from_slice(&(bytes as c_int).to_ne_bytes());
        Ok(())
    }))
}

pub(super) extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: `setsockopt`'s contract.
    let value = unsafe { memory::bytes(value, len as usize) };
    done(machine(userdata).setsockopt(fd, level, name, value))
}

pub(super) extern "C" fn getsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: `getsockopt`'s contract.
    unsafe { get_option(machine(userdata), fd, (level, name), value, len) }
}

/// `getsockopt`, from packetdrill's table or preloaded: as much of the value as fits.
///
/// # Safety
///
/// `len` may be read and written, and says how many bytes of `value` may be written.
pub(super) unsafe fn get_option(
    machine: &crate::machine::Machine,
    fd: c_int,
    (level, name): (c_int, c_int),
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if len.is_null() {
        return status(Err(libc::EFAULT));
    }
    let bytes = match machine.getsockopt(fd, level, name) {
        Ok(bytes) => bytes,
        Err(errno) => return answer(Err(errno)) as c_int,
    };
    // SAFETY: the caller's promise.
    unsafe {
        let room = memory::bytes_mut(value, *len as usize);
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        *len = count as socklen_t;
    }
    0
}

/// Bytes that were not sent yet.
const SIOCOUTQNSD: c_ulong = 0x894b;
