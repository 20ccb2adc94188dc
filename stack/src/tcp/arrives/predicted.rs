//! Header prediction: the segment that nearly always comes next while a peer sends much, and what section 3.10.7.4 of
//! RFC 9293 leaves to do for it.

use super::{ack_field, otherwise};
use crate::frame::{Outcome, Strided};
use crate::socket::TcpState;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Connection, sent_when};
use crate::tcp::demux::ConnectionId;
use crate::tcp::pool::ChunkPool;
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
    /// next in order, which acknowledges all that is in flight or nothing, and leaves the window as it was. What is left
    /// to be settled is settled when the batch ends.
    fn is_next(&self, conn: &Connection) -> bool {
        let timestamps_pass = match self.timestamps {
            // PAWS (RFC 7323 section 5.3): not older than TS.Recent.
            Some(timestamps) => timestamps.value.wrapping_sub(conn.timestamps.recent) as i32 >= 0,
            None => !conn.timestamps.enabled,
        };
        conn.state == TcpState::Established
            && self.seq == conn.rcv.next
            && conn.sender.is_plain_ack(self.ack)
            && timestamps_pass
            && conn.snd.wnd > 0
            && u32::from(self.window) << conn.snd.scale == conn.snd.wnd
            && self.len <= conn.rcv.window()
            && self.segment_bytes <= conn.rcv.segment_max
            && conn.rcv.is_in_order()
            && !conn.has_urgent_mark()
    }

    /// Does what a segment that [`Predicted::is_next`] brings about, but for its payload.
    fn arrives(&self, now: Instant, conn: &mut Connection, config: &TcpConfig, pool: &mut ChunkPool) {
        conn.counts.segments_in += u64::from(self.wire_segments);
        conn.counts.data_segments_in += u64::from(self.wire_segments);
        conn.heard_of_peer(now);
        conn.set_window(self.seq, self.ack, conn.snd.wnd);
        if !conn.sender.is_idle() {
            self.acknowledges(now, conn, config, pool);
        }
        ack_field::any_ack(conn);
        ack_field::window_is_open(conn);
        otherwise::update_recent(now, conn, self.seq, self.timestamps);
        if !conn.flags.in_batch {
            // One sample a batch is enough.
            otherwise::sample_round_trip(now, conn, self.timestamps, self.segment_bytes);
        }
        conn.rcv.next_data(self.len);
        conn.counts.bytes_received += u64::from(self.len);
        conn.ack.data_in(now, conn.sender.rto());
        if !conn.timestamps.enabled {
            conn.rcv.measure_window(now);
        }
        conn.flags.wake = true;
        conn.flags.stalled = false;
    }

    /// All that is in flight has arrived.
    fn acknowledges(&self, now: Instant, conn: &mut Connection, config: &TcpConfig, pool: &mut ChunkPool) {
        let (timestamp, echo) =
            (conn.timestamp(now), self.timestamps.map_or(0, |timestamps| timestamps.echo));
        let newly_acked = conn.sender.on_plain_ack(now, || sent_when(now, timestamp, echo));
        ack_field::acknowledged(conn, newly_acked, config, pool);
        conn.flags.confirmed = true;
    }
}

/// Segments for one connection that follow each other, each of them predicted. Their payloads are taken together.
pub(crate) struct Run<'a> {
    pub(crate) id: ConnectionId,
    pub(crate) conn: &'a mut Connection,
    /// Who is settled when the batch ends.
    pub(crate) batch: &'a mut Vec<ConnectionId>,
    /// What the stack is charged for, in bytes.
    pub(crate) memory: &'a mut usize,
    pub(crate) config: &'a TcpConfig,
    pub(crate) pool: &'a mut ChunkPool,
}

impl Run<'_> {
    /// Whether a segment brings nothing but the next data, and perhaps an ACK of all that is in flight: then [`Run::take`]
    /// does for it what the long way would do, and less.
    pub(crate) fn is_next(&self, segment: &Predicted) -> bool {
        *self.memory <= self.config.memory_max && segment.is_next(self.conn)
    }

    /// Takes a segment that [`Run::is_next`], and whose checksum is right.
    pub(crate) fn take(&mut self, now: Instant, segment: &Predicted) {
        *self.memory += segment.len as usize;
        self.conn.flags.charged += segment.len as usize;
        segment.arrives(now, self.conn, self.config, self.pool);
        if !self.conn.flags.in_batch {
            self.conn.flags.in_batch = true;
            self.batch.push(self.id);
        }
    }

    /// Takes the payloads of all that were taken.
    pub(crate) fn finish(self, payloads: Strided) -> Outcome {
        self.conn.rcv.append(payloads);
        otherwise::delivered(self.conn)
    }
}
