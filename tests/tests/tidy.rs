//! The house rules that are facts: what a file must open with, what the core must not call, what the README may say.

use std::fs;
use std::path::{Path, PathBuf};

/// What may lie at the top level, besides dot-files and what a build leaves.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "apps",
    "stack",
    "tests",
    "tools",
];

/// Lines of a Rust file at most: a longer one is a room that wants another door.
const LINES_MAX: usize = 600;

/// Lines of the README at most: two screens with their wrapped paragraphs.
const README_LINES_MAX: usize = 120;

/// The headings of a room's door.
const DOOR_HEADINGS: [&str; 6] = ["In", "Out", "Keeps", "Timers", "RFC", "Never"];

/// Files that make system calls: `unsafe`, clocks, entropy and threads live there.
const SYSTEM_FILES: [&str; 5] = [
    "stack/src/device/tap",
    "stack/src/net/tap",
    "tools/src/testbed/",
    "tools/packetdrill/src/ffi/",
    "tools/packetdrill/tests/driver/library.rs",
];

/// Besides them, where a thread of a program that embeds the stack waits.
const WAITING_FILE: &str = "stack/src/net/blocking/waiter.rs";

/// Calls that would let a clock, entropy or a thread into the stack, so that the same seed and the same frames
/// no longer gave the same bytes.
const IMPURE: [&str; 12] = [
    "Instant::now",
    "SystemTime::now",
    "thread::spawn",
    "thread::sleep",
    "thread::Builder",
    "thread::park",
    "getrandom",
    "RandomState",
    "Rng::new()",
    "fastrand::seed",
    "fastrand::u",
    "DefaultHasher",
];

/// What says that something isn't finished; in two parts each, so that this file doesn't say it.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("FIX", "ME"), concat!("XX", "X")];
/// How a test is marked that nobody runs.
const SKIPPED: &str = concat!("#[ig", "nore");

#[test]
fn the_top_level_holds_what_the_house_rules_allow() {
    let found = fs::read_dir(root()).expect("the workspace's root").map(|e| e.expect("an entry").file_name());
    for name in found.map(|name| name.into_string().expect("a name in UTF-8")) {
        let allowed = name.starts_with('.') || name == "target" || TOP_LEVEL.contains(&name.as_str());
        assert!(allowed, "{name} lies at the top level: it belongs into one of the rooms");
    }
}

#[test]
fn every_file_says_what_it_holds() {
    check_sources(|file| {
        let sentence =
            file.lines().next().and_then(|line| line.text.strip_prefix("//! ")).unwrap_or_default();
        if sentence.len() < 12 {
            file.complain(1, "opens without a //! sentence that says what lives here");
        }
    });
}

#[test]
fn no_file_is_too_long() {
    check_sources(|file| {
        let lines = file.lines().count();
        if lines > LINES_MAX {
            file.complain(lines, &format!("has more than {LINES_MAX} lines"));
        }
    });
}

#[test]
fn nothing_is_left_unfinished_or_skipped() {
    check_sources(|file| {
        for line in file.lines() {
            for word in UNFINISHED.iter().filter(|word| line.text.contains(**word)) {
                file.complain(line.number, &format!("says {word}"));
            }
            if line.text.trim_start().starts_with(SKIPPED) {
                file.complain(line.number, "skips a test for everybody: say what it needs, with skips::test");
            }
        }
    });
}

#[test]
fn the_core_has_no_clock_no_entropy_and_no_thread() {
    check_sources(|file| {
        if !file.path.starts_with("stack/src/") || is_system_file(&file.path) || file.path == WAITING_FILE {
            return;
        }
        for line in file.lines() {
            for call in IMPURE.iter().filter(|call| line.code().contains(**call)) {
                file.complain(line.number, &format!("names {call}: time and seeds are arguments here"));
            }
        }
    });
}

#[test]
fn unsafe_stays_in_the_files_for_system_calls() {
    check_sources(|file| {
        if is_system_file(&file.path) || file.path.ends_with("tests/tidy.rs") {
            return;
        }
        for line in file.lines() {
            let words: Vec<&str> = line.code().split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            if words.contains(&"unsafe") {
                file.complain(line.number, "says unsafe: system calls have their own files");
            }
        }
    });
}

#[test]
fn every_room_has_a_door_with_its_headings() {
    check_sources(|file| {
        let in_stack = file.path.strip_prefix("stack/src/").unwrap_or_default();
        if in_stack.matches('/').count() != 1 || !in_stack.ends_with("/mod.rs") {
            return;
        }
        for heading in DOOR_HEADINGS.map(|heading| format!("**{heading}**")) {
            if !file.lines().any(|line| line.text.starts_with("//!") && line.text.contains(&heading)) {
                file.complain(1, &format!("the door doesn't say {heading}"));
            }
        }
    });
}

