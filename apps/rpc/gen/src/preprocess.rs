//! What rpcgen leaves to the C preprocessor: conditions, definitions, inclusions; and what its `%` lines tell.

use crate::error::Error;
use crate::expression;
use crate::lex::{Item, Kind, Lexer, Token};
use crate::source::{Place, Sources};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Tokens of one interface at most, after all inclusions and replacements.
const TOKENS_MAX: usize = 1 << 20;

/// Levels of inclusion, and of conditions in one file.
const NESTING_MAX: usize = 64;

/// Levels of definitions that name other definitions.
const REPLACEMENTS_MAX: usize = 32;

/// A comment, and before which token it stands.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) before: usize,
    pub(crate) text: Rc<str>,
    /// Whether it follows something in its line.
    pub(crate) trails: bool,
    /// Whether an empty line follows it.
    pub(crate) apart: bool,
}

/// A file and all that it includes, ready to be parsed.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// The tokens, of which the last one is [`Kind::End`].
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
    /// What `%#define NAME value` lines define for C: names of numbers that the interface may use.
    pub(crate) c_constants: BTreeMap<String, Vec<Token>>,
    /// The headers that `%#include` lines name, and in which file.
    pub(crate) c_headers: Vec<(u32, String)>,
}

/// What a name is replaced by.
#[derive(Clone, Debug)]
enum Macro {
    Tokens(Rc<[Token]>),
    /// It takes arguments, which this preprocessor doesn't do.
    Function,
}

/// Reads the file at `path` and what it includes, with these names defined.
pub(crate) fn preprocess(
    sources: &Sources,
    path: &Path,
    defined: &BTreeMap<String, u64>,
) -> Result<Unit, Error> {
    let file = sources.open(path)?;
    let start = Place { file, start: 0, end: 0 };
    let macros = defined.iter().map(|(name, value)| {
        let value = Token { kind: Kind::Number(*value), at: start };
        (name.clone(), Macro::Tokens([value].into()))
    });
    let mut state = Preprocessor { sources, unit: Unit::default(), macros: macros.collect(), depth: 0 };
    state.file(file)?;
    let length = sources.text(file).trim_end().len() as u32;
    let at = Place { file, start: length, end: length };
    state.unit.tokens.push(Token { kind: Kind::End, at });
    Ok(state.unit)
}

struct Preprocessor<'s> {
    sources: &'s Sources,
    unit: Unit,
    macros: BTreeMap<String, Macro>,
    depth: usize,
}

/// A condition that is open.
struct Condition {
    at: Place,
    /// Whether what stands here now is kept.
    active: bool,
    /// Whether one of its branches was kept already, or none may be.
    done: bool,
    /// Whether its `#else` has been.
    last: bool,
}

