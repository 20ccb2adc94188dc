//! What the run loop asks of the operating system besides its devices: the time, entropy, a descriptor.

use crate::time::Instant;
use mio::Poll;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The operating system's monotonic clock, which all machines of one system share.
pub(super) fn clock() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

pub(super) fn random_seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill_from_system(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn fill_from_system(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(len) => bytes = &mut bytes[len..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A second descriptor for the same poll.
pub(super) fn duplicate(poll: &Poll) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is the poll's, which is borrowed and so stays open until the duplicate is made.
    #[allow(unsafe_code)]
    let descriptor = unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) };
    descriptor.try_clone_to_owned()
}
