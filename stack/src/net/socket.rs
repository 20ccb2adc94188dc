//! An open socket of a machine: calls under the lock, awaits that retry them, and the close on drop.

use super::machine::Machine;
use super::waiters::{Direction, Token};
use crate::socket::{Errno, OptionName, SocketId, SocketKind, SocketOption};
use crate::stack::Stack;
use crate::time::Instant;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Owns a socket of a stack; closes it when dropped.
pub(crate) struct Socket {
    machine: Arc<Machine>,
    id: SocketId,
    /// The machine's life that the socket belongs to.
    life: u32,
}

impl Socket {
    /// Opens a socket.
    pub(crate) fn open(machine: &Arc<Machine>, kind: SocketKind) -> io::Result<Socket> {
        let mut core = machine.lock_up()?;
        let id = core.stack.socket(kind)?;
        Ok(Socket { machine: Arc::clone(machine), id, life: core.life })
    }

    /// Owns a socket that this one's call brought (an accepted connection).
    pub(crate) fn adopt(&self, id: SocketId) -> Socket {
        Socket { machine: Arc::clone(&self.machine), id, life: self.life }
    }

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Calls the stack once, and lets the world settle what came of it.
    pub(crate) fn call<R>(
        &self,
        call: impl FnOnce(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let mut core = self.machine.lock_life(self.life)?;
        let now = self.machine.now();
        let result = call(now, &mut core.stack, self.id);
        self.machine.world.settle(&self.machine, core, now);
        result
    }

    /// Looks at the stack, changing nothing.
    pub(crate) fn look<R>(
        &self,
        look: impl FnOnce(&Stack, SocketId) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        look(&self.machine.lock_life(self.life)?.stack, self.id)
    }

    /// Calls the stack; where it would block, leaves the waker for when the direction may be ready.
    ///
    /// Call and registration are under one lock, so what happens in between can't be missed.
    pub(crate) fn poll_call<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        token: &mut Option<Token>,
        settle: Settle,
        call: impl FnOnce(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> Poll<Result<R, Errno>> {
        let mut guard = match self.machine.lock_life(self.life) {
            Ok(guard) => guard,
            Err(errno) => return Poll::Ready(Err(errno)),
        };
        let core = &mut *guard;
        if direction == Direction::Write && core.sent_more_than(self.machine.world.burst_bytes_max()) {
            core.take_turn();
            drop(guard);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let now = match (settle, direction) {
            // Nothing that a call does whose output may wait depends on the time.
            (Settle::Later, _) => core.stack.latest(),
            (_, Direction::Read) => self.machine.world.now_to_read(core.stack.latest()),
            (_, Direction::Write) => self.machine.now(),
        };
        match call(now, &mut core.stack, self.id) {
            Err(Errno::EAGAIN) => {
                let token = *token.get_or_insert_with(|| core.waiters.token());
                core.waiters.register(self.id, direction, token, cx.waker());
                Poll::Pending
            }
            result => {
                if let Some(token) = token.take() {
                    core.waiters.remove(self.id, direction, token);
                }
                if settle == Settle::Later {
                    let is_full = core.stack.is_burst_full(self.id);
                    self.machine.world.settle_later(&self.machine, guard, is_full);
                    return Poll::Ready(result);
                }
                // What is sent tells the time.
                let read = direction == Direction::Read;
                let now = if read && core.stack.wants_turn() { self.machine.now() } else { now };
                self.machine.world.settle(&self.machine, guard, now);
                Poll::Ready(result)
            }
        }
    }

    /// Calls the stack once; a call that would block leaves nothing to settle.
    pub(crate) fn try_call<R>(
        &self,
        call: impl FnOnce(Instant, &mut Stack, SocketId) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let mut core = self.machine.lock_life(self.life)?;
        let now = self.machine.now();
        let result = call(now, &mut core.stack, self.id);
        if !matches!(result, Err(Errno::EAGAIN)) {
            self.machine.world.settle(&self.machine, core, now);
        }
        result
    }

    /// A wait was given up.
    pub(crate) fn forget(&self, direction: Direction, token: Option<Token>) {
        if let Some(token) = token
            && let Ok(mut core) = self.machine.lock_life(self.life)
        {
            core.waiters.remove(self.id, direction, token);
        }
    }

    /// Calls the stack until it doesn't say that it would block.
    pub(crate) fn wait<R, F>(&self, direction: Direction, call: F) -> Wait<'_, F>
    where
        F: FnMut(Instant, &mut Stack, SocketId) -> Result<R, Errno> + Unpin,
    {
        Wait { socket: self, direction, call, token: None, settle: Settle::Now }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.look(|stack, id| stack.local_addr(id))?)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.look(|stack, id| stack.peer_addr(id))?)
    }

    pub(crate) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        Ok(self.call(|now, stack, id| stack.set_option(now, id, option))?)
    }

    pub(crate) fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        Ok(self.look(|stack, id| stack.option(id, name))?)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.call(|_, stack, id| stack.take_error(id))?.map(io::Error::from))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A machine that crashed or whose stack panicked has no socket to close any more.
        let Ok(mut core) = self.machine.lock_life(self.life) else { return };
        core.waiters.clear(self.id);
        let now = self.machine.now();
        if core.stack.close(now, self.id).is_ok() {
            self.machine.world.settle(&self.machine, core, now);
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}", self.id, self.machine.name)
    }
}

/// When the world settles what came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    Now,
    /// When the task yields, or when waiting would gain nothing: see [`Stack::is_burst_full`].
    Later,
}

/// The await of a call that may block. Dropping it gives the wait up and leaves nothing behind.
pub(crate) struct Wait<'a, F> {
    socket: &'a Socket,
    direction: Direction,
    call: F,
    token: Option<Token>,
    settle: Settle,
}

impl<F> Wait<'_, F> {
    /// What the call sends may leave later: see [`super::machine::World::settle_later`].
    pub(crate) fn settle_later(mut self) -> Self {
        self.settle = Settle::Later;
        self
    }
}

impl<R, F> Future for Wait<'_, F>
where
    F: FnMut(Instant, &mut Stack, SocketId) -> Result<R, Errno> + Unpin,
{
    type Output = Result<R, Errno>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, Errno>> {
        let wait = self.get_mut();
        wait.socket.poll_call(cx, wait.direction, &mut wait.token, wait.settle, &mut wait.call)
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        self.socket.forget(self.direction, self.token);
    }
}
