//! Unions: an enum with a variant for each label.

use super::coding::{At, Take};
use super::text::Call;
use super::{Emitter, spelling};
use crate::ast::*;
use crate::names::{Scope, camel};
use crate::resolve::Type;

/// What a union's discriminant is in Rust.
enum Discriminant {
    Bool,
    /// The enumeration's Rust name, and its variants by number.
    Enum(String, Vec<(i32, String)>),
    I32,
    U32,
}

/// A label with what it holds.
struct Case<'u> {
    variant: String,
    /// The discriminant's value as a Rust expression and pattern.
    value: String,
    spelled: String,
    data: Option<(Type, &'u Declaration)>,
    docs: &'u [String],
}

impl Discriminant {
    fn rust(&self) -> &str {
        match self {
            Self::Bool => "bool",
            Self::Enum(name, _) => name,
            Self::I32 => "i32",
            Self::U32 => "u32",
        }
    }

    fn value(&self, number: i128) -> String {
        match self {
            Self::Bool => (number != 0).to_string(),
            Self::Enum(name, variants) => {
                let variant = variants.iter().find(|(known, _)| *known == number as i32);
                format!("{name}::{}", variant.map_or("", |(_, variant)| variant))
            }
            Self::I32 => (number as i32).to_string(),
            Self::U32 => number.to_string(),
        }
    }

    /// How many values there are; none where they are too many to be listed.
    fn values(&self) -> Option<usize> {
        match self {
            Self::Bool => Some(2),
            Self::Enum(_, variants) => Some(variants.len()),
            Self::I32 | Self::U32 => None,
        }
    }

    /// The 32 bits, as an error has them, of a value.
    fn bits(&self, value: &str) -> String {
        match self {
            Self::I32 => value.to_owned(),
            Self::Bool => format!("i32::from({value})"),
            Self::Enum(..) | Self::U32 => format!("{value} as i32"),
        }
    }

    fn put(&self, value: &str) -> String {
        match self {
            Self::Bool => format!("to.put_bool({value})"),
            Self::Enum(..) => format!("to.put(&{value})"),
            Self::I32 => format!("to.put_i32({value})"),
            Self::U32 => format!("to.put_u32({value})"),
        }
    }

    fn take(&self) -> String {
        match self {
            Self::Bool => "from.take_bool()?".to_owned(),
            Self::Enum(name, _) => format!("from.take::<{name}>()?"),
            Self::I32 => "from.take_i32()?".to_owned(),
            Self::U32 => "from.take_u32()?".to_owned(),
        }
    }
}

