//! CPU time, as the kernel charges it, and the cores that each side runs on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::io;

/// CPU seconds of the calling thread.
pub(super) fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// CPU seconds of the whole process.
pub(super) fn process_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The cores that the calling thread may use, divided: one for clients, all others for the server.
///
/// A wake-up on the waker's own core takes 2 microseconds, on another one that sleeps 30: where two threads do little but
/// wake each other, a figure would tell where the scheduler has put them.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    all: CpuSet,
    client: CpuSet,
    server: CpuSet,
}

impl Sides {
    /// On a machine with one core, both sides have that one.
    pub(super) fn divide() -> io::Result<Sides> {
        let all = sched_getaffinity(None)?;
        let (mut client, mut server) = (all, all);
        if let (Some(first), 2..) = ((0..CpuSet::MAX_CPU).find(|&core| all.is_set(core)), all.count()) {
            client.clear();
            client.set(first);
            server.unset(first);
        }
        Ok(Sides { all, client, server })
    }

    /// Has the calling thread do something on the client's core, as well as all threads that it starts meanwhile.
    pub(super) fn client<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        self.on(&self.client, work)
    }

    /// The same on the server's cores.
    pub(super) fn server<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        self.on(&self.server, work)
    }

    fn on<T>(&self, cores: &CpuSet, work: impl FnOnce() -> T) -> io::Result<T> {
        sched_setaffinity(None, cores)?;
        let result = work();
        sched_setaffinity(None, &self.all)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_share_no_core_and_leave_none_out() {
        let sides = Sides::divide().unwrap();
        let (client, server) = (sides.client, sides.server);
        let cores = |set: &CpuSet| (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect::<Vec<_>>();
        if sides.all.count() == 1 {
            assert_eq!((cores(&client), cores(&server)), (cores(&sides.all), cores(&sides.all)));
            return;
        }
        assert_eq!(client.count(), 1);
        assert_eq!([cores(&client), cores(&server)].concat(), cores(&sides.all));
    }

    #[test]
    fn threads_stay_on_their_side_and_come_back() {
        let sides = Sides::divide().unwrap();
        let now = || sched_getaffinity(None).unwrap();
        let inside = sides.server(|| std::thread::spawn(move || (now(), sides.client(now).unwrap())).join());
        let (server, client) = inside.unwrap().unwrap();
        assert!(server == sides.server && client == sides.client && now() == sides.all);
    }
}
