//! What TCP holds at the moment: what `ss -s` shows of a kernel.

use super::Tcp;
use crate::socket::TcpState;

/// What a stack's TCP holds, all sockets and what closes in the background together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpUsage {
    /// Connections in any state but CLOSED and TIME-WAIT.
    pub connections: usize,
    /// Those among them that no socket owns any more.
    pub orphans: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// Bytes that all queues are charged for.
    pub queued_bytes: usize,
}

impl Tcp {
    pub(crate) fn usage(&self) -> TcpUsage {
        let live = |state| !matches!(state, TcpState::Closed | TcpState::TimeWait);
        TcpUsage {
            connections: self.connections.iter().filter(|conn| live(conn.state)).count(),
            orphans: self.orphans,
            time_wait: self.time_waits.len(),
            queued_bytes: self.memory,
        }
    }
}
