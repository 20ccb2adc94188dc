//! Where definitions come from that a file doesn't have: interfaces beside the headers it names, and what C knows.

use super::declarations;
use crate::ast::*;
use crate::error::Error;
use crate::lex::Token;
use crate::parse::{c_type, parse};
use crate::preprocess::{Unit, preprocess};
use crate::source::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Headers that are looked into at most.
const HEADERS_MAX: usize = 100;

/// The name of [`KNOWN`] in messages.
const KNOWN_PATH: &str = "<rpc/types.h>";

/// What interfaces expect from the headers of the RPC library, and nowhere define.
const KNOWN: &str = "
const MAX_NETOBJ_SZ = 1024;
const MAXNETNAMELEN = 255;
const MAX_AUTH_BYTES = 400;
const MAX_MACHINE_NAME = 255;
const MAXHOSTNAMELEN = 64;
const MAXPATHLEN = 1024;
const LM_MAXSTRLEN = 1024;
/* A net object of the RPC library. */
typedef opaque netobj<MAX_NETOBJ_SZ>;
/* A block of DES. */
typedef opaque des_block[8];
typedef unsigned int rpcprog_t;
typedef unsigned int rpcvers_t;
typedef unsigned int rpcproc_t;
typedef unsigned int rpcprot_t;
typedef unsigned int rpcport_t;
";

/// Definitions, and what C's headers make of names.
pub(crate) struct Gathered {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) c_constants: BTreeMap<String, Vec<Token>>,
}

/// Parses a unit. Names that it doesn't define are looked up in `name.x` for each header `name.h` that it passes to C with
/// `%#include`, then among those that the RPC library defines; what is used of them joins the definitions.
pub(crate) fn gather(
    sources: &mut Sources,
    unit: Unit,
    defined: &BTreeMap<String, u64>,
) -> Result<Gathered, Error> {
    let mut definitions = parse(sources, &unit)?;
    let mut known = Known::default();
    known.add(&definitions);
    let mut wanted: Vec<Rc<str>> = definitions.iter().flat_map(names_in).collect();
    let mut c_constants = unit.c_constants;
    if wanted.iter().all(|name| known.has(name) || c_constants.contains_key(&**name)) {
        return Ok(Gathered { definitions, c_constants });
    }
    let pool = pool(sources, unit.c_headers, defined, &mut c_constants)?;
    let mut taken = BTreeSet::new();
    let mut more = Vec::new();
    while let Some(name) = wanted.pop() {
        if known.has(&name) {
            continue;
        }
        let Some(index) = pool.iter().position(|definition| defines(definition, &name)) else { continue };
        if taken.insert(index) {
            known.add(&pool[index..=index]);
            wanted.extend(names_in(&pool[index]));
            more.push(index);
        }
    }
    more.sort_unstable();
    let more = more.into_iter().map(|index| pool[index].clone());
    definitions.splice(0..0, more);
    Ok(Gathered { definitions, c_constants })
}

/// All that the headers' interfaces and the library define.
fn pool(
    sources: &mut Sources,
    headers: Vec<(u32, String)>,
    defined: &BTreeMap<String, u64>,
    c_constants: &mut BTreeMap<String, Vec<Token>>,
) -> Result<Vec<Definition>, Error> {
    let mut pool = Vec::new();
    let mut seen: BTreeSet<PathBuf> = sources.paths().into_iter().collect();
    let mut headers: Vec<(u32, String)> = headers.into_iter().rev().collect();
    for _ in 0..HEADERS_MAX {
        let Some((from, header)) = headers.pop() else { break };
        let Some(path) = interface_of(sources, from, &header) else { continue };
        if !seen.insert(path.clone()) {
            continue;
        }
        let unit = preprocess(sources, &path, defined)?;
        pool.extend(parse(sources, &unit)?);
        for (name, value) in unit.c_constants {
            c_constants.entry(name).or_insert(value);
        }
        headers.extend(unit.c_headers);
    }
    sources.give(Path::new(KNOWN_PATH), KNOWN);
    let unit = preprocess(sources, Path::new(KNOWN_PATH), &BTreeMap::new())?;
    pool.extend(parse(sources, &unit)?);
    pool.retain(|definition| !matches!(definition.body, Body::Program(_)));
    Ok(pool)
}

/// The `.x` file from which a header is made, if it is here.
fn interface_of(sources: &Sources, from: u32, header: &str) -> Option<PathBuf> {
    let interface = format!("{}.x", header.strip_suffix(".h")?);
    let bare = interface.rsplit('/').next().unwrap_or(&interface);
    sources.find(from, &interface, true).or_else(|| sources.find(from, bare, true))
}

fn defines(definition: &Definition, name: &str) -> bool {
    match &definition.body {
        Body::Enum(members) => {
            *definition.name.text == *name || members.iter().any(|member| *member.name.text == *name)
        }
        _ => *definition.name.text == *name,
    }
}

/// The names that are defined.
#[derive(Default)]
struct Known(BTreeSet<Rc<str>>);

impl Known {
    fn add(&mut self, definitions: &[Definition]) {
        for definition in definitions {
            self.0.insert(Rc::clone(&definition.name.text));
            if let Body::Enum(members) = &definition.body {
                self.0.extend(members.iter().map(|member| Rc::clone(&member.name.text)));
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name) || name == "TRUE" || name == "FALSE"
    }
}

/// The names of types and constants that a definition uses, those that need no definition aside.
fn names_in(definition: &Definition) -> Vec<Rc<str>> {
    let mut names = Vec::new();
    let mut value = |value: &Value| {
        if let Value::Name(name) = value {
            names.push(Rc::clone(&name.text));
        }
    };
    match &definition.body {
        Body::Const(number) => value(number),
        Body::Enum(members) => members.iter().filter_map(|member| member.value.as_ref()).for_each(&mut value),
        Body::Union(union) => union.arms.iter().flat_map(|arm| &arm.labels).for_each(&mut value),
        Body::Program(program) => {
            value(&program.number);
            for version in &program.versions {
                value(&version.number);
                version.procedures.iter().for_each(|procedure| value(&procedure.number));
            }
        }
        Body::Text(_) | Body::Struct(_) | Body::Typedef(_) => {}
    }
    for declaration in declarations(&definition.body) {
        match &declaration.shape {
            Shape::Fixed(length) | Shape::Variable(Some(length)) => value(length),
            _ => {}
        }
    }
    for declaration in declarations(&definition.body) {
        match &declaration.base {
            Base::Named(name) if c_type(&name.text).is_none() => names.push(Rc::clone(&name.text)),
            _ => {}
        }
    }
    names
}
