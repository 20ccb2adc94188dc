//! From tokens to definitions: the grammar of RFC 4506 section 6.3 and RFC 5531 section 12.2, and what rpcgen allows.

mod comments;
mod program;
mod types;

pub(crate) use types::c_type;

use crate::ast::*;
use crate::error::Error;
use crate::lex::{Kind, Token};
use crate::preprocess::Unit;
use crate::source::{Place, Sources};

/// Types that are written inside of other types, at most.
const NESTING_MAX: usize = 32;

/// Words that can't be names.
const KEYWORDS: [&str; 22] = [
    "bool",
    "case",
    "char",
    "const",
    "default",
    "double",
    "enum",
    "float",
    "hyper",
    "int",
    "long",
    "opaque",
    "program",
    "quadruple",
    "short",
    "string",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
];

/// The definitions of a unit.
pub(crate) fn parse(sources: &Sources, unit: &Unit) -> Result<Vec<Definition>, Error> {
    let mut parser = Parser { sources, unit, at: 0, depth: 0, definitions: Vec::new() };
    while parser.peek().kind != Kind::End {
        if !parser.take_mark(';') {
            parser.definition()?;
        }
    }
    Ok(parser.definitions)
}

pub(crate) struct Parser<'u> {
    sources: &'u Sources,
    unit: &'u Unit,
    at: usize,
    depth: usize,
    /// In their order; types that are written inside of others come before those.
    definitions: Vec<Definition>,
}

impl Parser<'_> {
    fn definition(&mut self) -> Result<(), Error> {
        let docs = self.docs_before();
        let start = self.next();
        let word = match &start.kind {
            Kind::Word(word) => word.to_string(),
            _ => String::new(),
        };
        let (name, body) = match word.as_str() {
            "const" => self.constant()?,
            "typedef" => match self.typedef()? {
                Some(defined) => defined,
                None => return Ok(()),
            },
            "enum" | "struct" | "union" => {
                let name = self.name(&format!("{word} wants a name"))?;
                let body = self.body(&word, &name)?;
                (name, body)
            }
            "program" => self.program()?,
            _ => {
                let help = "a definition begins with const, typedef, enum, struct, union or program; lines for C with %";
                let message = format!("{} where a definition should begin", shown(&start));
                return Err(self.error(start.at, message).with_help(help));
            }
        };
        self.mark(';', "a definition ends with it")?;
        let docs = self.with_docs_after(docs);
        self.define(Definition { name, docs, body });
        Ok(())
    }

    fn define(&mut self, definition: Definition) {
        self.definitions.push(definition);
    }

    fn constant(&mut self) -> Result<(Name, Body), Error> {
        let name = self.name("const wants a name")?;
        self.mark('=', "const NAME = VALUE;")?;
        if let Kind::Text(text) = &self.peek().kind {
            let text = text.clone();
            self.at += 1;
            return Ok((name, Body::Text(text)));
        }
        let value = self.value()?;
        Ok((name, Body::Const(value)))
    }

    /// A number, with its sign, or a name of one.
    fn value(&mut self) -> Result<Value, Error> {
        let token = self.next();
        match &token.kind {
            Kind::Number(number) => Ok(Value::Number((*number).into(), token.at)),
            Kind::Mark('-') => match self.next() {
                Token { kind: Kind::Number(number), at } => {
                    let at = Place { end: at.end.max(token.at.end), ..token.at };
                    Ok(Value::Number(-i128::from(number), at))
                }
                other => Err(self.error(other.at, format!("{} where a number should be", shown(&other)))),
            },
            Kind::Word(word) if !is_keyword(word) => {
                Ok(Value::Name(Name { text: word.clone(), at: token.at }))
            }
            _ => {
                let message = format!("{} where a number or a constant should be", shown(&token));
                Err(self.error(token.at, message))
            }
        }
    }

    /// A name that is defined here; `wants` says for what, if there is none.
    fn name(&mut self, wants: &str) -> Result<Name, Error> {
        let token = self.next();
        match &token.kind {
            Kind::Word(word) if !is_keyword(word) => Ok(Name { text: word.clone(), at: token.at }),
            Kind::Word(word) => {
                let message = format!("`{word}` is a word of the language and can't be a name");
                Err(self.error(token.at, message).with_help("take another name"))
            }
            _ => Err(self.error(token.at, format!("{wants}, not {}", shown(&token)))),
        }
    }

    fn mark(&mut self, mark: char, help: &str) -> Result<(), Error> {
        if self.take_mark(mark) {
            return Ok(());
        }
        let found = self.peek();
        // What is missing belongs to the end of what is there.
        let at = match self.at.checked_sub(1).and_then(|before| self.unit.tokens.get(before)) {
            Some(before) if found.kind == Kind::End && before.at.file == found.at.file => before.at,
            _ => found.at,
        };
        let message = format!("`{mark}` is missing before {}", shown(found));
        Err(self.error(at, message).with_help(help))
    }

    fn take_mark(&mut self, mark: char) -> bool {
        let taken = self.peek().kind == Kind::Mark(mark);
        self.at += usize::from(taken);
        taken
    }

    fn take_word(&mut self, word: &str) -> bool {
        let taken = self.is_word(word);
        self.at += usize::from(taken);
        taken
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(&self.peek().kind, Kind::Word(word) if &**word == wanted)
    }

    fn peek(&self) -> &Token {
        // The last token is the end, and is never passed.
        &self.unit.tokens[self.at.min(self.unit.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += usize::from(token.kind != Kind::End);
        token
    }

    fn error(&self, at: Place, message: impl Into<String>) -> Error {
        self.sources.error(at, message)
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// A token as a message names it.
fn shown(token: &Token) -> String {
    match &token.kind {
        Kind::Word(word) => format!("`{word}`"),
        Kind::Number(number) => format!("`{number}`"),
        Kind::Text(_) => "a text".to_owned(),
        Kind::Mark(mark) => format!("`{mark}`"),
        Kind::End => "the end of the file".to_owned(),
    }
}
