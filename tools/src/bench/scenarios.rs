//! Every scenario that `tapstack bench` can measure, by its dotted key: the one place where they are listed.

use crate::cli::BenchPart;
use crate::ui;

/// One thing that is measured.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) key: &'static str,
    pub(super) part: BenchPart,
    pub(super) what: &'static str,
}

/// The scenario of a key.
///
/// # Panics
/// If there is none: the parts name only what is listed here.
pub(super) fn find(key: &str) -> &'static Scenario {
    match SCENARIOS.iter().find(|scenario| scenario.key == key) {
        Some(scenario) => scenario,
        None => panic!("no scenario is called {key}"),
    }
}

/// All of them for the help: a key and what is measured, below each other.
pub(crate) fn list() -> String {
    let mut text = String::from("Scenarios, by their keys:");
    for scenario in SCENARIOS {
        let what = ui::wrap(scenario.what, WHAT_WIDTH).join(&format!("\n{:WHAT_AT$}", ""));
        let key = format!("  {}", scenario.key);
        text.push_str(&format!("\n{key:<KEY_WIDTH$}  {what}"));
    }
    text
}

/// Columns of the keys, and what is left of 79 beside them.
const KEY_WIDTH: usize = 34;
const WHAT_AT: usize = KEY_WIDTH + 2;
const WHAT_WIDTH: usize = 79 - WHAT_AT;

const fn scenario(part: BenchPart, key: &'static str, what: &'static str) -> Scenario {
    Scenario { key, part, what }
}

use BenchPart::{Bulk, Connections, Idle, Latency, Loss, Mailbox, Memory, Rpc, Udp};

