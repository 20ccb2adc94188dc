//! What is wrong with an interface file: where, what, and what to do next.

use std::fmt;
use std::path::PathBuf;

/// The columns of a source line that a message shows at most.
const SHOWN_COLUMNS_MAX: usize = 160;

/// Why an interface can't be turned into Rust. Shown, it has the file, line and column, the line itself with a caret below
/// what is wrong, and where there is one, the way on:
///
/// ```text
/// bank.x:4:9: there is no type `acount`
///   |
/// 4 |         acount from;
///   |         ^^^^^^
///   = did you mean `account`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    help: Option<String>,
    place: Option<Box<Shown>>,
}

/// A place in a source, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The whole line, without its end.
    pub(crate) text: String,
    /// How many characters are meant.
    pub(crate) width: usize,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, place: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_place(mut self, place: Shown) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file that it is about; none if there is no file at fault.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.place.as_ref().map(|place| place.file.as_path())
    }

    /// Its line, counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// Its column in characters, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            write!(f, "{}", self.message)?;
            return self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  = {help}"));
        };
        let Shown { file, line, column, text, width } = place.as_ref();
        write!(f, "{}:{line}:{column}: {}", file.display(), self.message)?;
        let margin = " ".repeat(line.to_string().len());
        // Tabs stay tabs in the caret's line, so that it stands below what it means whatever their width is.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        if *column <= SHOWN_COLUMNS_MAX {
            let shown: String = text.chars().take(SHOWN_COLUMNS_MAX).collect();
            let room = shown.chars().count().saturating_sub(column - 1).max(1);
            let caret = "^".repeat((*width).clamp(1, room));
            write!(f, "\n{margin} |\n{line} | {shown}\n{margin} | {indent}{caret}")?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n{margin} = {help}"))
    }
}

impl std::error::Error for Error {}

/// The name among `known` that `wrong` was probably meant to be.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| *name != wrong && name.len().abs_diff(wrong.len()) <= limit)
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// How many characters have to be changed, put in or left out (the Levenshtein distance), letters' case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or(0)
}
