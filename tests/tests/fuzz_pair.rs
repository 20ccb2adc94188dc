//! Plays random sequences of frames, calls and times on a pair of hosts: see `tapstack_tests::fuzz`.
//!
//! For two seconds, or for as many as `TAPSTACK_FUZZ_SECONDS` says. A sequence that fails is told by its number;
//! `TAPSTACK_FUZZ_CASE` plays it again.

use std::time::{Duration, Instant};
use tapstack_tests::fuzz::{Played, play};

/// The bytes of a case: from few decisions to many.
fn case(number: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(number);
    let mut bytes = vec![0; rng.usize(16..4_096)];
    rng.fill(&mut bytes);
    // Default settings in half of the cases: wild ones would hide what they break.
    if rng.bool() {
        bytes[..4].fill(0);
    }
    bytes
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn random_sequences_leave_nothing_behind() {
    if let Some(number) = number("TAPSTACK_FUZZ_CASE") {
        println!("{:?}", play(&case(number)));
        return;
    }
    let until = Instant::now() + Duration::from_secs(number("TAPSTACK_FUZZ_SECONDS").unwrap_or(2));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let start = number("TAPSTACK_FUZZ_START").unwrap_or(0);
    let play_some = |thread: u64| {
        let mut all = Vec::new();
        for number in (start + thread..).step_by(threads as usize) {
            if Instant::now() >= until {
                break;
            }
            match std::panic::catch_unwind(|| play(&case(number))) {
                Ok(played) => all.push(played),
                Err(panic) => {
                    eprintln!("case {number} failed; play it again with TAPSTACK_FUZZ_CASE={number}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
        all
    };
    let played: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || play_some(thread))).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|all| all.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let sum = |what: fn(&Played) -> u64| played.iter().map(what).sum::<u64>();
    let (opens, segments) = (sum(|p| p.opens), sum(|p| p.segments));
    let (retransmits, challenges) = (sum(|p| p.retransmits), sum(|p| p.challenges));
    println!(
        "{} sequences: {opens} handshakes, {segments} segments, {retransmits} sent again, {challenges} challenge ACKs",
        played.len()
    );
    let count = played.len() as u64;
    assert!(count > 10, "only {count} sequences were played");
    assert!(
        opens > count && segments > 20 * count && retransmits > count && challenges > 0,
        "they reach too little"
    );
}
