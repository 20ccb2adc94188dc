//! Header prediction: the segment that nearly always comes next while a peer sends much, and what section 3.10.7.4 of
//! RFC 9293 leaves to do for it.

use super::{ack_field, otherwise};
use crate::frame::{Outcome, Strided};
use crate::socket::TcpState;
use crate::tcp::connection::Connection;
use crate::tcp::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp_options::Timestamps;

/// A segment with the ACK bit, perhaps PSH, and no other; with the timestamps option or none; with data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted {
    /// SEG.SEQ.
    pub(crate) seq: SeqNum,
    /// SEG.ACK.
    pub(crate) ack: SeqNum,
    /// SEG.WND as it is in the header, unscaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    /// Bytes of its payload, at least one.
    pub(crate) len: u32,
    /// Segments that the wire carried, and payload of the largest of them: see [`crate::tcp`]'s `Segment`.
    pub(crate) wire_segments: u32,
    pub(crate) segment_bytes: u32,
}

impl Predicted {
    /// Whether every check of `otherwise.rs` would let the segment pass without effect, so that only its data is news: the
    /// next in order, for a connection whose batch has begun, which acknowledges nothing that is in flight and leaves
    /// the window as it was. What the batch's first segment found out holds for those behind it, and what was left to
    /// be settled is settled when the batch ends.
    fn is_next(&self, conn: &Connection) -> bool {
        let timestamps_pass = match self.timestamps {
            // PAWS (RFC 7323 section 5.3): not older than TS.Recent.
            Some(timestamps) => timestamps.value.wrapping_sub(conn.timestamps.recent) as i32 >= 0,
            None => !conn.timestamps.enabled,
        };
        conn.flags.in_batch
            && conn.state == TcpState::Established
            && self.seq == conn.rcv.next
            && self.ack == conn.sender.una()
            && conn.sender.is_idle()
            && timestamps_pass
            && conn.snd.wnd > 0
            && u32::from(self.window) << conn.snd.scale == conn.snd.wnd
            && self.len <= conn.rcv.window()
            && self.segment_bytes <= conn.rcv.segment_max
            && conn.rcv.is_in_order()
            && !conn.has_urgent_mark()
    }

    /// Does what a segment that [`Predicted::is_next`] brings about, but for its payload.
    fn arrives(&self, now: Instant, conn: &mut Connection) {
        conn.counts.segments_in += u64::from(self.wire_segments);
        conn.counts.data_segments_in += u64::from(self.wire_segments);
        conn.heard_of_peer(now);
        conn.set_window(self.seq, self.ack, conn.snd.wnd);
        ack_field::any_ack(conn);
        ack_field::window_is_open(conn);
        otherwise::update_recent(now, conn, self.seq, self.timestamps);
        conn.rcv.next_data(self.len);
        conn.counts.bytes_received += u64::from(self.len);
        conn.ack.data_in(now, conn.sender.rto());
        if !conn.timestamps.enabled {
            conn.rcv.measure_window(now);
        }
        conn.flags.wake = true;
        conn.flags.stalled = false;
    }
}

/// Segments for one connection that follow each other, each of them predicted. Their payloads are taken together.
pub(crate) struct Run<'a> {
    conn: &'a mut Connection,
    /// What the stack is charged for, and how far that may go.
    memory: &'a mut usize,
    memory_max: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(conn: &'a mut Connection, memory: &'a mut usize, memory_max: usize) -> Run<'a> {
        Run { conn, memory, memory_max }
    }

    /// Whether a segment brings nothing but the next data, to a connection that is settled at the end of the batch anyhow:
    /// then [`Run::take`] does for it what the long way would do, and less.
    pub(crate) fn is_next(&self, segment: &Predicted) -> bool {
        *self.memory <= self.memory_max && segment.is_next(self.conn)
    }

    /// Takes a segment that [`Run::is_next`], and whose checksum is right.
    pub(crate) fn take(&mut self, now: Instant, segment: &Predicted) {
        *self.memory += segment.len as usize;
        self.conn.flags.charged += segment.len as usize;
        segment.arrives(now, self.conn);
    }

    /// Takes the payloads of all that were taken.
    pub(crate) fn finish(self, payloads: Strided) -> Outcome {
        self.conn.rcv.append(payloads);
        otherwise::delivered(self.conn)
    }
}
