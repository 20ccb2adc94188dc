//! A folder of the file system as a machine's disk; syncs are made by a thread of its own.

use crate::net::Host;
use crate::net::disk::{Content, Store, Syncing};
use std::fs::{self, OpenOptions, TryLockError};
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Syncs that may wait for the disk's thread; more say `StorageFull`'s kin, `ResourceBusy`.
const SYNCS_WAITING_MAX: usize = 4096;

/// The disk.
pub(super) struct Folder {
    path: PathBuf,
    /// Open for as long as the disk is in use: it holds the lock, and is what syncs of names are made on.
    folder: Arc<fs::File>,
    orders: SyncSender<Order>,
    /// Whether names have changed since the last sync of the folder began.
    names_changed: AtomicBool,
    /// Held between asking for a file's length and writing there.
    appending: Mutex<()>,
    health: Arc<Health>,
}

/// What a failed sync leaves behind: the operating system may have dropped the pages that it could not write.
#[derive(Default)]
struct Health(Mutex<Option<(io::ErrorKind, String)>>);

/// An open file.
struct RealFile {
    folder: Arc<Folder>,
    file: Arc<fs::File>,
}

/// What the disk's thread is asked for: a sync of these, in this order.
struct Order {
    files: Vec<Arc<fs::File>>,
    done: Arc<Done>,
}

/// How the thread tells that a sync is done.
#[derive(Default)]
struct Done(Mutex<(Option<io::Result<()>>, Option<Waker>)>);

impl Folder {
    pub(super) fn open(machine: &str, path: &Path) -> io::Result<Arc<Folder>> {
        fs::create_dir_all(path)?;
        let folder = Arc::new(fs::File::open(path)?);
        folder.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let text = format!("{} is the disk of another machine", path.display());
                io::Error::new(io::ErrorKind::ResourceBusy, text)
            }
            TryLockError::Error(error) => error,
        })?;
        let (orders, received) = sync_channel(SYNCS_WAITING_MAX);
        let health = Arc::new(Health::default());
        let own = Arc::clone(&health);
        std::thread::Builder::new()
            .name(format!("{machine}'s disk"))
            .spawn(move || sync_as_ordered(&received, &own))?;
        Ok(Arc::new(Folder {
            path: path.to_owned(),
            folder,
            orders,
            names_changed: AtomicBool::new(true),
            appending: Mutex::new(()),
            health,
        }))
    }

    /// Orders a sync of the names if they changed, and before it of a file's content: a name never leads to content
    /// that was synced later.
    fn syncing(&self, content: Option<Arc<fs::File>>) -> Syncing {
        let mut files: Vec<Arc<fs::File>> = content.into_iter().collect();
        if self.names_changed.swap(false, Ordering::SeqCst) {
            files.push(Arc::clone(&self.folder));
        }
        let done = Arc::new(Done::default());
        let order = Order { files, done: Arc::clone(&done) };
        let ordered = self.health.check().and_then(|()| {
            self.orders.try_send(order).map_err(|error| match error {
                TrySendError::Full(_) => {
                    io::Error::new(io::ErrorKind::ResourceBusy, "too many syncs wait for the disk")
                }
                TrySendError::Disconnected(_) => io::Error::other("the disk's thread is gone"),
            })
        });
        if ordered.is_err() {
            self.names_changed.store(true, Ordering::SeqCst);
        }
        Box::pin(async move {
            ordered?;
            poll_fn(|cx| {
                let mut state = lock(&done.0);
                if let Some(result) = state.0.take() {
                    return Poll::Ready(result);
                }
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            })
            .await
        })
    }

    fn names_change<R>(&self, change: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        let changed = change();
        self.names_changed.store(true, Ordering::SeqCst);
        changed
    }
}

impl Store for Folder {
    fn open(self: Arc<Folder>, name: &str, create: bool) -> io::Result<Arc<dyn Content>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let path = self.path.join(name);
        let file = match options.open(&path) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                self.names_change(|| options.create(true).truncate(false).open(&path))?
            }
            opened => opened?,
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no regular file")));
        }
        Ok(Arc::new(RealFile { folder: self, file: Arc::new(file) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.names_change(|| fs::rename(self.path.join(from), self.path.join(to)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.names_change(|| fs::remove_file(self.path.join(name)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync(self: Arc<Folder>, _: Host) -> Syncing {
        self.syncing(None)
    }
}

impl Content for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn append(&self, data: &[u8]) -> io::Result<u64> {
        let _one_at_a_time = lock(&self.folder.appending);
        let offset = self.len()?;
        self.file.write_all_at(data, offset)?;
        Ok(offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(self: Arc<RealFile>, _: Host) -> Syncing {
        self.folder.syncing(Some(Arc::clone(&self.file)))
    }
}

/// The disk's thread: takes all orders that wait, syncs each file once, and tells all who waited for it. It ends when
/// the disk does.
fn sync_as_ordered(orders: &Receiver<Order>, health: &Health) {
    while let Ok(first) = orders.recv() {
        let waiting: Vec<Order> = std::iter::once(first).chain(orders.try_iter()).collect();
        let mut synced: Vec<&Arc<fs::File>> = Vec::new();
        let mut result = health.check();
        // Contents come before the folder in every order, and so do they in the union of them.
        let ranks = waiting.iter().flat_map(|order| order.files.iter());
        let (folders, files): (Vec<_>, Vec<_>) = ranks.partition(|file| is_folder(file));
        for file in files.into_iter().chain(folders) {
            if result.is_ok() && !synced.iter().any(|known| Arc::ptr_eq(known, file)) {
                result = file.sync_data();
                synced.push(file);
            }
        }
        if let Err(error) = &result {
            health.fail(error);
        }
        // Whoever is told may let the disk go and give it to another machine: nothing may hold its lock here any more.
        let dones: Vec<Arc<Done>> = waiting.into_iter().map(|order| order.done).collect();
        for done in dones {
            done.finish(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            });
        }
    }
}

fn is_folder(file: &fs::File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_dir())
}

impl Done {
    fn finish(&self, result: io::Result<()>) {
        let waker = {
            let mut state = lock(&self.0);
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Health {
    fn check(&self) -> io::Result<()> {
        match &*lock(&self.0) {
            None => Ok(()),
            Some((kind, text)) => {
                Err(io::Error::new(*kind, format!("a sync of this disk failed before: {text}")))
            }
        }
    }

    fn fail(&self, error: &io::Error) {
        lock(&self.0).get_or_insert_with(|| (error.kind(), error.to_string()));
    }
}

/// Locks of this file guard plain data that is whole at any time, so a panic elsewhere doesn't spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    /// Counts who holds a file when it is woken.
    struct Holders(Weak<fs::File>, AtomicUsize);

    impl Wake for Holders {
        fn wake(self: Arc<Holders>) {
            self.1.store(self.0.strong_count(), Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_is_told_of_a_sync_can_let_the_disk_go() {
        let folder = Arc::new(fs::File::open(std::env::temp_dir()).unwrap());
        let holders = Arc::new(Holders(Arc::downgrade(&folder), AtomicUsize::new(usize::MAX)));
        let done = Arc::new(Done::default());
        lock(&done.0).1 = Some(Waker::from(Arc::clone(&holders)));
        let (orders, received) = sync_channel(1);
        orders.send(Order { files: vec![folder], done }).unwrap();
        drop(orders);
        sync_as_ordered(&received, &Health::default());
        assert_eq!(holders.1.load(Ordering::SeqCst), 0, "the thread still held the folder, and so its lock");
    }
}
