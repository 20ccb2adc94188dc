//! Interfaces as their users see them: each in a module of its own, made by the build script.
#![forbid(unsafe_code)]

/// A bank.
pub mod bank {
    include!(concat!(env!("OUT_DIR"), "/bank.rs"));
}

/// Every construct of the language.
pub mod language {
    include!(concat!(env!("OUT_DIR"), "/language.rs"));
}

/// Types only, with strings and data as bytes.
pub mod types {
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}
