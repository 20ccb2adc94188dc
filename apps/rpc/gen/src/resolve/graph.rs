//! How types hold each other: linked lists, cycles that need a box, sizes, and where floating-point numbers are.

use super::{Interface, QUADRUPLE_BYTES, TYPE_BYTES_MAX, declarations};
use crate::ast::*;
use crate::error::Error;
use crate::source::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bytes in memory of what has its contents on the heap.
const HEAP_BYTES: u64 = 24;

/// What is known about types and how they hold each other.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    lists: BTreeSet<Rc<str>>,
    /// Types with the same number can hold each other.
    circles: BTreeMap<Rc<str>, usize>,
    floats: BTreeSet<Rc<str>>,
    bytes: BTreeMap<Rc<str>, u64>,
}

/// One type that is named in another.
struct Edge<'i> {
    from: usize,
    to: usize,
    declaration: &'i Declaration,
    /// Whether Rust may put a box here.
    in_union: bool,
}

impl Holds {
    pub(super) fn new(sources: &Sources, interface: &Interface) -> Result<Self, Error> {
        let edges = edges(interface);
        let mut holds = Self { lists: lists(interface, &edges), ..Self::default() };
        let count = interface.definitions.len();
        let name = |index: usize| &interface.definitions[index].name;
        let by_value = |edge: &&Edge<'_>| matches!(edge.declaration.shape, Shape::One | Shape::Fixed(_));

        let endless = neighbours(count, edges.iter().filter(|edge| by_value(edge) && !edge.in_union));
        if let Some(index) = in_circles(&endless).first() {
            let message = format!("`{}` holds itself, so it would have no end", name(*index).text);
            let help = "make a field of it optional with `*`, or an array with `<>`";
            return Err(sources.error(name(*index).at, message).with_help(help));
        }
        let is_inline = |edge: &&Edge<'_>| {
            by_value(edge)
                || (matches!(edge.declaration.shape, Shape::Optional)
                    && !holds.lists.contains(&name(edge.to).text))
        };
        let inline = neighbours(count, edges.iter().filter(is_inline));
        let circles = components(&inline);
        holds.circles = in_circles(&inline)
            .into_iter()
            .map(|index| (Rc::clone(&name(index).text), circles[index]))
            .collect();
        holds.floats = floats(interface, &edges);
        for index in postorder(&inline) {
            let definition = &interface.definitions[index];
            if super::is_type(definition) {
                let bytes = holds.measure(sources, interface, definition)?;
                holds.bytes.insert(Rc::clone(&definition.name.text), bytes);
            }
        }
        Ok(holds)
    }

    /// Whether this struct is only used as an element of linked lists, and so becomes that of a `Vec`.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        self.lists.contains(name)
    }

    /// Whether two types can hold each other.
    pub(crate) fn meet(&self, one: &str, other: &str) -> bool {
        self.circles.get(one).is_some_and(|circle| self.circles.get(other) == Some(circle))
    }

    pub(crate) fn has_float(&self, name: &str) -> bool {
        self.floats.contains(name)
    }

    /// Bytes in memory of an array.
    pub(crate) fn array_bytes(&self, base: &Base, length: u32) -> u64 {
        self.element_bytes(base).saturating_mul(length.into())
    }

    fn element_bytes(&self, base: &Base) -> u64 {
        match base {
            Base::Primitive(primitive) => primitive_bytes(*primitive),
            Base::Quadruple => u64::from(QUADRUPLE_BYTES),
            Base::Opaque | Base::String => 1,
            Base::Named(name) => match self.bytes.get(&name.text) {
                Some(bytes) => *bytes,
                None => crate::parse::c_type(&name.text).map_or(HEAP_BYTES, primitive_bytes),
            },
        }
    }

    /// Bytes in memory of a type, those on the heap aside, which are checked.
    fn measure(
        &self,
        sources: &Sources,
        interface: &Interface,
        definition: &Definition,
    ) -> Result<u64, Error> {
        let owner = &definition.name.text;
        let declared = |declaration: &Declaration| {
            let found = interface.type_shape_bytes(self, owner, declaration);
            if found.whole > TYPE_BYTES_MAX {
                let message = format!("`{}` takes {} bytes", declaration.name.text, found.whole);
                let help = format!(
                    "{TYPE_BYTES_MAX} are the most for an array of fixed length: bound it with <> instead"
                );
                return Err(sources.error(declaration.name.at, message).with_help(help));
            }
            Ok(found.inline)
        };
        Ok(match &definition.body {
            Body::Enum(_) => 4,
            Body::Union(union) => {
                let arms = union.arms.iter().filter_map(|arm| arm.declaration.as_ref());
                let arms = arms.chain(union.default.iter().flatten());
                arms.map(declared).try_fold(0, |most, bytes| bytes.map(|bytes: u64| bytes.max(most)))? + 8
            }
            body => declarations(body)
                .into_iter()
                .map(declared)
                .try_fold(0u64, |sum, bytes| bytes.map(|bytes| sum.saturating_add(bytes)))?,
        })
    }
}

