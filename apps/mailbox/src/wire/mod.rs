//! Records: what goes over UDP, one a datagram, and over TCP, one a fragment of RFC 5531's record marking.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |1|                  length of the record                       |  over TCP only
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |               magic: "TMB1" (0x54 0x4d 0x42 0x31)             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             kind                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               boot: the incarnation of the boxes'             |
//! |                host, 0 where it isn't known yet               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |             token: says that the client receives at           |
//! |             its address, 0 where it has none yet              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      body, by the kind                        |
//! ```
//!
//! All of it is XDR (RFC 4506). `PROTOCOL.md` has the bodies, and the rules of who says what when.

mod coding;
#[cfg(test)]
mod tests;

pub(crate) use coding::millis;

use crate::{BoxName, BoxOptions, Letter, Message, Refusal, Semantics, Verdict};
use bytes::{Bytes, BytesMut};
use tapstack_xdr::{Decoder, Encode as _, Encoder, Error};

/// The first four bytes of a record: what it is, and which version.
pub const MAGIC: u32 = u32::from_be_bytes(*b"TMB1");

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;

/// Bytes of a record at most, so that any fits a datagram.
pub const RECORD_BYTES_MAX: usize = 65_000;

/// Bytes of a record into which several messages are put, over UDP: what an Ethernet frame takes. One message that is
/// longer goes alone, and IP cuts it.
pub const DATAGRAM_BYTES: usize = 1_472;

/// The same over TCP.
pub const SEGMENT_BYTES: usize = 32 << 10;

/// Messages of a record at most.
pub const ITEMS_MAX: usize = 1_024;

/// Ranges and refusals in an acknowledgement at most.
pub const RANGES_MAX: usize = 16;
/// See [`RANGES_MAX`].
pub const REFUSALS_MAX: usize = 64;

/// Verdicts in a fetch at most.
pub const VERDICTS_MAX: usize = 1_024;

/// Boxes in one page of a list at most.
pub const LIST_MAX: usize = 8;

/// What every record begins with, besides its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The incarnation of the boxes' host that is meant or that speaks.
    pub boot: u64,
    /// Says that the client receives at its address.
    pub token: u64,
}

/// The body of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Client: who are you, and do I receive here?
    Hello {
        /// Comes back.
        nonce: u64,
    },
    /// Host: boot and token are in the header. As long as the hello.
    Welcome {
        /// The hello's.
        nonce: u64,
    },
    /// Host: boot or token are not mine (any more); the header has my boot. Never longer than what it answers.
    Stale,
    /// Client: a question, which is repeated until it is answered. Asking twice does no harm.
    Ask {
        /// Comes back.
        request: u64,
        /// The question.
        ask: Ask,
    },
    /// Host: the answer.
    Answer {
        /// The question's.
        request: u64,
        /// What is so, or why not.
        answer: Result<Answer, Refusal>,
    },
    /// Client: messages of one sender, numbered from `first` on.
    Send {
        /// The sender's incarnation.
        stream: u64,
        /// The number of the first.
        first: u64,
        /// All acknowledgements up to this number have been heard: refusals below may be forgotten.
        heard: u64,
        /// The messages.
        items: Vec<Message>,
    },
    /// Host: what became of a sender's messages.
    Ack(Ack),
    /// Client: gives me letters; this is what I say about earlier ones.
    Fetch(Fetch),
    /// Host: letters.
    Delivery {
        /// Who fetched.
        reader: u64,
        /// The number of the fetch.
        request: u64,
        /// The letters in order, or why there can't be any.
        letters: Result<Vec<Letter>, Refusal>,
    },
    /// Host: the verdicts of that fetch have their effect; letters, if it wants any, come when there are some.
    Taken {
        /// Who fetched.
        reader: u64,
        /// The number of the fetch.
        request: u64,
    },
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// To make a box. One that is there with the same options is as good.
    Create {
        /// What it shall be called.
        name: BoxName,
        /// How it shall be.
        options: BoxOptions,
    },
    /// To end a box with all that is in it.
    Delete {
        /// Which.
        name: BoxName,
    },
    /// For the boxes whose names come after this one.
    List {
        /// None for the first page.
        after: Option<BoxName>,
    },
    /// For copies of the letters that would be handed out next.
    Peek {
        /// Which box.
        name: BoxName,
        /// Copies at most.
        max: u32,
    },
    /// To open a sender whose next message has the number `first`.
    Open {
        /// The sender's incarnation.
        stream: u64,
        /// The box that it sends to.
        name: BoxName,
        /// What it promises.
        semantics: Semantics,
        /// All before this number has been settled between the two.
        first: u64,
    },
    /// To forget a sender.
    Close {
        /// Which.
        stream: u64,
    },
    /// To be a reader of a box.
    Attach {
        /// The reader's incarnation.
        reader: u64,
        /// Which box.
        name: BoxName,
    },
    /// To be none any more; what it holds goes back.
    Detach {
        /// Which.
        reader: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is so.
    Done,
    /// The boxes, and whether there are more.
    List {
        /// In the order of their names.
        boxes: Vec<BoxInfo>,
        /// Whether others come after them.
        more: bool,
    },
    /// Copies of letters.
    Peek {
        /// In the order in which they would be handed out.
        letters: Vec<Letter>,
    },
    /// A sender is open.
    Opened {
        /// Whether the host has it from its log, and so `next` holds although the host was down.
        restored: bool,
        /// The number that it expects.
        next: u64,
        /// Messages that it would take now.
        room: u32,
    },
    /// A reader is attached.
    Attached {
        /// The incarnation of the box: letters are the same by it and their number.
        life: u64,
        /// The number of the fetch that is to be answered next.
        next: u64,
    },
}

