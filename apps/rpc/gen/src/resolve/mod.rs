//! What the names of an interface mean: numbers, types, and how types hold each other.

mod check;
mod graph;
mod lookup;
mod numbers;

pub(crate) use lookup::gather;

use crate::ast::*;
use crate::error::{Error, nearest};
use crate::lex::Token;
use crate::source::{Place, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bytes in memory of a fixed-length array, above which it goes on the heap.
const INLINE_BYTES_MAX: u64 = 1024;

/// Of a quadruple-precision number (RFC 4506 section 4.8).
const QUADRUPLE_BYTES: u32 = 16;

/// Bytes in memory of any type at most.
const TYPE_BYTES_MAX: u64 = 1 << 30;

/// An interface whose names are looked up and whose types are checked.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) definitions: Vec<Definition>,
    types: BTreeMap<Rc<str>, usize>,
    numbers: numbers::Numbers,
    holds: graph::Holds,
}

/// The Rust type of what is declared, and so its coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Primitive(Primitive),
    OpaqueFixed(u32),
    /// On the heap.
    OpaqueBoxed(u32),
    Opaque(Option<u32>),
    String(Option<u32>),
    /// A struct, union or enum.
    Defined(Rc<str>),
    /// A typedef.
    Alias(Rc<str>),
    Fixed(Box<Type>, u32),
    /// On the heap.
    FixedBoxed(Box<Type>, u32),
    Variable(Box<Type>, Option<u32>),
    Option(Box<Type>),
    OptionBox(Box<Type>),
    /// A linked list.
    List(Box<Type>),
    /// On the heap, since it may hold what it is in.
    Boxed(Box<Type>),
}

/// Looks up and checks all names. `c_constants` are numbers that C knows by name.
pub(crate) fn resolve(
    sources: &Sources,
    definitions: Vec<Definition>,
    c_constants: &BTreeMap<String, Vec<Token>>,
) -> Result<Interface, Error> {
    let mut types: BTreeMap<Rc<str>, usize> = BTreeMap::new();
    for (index, definition) in definitions.iter().enumerate() {
        if is_type(definition) && types.insert(Rc::clone(&definition.name.text), index).is_some() {
            let message = format!("there are two types `{}`", definition.name.text);
            return Err(sources.error(definition.name.at, message).with_help("rename one of them"));
        }
    }
    let numbers = numbers::Numbers::new(sources, &definitions, c_constants)?;
    let mut interface = Interface { definitions, types, numbers, holds: graph::Holds::default() };
    interface.check_names(sources)?;
    interface.check(sources)?;
    interface.holds = graph::Holds::new(sources, &interface)?;
    Ok(interface)
}

fn is_type(definition: &Definition) -> bool {
    matches!(definition.body, Body::Enum(_) | Body::Struct(_) | Body::Union(_) | Body::Typedef(_))
}

impl Interface {
    /// The type that a declaration in `owner` gives.
    pub(crate) fn type_of(&self, owner: &str, declaration: &Declaration) -> Type {
        let element = |base: &Base| match base {
            Base::Primitive(primitive) => Type::Primitive(*primitive),
            Base::Quadruple => Type::OpaqueFixed(QUADRUPLE_BYTES),
            Base::Opaque => Type::Opaque(None),
            Base::String => Type::String(None),
            Base::Named(name) => match self.definition(&name.text).map(|definition| &definition.body) {
                Some(Body::Typedef(_)) => Type::Alias(Rc::clone(&name.text)),
                Some(_) => Type::Defined(Rc::clone(&name.text)),
                None => Type::Primitive(crate::parse::c_type(&name.text).unwrap_or(Primitive::I32)),
            },
        };
        let bound = |value: &Option<Value>| value.as_ref().map(|value| self.length(value));
        match (&declaration.base, &declaration.shape) {
            (Base::Opaque, Shape::Fixed(length)) => match self.length(length) {
                length if u64::from(length) > INLINE_BYTES_MAX => Type::OpaqueBoxed(length),
                length => Type::OpaqueFixed(length),
            },
            (Base::Opaque, Shape::Variable(max)) => Type::Opaque(bound(max)),
            (Base::String, Shape::Variable(max)) => Type::String(bound(max)),
            (base, Shape::One) => element(base),
            (base, Shape::Fixed(length)) => {
                let (element, length) = (Box::new(element(base)), self.length(length));
                if self.holds.array_bytes(base, length) > INLINE_BYTES_MAX {
                    Type::FixedBoxed(element, length)
                } else {
                    Type::Fixed(element, length)
                }
            }
            (base, Shape::Variable(max)) => Type::Variable(Box::new(element(base)), bound(max)),
            (base, Shape::Optional) => {
                let inner = Box::new(element(base));
                match base {
                    Base::Named(name) if self.holds.is_list(&name.text) => Type::List(inner),
                    Base::Named(name) if self.holds.meet(owner, &name.text) => Type::OptionBox(inner),
                    _ => Type::Option(inner),
                }
            }
        }
    }

