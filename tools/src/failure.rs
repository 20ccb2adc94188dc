//! How a subcommand fails: with a line for the user, and the exit code that goes with it.

use std::fmt;

/// Why a subcommand ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line asked for something that can't be: an option, a file, an address.
    Misused(String),
    /// What was asked for did not hold, or could not be done. An empty line means that all was said already.
    Failed(String),
    /// Ctrl-C, or a polite signal.
    Interrupted,
}

impl Failure {
    /// The exit code of [`Failure::Misused`].
    pub const MISUSED: u8 = 2;
    /// The exit code of [`Failure::Interrupted`]: 128 and the number of SIGINT, as shells have it.
    pub const INTERRUPTED: u8 = 130;

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Misused(_) => Failure::MISUSED,
            Failure::Failed(_) => 1,
            Failure::Interrupted => Failure::INTERRUPTED,
        }
    }

    /// The line for the user; empty when there is nothing left to say.
    pub fn message(&self) -> &str {
        match self {
            Failure::Misused(line) | Failure::Failed(line) => line,
            Failure::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Failure {}
