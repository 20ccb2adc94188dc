//! What is made of interfaces: whole texts, single rules, and any bytes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::path::Path;
use tapstack_rpcgen::Generator;

const LANGUAGE: &str = include_str!("../example/language.x");
const BANK: &str = include_str!("../example/bank.x");

fn types(text: &str) -> String {
    Generator::new().types_only().generate("test.x", text).unwrap_or_else(|error| panic!("{error}"))
}

/// Compares with a file in `tests/files`; `TAPSTACK_BLESS=1` writes it anew.
fn is_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
    if std::env::var_os("TAPSTACK_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(expected == text, "{name} differs at line {differs:?}: TAPSTACK_BLESS=1 writes it anew\n{text}");
}

#[test]
fn the_texts_are_as_they_were() {
    let all = Generator::new();
    is_snapshot("bank.txt", &all.generate("bank.x", BANK).unwrap());
    let exactly = all.clone().client(false).exactly_once(true).generate("bank.x", BANK).unwrap();
    let machine = exactly.split_once("/// Version 1 of `BANK` as a state").unwrap().1;
    is_snapshot("bank_machine.txt", machine.split_once("/// The arguments of").unwrap().0);
    is_snapshot("bank_types.txt", &all.clone().types_only().generate("bank.x", BANK).unwrap());
}

#[test]
fn a_quadruple_is_its_bytes() {
    let rust = types("struct a { quadruple one; quadruple more<4>; };");
    assert!(rust.contains("pub one: [u8; 16],") && rust.contains("pub more: Vec<[u8; 16]>,"), "{rust}");
}

#[test]
fn stubs_can_be_left_out_each() {
    let client = Generator::new().server(false).generate("bank.x", BANK).unwrap();
    assert!(client.contains("pub struct BankV1Client") && !client.contains("pub trait BankV1:"));
    let server = Generator::new().client(false).generate("bank.x", BANK).unwrap();
    assert!(!server.contains("pub struct BankV1Client") && server.contains("pub trait BankV1:"));
    let neither = Generator::new().types_only().generate("bank.x", BANK).unwrap();
    assert!(!neither.contains("tapstack_rpc") && neither.contains("tapstack_xdr::Encode for Account"));
    let elsewhere = Generator::new().rpc_path("crate::rpc").generate("bank.x", BANK).unwrap();
    assert!(elsewhere.contains("crate::rpc::xdr::Encode for Account") && !elsewhere.contains("tapstack_rpc"));
}

#[test]
fn conditions_choose_what_is_read() {
    let text = "#ifdef RPC_CLNT\nconst A = 1;\n#elif OTHER > 3 && !defined(MORE)\nconst A = 2;\n\
        #else\nconst A = 3; garbage ' \" /* */\n#endif\n";
    let number = |generator: Generator| {
        let rust = generator.generate("test.x", &text.replace("garbage ' \" ", "")).unwrap();
        rust.split("pub const A: u32 = ").nth(1).unwrap().split(';').next().unwrap().to_owned()
    };
    assert_eq!(number(Generator::new()), "1");
    assert_eq!(number(Generator::new().types_only().define("OTHER", 4)), "2");
    assert_eq!(number(Generator::new().types_only().define("OTHER", 4).define("MORE", 0)), "3");
    assert_eq!(number(Generator::new().undefine("RPC_CLNT")), "3");
    // What is left out is not even looked at.
    assert!(Generator::new().generate("test.x", text).unwrap().contains("pub const A: u32 = 1;"));
}

#[test]
fn files_are_included_once_each_and_found_beside_or_in_folders() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    write(
        "main.x",
        "#include \"beside.x\"\n#include <far.x>\n#include \"beside.x\"\nstruct a { b c; far d; };",
    );
    write("beside.x", "#ifndef B\n#define B\ntypedef int b;\n#endif\n");
    write("more/far.x", "typedef int far;\n");
    let main = folder.path().join("main.x");
    let error = Generator::new().compile(&main).unwrap_err();
    assert_eq!(error.message(), "there is no file far.x here or in the include directories");
    let rust = Generator::new().include_dir(folder.path().join("more")).compile(&main).unwrap();
    assert!(rust.contains("pub type B = i32;") && rust.contains("pub type Far = i32;"));
}

#[test]
fn names_that_only_c_knows_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "other.x",
        "const UNUSED = 1; typedef string word<LONG>; const LONG = 9; program P { version V { } = 1; } = 1;",
    );
    write(
        "main.x",
        "%#include <sub/other.h>\n%#define MOST (1 << 3) + 1\nstruct a { word w<MOST>; netobj n; };",
    );
    let rust = Generator::new().types_only().compile(folder.path().join("main.x")).unwrap();
    for part in [
        "pub type Word = String;",
        "LONG: u32 = 9",
        "to.put_array(&self.w, 9, encode_word)",
        "pub type Netobj = Vec<u8>;",
    ] {
        assert!(rust.contains(part), "{part}: {rust}");
    }
    assert!(!rust.contains("UNUSED") && !rust.contains("mod v"));
}

#[test]
fn comments_become_documentation_and_nothing_else() {
    let rust = types(
        "/* Licence. */\n\n/* A point,\n * [not](a link) <b>. */\nstruct point {\n\tint x; /* right */\n\t/* down */\n\tint y;\n};\n",
    );
    assert!(
        rust.contains("/// `struct point`\n///\n/// A point,\n/// \\[not\\](a link) \\<b\\>.\n"),
        "{rust}"
    );
    assert!(rust.contains("/// `int x`: right\n") && rust.contains("/// `int y`: down\n"), "{rust}");
    assert!(!rust.contains("Licence"));
}

#[test]
fn a_list_by_value_and_a_tree_keep_their_boxes() {
    let list = "struct a { int x; a *next; }; struct b { a *all; };";
    assert!(types(list).contains("pub all: Vec<A>"));
    assert!(types(&format!("{list} struct c {{ a one; }};")).contains("pub next: Option<Box<A>>"));
    assert!(types("struct t { t *left; t *right; };").contains("pub right: Option<Box<T>>"));
    assert!(types("struct t { t *one; int x; };").contains("pub one: Option<Box<T>>"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_refused_or_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Generator::new().generate("any.x", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn changed_interfaces_are_refused_or_taken(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..12usize, "[ -~\n]{0,3}|\\*/|/\\*|%#define A |#if |<|\\{|é"),
            1..6,
        ),
    ) {
        let mut text: Vec<char> = LANGUAGE.chars().collect();
        for (place, length, with) in changes {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = Generator::new().generate("changed.x", &text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn words_in_any_order_are_refused_or_taken(words in prop::collection::vec(
        prop::sample::select(vec![
            "struct", "union", "switch", "enum", "typedef", "const", "program", "version", "case", "default", "int",
            "unsigned", "string", "opaque", "void", "bool", "a", "b", "c", "1", "0x2", "-", "{", "}", "(", ")", "<", ">",
            "[", "]", "*", ";", ":", ",", "=", "\n#if", "\n#else", "\n#endif", "\n#define", "\n%", "/*x*/",
        ]),
        0..60,
    )) {
        let _ = Generator::new().generate("words.x", &words.join(" "));
    }
}