/// Bytes of a declaration.
struct Bytes {
    inline: u64,
    /// An array's on the heap, too.
    whole: u64,
}

impl Interface {
    fn type_shape_bytes(&self, holds: &Holds, owner: &str, declaration: &Declaration) -> Bytes {
        let element = holds.element_bytes(&declaration.base);
        match &declaration.shape {
            Shape::One => Bytes { inline: element, whole: element },
            Shape::Variable(_) => Bytes { inline: HEAP_BYTES, whole: HEAP_BYTES },
            Shape::Fixed(length) => {
                let whole = element.saturating_mul(self.length(length).into());
                Bytes { inline: if whole > super::INLINE_BYTES_MAX { 8 } else { whole }, whole }
            }
            Shape::Optional => {
                let inline = match &declaration.base {
                    Base::Named(name) if holds.is_list(&name.text) => HEAP_BYTES,
                    Base::Named(name) if holds.meet(owner, &name.text) => 8,
                    _ => element.saturating_add(8),
                };
                Bytes { inline, whole: inline }
            }
        }
    }
}

fn primitive_bytes(primitive: Primitive) -> u64 {
    match primitive {
        Primitive::I8 | Primitive::U8 | Primitive::Bool => 1,
        Primitive::I16 | Primitive::U16 => 2,
        Primitive::I32 | Primitive::U32 | Primitive::F32 => 4,
        Primitive::I64 | Primitive::U64 | Primitive::F64 => 8,
    }
}

fn edges(interface: &Interface) -> Vec<Edge<'_>> {
    let mut edges = Vec::new();
    for (from, definition) in interface.definitions.iter().enumerate() {
        for declaration in declarations(&definition.body) {
            let Base::Named(name) = &declaration.base else { continue };
            let Some(to) = interface.types.get(&name.text) else { continue };
            let in_union = matches!(definition.body, Body::Union(_));
            edges.push(Edge { from, to: *to, declaration, in_union });
        }
    }
    edges
}

