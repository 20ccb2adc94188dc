//! Further network namespaces in the same process: each is one more kernel host.

use super::netlink::Netlink;
use super::why::{TestbedError, namespaces_forbidden};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A network namespace without a name. It lives as long as this value, a thread that runs in it, or a socket of it.
///
/// Namespaces belong to threads: whoever wants to use this one's network does so in [`NetNs::run`].
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
}

impl NetNs {
    /// A new namespace with its loopback up and IPv6 silenced. It needs CAP_SYS_ADMIN: root's, or that of a process
    /// that has [entered](super::enter) its own.
    pub fn new() -> Result<NetNs, TestbedError> {
        on_thread(|| {
            unshare_network().map_err(|errno| TestbedError::Unavailable(namespaces_forbidden(errno)))?;
            let ns = NetNs::current()?;
            silence_ipv6();
            Netlink::open()?.set_up("lo")?;
            Ok(ns)
        })?
    }

    /// The namespace that the calling thread is in.
    pub fn current() -> Result<NetNs, TestbedError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())
            .map(|fd| NetNs { fd })
            .map_err(|errno| TestbedError::system("open this thread's network namespace", errno))
    }

    /// Runs `body` on a thread of its own inside the namespace, and waits for it. Sockets that it returns stay those
    /// of the namespace. A panic goes on in the caller.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, TestbedError> {
        on_thread(|| {
            rustix::thread::move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|errno| TestbedError::system("move a thread into a network namespace", errno))?;
            Ok(body())
        })?
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Keeps the kernel from sending router solicitations and multicast reports on every interface that it gets in the
/// calling thread's namespace. A kernel without IPv6 is silent as it is.
pub(super) fn silence_ipv6() {
    for which in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        if let Err(error) = std::fs::write(&path, "1") {
            log::debug!("{path}: {error}");
        }
    }
}

fn on_thread<T: Send>(body: impl FnOnce() -> T + Send) -> Result<T, TestbedError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, body);
        let thread = thread.map_err(|_| TestbedError::system("start a thread", Errno::AGAIN))?;
        thread.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}

#[allow(unsafe_code)]
fn unshare_network() -> Result<(), Errno> {
    // SAFETY: the table of file descriptors stays shared (no CLONE_FILES), which is all that could go wrong.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}
