//! Helpers that the tests share.

pub mod block_on;
pub mod dissect;
pub mod fuzz;
pub mod http;
pub mod memory_pair;
#[cfg(target_os = "linux")]
pub mod rig;
pub mod seeds;
pub mod skips;
pub mod stream;
pub mod tshark;
