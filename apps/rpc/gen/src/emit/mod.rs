//! From an interface to the text of a Rust module.

mod client;
mod coding;
mod machine;
mod program;
mod server;
mod spelling;
mod text;
mod types;
mod unions;

use crate::Options;
use crate::ast::*;
use crate::names::{RUST_TYPES, Scope, camel, screaming, snake};
use crate::resolve::Interface;
use std::collections::BTreeMap;
use std::rc::Rc;
use text::Text;

/// The Rust of an interface; `origin` is the file's name for the first line.
pub(crate) fn emit(interface: &Interface, options: &Options, origin: &str) -> String {
    let mut emitter = Emitter::new(interface, options);
    emitter.out.line(format!("// Made by tapstack-rpcgen from {origin}: change that file, not this one."));
    for definition in &interface.definitions {
        emitter.out.gap();
        emitter.definition(definition);
    }
    emitter.out.finish()
}

struct Emitter<'i> {
    interface: &'i Interface,
    options: &'i Options,
    /// The path of the coding's crate.
    xdr: String,
    out: Text,
    /// Rust's name for each type.
    types: BTreeMap<Rc<str>, String>,
    /// Names of types, traits and modules.
    type_scope: Scope,
    /// Names of constants and functions.
    value_scope: Scope,
    /// The endings of the coding functions of each typedef.
    functions: BTreeMap<Rc<str>, String>,
}

impl<'i> Emitter<'i> {
    fn new(interface: &'i Interface, options: &'i Options) -> Self {
        let with_stubs = options.client || options.server;
        let xdr = match (&options.xdr_path, with_stubs) {
            (Some(path), _) => path.clone(),
            (None, true) => format!("{}::xdr", options.rpc_path),
            (None, false) => "tapstack_xdr".to_owned(),
        };
        let mut types = BTreeMap::new();
        let mut type_scope = Scope::with(RUST_TYPES);
        let mut functions = BTreeMap::new();
        let mut function_scope = Scope::default();
        for definition in &interface.definitions {
            let name = &definition.name.text;
            match definition.body {
                Body::Enum(_) | Body::Struct(_) | Body::Union(_) => {
                    types.insert(Rc::clone(name), type_scope.take(camel(name)));
                }
                Body::Typedef(_) => {
                    types.insert(Rc::clone(name), type_scope.take(camel(name)));
                    functions.insert(Rc::clone(name), function_scope.take(format!("x_{}", snake(name))));
                }
                _ => {}
            }
        }
        // The scope was for `x_name`, so that keywords need no escape behind `encode_` and `decode_`.
        functions.values_mut().for_each(|name| *name = name.trim_start_matches("x_").to_owned());
        Self {
            interface,
            options,
            xdr,
            out: Text::default(),
            types,
            type_scope,
            value_scope: Scope::default(),
            functions,
        }
    }

    fn definition(&mut self, definition: &Definition) {
        match &definition.body {
            Body::Const(value) => self.constant(definition, value),
            Body::Text(text) => self.text_constant(definition, text),
            Body::Enum(members) => self.enumeration(definition, members),
            Body::Struct(fields) => self.structure(definition, fields),
            Body::Union(union) => self.union(definition, union),
            Body::Typedef(declaration) => self.typedef(definition, declaration),
            Body::Program(program) => self.program(definition, program),
        }
    }

    fn constant(&mut self, definition: &Definition, value: &Value) {
        let number = self.interface.number(value);
        let (kind, number) = match number {
            0..=0xffff_ffff => ("u32", number),
            _ if i32::try_from(number).is_ok() => ("i32", number),
            _ if number < 0 => ("i64", number),
            _ => ("u64", number),
        };
        let name = self.value_scope.take(screaming(&definition.name.text));
        let spelled = format!("const {} = {}", definition.name.text, spelling::value(value));
        self.document(&spelled, &definition.docs);
        self.out.line(format!("pub const {name}: {kind} = {number};"));
    }

    fn text_constant(&mut self, definition: &Definition, text: &str) {
        let name = self.value_scope.take(screaming(&definition.name.text));
        self.document(&format!("const {} = \"…\"", definition.name.text), &definition.docs);
        let text = text.replace("\\\"", "\"").replace("\\\\", "\\");
        let one = format!("pub const {name}: &str = {text:?};");
        if one.chars().count() <= 100 {
            return self.out.line(one);
        }
        self.out.open(format!("pub const {name}: &str ="));
        self.out.line(format!("{text:?};"));
        self.out.close_without_line();
    }

    /// Documentation: how the interface spells it, then what its comments say.
    fn document(&mut self, spelled: &str, docs: &[String]) {
        let spelled = spelled.replace('`', "'");
        match text::plain(docs).as_slice() {
            [] => self.out.doc(format!("`{spelled}`")),
            [one] if one.len() + spelled.len() < 90 => self.out.doc(format!("`{spelled}`: {one}")),
            lines => self.out.docs(&[vec![format!("`{spelled}`")], lines.to_vec()]),
        }
    }

    fn type_name(&self, name: &str) -> &str {
        self.types.get(name).map_or("()", String::as_str)
    }

    fn function_name(&self, name: &str) -> &str {
        self.functions.get(name).map_or("", String::as_str)
    }

    fn is_enum(&self, name: &str) -> bool {
        self.interface.definition(name).is_some_and(|definition| matches!(definition.body, Body::Enum(_)))
    }
}
