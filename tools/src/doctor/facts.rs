//! What the doctor looks at: plain facts about this machine, read without changing it.

use super::page_lists::PageLists;
use std::path::{Path, PathBuf};

/// Programs that the tests run beside the stack, with their Debian packages.
const TEST_TOOLS: [(&str, &str); 6] = [
    ("tshark", "tshark"),
    ("curl", "curl"),
    ("ping", "iputils-ping"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("nc", "netcat-openbsd"),
];

/// What is known about this machine.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The kernel's name and release; none where it isn't Linux.
    pub linux: Option<String>,
    /// How opening /dev/net/tun went.
    pub tun: TunNode,
    /// Whether commands for the user want no `sudo` before them.
    pub root: bool,
    /// Whether this process may make network namespaces by itself: CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub may_make_namespaces: bool,
    /// Whether this looks like the inside of a container.
    pub container: bool,
    /// `user.max_user_namespaces`.
    pub user_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, a switch of Debian's kernels.
    pub userns_clone: Option<bool>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, a switch of Ubuntu's since 23.10.
    pub apparmor_restricts: Option<bool>,
    /// How much freed memory each core keeps; none where the kernel doesn't say.
    pub page_lists: Option<PageLists>,
    /// How making a namespace with a bridge and a TAP went; none if it wasn't tried.
    pub trial: Option<Result<String, String>>,
    /// Where `wireshark` is.
    pub wireshark: Option<PathBuf>,
    /// Where `tshark` is.
    pub tshark: Option<PathBuf>,
    /// Packages that tests want, whose programs are not there.
    pub test_packages_missing: Vec<&'static str>,
    /// What installs packages here.
    pub installer: Option<Installer>,
}

/// How opening /dev/net/tun went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunNode {
    /// It can be opened for reading and writing.
    Opens,
    /// There is no such file.
    NoNode,
    /// The file's mode forbids it.
    Denied,
    /// Something above the file's mode forbids it: a container's device list.
    Forbidden,
    /// The file is there, the driver isn't.
    NoDriver,
    /// Anything else, in the system's words.
    Other(String),
}

/// What installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Installer {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
}

impl Installer {
    /// The command that installs these packages, named as Debian names them.
    pub fn command(self, packages: &str) -> String {
        match self {
            Installer::Apt => format!("apt-get install {packages}"),
            Installer::Dnf => format!("dnf install {packages}"),
            Installer::Pacman => format!("pacman -S {packages}"),
            Installer::Zypper => format!("zypper install {packages}"),
            Installer::Apk => format!("apk add {packages}"),
        }
    }
}

impl Facts {
    /// Looks at this machine. The trial comes last: it leaves the process in a namespace of its own.
    pub fn gather() -> Facts {
        let capabilities = effective_capabilities();
        let mut facts = Facts {
            linux: linux_release(),
            tun: open_tun(),
            root: capabilities.is_some_and(|bits| bits & DAC_OVERRIDE != 0),
            may_make_namespaces: capabilities.is_some_and(|bits| bits & NAMESPACES == NAMESPACES),
            container: Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
            user_namespaces_max: number("/proc/sys/user/max_user_namespaces"),
            userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone").map(|n| n != 0),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                .map(|n| n != 0),
            page_lists: PageLists::here(),
            trial: None,
            wireshark: find_program("wireshark"),
            tshark: find_program("tshark"),
            test_packages_missing: TEST_TOOLS
                .iter()
                .filter(|(program, _)| find_program(program).is_none())
                .map(|&(_, package)| package)
                .collect(),
            installer: installer(),
        };
        if facts.linux.is_some() && facts.tun == TunNode::Opens {
            facts.trial = super::trial::try_it();
        }
        facts
    }
}

// Bits of capabilities(7).
const DAC_OVERRIDE: u64 = 1 << 1;
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;
const NAMESPACES: u64 = NET_ADMIN | SYS_ADMIN;

fn linux_release() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    cfg!(target_os = "linux").then(|| format!("Linux {}", release.trim()))
}

fn open_tun() -> TunNode {
    use std::io::ErrorKind;
    /// `ENXIO` and `ENODEV`: nothing is behind the node.
    const NO_DEVICE: [i32; 2] = [6, 19];
    /// `EPERM`, told from `EACCES`, which the file's mode gives.
    const NOT_PERMITTED: i32 = 1;
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let Err(error) = opened else { return TunNode::Opens };
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => TunNode::NoNode,
        (_, Some(number)) if NO_DEVICE.contains(&number) => TunNode::NoDriver,
        (_, Some(NOT_PERMITTED)) => TunNode::Forbidden,
        (ErrorKind::PermissionDenied, _) => TunNode::Denied,
        _ => TunNode::Other(error.to_string()),
    }
}

fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Looks a program up in the search path, and where system tools live for those whose path leaves that out.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn installer() -> Option<Installer> {
    let known = [
        ("apt-get", Installer::Apt),
        ("dnf", Installer::Dnf),
        ("pacman", Installer::Pacman),
        ("zypper", Installer::Zypper),
        ("apk", Installer::Apk),
    ];
    known.into_iter().find(|(program, _)| find_program(program).is_some()).map(|(_, installer)| installer)
}
