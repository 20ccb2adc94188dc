//! An interface as it is written: definitions in their order, names not yet looked up.

use crate::source::Place;
use std::rc::Rc;

/// A name where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: Rc<str>,
    pub(crate) at: Place,
}

/// What a comment says, line by line.
pub(crate) type Docs = Vec<String>;

/// One definition.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: Name,
    pub(crate) docs: Docs,
    pub(crate) body: Body,
}

/// What is defined.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Const(Value),
    /// A constant of text, which rpcgen has and RFC 4506 has not.
    Text(Rc<str>),
    Enum(Vec<Member>),
    Struct(Vec<Declaration>),
    Union(Box<Union>),
    Typedef(Declaration),
    Program(Program),
}

/// A number, or the name of one.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(i128, Place),
    Name(Name),
}

impl Value {
    pub(crate) fn at(&self) -> Place {
        match self {
            Value::Number(_, at) => *at,
            Value::Name(name) => name.at,
        }
    }
}

/// A member of an enumeration; without a value it is one more than the member before.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) value: Option<Value>,
    pub(crate) docs: Docs,
}

/// A type with a name for what has it.
#[derive(Clone, Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Name,
    pub(crate) base: Base,
    pub(crate) shape: Shape,
    pub(crate) docs: Docs,
}

/// What one element is.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    Primitive(Primitive),
    /// Of which Rust has no type: its bytes.
    Quadruple,
    Opaque,
    String,
    Named(Name),
}

/// How many of it there are.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    One,
    /// `*name`
    Optional,
    /// `name[n]`
    Fixed(Value),
    /// `name<n>`, or `name<>`
    Variable(Option<Value>),
}

/// The types that need no definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    Bool,
}

/// A choice by a discriminant.
#[derive(Clone, Debug)]
pub(crate) struct Union {
    pub(crate) discriminant: Declaration,
    pub(crate) arms: Vec<Arm>,
    /// The default's declaration; `Some(None)` is void.
    pub(crate) default: Option<Option<Declaration>>,
    pub(crate) default_docs: Docs,
}

/// One arm with all its labels.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) labels: Vec<Value>,
    /// Void if there is none.
    pub(crate) declaration: Option<Declaration>,
    pub(crate) docs: Docs,
}

/// A program with its versions.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) number: Value,
    pub(crate) versions: Vec<Version>,
}

/// A version with its procedures.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: Name,
    pub(crate) number: Value,
    pub(crate) procedures: Vec<Procedure>,
    pub(crate) docs: Docs,
}

/// A procedure.
#[derive(Clone, Debug)]
pub(crate) struct Procedure {
    pub(crate) name: Name,
    pub(crate) number: Value,
    /// Declarations whose names are empty where the interface has none.
    pub(crate) arguments: Vec<Declaration>,
    /// Void if there is none.
    pub(crate) result: Option<Declaration>,
    pub(crate) docs: Docs,
    pub(crate) idempotent: bool,
}
