//! How the parts of records are coded: each type's `Encode` beside its `Decode`.

use super::*;
use crate::message::{Death, DeathReason, Kind, PRIORITY_MAX, ReplyTo, StreamSeq, WhenFull};
use crate::{ADDRESS_BYTES_MAX, BODY_BYTES_MAX, NAME_BYTES_MAX};
use tapstack::time::Duration;
use tapstack_xdr::{Decode, Encode};

type Coded = Result<(), Error>;

/// Joins an enumeration to its numbers.
macro_rules! numbers {
    ($($type:ty { $($variant:path = $number:literal),* $(,)? })*) => {$(
        impl Encode for $type {
            fn encode(&self, to: &mut Encoder) -> Coded {
                to.put_u32(match self { $($variant => $number),* })
            }
        }

        impl Decode for $type {
            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                Ok(match from.take_u32()? {
                    $($number => $variant,)*
                    other => return Err(bad(stringify!($type), other)),
                })
            }
        }
    )*};
}

numbers! {
    Semantics {
        Semantics::AtMostOnce = 0, Semantics::AtLeastOnce = 1, Semantics::EffectivelyOnce = 2,
    }
    Kind { Kind::Process = 0, Kind::Mailbox = 1, Kind::Port = 2 }
    WhenFull { WhenFull::Block = 0, WhenFull::Reject = 1, WhenFull::DropOldest = 2 }
    Verdict { Verdict::Ack = 0, Verdict::Nack = 1, Verdict::Refuse = 2 }
    DeathReason {
        DeathReason::Expired = 0, DeathReason::Undeliverable = 1, DeathReason::Displaced = 2,
        DeathReason::Refused = 3,
    }
    Refusal {
        Refusal::NoSuchBox = 1, Refusal::Exists = 2, Refusal::Full = 3, Refusal::Busy = 4, Refusal::Owned = 5,
        Refusal::TooLarge = 6, Refusal::Unknown = 7, Refusal::DiskFailed = 8, Refusal::Malformed = 9,
    }
}

fn bad(name: &'static str, value: u32) -> Error {
    Error::BadEnum { name, value: value.cast_signed() }
}

impl Encode for BoxName {
    fn encode(&self, to: &mut Encoder) -> Coded {
        to.put_string(self.as_str(), NAME_BYTES_MAX)
    }
}

impl Decode for BoxName {
    fn decode(from: &mut Decoder<'_>) -> Result<BoxName, Error> {
        BoxName::new(from.take_string(NAME_BYTES_MAX)?).map_err(|_| bad("box name", 0))
    }
}

impl Encode for Message {
    fn encode(&self, to: &mut Encoder) -> Coded {
        to.put_u32(self.priority.into())?;
        to.put_u32(self.time_to_live.map_or(0, millis))?;
        to.put_option(self.reply_to.as_ref(), |reply, to| {
            to.put_option(reply.address.as_ref(), |address, to| {
                to.put_string(&address.to_string(), ADDRESS_BYTES_MAX)
            })?;
            to.put_u64(reply.correlation)
        })?;
        to.put_opaque(&self.body, BODY_BYTES_MAX)
    }
}

impl Decode for Message {
    fn decode(from: &mut Decoder<'_>) -> Result<Message, Error> {
        let priority = from.take_u32()?;
        let priority = u8::try_from(priority).ok().filter(|priority| *priority <= PRIORITY_MAX);
        let priority = priority.ok_or_else(|| bad("priority", u32::MAX))?;
        let ttl_ms = from.take_u32()?;
        let time_to_live = (ttl_ms != 0).then(|| Duration::from_millis(ttl_ms.into()));
        let reply_to = from.take_option(|from| {
            let address = from.take_option(|from| {
                from.take_string(ADDRESS_BYTES_MAX)?.parse().map_err(|_| bad("address", 0))
            })?;
            Ok(ReplyTo { address, correlation: from.take_u64()? })
        })?;
        // Copied, not shared: a short body would pin the whole record for as long as it waits.
        let body = Bytes::copy_from_slice(from.take_opaque(BODY_BYTES_MAX)?);
        Ok(Message { body, priority, time_to_live, reply_to })
    }
}

/// A time to live in milliseconds, rounded up: what lives at all isn't 0, which stands for no limit.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1)
}

