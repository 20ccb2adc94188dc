//! For each client of an exactly-once service the replies to its last calls, and where its window stands.

use super::WINDOW;
use bytes::Bytes;
use std::collections::BTreeMap;
use tapstack_xdr::{Decode, Decoder, Encode, Encoder, Error};

/// Clients at most: the service has to remember each of them for ever.
pub(super) const CLIENTS_MAX: usize = 1024;

/// A call that was executed: what makes it the same, and its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) client: String,
    pub(super) incarnation: u32,
    pub(super) xid: u32,
    pub(super) procedure: u32,
    pub(super) checksum: u64,
    pub(super) results: Bytes,
}

/// What is known of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// It wasn't executed yet.
    New,
    /// It was, by this record.
    Replied { results: Bytes, record: u64 },
    /// It is older than the window, or of an earlier life of its client: whether it was executed isn't known any more.
    TooOld,
    /// Another call had its number: the client is at fault.
    Another,
    /// There is no room for another client.
    Full,
}

/// All clients.
#[derive(Default)]
pub(super) struct Clients {
    clients: BTreeMap<String, Client>,
    /// Of all results that are kept.
    bytes: usize,
}

#[derive(Default)]
struct Client {
    incarnation: u32,
    newest: u32,
    replied: BTreeMap<u32, (Call, u64)>,
}

impl Clients {
    pub(super) fn look_up(&self, call: &Call) -> Known {
        let new = if self.bytes < super::RESULTS_BYTES_MAX { Known::New } else { Known::Full };
        let Some(client) = self.clients.get(&call.client) else {
            return if self.clients.len() < CLIENTS_MAX { new } else { Known::Full };
        };
        if call.incarnation != client.incarnation {
            return if call.incarnation > client.incarnation { new } else { Known::TooOld };
        }
        if let Some((known, record)) = client.replied.get(&call.xid) {
            let same = (known.procedure, known.checksum) == (call.procedure, call.checksum);
            let replied = || Known::Replied { results: known.results.clone(), record: *record };
            return if same { replied() } else { Known::Another };
        }
        // The client never has a call under way that is WINDOW or more older than one that it has begun.
        if call.xid <= client.newest.saturating_sub(WINDOW) { Known::TooOld } else { new }
    }

    /// Notes a call that was executed by a record.
    pub(super) fn note(&mut self, call: Call, record: u64) {
        let client = self.clients.entry(call.client.clone()).or_default();
        if call.incarnation > client.incarnation {
            self.bytes -= client.replied.values().map(|(call, _)| call.bytes()).sum::<usize>();
            *client = Client { incarnation: call.incarnation, ..Client::default() };
        }
        client.newest = client.newest.max(call.xid);
        self.bytes += call.bytes();
        let before = client.replied.insert(call.xid, (call, record));
        self.bytes -= before.map_or(0, |(call, _)| call.bytes());
        let oldest = client.newest.saturating_sub(WINDOW) + 1;
        while let Some(entry) = client.replied.first_entry().filter(|entry| *entry.key() < oldest) {
            self.bytes -= entry.remove().0.bytes();
        }
    }

    /// As a checkpoint keeps them.
    pub(super) fn to_records(&self) -> Vec<Call> {
        let calls =
            |client: &Client| client.replied.values().map(|(call, _)| call.clone()).collect::<Vec<_>>();
        self.clients.values().flat_map(calls).collect()
    }

    /// From a checkpoint: what is in there is on the disk.
    pub(super) fn from_records(calls: Vec<Call>) -> Clients {
        let mut clients = Clients::default();
        calls.into_iter().for_each(|call| clients.note(call, 0));
        clients
    }
}

impl Call {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        size_of::<Call>() + self.client.len() + self.results.len()
    }
}

impl Encode for Call {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_string(&self.client, crate::auth::MACHINE_NAME_BYTES_MAX)?;
        to.put_u32(self.incarnation)?;
        to.put_u32(self.xid)?;
        to.put_u32(self.procedure)?;
        to.put_u64(self.checksum)?;
        to.put_opaque(&self.results, super::LOGGED_BYTES_MAX)
    }
}

impl Decode for Call {
    fn decode(from: &mut Decoder<'_>) -> Result<Call, Error> {
        Ok(Call {
            client: from.take_string(crate::auth::MACHINE_NAME_BYTES_MAX)?.to_owned(),
            incarnation: from.take_u32()?,
            xid: from.take_u32()?,
            procedure: from.take_u32()?,
            checksum: from.take_u64()?,
            results: from.take_bytes(super::LOGGED_BYTES_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(incarnation: u32, xid: u32) -> Call {
        let results = Bytes::copy_from_slice(&xid.to_be_bytes());
        Call { client: "c".into(), incarnation, xid, procedure: 1, checksum: 9, results }
    }

    #[test]
    fn a_window_knows_its_calls_and_refuses_older_ones() {
        let mut clients = Clients::default();
        assert_eq!(clients.look_up(&call(1, 1)), Known::New);
        clients.note(call(1, 1), 7);
        assert_eq!(clients.look_up(&call(1, 1)), Known::Replied { results: call(1, 1).results, record: 7 });
        assert_eq!(clients.look_up(&Call { checksum: 8, ..call(1, 1) }), Known::Another);
        clients.note(call(1, 1 + WINDOW), 8);
        assert_eq!(clients.look_up(&call(1, 1)), Known::TooOld);
        assert_eq!(clients.look_up(&call(1, 2)), Known::New, "the window still has it");
        assert_eq!(clients.look_up(&call(0, 5)), Known::TooOld);
        assert_eq!(clients.look_up(&call(2, 1)), Known::New);
        clients.note(call(2, 1), 9);
        assert_eq!(clients.look_up(&call(1, 2)), Known::TooOld, "of an earlier life");
        let again = Clients::from_records(clients.to_records());
        assert!(matches!(again.look_up(&call(2, 1)), Known::Replied { record: 0, .. }));
        assert_eq!(again.look_up(&call(1, 2)), Known::TooOld);
        assert_eq!((again.bytes, clients.bytes), (call(2, 1).bytes(), call(2, 1).bytes()));
    }

    #[test]
    fn results_of_all_clients_together_have_a_limit() {
        let mut clients = Clients::default();
        let results = Bytes::from(vec![0; super::super::LOGGED_BYTES_MAX]);
        let long = |number: usize| Call {
            client: (number / WINDOW as usize).to_string(),
            results: results.clone(),
            ..call(1, 1 + (number % WINDOW as usize) as u32)
        };
        let fitting = (0..).take_while(|&number| {
            let is_new = clients.look_up(&long(number)) == Known::New;
            if is_new {
                clients.note(long(number), 1);
            }
            is_new
        });
        let fitting = fitting.count();
        assert!(fitting * super::super::LOGGED_BYTES_MAX <= super::super::RESULTS_BYTES_MAX, "{fitting}");
        assert!(
            matches!(clients.look_up(&long(5)), Known::Replied { .. }),
            "what was executed is known still"
        );
        // Each client's window moves on where there is room.
        clients.note(Call { xid: 3 * WINDOW, ..long(0) }, 2);
        assert_eq!(clients.look_up(&Call { client: "new".into(), ..call(1, 1) }), Known::New);
    }
}
