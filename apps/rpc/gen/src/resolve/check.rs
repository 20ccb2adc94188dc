//! What is allowed beyond grammar and names: lengths, labels, numbers of procedures.

use super::{Interface, Type, out_of_range};
use crate::ast::*;
use crate::error::{Error, nearest};
use crate::source::Sources;
use std::collections::{BTreeMap, BTreeSet};

/// How many typedefs may lead to each other.
const ALIASES_MAX: usize = 64;

impl Interface {
    pub(super) fn check(&self, sources: &Sources) -> Result<(), Error> {
        for definition in &self.definitions {
            for declaration in super::declarations(&definition.body) {
                self.check_lengths(sources, declaration)?;
            }
            match &definition.body {
                Body::Typedef(_) => self.check_alias(sources, &definition.name)?,
                Body::Enum(members) => self.check_members(sources, members)?,
                Body::Const(value) => self.check_constant(sources, &definition.name, value)?,
                _ => {}
            }
        }
        // A union's labels may be of a typedef, which has to be in order by then.
        for definition in &self.definitions {
            match &definition.body {
                Body::Union(union) => self.check_union(sources, &definition.name, union)?,
                Body::Program(program) => self.check_program(sources, program)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_lengths(&self, sources: &Sources, declaration: &Declaration) -> Result<(), Error> {
        match &declaration.shape {
            Shape::Fixed(length) => self.checked_u32(sources, length, "an array's length").map(drop),
            Shape::Variable(Some(max)) => self.checked_u32(sources, max, "a bound").map(drop),
            _ => Ok(()),
        }
    }

    fn check_constant(&self, sources: &Sources, name: &Name, value: &Value) -> Result<(), Error> {
        let number = self.checked(sources, value)?;
        if i128::from(i64::MIN) <= number && number <= i128::from(u64::MAX) {
            return Ok(());
        }
        Err(sources.error(name.at, format!("`{}` is {number}, which 64 bits can't hold", name.text)))
    }

    /// A typedef may name a typedef that names others, but not itself.
    fn check_alias(&self, sources: &Sources, start: &Name) -> Result<(), Error> {
        let mut name = start;
        for _ in 0..ALIASES_MAX {
            match self.definition(&name.text).map(|definition| &definition.body) {
                Some(Body::Typedef(Declaration { base: Base::Named(next), .. })) => name = next,
                _ => return Ok(()),
            }
        }
        let message = format!("typedef `{}` leads to itself, or through too many others", start.text);
        Err(sources.error(start.at, message).with_help("a type that holds itself needs a struct"))
    }

    fn check_members(&self, sources: &Sources, members: &[Member]) -> Result<(), Error> {
        for member in members {
            let number = self.numbers.get(&member.name.text).unwrap_or_default();
            if number < i32::MIN.into() || number > u32::MAX.into() {
                let message =
                    format!("`{}` is {number}, which the 32 bits of an enum can't hold", member.name.text);
                return Err(sources.error(member.name.at, message));
            }
        }
        Ok(())
    }

    /// The members that a discriminant may name; none if it is a number or a boolean.
    pub(crate) fn discriminant_members(&self, union: &Union) -> Option<(&Name, &[Member])> {
        match self.target(&self.type_of("", &union.discriminant)) {
            Type::Defined(name) => match self.definition(&name) {
                Some(Definition { name, body: Body::Enum(members), .. }) => Some((name, members)),
                _ => None,
            },
            _ => None,
        }
    }

    fn check_union(&self, sources: &Sources, name: &Name, union: &Union) -> Result<(), Error> {
        let discriminant = self.target(&self.type_of("", &union.discriminant));
        let is_enum = self.discriminant_members(union);
        let (low, high) = match (&discriminant, is_enum) {
            (Type::Primitive(Primitive::Bool), _) => (0, 1),
            (Type::Primitive(Primitive::U32 | Primitive::U16 | Primitive::U8), _) => {
                (0, i128::from(u32::MAX))
            }
            (Type::Primitive(Primitive::I32 | Primitive::I16 | Primitive::I8), _) | (_, Some(_)) => {
                (i128::from(i32::MIN), i128::from(u32::MAX))
            }
            _ => {
                let message = format!("the discriminant of union `{}` is no number of 32 bits", name.text);
                let help = "RFC 4506 section 4.15: it is an int, unsigned int, enum or bool";
                return Err(sources.error(union.discriminant.name.at, message).with_help(help));
            }
        };
        if union.arms.is_empty() {
            return Err(sources.error(name.at, format!("union `{}` has no case", name.text)));
        }
        let mut seen = BTreeSet::new();
        for label in union.arms.iter().flat_map(|arm| &arm.labels) {
            let number = self.checked(sources, label)?;
            if number < low || number > high {
                let message = format!("the discriminant can't be {number}");
                return Err(sources.error(label.at(), message));
            }
            if !seen.insert(number as u32) {
                return Err(sources.error(label.at(), format!("a second case for {number}")));
            }
            if let Some((of, members)) = is_enum {
                self.check_label(sources, label, number, of, members)?;
            }
        }
        Ok(())
    }

    fn check_label(
        &self,
        sources: &Sources,
        label: &Value,
        number: i128,
        of: &Name,
        members: &[Member],
    ) -> Result<(), Error> {
        if self.members(members).any(|(_, known)| known == number as i32) {
            return Ok(());
        }
        let error =
            sources.error(label.at(), format!("{number} is not among the numbers of enum `{}`", of.text));
        Err(match label {
            Value::Name(name) => match nearest(&name.text, members.iter().map(|member| &*member.name.text)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error,
            },
            Value::Number(..) => error,
        })
    }

    fn check_program(&self, sources: &Sources, program: &Program) -> Result<(), Error> {
        self.checked_u32(sources, &program.number, "a program's number")?;
        let mut versions = BTreeSet::new();
        for version in &program.versions {
            let number = self.checked_u32(sources, &version.number, "a version's number")?;
            if !versions.insert(number) {
                return Err(sources.error(version.number.at(), format!("a second version {number}")));
            }
            let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
            let mut names = BTreeSet::new();
            for procedure in &version.procedures {
                let number = self.checked(sources, &procedure.number)?;
                let number = u32::try_from(number).map_err(|_| {
                    out_of_range(sources, procedure.number.at(), "a procedure's number", number)
                })?;
                if let Some(other) = numbers.insert(number, &procedure.name.text) {
                    let message = format!("procedure {number} is `{other}` already");
                    return Err(sources.error(procedure.number.at(), message));
                }
                if !names.insert(&*procedure.name.text) {
                    let message = format!("a second procedure `{}`", procedure.name.text);
                    return Err(sources.error(procedure.name.at, message));
                }
            }
        }
        Ok(())
    }
}
