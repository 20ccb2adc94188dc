//! Urgent data (RFC 9293 section 3.8.5): the pointer is read and written as RFC 6093 has it, and as Linux does.

use super::connection::Connection;
use super::segment::Segment;

impl Connection {
    /// Sixth, check the URG bit. The byte before the pointer is the urgent one; unless it shall stay in the stream,
    /// it is what `MSG_OOB` reads.
    pub(crate) fn urgent_arrives(&mut self, segment: &Segment) {
        // The pointer names the byte behind the urgent one (RFC 6093 section 3.1, as all systems do).
        let pointer = segment.seq + u32::from(segment.urgent);
        if segment.urgent == 0 || pointer.at_or_before(self.rcv.next) {
            return;
        }
        let newer = self.urgent.receive.is_none_or(|up| pointer.after(up));
        if newer {
            self.urgent.receive = Some(pointer);
            self.urgent.byte = None;
            self.flags.wake = true;
        }
        if let Some(up) = self.urgent.receive
            && let Some(at) = usize::try_from((up - 1).signed_from(segment.seq)).ok()
            && let Some(&byte) = segment.payload.get(at)
        {
            self.urgent.byte = Some(byte);
        }
    }
}
