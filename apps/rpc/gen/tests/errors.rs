//! What is said about interfaces with mistakes in them.
#![allow(clippy::unwrap_used)]

use tapstack_rpcgen::Generator;

/// The message about an interface.
fn message(text: &str) -> String {
    match Generator::new().generate("bank.x", text) {
        Ok(rust) => panic!("{text:?} was taken:\n{rust}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_mistake_is_shown_where_it_is_with_the_way_on() {
    let text = "struct account {\n\tint cents;\n};\nunion x switch (int n) {\ncase 0:\n\tacount of;\n};\n";
    let expected = "\
bank.x:6:2: there is no type `acount`
  |
6 | \tacount of;
  | \t^^^^^^
  = did you mean `account`?";
    assert_eq!(message(text), expected);
    let error = Generator::new().generate("folder/bank.x", "const A = B;").unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(1), Some(11)));
    assert_eq!(error.file(), Some(std::path::Path::new("folder/bank.x")));
    assert_eq!(error.message(), "`A` has no value: there is no constant `B`");
    assert!(error.help().is_some());
}

#[test]
fn every_mistake_has_its_message() {
    let cases = [
        // Words and marks.
        ("const A = 0x;", "1:11: `0x` is not a hexadecimal number"),
        ("const A = 089;", "1:11: `089` is not an octal number, which a leading 0 says"),
        ("const A = 12ab;", "1:11: `12ab` is not a number"),
        ("const A = 99999999999999999999;", "1:11: `99999999999999999999` is a number larger than 2^64 - 1"),
        ("const A = \"abc;\n", "1:11: this text doesn't end in its line"),
        ("int a; /* never", "1:8: this comment has no end"),
        ("const A = 1", "1:11: `;` is missing before the end of the file"),
        ("const int = 1;", "1:7: `int` is a word of the language and can't be a name"),
        ("int a;", "1:1: `int` where a definition should begin"),
        ("§", "1:1: `§` where a definition should begin"),
        // Types.
        ("struct a { string b; };", "1:19: a string has a bound: string b<> or string b<255>"),
        ("struct a { string b[4]; };", "1:19: a string has a bound: string b<> or string b<255>"),
        ("struct a { opaque b; };", "1:19: opaque has a length: opaque b[8], opaque b<> or opaque b<255>"),
        ("struct a { int b[2][3]; };", "1:20: an array of arrays in one declaration"),
        ("struct a { int *b<3>; };", "1:18: optional data and an array in one declaration"),
        ("struct a { int b; int b; };", "1:23: a second field `b` in `a`"),
        ("struct a { int b };", "1:18: `;` is missing before `}`"),
        ("struct a { void b; };", "1:17: `;` is missing before `b`"),
        ("struct a { int b[-1]; };", "1:18: an array's length is from 0 to 2^32 - 1, not -1"),
        ("struct a { int b<4294967296>; };", "1:18: a bound is from 0 to 2^32 - 1, not 4294967296"),
        ("struct a { hyper b[200000000]; };", "1:18: `b` takes 1600000000 bytes"),
        ("struct a { int b; }; struct a { int c; };", "1:29: there are two types `a`"),
        ("struct a { b c; }; struct b { a d; };", "1:8: `a` holds itself, so it would have no end"),
        ("struct a { a b[2]; };", "1:8: `a` holds itself, so it would have no end"),
        ("typedef a b; typedef b a;", "1:11: typedef `b` leads to itself, or through too many others"),
        ("typedef a *b; typedef b *a;", "1:12: typedef `b` leads to itself, or through too many others"),
        // Numbers.
        ("const A = 1; const A = 1;", "1:20: there are two constants `A`"),
        ("const A = B; const B = A;", "1:11: `A` has no value: too deeply nested"),
        ("enum a { B };  enum c { B };", "1:25: there are two constants `B`"),
        ("enum a { B = 4294967296 };", "1:10: `B` is 4294967296, which the 32 bits of an enum can't hold"),
        ("enum a { };", "1:10: an enum wants names, not `}`"),
        ("enum a { B C };", "1:12: `,` is missing before `C`"),
        ("struct a { int b<MAX>; };", "1:18: there is no constant `MAX`"),
        // Unions.
        ("union a (int b) {};", "1:9: `switch` is missing before `(`"),
        (
            "union a switch (hyper b) { case 1: void; };",
            "1:23: the discriminant of union `a` is no number of 32 bits",
        ),
        ("union a switch (int b) { default: void; };", "1:7: union `a` has no case"),
        ("union a switch (int b) { case 1: void; case 0x1: void; };", "1:45: a second case for 1"),
        ("union a switch (bool b) { case 2: void; };", "1:32: the discriminant can't be 2"),
        (
            "enum e { A }; union a switch (e b) { case 7: void; };",
            "1:43: 7 is not among the numbers of enum `e`",
        ),
        ("union a switch (int b) { default: void; case 1: void; default: void; };", "1:55: a second default"),
        // Programs.
        ("program P { } = 1;", "1:9: a program without a version"),
        ("program P { int a; } = 1;", "1:13: `int` where `version` or `}` should be"),
        (
            "program P { version V { void A(void) = 1; void B(void) = 1; } = 1; } = 1;",
            "1:58: procedure 1 is `A` already",
        ),
        (
            "program P { version V { void A(void) = 1; void A(void) = 2; } = 1; } = 1;",
            "1:48: a second procedure `A`",
        ),
        ("program P { version V { } = 1; version W { } = 1; } = 1;", "1:48: a second version 1"),
        ("program P { version V { } = 1; } = -1;", "1:36: a program's number is from 0 to 2^32 - 1, not -1"),
        (
            "program P { version V { /* @idempotant */ void A(void) = 1; } = 1; } = 1;",
            "1:59: there is no mark `@idempotant` for a procedure",
        ),
        // What rpcgen leaves to the preprocessor.
        ("#if 1\nconst A = 1;", "1:1: this condition has no end"),
        ("#endif", "1:1: #endif without #if, #ifdef or #ifndef before it"),
        ("#if 1\n#else\n#else\n#endif", "3:1: #else after #else"),
        ("#if (1\n#endif", "1:6: this condition can't be read: `)` is missing"),
        ("#if 1 / 0\n#endif", "1:9: this condition can't be read: no number that can be held"),
        ("#include \"missing.x\"", "1:1: there is no file missing.x here or in the include directories"),
        ("#include missing", "1:1: #include wants a file's name"),
        ("#error this way not", "1:1: #error this way not"),
        ("#frobnicate", "1:1: there is no directive #frobnicate"),
        (
            "#define F(x) x\nconst A = F(1);",
            "2:11: `F` is defined with arguments, which isn't supported here",
        ),
    ];
    for (text, says) in cases {
        let message = message(text);
        assert_eq!(message.lines().next(), Some(format!("bank.x:{says}").as_str()), "{text}\n{message}");
    }
}

