//! The `tapstack` command: everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tapstack_cli::run(std::env::args_os())
}
