//! TCP's tests: scripts of segments, calls and times, by subject.

mod handshake;
mod script;
mod segment_arrives;
mod states;
mod transfer;
