//! Tests of the sender through its door: scripts, properties, a link.

mod congestion;
mod link;
mod properties;
mod recovery;
mod script;
mod spurious;
mod timers;
