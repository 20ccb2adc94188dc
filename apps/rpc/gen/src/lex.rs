//! From text to tokens, comments, and the lines that begin with `#` or `%`.

use crate::error::Error;
use crate::source::{Place, Sources};
use std::rc::Rc;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word(Rc<str>),
    /// A number: decimal, hexadecimal or octal.
    Number(u64),
    /// Text in quotation marks, without them.
    Text(Rc<str>),
    /// Any other character.
    Mark(char),
    /// The end of everything.
    End,
}

/// A token where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Place,
}

/// What a file consists of.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Token(Token),
    /// A comment, without its marks.
    Comment {
        text: Rc<str>,
        /// Whether something stands before it in its line that it is about.
        trails: bool,
        /// Whether an empty line follows.
        apart: bool,
    },
    /// The place of a `#` that begins a line: read on with [`Lexer::directive`].
    Directive(Place),
    /// The place and the text of a line that begins with `%`, without that.
    Passed(Place, String),
    /// A line has ended.
    Line,
    End,
}

/// Reads one file.
#[derive(Debug)]
pub(crate) struct Lexer<'s> {
    sources: &'s Sources,
    file: u32,
    text: Rc<str>,
    position: usize,
    line_start: bool,
    /// Whether the last token was a `{`, so that a comment in its line is about what follows.
    opened: bool,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(sources: &'s Sources, file: u32) -> Self {
        Self { sources, file, text: sources.text(file), position: 0, line_start: true, opened: false }
    }

    pub(crate) fn next(&mut self) -> Result<Item, Error> {
        loop {
            let start = self.position;
            let Some(c) = self.peek() else { return Ok(Item::End) };
            match c {
                '\n' => {
                    self.position += 1;
                    self.line_start = true;
                    return Ok(Item::Line);
                }
                _ if c.is_whitespace() || c == '\u{feff}' => self.position += c.len_utf8(),
                '\\' if self.splice() => {}
                '/' if self.starts("/*") || self.starts("//") => return self.comment(),
                '#' if self.line_start => {
                    self.position += 1;
                    self.line_start = false;
                    return Ok(Item::Directive(self.place(start)));
                }
                '%' if self.line_start => {
                    self.position += 1;
                    let line = self.logical_line();
                    return Ok(Item::Passed(self.place(start), line));
                }
                _ => {
                    self.line_start = false;
                    return self.token(c).map(Item::Token);
                }
            }
        }
    }

    /// The rest of a directive's line as tokens, comments left out.
    pub(crate) fn directive(&mut self) -> Result<Vec<Token>, Error> {
        let mut tokens = Vec::new();
        loop {
            match self.next()? {
                Item::Token(token) => tokens.push(token),
                Item::Line | Item::End => return Ok(tokens),
                Item::Comment { .. } | Item::Directive(_) | Item::Passed(..) => {}
            }
        }
    }

    /// The name of the directive whose `#` was just read; none for a lone `#` and a line marker.
    pub(crate) fn directive_name(&mut self) -> String {
        self.take_while(|c| c == ' ' || c == '\t');
        self.take_while(|c| c.is_ascii_alphabetic())
    }

    /// The rest of the line as it stands, without its end, for a message or a file's name.
    pub(crate) fn rest_of_line(&mut self) -> String {
        self.logical_line()
    }

    /// Passes over text that a condition leaves out, whatever it is, to the next `#` that begins a line.
    pub(crate) fn skip_to_directive(&mut self) -> Option<Place> {
        loop {
            let start = self.position;
            match self.peek()? {
                '\n' => {
                    self.position += 1;
                    self.line_start = true;
                }
                '#' if self.line_start => {
                    self.position += 1;
                    self.line_start = false;
                    return Some(self.place(start));
                }
                '/' if self.starts("/*") => self.position = self.comment_end().unwrap_or(self.text.len()),
                c => {
                    self.line_start &= c.is_whitespace();
                    self.position += c.len_utf8();
                }
            }
        }
    }

    fn token(&mut self, first: char) -> Result<Token, Error> {
        let start = self.position;
        let kind = if first.is_ascii_alphabetic() || first == '_' {
            Kind::Word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').into())
        } else if first.is_ascii_digit() {
            self.number()?
        } else if first == '"' {
            self.quoted()?
        } else {
            self.position += first.len_utf8();
            Kind::Mark(first)
        };
        self.opened = first == '{';
        Ok(Token { kind, at: self.place(start) })
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let start = self.position;
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        // What C lets follow a number: `10UL`.
        let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let (digits, radix) = match hex {
            Some(hex) => (hex, 16),
            None if text.len() > 1 && text.starts_with('0') => (text, 8),
            None => (text, 10),
        };
        u64::from_str_radix(digits, radix).map(Kind::Number).map_err(|_| {
            let wrong = match radix {
                _ if !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) => {
                    "a number larger than 2^64 - 1"
                }
                16 => "not a hexadecimal number",
                8 => "not an octal number, which a leading 0 says",
                _ => "not a number",
            };
            self.error(start, format!("`{text}` is {wrong}"))
        })
    }

    fn quoted(&mut self) -> Result<Kind, Error> {
        let start = self.position;
        self.position += 1;
        let mut escaped = false;
        let text = self.take_while(|c| {
            let go_on = c != '\n' && (c != '"' || escaped);
            escaped = c == '\\' && !escaped;
            go_on
        });
        if self.peek() != Some('"') {
            return Err(self.error(start, "this text doesn't end in its line").with_help("add a closing \""));
        }
        self.position += 1;
        Ok(Kind::Text(text.into()))
    }

    fn comment(&mut self) -> Result<Item, Error> {
        let start = self.position;
        let text = if self.starts("//") {
            let line = self.take_while(|c| c != '\n');
            line.get(2..).unwrap_or_default().to_owned()
        } else {
            let Some(end) = self.comment_end() else {
                let place = Place { end: start as u32 + 2, ..self.place(start) };
                return Err(self.sources.error(place, "this comment has no end").with_help("add */"));
            };
            self.position = end;
            self.text.get(start + 2..end - 2).unwrap_or_default().to_owned()
        };
        let rest = self.text.get(self.position..).unwrap_or_default();
        let mut lines = rest.split('\n');
        let ends_line = lines.next().is_some_and(|line| line.trim().is_empty());
        let apart = ends_line && lines.next().is_none_or(|line| line.trim().is_empty());
        let trails = !self.line_start && (ends_line || !self.opened);
        Ok(Item::Comment { text: text.into(), trails, apart })
    }

    /// Where the block comment ends that begins here.
    fn comment_end(&self) -> Option<usize> {
        let inside = self.text.get(self.position + 2..)?;
        Some(self.position + 2 + inside.find("*/")? + 2)
    }

    /// The rest of the line, and the next ones where a backslash joins them.
    fn logical_line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.push_str(&self.take_while(|c| c != '\n'));
            let Some(joined) = line.trim_end_matches('\r').strip_suffix('\\') else { return line };
            line = format!("{joined} ");
            if self.peek().is_none() {
                return line;
            }
            self.position += 1;
        }
    }

    /// Passes over a backslash at a line's end, which joins the line to the next.
    fn splice(&mut self) -> bool {
        for end in ["\\\n", "\\\r\n"] {
            if self.starts(end) {
                self.position += end.len();
                return true;
            }
        }
        false
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> String {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let taken = rest.get(..end).unwrap_or_default().to_owned();
        self.position += end;
        taken
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.position..)?.chars().next()
    }

    fn starts(&self, with: &str) -> bool {
        self.text.get(self.position..).is_some_and(|rest| rest.starts_with(with))
    }

    fn place(&self, start: usize) -> Place {
        Place { file: self.file, start: start as u32, end: self.position as u32 }
    }

    fn error(&self, start: usize, message: impl Into<String>) -> Error {
        self.sources.error(self.place(start), message)
    }
}
