//! Comments that say what a definition is for, and the mark in them.

use super::Parser;
use crate::ast::Docs;
use crate::error::Error;

/// What a procedure's comment says if it may be executed twice without harm.
const IDEMPOTENT: &str = "@idempotent";

impl Parser<'_> {
    /// The comments directly before the next token: on lines of their own, no empty line between.
    pub(super) fn docs_before(&self) -> Docs {
        let mut found = Vec::new();
        for comment in self.comments_at(self.at).iter().rev() {
            if comment.trails || comment.apart {
                break;
            }
            found.push(lines(&comment.text));
        }
        found.into_iter().rev().flatten().collect()
    }

    /// The same and the comments that follow in the last token's line.
    pub(super) fn with_docs_after(&self, mut docs: Docs) -> Docs {
        let after = self.comments_at(self.at).iter().take_while(|comment| comment.trails);
        docs.extend(after.flat_map(|comment| lines(&comment.text)));
        docs
    }

    /// Completes a procedure's comments, and finds the mark in them.
    pub(super) fn procedure_marks(&self, docs: Docs) -> Result<(Docs, bool), Error> {
        let mut docs = self.with_docs_after(docs);
        let mut idempotent = false;
        for line in &mut docs {
            let Some(rest) = line.strip_prefix('@') else { continue };
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, rest) = rest.split_at(end);
            if word != &IDEMPOTENT[1..] {
                let at = self.unit.tokens[self.at.saturating_sub(1)].at;
                let message = format!("there is no mark `@{word}` for a procedure");
                return Err(self.error(at, message).with_help(format!("known is {IDEMPOTENT}")));
            }
            idempotent = true;
            *line = rest.trim_start_matches([':', ',', '.', ' ']).to_owned();
        }
        docs.retain(|line| !line.is_empty());
        Ok((docs, idempotent))
    }

    fn comments_at(&self, token: usize) -> &[crate::preprocess::Comment] {
        let comments = &self.unit.comments;
        let start = comments.partition_point(|comment| comment.before < token);
        let end = comments.partition_point(|comment| comment.before <= token);
        comments.get(start..end).unwrap_or_default()
    }
}

/// A comment's lines without the stars and blanks around them, and without empty ones.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim().trim_start_matches(['*', '/', '!']).trim_end_matches('*').trim())
        .filter(|line| line.chars().any(char::is_alphanumeric))
        .map(str::to_owned)
        .collect()
}
