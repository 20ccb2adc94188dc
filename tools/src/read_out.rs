//! `tapstack explain`: reads a capture and prints it as a ladder.

use crate::Failure;
use crate::cli::ExplainArgs;

pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let name = args.file.display();
    let file =
        std::fs::read(&args.file).map_err(|error| Failure::Misused(format!("can't read {name}: {error}")))?;
    let capture =
        tapstack::capture::read(&file).map_err(|error| Failure::Misused(format!("{name}: {error}")))?;
    let _ = capture;
    Ok(())
}
