//! SEGMENT ARRIVES: RFC 9293 section 3.10.7, a file for each of its subsections, in its order.
//!
//! - **In**: a [`Segment`](super::segment::Segment) and the state that it is for.
//! - **Out**: an [`Outcome`] for the frame, and perhaps a reset to answer with; everything else that has to be sent is
//!   noted in the connection and pulled later.
//! - **Keeps**: nothing.
//! - **Timers**: none of its own; it stops and restarts the connection's.
//! - **RFC**: 9293 section 3.10.7, 7323 section 5 (PAWS), 5961 (RST, SYN and ACK checks), 3168 (ECN), 6191.
//! - **Never**: sends.
//!
//! | state | section | file |
//! |---|---|---|
//! | CLOSED | 3.10.7.1 | `closed.rs` |
//! | LISTEN | 3.10.7.2 | `listen.rs` |
//! | SYN-SENT | 3.10.7.3 | `syn_sent.rs` |
//! | all others | 3.10.7.4 | `otherwise.rs`, with its fifth check (the ACK field) in `ack_field.rs` |
//! | ESTABLISHED, nothing but the next data | 3.10.7.4, header prediction | `predicted.rs` |
//! | TIME-WAIT without its connection | 3.10.7.4 | `../time_wait.rs` |

pub(super) mod ack_field;
pub(super) mod closed;
pub(super) mod listen;
pub(super) mod otherwise;
mod predicted;
pub(super) mod syn_sent;

pub(crate) use predicted::{Predicted, Run};

use super::config::TcpConfig;
use super::limits::ChallengeLimit;
use super::pool::ChunkPool;
use super::seq::SeqNum;
use crate::frame::{DropReason, Outcome};
use crate::stack::Context;

/// What processing a segment may use besides its connection.
pub(crate) struct Env<'a> {
    pub(crate) cx: &'a mut Context,
    pub(crate) config: &'a TcpConfig,
    pub(crate) pool: &'a mut ChunkPool,
    pub(crate) challenges: &'a mut ChallengeLimit,
}

impl Env<'_> {
    /// Counts a drop and names it.
    pub(crate) fn drop(&mut self, reason: DropReason) -> Verdict {
        Verdict { outcome: self.cx.drop(reason), reset: None }
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// A reset to answer with.
    pub(crate) reset: Option<Reset>,
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        Verdict { outcome, reset: None }
    }
}

/// A reset as section 3.10.7.1 of RFC 9293 makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reset {
    pub(crate) seq: SeqNum,
    /// Set where the reset acknowledges.
    pub(crate) ack: Option<SeqNum>,
    pub(crate) why: &'static str,
}
