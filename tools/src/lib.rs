//! What the `tapstack` command is made of.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod explain;
#[cfg(target_os = "linux")]
pub mod testbed;
