//! Programs, versions and procedures: RFC 5531 section 12, with several arguments as `rpcgen -N` has them.

use super::{Parser, shown};
use crate::ast::*;
use crate::error::Error;
use crate::lex::Kind;

/// Arguments of a procedure at most.
const ARGUMENTS_MAX: usize = 64;

impl Parser<'_> {
    /// What follows `program`.
    pub(super) fn program(&mut self) -> Result<(Name, Body), Error> {
        let name = self.name("program wants a name")?;
        self.mark('{', "program NAME { version … } = NUMBER;")?;
        let mut versions = Vec::new();
        while !self.take_mark('}') {
            versions.push(self.version()?);
        }
        if versions.is_empty() {
            let help = "program NAME { version NAME { … } = 1; } = NUMBER;";
            return Err(self.error(name.at, "a program without a version").with_help(help));
        }
        self.mark('=', "program NAME { … } = NUMBER;")?;
        let number = self.value()?;
        Ok((name, Body::Program(Program { number, versions })))
    }

    fn version(&mut self) -> Result<Version, Error> {
        let docs = self.docs_before();
        if !self.take_word("version") {
            let found = self.peek().clone();
            let message = format!("{} where `version` or `}}` should be", shown(&found));
            return Err(self.error(found.at, message));
        }
        let name = self.name("version wants a name")?;
        self.mark('{', "version NAME { RESULT PROCEDURE(ARGUMENT) = NUMBER; } = NUMBER;")?;
        let mut procedures = Vec::new();
        while !self.take_mark('}') {
            procedures.push(self.procedure()?);
        }
        self.mark('=', "version NAME { … } = NUMBER;")?;
        let number = self.value()?;
        self.mark(';', "a version ends with it")?;
        let docs = self.with_docs_after(docs);
        Ok(Version { name, number, procedures, docs })
    }

    fn procedure(&mut self) -> Result<Procedure, Error> {
        const FORM: &str = "RESULT PROCEDURE(ARGUMENT, ARGUMENT) = NUMBER;";
        let docs = self.docs_before();
        let result = if self.take_word("void") { None } else { Some(self.unnamed(false)?) };
        let name = self.name("a procedure wants a name")?;
        self.mark('(', FORM)?;
        let mut arguments = Vec::new();
        if self.take_word("void") || self.peek().kind == Kind::Mark(')') {
            self.mark(')', FORM)?;
        } else {
            loop {
                arguments.push(self.unnamed(true)?);
                if arguments.len() > ARGUMENTS_MAX {
                    let message = format!("more than {ARGUMENTS_MAX} arguments");
                    return Err(self.error(name.at, message).with_help("put them into a struct"));
                }
                if !self.take_mark(',') {
                    self.mark(')', FORM)?;
                    break;
                }
            }
        }
        self.mark('=', FORM)?;
        let number = self.value()?;
        self.mark(';', FORM)?;
        let (docs, idempotent) = self.procedure_marks(docs)?;
        Ok(Procedure { name, number, arguments, result, docs, idempotent })
    }

    /// The type of a result or an argument, which may have a name and needs none.
    fn unnamed(&mut self, may_be_named: bool) -> Result<Declaration, Error> {
        let at = self.peek().at;
        let base = self.base("argument")?;
        let optional = self.take_mark('*');
        let nameless = Name { text: "".into(), at };
        let name = match &self.peek().kind {
            Kind::Word(_) if may_be_named => self.name("an argument's name")?,
            _ => nameless,
        };
        let bounded = matches!(self.peek().kind, Kind::Mark('<' | '['));
        match (&base, bounded) {
            // rpcgen takes a bare `string` here: one without a bound.
            (Base::String, false) if !optional => {
                Ok(Declaration { name, base, shape: Shape::Variable(None), docs: Docs::new() })
            }
            (Base::Opaque, false) => {
                let help = "give it a name: typedef opaque data<>;";
                Err(self.error(at, "opaque has a length").with_help(help))
            }
            _ => self.shape(base, optional, name),
        }
    }
}
