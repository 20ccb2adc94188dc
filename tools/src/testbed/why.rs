//! Whether a testbed can be had here, and if not, exactly why and what to do.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use tapstack::device::TapError;
use tapstack::device::tap::TUN_PATH;

/// Why no testbed can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// `/dev/net/tun` isn't there.
    NoTunDevice,
    /// This user may not open `/dev/net/tun`.
    TunNotAllowed,
    /// The kernel makes no user namespaces (`user.max_user_namespaces` is 0).
    UserNamespacesOff,
    /// Debian's switch keeps user namespaces from ordinary users.
    UserNamespacesForRootOnly,
    /// Ubuntu's AppArmor takes the capabilities out of unprivileged user namespaces.
    AppArmor,
    /// A container's or a sandbox's rules (seccomp, missing capabilities) forbid namespaces.
    NamespacesForbidden {
        /// The error's number.
        errno: i32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoTunDevice => TapError::NoTunDevice.fmt(f),
            Why::TunNotAllowed => TapError::MayNotOpen.fmt(f),
            Why::UserNamespacesOff => f.write_str(
                "user namespaces are switched off: run as root, or once as root `sysctl user.max_user_namespaces=10000`",
            ),
            Why::UserNamespacesForRootOnly => f.write_str(
                "only root may make user namespaces: run as root, or once as root `sysctl \
                 kernel.unprivileged_userns_clone=1`",
            ),
            Why::AppArmor => f.write_str(
                "AppArmor takes the rights out of ordinary users' namespaces: run as root, or once as root `sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0`",
            ),
            Why::NamespacesForbidden { errno } => write!(
                f,
                "namespaces are forbidden here ({}): in a container, start it with `--cap-add NET_ADMIN --cap-add \
                 SYS_ADMIN --security-opt seccomp=unconfined --device {TUN_PATH}`, or run outside of it",
                std::io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}

/// Why something in a testbed did not work.
#[derive(Debug)]
#[non_exhaustive]
pub enum TestbedError {
    /// No testbed can be had here.
    Unavailable(Why),
    /// [`super::enter`] was called after a thread was started: the kernel then refuses a user namespace.
    TooLate,
    /// A TAP could not be had.
    Tap(TapError),
    /// A system call or the kernel's answer to a request.
    System {
        /// What was tried.
        doing: String,
        /// The error.
        errno: Errno,
    },
}

impl TestbedError {
    pub(super) fn system(doing: impl Into<String>, errno: Errno) -> TestbedError {
        TestbedError::System { doing: doing.into(), errno }
    }
}

impl std::error::Error for TestbedError {}

impl fmt::Display for TestbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestbedError::Unavailable(why) => why.fmt(f),
            TestbedError::TooLate => {
                f.write_str("a thread was started before the namespace was entered: enter it first in `main`")
            }
            TestbedError::Tap(error) => error.fmt(f),
            TestbedError::System { doing, errno } => {
                write!(f, "can't {doing}: {}", std::io::Error::from(*errno))
            }
        }
    }
}

impl From<TapError> for TestbedError {
    fn from(error: TapError) -> TestbedError {
        TestbedError::Tap(error)
    }
}

/// Whether [`super::enter`] and a TAP can be expected to work here. It changes nothing, and takes about a
/// millisecond: namespaces are tried in a child that ends at once.
pub fn available() -> Result<(), Why> {
    match rustix::fs::open(TUN_PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => {}
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => return Err(Why::NoTunDevice),
        Err(_) => return Err(Why::TunNotAllowed),
    }
    try_namespaces().map_err(namespaces_forbidden)
}

/// Finds out what stands behind a refused namespace.
pub(super) fn namespaces_forbidden(errno: Errno) -> Why {
    let switch = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let is = |path: &str, value: &str| switch(path).as_deref() == Some(value);
    if rustix::process::geteuid().is_root() {
        // Root asks for no user namespace, so the switches don't matter.
        return Why::NamespacesForbidden { errno: errno.raw_os_error() };
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        Why::UserNamespacesOff
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        Why::UserNamespacesForRootOnly
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        Why::AppArmor
    } else {
        Why::NamespacesForbidden { errno: errno.raw_os_error() }
    }
}

/// Makes the namespaces in a child process that never runs a program.
#[allow(unsafe_code)]
fn try_namespaces() -> Result<(), Errno> {
    const WORKED: Errno = Errno::CANCELED;
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes
    // system calls and neither allocates nor locks. Unsharing namespaces there concerns the child alone.
    unsafe {
        command.pre_exec(|| {
            super::namespace::unshare()?;
            Err(WORKED.into())
        });
    }
    match command.spawn() {
        // The closure never returns success, so there is no child; if there were, it would have to be reaped.
        Ok(mut child) => {
            let _ = child.kill();
            let _ = child.wait();
            Ok(())
        }
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(WORKED) => Ok(()),
            errno => Err(errno.unwrap_or(Errno::PERM)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_what_to_do() {
        for (why, next) in [
            (Why::NoTunDevice, "modprobe tun"),
            (Why::TunNotAllowed, "chmod 666 /dev/net/tun"),
            (Why::UserNamespacesOff, "sysctl user.max_user_namespaces"),
            (Why::UserNamespacesForRootOnly, "unprivileged_userns_clone=1"),
            (Why::AppArmor, "apparmor_restrict_unprivileged_userns=0"),
            (Why::NamespacesForbidden { errno: 1 }, "--cap-add NET_ADMIN"),
        ] {
            assert!(why.to_string().contains(next), "{why}");
        }
    }

    #[test]
    fn asking_leaves_this_process_where_it_is() {
        let namespace =
            || std::fs::read_link("/proc/self/ns/net").expect("every process has a network namespace");
        let before = namespace();
        // Whatever it says here, it says it twice.
        assert_eq!(available(), available());
        assert_eq!(namespace(), before);
    }
}
