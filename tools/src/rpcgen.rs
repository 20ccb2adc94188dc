//! `tapstack rpcgen`: Rust from an ONC RPC interface file.

use crate::Failure;
use crate::ui;
use clap::Args;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tapstack_rpcgen::Generator;

/// Shown below the help.
pub(crate) const RPCGEN_EXAMPLES: &str = "\
Examples:
  tapstack rpcgen bank.x                       all stubs, on standard output
  tapstack rpcgen bank.x -o bank.rs --client   types and client stubs
  tapstack rpcgen bank.x --exactly-once        servers that survive crashes
  tapstack rpcgen mount.x --types              types and their coding only
  tapstack rpcgen nis.x -I include -D OLD=1    where to look, what is defined

Without --client, --server, --exactly-once or --types there are client stubs
and server traits. The code uses the crate tapstack-rpc, with --types only
tapstack-xdr. In a build script use the crate tapstack-rpcgen instead.

Exit codes: 0 made, 1 the interface is wrong, 2 wrong usage or no such file.";

/// How every generated file begins, by which an own one is known.
const FIRST_WORDS: &str = "// Made by tapstack-rpcgen";

/// What `rpcgen` can be told.
#[derive(Clone, Debug, Args)]
pub struct RpcgenArgs {
    /// The interface: the language of RFC 4506 and RFC 5531, as rpcgen reads it.
    #[arg(value_name = "FILE.x")]
    pub file: PathBuf,

    /// Write to OUT [default: standard output].
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// Make client stubs.
    #[arg(long)]
    pub client: bool,

    /// Make server traits.
    #[arg(long)]
    pub server: bool,

    /// Make traits for exactly-once calls as well, beside the server traits.
    #[arg(long)]
    pub exactly_once: bool,

    /// Make types and their coding only.
    #[arg(long, conflicts_with_all = ["client", "server", "exactly_once"])]
    pub types: bool,

    /// Look into DIR for files that the interface includes.
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub include: Vec<PathBuf>,

    /// Define NAME for #ifdef and #if, as 1 or as a number.
    #[arg(short = 'D', long = "define", value_name = "NAME[=N]", value_parser = parse_definition)]
    pub define: Vec<(String, u64)>,

    /// Make `opaque<>` a Bytes, which shares the message's memory, instead of a Vec.
    #[arg(long)]
    pub bytes: bool,

    /// Make `string<>` a vector of bytes, for peers that don't send UTF-8.
    #[arg(long)]
    pub string_bytes: bool,
}

/// Reads `NAME` or `NAME=NUMBER`.
fn parse_definition(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "1"));
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match value.parse() {
        Ok(number) if is_name => Ok((name.to_owned(), number)),
        _ => Err("a definition is NAME or NAME=NUMBER".to_owned()),
    }
}

/// Makes Rust of the interface.
pub(crate) fn run(args: &RpcgenArgs) -> Result<(), Failure> {
    let everything = !(args.client || args.server || args.types || args.exactly_once);
    let mut generator = Generator::new()
        .client(args.client || everything)
        .server(args.server || everything || args.exactly_once)
        .exactly_once(args.exactly_once)
        .bytes(args.bytes)
        .string_bytes(args.string_bytes);
    for folder in &args.include {
        generator = generator.include_dir(folder);
    }
    for (name, value) in &args.define {
        generator = generator.define(name, *value);
    }
    let rust = generator.compile(&args.file).map_err(|error| match error.file() {
        Some(_) => Failure::Failed(error.to_string()),
        None => Failure::Misused(format!("can't read {error}")),
    })?;
    match &args.output {
        Some(path) => write(path, &rust),
        None => print(&rust),
    }
}

/// Writes to a file, unless there is one that somebody wrote by hand.
fn write(path: &Path, rust: &str) -> Result<(), Failure> {
    let name = path.display();
    if let Ok(old) = std::fs::read(path)
        && !old.is_empty()
        && !old.starts_with(FIRST_WORDS.as_bytes())
    {
        let line = format!("{name} is there, and was not made by tapstack rpcgen: choose another name");
        return Err(Failure::Misused(line));
    }
    std::fs::write(path, rust)
        .map_err(|error| Failure::Misused(format!("can't write {name}: {}", ui::reason(&error))))
}

fn print(rust: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(rust.as_bytes()) {
        // Whoever reads has enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("can't print: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_begin_as_they_are_known_by() {
        let rust = Generator::new().generate("a.x", "const A = 1;").unwrap();
        assert!(rust.starts_with(FIRST_WORDS));
    }

    #[test]
    fn definitions_are_names_with_numbers() {
        assert_eq!(parse_definition("OLD"), Ok(("OLD".to_owned(), 1)));
        assert_eq!(parse_definition("OLD=22"), Ok(("OLD".to_owned(), 22)));
        for wrong in ["", "=1", "1A", "A B", "A=", "A=x"] {
            assert!(parse_definition(wrong).is_err(), "{wrong}");
        }
    }
}
