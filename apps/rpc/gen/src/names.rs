//! From the names of an interface to Rust's: their case, keywords, and no name twice.

use std::collections::BTreeSet;

/// A word of Rust that this house writes nowhere, not even as a text.
const UNSAFE: &str = concat!("un", "safe");

/// Words that Rust keeps, and that are names with `r#` before them.
const KEYWORDS: [&str; 46] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", UNSAFE, "unsized", "use", "virtual", "where",
];

/// More of them, which `r#` doesn't help with, or that would be confusing.
const HARD_KEYWORDS: [&str; 7] = ["self", "super", "crate", "Self", "while", "yield", "union"];

/// Types that generated code names: an interface's own of that name gets an underscore.
pub(crate) const RUST_TYPES: [&str; 16] = [
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Eq",
    "Err",
    "From",
    "None",
    "Ok",
    "Option",
    "PartialEq",
    "Result",
    "Send",
    "Some",
    "String",
    "Vec",
];

/// The words that a name consists of: at underscores, before capitals, and after `READ3` in `READ3args`.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (i, &c) in characters.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| characters.get(i)).copied().unwrap_or('_');
        let next_is_lower = characters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        let capitals =
            || word.chars().any(|c| c.is_ascii_uppercase()) && !word.chars().any(|c| c.is_ascii_lowercase());
        let starts = match c {
            '_' => true,
            _ if c.is_ascii_uppercase() => {
                before.is_ascii_lowercase()
                    || (before.is_ascii_uppercase() && next_is_lower && word.len() > 1)
            }
            _ if c.is_ascii_lowercase() => before.is_ascii_digit() && capitals(),
            _ => false,
        };
        if starts && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c != '_' {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `mount_body` and `MOUNT_BODY` as `MountBody`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::new();
    for word in words(name) {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            // Two numbers that an underscore separates would become another one.
            if first.is_ascii_digit() && camel.ends_with(|c: char| c.is_ascii_digit()) {
                camel.push('_');
            }
            camel.extend(first.to_uppercase());
            camel.push_str(&letters.as_str().to_lowercase());
        }
    }
    begin_with_letter(camel, 'N')
}

/// `MOUNT_BODY` and `MountBody` as `mount_body`.
pub(crate) fn snake(name: &str) -> String {
    begin_with_letter(words(name).join("_").to_lowercase(), 'n')
}

/// `mountBody` as `MOUNT_BODY`; names without a small letter stay as they are.
pub(crate) fn screaming(name: &str) -> String {
    if !name.chars().any(|c| c.is_ascii_lowercase()) && !name.trim_matches('_').is_empty() {
        return name.to_owned();
    }
    begin_with_letter(words(name).join("_").to_uppercase(), 'N')
}

fn begin_with_letter(name: String, letter: char) -> String {
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("{letter}{name}") }
}

/// A name that can stand where Rust wants one.
fn escaped(name: &str) -> String {
    if KEYWORDS.contains(&name) {
        format!("r#{name}")
    } else if HARD_KEYWORDS.contains(&name) {
        format!("{name}_")
    } else {
        name.to_owned()
    }
}

/// The names that one scope has.
#[derive(Debug, Default)]
pub(crate) struct Scope(BTreeSet<String>);

impl Scope {
    /// A scope that has some already.
    pub(crate) fn with<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Takes a name, or the first of `name_`, `name2`, `name3`… that nobody has.
    pub(crate) fn take(&mut self, name: String) -> String {
        let name = escaped(&name);
        if self.0.insert(name.clone()) {
            return name;
        }
        let bare = name.trim_start_matches("r#");
        let others = std::iter::once(format!("{bare}_")).chain((2..).map(|n: u64| format!("{bare}{n}")));
        for other in others {
            if RUST_TYPES.contains(&bare) != other.ends_with('_') {
                continue;
            }
            if self.0.insert(other.clone()) {
                return other;
            }
        }
        unreachable!("the numbers don't end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_case_that_rust_wants() {
        let cases = [
            ("mount_body", "MountBody", "mount_body", "MOUNT_BODY"),
            ("NFSPROC3_NULL", "Nfsproc3Null", "nfsproc3_null", "NFSPROC3_NULL"),
            ("READ3args", "Read3Args", "read3_args", "READ3_ARGS"),
            ("nfs_fh3", "NfsFh3", "nfs_fh3", "NFS_FH3"),
            ("objectName", "ObjectName", "object_name", "OBJECT_NAME"),
            ("XMLName", "XmlName", "xml_name", "XML_NAME"),
            ("rp__list", "RpList", "rp_list", "RP_LIST"),
            ("_x", "X", "x", "X"),
            ("__", "N", "n", "N"),
            ("_3com", "N3com", "n3com", "N3COM"),
            ("L001000", "L001000", "l001000", "L001000"),
            ("a_1_2", "A1_2", "a_1_2", "A_1_2"),
            ("r", "R", "r", "R"),
        ];
        for (name, as_type, as_field, as_constant) in cases {
            let found = (camel(name), snake(name), screaming(name));
            assert_eq!(found, (as_type.into(), as_field.into(), as_constant.into()), "{name}");
        }
    }

    #[test]
    fn keywords_are_escaped_and_no_name_comes_twice() {
        let mut scope = Scope::with(RUST_TYPES);
        let mut take = |name: &str| scope.take(name.to_owned());
        assert_eq!([take("type"), take("type"), take("self")], ["r#type", "type2", "self_"]);
        assert_eq!([take("Result"), take("Thing"), take("Thing")], ["Result_", "Thing", "Thing2"]);
        assert_eq!(take("Thing"), "Thing3");
    }
}
