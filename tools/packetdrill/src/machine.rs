//! The machine's lock and its clock: who lets virtual time pass, who sleeps, and who has to be waited for.
//!
//! Virtual time moves in three calls only: `usleep`, `gettimeofday` and `netdev_receive` (and in a call that blocks on the
//! main thread, where nobody else could move it). Other threads that block really sleep, on a condition variable. When
//! something wakes one of them, time stands still until that thread has asked for the time, so that it is told when
//! it was woken, however long the kernel took to run it.

use crate::flags::Flags;
use crate::world::{Waiter, Want, World};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use tapstack::time::{Duration, Instant};

/// One loaded instance of the library.
pub(crate) struct Machine {
    world: Mutex<World>,
    /// Somebody was woken, or has taken its time.
    changed: Condvar,
    /// The thread that runs the script.
    main: ThreadId,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Ready,
    TimedOut,
}

impl Machine {
    /// A machine whose script runs on the calling thread.
    pub(crate) fn new(flags: Flags) -> Machine {
        let world = Mutex::new(World::new(flags));
        Machine { world, changed: Condvar::new(), main: thread::current().id() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet from the script.
    pub(crate) fn netdev_send(&self, packet: &[u8]) {
        let mut world = self.lock();
        world.packet_in(packet);
        self.tell(&world);
    }

    /// The next packet that the stack sends, and when: time passes until there is one. None if none will ever come.
    pub(crate) fn netdev_receive(&self) -> Option<(Instant, Vec<u8>)> {
        let mut world = self.lock();
        let give_up = world.now + RECEIVE_WAIT_MAX;
        for _ in 0..RECEIVE_STEPS_MAX {
            world = self.await_held(world);
            if let Some(sent) = world.sent.pop_front() {
                return Some(sent);
            }
            let at = world.next_deadline().filter(|at| *at <= give_up)?;
            world.tick(at);
            self.tell(&world);
        }
        None
    }

    /// Lets virtual time pass.
    pub(crate) fn usleep(&self, time: Duration) {
        let world = self.lock();
        let until = world.now + time;
        drop(self.advance(world, until));
    }

    /// The time, which moves on with every question: packetdrill polls.
    pub(crate) fn gettimeofday(&self) -> Instant {
        let mut world = self.lock();
        let me = thread::current().id();
        if let Some(at) = world.held.iter().position(|held| held.thread == me) {
            let held = world.held.swap_remove(at);
            self.changed.notify_all();
            return held.at;
        }
        if !world.held.is_empty() {
            // Somebody was woken and is on the way: give way, and let no time pass.
            world = self.wait_real(world, GIVE_WAY).0;
            if !world.held.is_empty() {
                return world.now;
            }
        }
        let until = world.now + TICK;
        self.advance(world, until).now
    }

    /// Tries a call until it doesn't say `EAGAIN`, sleeping in between; with no patience, once.
    pub(crate) fn retry<T>(
        &self,
        patience: Patience,
        mut attempt: impl FnMut(&mut World) -> Result<T, i32>,
        mut want: impl FnMut(&mut World) -> Result<Want, i32>,
    ) -> Result<T, i32> {
        let mut world = self.lock();
        let until = match patience {
            Patience::Until(time) => Some(world.now + time),
            _ => None,
        };
        loop {
            let result = attempt(&mut world);
            world.pump();
            self.tell(&world);
            if patience == Patience::None || !matches!(result, Err(libc::EAGAIN)) {
                return result;
            }
            let want = want(&mut world)?;
            let waited;
            (world, waited) = self.wait(world, want, until);
            if waited == Waited::TimedOut {
                return Err(libc::EAGAIN);
            }
        }
    }

    /// Sleeps until `want` is there, or `until`.
    pub(crate) fn wait<'a>(
        &'a self,
        mut world: MutexGuard<'a, World>,
        want: Want,
        until: Option<Instant>,
    ) -> (MutexGuard<'a, World>, Waited) {
        let me = thread::current().id();
        // Whoever waits again does not need the time of the last wake-up any more.
        world.held.retain(|held| held.thread != me);
        self.changed.notify_all();
        if me == self.main {
            return self.wait_on_main(world, &want, until);
        }
        world.waiters.push(Waiter { thread: me, want: want.clone(), until, woken: false });
        world.pump();
        let is_mine = |waiter: &Waiter| waiter.thread == me;
        while world.waiters.iter().any(|waiter| is_mine(waiter) && !waiter.woken) {
            world = self.changed.wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        world.waiters.retain(|waiter| !is_mine(waiter));
        let waited = if world.satisfies(&want) { Waited::Ready } else { Waited::TimedOut };
        (world, waited)
    }

    /// The script's own thread blocks: nobody else lets time pass, so it does, but not for ever.
    fn wait_on_main<'a>(
        &'a self,
        mut world: MutexGuard<'a, World>,
        want: &Want,
        until: Option<Instant>,
    ) -> (MutexGuard<'a, World>, Waited) {
        let until = until.unwrap_or(world.now + MAIN_WAIT_MAX);
        while !world.satisfies(want) {
            if world.now >= until {
                return (world, Waited::TimedOut);
            }
            let next = world.next_deadline().map_or(until, |at| at.min(until)).max(world.now + TICK);
            world = self.advance(world, next);
        }
        (world, Waited::Ready)
    }

    /// Moves the clock to `until`, from deadline to deadline, and stands still whenever somebody is woken.
    fn advance<'a>(&'a self, mut world: MutexGuard<'a, World>, until: Instant) -> MutexGuard<'a, World> {
        loop {
            world = self.await_held(world);
            if world.now >= until {
                return world;
            }
            let next = world.next_deadline().map_or(until, |at| at.min(until));
            world.tick(next);
            self.tell(&world);
            if next >= until {
                return world;
            }
        }
    }

    /// Waits until everybody who was woken has asked for the time. Somebody who never does must not stop the world.
    fn await_held<'a>(&'a self, mut world: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        while !world.held.is_empty() {
            let timed_out;
            (world, timed_out) = self.wait_real(world, HELD_MAX);
            if timed_out {
                world.held.clear();
            }
        }
        world
    }

    fn wait_real<'a>(
        &'a self,
        world: MutexGuard<'a, World>,
        time: Duration,
    ) -> (MutexGuard<'a, World>, bool) {
        let (world, result) = self.changed.wait_timeout(world, time).unwrap_or_else(PoisonError::into_inner);
        (world, result.timed_out())
    }

    /// Runs whoever was woken.
    pub(crate) fn tell(&self, world: &World) {
        if !world.held.is_empty() {
            self.changed.notify_all();
        }
    }
}

/// How long a call may block, in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all: `O_NONBLOCK` or `MSG_DONTWAIT`.
    None,
    /// For so long: `SO_RCVTIMEO` and the like.
    Until(Duration),
    /// For ever.
    Endless,
}

/// How far each look at the clock moves it.
const TICK: Duration = Duration::from_micros(1);
/// Virtual time for which a call may block on the main thread.
const MAIN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Virtual time for which a packet is waited for, at most: longer than any timer of a script's.
const RECEIVE_WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Timers that may pass without a packet.
const RECEIVE_STEPS_MAX: usize = 100_000;
/// Real time that a woken thread has to ask for the virtual one.
const HELD_MAX: Duration = Duration::from_millis(500);
/// Real time for which others give way to a woken thread, each time that they ask.
const GIVE_WAY: Duration = Duration::from_millis(5);
