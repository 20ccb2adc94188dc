//! From ONC RPC interface files (`.x`) to Rust: types, XDR coding, client stubs and server traits.
//!
//! - **In**: an interface in the language of RFC 4506 and RFC 5531, as `rpcgen` reads it.
//! - **Out**: the text of a Rust module, formatted and documented; or an [`Error`] with file, line, column and advice.
//! - **Keeps**: nothing.
//! - **Timers**: none.
//! - **RFC**: 4506 (XDR), 5531 section 12 (programs).
//! - **Never**: runs a C preprocessor, or any program; panics, whatever the file holds.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ast;
mod emit;
mod error;
mod expression;
mod lex;
mod names;
mod parse;
mod preprocess;
mod resolve;
mod source;

pub use error::Error;

use source::Sources;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What to make of an interface, and how.
///
/// ```
/// let text = "struct point { int x; int y; };";
/// let rust = tapstack_rpcgen::Generator::new().types_only().generate("point.x", text)?;
/// assert!(rust.contains("pub struct Point {\n    /// `int x`\n    pub x: i32,\n"));
/// # Ok::<(), tapstack_rpcgen::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    options: Options,
    include_dirs: Vec<PathBuf>,
    defined: BTreeMap<String, u64>,
}

/// How the text is to be.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) exactly_once: bool,
    pub(crate) bytes: bool,
    pub(crate) string_bytes: bool,
    pub(crate) rpc_path: String,
    pub(crate) xdr_path: Option<String>,
}

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

impl Generator {
    /// Types with their coding, client stubs and server traits; `RPC_HDR`, `RPC_XDR`, `RPC_CLNT` and `RPC_SVC` defined.
    pub fn new() -> Self {
        let options = Options {
            client: true,
            server: true,
            exactly_once: false,
            bytes: false,
            string_bytes: false,
            rpc_path: "tapstack_rpc".to_owned(),
            xdr_path: None,
        };
        let names = ["RPC_HDR", "RPC_XDR", "RPC_CLNT", "RPC_SVC"];
        let defined = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
        Self { options, include_dirs: Vec::new(), defined }
    }

    /// Types with their coding and numbers of procedures only: the result needs `tapstack-xdr`, but not `tapstack-rpc`.
    pub fn types_only(self) -> Self {
        self.client(false).server(false)
    }

    /// Whether to make client stubs; this also sets or unsets `RPC_CLNT`.
    pub fn client(mut self, client: bool) -> Self {
        self.options.client = client;
        self.define_if(client, "RPC_CLNT")
    }

    /// Whether to make server traits; this also sets or unsets `RPC_SVC`.
    pub fn server(mut self, server: bool) -> Self {
        self.options.server = server;
        self.define_if(server, "RPC_SVC")
    }

    /// Whether to make, beside the server traits, those for exactly-once calls: a trait whose methods decide an effect,
    /// which `tapstack_rpc::ExactlyOnce` logs together with the reply.
    pub fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.options.exactly_once = exactly_once;
        self
    }

    /// Defines a name for `#ifdef` and `#if`, as `-D` does.
    pub fn define(mut self, name: impl Into<String>, value: u64) -> Self {
        self.defined.insert(name.into(), value);
        self
    }

    /// Makes a name undefined that is defined by default, such as `RPC_HDR`.
    pub fn undefine(mut self, name: &str) -> Self {
        self.defined.remove(name);
        self
    }

    fn define_if(self, defined: bool, name: &str) -> Self {
        if defined { self.define(name, 1) } else { self.undefine(name) }
    }

    /// A further folder for `#include`, after the one of the file that includes.
    pub fn include_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.include_dirs.push(folder.into());
        self
    }

    /// Whether `opaque<>` becomes [`bytes::Bytes`](https://docs.rs/bytes), which shares the message's memory, instead of
    /// `Vec<u8>`.
    pub fn bytes(mut self, bytes: bool) -> Self {
        self.options.bytes = bytes;
        self
    }

    /// Whether `string<>` becomes `Vec<u8>`, for peers that send strings in other codings than UTF-8, as file servers do.
    pub fn string_bytes(mut self, bytes: bool) -> Self {
        self.options.string_bytes = bytes;
        self
    }

    /// The path of the crate `tapstack-rpc` in the generated code.
    pub fn rpc_path(mut self, path: impl Into<String>) -> Self {
        self.options.rpc_path = path.into();
        self
    }

    /// The path of the crate `tapstack-xdr` in the generated code; by default `tapstack_rpc::xdr`, or `tapstack_xdr` where
    /// there are types only.
    pub fn xdr_path(mut self, path: impl Into<String>) -> Self {
        self.options.xdr_path = Some(path.into());
        self
    }

    /// The Rust of the interface in a file.
    pub fn compile(&self, path: impl AsRef<Path>) -> Result<String, Error> {
        self.run(path.as_ref(), None).map(|made| made.text)
    }

    /// The Rust of the interface that `text` is; `path` is its name in messages, and where its inclusions are looked for.
    pub fn generate(&self, path: impl AsRef<Path>, text: &str) -> Result<String, Error> {
        self.run(path.as_ref(), Some(text)).map(|made| made.text)
    }

    /// For a `build.rs`: writes the Rust of `interfaces/bank.x` to `bank.rs` in Cargo's `OUT_DIR`, and tells Cargo to run
    /// again when that file changes, or one that it includes. Returns the path of what was written.
    pub fn build(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        println!("cargo::rerun-if-changed={}", path.display());
        let made = self.run(path, None)?;
        for file in made.files.iter().filter(|file| file.is_file()) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let folder = std::env::var_os("OUT_DIR").ok_or_else(|| {
            Error::new("OUT_DIR is not set").with_help("build is for build scripts: elsewhere use compile")
        })?;
        let name = path.file_stem().unwrap_or(OsStr::new("interface"));
        let out = Path::new(&folder).join(name).with_extension("rs");
        std::fs::write(&out, made.text).map_err(|error| Error::new(format!("{}: {error}", out.display())))?;
        Ok(out)
    }

    fn run(&self, path: &Path, text: Option<&str>) -> Result<Made, Error> {
        let mut sources = Sources::new(self.include_dirs.clone());
        if let Some(text) = text {
            sources.give(path, text);
        }
        let unit = preprocess::preprocess(&sources, path, &self.defined)?;
        let gathered = resolve::gather(&mut sources, unit, &self.defined)?;
        let interface = resolve::resolve(&sources, gathered.definitions, &gathered.c_constants)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let text = emit::emit(&interface, &self.options, &name.replace(char::is_control, " "));
        Ok(Made { text, files: sources.paths() })
    }
}

/// What a run gives.
struct Made {
    text: String,
    files: Vec<PathBuf>,
}

/// The Rust of the interface in a file, with everything that [`Generator::new`] makes.
pub fn compile(path: impl AsRef<Path>) -> Result<String, Error> {
    Generator::new().compile(path)
}
