//! The `tapstack` command as its users meet it: what it prints, on which stream, and its exit codes.

use std::process::{Command, Output};

fn tapstack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tapstack"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Asserts exit code 2, one line on standard error that says all of `says`, and nothing on standard output.
fn assert_misused(arguments: &[&str], says: &[&str]) {
    let output = tapstack(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    for word in says {
        assert!(error.contains(word), "{arguments:?}: {error:?} doesn't say {word:?}");
    }
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    assert_misused(&["dmeo"], &["dmeo", "demo"]);
    assert_misused(&["demo", "--world", "moon"], &["moon", "auto, tap, sim"]);
    assert_misused(&["demo", "--seed", "many"], &["many", "number"]);
    assert_misused(&["doctor", "--frobnicate"], &["--frobnicate", "tapstack doctor --help"]);
    assert_misused(&["--quiet"], &["subcommand"]);
}

#[test]
fn files_that_cannot_be_are_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = folder.path().join("document.txt");
    std::fs::write(&document, "precious").expect("written");
    let name = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();

    let nowhere = name(&folder.path().join("no").join("such.pcapng"));
    let a_folder = name(folder.path());
    for command in [&["demo", "--world", "sim"][..], &["rpc", "semantics"], &["mailbox", "semantics"]] {
        assert_misused(&[command, &["--capture", &nowhere]].concat(), &[&nowhere]);
        assert_misused(&[command, &["--capture", &a_folder]].concat(), &[&a_folder]);
        assert_misused(&[command, &["--capture", &name(&document)]].concat(), &["no capture"]);
        assert_eq!(std::fs::read(&document).expect("still there"), b"precious");
    }

    assert_misused(&["explain", &nowhere], &[&nowhere]);
    assert_misused(&["explain", &name(&document)], &[&name(&document)]);
    assert_misused(&["explain", &name(folder.path())], &[&name(folder.path())]);
}

#[test]
fn rpcgen_makes_rust_or_says_where_the_interface_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = |file: &str| folder.path().join(file).to_str().expect("UTF-8").to_owned();
    let (good, bad, out) = (name("good.x"), name("bad.x"), name("good.rs"));
    let program = "program P { version V { int ADD(int, int) = 1; } = 1; } = 0x20000000;";
    std::fs::write(&good, program).expect("written");
    std::fs::write(&bad, "struct a {\n  itn b;\n};\n").expect("written");

    let all = tapstack(&["rpcgen", &good]);
    assert_eq!(all.status.code(), Some(0));
    assert!(all.stderr.is_empty());
    let all = text(&all.stdout);
    assert!(all.contains("pub struct VClient {") && all.contains("pub trait V: "), "{all}");
    for (flag, client, server) in
        [("--client", true, false), ("--server", false, true), ("--types", false, false)]
    {
        let part = text(&tapstack(&["rpcgen", &good, flag]).stdout);
        assert_eq!(part.contains("pub struct VClient {"), client, "{part}");
        assert_eq!(part.contains("pub trait V: "), server, "{part}");
    }

    // Into a file, and over an older one, but not over anything else.
    for _ in 0..2 {
        let output = tapstack(&["rpcgen", &good, "-o", &out]);
        assert!(output.status.success() && output.stdout.is_empty());
    }
    assert_eq!(std::fs::read_to_string(&out).expect("made"), all);
    assert_misused(&["rpcgen", &good, "-o", &bad], &[&bad, "choose another name"]);

    let wrong = tapstack(&["rpcgen", &bad]);
    let error = text(&wrong.stderr);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0), "{error}");
    assert!(error.contains("bad.x:2:3: there is no type `itn`\n  |\n2 |   itn b;\n  |   ^^^\n"), "{error}");
    assert_misused(&["rpcgen", &name("none.x")], &["none.x", "no such file"]);
    assert_misused(&["rpcgen", &good, "--types", "--client"], &["--types", "--client"]);
    assert_misused(&["rpcgen", &good, "-D", "1"], &["NAME=NUMBER"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [
        &[][..],
        &["--help"],
        &["demo", "--help"],
        &["doctor", "--help"],
        &["explain", "--help"],
        &["rpcgen", "--help"],
    ] {
        let output = tapstack(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("Usage: tapstack"), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
    let version = tapstack(&["--version"]);
    assert_eq!(text(&version.stdout), concat!("tapstack ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    for arguments in [&["doctor"][..], &["--help"], &["nonsense"]] {
        let output = tapstack(arguments);
        for bytes in [output.stdout, output.stderr] {
            assert!(!bytes.contains(&0x1b), "{arguments:?}: {}", text(&bytes));
        }
    }
}

#[test]
fn the_doctor_s_exit_code_agrees_with_what_it_says() {
    let output = tapstack(&["doctor"]);
    let said = text(&output.stdout);
    let can = said.contains("tapstack demo --world tap can run here.");
    assert_eq!(output.status.code(), Some(i32::from(!can)), "{said}");
    assert_eq!(said.lines().any(|line| line.contains("  missing  ")), !can, "{said}");
    for line in said.lines().take_while(|line| !line.starts_with("What mends")) {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
}
