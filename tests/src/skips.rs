//! Tests that need more than a compiler: where it can't be had they are shown as ignored, with the reason.
//!
//! With `TAPSTACK_REQUIRE_TAP=1`, as CI sets it, they fail instead.

use libtest_mimic::{Completion, Failed, Trial};
use std::path::PathBuf;

/// What a test asks of the machine that it runs on, or why it can't have it.
pub type Need = Result<(), String>;

/// What a test's body returns.
pub type Outcome = Result<(), Failed>;

/// A test that is run if its needs are met, and else shown as ignored with the reason.
pub fn test(
    name: impl Into<String>,
    needs: impl IntoIterator<Item = Need>,
    body: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let unmet: Vec<String> = needs.into_iter().filter_map(Result::err).collect();
    if unmet.is_empty() {
        return Trial::test(name, body);
    }
    let reason = unmet.join("; ");
    Trial::ignorable_test(name, move || {
        if required() {
            return Err(format!("TAPSTACK_REQUIRE_TAP is set, but {reason}").into());
        }
        Ok(Completion::ignored_with(format!("skipped: {reason}")))
    })
}

/// Whether what can't be had is a failure.
pub fn required() -> bool {
    std::env::var_os("TAPSTACK_REQUIRE_TAP").is_some_and(|value| value == "1")
}

/// A program of the system.
pub fn program(name: &str) -> Need {
    find(name).map(drop).ok_or_else(|| format!("{name} is not installed"))
}

/// Where a program of the system is; some are in folders that are on an administrator's path only.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Turns a test's finding into its failure.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Moves this program into a network namespace of its own, in a child process, and says whether TAPs can be had in it.
/// In the parent it does not return: the child has run the tests. Call it first thing in `main`.
#[cfg(target_os = "linux")]
pub fn enter_testbed() -> Need {
    use tapstack_cli::testbed::{self, Entered};
    testbed::available().map_err(|why| why.to_string())?;
    match testbed::enter() {
        Ok(Entered::Inside) => Ok(()),
        Ok(Entered::Done(status)) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => Err(error.to_string()),
    }
}

/// What is left of the tests in this process once they are done, in words: programs, threads in other network
/// namespaces, descriptors of such namespaces and of TAPs. While there is none of these, no namespace and no interface
/// can be left, for nothing else keeps them.
#[cfg(target_os = "linux")]
pub fn leftovers() -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let own = std::fs::read_link("/proc/self/ns/net")?;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
        found.extend(children.split_whitespace().map(|pid| format!("a program, process {pid}")));
        // A thread that has ended in between is none that is left.
        if let Ok(namespace) = std::fs::read_link(task.join("ns/net"))
            && namespace != own
        {
            let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            found.push(format!("the thread {} in another network namespace", name.trim()));
        }
    }
    for descriptor in std::fs::read_dir("/proc/self/fd")? {
        if let Ok(target) = std::fs::read_link(descriptor?.path()) {
            let target = target.to_string_lossy().into_owned();
            if target.starts_with("net:") || target == "/dev/net/tun" {
                found.push(format!("an open {target}"));
            }
        }
    }
    Ok(found)
}