impl Encode for Letter {
    fn encode(&self, to: &mut Encoder) -> Coded {
        to.put_u64(self.id)?;
        to.put_u64(self.from.stream)?;
        to.put_u64(self.from.seq)?;
        self.semantics.encode(to)?;
        to.put_u32(self.deliveries)?;
        to.put_option(self.death.as_ref(), |death, to| {
            death.in_box.encode(to)?;
            death.reason.encode(to)
        })?;
        self.message.encode(to)
    }
}

impl Decode for Letter {
    fn decode(from: &mut Decoder<'_>) -> Result<Letter, Error> {
        Ok(Letter {
            id: from.take_u64()?,
            from: StreamSeq { stream: from.take_u64()?, seq: from.take_u64()? },
            semantics: from.take()?,
            deliveries: from.take_u32()?,
            death: from.take_option(|from| Ok(Death { in_box: from.take()?, reason: from.take()? }))?,
            message: from.take()?,
        })
    }
}

impl Encode for BoxOptions {
    fn encode(&self, to: &mut Encoder) -> Coded {
        self.kind.encode(to)?;
        to.put_bool(self.durable)?;
        self.when_full.encode(to)?;
        to.put_u32(self.messages_max)?;
        to.put_u32(self.bytes_max)?;
        to.put_u32(self.deliveries_max)?;
        to.put_u32(millis(self.redeliver_after))?;
        to.put_u32(self.time_to_live.map_or(0, millis))?;
        self.dead_letters.encode(to)
    }
}

impl Decode for BoxOptions {
    fn decode(from: &mut Decoder<'_>) -> Result<BoxOptions, Error> {
        Ok(BoxOptions {
            kind: from.take()?,
            durable: from.take_bool()?,
            when_full: from.take()?,
            messages_max: from.take_u32()?,
            bytes_max: from.take_u32()?,
            deliveries_max: from.take_u32()?,
            redeliver_after: Duration::from_millis(from.take_u32()?.into()),
            time_to_live: Some(from.take_u32()?)
                .filter(|ms| *ms != 0)
                .map(|ms| Duration::from_millis(ms.into())),
            dead_letters: from.take()?,
        })
    }
}

impl Encode for BoxInfo {
    fn encode(&self, to: &mut Encoder) -> Coded {
        self.name.encode(to)?;
        self.options.encode(to)?;
        to.put_u32(self.waiting)?;
        to.put_u32(self.handed_out)?;
        to.put_u64(self.bytes)?;
        to.put_u32(self.readers)?;
        self.counts.fields().iter().try_for_each(|count| to.put_u64(*count))
    }
}

impl Decode for BoxInfo {
    fn decode(from: &mut Decoder<'_>) -> Result<BoxInfo, Error> {
        Ok(BoxInfo {
            name: from.take()?,
            options: from.take()?,
            waiting: from.take_u32()?,
            handed_out: from.take_u32()?,
            bytes: from.take_u64()?,
            readers: from.take_u32()?,
            counts: BoxCounts::from_fields(from.take_array_fixed(|from| from.take_u64())?),
        })
    }
}

impl BoxCounts {
    fn fields(&self) -> [u64; 9] {
        let BoxCounts {
            accepted,
            handed_out,
            settled,
            returned,
            rejected,
            expired,
            displaced,
            undeliverable,
            refused,
        } = *self;
        [accepted, handed_out, settled, returned, rejected, expired, displaced, undeliverable, refused]
    }

    fn from_fields(fields: [u64; 9]) -> BoxCounts {
        let [accepted, handed_out, settled, returned, rejected, expired, displaced, undeliverable, refused] =
            fields;
        BoxCounts {
            accepted,
            handed_out,
            settled,
            returned,
            rejected,
            expired,
            displaced,
            undeliverable,
            refused,
        }
    }
}

