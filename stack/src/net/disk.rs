//! A machine's disk as apps use it: a flat folder of files for append-only logs and small states.
//!
//! What was written is seen at once by whoever reads; what survives a crash of the machine is what was *synced*
//! before. An unsynced write survives a crash wholly, in part or not at all, each write for itself, so a later one may
//! be there without an earlier. In a simulated world the seed decides it; on real files the operating system does.
//!
//! Names are simpler than POSIX has them. Creating, renaming and removing take effect at once and in order, and each
//! is atomic: a crash undoes the last few of those that were not synced, none of them halfway. [`File::sync`] makes the
//! names durable as well as the file's content, so that "write a new file, sync it, rename it over the old one,
//! [`Disk::sync`]" replaces a file atomically.

use super::Host;
use super::machine::Machine;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

/// Bytes of a file's name at most.
pub const NAME_BYTES_MAX: usize = 200;

/// The disk of a machine: see [`Host::disk`]. It belongs to the machine's present life: after a crash its calls fail.
#[derive(Clone)]
pub struct Disk {
    machine: Arc<Machine>,
    life: u32,
    store: Arc<dyn Store>,
}

/// An open file. It stays open, and the same file, when its name changes or goes. Clones are the same file.
#[derive(Clone)]
pub struct File {
    machine: Arc<Machine>,
    life: u32,
    content: Arc<dyn Content>,
}

impl Host {
    /// The machine's disk.
    ///
    /// # Errors
    /// `Unsupported` on a TAP when the program gave the machine no folder (`tap::Machine::set_disk`); `NetworkDown`
    /// when the machine is down.
    pub fn disk(&self) -> io::Result<Disk> {
        let machine = Arc::clone(self.machine());
        let life = machine.lock_up().map_err(|_| down())?.life;
        let store = machine.world.disk(&machine)?;
        Ok(Disk { machine, life, store })
    }
}

impl Disk {
    /// Opens a file. Errors: `NotFound`; `InvalidInput` for a name that can't be (see [`NAME_BYTES_MAX`]: letters,
    /// digits, `-`, `_` and dots, not at the front).
    pub fn open(&self, name: &str) -> io::Result<File> {
        self.file(name, false)
    }

    /// Opens a file, or makes an empty one. Errors: `InvalidInput` as for [`Disk::open`]; what the file system says.
    pub fn create(&self, name: &str) -> io::Result<File> {
        self.file(name, true)
    }

    /// Gives a file another name, whose former file goes. Errors: `NotFound`, `InvalidInput`.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.alive()?;
        self.store.rename(checked(from)?, checked(to)?)
    }

    /// Takes a name away, and the file when nobody has it open. Errors: `NotFound`, `InvalidInput`.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.alive()?;
        self.store.remove(checked(name)?)
    }

    /// The names of all files, in alphabetical order.
    pub fn list(&self) -> io::Result<Vec<String>> {
        self.alive()?;
        self.store.list()
    }

    /// Makes what was created, renamed and removed so far durable. Dropping the future promises nothing.
    pub async fn sync(&self) -> io::Result<()> {
        self.alive()?;
        Arc::clone(&self.store).sync(Host::new(Arc::clone(&self.machine))).await
    }

    fn file(&self, name: &str, create: bool) -> io::Result<File> {
        self.alive()?;
        let content = Arc::clone(&self.store).open(checked(name)?, create)?;
        Ok(File { machine: Arc::clone(&self.machine), life: self.life, content })
    }

    fn alive(&self) -> io::Result<()> {
        self.machine.lock_life(self.life).map(drop).map_err(|_| down())
    }
}

impl File {
    /// Its length in bytes.
    pub fn len(&self) -> io::Result<u64> {
        self.alive()?;
        self.content.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads from `offset` as much as there is and `buffer` holds; returns how much that was, 0 at the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.alive()?;
        self.content.read_at(offset, buffer)
    }

    /// The whole content, if it is no longer than `len_max` bytes. Errors: `FileTooLarge`.
    pub fn read_all(&self, len_max: usize) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        if len > len_max {
            let text = format!("a file of {len} bytes, where {len_max} are read at most");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(filled as u64, rest)? {
                0 => break,
                len => filled += len,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes all of `data` at `offset`; a gap before it reads as zeros. Errors: `StorageFull`, and what the file
    /// system says; a part may have been written then.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.alive()?;
        self.content.write_at(offset, data)
    }

    /// Writes all of `data` at the end; returns where that was. Errors: as for [`File::write_at`].
    pub fn append(&self, data: &[u8]) -> io::Result<u64> {
        self.alive()?;
        self.content.append(data)
    }

    /// Cuts the file off, or lengthens it by zeros, to `len` bytes.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        self.alive()?;
        self.content.truncate(len)
    }

    /// Makes what was written so far durable, and all names. Several syncs may be under way at once; on real files
    /// they are made by a thread of their own, together where they can. Dropping the future promises nothing.
    ///
    /// # Errors
    /// What the file system says. What was written is of unknown fate then, and all later syncs of this disk fail:
    /// an operating system may forget what it could not write.
    pub async fn sync(&self) -> io::Result<()> {
        self.alive()?;
        Arc::clone(&self.content).sync(Host::new(Arc::clone(&self.machine))).await
    }

    fn alive(&self) -> io::Result<()> {
        self.machine.lock_life(self.life).map(drop).map_err(|_| down())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk(of {})", self.machine.name)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File(on {})", self.machine.name)
    }
}

/// A sync under way.
pub(crate) type Syncing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What a world offers as a machine's disk. Names were checked before.
pub(crate) trait Store: Send + Sync {
    fn open(self: Arc<Self>, name: &str, create: bool) -> io::Result<Arc<dyn Content>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn sync(self: Arc<Self>, host: Host) -> Syncing;
}

/// What a world offers as an open file.
pub(crate) trait Content: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn append(&self, data: &[u8]) -> io::Result<u64>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    fn sync(self: Arc<Self>, host: Host) -> Syncing;
}

/// What calls say to a disk or a file of an earlier life.
fn down() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "the machine is down, or was since its disk was opened")
}

fn checked(name: &str) -> io::Result<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.chars().all(fits) {
        let text = format!("{name:?} is no name for a file: letters, digits, - _ and . after the first");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(name)
}
