//! Urgent data (RFC 9293 section 3.8.5): the pointer is read and written as RFC 6093 has it, and as Linux does.

use super::connection::Connection;
use super::segment::Segment;

/// Urgent data on its way out and in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Urgent {
    /// SND.UP, while it is ahead of what was acknowledged.
    pub(crate) send: Option<super::seq::SeqNum>,
    /// The urgent byte's offset in the received stream, until the application has read up to it.
    mark: Option<u64>,
    /// The urgent byte, for `MSG_OOB`, from its arrival until it is taken or passed.
    pub(crate) byte: Option<u8>,
}

impl Connection {
    /// Sixth, check the URG bit. The byte before the pointer is the urgent one; unless it shall stay in the stream,
    /// it is what `MSG_OOB` reads.
    pub(crate) fn urgent_arrives(&mut self, segment: &Segment) {
        // The pointer names the byte behind the urgent one (RFC 6093 section 3.1, as all systems do).
        let ahead = (segment.seq + u32::from(segment.urgent)).signed_from(self.rcv.next) - 1;
        let named = u64::try_from(ahead).ok().filter(|_| segment.flags.urg() && segment.urgent > 0);
        if let Some(mark) = named.map(|ahead| self.rcv.queue.next_offset() + ahead)
            && self.urgent.mark.is_none_or(|old| mark > old)
        {
            self.urgent.mark = Some(mark);
            self.urgent.byte = None;
            self.flags.wake = true;
        }
        // It comes with the segment that names it, or with a later one.
        let first =
            self.rcv.queue.next_offset().wrapping_add_signed(segment.seq.signed_from(self.rcv.next).into());
        if let Some(at) = self.urgent.mark.and_then(|mark| usize::try_from(mark.checked_sub(first)?).ok())
            && at as u64 + first >= self.rcv.queue.next_offset()
            && let Some(&byte) = segment.payload.get(at)
        {
            self.urgent.byte = Some(byte);
            self.flags.wake = true;
        }
    }

    /// Whether the peer has named an urgent byte that was not read past yet.
    pub(crate) fn has_urgent_mark(&self) -> bool {
        self.urgent.mark.is_some()
    }

    /// Bytes that an ordinary read could bring: an urgent byte that is to be read apart doesn't count.
    pub(crate) fn readable(&self) -> usize {
        let readable = self.rcv.queue.readable();
        match self.urgent_ahead() {
            Some(ahead) if !self.settings.oob_inline && ahead < readable => readable - 1,
            _ => readable,
        }
    }

    /// Moves bytes to `buffer`, up to the urgent mark: a read stops there, so that the application finds it. The next one
    /// skips the urgent byte, or begins with it (`SO_OOBINLINE`).
    pub(crate) fn read_stream(&mut self, buffer: &mut [u8], peek: bool) -> usize {
        if !self.has_urgent_mark() && !peek {
            return self.rcv.queue.read(buffer);
        }
        let mut skip = 0;
        let mut len = buffer.len();
        match self.urgent_ahead() {
            Some(0) if self.rcv.queue.readable() > 0 => {
                skip = usize::from(!self.settings.oob_inline);
                if !peek && len > 0 {
                    self.urgent.mark = None;
                    self.urgent.byte = None;
                }
            }
            Some(ahead) => len = len.min(ahead),
            None => {}
        }
        let buffer = &mut buffer[..len];
        if peek {
            return self.rcv.queue.peek(skip, buffer);
        }
        if skip > 0 && !buffer.is_empty() {
            self.rcv.queue.read(&mut [0]);
        }
        self.rcv.queue.read(buffer)
    }

    /// Whether the next byte to be read is the urgent one (`SIOCATMARK`).
    pub(crate) fn at_urgent_mark(&self) -> bool {
        self.urgent_ahead() == Some(0)
    }

    /// How many unread bytes lie before the urgent one.
    fn urgent_ahead(&self) -> Option<usize> {
        let mark = self.urgent.mark?;
        let read = self.rcv.queue.next_offset() - self.rcv.queue.readable() as u64;
        usize::try_from(mark.checked_sub(read)?).ok()
    }
}
