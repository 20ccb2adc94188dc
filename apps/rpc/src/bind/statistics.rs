//! What was asked of rpcbind, version by version, as GETSTAT tells it (RFC 1833 section 2.1, `rpcb_stat_byvers`).

use super::TEXT_BYTES_MAX;
use crate::service::Transport;
use std::collections::BTreeMap;
use tapstack_xdr::{Encode, Encoder, Error};

/// Procedures that have a counter: RPCBSTAT_HIGHPROC.
pub(super) const PROCEDURES: usize = 13;
/// Programs' versions whose look-ups are counted, for each version of rpcbind: so many fit a datagram's reply.
pub(super) const LOOKUPS_MAX: usize = 64;
/// Procedures whose forwarding is counted, likewise.
pub(super) const FORWARDS_MAX: usize = 16;

/// The counters of the versions 2, 3 and 4.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    versions: [Version; 3],
}

#[derive(Debug, Default)]
struct Version {
    calls: [u32; PROCEDURES],
    set: u32,
    unset: u32,
    lookups: BTreeMap<(u32, u32, Transport), Tally>,
    forwards: BTreeMap<Forward, Tally>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    successes: u32,
    failures: u32,
}

/// A call that rpcbind was to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Forward {
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    /// Whether errors were to be answered: INDIRECT.
    pub(super) indirect: bool,
    pub(super) transport: Transport,
}

impl Statistics {
    fn version(&mut self, version: u32) -> Option<&mut Version> {
        self.versions.get_mut(usize::try_from(version.checked_sub(2)?).ok()?)
    }

    /// A procedure was called.
    pub(super) fn called(&mut self, version: u32, procedure: u32) {
        let counter = self.version(version).and_then(|of| of.calls.get_mut(procedure as usize));
        counter.into_iter().for_each(one_more);
    }

    /// Something was registered.
    pub(super) fn set(&mut self, version: u32) {
        self.version(version).map(|of| &mut of.set).into_iter().for_each(one_more);
    }

    /// Something was taken away.
    pub(super) fn unset(&mut self, version: u32) {
        self.version(version).map(|of| &mut of.unset).into_iter().for_each(one_more);
    }

    /// Somebody asked where a program's version is.
    pub(super) fn looked_up(&mut self, version: u32, what: (u32, u32, Transport), found: bool) {
        if let Some(of) = self.version(version) {
            tally(&mut of.lookups, LOOKUPS_MAX, what, found);
        }
    }

    /// Somebody wanted a call passed on, which was refused.
    pub(super) fn refused(&mut self, version: u32, what: Forward) {
        if let Some(of) = self.version(version) {
            tally(&mut of.forwards, FORWARDS_MAX, what, false);
        }
    }
}

/// Counts one of so many; further ones are not told apart, and not counted.
fn tally<K: Ord>(of: &mut BTreeMap<K, Tally>, kept_max: usize, what: K, success: bool) {
    if of.len() >= kept_max && !of.contains_key(&what) {
        return;
    }
    let tally = of.entry(what).or_default();
    one_more(if success { &mut tally.successes } else { &mut tally.failures });
}

fn one_more(counter: &mut u32) {
    // An `int` on the wire.
    *counter = counter.saturating_add(1).min(i32::MAX as u32);
}

impl Encode for Statistics {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_array_fixed(&self.versions, |version, to| version.encode(to))
    }
}

impl Encode for Version {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        self.calls.encode(to)?;
        to.put_u32(self.set)?;
        to.put_u32(self.unset)?;
        let lookups: Vec<_> = self.lookups.iter().collect();
        to.put_list(&lookups, |((program, version, transport), tally), to| {
            [*program, *version, tally.successes, tally.failures].encode(to)?;
            to.put_string(&transport.to_string(), TEXT_BYTES_MAX)
        })?;
        let forwards: Vec<_> = self.forwards.iter().collect();
        to.put_list(&forwards, |(what, tally), to| {
            let Forward { program, version, procedure, indirect, transport } = what;
            let numbers = [*program, *version, *procedure, tally.successes, tally.failures];
            numbers.encode(to)?;
            to.put_u32((*indirect).into())?;
            to.put_string(&transport.to_string(), TEXT_BYTES_MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerConfig;

    #[test]
    fn however_much_is_asked_it_fits_a_datagram() {
        let mut statistics = Statistics::default();
        for version in 0..6 {
            for number in 0..1_000 {
                statistics.called(version, number);
                statistics.looked_up(version, (number, 1, Transport::Tcp), number % 2 == 0);
                let transport = Transport::Udp;
                let what = Forward { program: number, version: 1, procedure: 0, indirect: true, transport };
                statistics.refused(version, what);
            }
        }
        let udp = ServerConfig::default().udp_result_bytes_max;
        let bytes = tapstack_xdr::to_bytes(&statistics, udp).unwrap();
        assert_eq!(bytes[..8], [0, 0, 0, 1, 0, 0, 0, 1], "each procedure once");
        let lookup = 4 + 16 + 8;
        let forward = 4 + 24 + 8;
        assert_eq!(bytes.len(), 3 * (60 + LOOKUPS_MAX * lookup + 4 + FORWARDS_MAX * forward + 4));
    }
}
