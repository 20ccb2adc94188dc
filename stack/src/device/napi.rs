//! Threaded NAPI on a TAP: the kernel handles what it receives from us in a thread of its own.

use rustix::process::{Pid, getpriority_process, setpriority_process};
use std::{fs, io};

/// Nanoseconds that the kernel waits for the rest of a burst before it hands a part of it up.
///
/// Without them its thread, which is faster than we write, hands up every frame by itself, and goes to sleep to be woken
/// by the next one: a stream then is slower by an eighth. The end of what was written (PSH) is handed up at once.
const GRO_FLUSH_AFTER: &str = "20000";

/// How far the thread's niceness is raised. As nice as others, it interrupts the reader that it has woken, again and
/// again, for a few frames at a time; nicer than this, it gets too little of a core that others are busy on.
const NICENESS: i32 = 7;

/// Gives the TAP of this name its thread. Errors: its `/sys` isn't there, or may not be written.
pub(super) fn thread(name: &str) -> io::Result<()> {
    let strangers = threads(name);
    fs::write(format!("/sys/class/net/{name}/threaded"), "1")?;
    for thread in threads(name).into_iter().filter(|thread| !strangers.contains(thread)) {
        // Ordinary users may not, and in a container it can't be found: then it stays as nice as others.
        if let Err(error) = make_nice(thread) {
            log::debug!("{name}: its NAPI thread stays as nice as others: {error}");
        }
    }
    fs::write(format!("/sys/class/net/{name}/gro_flush_timeout"), GRO_FLUSH_AFTER)
}

fn make_nice(thread: Pid) -> io::Result<()> {
    let present = getpriority_process(Some(thread))?;
    Ok(setpriority_process(Some(thread), present.max(NICENESS))?)
}

/// The NAPI threads of TAPs of this name, those in other network namespaces among them.
fn threads(name: &str) -> Vec<Pid> {
    let prefix = format!("napi/{name}-");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let is_ours = |pid: &Pid| {
        let comm = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid()));
        comm.is_ok_and(|comm| comm.starts_with(&prefix))
    };
    processes
        .filter_map(|process| Pid::from_raw(process.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(is_ours)
        .collect()
}