impl Emitter<'_> {
    pub(super) fn union(&mut self, definition: &Definition, union: &Union) {
        let owner = &definition.name.text;
        let name = self.type_name(owner).to_owned();
        let discriminant = self.discriminant(union);
        let mut cases = self.cases(owner, union, &discriminant);
        let covered = Some(cases.len()) == discriminant.values();
        let default = union.default.as_ref().filter(|_| !covered).map(|declaration| {
            declaration.as_ref().map(|declaration| (self.interface.arm_type(owner, declaration), declaration))
        });
        let default = match (default, &discriminant) {
            // Of two values the other one is left.
            (Some(data), Discriminant::Bool) if cases.len() == 1 => {
                let value = cases.first().is_some_and(|case| case.value == "false").to_string();
                let variant = camel(&value);
                let spelled = "default".to_owned();
                cases.push(Case { variant, value, spelled, data, docs: &union.default_docs });
                None
            }
            (default, _) => default,
        };

        let spelled = format!("union {owner} switch ({})", spelling::declaration(&union.discriminant));
        self.document(&spelled, &definition.docs);
        self.derive(owner);
        self.out.line("#[allow(clippy::large_enum_variant)]");
        self.out.open(format!("pub enum {name} {{"));
        for case in &cases {
            self.document_arm(&format!("case {}", case.spelled), case.data.as_ref().map(|d| d.1), case.docs);
            match &case.data {
                Some((found, _)) => self.out.line(format!("{}({}),", case.variant, self.rust(found))),
                None => self.out.line(format!("{},", case.variant)),
            }
        }
        if let Some(data) = &default {
            self.document_arm("default", data.as_ref().map(|d| d.1), &union.default_docs);
            let rust = discriminant.rust();
            match data {
                Some((found, _)) => self.out.line(format!("Default({rust}, {}),", self.rust(found))),
                None => self.out.line(format!("Default({rust}),")),
            }
        }
        self.out.close("}");

        let default = default.as_ref().map(|data| data.as_ref().map(|(found, _)| found));
        self.union_discriminant(&name, &discriminant, &cases, default.is_some());
        self.union_encode(owner, &name, &discriminant, &cases, default);
        self.union_decode(owner, &name, &discriminant, &cases, default);
    }

    fn document_arm(&mut self, label: &str, data: Option<&Declaration>, docs: &[String]) {
        let spelled = data.map_or_else(|| "void".to_owned(), spelling::declaration);
        self.document(&format!("{}: {spelled}", label.replace("case default", "default")), docs);
    }

    fn discriminant(&self, union: &Union) -> Discriminant {
        if let Some((name, members)) = self.interface.discriminant_members(union) {
            let (variants, _) = self.variants(members);
            let variants = variants.into_iter().map(|variant| (variant.number, variant.name)).collect();
            return Discriminant::Enum(self.type_name(&name.text).to_owned(), variants);
        }
        match self.interface.target(&self.interface.type_of("", &union.discriminant)) {
            Type::Primitive(Primitive::Bool) => Discriminant::Bool,
            Type::Primitive(Primitive::U32 | Primitive::U16 | Primitive::U8) => Discriminant::U32,
            _ => Discriminant::I32,
        }
    }

    fn cases<'u>(&self, owner: &str, union: &'u Union, discriminant: &Discriminant) -> Vec<Case<'u>> {
        let mut scope = Scope::with(["Default"]);
        let mut cases = Vec::new();
        for arm in &union.arms {
            for label in &arm.labels {
                let number = self.interface.number(label);
                let variant = match (label, discriminant) {
                    (_, Discriminant::Bool) => camel(&(number != 0).to_string()),
                    (Value::Name(name), _) => camel(&name.text),
                    (_, Discriminant::Enum(_, variants)) => {
                        let variant = variants.iter().find(|(known, _)| *known == number as i32);
                        variant.map(|(_, variant)| variant.clone()).unwrap_or_default()
                    }
                    _ if number < 0 => format!("CaseMinus{}", -number),
                    _ => format!("Case{number}"),
                };
                let data = arm.declaration.as_ref();
                cases.push(Case {
                    variant: scope.take(variant),
                    value: discriminant.value(number),
                    spelled: spelling::value(label),
                    data: data.map(|data| (self.interface.arm_type(owner, data), data)),
                    docs: &arm.docs,
                });
            }
        }
        cases
    }

    fn union_discriminant(
        &mut self,
        name: &str,
        discriminant: &Discriminant,
        cases: &[Case<'_>],
        has_default: bool,
    ) {
        self.out.gap();
        self.out.open(format!("impl {name} {{"));
        self.out.doc("The discriminant, which chooses the arm.");
        self.out.open(format!("pub fn discriminant(&self) -> {} {{", discriminant.rust()));
        self.out.open("match self {");
        for case in cases {
            let data = if case.data.is_some() { "(_)" } else { "" };
            self.out.line(format!("Self::{}{data} => {},", case.variant, case.value));
        }
        if has_default {
            self.out.line("Self::Default(discriminant, ..) => *discriminant,");
        }
        self.out.close("}");
        self.out.close("}");
        self.out.close("}");
    }

    fn union_encode(
        &mut self,
        owner: &str,
        name: &str,
        discriminant: &Discriminant,
        cases: &[Case<'_>],
        default: Option<Option<&Type>>,
    ) {
        self.encode_head(name, false);
        self.out.open("match self {");
        for case in cases {
            let put = discriminant.put(&case.value);
            match &case.data {
                None => self.out.line(format!("Self::{} => {put},", case.variant)),
                Some((found, _)) => {
                    self.out.open(format!("Self::{}(value) => {{", case.variant));
                    self.out.line(format!("{put}?;"));
                    let call = self.put(found, At::Reference("value"));
                    self.out.call("", &call, "");
                    self.out.close("}");
                }
            }
        }
        if let Some(data) = default {
            let value = if data.is_some() { ", value" } else { "" };
            self.out.open(format!("Self::Default(discriminant{value}) => {{"));
            let conditions: Vec<String> =
                cases.iter().map(|case| format!("*discriminant == {}", case.value)).collect();
            self.out.any("let is_case = ", &conditions, ";");
            self.out.open("if is_case {");
            let bits = discriminant.bits("*discriminant");
            let refusal = self.no_arm(owner, bits);
            self.out.call("return ", &refusal, ";");
            self.out.close("}");
            let put = match discriminant {
                Discriminant::Enum(..) => "to.put(discriminant)".to_owned(),
                _ => discriminant.put("*discriminant"),
            };
            match data {
                None => self.out.line(put),
                Some(found) => {
                    self.out.line(format!("{put}?;"));
                    let call = self.put(found, At::Reference("value"));
                    self.out.call("", &call, "");
                }
            }
            self.out.close("}");
        }
        self.out.close("}");
        self.close_impl();
    }

    fn union_decode(
        &mut self,
        owner: &str,
        name: &str,
        discriminant: &Discriminant,
        cases: &[Case<'_>],
        default: Option<Option<&Type>>,
    ) {
        self.decode_head(name);
        self.out.open(format!("match {} {{", discriminant.take()));
        for case in cases {
            match &case.data {
                None => self.out.line(format!("{} => Ok(Self::{}),", case.value, case.variant)),
                Some((found, _)) => {
                    let take = self.take(found);
                    self.case_take(
                        &format!("{} => ", case.value),
                        &format!("Ok(Self::{}(", case.variant),
                        &take,
                    );
                }
            }
        }
        match default {
            None if Some(cases.len()) == discriminant.values() => {}
            None => {
                let bits = discriminant.bits("other");
                let refusal = self.no_arm(owner, bits);
                self.out.call("other => ", &refusal, ",");
            }
            Some(None) => self.out.line("other => Ok(Self::Default(other)),"),
            Some(Some(found)) => {
                let take = self.take(found);
                self.case_take("other => ", "Ok(Self::Default(other, ", &take);
            }
        }
        self.out.close("}");
        self.close_impl();
    }

    fn no_arm(&self, owner: &str, bits: String) -> Call {
        Call::new(format!("{}::no_arm", self.xdr), [format!("{owner:?}"), bits])
    }

    /// An arm of `decode`, in a block of its own where its value is.
    fn case_take(&mut self, pattern: &str, open: &str, take: &Take) {
        let Take { before, call, after } = take;
        self.out.open(format!("{pattern}{{"));
        self.out.call(&format!("let value = {before}"), call, &format!("{after};"));
        self.out.line(format!("{open}value))"));
        self.out.close("}");
    }
}
