//! Declarations and the types in them.

use super::{NESTING_MAX, Parser, is_keyword, shown};
use crate::ast::*;
use crate::error::Error;
use crate::lex::Kind;

/// Names of C's integer types, which interfaces for rpcgen use as if they were words of the language.
const C_TYPES: [(&str, Primitive); 24] = [
    ("bool_t", Primitive::Bool),
    ("u_char", Primitive::U8),
    ("u_short", Primitive::U16),
    ("u_int", Primitive::U32),
    ("u_long", Primitive::U32),
    ("int8_t", Primitive::I8),
    ("int16_t", Primitive::I16),
    ("int32_t", Primitive::I32),
    ("int64_t", Primitive::I64),
    ("uint8_t", Primitive::U8),
    ("uint16_t", Primitive::U16),
    ("uint32_t", Primitive::U32),
    ("uint64_t", Primitive::U64),
    ("u_int8_t", Primitive::U8),
    ("u_int16_t", Primitive::U16),
    ("u_int32_t", Primitive::U32),
    ("u_int64_t", Primitive::U64),
    ("u_hyper", Primitive::U64),
    ("quad_t", Primitive::I64),
    ("u_quad_t", Primitive::U64),
    ("longlong_t", Primitive::I64),
    ("u_longlong_t", Primitive::U64),
    ("uint", Primitive::U32),
    ("ulong", Primitive::U32),
];

/// A type by the name that C has for it, unless the interface defines that name itself.
pub(crate) fn c_type(name: &str) -> Option<Primitive> {
    C_TYPES.iter().find(|(known, _)| *known == name).map(|(_, primitive)| *primitive)
}

