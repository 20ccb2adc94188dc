//! A wire between two plain TAPs: loses frames of one direction by a seeded decision each, delays, limits the rate.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tapstack::device::Device;
use tapstack::frame::{Cause, RxFrame, TxFrame};
use tapstack::time::Instant;

/// What the wire is like, the same both ways but for the loss.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conditions {
    /// The share of the frames towards `lossy` that is lost.
    pub(super) loss: f64,
    /// Which direction loses frames.
    pub(super) lossy: Lossy,
    /// Each way.
    pub(super) delay: Duration,
    /// Bits a second of whole frames; none for as fast as it goes.
    pub(super) rate_bit_per_s: Option<u64>,
    pub(super) seed: u64,
}

/// A direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lossy {
    /// From the second device to the first.
    #[default]
    ToFirst,
    /// From the first device to the second.
    ToSecond,
}

/// Frames that wait for a direction's rate at most, as many as for a TAP; more are dropped.
const QUEUE_FRAMES_MAX: usize = 1000;
/// Frames that are taken from one device before the other has its turn.
const BATCH_MAX: usize = 64;
/// How often the end is looked for while nothing happens.
const IDLE_WAIT: Duration = Duration::from_millis(5);

/// Carries frames between both devices until `stop` is set.
pub(super) fn run(
    first: &mut Device,
    second: &mut Device,
    conditions: Conditions,
    stop: &AtomicBool,
) -> io::Result<()> {
    discard_waiting(first)?;
    discard_waiting(second)?;
    let direction = |lossy: Lossy| Direction::new(conditions, lossy == conditions.lossy);
    let (mut to_first, mut to_second) = (direction(Lossy::ToFirst), direction(Lossy::ToSecond));
    while !stop.load(Ordering::Relaxed) {
        let now = clock();
        let carried = to_second.carry(now, first, second)? | to_first.carry(now, second, first)?;
        if carried {
            continue;
        }
        let due = [to_first.next_due(), to_second.next_due()].into_iter().flatten().min();
        let wait = due.map_or(IDLE_WAIT, |due| (due - now).min(IDLE_WAIT));
        let time = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let (Some(a), Some(b)) = (&first.fd, &second.fd) else { continue };
        match poll(
            &mut [
                PollFd::from_borrowed_fd(a.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(b.as_fd(), PollFlags::IN),
            ],
            Some(&time),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// What waits from earlier is none of this run's.
fn discard_waiting(device: &mut Device) -> io::Result<()> {
    while device.rx.receive(Instant::ZERO)?.is_some() {}
    Ok(())
}

/// One direction of the wire.
struct Direction {
    conditions: Conditions,
    /// Draws for each frame whether it is lost; none where none is.
    dice: Option<fastrand::Rng>,
    /// When the frame before has left the bottleneck.
    free_at: Instant,
    queue: VecDeque<(Instant, RxFrame)>,
    frame: TxFrame,
}

impl Direction {
    fn new(conditions: Conditions, lossy: bool) -> Direction {
        Direction {
            conditions,
            dice: (lossy && conditions.loss > 0.0).then(|| fastrand::Rng::with_seed(conditions.seed)),
            free_at: Instant::ZERO,
            queue: VecDeque::new(),
            frame: TxFrame::new(Cause::default()),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// Takes what waits at `from`, and gives what is due to `to`; false when there was neither.
    fn carry(&mut self, now: Instant, from: &mut Device, to: &mut Device) -> io::Result<bool> {
        let mut busy = false;
        for _ in 0..BATCH_MAX {
            let Some(frame) = from.rx.receive(now)? else { break };
            busy = true;
            if self.is_lost() {
                continue;
            }
            match self.leaves_at(now, frame.bytes.len()) {
                Some(due) if due > now => self.queue.push_back((due, frame)),
                Some(_) => self.send(now, frame, to)?,
                None => {}
            }
        }
        while self.next_due().is_some_and(|due| due <= now)
            && let Some((_, frame)) = self.queue.pop_front()
        {
            busy = true;
            self.send(now, frame, to)?;
        }
        Ok(busy)
    }

    fn is_lost(&mut self) -> bool {
        let loss = self.conditions.loss;
        self.dice.as_mut().is_some_and(|dice| dice.f64() < loss)
    }

    /// When a frame comes out at the other end; none when the queue before the bottleneck is full.
    fn leaves_at(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.conditions.rate_bit_per_s else { return Some(now + self.conditions.delay) };
        let time = |bytes: usize| Duration::from_nanos(bytes as u64 * 8 * 1_000_000_000 / rate);
        let full = self.free_at.max(now) - now > time(QUEUE_FRAMES_MAX * 1514);
        if full {
            return None;
        }
        self.free_at = self.free_at.max(now) + time(len);
        Some(self.free_at + self.conditions.delay)
    }

    fn send(&mut self, now: Instant, frame: RxFrame, to: &mut Device) -> io::Result<()> {
        self.frame.reset(Cause::default());
        self.frame.payload.push(frame.bytes);
        match to.tx.transmit(now, &self.frame) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }
}

/// The monotonic clock, as the stack's machines read it.
pub(super) fn clock() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_frames_and_a_full_queue_drops() {
        let conditions = Conditions {
            delay: Duration::from_millis(5),
            rate_bit_per_s: Some(8_000_000),
            ..Conditions::default()
        };
        let mut direction = Direction::new(conditions, false);
        let now = Instant::from_millis(100);
        assert_eq!(direction.leaves_at(now, 1000), Some(Instant::from_millis(106)));
        assert_eq!(direction.leaves_at(now, 1000), Some(Instant::from_millis(107)));
        let mut taken = 2;
        while direction.leaves_at(now, 1514).is_some() {
            taken += 1;
        }
        assert!((QUEUE_FRAMES_MAX..QUEUE_FRAMES_MAX + 4).contains(&taken), "{taken}");
    }

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_as_many_as_asked() {
        let conditions = Conditions { loss: 0.03, seed: 7, ..Conditions::default() };
        let lost = |lossy| {
            let mut direction = Direction::new(conditions, lossy);
            (0..100_000).filter(|_| direction.is_lost()).collect::<Vec<u32>>()
        };
        assert_eq!(lost(true), lost(true));
        assert!((2_700..3_300).contains(&lost(true).len()));
        assert_eq!(lost(false).len(), 0);
    }
}
