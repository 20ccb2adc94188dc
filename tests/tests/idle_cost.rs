//! What 10,000 idle connections cost a transfer beside them, counted in instructions by callgrind: what else the machine
//! does plays no part in it.
//!
//! `cargo test --release -p tapstack-tests --test idle_cost -- --nocapture` prints the counts and their ratio.

use libtest_mimic::Arguments;
use std::process::Command;
use tapstack_tests::memory_pair::{CHUNK, Ends, Pair};
use tapstack_tests::skips::{Outcome, ensure, program, test};

const IDLE: usize = 10_000;
/// How much more the transfer may cost beside them.
const RATIO_MAX: f64 = 1.05;
const WARM_UP: u64 = 8 << 20;
const MEASURED: u64 = 16 << 20;
/// Has this program do the transfer beside so many idle connections: what callgrind runs.
const TRANSFER: &str = "--transfer-beside";

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(TRANSFER) {
        let idle = args.next().and_then(|count| count.parse().ok()).expect("a number of connections");
        return transfer_beside(idle);
    }
    let tests = vec![test("idle_connections_cost_a_transfer_nothing", [program("valgrind")], compare)];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn compare() -> Outcome {
    let (alone, beside) = (instructions(0)?, instructions(IDLE)?);
    let ratio = beside as f64 / alone as f64;
    println!("{alone} instructions alone, {beside} beside {IDLE} idle connections: {ratio:.4}");
    ensure(alone > MEASURED / 100, || format!("{alone} instructions can't have been all"))?;
    ensure(ratio <= RATIO_MAX, || format!("{ratio:.4} times the instructions beside {IDLE} idle connections"))
}

/// Instructions of the measured part of a transfer.
fn instructions(idle: usize) -> Result<u64, libtest_mimic::Failed> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured_transfer*"])
        .arg(std::env::current_exe()?)
        .args([TRANSFER, &idle.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), || format!("valgrind failed: {text}"))?;
    let count = text.lines().find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    count.ok_or_else(|| format!("callgrind has counted nothing: {text}").into())
}

fn transfer_beside(idle: usize) {
    let mut pair = Pair::new().unwrap();
    let _held = pair.open(81, idle).unwrap();
    let ends = pair.open(80, 1).unwrap()[0];
    let (chunk, mut buffer) = (vec![7; CHUNK], vec![0; CHUNK]);
    pair.transfer(ends, WARM_UP, &chunk, &mut buffer).unwrap();
    measured_transfer(&mut pair, ends, &chunk, &mut buffer);
}

/// What callgrind counts.
#[inline(never)]
fn measured_transfer(pair: &mut Pair, ends: Ends, chunk: &[u8], buffer: &mut [u8]) {
    pair.transfer(ends, MEASURED, chunk, buffer).unwrap();
}
