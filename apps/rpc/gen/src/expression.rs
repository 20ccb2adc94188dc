//! Numbers made of numbers, as `#if` and `%#define` lines have them.

use crate::lex::{Kind, Token};
use crate::source::Place;

/// Levels of parentheses, signs and names within names.
const NESTING_MAX: usize = 64;

/// Steps that one expression may take, since a name may stand for other names, each several times.
const STEPS_MAX: usize = 10_000;

/// The operators with two sides, from the weakest to the strongest.
const LEVELS: [&[&str]; 9] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<<", ">>", "<", ">"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: Option<Place>,
    pub(crate) what: String,
}

/// What a name stands for.
pub(crate) type Names<'a> = dyn Fn(&str) -> Option<&'a [Token]> + 'a;

/// The value of an expression. With `lenient`, as in `#if`, `defined` is known, and a name that stands for nothing is 0.
pub(crate) fn evaluate(tokens: &[Token], names: &Names<'_>, lenient: bool) -> Result<i128, Wrong> {
    let mut steps = STEPS_MAX;
    Evaluator { tokens, at: 0, names, lenient, depth: 0, steps: &mut steps }.whole()
}

struct Evaluator<'t, 'n> {
    tokens: &'t [Token],
    at: usize,
    names: &'t Names<'n>,
    lenient: bool,
    depth: usize,
    steps: &'t mut usize,
}

impl Evaluator<'_, '_> {
    fn whole(&mut self) -> Result<i128, Wrong> {
        let value = self.level(0)?;
        match self.tokens.get(self.at) {
            None => Ok(value),
            Some(_) => Err(self.wrong("it should end here")),
        }
    }

    fn level(&mut self, level: usize) -> Result<i128, Wrong> {
        let Some(operators) = LEVELS.get(level) else { return self.single() };
        let mut left = self.level(level + 1)?;
        while let Some(operator) = operators.iter().copied().find(|operator| self.is_next(operator)) {
            self.at += operator.len();
            let right = self.level(level + 1)?;
            left = apply(operator, left, right).ok_or_else(|| self.wrong("no number that can be held"))?;
        }
        Ok(left)
    }

    /// Whether an operator comes next, and not a longer one that begins like it.
    fn is_next(&self, operator: &str) -> bool {
        let marks = |n: usize| self.tokens.get(self.at..self.at + n).unwrap_or_default();
        let same = |tokens: &[Token], text: &str| {
            tokens.len() == text.len()
                && tokens.iter().zip(text.chars()).all(|(t, c)| t.kind == Kind::Mark(c))
        };
        let longer = LEVELS.iter().copied().flatten().any(|other| {
            other.len() > operator.len() && other.starts_with(operator) && same(marks(other.len()), other)
        });
        same(marks(operator.len()), operator) && !longer
    }

    fn single(&mut self) -> Result<i128, Wrong> {
        *self.steps = self.steps.checked_sub(1).ok_or_else(|| self.wrong("too long"))?;
        if self.depth >= NESTING_MAX {
            return Err(self.wrong("too deeply nested"));
        }
        self.depth += 1;
        let value = self.unnested();
        self.depth -= 1;
        value
    }

    fn unnested(&mut self) -> Result<i128, Wrong> {
        let token = self.tokens.get(self.at).ok_or_else(|| self.wrong("a number is missing"))?;
        self.at += 1;
        match &token.kind {
            Kind::Number(number) => Ok((*number).into()),
            Kind::Mark('(') => {
                let value = self.level(0)?;
                self.close()?;
                Ok(value)
            }
            Kind::Mark('-') => Ok(self.single()?.wrapping_neg()),
            Kind::Mark('+') => self.single(),
            Kind::Mark('!') => Ok((self.single()? == 0).into()),
            Kind::Mark('~') => Ok(!self.single()?),
            Kind::Word(word) if &**word == "defined" && self.lenient => self.defined(),
            Kind::Word(word) => self.named(word),
            _ => {
                self.at -= 1;
                Err(self.wrong("a number is missing"))
            }
        }
    }

    fn defined(&mut self) -> Result<i128, Wrong> {
        let parenthesis = self.is_next("(");
        self.at += usize::from(parenthesis);
        let Some(Token { kind: Kind::Word(word), .. }) = self.tokens.get(self.at) else {
            return Err(self.wrong("`defined` wants a name"));
        };
        self.at += 1;
        if parenthesis {
            self.close()?;
        }
        Ok((self.names)(word).is_some().into())
    }

    fn named(&mut self, word: &str) -> Result<i128, Wrong> {
        match (self.names)(word) {
            Some(tokens) => {
                let (names, lenient, depth) = (self.names, self.lenient, self.depth);
                Evaluator { tokens, at: 0, names, lenient, depth, steps: self.steps }.whole()
            }
            None if self.lenient => Ok(0),
            None => {
                self.at -= 1;
                Err(self.wrong(&format!("there is no constant `{word}`")))
            }
        }
    }

    fn close(&mut self) -> Result<(), Wrong> {
        if !self.is_next(")") {
            return Err(self.wrong("`)` is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn wrong(&self, what: &str) -> Wrong {
        let at = self.tokens.get(self.at).or(self.tokens.last()).map(|token| token.at);
        Wrong { at, what: what.to_owned() }
    }
}

fn apply(operator: &str, left: i128, right: i128) -> Option<i128> {
    let shift = u32::try_from(right).ok().filter(|bits| *bits < 64);
    match operator {
        "||" => Some((left != 0 || right != 0).into()),
        "&&" => Some((left != 0 && right != 0).into()),
        "|" => Some(left | right),
        "^" => Some(left ^ right),
        "&" => Some(left & right),
        "==" => Some((left == right).into()),
        "!=" => Some((left != right).into()),
        "<=" => Some((left <= right).into()),
        ">=" => Some((left >= right).into()),
        "<" => Some((left < right).into()),
        ">" => Some((left > right).into()),
        "<<" => left.checked_mul(1i128.checked_shl(shift?)?),
        ">>" => left.checked_shr(shift?),
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        _ => None,
    }
}
