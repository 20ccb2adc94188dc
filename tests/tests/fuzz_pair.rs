//! Plays random sequences of frames, calls and times on a pair of hosts: see `tapstack_tests::fuzz`.
//!
//! For two seconds, or for as many as `TAPSTACK_FUZZ_SECONDS` says. A sequence that fails is told by its number;
//! `TAPSTACK_FUZZ_CASE` plays it again.

use std::time::{Duration, Instant};
use tapstack_tests::fuzz::play;

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
        return play(&case(number));
    }
    let until = Instant::now() + Duration::from_secs(number("TAPSTACK_FUZZ_SECONDS").unwrap_or(2));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let start = number("TAPSTACK_FUZZ_START").unwrap_or(0);
    let play_some = |thread: u64| {
        let mut count = 0;
        for number in (start + thread..).step_by(threads as usize) {
            if Instant::now() >= until {
                break;
            }
            count += 1;
            if let Err(panic) = std::panic::catch_unwind(|| play(&case(number))) {
                eprintln!("case {number} failed; play it again with TAPSTACK_FUZZ_CASE={number}");
                std::panic::resume_unwind(panic);
            }
        }
        count
    };
    let count: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || play_some(thread))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .sum()
    });
    println!("{count} sequences");
    assert!(count > 10, "only {count} sequences were played");
}
