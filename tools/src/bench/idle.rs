//! `bench idle`: whether thousands of connections that do nothing cost the others anything, and what one takes.

use super::Settings;
use super::bulk::{self, Way};
use super::memory::{self, Pair};
use super::ours::{Drive, OurServer};
use super::rounds::{ContenderId, Rounds};
use super::stage;
use super::table::{Better, Metric};
use super::{connections, latency, udp};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tapstack::device::TapOptions;

const HELD: &[Metric] = &[
    Metric { name: "memory", unit: "B", better: Better::Lower },
    Metric { name: "answered", unit: "connections", better: Better::Higher },
];

/// Idle connections over a TAP, with the keys of what is measured beside them, in the order of [`measured`].
const BESIDE: [(usize, [&str; 6]); 2] = [
    (
        1_000,
        [
            "idle.1000.bulk.offload.send",
            "idle.1000.bulk.offload.receive",
            "idle.1000.latency.block.1",
            "idle.1000.connections.1",
            "idle.1000.udp.send",
            "idle.1000.udp.receive",
        ],
    ),
    (
        10_000,
        [
            "idle.10000.bulk.offload.send",
            "idle.10000.bulk.offload.receive",
            "idle.10000.latency.block.1",
            "idle.10000.connections.1",
            "idle.10000.udp.send",
            "idle.10000.udp.receive",
        ],
    ),
];

/// Idle connections in memory whose memory is measured, and what one may take, in bytes.
const HELD_COUNT: usize = 100_000;
const HELD_BYTES_MAX: f64 = 2048.0;

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    add_tap(rounds, settings)?;
    if rounds.wants("idle.10000.memory.transfer") {
        let mut transfer = |idle: usize| {
            rounds.contender(format!("memory beside {idle} idle"), memory::METRICS, move || {
                let mut pair = Pair::new(settings.seed)?;
                let _held = pair.open_many(idle)?;
                pair.transfer(settings.duration).map(|rate| vec![rate])
            })
        };
        let (alone, beside) = (transfer(0), transfer(10_000));
        rounds.compare("idle.10000.memory.transfer", ("tapstack", beside), ("tapstack-alone", alone));
    }
    add_held(rounds, settings);
    Ok(())
}

fn add_held(rounds: &mut Rounds<'_>, settings: Settings) {
    // Once: a second round would find the memory of the first one free, and not grow by what it takes.
    let mut measured = None;
    let held = rounds.contender("memory of 100000 idle", HELD, move || match &measured {
        Some(figures) => Ok(Vec::clone(figures)),
        None => hold(settings.seed).map(|figures| measured.insert(figures).clone()),
    });
    let bound = rounds.contender("what they may take", HELD, || Ok(vec![HELD_BYTES_MAX, HELD_COUNT as f64]));
    rounds.compare("idle.100000.memory", ("tapstack", held), ("bound", bound));
}

fn add_tap(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let server = |idle: usize| -> io::Result<Rc<RefCell<OurServer>>> {
        let stage = stage::tap(TapOptions { offload: true, ..TapOptions::default() })?;
        let mut server = OurServer::new(stage, Drive::Loop)?;
        server.hold_idle(idle)?;
        Ok(Rc::new(RefCell::new(server)))
    };
    if !BESIDE.iter().any(|(_, keys)| keys.iter().any(|key| rounds.wants(key))) {
        return Ok(());
    }
    let alone = server(0)?;
    let references = measured(rounds, settings, "no idle connections", &alone);
    for (count, keys) in BESIDE {
        if !keys.iter().any(|key| rounds.wants(key)) {
            continue;
        }
        let subjects = measured(rounds, settings, &format!("{count} idle connections"), &server(count)?);
        for ((key, subject), reference) in keys.into_iter().zip(subjects).zip(references) {
            rounds.compare(key, ("tapstack", subject), ("tapstack-alone", reference));
        }
    }
    Ok(())
}

/// What is measured of one server, whatever it holds.
fn measured(
    rounds: &mut Rounds<'_>,
    settings: Settings,
    name: &str,
    server: &Rc<RefCell<OurServer>>,
) -> [ContenderId; 6] {
    let measure = |of: fn(&mut OurServer, Settings) -> io::Result<Vec<f64>>| {
        let server = Rc::clone(server);
        move || of(&mut server.borrow_mut(), settings)
    };
    let mut add = |what: &str, metrics, of| rounds.contender(format!("{what}, {name}"), metrics, measure(of));
    [
        add("send", bulk::METRICS, |server, settings| bulk::stream(server, Way::Send, settings)),
        add("receive", bulk::METRICS, |server, settings| bulk::stream(server, Way::Receive, settings)),
        add("latency", latency::METRICS, |server, settings| latency::round_trips(server, 1, false, settings)),
        add("connections", connections::METRICS, |server, settings| {
            connections::open(server, 1, false, settings)
        }),
        add("datagrams out", udp::METRICS, |server, settings| udp::datagrams(server, Way::Send, settings)),
        add("datagrams in", udp::METRICS, |server, settings| udp::datagrams(server, Way::Receive, settings)),
    ]
}

/// Holds idle connections, and has all answer in the end: the resident memory of one end of one, and how many did.
fn hold(seed: u64) -> io::Result<Vec<f64>> {
    let mut pair = Pair::new(seed)?;
    let before = resident_bytes()?;
    let held = pair.open_many(HELD_COUNT)?;
    let grown = resident_bytes()?.saturating_sub(before) as f64;
    let answered = pair.answers(&held)?;
    // Both ends of each are in this process.
    Ok(vec![grown / (2 * held.len()) as f64, answered as f64])
}

fn resident_bytes() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or(io::ErrorKind::InvalidData)? * rustix::param::page_size() as u64)
}