impl Encode for Ask {
    fn encode(&self, to: &mut Encoder) -> Coded {
        match self {
            Ask::Create { name, options } => {
                to.put_u32(1)?;
                name.encode(to)?;
                options.encode(to)
            }
            Ask::Delete { name } => {
                to.put_u32(2)?;
                name.encode(to)
            }
            Ask::List { after } => {
                to.put_u32(3)?;
                after.encode(to)
            }
            Ask::Peek { name, max } => {
                to.put_u32(4)?;
                name.encode(to)?;
                to.put_u32(*max)
            }
            Ask::Open { stream, name, semantics, first } => {
                to.put_u32(5)?;
                to.put_u64(*stream)?;
                name.encode(to)?;
                semantics.encode(to)?;
                to.put_u64(*first)
            }
            Ask::Close { stream } => {
                to.put_u32(6)?;
                to.put_u64(*stream)
            }
            Ask::Attach { reader, name } => {
                to.put_u32(7)?;
                to.put_u64(*reader)?;
                name.encode(to)
            }
            Ask::Detach { reader } => {
                to.put_u32(8)?;
                to.put_u64(*reader)
            }
        }
    }
}

impl Decode for Ask {
    fn decode(from: &mut Decoder<'_>) -> Result<Ask, Error> {
        Ok(match from.take_u32()? {
            1 => Ask::Create { name: from.take()?, options: from.take()? },
            2 => Ask::Delete { name: from.take()? },
            3 => Ask::List { after: from.take()? },
            4 => Ask::Peek { name: from.take()?, max: from.take_u32()? },
            5 => Ask::Open {
                stream: from.take_u64()?,
                name: from.take()?,
                semantics: from.take()?,
                first: from.take_u64()?,
            },
            6 => Ask::Close { stream: from.take_u64()? },
            7 => Ask::Attach { reader: from.take_u64()?, name: from.take()? },
            8 => Ask::Detach { reader: from.take_u64()? },
            other => return Err(bad("ask", other)),
        })
    }
}

impl Encode for Answer {
    fn encode(&self, to: &mut Encoder) -> Coded {
        match self {
            Answer::Done => to.put_u32(1),
            Answer::List { boxes, more } => {
                to.put_u32(2)?;
                to.put_array(boxes, LIST_MAX, |one, to| one.encode(to))?;
                to.put_bool(*more)
            }
            Answer::Peek { letters } => {
                to.put_u32(3)?;
                to.put_array(letters, ITEMS_MAX, |letter, to| letter.encode(to))
            }
            Answer::Opened { restored, next, room } => {
                to.put_u32(4)?;
                to.put_bool(*restored)?;
                to.put_u64(*next)?;
                to.put_u32(*room)
            }
            Answer::Attached { life, next } => {
                to.put_u32(5)?;
                to.put_u64(*life)?;
                to.put_u64(*next)
            }
        }
    }
}

impl Decode for Answer {
    fn decode(from: &mut Decoder<'_>) -> Result<Answer, Error> {
        Ok(match from.take_u32()? {
            1 => Answer::Done,
            2 => Answer::List { boxes: from.take_array(LIST_MAX, BoxInfo::decode)?, more: from.take_bool()? },
            3 => Answer::Peek { letters: from.take_array(ITEMS_MAX, Letter::decode)? },
            4 => {
                Answer::Opened { restored: from.take_bool()?, next: from.take_u64()?, room: from.take_u32()? }
            }
            5 => Answer::Attached { life: from.take_u64()?, next: from.take_u64()? },
            other => return Err(bad("answer", other)),
        })
    }
}

/// A result as a union: 0 and what there is, or the number of a refusal.
fn put_result<T>(
    to: &mut Encoder,
    result: &Result<T, Refusal>,
    ok: impl FnOnce(&T, &mut Encoder) -> Coded,
) -> Coded {
    match result {
        Ok(value) => {
            to.put_u32(0)?;
            ok(value, to)
        }
        Err(refusal) => refusal.encode(to),
    }
}

