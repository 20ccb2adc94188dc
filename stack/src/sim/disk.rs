//! The disk of a simulated machine: it keeps over a crash what was synced, and of the rest what the seed says.

use crate::net::{Content, Host, Store, Syncing};
use crate::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a simulated disk behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskConfig {
    /// How long a sync takes. Syncs don't wait for each other; reading and writing take no time.
    pub sync_latency: Duration,
    /// How likely an unsynced write is lost at a crash.
    pub lost: f64,
    /// How likely an unsynced write is torn at a crash: only its first bytes are there afterwards.
    pub torn: f64,
    /// Bytes of all files at most; further writes say `StorageFull`.
    pub bytes_max: u64,
}

impl Default for DiskConfig {
    /// A sync takes 0.1 ms, as a fast SSD's; a crash loses a third of the unsynced writes and tears another; 1 GiB.
    fn default() -> DiskConfig {
        DiskConfig {
            sync_latency: Duration::from_micros(100),
            lost: 1.0 / 3.0,
            torn: 1.0 / 3.0,
            bytes_max: 1 << 30,
        }
    }
}

/// What happened to a simulated disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Writes and truncations.
    pub writes: u64,
    /// Syncs that were finished.
    pub syncs: u64,
    /// Unsynced writes that crashes lost wholly.
    pub lost: u64,
    /// Unsynced writes that crashes tore.
    pub torn: u64,
    /// Unsynced writes that survived a crash wholly.
    pub survived: u64,
    /// Names created, changed or removed that crashes undid.
    pub names_undone: u64,
}

/// A simulated machine's disk, which its crashes don't take.
pub(super) struct SimDisk {
    config: DiskConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: DiskCounts,
    /// The names as the apps see them.
    names: BTreeMap<String, u64>,
    /// The names that a crash can't undo.
    durable_names: BTreeMap<String, u64>,
    /// What leads from these to those.
    pending_names: VecDeque<(u64, NameOp)>,
    files: BTreeMap<u64, Inode>,
    files_made: u64,
    /// Numbers every change, for syncs that are under way while others happen.
    changes: u64,
    /// Bytes of all files, as the apps see them.
    bytes: u64,
    crashes: u32,
}

#[derive(Clone)]
enum NameOp {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

/// A file apart from its name.
#[derive(Default)]
struct Inode {
    /// The content as the apps see it.
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What leads from this to that.
    pending: VecDeque<(u64, WriteOp)>,
    /// Held by whoever has it open, too.
    open: Arc<()>,
}

enum WriteOp {
    Write { offset: usize, data: Vec<u8> },
    Truncate { len: usize },
}

impl SimDisk {
    pub(super) fn new(config: DiskConfig) -> SimDisk {
        SimDisk { config, state: Mutex::default() }
    }

    pub(super) fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// The power fails: each write that was not synced is kept, torn or lost by itself, and of the names' changes the
    /// first few are kept.
    pub(super) fn crash(&self, mut rng: fastrand::Rng) {
        let mut state = self.state();
        let state = &mut *state;
        state.crashes += 1;
        let kept = rng.usize(..=state.pending_names.len());
        state.counts.names_undone += (state.pending_names.len() - kept) as u64;
        for (_, op) in state.pending_names.drain(..).take(kept) {
            op.apply(&mut state.durable_names);
        }
        state.names.clone_from(&state.durable_names);
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|id, _| named.contains(id));
        state.bytes = 0;
        for file in state.files.values_mut() {
            for (_, op) in file.pending.drain(..) {
                let chance = rng.f64();
                if chance < self.config.lost {
                    state.counts.lost += 1;
                } else if chance < self.config.lost + self.config.torn {
                    state.counts.torn += 1;
                    op.torn(&mut rng).apply(&mut file.durable);
                } else {
                    state.counts.survived += 1;
                    op.apply(&mut file.durable);
                }
            }
            file.seen.clone_from(&file.durable);
            state.bytes += file.seen.len() as u64;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the disk takes, and has what was there at the beginning durable at the end.
    fn syncing(self: Arc<SimDisk>, host: Host, file: Option<u64>) -> Syncing {
        let (until, crashes) = {
            let state = self.state();
            (state.changes, state.crashes)
        };
        Box::pin(async move {
            if !self.config.sync_latency.is_zero() {
                host.sleep(self.config.sync_latency).await;
            }
            let mut state = self.state();
            if state.crashes != crashes {
                return Err(io::Error::new(
                    io::ErrorKind::NetworkDown,
                    "the machine crashed during the sync",
                ));
            }
            state.counts.syncs += 1;
            state.make_durable(file, until);
            Ok(())
        })
    }
}

impl State {
    fn change_names(&mut self, op: NameOp) {
        op.clone().apply(&mut self.names);
        self.changes += 1;
        self.pending_names.push_back((self.changes, op));
    }