    /// The type of a union's arm.
    pub(crate) fn arm_type(&self, owner: &str, declaration: &Declaration) -> Type {
        let found = self.type_of(owner, declaration);
        match &declaration.base {
            Base::Named(name)
                if matches!(declaration.shape, Shape::One | Shape::Fixed(_))
                    && self.holds.meet(owner, &name.text) =>
            {
                Type::Boxed(Box::new(found))
            }
            _ => found,
        }
    }

    /// What a typedef stands for, through other typedefs.
    pub(crate) fn target(&self, found: &Type) -> Type {
        let mut found = found.clone();
        while let Type::Alias(name) = &found {
            match self.definition(name).map(|definition| &definition.body) {
                Some(Body::Typedef(declaration)) => found = self.type_of(name, declaration),
                _ => break,
            }
        }
        found
    }

    /// The definition of a type.
    pub(crate) fn definition(&self, name: &str) -> Option<&Definition> {
        self.types.get(name).and_then(|index| self.definitions.get(*index))
    }

    /// The fields of a struct, without the link to the next one if it is an element of linked lists.
    pub(crate) fn fields<'a>(
        &self,
        name: &str,
        fields: &'a [Declaration],
    ) -> (&'a [Declaration], Option<&'a Declaration>) {
        match fields.split_last() {
            Some((link, rest)) if self.holds.is_list(name) => (rest, Some(link)),
            _ => (fields, None),
        }
    }

    /// Whether a type has a floating-point number somewhere, so that it can't be `Eq`.
    pub(crate) fn has_float(&self, name: &str) -> bool {
        self.holds.has_float(name)
    }

    /// The number that a value stands for; all were checked.
    pub(crate) fn number(&self, value: &Value) -> i128 {
        match value {
            Value::Number(number, _) => *number,
            Value::Name(name) => self.numbers.get(&name.text).unwrap_or_default(),
        }
    }

    fn length(&self, value: &Value) -> u32 {
        self.number(value).try_into().unwrap_or_default()
    }

    /// The members of an enumeration with their numbers.
    pub(crate) fn members<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = (&'a Member, i32)> {
        members.iter().map(|member| {
            // Those above 2^31 are the same 32 bits, as C has them.
            let number = self.numbers.get(&member.name.text).unwrap_or_default();
            (member, number as i32)
        })
    }

    fn check_names(&self, sources: &Sources) -> Result<(), Error> {
        for definition in &self.definitions {
            let mut seen = BTreeSet::new();
            for declaration in declarations(&definition.body) {
                if let Base::Named(name) = &declaration.base
                    && self.definition(&name.text).is_none()
                    && crate::parse::c_type(&name.text).is_none()
                {
                    return Err(self.no_type(sources, name));
                }
                let name = &declaration.name;
                let is_field = matches!(definition.body, Body::Struct(_));
                if is_field && !seen.insert(&*name.text) {
                    let message = format!("a second field `{}` in `{}`", name.text, definition.name.text);
                    return Err(sources.error(name.at, message));
                }
            }
        }
        Ok(())
    }

    fn no_type(&self, sources: &Sources, name: &Name) -> Error {
        let error = sources.error(name.at, format!("there is no type `{}`", name.text));
        match nearest(&name.text, self.types.keys().map(|known| &**known)) {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => error.with_help("define it, or include the file that does: #include \"file.x\""),
        }
    }

    fn no_number(&self, sources: &Sources, name: &Name) -> Error {
        let error = sources.error(name.at, format!("there is no constant `{}`", name.text));
        match nearest(&name.text, self.numbers.names()) {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => error.with_help(format!("define it: const {} = 1;", name.text)),
        }
    }

    /// The number of a value, or why there is none.
    fn checked(&self, sources: &Sources, value: &Value) -> Result<i128, Error> {
        match value {
            Value::Number(number, _) => Ok(*number),
            Value::Name(name) => self.numbers.get(&name.text).ok_or_else(|| self.no_number(sources, name)),
        }
    }

    fn checked_u32(&self, sources: &Sources, value: &Value, what: &str) -> Result<u32, Error> {
        let number = self.checked(sources, value)?;
        number.try_into().map_err(|_| out_of_range(sources, value.at(), what, number))
    }
}

fn out_of_range(sources: &Sources, at: Place, what: &str, number: i128) -> Error {
    sources.error(at, format!("{what} is from 0 to 2^32 - 1, not {number}"))
}

/// All declarations that a definition has.
pub(crate) fn declarations(body: &Body) -> Vec<&Declaration> {
    match body {
        Body::Const(_) | Body::Text(_) | Body::Enum(_) => Vec::new(),
        Body::Struct(fields) => fields.iter().collect(),
        Body::Typedef(declaration) => vec![declaration],
        Body::Union(union) => {
            let arms = union.arms.iter().filter_map(|arm| arm.declaration.as_ref());
            std::iter::once(&union.discriminant).chain(arms).chain(union.default.iter().flatten()).collect()
        }
        Body::Program(program) => {
            let procedures = program.versions.iter().flat_map(|version| &version.procedures);
            procedures.flat_map(|procedure| procedure.arguments.iter().chain(&procedure.result)).collect()
        }
    }
}
