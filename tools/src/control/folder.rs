//! The folder of control sockets: who is up, who claims a name, and what a killed machine left there.

use crate::ui;
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Where this user's control sockets are: below `$XDG_RUNTIME_DIR`, or /run/tapstack (root's), or a folder of his own
/// in /tmp.
pub(crate) fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute() && dir.is_dir())
    {
        Some(dir) => dir.join("tapstack"),
        None if geteuid().is_root() => PathBuf::from("/run/tapstack"),
        None => PathBuf::from(format!("/tmp/tapstack-{}", geteuid().as_raw())),
    }
}

/// Opens the folder: makes it where it isn't there, and refuses one that isn't this user's alone.
fn open_folder(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => ": set XDG_RUNTIME_DIR to a folder that you may write to",
            _ => "",
        };
        format!("can't use {}: {}{hint}", folder.display(), ui::reason(&error))
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let meta = folder.symlink_metadata().map_err(failed)?;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
        return Err(format!("{} is not a folder of yours: remove it", folder.display()));
    }
    if meta.mode() & 0o077 != 0 {
        let only_mine = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, only_mine).map_err(failed)?;
    }
    Ok(())
}

/// What a machine notes about itself, so that the next one can mend what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) pid: u32,
    /// Its network namespace, as `/proc` names it.
    pub(crate) namespace: String,
    /// What it changed on interfaces that may outlive it.
    pub(crate) changes: Vec<Change>,
}

/// Something to be undone when the machine is gone and the interface isn't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// The kernel was given an address on an interface.
    Address { interface: String, address: std::net::Ipv4Addr, prefix_len: u8 },
    /// An interface was plugged into a bridge.
    Bridge { interface: String },
}

/// How claiming a name went.
pub(crate) enum Claimed {
    /// It is ours; a machine of that name that did not end cleanly left this.
    Ours(Claim, Option<State>),
    /// A machine of that name is up; its process, where it is known.
    Taken(Option<u32>),
}

/// A name that is ours while this lives: the lock goes with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Claim {
    lock: File,
    lock_path: PathBuf,
    socket_path: PathBuf,
}

impl Claim {
    /// Claims a name in this user's folder.
    pub(crate) fn take(folder: &Path, name: &str) -> Result<Claimed, String> {
        open_folder(folder)?;
        let (lock_path, socket_path) =
            (folder.join(format!("{name}.lock")), folder.join(format!("{name}.sock")));
        let failed = |error: io::Error| format!("can't use {}: {}", lock_path.display(), ui::reason(&error));
        for _ in 0..LOCK_TRIES_MAX {
            let mut lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&lock_path)
                .map_err(failed)?;
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
            let left = read_state(&mut lock);
            match locked {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Claimed::Taken(left.map(|state| state.pid))),
                Err(errno) => return Err(failed(errno.into())),
            }
            // Who ends removes his file: the one that is locked may not be the one that has the name now.
            if !is_same_file(&lock, &lock_path) {
                continue;
            }
            let stale = socket_path.symlink_metadata().is_ok();
            if stale {
                std::fs::remove_file(&socket_path).map_err(failed)?;
            }
            let left = left.or(stale.then(State::default));
            return Ok(Claimed::Ours(Claim { lock, lock_path, socket_path }, left));
        }
        Err(format!("{} is being fought over: try again", lock_path.display()))
    }

    /// Notes what would have to be undone after us.
    pub(crate) fn note(&mut self, state: &State) -> Result<(), String> {
        let text = serde_json::to_vec(state).unwrap_or_default();
        let written = self
            .lock
            .set_len(0)
            .and_then(|()| self.lock.rewind())
            .and_then(|()| self.lock.write_all(&text))
            .and_then(|()| self.lock.flush());
        written.map_err(|error| format!("can't write {}: {}", self.lock_path.display(), ui::reason(&error)))
    }

    /// Opens the control socket, which nobody else may connect to.
    pub(crate) fn listen(&self) -> Result<UnixListener, String> {
        let failed = |error: io::Error| {
            format!("can't listen on {}: {}", self.socket_path.display(), ui::reason(&error))
        };
        let listener = UnixListener::bind(&self.socket_path).map_err(failed)?;
        rustix::fs::chmod(&self.socket_path, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed(errno.into()))?;
        Ok(listener)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock's file last, and while it is still locked: who finds it gone makes a new one.
        for path in [&self.socket_path, &self.lock_path] {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::warn!("{}: {error}", path.display());
            }
        }
    }
}

/// The names of the machines that are up, in order.
pub(super) fn running(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sock").map(str::to_owned))
        .filter(|name| UnixStream::connect(folder.join(format!("{name}.sock"))).is_ok())
        .collect();
    names.sort();
    names
}

/// Whether a machine can have this name: it becomes part of a file's name, and of a socket's path, which is short.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(plain) && !name.starts_with('.')
}

fn read_state(lock: &mut File) -> Option<State> {
    let mut text = String::new();
    lock.take(STATE_BYTES_MAX).read_to_string(&mut text).ok()?;
    if text.is_empty() {
        return None;
    }
    // A state that was only half written still says that somebody was there.
    Some(serde_json::from_str(&text).unwrap_or_default())
}

fn is_same_file(open: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (open.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

const NAME_BYTES_MAX: usize = 32;
const STATE_BYTES_MAX: u64 = 64 << 10;
const LOCK_TRIES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(folder: &Path) -> (Claim, Option<State>) {
        match Claim::take(folder, "m").unwrap() {
            Claimed::Ours(claim, left) => (claim, left),
            Claimed::Taken(pid) => panic!("taken by {pid:?}"),
        }
    }

    #[test]
    fn a_name_has_one_owner_at_a_time_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tapstack");
        let (mut claim, left) = take(&folder);
        assert_eq!(left, None);
        claim.note(&State { pid: 7, ..State::default() }).unwrap();
        let listener = claim.listen().unwrap();
        assert!(matches!(Claim::take(&folder, "m").unwrap(), Claimed::Taken(Some(7))));
        assert_eq!(running(&folder), ["m"]);
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(folder.join("m.sock").metadata().unwrap().mode() & 0o777, 0o600);
        drop((listener, claim));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_machine_left_is_found() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tapstack");
        let (mut claim, _) = take(&folder);
        let change = Change::Bridge { interface: "tap7".into() };
        let state = State { pid: 7, namespace: "net:[1]".into(), changes: vec![change] };
        claim.note(&state).unwrap();
        drop(claim.listen().unwrap());
        // As a kill has it: the lock is let go, the files stay.
        flock(&claim.lock, FlockOperation::Unlock).unwrap();
        std::mem::forget(claim);
        assert!(running(&folder).is_empty());
        let (_claim, left) = take(&folder);
        assert_eq!(left, Some(state));
        assert!(!folder.join("m.sock").exists());
    }

    #[test]
    fn folders_of_others_are_refused_and_open_ones_closed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tapstack");
        std::os::unix::fs::symlink(parent.path(), &folder).unwrap();
        assert!(Claim::take(&folder, "m").is_err(), "a link");
        let wide = parent.path().join("wide");
        DirBuilder::new().mode(0o755).create(&wide).unwrap();
        drop(take(&wide));
        assert_eq!(wide.metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("tapstack") && is_name("a-b_c.d"));
        for bad in ["", ".x", "a/b", "a b", "ä", &"x".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
