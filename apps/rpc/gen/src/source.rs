//! The files that are read, and the places in them.

use crate::error::{Error, Shown};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files that one interface may take in at most, each inclusion counted.
const FILES_MAX: usize = 1000;

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A file with its text.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: Rc<str>,
}

/// All that was read, and where to look for more.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: RefCell<Vec<File>>,
    /// Texts that are given instead of being read.
    given: BTreeMap<PathBuf, Rc<str>>,
    include_dirs: Vec<PathBuf>,
}

impl Sources {
    pub(crate) fn new(include_dirs: Vec<PathBuf>) -> Self {
        Self { include_dirs, ..Self::default() }
    }

    pub(crate) fn give(&mut self, path: &Path, text: &str) {
        self.given.insert(path.to_owned(), text.into());
    }

    /// Opens a file by its path. An error is about the file as a whole.
    pub(crate) fn open(&self, path: &Path) -> Result<u32, Error> {
        if self.files.borrow().len() >= FILES_MAX {
            return Err(Error::new(format!("more than {FILES_MAX} files are included")).with_help(
                "does a file include itself? put its text between #ifndef NAME, #define NAME and #endif",
            ));
        }
        let text = match self.given.get(path) {
            Some(text) => Rc::clone(text),
            None => read(path)?.into(),
        };
        let mut files = self.files.borrow_mut();
        files.push(File { path: path.to_owned(), text });
        Ok((files.len() - 1) as u32)
    }

    /// Where `name` is that a file includes: beside it, unless it stands in angle brackets, or in an include directory.
    pub(crate) fn find(&self, from: u32, name: &str, beside: bool) -> Option<PathBuf> {
        let from = self.path(from);
        let beside = beside.then(|| from.with_file_name(name));
        let others = self.include_dirs.iter().map(|dir| dir.join(name));
        beside.into_iter().chain(others).find(|path| self.given.contains_key(path) || path.is_file())
    }

    pub(crate) fn text(&self, file: u32) -> Rc<str> {
        self.files.borrow().get(file as usize).map_or_else(|| "".into(), |file| Rc::clone(&file.text))
    }

    pub(crate) fn path(&self, file: u32) -> PathBuf {
        self.files.borrow().get(file as usize).map_or_else(PathBuf::new, |file| file.path.clone())
    }

    /// All files that were read, for whoever has to know when to run again.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().map(|file| file.path.clone()).collect()
    }

    /// An error at a place.
    pub(crate) fn error(&self, at: Place, message: impl Into<String>) -> Error {
        Error::new(message).with_place(self.show(at))
    }

    fn show(&self, at: Place) -> Shown {
        let text = self.text(at.file);
        let start = floor_boundary(&text, at.start as usize);
        let end = floor_boundary(&text, at.end as usize).max(start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        Shown {
            file: self.path(at.file),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            text: line.to_owned(),
            width: text.get(start..end).unwrap_or_default().chars().take_while(|c| *c != '\n').count(),
        }
    }
}

/// The last character boundary at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |what: String| Error::new(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(reason(&error)))?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed(format!(
            "{length} bytes, more than the {FILE_BYTES_MAX} that an interface may have"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(reason(&error)))?;
    // Old interface files have names in comments in one of ISO 8859's sets.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect()))
}

/// An error of the system in its own words, without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}
