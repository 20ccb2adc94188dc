//! How the command speaks: plain lines, tables and marks, with colours only where a terminal shows them.

use owo_colors::OwoColorize as _;
use std::io::{IsTerminal as _, Write as _};

/// Where a subcommand says what it does. A reader that has gone away (`tapstack … | head`) is no error: what is
/// left is said to nobody, and the exit code stays true.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    quiet: bool,
}

impl Ui {
    /// Speaks, or with `quiet` only where it must.
    pub fn new(quiet: bool) -> Ui {
        Ui { quiet }
    }

    /// Whether only errors and last lines are wanted.
    pub fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether a progress bar would be seen, and wanted.
    pub fn shows_progress(self) -> bool {
        !self.quiet && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
    }

    /// A line that `--quiet` leaves out.
    pub fn line(self, line: impl AsRef<str>) {
        if !self.quiet {
            self.last_line(line);
        }
    }

    /// A line that is said even with `--quiet`.
    pub fn last_line(self, line: impl AsRef<str>) {
        let mut out = anstream::stdout().lock();
        let _ = writeln!(out, "{}", line.as_ref());
        let _ = out.flush();
    }

    /// A heading, with an empty line before it.
    pub fn heading(self, text: &str) {
        self.line("");
        self.line(text.bold().to_string());
    }
}

/// An error, in one line on standard error.
pub fn error(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{} {line}", "error:".red().bold());
}

/// Something to know, in one line on standard error.
pub fn note(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{} {line}", "note:".yellow().bold());
}

/// An error of the system in its own words, without the number that Rust adds.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// How something stands, as a coloured word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Bad,
    /// Not there, and not needed.
    Absent,
}

impl Mark {
    /// The word, padded to `width` columns before it is coloured.
    pub fn show(self, word: &str, width: usize) -> String {
        let padded = format!("{word:<width$}");
        match self {
            Mark::Ok => padded.green().to_string(),
            Mark::Bad => padded.red().bold().to_string(),
            Mark::Absent => padded.yellow().to_string(),
        }
    }
}

/// Breaks `text` at spaces into lines of at most `width` columns; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_word_and_the_width() {
        let text = "three short words and averylongwordthatfitsnowhere then some more";
        let lines = wrap(text, 16);
        assert_eq!(lines.join(" "), text);
        for line in &lines {
            assert!(line.len() <= 16 || !line.contains(' '), "{line}");
        }
        assert!(wrap("  ", 10).is_empty());
    }

    #[test]
    fn marks_pad_before_they_colour() {
        let shown = Mark::Ok.show("ok", 5);
        assert_eq!(anstream::adapter::strip_str(&shown).to_string(), "ok   ");
    }
}
