//! How the interface spells what it declares, for the documentation.

use super::coding::primitive_name;
use crate::ast::*;

/// A declaration.
pub(crate) fn declaration(declaration: &Declaration) -> String {
    let base = match &declaration.base {
        Base::Primitive(primitive) => primitive_spelling(*primitive),
        Base::Quadruple => "quadruple",
        Base::Opaque => "opaque",
        Base::String => "string",
        Base::Named(name) => &name.text,
    };
    let name = &declaration.name.text;
    let space = if name.is_empty() { "" } else { " " };
    match &declaration.shape {
        Shape::One => format!("{base}{space}{name}"),
        Shape::Optional => format!("{base} *{name}"),
        Shape::Fixed(length) => format!("{base}{space}{name}[{}]", value(length)),
        Shape::Variable(None) => format!("{base}{space}{name}<>"),
        Shape::Variable(Some(max)) => format!("{base}{space}{name}<{}>", value(max)),
    }
}

/// A number or the name of one.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Number(number, _) => number.to_string(),
        Value::Name(name) => name.text.to_string(),
    }
}

fn primitive_spelling(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::I8 => "char",
        Primitive::U8 => "unsigned char",
        Primitive::I16 => "short",
        Primitive::U16 => "unsigned short",
        Primitive::I32 => "int",
        Primitive::U32 => "unsigned int",
        Primitive::I64 => "hyper",
        Primitive::U64 => "unsigned hyper",
        Primitive::F32 => "float",
        Primitive::F64 => "double",
        Primitive::Bool => primitive_name(primitive),
    }
}