impl Preprocessor<'_> {
    fn file(&mut self, file: u32) -> Result<(), Error> {
        let mut lexer = Lexer::new(self.sources, file);
        let mut open: Vec<Condition> = Vec::new();
        loop {
            if open.last().is_some_and(|condition| !condition.active) {
                let Some(at) = lexer.skip_to_directive() else { break };
                self.directive(at, &mut lexer, &mut open)?;
                continue;
            }
            match lexer.next()? {
                Item::Token(token) => self.token(token, &mut Vec::new())?,
                Item::Comment { text, trails, apart } => {
                    let before = self.unit.tokens.len();
                    self.unit.comments.push(Comment { before, text, trails, apart });
                }
                Item::Directive(at) => self.directive(at, &mut lexer, &mut open)?,
                Item::Passed(at, line) => self.passed_line(at, &line),
                Item::Line => {}
                Item::End => break,
            }
        }
        match open.last() {
            Some(condition) => {
                Err(self.sources.error(condition.at, "this condition has no end").with_help("add #endif"))
            }
            None => Ok(()),
        }
    }

    /// Takes a token, or what its name was defined as; `inside` are the definitions that led here.
    fn token(&mut self, token: Token, inside: &mut Vec<String>) -> Result<(), Error> {
        if self.unit.tokens.len() >= TOKENS_MAX {
            return Err(self.sources.error(token.at, format!("more than {TOKENS_MAX} words and marks")));
        }
        let Kind::Word(word) = &token.kind else {
            self.unit.tokens.push(token);
            return Ok(());
        };
        match self.macros.get(&**word) {
            Some(Macro::Tokens(tokens)) if !inside.iter().any(|name| **name == **word) => {
                if inside.len() >= REPLACEMENTS_MAX {
                    let message = format!("more than {REPLACEMENTS_MAX} definitions lead to each other");
                    return Err(self.sources.error(token.at, message));
                }
                let tokens = Rc::clone(tokens);
                inside.push(word.to_string());
                for replaced in tokens.iter() {
                    // Messages are about the place where the name is used.
                    self.token(Token { kind: replaced.kind.clone(), at: token.at }, inside)?;
                }
                inside.pop();
                Ok(())
            }
            Some(Macro::Function) => {
                let message = format!("`{word}` is defined with arguments, which isn't supported here");
                Err(self.sources.error(token.at, message).with_help("write out what it stands for"))
            }
            _ => {
                self.unit.tokens.push(token);
                Ok(())
            }
        }
    }

    fn directive(
        &mut self,
        hash: Place,
        lexer: &mut Lexer<'_>,
        open: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        let name = lexer.directive_name();
        let at = Place { end: hash.end.max(hash.start + 1 + name.len() as u32), ..hash };
        let active = open.last().is_none_or(|condition| condition.active);
        match name.as_str() {
            "if" | "ifdef" | "ifndef" => {
                if open.len() >= NESTING_MAX {
                    let message = format!("more than {NESTING_MAX} conditions inside each other");
                    return Err(self.sources.error(at, message));
                }
                let holds = active && self.condition(&name, at, lexer)?;
                open.push(Condition { at, active: holds, done: holds || !active, last: false });
            }
            "elif" | "else" | "endif" => self.branch(&name, at, lexer, open)?,
            _ if !active => {}
            "define" => self.define(at, lexer)?,
            "undef" => match lexer.directive()?.first() {
                Some(Token { kind: Kind::Word(word), .. }) => drop(self.macros.remove(&**word)),
                _ => return Err(self.sources.error(at, "#undef wants a name")),
            },
            "include" => self.include(at, lexer)?,
            "error" => {
                let message = format!("#error{}", lexer.rest_of_line().trim_end());
                return Err(self.sources.error(at, message));
            }
            // A lone #, markers of lines and files, notes for compilers.
            "" | "line" | "pragma" | "ident" | "warning" => drop(lexer.rest_of_line()),
            _ => {
                let help =
                    "known are #if, #ifdef, #ifndef, #elif, #else, #endif, #define, #undef, #include, #error";
                return Err(self.sources.error(at, format!("there is no directive #{name}")).with_help(help));
            }
        }
        Ok(())
    }

    /// Whether an `#if`, `#ifdef` or `#ifndef` holds.
    fn condition(&mut self, name: &str, at: Place, lexer: &mut Lexer<'_>) -> Result<bool, Error> {
        let tokens = lexer.directive()?;
        if name == "if" {
            return self.holds(at, &tokens);
        }
        match tokens.first() {
            Some(Token { kind: Kind::Word(word), .. }) => {
                Ok(self.macros.contains_key(&**word) == (name == "ifdef"))
            }
            _ => Err(self.sources.error(at, format!("#{name} wants a name"))),
        }
    }

    fn holds(&self, at: Place, tokens: &[Token]) -> Result<bool, Error> {
        let value = |name: &str| match self.macros.get(name) {
            Some(Macro::Tokens(tokens)) => Some(&tokens[..]),
            _ => None,
        };
        let value = expression::evaluate(tokens, &value, true).map_err(|wrong| {
            self.sources
                .error(wrong.at.unwrap_or(at), format!("this condition can't be read: {}", wrong.what))
        })?;
        Ok(value != 0)
    }

    fn branch(
        &mut self,
        name: &str,
        at: Place,
        lexer: &mut Lexer<'_>,
        open: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        let Some(condition) = open.last_mut() else {
            return Err(self.sources.error(at, format!("#{name} without #if, #ifdef or #ifndef before it")));
        };
        if name == "endif" {
            open.pop();
            lexer.rest_of_line();
            return Ok(());
        }
        if condition.last {
            return Err(self
                .sources
                .error(at, format!("#{name} after #else"))
                .with_help("was #endif meant?"));
        }
        condition.last = name == "else";
        condition.active = !condition.done;
        if name == "elif" && condition.active {
            condition.active = false;
            let tokens = lexer.directive()?;
            let holds = self.holds(at, &tokens)?;
            if let Some(condition) = open.last_mut() {
                condition.active = holds;
                condition.done |= holds;
            }
        } else {
            condition.done = true;
            lexer.rest_of_line();
        }
        Ok(())
    }

    fn define(&mut self, at: Place, lexer: &mut Lexer<'_>) -> Result<(), Error> {
        let mut tokens = lexer.directive()?;
        let Some((name, end)) = tokens.first().and_then(word) else {
            return Err(self.sources.error(at, "#define wants a name"));
        };
        tokens.remove(0);
        let takes_arguments =
            tokens.first().is_some_and(|next| next.kind == Kind::Mark('(') && next.at.start == end);
        let definition = if takes_arguments { Macro::Function } else { Macro::Tokens(tokens.into()) };
        self.macros.insert(name, definition);
        Ok(())
    }

    fn include(&mut self, at: Place, lexer: &mut Lexer<'_>) -> Result<(), Error> {
        let line = lexer.rest_of_line();
        let Some((name, beside)) = included(&line) else {
            let help = "write #include \"file.x\" or #include <file.x>";
            return Err(self.sources.error(at, "#include wants a file's name").with_help(help));
        };
        let Some(path) = self.sources.find(at.file, name, beside) else {
            let message = format!("there is no file {name} here or in the include directories");
            let help =
                "name its folder with -I, or Generator::include_dir; or pass the line to C with %#include";
            return Err(self.sources.error(at, message).with_help(help));
        };
        if self.depth >= NESTING_MAX {
            let message = format!("files include each other more than {NESTING_MAX} levels deep");
            let help = "put a file's text between #ifndef NAME, #define NAME and #endif";
            return Err(self.sources.error(at, message).with_help(help));
        }
        let file = self.sources.open(&path)?;
        self.depth += 1;
        self.file(file)?;
        self.depth -= 1;
        Ok(())
    }

    /// A line for C, which may tell what a name of the interface means.
    fn passed_line(&mut self, at: Place, line: &str) {
        let Some(directive) = line.trim_start().strip_prefix('#').map(str::trim_start) else { return };
        if let Some((name, _)) = directive.strip_prefix("include").and_then(included) {
            self.unit.c_headers.push((at.file, name.to_owned()));
        } else if let Some(definition) = directive.strip_prefix("define")
            && let Some((name, value)) = c_definition(definition, at)
        {
            self.unit.c_constants.insert(name, value);
        }
    }
}

fn word(token: &Token) -> Option<(String, u32)> {
    match &token.kind {
        Kind::Word(word) => Some((word.to_string(), token.at.end)),
        _ => None,
    }
}

/// The file's name in the rest of an `#include` line, and whether it is in quotation marks.
fn included(line: &str) -> Option<(&str, bool)> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix('"') {
        return rest.split_once('"').map(|(name, _)| (name, true));
    }
    line.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(name, _)| (name, false))
}

/// The name and the value of a `%#define` line; none where it takes arguments or isn't made of our tokens.
fn c_definition(line: &str, at: Place) -> Option<(String, Vec<Token>)> {
    if !line.starts_with([' ', '\t']) {
        return None;
    }
    let mut sources = Sources::default();
    let path = Path::new("%#define");
    sources.give(path, line);
    let file = sources.open(path).ok()?;
    let mut tokens = Lexer::new(&sources, file).directive().ok()?;
    let (name, end) = tokens.first().and_then(word)?;
    tokens.remove(0);
    let first = tokens.first()?;
    if first.kind == Kind::Mark('(') && first.at.start == end {
        return None;
    }
    tokens.iter_mut().for_each(|token| token.at = at);
    Some((name, tokens))
}
