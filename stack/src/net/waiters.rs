//! Who waits for what: wakers by socket and direction, and sleepers by time.

use crate::socket::{Readiness, SocketId};
use crate::time::Instant;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::task::Waker;

/// What a task waits for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Data, a connection to accept, the end of the stream, or an error.
    Read,
    /// Room to send, a finished connect, or an error.
    Write,
}

/// Tells those who wait in the same direction of the same socket apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    /// Whoever polls a stream through the `tokio` traits: the last to poll a direction is the one to be woken.
    pub(crate) const POLLED: Token = Token(0);
}

/// Wakers to be called once the lock is released.
pub(crate) type Woken = SmallVec<[Waker; 8]>;

/// Wakers of tasks that wait for sockets.
#[derive(Default)]
pub(crate) struct Waiters {
    /// By the socket's slot. A slot is cleared when its socket closes, so generations need no look.
    slots: Vec<Slot>,
    tokens: u64,
}

#[derive(Default)]
struct Slot {
    read: List,
    write: List,
}

type List = SmallVec<[(Token, Waker); 1]>;

impl Slot {
    fn list(&mut self, direction: Direction) -> &mut List {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

impl Waiters {
    /// A token that nobody else has.
    pub(crate) fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// Has `waker` called when the socket may be ready. A token's second registration replaces its first.
    pub(crate) fn register(&mut self, socket: SocketId, direction: Direction, token: Token, waker: &Waker) {
        let index = socket.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let list = self.slots[index].list(direction);
        match list.iter_mut().find(|(known, _)| *known == token) {
            Some((_, known)) => known.clone_from(waker),
            None => list.push((token, waker.clone())),
        }
    }

    /// A wait was given up.
    pub(crate) fn remove(&mut self, socket: SocketId, direction: Direction, token: Token) {
        if let Some(slot) = self.slots.get_mut(socket.index as usize) {
            slot.list(direction).retain(|(known, _)| *known != token);
        }
    }

    /// The socket's readiness may have changed: moves the wakers that it concerns to `woken`.
    pub(crate) fn notify(&mut self, socket: SocketId, readiness: Readiness, woken: &mut Woken) {
        let Some(slot) = self.slots.get_mut(socket.index as usize) else { return };
        let ended = readiness.hangup || readiness.error;
        if ended || readiness.readable || readiness.read_closed || readiness.priority {
            take_wakers(&mut slot.read, woken);
        }
        if ended || readiness.writable {
            take_wakers(&mut slot.write, woken);
        }
    }

    /// The socket is closed.
    pub(crate) fn clear(&mut self, socket: SocketId) {
        if let Some(slot) = self.slots.get_mut(socket.index as usize) {
            *slot = Slot::default();
        }
    }

    /// Moves every waker to `woken`: the machine went down.
    pub(crate) fn notify_all(&mut self, woken: &mut Woken) {
        for slot in &mut self.slots {
            take_wakers(&mut slot.read, woken);
            take_wakers(&mut slot.write, woken);
        }
    }
}

fn take_wakers(list: &mut List, woken: &mut Woken) {
    // One, mostly.
    if list.len() <= 1 {
        if let Some((_, waker)) = list.pop() {
            woken.push(waker);
        }
        return;
    }
    woken.extend(list.drain(..).map(|(_, waker)| waker));
}

/// Tasks that sleep, by the time when they want to be woken.
#[derive(Default)]
pub(crate) struct Sleepers {
    by_time: BTreeMap<SleepKey, Waker>,
    next: u64,
}

/// Names a sleeper: its time, and a number in the order of going to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SleepKey(Instant, u64);

impl Sleepers {
    /// Adds a sleeper.
    pub(crate) fn insert(&mut self, until: Instant, waker: &Waker) -> SleepKey {
        self.next += 1;
        let key = SleepKey(until, self.next);
        self.by_time.insert(key, waker.clone());
        key
    }

    /// Changes a sleeper's waker; false if it was woken already.
    pub(crate) fn update(&mut self, key: SleepKey, waker: &Waker) -> bool {
        self.by_time.get_mut(&key).map(|known| known.clone_from(waker)).is_some()
    }

    /// A sleep was given up.
    pub(crate) fn remove(&mut self, key: SleepKey) {
        self.by_time.remove(&key);
    }

    /// When the first wants to be woken.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|(key, _)| key.0)
    }

    /// Moves the wakers of those whose time has come to `woken`, earliest first.
    pub(crate) fn wake_due(&mut self, now: Instant, woken: &mut Woken) {
        while let Some(entry) = self.by_time.first_entry()
            && entry.key().0 <= now
        {
            woken.push(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicU32::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }

    fn call(woken: &mut Woken) -> usize {
        let len = woken.len();
        woken.drain(..).for_each(Waker::wake);
        len
    }

    const SOCKET: SocketId = SocketId { index: 3, generation: 0 };

    #[test]
    fn wakes_all_waiters_of_the_ready_direction_and_no_others() {
        let mut waiters = Waiters::default();
        let (readers, read) = counter();
        let (writers, write) = counter();
        let (one, two, three) = (waiters.token(), waiters.token(), waiters.token());
        waiters.register(SOCKET, Direction::Read, one, &read);
        waiters.register(SOCKET, Direction::Read, two, &read);
        waiters.register(SOCKET, Direction::Read, two, &read);
        waiters.register(SOCKET, Direction::Write, three, &write);
        let mut woken = Woken::new();
        waiters.notify(SOCKET, Readiness { readable: true, ..Readiness::default() }, &mut woken);
        assert_eq!(call(&mut woken), 2);
        assert_eq!((readers.0.load(Ordering::SeqCst), writers.0.load(Ordering::SeqCst)), (2, 0));
        waiters.notify(SOCKET, Readiness { error: true, ..Readiness::default() }, &mut woken);
        assert_eq!(call(&mut woken), 1, "readers were woken before, the writer is told of the error");
    }

    #[test]
    fn forgets_waits_that_were_given_up() {
        let mut waiters = Waiters::default();
        let (_, waker) = counter();
        let token = waiters.token();
        waiters.register(SOCKET, Direction::Read, token, &waker);
        waiters.remove(SOCKET, Direction::Read, token);
        let mut woken = Woken::new();
        waiters.notify(SOCKET, Readiness { readable: true, ..Readiness::default() }, &mut woken);
        assert!(woken.is_empty());
    }

    #[test]
    fn sleepers_wake_by_time_and_then_by_order() {
        let mut sleepers = Sleepers::default();
        let wakers: Vec<_> = (0..3).map(|_| counter()).collect();
        let late = sleepers.insert(Instant::from_millis(2), &wakers[0].1);
        sleepers.insert(Instant::from_millis(1), &wakers[1].1);
        sleepers.insert(Instant::from_millis(1), &wakers[2].1);
        assert_eq!(sleepers.first(), Some(Instant::from_millis(1)));
        let mut woken = Woken::new();
        sleepers.wake_due(Instant::from_millis(1), &mut woken);
        assert!(woken[0].will_wake(&wakers[1].1) && woken[1].will_wake(&wakers[2].1));
        assert_eq!(woken.len(), 2);
        assert!(sleepers.update(late, &wakers[1].1));
        sleepers.remove(late);
        assert!(!sleepers.update(late, &wakers[1].1));
        assert_eq!(sleepers.first(), None);
    }
}
