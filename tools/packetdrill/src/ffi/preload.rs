//! What packetdrill asks libc for directly: with the library preloaded as well, questions about our descriptors come here.

use super::{CURRENT, answer, io, sockets};
use crate::machine::Machine;
use core::ffi::{CStr, c_int, c_void};
use libc::{off_t, size_t, socklen_t, ssize_t};
use std::sync::{Arc, OnceLock, PoisonError};

type GetSockOpt = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
type SendFile = unsafe extern "C" fn(c_int, c_int, *mut off_t, size_t) -> ssize_t;

/// libc's `getsockopt`, except for descriptors that stand for our sockets.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if let Some(machine) = owner(fd) {
        // SAFETY: the caller's promise.
        return unsafe { sockets::get_option(&machine, fd, (level, name), value, len) };
    }
    static LIBC: OnceLock<Option<GetSockOpt>> = OnceLock::new();
    // SAFETY: libc's function has this type.
    let next = LIBC.get_or_init(|| unsafe { next(c"getsockopt").map(|f| core::mem::transmute(f)) });
    match next {
        // SAFETY: the caller's promise.
        Some(next) => unsafe { next(fd, level, name, value, len) },
        None => answer(Err(libc::ENOSYS)) as c_int,
    }
}

/// libc's `sendfile`, except into our sockets.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    if let Some(machine) = owner(to) {
        // SAFETY: the caller's promise: null, or an offset.
        let at = unsafe { offset.as_ref() }.copied();
        return answer(io::send_file(&machine, to, from, at, count).map(|(sent, at)| {
            if let Some(at) = at {
                // SAFETY: as above.
                unsafe { offset.write(at) };
            }
            sent
        }));
    }
    static LIBC: OnceLock<Option<SendFile>> = OnceLock::new();
    // SAFETY: libc's function has this type.
    let next = LIBC.get_or_init(|| unsafe { next(c"sendfile").map(|f| core::mem::transmute(f)) });
    match next {
        // SAFETY: the caller's promise.
        Some(next) => unsafe { next(to, from, offset, count) },
        None => answer(Err(libc::ENOSYS)),
    }
}

/// The machine that a descriptor belongs to.
fn owner(fd: c_int) -> Option<Arc<Machine>> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    current.owns(fd).then_some(current)
}

/// The next definition of a name behind ours: libc's.
///
/// # Safety
///
/// None of its own; what it is used as has to fit.
unsafe fn next(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
