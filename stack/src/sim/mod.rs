//! The simulated world (stub).
