//! Plays packetdrill: loads the library as packetdrill does, and runs scripts of calls, packets and times against it.

pub mod library;
pub mod packet;
pub mod script;
