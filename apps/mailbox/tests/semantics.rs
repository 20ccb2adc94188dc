//! What each semantics promises, by seed: over wires that lose, copy and reorder, with a host that crashes.
//!
//! `TAPSTACK_MESSAGES=1000000 cargo test --release -p tapstack-mailbox --test semantics` sends a million messages for
//! each.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::sim::Wire;
use tapstack::time::Duration;
use tapstack_mailbox::experiment::{Outcome, Trial, run};
use tapstack_mailbox::{Semantics, Transport};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Messages of all seeds of a property together, about.
fn messages() -> u32 {
    number("TAPSTACK_MESSAGES", 12_000) as u32
}

/// 5 % of the frames are lost, as many come twice, as many are overtaken.
fn rough() -> Wire {
    Wire {
        delay: Duration::from_micros(300),
        loss: 0.05,
        duplicate: 0.05,
        reorder: 0.05,
        reorder_delay: ms(3),
        ..Wire::default()
    }
}

/// Runs trials of all kinds, and hands each outcome to `check`.
fn trials(semantics: Semantics, durable: bool, crashes: bool, check: impl Fn(&Trial, Outcome)) {
    const SEEDS: u64 = 6;
    let first = number("TAPSTACK_SEED", 0);
    let mut all = Outcome::default();
    for seed in first..first + SEEDS {
        let trial = Trial {
            transport: if seed % 3 == 2 { Transport::Tcp } else { Transport::Udp },
            messages: messages() / SEEDS as u32,
            readers: 1 + usize::from(seed % 2 == 1),
            wire: rough(),
            burst: 16,
            pause: ms(5),
            up: crashes.then_some(ms(200)),
            down: ms(5 + 40 * (seed % 4)),
            ..Trial::new(seed, semantics, durable)
        };
        let outcome = run(&trial, None);
        println!("{semantics}, durable {durable}, crashes {crashes}, seed {seed}: {outcome:?}");
        let checked = catch_unwind(AssertUnwindSafe(|| {
            assert_eq!(outcome.sent, u64::from(trial.messages));
            check(&trial, outcome);
        }));
        if let Err(panic) = checked {
            let file = capture(&trial);
            eprintln!("{outcome:?}\nseed {seed}; its frames are in {}", file.display());
            resume_unwind(panic);
        }
        all.crashes += outcome.crashes;
        all.copies += outcome.copies;
        all.delivered += outcome.delivered;
    }
    assert!(!crashes || all.crashes >= SEEDS, "{all:?}");
    // Something came at all: a check of nothing holds always.
    assert!(all.delivered * 10 > u64::from(messages()), "{all:?}");
}

/// Runs a trial again, and writes its frames to a file.
fn capture(trial: &Trial) -> PathBuf {
    let capture = Capture::new(CaptureOptions { buffer_bytes_max: 256 << 20, ..CaptureOptions::default() });
    run(trial, Some(&capture));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("semantics-{}.pcapng", trial.seed));
    std::fs::write(&file, capture.take()).unwrap();
    file
}

#[test]
fn at_most_once_is_never_there_twice() {
    for (durable, crashes) in [(false, false), (false, true), (true, true)] {
        trials(Semantics::AtMostOnce, durable, crashes, |trial, outcome| {
            assert_eq!((outcome.copies, outcome.overtaken), (0, 0), "{trial:?}");
        });
    }
}

fn at_least_once(durable: bool, crashes: bool) {
    trials(Semantics::AtLeastOnce, durable, crashes, |trial, outcome| {
        assert_eq!((outcome.lost, outcome.failed, outcome.overtaken), (0, 0, 0), "{trial:?}");
        assert_eq!(outcome.acknowledged, outcome.sent, "{trial:?}");
    });
}

#[test]
fn at_least_once_loses_nothing() {
    at_least_once(false, false);
    at_least_once(true, false);
}

#[test]
fn at_least_once_loses_nothing_in_crashes() {
    at_least_once(true, true);
}

fn effectively_once(durable: bool, crashes: bool) {
    trials(Semantics::EffectivelyOnce, durable, crashes, |trial, outcome| {
        assert_eq!((outcome.copies, outcome.lost, outcome.overtaken), (0, 0, 0), "{trial:?}");
        assert_eq!((outcome.acknowledged, outcome.delivered), (outcome.sent, outcome.sent), "{trial:?}");
    });
}

#[test]
fn effectively_once_is_there_once() {
    effectively_once(false, false);
    effectively_once(true, false);
}

#[test]
fn effectively_once_is_there_once_in_crashes() {
    effectively_once(true, true);
}

#[test]
fn volatile_boxes_lose_what_they_had_and_effectively_once_says_what_is_in_doubt() {
    trials(Semantics::EffectivelyOnce, false, true, |trial, outcome| {
        assert_eq!((outcome.copies, outcome.overtaken), (0, 0), "{trial:?}");
        assert_eq!(outcome.acknowledged + outcome.in_doubt + outcome.failed, outcome.sent, "{trial:?}");
    });
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let trial = Trial {
        wire: rough(),
        up: Some(ms(50)),
        ..Trial::new(number("TAPSTACK_SEED", 7), Semantics::AtLeastOnce, true)
    };
    assert_eq!(run(&trial, None), run(&trial, None));
}
