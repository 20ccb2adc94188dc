//! CPU time, as the kernel charges it.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds of the calling thread.
pub(super) fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// CPU seconds of the whole process.
pub(super) fn process_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
