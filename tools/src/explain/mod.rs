//! Turns a capture into a ladder: one line for each frame, with who sent it to whom, what it says, and why.
//!
//! - **In**: records of a capture, ours or anybody's.
//! - **Out**: [`LadderLine`]s in the order of time. Making them fit a terminal is the caller's.
//! - **Keeps**: who owns which address, which sequence numbers a connection starts at.
//! - **Never**: trusts the capture: what etherparse can't read is said to be unreadable.
//!
//! A frame that was recorded where it was sent *and* where it was received is one line, with its cause and its
//! outcome.

mod dissect;

use dissect::{Dissected, Dissector};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tapstack::capture::{Direction, Record};
use tapstack::frame::CauseKind;

/// One frame of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderLine {
    /// Since the capture's first frame.
    pub time: Duration,
    /// Who sent it: a machine's name, or an address where no name is known.
    pub from: String,
    /// Whom it was for.
    pub to: String,
    /// Its innermost protocol that is known: `TCP`, `ARP` …
    pub protocol: &'static str,
    /// What it says: `10.0.0.2:80 > 10.0.0.1:40000 [SYN, ACK] seq 0 ack 1 win 65535 len 0`.
    pub summary: String,
    /// Why it was sent, as far as that was recorded; empty if not.
    pub cause: String,
    /// What became of it where it was received, as far as that was recorded; empty if not.
    pub outcome: String,
    /// How long it took from where it was sent to where it was received, if both were recorded.
    pub took: Option<Duration>,
    /// Whether a receiver dropped it.
    pub dropped: bool,
    /// Its packet id; 0 for none.
    pub packet_id: u64,
}

impl LadderLine {
    /// The cause, and the outcome where it says more than that the frame arrived, or was overheard: a broadcast that was
    /// meant for another.
    pub fn why(&self) -> String {
        let overheard = self.outcome.starts_with("dropped") && !self.dropped;
        let arrived =
            overheard || self.outcome.starts_with("delivered to") || self.outcome == "part of a handshake";
        match (self.cause.as_str(), self.outcome.as_str()) {
            ("", outcome) => outcome.to_owned(),
            (cause, "") => cause.to_owned(),
            (cause, _) if arrived => cause.to_owned(),
            (cause, outcome) => format!("{cause} → {outcome}"),
        }
    }
}

impl fmt::Display for LadderLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        write!(f, "{seconds}.{micros:06}  {} → {}  {} {}", self.from, self.to, self.protocol, self.summary)?;
        match self.why() {
            why if why.is_empty() => Ok(()),
            why => write!(f, "   {why}"),
        }
    }
}

/// Turns records into lines. `names` are owners of addresses that the capture doesn't name itself (it names those
/// machines that it was made at).
pub fn ladder(records: &[Record], names: &[(IpAddr, &str)]) -> Vec<LadderLine> {
    let mut records: Vec<&Record> = records.iter().collect();
    records.sort_by_key(|record| record.unix_nanos);
    let Some(first) = records.first().map(|record| record.unix_nanos) else { return Vec::new() };
    let mut dissector = Dissector::default();
    let mut names = Names::new(names);
    for record in &records {
        names.learn(record);
    }
    let mut ladder = Ladder { lines: Vec::new(), sent: HashMap::new() };
    for record in records {
        let time = Duration::from_nanos(record.unix_nanos - first);
        if record.direction == Some(Direction::In) && ladder.receive(record, time) {
            continue;
        }
        let dissected = dissector.dissect(record);
        ladder.add(record, time, dissected, &names);
    }
    ladder.lines
}

struct Ladder<'r> {
    lines: Vec<LadderLine>,
    /// Lines of frames that were sent and not yet seen to be received.
    sent: HashMap<Key<'r>, VecDeque<Sent>>,
}

/// What makes two records the same frame: a packet id that crosses the wire, or the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<'r> {
    Id(u64),
    Bytes(&'r [u8]),
}

struct Sent {
    line: usize,
    machine: String,
}

impl<'r> Ladder<'r> {
    /// Joins a received frame to the line of its sending; false if there is none.
    fn receive(&mut self, record: &'r Record, time: Duration) -> bool {
        let machine = machine_of(&record.interface);
        let at = keys(record).find_map(|key| {
            let waiting = self.sent.get_mut(&key)?;
            waiting.retain(|sent| self.lines.get(sent.line).is_some_and(|line| line.took.is_none()));
            let at = waiting.iter().position(|sent| sent.machine != machine)?;
            waiting.remove(at).map(|sent| sent.line)
        });
        let Some(line) = at.and_then(|at| self.lines.get_mut(at)) else { return false };
        line.took = Some(time.saturating_sub(line.time));
        line.outcome.clone_from(&record.comment);
        line.dropped = record.dropped;
        true
    }

