//! Running a property over many seeds, so that a failing one can be run again by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs `property` for the seed in `TAPSTACK_SEED`, or for as many seeds as `TAPSTACK_SEEDS` says (or `default`), on
/// as many threads as there are processors. The results come in the order of the seeds.
///
/// # Panics
/// When the property panics for a seed. It says which, and how to run that one again. Before that, it calls
/// `explain` with the seed, which may run it again with a capture.
pub fn over_seeds<T: Send>(
    default: u64,
    property: impl Fn(u64) -> T + Sync,
    explain: impl Fn(u64) + Sync,
) -> Vec<T> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
    let seeds = match number("TAPSTACK_SEED") {
        Some(seed) => {
            let seed = seed.expect("TAPSTACK_SEED is a number");
            seed..seed + 1
        }
        None => {
            0..number("TAPSTACK_SEEDS").map_or(default, |seeds| seeds.expect("TAPSTACK_SEEDS is a number"))
        }
    };
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let results = Mutex::new(Vec::new());
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| property(seed))) {
                Ok(result) => results.lock().expect("nothing panics under this lock").push((seed, result)),
                Err(panic) => {
                    failed.store(true, Ordering::Relaxed);
                    eprintln!("seed {seed} failed; run it again with TAPSTACK_SEED={seed}");
                    explain(seed);
                    std::panic::resume_unwind(panic);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let mut results = results.into_inner().expect("nothing panics under this lock");
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}
