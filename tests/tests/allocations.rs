//! In steady state nothing is allocated for a segment: neither to send it, nor to carry or receive it.
//!
//! The allocator counts the whole process's bytes, so this is one test in a program of its own.

use cap::Cap;
use std::alloc::System;
use tapstack_tests::memory_pair::{CHUNK, Pair};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that may be allocated for 1,000 segments: fewer than for one of them, and less than a byte each.
const BYTES_PER_1000_MAX: u64 = 500;
/// What makes the buffers as large as they will be, and what is measured, in bytes.
const WARM_UP: u64 = 64 << 20;
const MEASURED: u64 = 64 << 20;

#[test]
fn a_transfer_in_memory_allocates_nothing_per_segment() {
    let mut pair = Pair::new().unwrap();
    let ends = pair.open(80, 1).unwrap()[0];
    let (chunk, mut buffer) = (vec![7; CHUNK], vec![0; CHUNK]);
    pair.transfer(ends, WARM_UP, &chunk, &mut buffer).unwrap();

    let (frames, before) = (pair.frames(), ALLOCATOR.total_allocated());
    pair.transfer(ends, MEASURED, &chunk, &mut buffer).unwrap();
    let bytes = (ALLOCATOR.total_allocated() - before) as u64;
    let segments = pair.frames() - frames;

    println!("{bytes} bytes were allocated for {segments} segments");
    assert!(segments >= MEASURED / 1460, "{segments} segments can't have carried it all");
    assert!(bytes * 1000 <= BYTES_PER_1000_MAX * segments, "{bytes} bytes for {segments} segments");
}
