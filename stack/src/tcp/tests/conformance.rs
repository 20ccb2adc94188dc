//! Checks the table of RFC 9293's requirements (`../conformance.md`): complete, and true where it names code and tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many requirements of each kind Appendix B of RFC 9293 numbers.
const KINDS: [(&str, u32); 4] = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];

struct Row {
    id: String,
    status: String,
    places: Vec<String>,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let list =
        |cell: &str| cell.split(',').map(str::trim).filter(|c| !c.is_empty()).map(String::from).collect();
    include_str!("../conformance.md")
        .lines()
        .filter(|line| KINDS.iter().any(|(kind, _)| line.starts_with(&format!("| {kind}-"))))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 5, "five columns: {line}");
            Row {
                id: cells[0].into(),
                status: cells[2].into(),
                places: list(cells[3]),
                tests: list(cells[4]),
            }
        })
        .collect()
}

#[test]
fn every_requirement_has_one_line() {
    let wanted: BTreeSet<String> =
        KINDS.iter().flat_map(|(kind, last)| (1..=*last).map(move |n| format!("{kind}-{n}"))).collect();
    let mut found = BTreeSet::new();
    for row in rows() {
        assert!(found.insert(row.id.clone()), "{} has two lines", row.id);
    }
    let missing: Vec<_> = wanted.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}; unknown: {unknown:?}");
}

#[test]
fn every_line_says_where_or_why_not() {
    for Row { id, status, places, tests } in rows() {
        if status == "held" {
            assert!(!places.is_empty() && !tests.is_empty(), "{id} is held without code or test");
        } else {
            let reason = status.strip_prefix("not held: ").or(status.strip_prefix("n/a: "));
            assert!(reason.is_some_and(|reason| reason.len() > 8), "{id}: {status:?} gives no reason");
            assert!(places.is_empty() && tests.is_empty(), "{id} isn't held, but has code or tests");
        }
    }
}

#[test]
fn the_named_code_exists() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for row in rows() {
        for place in &row.places {
            let (file, function) = place.split_once("::").unwrap_or_else(|| panic!("{}: {place}", row.id));
            let path =
                [source.join("tcp").join(file), source.join(file)].into_iter().find(|path| path.exists());
            let path = path.unwrap_or_else(|| panic!("{}: no file {file}", row.id));
            let text = fs::read_to_string(path).unwrap();
            let named = ["(", "<"].iter().any(|end| text.contains(&format!("fn {function}{end}")));
            assert!(named, "{}: no function {function} in {file}", row.id);
        }
    }
}

#[test]
fn the_named_tests_exist() {
    let mut tests = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut tests);
    assert!(tests.len() > 300, "only {} tests found: the search is broken", tests.len());
    for row in rows() {
        for name in &row.tests {
            assert!(tests.contains(name), "{}: no test {name}", row.id);
        }
    }
}

/// All functions below a folder that are marked as tests. (The house's own tests see to it that none is skipped.)
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    let entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in entries {
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    marked = true;
                } else if let Some(rest) = line.strip_prefix("fn ") {
                    if marked {
                        let name = rest.split(['(', '<']).next().unwrap_or_default();
                        tests.insert(name.to_string());
                    }
                    marked = false;
                }
            }
        }
    }
}