impl Parser<'_> {
    /// `typedef` and what follows; none if it only repeats a name, as `typedef struct a a;` does.
    pub(super) fn typedef(&mut self) -> Result<Option<(Name, Body)>, Error> {
        // `typedef struct { … } name` is another way to write `struct name { … }`.
        if let Some(keyword) = self.written_type() {
            let declared = self.name_after_body();
            self.at += 1;
            let tag = match self.peek().kind {
                Kind::Word(_) if keyword != "union" || !self.is_word("switch") => Some(self.name("a name")?),
                _ => None,
            };
            let body = self.body(keyword, tag.as_ref().unwrap_or(&declared))?;
            let name = self.name("typedef wants a name")?;
            return match tag {
                Some(tag) if tag.text != name.text => {
                    let base = Base::Named(tag.clone());
                    self.define(Definition { name: tag, docs: Docs::new(), body });
                    let declared =
                        Declaration { name: name.clone(), base, shape: Shape::One, docs: Docs::new() };
                    Ok(Some((name, Body::Typedef(declared))))
                }
                _ => Ok(Some((name, body))),
            };
        }
        let declaration = self.declaration("typedef")?;
        if let (Base::Named(of), Shape::One) = (&declaration.base, &declaration.shape)
            && of.text == declaration.name.text
        {
            self.mark(';', "a definition ends with it")?;
            return Ok(None);
        }
        Ok(Some((declaration.name.clone(), Body::Typedef(declaration))))
    }

    /// The keyword of an enum, struct or union that is written out here.
    fn written_type(&self) -> Option<&'static str> {
        let keyword = ["enum", "struct", "union"].into_iter().find(|keyword| self.is_word(keyword))?;
        let is_brace = |n: usize| matches!(self.ahead(n), Some(Kind::Mark('{')));
        let is_switch = |n: usize| matches!(self.ahead(n), Some(Kind::Word(word)) if &**word == "switch");
        let written = match keyword {
            "union" => is_switch(1) || is_switch(2),
            _ => is_brace(1) || is_brace(2),
        };
        written.then_some(keyword)
    }

    fn ahead(&self, n: usize) -> Option<&Kind> {
        self.unit.tokens.get(self.at + n).map(|token| &token.kind)
    }

    /// The body of an enum, struct or union, whose keyword and name were read.
    pub(super) fn body(&mut self, keyword: &str, name: &Name) -> Result<Body, Error> {
        if self.depth >= NESTING_MAX {
            let message = format!("more than {NESTING_MAX} types inside each other");
            return Err(self.error(self.peek().at, message));
        }
        self.depth += 1;
        let body = match keyword {
            "enum" => self.members(),
            "struct" => self.fields(name),
            _ => self.union(name),
        };
        self.depth -= 1;
        body
    }

    fn members(&mut self) -> Result<Body, Error> {
        self.mark('{', "enum NAME { A = 0, B = 1 };")?;
        let mut members = Vec::new();
        loop {
            let docs = self.docs_before();
            let name = self.name("an enum wants names")?;
            let value = if self.take_mark('=') { Some(self.value()?) } else { None };
            let more = self.take_mark(',');
            let docs = self.with_docs_after(docs);
            members.push(Member { name, value, docs });
            if self.take_mark('}') {
                return Ok(Body::Enum(members));
            }
            if !more {
                self.mark(',', "it separates the names of an enum")?;
            }
        }
    }

    fn fields(&mut self, parent: &Name) -> Result<Body, Error> {
        self.mark('{', "struct NAME { TYPE FIELD; … };")?;
        let mut fields = Vec::new();
        while !self.take_mark('}') {
            let docs = self.docs_before();
            let declaration = self.declaration_or_void(&parent.text)?;
            self.mark(';', "each field ends with it")?;
            let docs = self.with_docs_after(docs);
            fields.extend(declaration.map(|declaration| Declaration { docs, ..declaration }));
        }
        Ok(Body::Struct(fields))
    }

    fn union(&mut self, parent: &Name) -> Result<Body, Error> {
        const FORM: &str = "union NAME switch (TYPE NAME) { case VALUE: TYPE NAME; default: void; };";
        if !self.take_word("switch") {
            let found = self.peek().clone();
            let message = format!("`switch` is missing before {}", shown(&found));
            return Err(self.error(found.at, message).with_help(FORM));
        }
        self.mark('(', FORM)?;
        let discriminant = self.declaration(&parent.text)?;
        self.mark(')', FORM)?;
        self.mark('{', FORM)?;
        let mut union = Union { discriminant, arms: Vec::new(), default: None, default_docs: Docs::new() };
        while !self.take_mark('}') {
            let docs = self.docs_before();
            let start = self.next();
            match &start.kind {
                Kind::Word(word) if &**word == "case" => {
                    let arm = self.arm(parent, docs)?;
                    union.arms.push(arm);
                }
                Kind::Word(word) if &**word == "default" => {
                    if union.default.is_some() {
                        return Err(self.error(start.at, "a second default"));
                    }
                    self.mark(':', "default: TYPE NAME;")?;
                    let (declaration, docs) = self.arm_data(parent, docs)?;
                    union.default = Some(declaration);
                    union.default_docs = docs;
                }
                _ => {
                    let message = format!("{} where `case`, `default` or `}}` should be", shown(&start));
                    return Err(self.error(start.at, message).with_help(FORM));
                }
            }
        }
        Ok(Body::Union(Box::new(union)))
    }

    /// The labels of an arm after its first `case`, and what it holds.
    fn arm(&mut self, parent: &Name, docs: Docs) -> Result<Arm, Error> {
        let mut labels = vec![self.value()?];
        self.mark(':', "case VALUE: TYPE NAME;")?;
        while self.take_word("case") {
            labels.push(self.value()?);
            self.mark(':', "case VALUE: TYPE NAME;")?;
        }
        let (declaration, docs) = self.arm_data(parent, docs)?;
        Ok(Arm { labels, declaration, docs })
    }

    fn arm_data(&mut self, parent: &Name, mut docs: Docs) -> Result<(Option<Declaration>, Docs), Error> {
        docs.extend(self.docs_before());
        let declaration = self.declaration_or_void(&parent.text)?;
        self.mark(';', "each arm ends with it; an empty one is `void;`")?;
        Ok((declaration, self.with_docs_after(docs)))
    }

    fn declaration_or_void(&mut self, parent: &str) -> Result<Option<Declaration>, Error> {
        if self.take_word("void") {
            return Ok(None);
        }
        self.declaration(parent).map(Some)
    }

    /// A type and a name, with `*`, `[n]` or `<n>`; a type that is written out here gets its name from `parent`.
    pub(super) fn declaration(&mut self, parent: &str) -> Result<Declaration, Error> {
        let base = self.base(parent)?;
        let optional = self.take_mark('*');
        let name = self.name("a declaration wants a name")?;
        self.shape(base, optional, name)
    }

    /// What follows the name of a declaration.
    pub(super) fn shape(&mut self, base: Base, optional: bool, name: Name) -> Result<Declaration, Error> {
        let open = self.peek().clone();
        let shape = if self.take_mark('[') {
            let length = self.value()?;
            self.mark(']', "TYPE NAME[LENGTH]")?;
            Shape::Fixed(length)
        } else if self.take_mark('<') {
            let bound = if self.peek().kind == Kind::Mark('>') { None } else { Some(self.value()?) };
            self.mark('>', "TYPE NAME<BOUND>, or TYPE NAME<>")?;
            Shape::Variable(bound)
        } else if optional {
            Shape::Optional
        } else {
            Shape::One
        };
        let second = self.peek().clone();
        let is_array = !matches!(shape, Shape::One | Shape::Optional);
        if optional && is_array {
            let help = "give the inner part a name of its own with typedef";
            return Err(self.error(open.at, "optional data and an array in one declaration").with_help(help));
        }
        if is_array && matches!(second.kind, Kind::Mark('[' | '<')) {
            let help = "give the inner array a name of its own with typedef";
            return Err(self.error(second.at, "an array of arrays in one declaration").with_help(help));
        }
        match (&base, &shape) {
            (Base::String, Shape::Variable(_)) | (Base::Opaque, Shape::Fixed(_) | Shape::Variable(_)) => {}
            (Base::String, _) => {
                let message = format!("a string has a bound: string {}<> or string {0}<255>", name.text);
                return Err(self.error(name.at, message));
            }
            (Base::Opaque, _) => {
                let message =
                    format!("opaque has a length: opaque {}[8], opaque {0}<> or opaque {0}<255>", name.text);
                return Err(self.error(name.at, message));
            }
            _ => {}
        }
        Ok(Declaration { name, base, shape, docs: Docs::new() })
    }

    /// A type, without what stands around the declared name.
    pub(super) fn base(&mut self, parent: &str) -> Result<Base, Error> {
        if let Some(keyword) = self.written_type() {
            return self.inner_type(keyword, parent);
        }
        let token = self.next();
        let Kind::Word(word) = &token.kind else {
            return Err(self.error(token.at, format!("{} where a type should be", shown(&token))));
        };
        let primitive = match &**word {
            "int" => Primitive::I32,
            "long" | "short" | "char" | "hyper" => self.c_integer(word, true),
            "unsigned" => self.unsigned(),
            "float" => Primitive::F32,
            "double" => Primitive::F64,
            "bool" => Primitive::Bool,
            "opaque" => return Ok(Base::Opaque),
            "string" => return Ok(Base::String),
            "struct" | "enum" | "union" => return self.name("a type's name should follow").map(Base::Named),
            "quadruple" => return Ok(Base::Quadruple),
            "void" => {
                return Err(self
                    .error(token.at, "void is no type of data")
                    .with_help("leave the declaration out"));
            }
            _ if is_keyword(word) => {
                return Err(self.error(token.at, format!("`{word}` where a type should be")));
            }
            _ => return Ok(Base::Named(Name { text: word.clone(), at: token.at })),
        };
        Ok(Base::Primitive(primitive))
    }

    fn unsigned(&mut self) -> Primitive {
        for word in ["long", "short", "char", "hyper"] {
            if self.take_word(word) {
                return self.c_integer(word, false);
            }
        }
        self.take_word("int");
        Primitive::U32
    }

    /// C's integers as rpcgen sends them: a long has four bytes on the wire, as an int has.
    fn c_integer(&mut self, word: &str, signed: bool) -> Primitive {
        if word != "char" {
            self.take_word("int");
        }
        match (word, signed) {
            ("hyper", true) => Primitive::I64,
            ("hyper", false) => Primitive::U64,
            ("short", true) => Primitive::I16,
            ("short", false) => Primitive::U16,
            ("char", true) => Primitive::I8,
            ("char", false) => Primitive::U8,
            (_, true) => Primitive::I32,
            (_, false) => Primitive::U32,
        }
    }

    /// A type that is written out inside of another one (RFC 4506 has them, rpcgen has not): it is defined beside it, by
    /// the names of both.
    fn inner_type(&mut self, keyword: &str, parent: &str) -> Result<Base, Error> {
        let docs = self.docs_before();
        let declared = self.name_after_body();
        self.at += 1;
        let tag = match (keyword, &self.peek().kind) {
            ("union", _) if self.is_word("switch") => None,
            (_, Kind::Word(_)) => Some(self.name("a name")?),
            _ => None,
        };
        let name = tag.unwrap_or_else(|| self.free_name(parent, &declared));
        let body = self.body(keyword, &name)?;
        self.define(Definition { name: name.clone(), docs, body });
        Ok(Base::Named(name))
    }

    /// A name for a type that has none, made of those of what it is in and of what is declared with it.
    fn free_name(&self, parent: &str, declared: &Name) -> Name {
        let first = format!("{parent}_{}", declared.text);
        let others = (2..).map(|number: u64| format!("{first}_{number}"));
        let taken = |name: &String| self.definitions.iter().any(|definition| *definition.name.text == **name);
        let text = std::iter::once(first.clone()).chain(others).find(|name| !taken(name)).unwrap_or(first);
        Name { text: text.into(), at: declared.at }
    }

    /// The name that is declared behind the body of the type that is written out here. Where it is missing, parsing fails
    /// when it gets there.
    fn name_after_body(&self) -> Name {
        let start = self.peek().at;
        let (mut open, mut has_body) = (0usize, false);
        for token in self.unit.tokens.iter().skip(self.at) {
            match &token.kind {
                Kind::Mark('{') => {
                    open += 1;
                    has_body = true;
                }
                Kind::Mark('}') => open = open.saturating_sub(1),
                Kind::Mark(';') if open == 0 => break,
                Kind::Word(word) if open == 0 && has_body => {
                    return Name { text: word.clone(), at: token.at };
                }
                _ => {}
            }
        }
        Name { text: "unnamed".into(), at: start }
    }
}
