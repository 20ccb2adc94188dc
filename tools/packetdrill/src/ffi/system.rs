//! Real descriptors: placeholders for our sockets, and calls on descriptors that aren't ours.

use libc::{c_int, c_uint, c_void, iovec, loff_t, off_t};

/// A real descriptor that stands for one of ours: what goes to libc behind our back (closing it at the end) meets something
/// harmless, and the number is nobody else's.
pub(super) fn placeholder() -> Result<c_int, i32> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) } as isize).map(|fd| fd as c_int)
}

pub(super) fn close(fd: c_int) -> Result<(), i32> {
    // SAFETY: no memory is involved; whose descriptor it is, is the script's business.
    checked(unsafe { libc::close(fd) } as isize).map(drop)
}

pub(super) fn pipe() -> Result<[c_int; 2], i32> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    checked(unsafe { libc::pipe(ends.as_mut_ptr()) } as isize)?;
    Ok(ends)
}

/// Reads from a file or pipe, at an offset where one is given.
pub(super) fn read(fd: c_int, buffer: &mut [u8], offset: Option<off_t>) -> Result<usize, i32> {
    let (start, len) = (buffer.as_mut_ptr().cast::<c_void>(), buffer.len());
    // SAFETY: the pointer and the length are one slice's.
    checked(match offset {
        // SAFETY: as above.
        Some(at) => unsafe { libc::pread(fd, start, len, at) },
        // SAFETY: as above.
        None => unsafe { libc::read(fd, start, len) },
    })
}

/// Writes to a file or pipe.
pub(super) fn write(fd: c_int, data: &[u8]) -> Result<usize, i32> {
    // SAFETY: the pointer and the length are one slice's.
    checked(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

/// # Safety
///
/// `vectors` points to `count` vectors whose memory may be written.
pub(super) unsafe fn readv(fd: c_int, vectors: *const iovec, count: c_int) -> Result<usize, i32> {
    // SAFETY: the caller's promise.
    checked(unsafe { libc::readv(fd, vectors, count) })
}

/// # Safety
///
/// `vectors` points to `count` vectors whose memory may be read.
pub(super) unsafe fn writev(fd: c_int, vectors: *const iovec, count: c_int) -> Result<usize, i32> {
    // SAFETY: the caller's promise.
    checked(unsafe { libc::writev(fd, vectors, count) })
}

/// # Safety
///
/// The offsets are null or may be read and written.
pub(super) unsafe fn splice(
    (from, from_at): (c_int, *mut loff_t),
    (to, to_at): (c_int, *mut loff_t),
    len: usize,
    flags: c_uint,
) -> Result<usize, i32> {
    // SAFETY: the caller's promise.
    checked(unsafe { libc::splice(from, from_at, to, to_at, len, flags) })
}

/// What of `events` a descriptor that isn't ours has now.
pub(super) fn poll(fd: c_int, events: super::Events) -> super::Events {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, as the count says.
    match unsafe { libc::poll(&mut entry, 1, 0) } {
        1 => entry.revents,
        _ => 0,
    }
}

pub(super) fn fcntl(fd: c_int, command: c_int, argument: libc::c_long) -> Result<c_int, i32> {
    // SAFETY: the commands that scripts use take a number; what a pointer would mean is between the script and libc.
    checked(unsafe { libc::fcntl(fd, command, argument) } as isize).map(|value| value as c_int)
}

/// # Safety
///
/// `argument` is what the request asks for.
pub(super) unsafe fn ioctl(fd: c_int, request: libc::c_ulong, argument: *mut c_void) -> Result<c_int, i32> {
    // SAFETY: the caller's promise.
    checked(unsafe { libc::ioctl(fd, request, argument) } as isize).map(|value| value as c_int)
}

pub(super) fn set_errno(errno: i32) {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = errno };
}

fn checked(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
