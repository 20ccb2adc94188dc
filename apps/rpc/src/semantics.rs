//! How often a call is executed when messages are lost and machines crash: the choice that client and server make.

use std::fmt;

/// What a call promises. The client and the server each do a part of it, so both are told.
///
/// | | the client | the server |
/// |---|---|---|
/// | maybe | sends once | executes what arrives |
/// | at least once | sends again until it has a reply | executes what arrives |
/// | at most once | sends again, within a session | executes a call once, and *replies again* to its duplicates |
/// | exactly once | sends again, also to a server that has crashed and is back | logs the effects together with the reply |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Semantics {
    /// Nothing: a call is executed, or not; the network may even duplicate it.
    Maybe,
    /// A call that returned was executed, perhaps several times; right for idempotent procedures. One that failed may
    /// have been executed, too.
    AtLeastOnce,
    /// A call was executed once if it returned, and at most once if it failed; server crashes included, where the
    /// client has a session (see [`crate::client`]).
    #[default]
    AtMostOnce,
    /// A call that returned was executed exactly once, although the server crashed meanwhile as often as it did; one
    /// that failed (since its deadline passed or it was cancelled) at most once.
    ExactlyOnce,
}

impl Semantics {
    /// All of them, the weakest first.
    pub const ALL: [Semantics; 4] =
        [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];

    /// Whether a client sends a call again that isn't answered.
    pub fn retransmits(self) -> bool {
        self != Semantics::Maybe
    }
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Semantics::Maybe => "maybe",
            Semantics::AtLeastOnce => "at least once",
            Semantics::AtMostOnce => "at most once",
            Semantics::ExactlyOnce => "exactly once",
        })
    }
}
