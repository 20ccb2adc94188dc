//! Readiness as `poll` and `epoll` tell it.

use crate::world::{Want, World};
use std::collections::BTreeMap;
use tapstack::SocketId;
use tapstack::socket::{OptionName, Readiness, SocketOption, TcpState};

/// The descriptors that an epoll set watches.
#[derive(Default)]
pub(crate) struct Epoll(BTreeMap<i32, Watch>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// `EPOLL*` bits that are asked for, with `EPOLLET` and `EPOLLONESHOT`.
    events: u32,
    data: u64,
    /// Edge-triggered: the socket's count of changes when it was last told.
    told: Option<u64>,
}

impl Epoll {
    pub(crate) fn forget(&mut self, fd: i32) {
        self.0.remove(&fd);
    }

    /// `EPOLL_CTL_ADD`, `_MOD` and `_DEL`.
    pub(crate) fn control(&mut self, operation: i32, fd: i32, events: u32, data: u64) -> Result<(), i32> {
        let watch = Watch { events, data, told: None };
        match operation {
            libc::EPOLL_CTL_ADD if self.0.contains_key(&fd) => return Err(libc::EEXIST),
            libc::EPOLL_CTL_ADD => _ = self.0.insert(fd, watch),
            libc::EPOLL_CTL_MOD => *self.0.get_mut(&fd).ok_or(libc::ENOENT)? = watch,
            libc::EPOLL_CTL_DEL => _ = self.0.remove(&fd).ok_or(libc::ENOENT)?,
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }
}

impl World {
    /// Whether a waiting call can go on.
    pub(crate) fn satisfies(&self, want: &Want) -> bool {
        let ready = |id: SocketId| self.readiness(id).unwrap_or_default();
        match want {
            // A socket that is gone ends the wait as well: the call will say so.
            Want::Readable(id) => self.readiness(*id).is_none_or(|ready| ready.readable || ready.error),
            Want::Writable(id) => self.readiness(*id).is_none_or(|ready| ready.writable || ready.error),
            Want::Opened(id) => ready(*id).error || !is_opening(self.state(*id)),
            Want::Flushed(id) => {
                !matches!(self.state(*id), Some(TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck))
            }
            Want::Poll(entries) => entries.iter().any(|&(fd, events)| self.poll_one(fd, events) != 0),
            Want::Epoll(fd) => self.epoll_ready(*fd).next().is_some(),
        }
    }

    /// `revents` of one entry of `poll`; descriptors that aren't ours are nobody's to wait for here.
    pub(crate) fn poll_one(&self, fd: i32, events: i16) -> i16 {
        let Ok(socket) = self.files.socket(fd) else { return if fd < 0 { 0 } else { libc::POLLNVAL } };
        let always = libc::POLLERR | libc::POLLHUP;
        self.readiness(socket.id).map_or(libc::POLLNVAL, |ready| bits(&ready) & (events | always))
    }

    /// Up to `max` events of an epoll set, taken: `(events, data)`.
    pub(crate) fn epoll_take(&mut self, epoll: i32, max: usize) -> Result<Vec<(u32, u64)>, i32> {
        self.files.epoll(epoll)?;
        let ready: Vec<_> = self.epoll_ready(epoll).take(max).collect();
        let set = self.files.epoll_mut(epoll)?;
        for &(fd, _, changes) in &ready {
            if let Some(watch) = set.0.get_mut(&fd) {
                watch.told = Some(changes);
                if watch.events & libc::EPOLLONESHOT as u32 != 0 {
                    watch.events &= CONTROL_BITS;
                }
            }
        }
        Ok(ready.iter().filter_map(|(fd, bits, _)| Some((*bits, set.0.get(fd)?.data))).collect())
    }

    /// What an epoll set has to tell: descriptor, events, and the socket's count of changes.
    fn epoll_ready(&self, epoll: i32) -> impl Iterator<Item = (i32, u32, u64)> + '_ {
        let watches = self.files.epoll(epoll).ok().into_iter().flat_map(|set| &set.0);
        watches.filter_map(|(&fd, watch)| {
            let socket = self.files.socket(fd).ok()?;
            let asked = watch.events & !CONTROL_BITS;
            if asked == 0 && watch.events & libc::EPOLLONESHOT as u32 != 0 {
                // It was told once, and waits to be armed again.
                return None;
            }
            let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
            let bits = u32::from(bits(&self.readiness(socket.id)?) as u16) & (asked | always);
            let changes = self.changes(socket.id);
            let old_news = watch.events & libc::EPOLLET as u32 != 0 && watch.told == Some(changes);
            (bits != 0 && !old_news).then_some((fd, bits, changes))
        })
    }

    pub(crate) fn readiness(&self, id: SocketId) -> Option<Readiness> {
        self.stack_if_made()?.readiness(id).ok()
    }

    /// A TCP socket's state.
    pub(crate) fn state(&self, id: SocketId) -> Option<TcpState> {
        match self.stack_if_made()?.option(id, OptionName::Info).ok()? {
            SocketOption::Info(info) => Some(info.state),
            _ => None,
        }
    }
}

/// Whether a handshake is under way.
pub(crate) fn is_opening(state: Option<TcpState>) -> bool {
    matches!(state, Some(TcpState::SynSent | TcpState::SynReceived))
}

/// `POLL*` bits; `EPOLL*` bits are the same.
fn bits(ready: &Readiness) -> i16 {
    let flags = [
        (ready.readable, libc::POLLIN | libc::POLLRDNORM),
        (ready.writable, libc::POLLOUT | libc::POLLWRNORM),
        (ready.read_closed, libc::POLLRDHUP),
        (ready.hangup, libc::POLLHUP),
        (ready.error, libc::POLLERR),
        (ready.priority, libc::POLLPRI),
    ];
    flags.into_iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit)
}

/// Bits of an epoll request that say how to tell, not what.
const CONTROL_BITS: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