/// What became of a sender's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The sender.
    pub stream: u64,
    /// All before this number are in the box (on its disk if it is durable), or refused.
    pub next: u64,
    /// How many more it would take now.
    pub room: u32,
    /// What has come beyond a gap: from, and up to.
    pub beyond: Vec<(u64, u64)>,
    /// Those that were refused, and not yet said to be heard.
    pub refused: Vec<(u64, Refusal)>,
}

/// What a reader asks for and says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// The reader's incarnation.
    pub reader: u64,
    /// Counts its fetches.
    pub request: u64,
    /// All deliveries before this number have come: they may be forgotten.
    pub heard: u64,
    /// Letters at most; 0 only says the verdicts.
    pub letters_max: u32,
    /// Bytes of their bodies at most.
    pub bytes_max: u32,
    /// How long the host shall wait for the first letter, in milliseconds.
    pub wait_ms: u32,
    /// What the reader says about letters.
    pub verdicts: Vec<(u64, Verdict)>,
}

/// A box, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxInfo {
    /// Its name.
    pub name: BoxName,
    /// How it is.
    pub options: BoxOptions,
    /// Letters that wait.
    pub waiting: u32,
    /// Letters that are handed out and not settled.
    pub handed_out: u32,
    /// Bytes of all their bodies.
    pub bytes: u64,
    /// Readers that are attached.
    pub readers: u32,
    /// What happened so far.
    pub counts: BoxCounts,
}

/// What happened to a box's messages since it was made, or since its host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoxCounts {
    /// Taken in.
    pub accepted: u64,
    /// Handed out, repetitions included.
    pub handed_out: u64,
    /// Acknowledged by readers, or removed when they were handed out.
    pub settled: u64,
    /// Given back by readers, by time-outs, or by the end of readers.
    pub returned: u64,
    /// Not taken: no room.
    pub rejected: u64,
    /// Died because their time was up.
    pub expired: u64,
    /// Died because newer ones took their place.
    pub displaced: u64,
    /// Died because nobody acknowledged them.
    pub undeliverable: u64,
    /// Died because a reader refused them.
    pub refused: u64,
}

/// Codes a record.
///
/// Errors: it is longer than [`RECORD_BYTES_MAX`], or something in it than its own limit.
pub fn encode(header: Header, record: &Record) -> Result<Bytes, Error> {
    encode_onto(BytesMut::new(), header, record)
}

/// As [`encode`], behind the mark that goes before it over TCP.
pub fn encode_marked(header: Header, record: &Record) -> Result<Bytes, Error> {
    let mut marked = BytesMut::with_capacity(256);
    marked.extend_from_slice(&[0; 4]);
    let record = encode_onto(marked, header, record)?;
    let mut marked = BytesMut::from(record);
    let len = u32::try_from(marked.len() - 4).unwrap_or(u32::MAX);
    if let Some(mark) = marked.first_chunk_mut() {
        *mark = (len | LAST_FRAGMENT).to_be_bytes();
    }
    Ok(marked.freeze())
}

fn encode_onto(buffer: BytesMut, header: Header, record: &Record) -> Result<Bytes, Error> {
    let mut to = Encoder::onto(buffer, RECORD_BYTES_MAX + 4);
    to.put_u32(MAGIC)?;
    to.put_u32(record.kind())?;
    to.put_u64(header.boot)?;
    to.put_u64(header.token)?;
    record.encode(&mut to)?;
    Ok(to.into_bytes())
}

/// Reads a record. Errors: what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<(Header, Record), Error> {
    let mut from = Decoder::new(bytes);
    let (header, kind) = take_header(&mut from)?;
    let record = Record::take(kind, &mut from)?;
    from.finish()?;
    Ok((header, record))
}

/// Reads only the header: enough to see whether the rest is worth reading. Errors: it is none.
pub fn decode_header(bytes: &[u8]) -> Result<Header, Error> {
    take_header(&mut Decoder::new(bytes)).map(|(header, _)| header)
}

fn take_header(from: &mut Decoder<'_>) -> Result<(Header, u32), Error> {
    let magic = from.take_u32()?;
    if magic != MAGIC {
        return Err(Error::BadEnum { name: "magic", value: magic.cast_signed() });
    }
    let kind = from.take_u32()?;
    let header = Header { boot: from.take_u64()?, token: from.take_u64()? };
    Ok((header, kind))
}

/// Bytes that a message takes in a record.
pub fn item_bytes(message: &Message) -> usize {
    let reply = message.reply_to.as_ref().map_or(0, |reply| {
        12 + reply.address.as_ref().map_or(0, |address| 4 + address.to_string().len().next_multiple_of(4))
    });
    16 + reply + message.body.len().next_multiple_of(4)
}

/// The bit of a mark that says that no other fragment of the record follows. It is always set: records are short.
pub const LAST_FRAGMENT: u32 = 1 << 31;

/// Splits records from what TCP brings; keeps what is not yet whole, which is never more than one record.
#[derive(Debug, Default)]
pub struct Unmarker {
    buffer: BytesMut,
}

impl Unmarker {
    /// Takes in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record. Errors: a mark that can't be; nothing after it makes sense.
    pub fn next_record(&mut self) -> Result<Option<BytesMut>, Error> {
        let Some(mark) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let mark = u32::from_be_bytes(*mark);
        let len = (mark & !LAST_FRAGMENT) as usize;
        if mark & LAST_FRAGMENT == 0 || !(HEADER_BYTES..=RECORD_BYTES_MAX).contains(&len) {
            return Err(Error::TooLong { length: len, max: RECORD_BYTES_MAX });
        }
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        let mut record = self.buffer.split_to(4 + len);
        Ok(Some(record.split_off(4)))
    }

    /// Bytes of a record that is not whole.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}
