//! How entries of the log are coded.

use super::{Entry, IDS_MAX};
use crate::store::Stored;
use crate::{Letter, Message};
use tapstack::time::Instant;
use tapstack_xdr::{Decode as _, Decoder, Encode as _, Encoder, Error};

impl Entry {
    pub(super) fn encode(&self, now: Instant, to: &mut Encoder) -> Result<(), Error> {
        match self {
            Entry::Made { number, name, options, life, next_id } => {
                to.put_u32(1)?;
                to.put_u32(*number)?;
                name.encode(to)?;
                options.encode(to)?;
                to.put_u64(*life)?;
                to.put_u64(*next_id)
            }
            Entry::Ended { number } => {
                to.put_u32(2)?;
                to.put_u32(*number)
            }
            Entry::Put { number, id, stored } => {
                to.put_u32(3)?;
                to.put_u32(*number)?;
                stored.letter(*id, now).encode(to)
            }
            Entry::Gone { number, ids } => {
                to.put_u32(4)?;
                to.put_u32(*number)?;
                to.put_array(ids, IDS_MAX, |id, to| to.put_u64(*id))
            }
            Entry::Handed { number, reader, ids } => {
                to.put_u32(5)?;
                to.put_u32(*number)?;
                to.put_u64(*reader)?;
                to.put_array(ids, IDS_MAX, |id, to| to.put_u64(*id))
            }
            Entry::Stream { stream, number, next } => {
                to.put_u32(6)?;
                to.put_u64(*stream)?;
                to.put_u32(*number)?;
                to.put_u64(*next)
            }
            Entry::Forgotten { stream } => {
                to.put_u32(7)?;
                to.put_u64(*stream)
            }
        }
    }

    pub(super) fn decode(now: Instant, from: &mut Decoder<'_>) -> Result<Entry, Error> {
        Ok(match from.take_u32()? {
            1 => Entry::Made {
                number: from.take_u32()?,
                name: from.take()?,
                options: from.take()?,
                life: from.take_u64()?,
                next_id: from.take_u64()?,
            },
            2 => Entry::Ended { number: from.take_u32()? },
            3 => {
                let number = from.take_u32()?;
                let letter = Letter::decode(from)?;
                Entry::Put { number, id: letter.id, stored: stored(now, letter) }
            }
            4 => Entry::Gone {
                number: from.take_u32()?,
                ids: from.take_array(IDS_MAX, |from| from.take_u64())?,
            },
            5 => Entry::Handed {
                number: from.take_u32()?,
                reader: from.take_u64()?,
                ids: from.take_array(IDS_MAX, |from| from.take_u64())?,
            },
            6 => Entry::Stream { stream: from.take_u64()?, number: from.take_u32()?, next: from.take_u64()? },
            7 => Entry::Forgotten { stream: from.take_u64()? },
            other => return Err(Error::BadEnum { name: "entry", value: other.cast_signed() }),
        })
    }
}

fn stored(now: Instant, letter: Letter) -> Stored {
    let Letter { from, semantics, deliveries, death, message, .. } = letter;
    let Message { body, priority, time_to_live, reply_to } = message;
    let expires = time_to_live.map(|time| now + time);
    Stored { from, semantics, priority, expires, deliveries, death, reply_to, body }
}
