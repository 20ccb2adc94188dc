//! How a type is written in Rust, coded, and handed over.

use super::Emitter;
use super::text::Call;
use crate::ast::Primitive;
use crate::resolve::Type;

/// How a value that is to be coded is at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    /// By its place, such as `self.field`.
    Place(&'a str),
    /// By the name of a reference to it.
    Reference(&'a str),
    /// By a parameter of the type that [`Emitter::borrowed`] gives.
    Parameter(&'a str),
}

impl At<'_> {
    fn value(self) -> String {
        match self {
            At::Place(name) | At::Parameter(name) => name.to_owned(),
            At::Reference(name) => format!("*{name}"),
        }
    }

    fn reference(self) -> String {
        match self {
            At::Place(name) => format!("&{name}"),
            At::Reference(name) | At::Parameter(name) => name.to_owned(),
        }
    }

    fn name(self) -> String {
        match self {
            At::Place(name) | At::Reference(name) | At::Parameter(name) => name.to_owned(),
        }
    }
}

impl Emitter<'_> {
    /// The type in Rust.
    pub(super) fn rust(&self, found: &Type) -> String {
        match found {
            Type::Primitive(primitive) => primitive_name(*primitive).to_owned(),
            Type::OpaqueFixed(length) => format!("[u8; {length}]"),
            Type::OpaqueBoxed(length) => format!("Box<[u8; {length}]>"),
            Type::Opaque(_) if self.options.bytes => format!("{}::Bytes", self.xdr),
            Type::Opaque(_) => "Vec<u8>".to_owned(),
            Type::String(_) if self.options.string_bytes => "Vec<u8>".to_owned(),
            Type::String(_) => "String".to_owned(),
            Type::Defined(name) | Type::Alias(name) => self.type_name(name).to_owned(),
            Type::Fixed(element, length) => format!("[{}; {length}]", self.rust(element)),
            Type::FixedBoxed(element, length) => format!("Box<[{}; {length}]>", self.rust(element)),
            Type::Variable(element, _) | Type::List(element) => format!("Vec<{}>", self.rust(element)),
            Type::Option(inner) => format!("Option<{}>", self.rust(inner)),
            Type::OptionBox(inner) => format!("Option<Box<{}>>", self.rust(inner)),
            Type::Boxed(inner) => format!("Box<{}>", self.rust(inner)),
        }
    }

    /// The type of a parameter that such a value is read from.
    pub(super) fn borrowed(&self, found: &Type) -> String {
        match self.interface.target(found) {
            Type::Primitive(_) => self.rust(found),
            Type::Defined(name) if self.is_enum(&name) => self.rust(found),
            Type::String(_) if !self.options.string_bytes => "&str".to_owned(),
            Type::String(_) | Type::Opaque(_) => "&[u8]".to_owned(),
            Type::OpaqueBoxed(length) => format!("&[u8; {length}]"),
            Type::FixedBoxed(element, length) => format!("&[{}; {length}]", self.rust(&element)),
            Type::Variable(element, _) | Type::List(element) => format!("&[{}]", self.rust(&element)),
            _ => format!("&{}", self.rust(found)),
        }
    }

    /// Whether the Rust type has one coding, which its `Encode` and `Decode` are.
    pub(super) fn is_direct(&self, found: &Type) -> bool {
        match self.interface.target(found) {
            Type::Primitive(primitive) => {
                !matches!(primitive, Primitive::I8 | Primitive::U8 | Primitive::I16 | Primitive::U16)
            }
            Type::Defined(_) => true,
            _ => false,
        }
    }

    /// The call that appends a value to `to`.
    pub(super) fn put(&self, found: &Type, at: At<'_>) -> Call {
        // A parameter is of what a typedef stands for, so that its function can't be called.
        let target =
            if matches!(at, At::Parameter(_)) { self.interface.target(found) } else { found.clone() };
        match &target {
            Type::Primitive(primitive) => {
                Call::new(format!("to.put_{}", primitive_name(*primitive)), [at.value()])
            }
            Type::Defined(name) if self.is_enum(name) && matches!(at, At::Parameter(_)) => {
                Call::new("to.put", [format!("&{}", at.name())])
            }
            _ if self.is_direct(&target) => Call::new("to.put", [at.reference()]),
            Type::Alias(name) => {
                Call::new(format!("encode_{}", self.function_name(name)), [at.reference(), "to".to_owned()])
            }
            Type::Defined(_) => Call::new("to.put", [at.reference()]),
            Type::OpaqueFixed(_) | Type::OpaqueBoxed(_) => Call::new("to.put_opaque_fixed", [slice(at)]),
            Type::Opaque(max) => Call::new("to.put_opaque", [at.reference(), bound(*max)]),
            Type::String(max) if self.options.string_bytes => {
                Call::new("to.put_opaque", [at.reference(), bound(*max)])
            }
            Type::String(max) => Call::new("to.put_string", [at.reference(), bound(*max)]),
            Type::Fixed(element, _) | Type::FixedBoxed(element, _) => {
                Call::new("to.put_array_fixed", [slice(at), self.put_element(element)])
            }
            Type::Variable(element, max) => {
                Call::new("to.put_array", [at.reference(), bound(*max), self.put_element(element)])
            }
            Type::List(element) => Call::new("to.put_list", [at.reference(), self.put_element(element)]),
            Type::Option(inner) => {
                Call::new("to.put_option", [format!("{}.as_ref()", at.name()), self.put_element(inner)])
            }
            Type::OptionBox(inner) => {
                Call::new("to.put_option_box", [format!("{}.as_deref()", at.name()), self.put_element(inner)])
            }
            Type::Boxed(inner) => {
                Call::new("to.put_box", [format!("{}.as_ref()", at.name()), self.put_element(inner)])
            }
        }
    }

    /// The function that appends an element, whose arguments are a reference to it and the encoder.
    fn put_element(&self, element: &Type) -> String {
        match element {
            _ if self.is_direct(element) => format!("{}::Encode::encode", self.xdr),
            Type::Alias(name) => format!("encode_{}", self.function_name(name)),
            _ => format!("|value, to| {}", self.put(element, At::Reference("value")).one_line()),
        }
    }

    /// The call that takes a value from `from`, and what has to follow its `?` or go around it.
    pub(super) fn take(&self, found: &Type) -> Take {
        match found {
            Type::Primitive(primitive) => {
                Take::plain(Call::new(format!("from.take_{}", primitive_name(*primitive)), []))
            }
            _ if self.is_direct(found) => Take::plain(Call::new("from.take", [])),
            Type::Alias(name) => {
                let function = format!("decode_{}", self.function_name(name));
                Take::plain(Call::new(function, ["from".to_owned()]))
            }
            Type::Defined(_) => Take::plain(Call::new("from.take", [])),
            Type::OpaqueFixed(_) => Take::plain(Call::new("from.take_opaque_fixed", [])),
            Type::OpaqueBoxed(_) => {
                Take { before: "Box::new(", call: Call::new("from.take_opaque_fixed", []), after: "?)" }
            }
            Type::Opaque(max) if self.options.bytes => {
                Take::plain(Call::new("from.take_bytes", [bound(*max)]))
            }
            Type::Opaque(max) => Take::owned(Call::new("from.take_opaque", [bound(*max)]), "?.to_vec()"),
            Type::String(max) if self.options.string_bytes => {
                Take::owned(Call::new("from.take_opaque", [bound(*max)]), "?.to_vec()")
            }
            Type::String(max) => Take::owned(Call::new("from.take_string", [bound(*max)]), "?.to_owned()"),
            Type::Fixed(element, _) => {
                Take::plain(Call::new("from.take_array_fixed", [self.take_element(element)]))
            }
            Type::FixedBoxed(element, _) => {
                Take::plain(Call::new("from.take_array_boxed", [self.take_element(element)]))
            }
            Type::Variable(element, max) => {
                Take::plain(Call::new("from.take_array", [bound(*max), self.take_element(element)]))
            }
            Type::List(element) => Take::plain(Call::new("from.take_list", [self.take_element(element)])),
            Type::Option(inner) => Take::plain(Call::new("from.take_option", [self.take_element(inner)])),
            Type::OptionBox(inner) => {
                Take::plain(Call::new("from.take_option_box", [self.take_element(inner)]))
            }
            Type::Boxed(inner) => Take::plain(Call::new("from.take_box", [self.take_element(inner)])),
        }
    }

    /// The function that takes an element, whose argument is the decoder.
    fn take_element(&self, element: &Type) -> String {
        match element {
            _ if self.is_direct(element) => format!("{}::Decode::decode", self.xdr),
            Type::Alias(name) => format!("decode_{}", self.function_name(name)),
            _ => {
                let Take { before, call, after } = self.take(element);
                match after {
                    "?" => format!("|from| {}", call.one_line()),
                    _ => format!("|from| Ok({before}{}{after})", call.one_line()),
                }
            }
        }
    }
}

/// How a value is taken: a call that may fail, and what makes the value of it.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    pub(crate) before: &'static str,
    pub(crate) call: Call,
    /// Begins with `?`.
    pub(crate) after: &'static str,
}

impl Take {
    fn plain(call: Call) -> Self {
        Self { before: "", call, after: "?" }
    }

    fn owned(call: Call, after: &'static str) -> Self {
        Self { before: "", call, after }
    }
}

/// A fixed-length array as a slice, wherever it is.
fn slice(at: At<'_>) -> String {
    format!("{}.as_slice()", at.name())
}

fn bound(max: Option<u32>) -> String {
    max.map_or_else(|| "u32::MAX as usize".to_owned(), |max| max.to_string())
}

/// A primitive's name in Rust, with which the runtime's methods are named too.
pub(crate) fn primitive_name(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::I8 => "i8",
        Primitive::U8 => "u8",
        Primitive::I16 => "i16",
        Primitive::U16 => "u16",
        Primitive::I32 => "i32",
        Primitive::U32 => "u32",
        Primitive::I64 => "i64",
        Primitive::U64 => "u64",
        Primitive::F32 => "f32",
        Primitive::F64 => "f64",
        Primitive::Bool => "bool",
    }
}