fn take_result<T>(
    from: &mut Decoder<'_>,
    ok: impl FnOnce(&mut Decoder<'_>) -> Result<T, Error>,
) -> Result<Result<T, Refusal>, Error> {
    let before = from.clone();
    if from.take_u32()? == 0 {
        return ok(from).map(Ok);
    }
    *from = before;
    Refusal::decode(from).map(Err)
}

impl Record {
    pub(super) fn kind(&self) -> u32 {
        match self {
            Record::Hello { .. } => 1,
            Record::Welcome { .. } => 2,
            Record::Stale => 3,
            Record::Ask { .. } => 4,
            Record::Answer { .. } => 5,
            Record::Send { .. } => 6,
            Record::Ack(_) => 7,
            Record::Fetch(_) => 8,
            Record::Delivery { .. } => 9,
            Record::Taken { .. } => 10,
        }
    }

    pub(super) fn take(kind: u32, from: &mut Decoder<'_>) -> Result<Record, Error> {
        Ok(match kind {
            1 => Record::Hello { nonce: from.take_u64()? },
            2 => Record::Welcome { nonce: from.take_u64()? },
            3 => Record::Stale,
            4 => Record::Ask { request: from.take_u64()?, ask: from.take()? },
            5 => Record::Answer { request: from.take_u64()?, answer: take_result(from, |from| from.take())? },
            6 => Record::Send {
                stream: from.take_u64()?,
                first: from.take_u64()?,
                heard: from.take_u64()?,
                items: from.take_array(ITEMS_MAX, Message::decode)?,
            },
            7 => Record::Ack(Ack {
                stream: from.take_u64()?,
                next: from.take_u64()?,
                room: from.take_u32()?,
                beyond: from.take_array(RANGES_MAX, |from| Ok((from.take_u64()?, from.take_u64()?)))?,
                refused: from.take_array(REFUSALS_MAX, |from| Ok((from.take_u64()?, from.take()?)))?,
            }),
            8 => Record::Fetch(Fetch {
                reader: from.take_u64()?,
                request: from.take_u64()?,
                heard: from.take_u64()?,
                letters_max: from.take_u32()?,
                bytes_max: from.take_u32()?,
                wait_ms: from.take_u32()?,
                verdicts: from.take_array(VERDICTS_MAX, |from| Ok((from.take_u64()?, from.take()?)))?,
            }),
            9 => Record::Delivery {
                reader: from.take_u64()?,
                request: from.take_u64()?,
                letters: take_result(from, |from| from.take_array(ITEMS_MAX, Letter::decode))?,
            },
            10 => Record::Taken { reader: from.take_u64()?, request: from.take_u64()? },
            other => return Err(bad("kind", other)),
        })
    }
}

impl Encode for Record {
    fn encode(&self, to: &mut Encoder) -> Coded {
        match self {
            Record::Hello { nonce } | Record::Welcome { nonce } => to.put_u64(*nonce),
            Record::Stale => Ok(()),
            Record::Ask { request, ask } => {
                to.put_u64(*request)?;
                ask.encode(to)
            }
            Record::Answer { request, answer } => {
                to.put_u64(*request)?;
                put_result(to, answer, |answer, to| answer.encode(to))
            }
            Record::Send { stream, first, heard, items } => {
                to.put_u64(*stream)?;
                to.put_u64(*first)?;
                to.put_u64(*heard)?;
                to.put_array(items, ITEMS_MAX, |item, to| item.encode(to))
            }
            Record::Ack(ack) => {
                to.put_u64(ack.stream)?;
                to.put_u64(ack.next)?;
                to.put_u32(ack.room)?;
                to.put_array(&ack.beyond, RANGES_MAX, |(from, up_to), to| {
                    to.put_u64(*from)?;
                    to.put_u64(*up_to)
                })?;
                to.put_array(&ack.refused, REFUSALS_MAX, |(seq, refusal), to| {
                    to.put_u64(*seq)?;
                    refusal.encode(to)
                })
            }
            Record::Fetch(fetch) => {
                to.put_u64(fetch.reader)?;
                to.put_u64(fetch.request)?;
                to.put_u64(fetch.heard)?;
                to.put_u32(fetch.letters_max)?;
                to.put_u32(fetch.bytes_max)?;
                to.put_u32(fetch.wait_ms)?;
                to.put_array(&fetch.verdicts, VERDICTS_MAX, |(id, verdict), to| {
                    to.put_u64(*id)?;
                    verdict.encode(to)
                })
            }
            Record::Delivery { reader, request, letters } => {
                to.put_u64(*reader)?;
                to.put_u64(*request)?;
                put_result(to, letters, |letters, to| {
                    to.put_array(letters, ITEMS_MAX, |letter, to| letter.encode(to))
                })
            }
            Record::Taken { reader, request } => {
                to.put_u64(*reader)?;
                to.put_u64(*request)
            }
        }
    }
}
