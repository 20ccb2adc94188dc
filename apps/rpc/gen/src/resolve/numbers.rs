//! Which number each name stands for: constants, members of enumerations, and what C knows.

use crate::ast::*;
use crate::error::Error;
use crate::expression;
use crate::lex::{Kind, Token};
use crate::source::{Place, Sources};
use std::collections::BTreeMap;

/// Numbers by name.
#[derive(Debug, Default)]
pub(crate) struct Numbers(BTreeMap<String, i128>);

impl Numbers {
    pub(crate) fn new(
        sources: &Sources,
        definitions: &[Definition],
        c_constants: &BTreeMap<String, Vec<Token>>,
    ) -> Result<Self, Error> {
        let mut meanings = BTreeMap::from([
            ("TRUE".to_owned(), tokens(1, Place { file: 0, start: 0, end: 0 })),
            ("FALSE".to_owned(), tokens(0, Place { file: 0, start: 0, end: 0 })),
        ]);
        meanings.extend(c_constants.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut own: BTreeMap<&str, Place> = BTreeMap::new();
        for definition in definitions {
            for (name, meaning) in meanings_of(&definition.name, &definition.body) {
                if own.insert(&name.text, name.at).is_some() {
                    let message = format!("there are two constants `{}`", name.text);
                    return Err(sources.error(name.at, message).with_help("rename one of them"));
                }
                meanings.insert(name.text.to_string(), meaning);
            }
        }
        let mut numbers = Self::default();
        let names = |name: &str| meanings.get(name).map(Vec::as_slice);
        for (name, meaning) in &meanings {
            match expression::evaluate(meaning, &names, false) {
                Ok(number) => drop(numbers.0.insert(name.clone(), number)),
                // What C knows need not be a number.
                Err(_) if !own.contains_key(name.as_str()) => {}
                Err(wrong) => {
                    let at = meaning.first().map(|token| token.at).or(own.get(name.as_str()).copied());
                    let at = at.or(wrong.at).unwrap_or(Place { file: 0, start: 0, end: 0 });
                    let message = format!("`{name}` has no value: {}", wrong.what);
                    return Err(sources
                        .error(at, message)
                        .with_help("a constant is a number, or names another constant"));
                }
            }
        }
        Ok(numbers)
    }

    pub(crate) fn get(&self, name: &str) -> Option<i128> {
        self.0.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The names that a definition gives to numbers, and what they stand for.
fn meanings_of<'d>(name: &'d Name, body: &'d Body) -> Vec<(&'d Name, Vec<Token>)> {
    match body {
        Body::Const(value) => vec![(name, meaning(value))],
        Body::Enum(members) => {
            // A member without a value counts on from the last one that has any.
            let mut start: Vec<Token> = tokens(0, name.at);
            let mut steps = 0;
            let mut meanings = Vec::new();
            for member in members {
                if let Some(value) = &member.value {
                    start = meaning(value);
                    steps = 0;
                }
                let mut sum = start.clone();
                if steps > 0 {
                    let at = member.name.at;
                    sum.push(Token { kind: Kind::Mark('+'), at });
                    sum.push(Token { kind: Kind::Number(steps), at });
                }
                steps += 1;
                meanings.push((&member.name, sum));
            }
            meanings
        }
        _ => Vec::new(),
    }
}

fn meaning(value: &Value) -> Vec<Token> {
    match value {
        Value::Number(number, at) => tokens(*number, *at),
        Value::Name(name) => vec![Token { kind: Kind::Word(name.text.clone()), at: name.at }],
    }
}

fn tokens(number: i128, at: Place) -> Vec<Token> {
    let absolute = Token { kind: Kind::Number(number.unsigned_abs() as u64), at };
    let minus = (number < 0).then_some(Token { kind: Kind::Mark('-'), at });
    minus.into_iter().chain([absolute]).collect()
}
