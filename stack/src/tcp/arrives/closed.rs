//! SEGMENT ARRIVES in CLOSED (RFC 9293 section 3.10.7.1): no connection and no listener.

use super::{Reset, Verdict};
use crate::frame::{DropReason, Outcome};
use crate::stack::Context;
use crate::tcp::segment::Segment;
use crate::tcp::seq::SeqNum;

/// Everything but a reset is answered with a reset.
pub(crate) fn arrives(cx: &mut Context, segment: &Segment) -> Verdict {
    if segment.flags.rst() {
        return cx.drop(DropReason::TcpStrayRst).into();
    }
    cx.drop(DropReason::TcpNoListener);
    reset(segment, "no such connection")
}

/// The reset that fits a segment: "<SEQ=SEG.ACK><CTL=RST>" where it acknowledges, else
/// "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>".
pub(crate) fn reset(segment: &Segment, why: &'static str) -> Verdict {
    let reset = if segment.flags.ack() {
        Reset { seq: segment.ack, ack: None, why }
    } else {
        Reset { seq: SeqNum::new(0), ack: Some(segment.end()), why }
    };
    Verdict { outcome: Outcome::Answered { with: "RST" }, reset: Some(reset) }
}