    fn change(&mut self, id: u64, bytes_max: u64, op: WriteOp) -> io::Result<()> {
        let file = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let before = file.seen.len() as u64;
        if (self.bytes - before).saturating_add(op.len_after(file.seen.len()) as u64) > bytes_max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        op.apply(&mut file.seen);
        self.bytes = self.bytes - before + file.seen.len() as u64;
        self.changes += 1;
        self.counts.writes += 1;
        file.pending.push_back((self.changes, op));
        Ok(())
    }

    /// Has all names' changes up to `until` kept, and those of a file.
    fn make_durable(&mut self, file: Option<u64>, until: u64) {
        let names = self.pending_names.partition_point(|(change, _)| *change <= until);
        for (_, op) in self.pending_names.drain(..names) {
            op.apply(&mut self.durable_names);
        }
        if let Some(file) = file.and_then(|id| self.files.get_mut(&id)) {
            let writes = file.pending.partition_point(|(change, _)| *change <= until);
            for (_, op) in file.pending.drain(..writes) {
                op.apply(&mut file.durable);
            }
        }
        if names > 0 {
            self.forget_the_nameless();
        }
    }

    /// Lets go of files that neither a name nor a handle leads to, nor a name that a crash may bring back.
    fn forget_the_nameless(&mut self) {
        let linked = self.pending_names.iter().filter_map(|(_, op)| match op {
            NameOp::Link(_, id) => Some(id),
            _ => None,
        });
        let named: BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).chain(linked).copied().collect();
        self.files.retain(|id, file| named.contains(id) || Arc::strong_count(&file.open) > 1);
        self.bytes = self.files.values().map(|file| file.seen.len() as u64).sum();
    }
}

impl NameOp {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameOp::Link(name, id) => {
                names.insert(name, id);
            }
            NameOp::Unlink(name) => {
                names.remove(&name);
            }
            NameOp::Rename(from, to) => {
                if let Some(id) = names.remove(&from) {
                    names.insert(to, id);
                }
            }
        }
    }
}

impl WriteOp {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            WriteOp::Write { offset, data } => {
                let end = offset + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*offset..end) {
                    place.copy_from_slice(data);
                }
            }
            WriteOp::Truncate { len } => content.resize(*len, 0),
        }
    }

    /// What is left of a write that the power's failure cut. The length of a file is kept or not, never half of it.
    fn torn(self, rng: &mut fastrand::Rng) -> WriteOp {
        match self {
            WriteOp::Write { offset, mut data } => {
                data.truncate(rng.usize(..=data.len()));
                WriteOp::Write { offset, data }
            }
            whole => whole,
        }
    }

    fn len_after(&self, len: usize) -> usize {
        match self {
            WriteOp::Write { offset, data } => len.max(offset.saturating_add(data.len())),
            WriteOp::Truncate { len } => *len,
        }
    }
}

/// An open file of a simulated disk.
struct SimFile {
    disk: Arc<SimDisk>,
    id: u64,
    _open: Arc<()>,
}

impl Store for SimDisk {
    fn open(self: Arc<SimDisk>, name: &str, create: bool) -> io::Result<Arc<dyn Content>> {
        let mut state = self.state();
        let id = match state.names.get(name) {
            Some(id) => *id,
            None if create => {
                state.files_made += 1;
                let id = state.files_made;
                state.files.insert(id, Inode::default());
                state.change_names(NameOp::Link(name.to_owned(), id));
                id
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let open = state.files.get(&id).map(|file| Arc::clone(&file.open)).unwrap_or_default();
        drop(state);
        Ok(Arc::new(SimFile { disk: self, id, _open: open }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameOp::Unlink(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync(self: Arc<SimDisk>, host: Host) -> Syncing {
        self.syncing(host, None)
    }
}

impl Content for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        Ok(state.files.get(&self.id).map_or(0, |file| file.seen.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let seen = state.files.get(&self.id).map(|file| file.seen.as_slice()).unwrap_or_default();
        let rest = usize::try_from(offset).ok().and_then(|offset| seen.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let op = WriteOp::Write { offset, data: data.to_vec() };
        self.disk.state().change(self.id, self.disk.config.bytes_max, op)
    }

    fn append(&self, data: &[u8]) -> io::Result<u64> {
        let mut state = self.disk.state();
        let offset = state.files.get(&self.id).map_or(0, |file| file.seen.len());
        let op = WriteOp::Write { offset, data: data.to_vec() };
        state.change(self.id, self.disk.config.bytes_max, op)?;
        Ok(offset as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.disk.state().change(self.id, self.disk.config.bytes_max, WriteOp::Truncate { len })
    }

    fn sync(self: Arc<SimFile>, host: Host) -> Syncing {
        Arc::clone(&self.disk).syncing(host, Some(self.id))
    }
}
