//! Helpers that the tests share.

pub mod fuzz;
pub mod seeds;
pub mod stream;
