//! Moves a program into a network namespace of its own, by running it again in a child process.

use super::why::{TestbedError, Why, namespaces_forbidden};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Signal, getegid, geteuid, getppid};
use rustix::thread::UnshareFlags;
use std::process::{Command, ExitStatus};

/// Set in the child's environment to its parent's process id, so that a program which that child starts in its turn
/// isn't taken for the child.
const MARKER: &str = "TAPSTACK_TESTBED_OF";

/// Where the caller of [`enter`] finds itself.
#[derive(Debug)]
pub enum Entered {
    /// In the child, inside the new namespaces: go on.
    Inside,
    /// In the parent: the child has done everything, and this is how it ended.
    Done(ExitStatus),
}

/// Runs this program again, with the same arguments, in network, mount and (unless it is root's) user namespaces of
/// its own. The call returns in both processes: in the child at once, in the parent when the child has ended.
///
/// Call it first thing in `main`, before any thread is started. When the parent dies, so does the child, and with it
/// everything in the namespaces.
pub fn enter() -> Result<Entered, TestbedError> {
    if inside() {
        die_with_parent()?;
        move_in()?;
        return Ok(Entered::Inside);
    }
    let failed = |doing: &str, error: std::io::Error| {
        let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        TestbedError::system(doing, errno)
    };
    // Not the path of the program, which may be gone or another one by now.
    let mut command = Command::new("/proc/self/exe");
    let mut args = std::env::args_os();
    if let Some(name) = args.next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    command.args(args).env(MARKER, std::process::id().to_string());
    let mut child = command.spawn().map_err(|error| failed("run this program again", error))?;
    let status = child.wait().map_err(|error| failed("wait for the child", error))?;
    Ok(Entered::Done(status))
}

/// Whether this process is a child that [`enter`] started.
pub fn inside() -> bool {
    let parent = getppid().map(|pid| pid.as_raw_pid().to_string());
    parent.is_some() && std::env::var(MARKER).ok() == parent
}

/// Makes the new namespaces for this process. It only makes system calls, so that it may run between fork and exec.
#[allow(unsafe_code)]
pub(super) fn unshare() -> Result<(), Errno> {
    let mut flags = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
    if !geteuid().is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the table of file descriptors stays shared (no CLONE_FILES), which is all that could go wrong.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

fn die_with_parent() -> Result<(), TestbedError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| TestbedError::system("ask to be ended with the parent", errno))?;
    // It may have died before: then nobody waits for this process, and `inside` doesn't hold any more.
    if !inside() {
        std::process::exit(1);
    }
    Ok(())
}

/// Moves this process itself into network, mount and (unless it is root's) user namespaces of its own, for good. It
/// suits a program that does nothing else: everything in them ends with the process, however that ends.
///
/// Call it before any thread is started.
pub fn move_in() -> Result<(), TestbedError> {
    let (uid, gid) = (geteuid(), getegid());
    match unshare() {
        Ok(()) => {}
        // A process with threads can't enter a user namespace.
        Err(Errno::INVAL) if thread_count() > 1 => return Err(TestbedError::TooLate),
        Err(errno) => return Err(TestbedError::Unavailable(namespaces_forbidden(errno))),
    }
    if !uid.is_root() {
        // An ordinary user may map only himself, and only after giving up setgroups(2).
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {} 1", uid.as_raw())),
            ("gid_map", format!("0 {} 1", gid.as_raw())),
        ] {
            std::fs::write(format!("/proc/self/{file}"), text).map_err(|error| {
                let errno = error.raw_os_error().unwrap_or(0);
                TestbedError::Unavailable(Why::NamespacesForbidden { errno })
            })?;
        }
    }
    // The new namespace's interfaces show up in a new /sys only. Where it can't be mounted, threaded NAPI is all
    // that can't be had.
    let mounted =
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .and_then(|()| {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None)
            });
    if let Err(errno) = mounted {
        log::debug!("/sys stays that of the old network namespace: {errno}");
    }
    Ok(())
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