#[test]
fn the_readme_fits_on_two_screens() {
    let lines = readme().lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, {README_LINES_MAX} are two screens");
}

#[test]
fn the_readme_names_only_commands_that_exist() {
    let commands = readme_commands();
    let ours: Vec<Vec<String>> = commands.iter().filter_map(|c| tapstack_arguments(c)).collect();
    assert!(!ours.is_empty(), "README.md shows no tapstack command at all");
    for arguments in ours {
        let shown = arguments.join(" ");
        if let Err(tapstack_cli::cli::Stop::Misused(line)) =
            tapstack_cli::cli::parse(arguments.into_iter().map(Into::into))
        {
            panic!("README.md shows `{shown}`, which the command refuses: {line}");
        }
    }
    for needed in ["cargo run --release -- demo", "cargo test --workspace"] {
        assert!(commands.iter().any(|c| c == needed), "README.md doesn't show `{needed}`");
    }
}

#[test]
fn the_readme_names_only_versions_and_files_that_exist() {
    let readme = readme();
    let version = env!("CARGO_PKG_VERSION");
    assert!(readme.contains(&format!("Version {version}")), "README.md doesn't say Version {version}");
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let rust = workspace
        .lines()
        .find_map(|l| l.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .expect("a rust-version in Cargo.toml");
    assert!(readme.contains(&format!("Rust {rust}")), "README.md doesn't say Rust {rust}");
    for path in named_paths(&readme) {
        assert!(root().join(path).exists(), "README.md names {path}, which isn't there");
    }
}

/// A Rust file of the workspace.
struct Source {
    /// Its path from the root, with slashes.
    path: String,
    text: String,
    complaints: std::cell::RefCell<Vec<String>>,
}

struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    /// The line without its comment.
    fn code(&self) -> &str {
        self.text.split("//").next().unwrap_or_default()
    }
}

impl Source {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().map(|(index, text)| Line { number: index + 1, text })
    }

    fn complain(&self, line: usize, what: &str) {
        self.complaints.borrow_mut().push(format!("{}:{line}: {what}", self.path));
    }
}

/// Lets `check` look at every file, then fails with all complaints at once.
fn check_sources(check: impl Fn(&Source)) {
    let sources = sources();
    assert!(sources.len() > 20, "only {} files found: the search is broken", sources.len());
    sources.iter().for_each(&check);
    let complaints: Vec<String> = sources.iter().flat_map(|s| s.complaints.borrow().clone()).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for room in ["apps", "stack", "tests", "tools"] {
        collect(&root().join(room), &mut found);
    }
    found.sort_by(|a: &Source, b: &Source| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|e| e.expect("an entry").path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a Rust file in UTF-8");
            let below = path.strip_prefix(root()).expect("a path below the root");
            let path = below.to_string_lossy().replace('\\', "/");
            found.push(Source { path, text, complaints: Default::default() });
        }
    }
}

fn is_system_file(path: &str) -> bool {
    SYSTEM_FILES.iter().any(|start| path.starts_with(start))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root").to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// The lines of the README's code blocks, without prompts and comments.
fn readme_commands() -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in readme().lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.trim_start_matches("$ ").split(" #").next().unwrap_or_default();
            commands.push(line.trim().to_owned());
        }
    }
    assert!(!inside, "README.md has a code block without an end");
    commands
}

/// The arguments that a line hands to our command, its name first; none for other lines.
fn tapstack_arguments(command: &str) -> Option<Vec<String>> {
    let rest = match command.strip_prefix("tapstack ") {
        Some(rest) => rest,
        None if command.starts_with("cargo run") => command.split_once(" -- ")?.1,
        None => return None,
    };
    Some(std::iter::once("tapstack").chain(rest.split_whitespace()).map(str::to_owned).collect())
}

/// The paths that the README names, wherever it does.
fn named_paths(readme: &str) -> Vec<&str> {
    let punctuation = |c: char| !c.is_alphanumeric() && c != '/' && c != '_' && c != '-' && c != '.';
    let paths: Vec<&str> = readme
        .split(punctuation)
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            ["apps/", "stack/", "tests/", "tools/", ".ci/"].iter().any(|room| word.starts_with(room))
        })
        .collect();
    assert!(paths.len() >= 10, "README.md has no code map");
    paths
}
