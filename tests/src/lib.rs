//! Helpers that the tests share.

pub mod seeds;
pub mod stream;