/// The structs that are elements of linked lists and nothing else: their last field is the optional next element, no other
/// field is, and everybody else names them as optional data.
fn lists(interface: &Interface, edges: &[Edge<'_>]) -> BTreeSet<Rc<str>> {
    let is_struct = |index: usize| matches!(interface.definitions[index].body, Body::Struct(_));
    let is_alias = |index: usize| matches!(interface.definitions[index].body, Body::Typedef(_));
    let is_optional = |edge: &Edge<'_>| matches!(edge.declaration.shape, Shape::Optional);
    // A typedef of optional data, and of what.
    let pointers: BTreeMap<usize, usize> =
        edges.iter().filter(|e| is_optional(e) && is_alias(e.from)).map(|e| (e.from, e.to)).collect();
    // For each struct: how often it is named by value, and the places where it names the next one of its kind.
    let mut by_value = BTreeSet::new();
    let mut links: BTreeMap<usize, Vec<&Declaration>> = BTreeMap::new();
    for edge in edges {
        let through_alias =
            matches!(edge.declaration.shape, Shape::One).then(|| pointers.get(&edge.to)).flatten();
        if edge.to == edge.from && is_optional(edge) || through_alias == Some(&edge.from) {
            links.entry(edge.from).or_default().push(edge.declaration);
        } else if !is_optional(edge) {
            by_value.insert(edge.to);
        }
    }
    let is_list = |index: &usize| {
        let Body::Struct(fields) = &interface.definitions[*index].body else { return false };
        let links = links.get(index).map(Vec::as_slice).unwrap_or_default();
        let ends_with_link = match (links, fields.last()) {
            ([link], Some(last)) => link.name.text == last.name.text,
            _ => false,
        };
        is_struct(*index) && ends_with_link && !by_value.contains(index)
    };
    let found = links.keys().copied().filter(is_list);
    found.map(|index| Rc::clone(&interface.definitions[index].name.text)).collect()
}

/// The types that have a floating-point number, or hold one that has.
fn floats(interface: &Interface, edges: &[Edge<'_>]) -> BTreeSet<Rc<str>> {
    let is_float = |declaration: &&Declaration| {
        matches!(declaration.base, Base::Primitive(Primitive::F32 | Primitive::F64))
    };
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); interface.definitions.len()];
    edges.iter().for_each(|edge| holders[edge.to].push(edge.from));
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let has_own = |definition: &Definition| declarations(&definition.body).iter().any(is_float);
    let mut new: Vec<usize> = interface
        .definitions
        .iter()
        .enumerate()
        .filter(|(_, definition)| has_own(definition))
        .map(|(index, _)| index)
        .collect();
    while let Some(index) = new.pop() {
        if found.insert(index) {
            new.extend(&holders[index]);
        }
    }
    let names = found.into_iter().map(|index| &interface.definitions[index]);
    names.filter(|d| super::is_type(d)).map(|definition| Rc::clone(&definition.name.text)).collect()
}

fn neighbours<'e>(count: usize, edges: impl Iterator<Item = &'e Edge<'e>>) -> Vec<Vec<usize>> {
    let mut neighbours = vec![Vec::new(); count];
    edges.for_each(|edge| neighbours[edge.from].push(edge.to));
    neighbours
}

/// Every node after those that it leads to, circles aside. No recursion, since interfaces may be long chains.
fn postorder(neighbours: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(neighbours.len());
    let mut seen = vec![false; neighbours.len()];
    for start in 0..neighbours.len() {
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.pop() {
            if next == 0 && std::mem::replace(&mut seen[node], true) {
                continue;
            }
            match neighbours[node].get(next) {
                Some(other) => {
                    path.push((node, next + 1));
                    path.push((*other, 0));
                }
                None => order.push(node),
            }
        }
    }
    order
}

/// A number for each node, the same for those that lead to each other (Kosaraju's algorithm).
fn components(neighbours: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards = vec![Vec::new(); neighbours.len()];
    for (from, others) in neighbours.iter().enumerate() {
        others.iter().for_each(|to| backwards[*to].push(from));
    }
    let mut component = vec![usize::MAX; neighbours.len()];
    for start in postorder(neighbours).into_iter().rev() {
        let mut path = vec![start];
        while let Some(node) = path.pop() {
            if component[node] == usize::MAX {
                component[node] = start;
                path.extend(backwards[node].iter().filter(|other| component[**other] == usize::MAX));
            }
        }
    }
    component
}

/// The nodes that lead to themselves, in their order.
fn in_circles(neighbours: &[Vec<usize>]) -> Vec<usize> {
    let component = components(neighbours);
    let mut sizes = vec![0u32; neighbours.len()];
    component.iter().for_each(|component| sizes[*component] += 1);
    (0..neighbours.len())
        .filter(|node| sizes[component[*node]] > 1 || neighbours[*node].contains(node))
        .collect()
}