    fn add(&mut self, record: &'r Record, time: Duration, dissected: Dissected, names: &Names<'_>) {
        let own = machine_of(&record.interface);
        let own = (!own.is_empty()).then(|| own.to_owned());
        let sender = names.of(dissected.source_mac, dissected.source);
        let receiver = names.of(dissected.destination_mac, dissected.destination);
        let comment = record.comment.clone();
        let (from, to, cause, outcome) = match record.direction {
            Some(Direction::Out) => (own.clone().unwrap_or(sender), receiver, comment, String::new()),
            Some(Direction::In) => {
                // What everybody gets was for this one as well, which says more than a group's name.
                let owned = dissected.destination_mac.is_some_and(|mac| names.macs.contains_key(&mac));
                let to = own.clone().filter(|_| !owned).unwrap_or(receiver);
                (sender, to, String::new(), comment)
            }
            None => (sender, receiver, comment, String::new()),
        };
        if record.direction == Some(Direction::Out) {
            for key in keys(record) {
                let sent = Sent { line: self.lines.len(), machine: own.clone().unwrap_or_default() };
                self.sent.entry(key).or_default().push_back(sent);
            }
        }
        self.lines.push(LadderLine {
            time,
            from,
            to,
            protocol: dissected.protocol,
            summary: dissected.summary,
            cause,
            outcome,
            took: None,
            dropped: record.dropped,
            packet_id: record.packet_id,
        });
    }
}

/// The keys under which a frame is looked for: bytes are what a wire keeps, unless it damages them.
fn keys(record: &Record) -> impl Iterator<Item = Key<'_>> {
    let id = (record.packet_id != 0).then_some(Key::Id(record.packet_id));
    core::iter::once(Key::Bytes(&record.bytes)).chain(id)
}

/// The machine in an interface's name `machine:interface`; empty if it names none.
fn machine_of(interface: &str) -> &str {
    interface.split_once(':').map_or("", |(machine, _)| machine)
}

/// Who owns which address.
struct Names<'a> {
    given: &'a [(IpAddr, &'a str)],
    macs: BTreeMap<[u8; 6], String>,
    learned: BTreeMap<IpAddr, String>,
}

impl<'a> Names<'a> {
    fn new(given: &'a [(IpAddr, &'a str)]) -> Names<'a> {
        Names { given, macs: BTreeMap::new(), learned: BTreeMap::new() }
    }

    /// What a machine sends has its own link address, and what it takes was sent to that. What a named owner of an IP
    /// address sends names another.
    fn learn(&mut self, record: &Record) {
        let Some((source_mac, destination_mac)) = dissect::macs(record) else { return };
        let source = dissect::source(record);
        let machine = machine_of(&record.interface);
        if record.direction == Some(Direction::Out) && !machine.is_empty() {
            self.macs.insert(source_mac, machine.to_owned());
            // What is passed on has the address of another machine.
            if let Some(source) = source.filter(|_| record.comment != CauseKind::Forwarded.to_string()) {
                self.learned.entry(source).or_insert_with(|| machine.to_owned());
            }
            return;
        }
        let taken = record.direction == Some(Direction::In) && !record.comment.starts_with("dropped");
        if taken && destination_mac[0] & 1 == 0 && !machine.is_empty() {
            self.macs.entry(destination_mac).or_insert_with(|| machine.to_owned());
        }
        if let Some(&(_, name)) = self.given.iter().find(|&&(address, _)| Some(address) == source) {
            self.macs.entry(source_mac).or_insert_with(|| name.to_owned());
        }
    }

    /// A name for an end: by its link address, which tells the next machine and not the last; else by its IP address.
    fn of(&self, mac: Option<[u8; 6]>, address: Option<IpAddr>) -> String {
        if let Some(name) = mac.and_then(|mac| self.macs.get(&mac)) {
            return name.clone();
        }
        if mac == Some([0xff; 6]) {
            return "all".to_owned();
        }
        let given =
            self.given.iter().find(|&&(known, _)| Some(known) == address).map(|&(_, name)| name.to_owned());
        given
            .or_else(|| address.and_then(|address| self.learned.get(&address).cloned()))
            .or_else(|| address.map(|address| address.to_string()))
            .or_else(|| mac.map(|mac| tapstack::stack::MacAddr(mac).to_string()))
            .unwrap_or_else(|| "?".to_owned())
    }
}

#[cfg(test)]
mod tests;
