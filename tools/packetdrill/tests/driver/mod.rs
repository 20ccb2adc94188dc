//! Plays packetdrill: loads the library as packetdrill does, and runs scripts of calls, packets and times against it.
// Each of the tests uses a part of it, and it is all test code.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod library;
pub mod packet;
pub mod script;
