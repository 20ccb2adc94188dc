//! The doctor's verdicts: from facts to rows, each lack with the one command that mends it.

use super::facts::{Facts, Installer, TunNode};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// The command that mends a lack.
    pub mend: Option<String>,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There.
    Ok,
    /// Not there, and `demo --world tap` needs it.
    Missing,
    /// Not there; something smaller is lost.
    Optional,
    /// Could not be found out, since something before it is missing.
    Untried,
}

impl State {
    /// Columns of the longest of its words.
    pub const WIDTH: usize = "optional".len();

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Optional => "optional",
            State::Untried => "untried",
        }
    }
}

/// All rows, in the order in which a user would mend them.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let Some(release) = &facts.linux else {
        return vec![
            missing("system", "TAP devices are Linux's; the simulated world runs here".to_owned(), None),
            wireshark(facts),
        ];
    };
    vec![
        ok("system", release.clone()),
        tun(facts),
        namespaces(facts),
        trial(facts),
        page_lists(facts),
        wireshark(facts),
        tshark(facts),
        test_tools(facts),
    ]
}

fn tun(facts: &Facts) -> Check {
    const WHAT: &str = "TAP device";
    let (detail, mend) = match &facts.tun {
        TunNode::Opens => return ok(WHAT, "/dev/net/tun opens".to_owned()),
        TunNode::NoNode if facts.container => (
            "/dev/net/tun is not there: the container was not given it".to_owned(),
            "docker run --device /dev/net/tun …".to_owned(),
        ),
        TunNode::NoNode => (
            "/dev/net/tun is not there".to_owned(),
            sudo(facts, "sh -c 'modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 200'"),
        ),
        TunNode::Denied => (
            "/dev/net/tun is there, but its mode keeps this user out".to_owned(),
            sudo(facts, "chmod 666 /dev/net/tun"),
        ),
        TunNode::Forbidden => (
            "/dev/net/tun may not be opened: the container's device list forbids it".to_owned(),
            "docker run --device /dev/net/tun …".to_owned(),
        ),
        TunNode::NoDriver => ("/dev/net/tun has no driver behind it".to_owned(), sudo(facts, "modprobe tun")),
        TunNode::Other(error) => {
            (format!("/dev/net/tun does not open: {error}"), sudo(facts, "ls -l /dev/net/tun"))
        }
    };
    missing(WHAT, detail, Some(mend))
}

fn namespaces(facts: &Facts) -> Check {
    const WHAT: &str = "namespaces";
    if facts.may_make_namespaces {
        return ok(WHAT, "this user may make network namespaces".to_owned());
    }
    if facts.root && facts.container {
        // Root without CAP_SYS_ADMIN: a container's default, whose seccomp filter forbids user namespaces as well.
        return missing(
            WHAT,
            "this container's root may not make network namespaces".to_owned(),
            Some("docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun …".to_owned()),
        );
    }
    let (detail, setting) = if facts.user_namespaces_max == Some(0) {
        ("user namespaces are switched off", "user.max_user_namespaces=10000")
    } else if facts.user_namespaces_max.is_none() {
        return missing(WHAT, "this kernel has no user namespaces: only root can".to_owned(), None);
    } else if facts.userns_clone == Some(false) {
        ("user namespaces are for root only here", "kernel.unprivileged_userns_clone=1")
    } else if facts.apparmor_restricts == Some(true) {
        (
            "AppArmor takes the rights from users' own namespaces (Ubuntu's default)",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else {
        return ok(WHAT, "rootless: this user may make user and network namespaces".to_owned());
    };
    missing(WHAT, detail.to_owned(), Some(sudo(facts, &format!("sysctl -w {setting}"))))
}

fn trial(facts: &Facts) -> Check {
    const WHAT: &str = "real try";
    match &facts.trial {
        Some(Ok(found)) => ok(WHAT, found.clone()),
        Some(Err(error)) => missing(WHAT, error.clone(), None),
        None => {
            let detail = "a namespace with a TAP: when the above is mended".to_owned();
            Check { what: WHAT, state: State::Untried, detail, mend: None }
        }
    }
}

fn page_lists(facts: &Facts) -> Check {
    const WHAT: &str = "page lists";
    match facts.page_lists.map(|lists| (lists.mib(), lists.fraction())) {
        None => ok(WHAT, "this kernel doesn't tell their length".to_owned()),
        Some((mib, None)) => ok(WHAT, format!("each core keeps up to {mib} MiB of freed pages")),
        Some((mib, Some(fraction))) => optional(
            WHAT,
            format!(
                "each core keeps {mib} MiB of freed pages, so frames lie in memory that no cache holds: fast \
                 streams out are slower by up to a third"
            ),
            Some(sudo(facts, &format!("sysctl -w vm.percpu_pagelist_high_fraction={fraction}"))),
        ),
    }
}

fn wireshark(facts: &Facts) -> Check {
    const WHAT: &str = "Wireshark";
    match &facts.wireshark {
        Some(path) => ok(WHAT, path.display().to_string()),
        None => optional(
            WHAT,
            "not found here: captures can be copied to a machine that has it".to_owned(),
            install(facts, "wireshark"),
        ),
    }
}

fn tshark(facts: &Facts) -> Check {
    const WHAT: &str = "tshark";
    match &facts.tshark {
        Some(path) => ok(WHAT, path.display().to_string()),
        None => optional(
            WHAT,
            "not found: tapstack explain reads captures without it".to_owned(),
            // Distributions but Debian's family ship it in a package of another name.
            install(
                facts,
                match facts.installer {
                    Some(Installer::Apt | Installer::Apk) => "tshark",
                    Some(Installer::Dnf | Installer::Pacman) => "wireshark-cli",
                    _ => "wireshark",
                },
            ),
        ),
    }
}

fn test_tools(facts: &Facts) -> Check {
    const WHAT: &str = "test tools";
    if facts.test_packages_missing.is_empty() {
        return ok(WHAT, "all that cargo test runs beside the stack".to_owned());
    }
    let packages = facts.test_packages_missing.join(" ");
    let mend = match facts.installer {
        Some(Installer::Apt) => install(facts, &packages),
        _ => None,
    };
    optional(WHAT, format!("cargo test skips what needs {}", packages.replace(' ', ", ")), mend)
}

fn install(facts: &Facts, packages: &str) -> Option<String> {
    facts.installer.map(|installer| sudo(facts, &installer.command(packages)))
}

/// The command as this user has to type it.
fn sudo(facts: &Facts, command: &str) -> String {
    if facts.root { command.to_owned() } else { format!("sudo {command}") }
}

fn ok(what: &'static str, detail: String) -> Check {
    Check { what, state: State::Ok, detail, mend: None }
}

fn missing(what: &'static str, detail: String, mend: Option<String>) -> Check {
    Check { what, state: State::Missing, detail, mend }
}

fn optional(what: &'static str, detail: String, mend: Option<String>) -> Check {
    Check { what, state: State::Optional, detail, mend }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
