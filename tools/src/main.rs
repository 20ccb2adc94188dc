//! The `tapstack` command.
fn main() {}
