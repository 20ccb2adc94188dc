//! TCP's tests: scripts of segments, calls and times, by subject.

mod attacks;
mod conformance;
mod handshake;
mod requirements;
mod script;
mod segment_arrives;
mod states;
mod transfer;
mod urgent;
mod windows;
