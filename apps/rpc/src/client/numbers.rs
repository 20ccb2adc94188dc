//! The numbers of a client's calls: how many are under way, and how far apart they may be.

use crate::error::CallError;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How far apart the numbers of two exactly-once calls may be that are under way at once. A server keeps the replies
/// of this many numbers, and refuses what is older: so it can forget, and still never execute twice.
pub const WINDOW: u32 = 1024;

/// Hands out numbers.
pub(super) struct Numbers {
    turns: Arc<Semaphore>,
    state: Mutex<State>,
    /// Told when a call ends, where others may wait for the window to move.
    ended: Notify,
    /// Whether numbers have a window, and never start over.
    windowed: bool,
    first: u32,
}

#[derive(Default)]
struct State {
    /// Counts from 0.
    next: u64,
    under_way: BTreeSet<u64>,
}

/// The number of a call that is under way.
pub(super) struct Number {
    pub(super) xid: u32,
    count: u64,
    numbers: Arc<Numbers>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Numbers {
    /// Numbers from `first` on, for `calls_max` calls at once.
    pub(super) fn new(first: u32, calls_max: usize, windowed: bool) -> Numbers {
        let turns = Arc::new(Semaphore::new(calls_max));
        Numbers { turns, state: Mutex::default(), ended: Notify::new(), windowed, first }
    }

    /// Waits for a turn. Errors: the numbers of this incarnation are used up.
    pub(super) async fn take(self: &Arc<Numbers>) -> Result<Number, CallError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| io::Error::other("the client is closed"))?;
        while self.windowed && self.window_is_full() {
            self.ended.notified().await;
        }
        let number = self.next(Some(turn));
        if self.windowed && number.count >= u64::from(u32::MAX) {
            return Err(io::Error::other("the incarnation's numbers are used up: begin a new one").into());
        }
        Ok(number)
    }

    /// A number for a call that other calls wait for, which therefore takes no turn.
    pub(super) fn extra(self: &Arc<Numbers>) -> Number {
        self.next(None)
    }

    fn next(self: &Arc<Numbers>, turn: Option<OwnedSemaphorePermit>) -> Number {
        let mut state = self.state();
        let count = state.next;
        state.next += 1;
        state.under_way.insert(count);
        let xid = self.first.wrapping_add(count as u32);
        Number { xid, count, numbers: Arc::clone(self), _turn: turn }
    }

    fn window_is_full(&self) -> bool {
        let state = self.state();
        state.under_way.first().is_some_and(|oldest| state.next - oldest >= u64::from(WINDOW))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.numbers.state().under_way.remove(&self.count);
        // Only those who wait already are told, and one that finds the window still full waits again: a call that was
        // the oldest moves it for as many as there are.
        self.numbers.ended.notify_waiters();
    }
}
