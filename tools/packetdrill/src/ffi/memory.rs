//! Raw memory of the caller's: slices, strings, socket addresses and gather lists.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use libc::{iovec, sockaddr, sockaddr_in, socklen_t};

/// A C string, or nothing where there is none.
///
/// # Safety
///
/// `text` is null or a C string.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Memory that may be read.
///
/// # Safety
///
/// `start` is null, or `len` bytes from there stay readable and unchanged for the call.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start.cast(), len) }
}

/// Memory that scripts hand in to be read, which may be nonsense on purpose: looked at before it is touched. Errors: `EFAULT`.
///
/// # Safety
///
/// If the memory is there, it stays unchanged for the call.
pub(super) unsafe fn doubtful_bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8], i32> {
    if len == 0 {
        return Ok(&[]);
    }
    let last = (start as usize).checked_add(len - 1).ok_or(libc::EFAULT)?;
    if !is_there(start as usize) || !is_there(last) {
        return Err(libc::EFAULT);
    }
    // SAFETY: both ends can be read; what lies between is one buffer, by the caller's promise.
    Ok(unsafe { bytes(start, len) })
}

/// Whether a byte of our own memory can be read, found out by letting the kernel try.
fn is_there(address: usize) -> bool {
    let mut byte = 0u8;
    let here = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let there = iovec { iov_base: address as *mut c_void, iov_len: 1 };
    // SAFETY: the kernel checks the address that is read from, and writes one byte to a byte.
    unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) == 1 }
}

/// Memory that may be written.
///
/// # Safety
///
/// `start` is null, or `len` bytes from there are nobody else's for the call.
pub(super) unsafe fn bytes_mut<'a>(start: *mut c_void, len: usize) -> &'a mut [u8] {
    if start.is_null() || len == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), len) }
}

/// An IPv4 socket address. Errors: `EFAULT`, `EINVAL`, `EAFNOSUPPORT`.
///
/// # Safety
///
/// `address` is null, or `len` bytes from there may be read.
pub(super) unsafe fn address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddr, i32> {
    if address.is_null() {
        return Err(libc::EFAULT);
    }
    if (len as usize) < size_of::<sockaddr_in>() {
        return Err(libc::EINVAL);
    }
    // SAFETY: long enough by the check above, readable by the caller's promise; the alignment may be anything.
    let raw: sockaddr_in = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
    if c_int::from(raw.sin_family) != libc::AF_INET {
        return Err(libc::EAFNOSUPPORT);
    }
    let ip = Ipv4Addr::from_bits(u32::from_be(raw.sin_addr.s_addr));
    Ok(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
}

/// Writes an address where the caller wants one, cut to its room; the length becomes the whole address's.
///
/// # Safety
///
/// Both are null, or `len` may be read and written and says how many bytes of `out` may be written.
pub(super) unsafe fn put_address(out: *mut sockaddr, len: *mut socklen_t, address: Option<SocketAddr>) {
    if out.is_null() || len.is_null() {
        return;
    }
    let Some(SocketAddr::V4(address)) = address else { return };
    let raw = sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
        sin_zero: [0; 8],
    };
    let size = size_of::<sockaddr_in>();
    // SAFETY: the caller's promise; no more is written than fits.
    unsafe {
        let room = (*len as usize).min(size);
        core::ptr::copy_nonoverlapping((&raw const raw).cast::<u8>(), out.cast::<u8>(), room);
        *len = size as socklen_t;
    }
}

/// The vectors of a gather list.
///
/// # Safety
///
/// `start` is null, or `count` vectors from there may be read.
pub(super) unsafe fn vectors<'a>(start: *const iovec, count: usize) -> Result<&'a [iovec], i32> {
    if count > VECTORS_MAX {
        return Err(libc::EINVAL);
    }
    if start.is_null() {
        return Ok(&[]);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(start, count) })
}

/// What a gather list holds, in one piece. Errors: `EFAULT`.
///
/// # Safety
///
/// As [`doubtful_bytes`], for each vector.
pub(super) unsafe fn gather(vectors: &[iovec]) -> Result<Vec<u8>, i32> {
    let mut data = Vec::new();
    for vector in vectors {
        // SAFETY: the caller's promise.
        data.extend_from_slice(unsafe { doubtful_bytes(vector.iov_base, vector.iov_len) }?);
    }
    Ok(data)
}

/// Spreads data over a scatter list.
///
/// # Safety
///
/// Each vector's memory may be written.
pub(super) unsafe fn scatter(vectors: &[iovec], mut data: &[u8]) {
    for vector in vectors {
        // SAFETY: the caller's promise.
        let room = unsafe { bytes_mut(vector.iov_base, vector.iov_len) };
        let (head, rest) = data.split_at(room.len().min(data.len()));
        room[..head.len()].copy_from_slice(head);
        data = rest;
    }
}

/// Vectors in one list at most (`IOV_MAX`).
const VECTORS_MAX: usize = 1_024;