#[test]
fn a_file_that_includes_itself_and_one_that_is_missing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.x");
    std::fs::write(&own, "#include \"own.x\"\n").unwrap();
    let error = tapstack_rpcgen::compile(&own).unwrap_err();
    assert_eq!(error.message(), "files include each other more than 64 levels deep");
    let error = tapstack_rpcgen::compile(folder.path().join("none.x")).unwrap_err().to_string();
    assert!(error.ends_with("none.x: no such file or directory"), "{error}");
}

#[test]
fn growth_without_end_is_stopped() {
    let mut doubling = "#define A0 x\n".to_owned();
    for n in 1..30 {
        doubling.push_str(&format!("#define A{n} A{} A{0}\n", n - 1));
    }
    assert!(message(&format!("{doubling}A29")).contains("more than 1048576 words and marks"));
    let sums: String = (1..60).map(|n| format!("%#define B{n} B{} + B{0}\n", n - 1)).collect();
    assert!(message(&format!("%#define B0 1\n{sums}const C = B59;")).contains("`C` has no value: too long"));
    assert!(message(&format!("#if {}1", "(".repeat(100_000))).contains("too deeply nested"));
    assert!(message(&"struct a { ".repeat(100_000)).contains("more than 32 types inside each other"));
    assert!(message(&"#if 1\n".repeat(100_000)).contains("more than 64 conditions inside each other"));
}

#[test]
fn long_chains_need_no_stack() {
    let chain: String = (0..20_000).map(|n| format!("struct s{n} {{ s{} next; }};\n", n + 1)).collect();
    assert!(Generator::new().generate("chain.x", &format!("{chain}struct s20000 {{ int x; }};")).is_ok());
}