/// All of them, in the order in which they are shown.
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(Bulk, "bulk.offload.send", "one stream out, super-frames, application on the loop's thread"),
    scenario(Bulk, "bulk.offload.receive", "one stream in, super-frames, application on the loop's thread"),
    scenario(
        Bulk,
        "bulk.offload.send.threaded",
        "one stream out, super-frames, application on its own thread",
    ),
    scenario(
        Bulk,
        "bulk.offload.receive.threaded",
        "one stream in, super-frames, application on its own thread",
    ),
    scenario(Bulk, "bulk.plain.send", "one stream out in frames of 1500 bytes, complete checksums"),
    scenario(Bulk, "bulk.plain.receive", "one stream in in frames of 1500 bytes"),
    scenario(Bulk, "bulk.plain.send.threaded", "the same out, application on its own thread"),
    scenario(Bulk, "bulk.plain.receive.threaded", "the same in, application on its own thread"),
    scenario(
        Bulk,
        "bulk.napi.send",
        "one stream out in frames of 1500 bytes, the kernel's side on threaded NAPI",
    ),
    scenario(Bulk, "bulk.napi.receive", "one stream in in frames of 1500 bytes, with threaded NAPI"),
    scenario(Udp, "udp.send", "datagrams of 1400 bytes out, checksums left to the other side"),
    scenario(Udp, "udp.receive", "datagrams of 1400 bytes in, those that arrive"),
    scenario(Udp, "udp.plain.send", "datagrams of 1400 bytes out, complete checksums"),
    scenario(Udp, "udp.plain.receive", "datagrams of 1400 bytes in, complete checksums"),
    scenario(
        Latency,
        "latency.block.1",
        "1-byte round trips, each side sleeps on a core of its own until it is woken",
    ),
    scenario(
        Latency,
        "latency.block.1024",
        "1 KiB round trips, each side sleeps on a core of its own until it is woken",
    ),
    scenario(Latency, "latency.threaded.1", "1-byte round trips, application on its own thread"),
    scenario(Latency, "latency.threaded.1024", "1 KiB round trips, application on its own thread"),
    scenario(Latency, "latency.busy.1", "1-byte round trips, both sides poll without sleeping"),
    scenario(Latency, "latency.busy.1024", "1 KiB round trips, both sides poll without sleeping"),
    scenario(
        Connections,
        "connections.1",
        "connections a second, one client, each side sleeps on a core of its own",
    ),
    scenario(Connections, "connections.32", "connections a second, 32 clients at once, each side sleeps"),
    scenario(Connections, "connections.busy.1", "connections a second, one client, the server polls"),
    scenario(
        Connections,
        "connections.busy.32",
        "connections a second, 32 clients at once, the server polls",
    ),
    scenario(Idle, "idle.1000.bulk.offload.send", "one stream out beside 1,000 idle connections"),
    scenario(Idle, "idle.1000.bulk.offload.receive", "one stream in beside 1,000 idle connections"),
    scenario(Idle, "idle.1000.latency.block.1", "1-byte round trips beside 1,000 idle connections"),
    scenario(Idle, "idle.1000.connections.1", "connections a second beside 1,000 idle connections"),
    scenario(Idle, "idle.1000.udp.send", "datagrams out beside 1,000 idle connections"),
    scenario(Idle, "idle.1000.udp.receive", "datagrams in beside 1,000 idle connections"),
    scenario(Idle, "idle.10000.bulk.offload.send", "one stream out beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.bulk.offload.receive", "one stream in beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.latency.block.1", "1-byte round trips beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.connections.1", "connections a second beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.udp.send", "datagrams out beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.udp.receive", "datagrams in beside 10,000 idle connections"),
    scenario(Idle, "idle.10000.memory.transfer", "the transfer in memory beside 10,000 idle connections"),
    scenario(Idle, "idle.100000.memory", "resident memory of an idle connection, of 100,000 that all answer"),
    scenario(Memory, "memory.transfer", "two machines in memory on one thread, MTU 1500, with checksums"),
    scenario(
        Mailbox,
        "mailbox.volatile.tcp",
        "64-byte messages through a box in memory, all acknowledged, over TCP",
    ),
    scenario(Mailbox, "mailbox.volatile.udp", "the same over UDP"),
    scenario(
        Mailbox,
        "mailbox.durable.tcp",
        "the same through a box on disk, synced before it is acknowledged",
    ),
    scenario(Rpc, "rpc.null.udp", "null calls of libtirpc's client by UDP, each side sleeps"),
    scenario(Rpc, "rpc.null.tcp", "the same by TCP"),
    scenario(Loss, "loss.0.send", "one stream out through the relay, nothing lost"),
    scenario(Loss, "loss.0.receive", "one stream in through the relay, nothing lost"),
    scenario(Loss, "loss.0p1.send", "0.1 % of the data lost on its way out"),
    scenario(Loss, "loss.0p1.receive", "0.1 % of the data lost on its way in"),
    scenario(Loss, "loss.1.send", "1 % of the data lost on its way out"),
    scenario(Loss, "loss.1.receive", "1 % of the data lost on its way in"),
    scenario(Loss, "loss.3.send", "3 % of the data lost on its way out"),
    scenario(Loss, "loss.3.receive", "3 % of the data lost on its way in"),
    scenario(Loss, "loss.0.5ms.send", "out, 5 ms each way and 500 Mbit/s, nothing lost on purpose"),
    scenario(Loss, "loss.0.5ms.receive", "in, 5 ms each way and 500 Mbit/s, nothing lost on purpose"),
    scenario(Loss, "loss.0p1.5ms.send", "out, 5 ms each way and 500 Mbit/s, 0.1 % lost"),
    scenario(Loss, "loss.0p1.5ms.receive", "in, 5 ms each way and 500 Mbit/s, 0.1 % lost"),
    scenario(Loss, "loss.1.5ms.send", "out, 5 ms each way and 500 Mbit/s, 1 % lost"),
    scenario(Loss, "loss.1.5ms.receive", "in, 5 ms each way and 500 Mbit/s, 1 % lost"),
    scenario(Loss, "loss.3.5ms.send", "out, 5 ms each way and 500 Mbit/s, 3 % lost"),
    scenario(Loss, "loss.3.5ms.receive", "in, 5 ms each way and 500 Mbit/s, 3 % lost"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn keys_are_unique_and_begin_with_their_part() {
        for (i, scenario) in SCENARIOS.iter().enumerate() {
            let part = scenario.part.to_possible_value().unwrap();
            assert!(scenario.key.starts_with(&format!("{}.", part.get_name())), "{scenario:?}");
            assert!(SCENARIOS[..i].iter().all(|other| other.key != scenario.key), "{scenario:?} twice");
            assert!(!scenario.what.is_empty());
        }
    }

    #[test]
    fn the_list_names_all_and_fits_a_terminal() {
        let list = list();
        assert!(SCENARIOS.iter().all(|scenario| list.contains(&format!("\n  {} ", scenario.key))));
        assert!(list.lines().all(|line| line.len() < 80), "{list}");
    }

    #[test]
    fn every_part_has_a_scenario() {
        for part in BenchPart::value_variants() {
            assert!(SCENARIOS.iter().any(|scenario| scenario.part == *part), "{part:?}");
        }
    }
}
