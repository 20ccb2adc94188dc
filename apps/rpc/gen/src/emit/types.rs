//! Enums, structs and typedefs.

use super::coding::{At, Take};
use super::text::Call;
use super::{Emitter, spelling};
use crate::ast::*;
use crate::names::{Scope, camel, screaming, snake};
use crate::resolve::Type;

/// Columns of a struct's fields that rustfmt leaves on one line.
const SHORT_STRUCT_COLUMNS_MAX: usize = 18;

impl Emitter<'_> {
    /// The variants of an enumeration, and its further names for the same numbers.
    pub(super) fn variants<'m>(&self, members: &'m [Member]) -> (Vec<Variant<'m>>, Vec<(&'m Member, String)>)
    where
        Self: 'm,
    {
        let mut scope = Scope::default();
        let mut variants: Vec<Variant<'m>> = Vec::new();
        let mut others = Vec::new();
        for (member, (_, number)) in members.iter().zip(self.interface.members(members)) {
            match variants.iter().find(|variant| variant.number == number) {
                Some(variant) => others.push((member, variant.name.clone())),
                None => {
                    let name = scope.take(camel(&member.name.text));
                    variants.push(Variant { member, number, name });
                }
            }
        }
        (variants, others)
    }

    pub(super) fn enumeration(&mut self, definition: &Definition, members: &[Member]) {
        let (variants, others) = self.variants(members);
        let (name, xdr) = (self.type_name(&definition.name.text).to_owned(), self.xdr.clone());
        self.document(&format!("enum {}", definition.name.text), &definition.docs);
        self.out.line("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
        self.out.line("#[repr(i32)]");
        self.out.open(format!("pub enum {name} {{"));
        for variant in &variants {
            self.document(&variant.member.name.text, &variant.member.docs);
            self.out.line(format!("{} = {},", variant.name, variant.number));
        }
        self.out.close("}");

        if !others.is_empty() {
            self.out.gap();
            self.out.open(format!("impl {name} {{"));
            let mut scope = Scope::default();
            for (member, same) in others {
                let constant = scope.take(screaming(&member.name.text));
                self.document(&member.name.text, &member.docs);
                self.out.line(format!("pub const {constant}: Self = Self::{same};"));
            }
            self.out.close("}");
        }

        self.out.gap();
        self.out.open(format!("impl TryFrom<i32> for {name} {{"));
        self.out.line(format!("type Error = {xdr}::Error;"));
        self.out.gap();
        self.out.signature("fn try_from", &["value: i32".to_owned()], " -> Result<Self, Self::Error> {");
        self.out.open("match value {");
        for variant in &variants {
            self.out.line(format!("{} => Ok(Self::{}),", variant.number, variant.name));
        }
        let spelled = format!("{:?}", &*definition.name.text);
        let refusal = Call::new(format!("{xdr}::no_member"), [spelled, "value".to_owned()]);
        self.out.call("_ => ", &refusal, ",");
        self.out.close("}");
        self.out.close("}");
        self.out.close("}");

        self.encode_head(&name, false);
        self.out.line("to.put_i32(*self as i32)");
        self.close_impl();
        self.decode_head(&name);
        self.out.line("from.take_i32()?.try_into()");
        self.close_impl();
    }

    pub(super) fn structure(&mut self, definition: &Definition, fields: &[Declaration]) {
        let owner = &definition.name.text;
        let (fields, link) = self.interface.fields(owner, fields);
        let mut scope = Scope::default();
        let fields: Vec<(String, Type, &Declaration)> = fields
            .iter()
            .map(|field| (scope.take(snake(&field.name.text)), self.interface.type_of(owner, field), field))
            .collect();
        let name = self.type_name(owner).to_owned();

        let mut docs = definition.docs.clone();
        if let Some(link) = link {
            let link = format!(
                "In linked lists only, which are a Vec here, so without its link {}.",
                link.name.text
            );
            docs.push(link);
        }
        self.document(&format!("struct {owner}"), &docs);
        self.derive(owner);
        if fields.is_empty() {
            self.out.line(format!("pub struct {name} {{}}"));
        } else {
            self.out.open(format!("pub struct {name} {{"));
            for (field, found, declaration) in &fields {
                self.document(&spelling::declaration(declaration), &declaration.docs);
                let found = self.rust(found);
                self.out.line(format!("pub {field}: {found},"));
            }
            self.out.close("}");
        }
        let fields: Vec<(String, Type)> = fields.into_iter().map(|(name, found, _)| (name, found)).collect();
        self.encode_fields(&name, &fields);
        self.decode_fields(&name, &fields);
    }

    /// `Encode` for a struct with these fields.
    pub(super) fn encode_fields(&mut self, name: &str, fields: &[(String, Type)]) {
        self.encode_head(name, fields.is_empty());
        for (index, (field, found)) in fields.iter().enumerate() {
            let call = self.put(found, At::Place(&format!("self.{field}")));
            self.out.call("", &call, if index + 1 == fields.len() { "" } else { "?;" });
        }
        if fields.is_empty() {
            self.out.line("Ok(())");
        }
        self.close_impl();
    }

    /// `Decode` for a struct with these fields.
    pub(super) fn decode_fields(&mut self, name: &str, fields: &[(String, Type)]) {
        if fields.is_empty() {
            self.decode_head_with(name, "_");
            self.out.line("Ok(Self {})");
            return self.close_impl();
        }
        self.decode_head(name);
        if let [(field, found)] = fields {
            let Take { before, call, after } = self.take(found);
            let only = format!("{field}: {before}{}{after}", call.one_line());
            if only.len() <= SHORT_STRUCT_COLUMNS_MAX {
                self.out.line(format!("Ok(Self {{ {only} }})"));
                return self.close_impl();
            }
        }
        self.out.open("Ok(Self {");
        for (field, found) in fields {
            let Take { before, call, after } = self.take(found);
            self.out.call(&format!("{field}: {before}"), &call, &format!("{after},"));
        }
        self.out.close("})");
        self.close_impl();
    }

    pub(super) fn typedef(&mut self, definition: &Definition, declaration: &Declaration) {
        let owner = &definition.name.text;
        let found = self.interface.type_of(owner, declaration);
        let (name, xdr) = (self.type_name(owner).to_owned(), self.xdr.clone());
        self.document(&format!("typedef {}", spelling::declaration(declaration)), &definition.docs);
        self.out.line(format!("pub type {name} = {};", self.rust(&found)));
        if self.is_direct(&found) {
            return;
        }
        let function = self.function_name(owner).to_owned();

        self.out.gap();
        self.out.doc(format!("Appends the coding of a [`{name}`]."));
        // What a typedef stands for may be a Vec or a String, as its elements are handed over.
        self.out.line("#[allow(clippy::ptr_arg)]");
        let parameters = [format!("value: &{name}"), format!("to: &mut {xdr}::Encoder")];
        let rest = format!(" -> Result<(), {xdr}::Error> {{");
        self.out.signature(&format!("pub fn encode_{function}"), &parameters, &rest);
        let call = self.put(&found, At::Reference("value"));
        self.out.call("", &call, "");
        self.out.close("}");

        self.out.gap();
        self.out.doc(format!("Takes a [`{name}`]."));
        let parameters = [format!("from: &mut {xdr}::Decoder<'_>")];
        let rest = format!(" -> Result<{name}, {xdr}::Error> {{");
        self.out.signature(&format!("pub fn decode_{function}"), &parameters, &rest);
        self.tail_take(&self.take(&found), "Ok(", ")");
        self.out.close("}");
    }

    /// Takes a value as the last expression of a block, within `open` and `close` unless it is the call's own result.
    pub(super) fn tail_take(&mut self, take: &Take, open: &str, close: &str) {
        let Take { before, call, after } = take;
        match (*after, open) {
            ("?", "Ok(") => self.out.call(before, call, ""),
            _ => self.out.call(&format!("{open}{before}"), call, &format!("{after}{close}")),
        }
    }

    /// The traits that structs and unions derive.
    pub(super) fn derive(&mut self, name: &str) {
        let whole = if self.interface.has_float(name) { "" } else { ", Eq, Hash" };
        self.out.line(format!("#[derive(Clone, Debug, PartialEq{whole})]"));
    }

    /// Up to the body of `encode`, in which `to` is the encoder.
    pub(super) fn encode_head(&mut self, name: &str, unused: bool) {
        let xdr = &self.xdr;
        let to = if unused { "_" } else { "to" };
        self.out.gap();
        self.out.implementation(&format!("{xdr}::Encode"), name);
        let parameters = ["&self".to_owned(), format!("{to}: &mut {xdr}::Encoder")];
        self.out.signature("fn encode", &parameters, &format!(" -> Result<(), {xdr}::Error> {{"));
    }

    /// Up to the body of `decode`, in which `from` is the decoder.
    pub(super) fn decode_head(&mut self, name: &str) {
        self.decode_head_with(name, "from");
    }

    fn decode_head_with(&mut self, name: &str, from: &str) {
        let xdr = &self.xdr;
        self.out.gap();
        self.out.implementation(&format!("{xdr}::Decode"), name);
        let parameters = [format!("{from}: &mut {xdr}::Decoder<'_>")];
        self.out.signature("fn decode", &parameters, &format!(" -> Result<Self, {xdr}::Error> {{"));
    }

    pub(super) fn close_impl(&mut self) {
        self.out.close("}");
        self.out.close("}");
    }
}

/// A variant of an enumeration.
pub(crate) struct Variant<'m> {
    pub(crate) member: &'m Member,
    pub(crate) number: i32,
    pub(crate) name: String,
}
