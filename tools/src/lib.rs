//! What the `tapstack` command is made of.

pub mod explain;
#[cfg(target_os = "linux")]
pub mod testbed;
