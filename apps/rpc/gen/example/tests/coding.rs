//! The coding that is made for every construct of the language: byte by byte, and for any bytes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::fmt::Debug;
use tapstack_rpcgen_example::{language::*, types};
use tapstack_xdr::{Decode, Encode, Error, from_slice, to_bytes};

/// The value's coding is these words, and theirs is the value.
fn is<T: Encode + Decode + PartialEq + Debug>(value: &T, words: &[u32]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(to_bytes(value, 1 << 20).unwrap(), bytes, "{value:?}");
    assert_eq!(from_slice::<T>(&bytes).as_ref(), Ok(value));
}

fn fails<T: Decode + Debug + PartialEq>(words: &[u32], error: Error) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(from_slice::<T>(&bytes), Err(error));
}

const fn text(bytes: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*bytes)
}

#[test]
fn a_quadruple_is_16_bytes() {
    let value = Quadruples { one: [1; 16], two: [[2; 16], [3; 16]], some: vec![[4; 16]], perhaps: None };
    let bytes = to_bytes(&value, 1000).unwrap();
    assert_eq!(bytes.len(), 16 + 32 + 4 + 16 + 4);
    assert_eq!((bytes[0], bytes[16], bytes[32], bytes[52]), (1, 2, 3, 4));
    assert_eq!(from_slice::<Quadruples>(&bytes).unwrap(), value);
}

#[test]
fn constants_and_enumerations_have_their_numbers() {
    assert_eq!((FROM_HEADER, BOTH, DECIMAL, HEXADECIMAL, OCTAL), (1, 3, 10, 255, 0o755));
    assert_eq!((NEGATIVE, LARGE, SAME, GREETING), (-1, u64::MAX, 10, "hello"));
    assert_eq!((Colour::Red as i32, Colour::Blue as i32, Colour::ROUGE), (0, 255, Colour::Red));
    assert_eq!([Counted::First, Counted::Tenth, Counted::Eleventh].map(|c| c as i32), [0, 10, 11]);
    is(&Colour::Blue, &[255]);
    fails::<Colour>(&[7], Error::BadEnum { name: "colour", value: 7 });
}

#[test]
fn primitives_are_coded_in_their_order() {
    let value = Primitives {
        a: -1,
        b: 2,
        c: 3,
        d: -4,
        e: 5,
        f: 1.5,
        g: -2.0,
        h: true,
        i: -6,
        j: 7,
        k: -8,
        l: 9,
        m: -10,
        n: 11,
        o: 12,
        p: 13,
        q: vec![14, 15],
        r: [16, -17],
    };
    let minus = |n: u32| 0u32.wrapping_sub(n);
    is(
        &value,
        &[
            minus(1),
            2,
            3,
            u32::MAX,
            minus(4),
            0,
            5,
            0x3fc0_0000,
            0xc000_0000,
            0,
            1,
            minus(6),
            7,
            minus(8),
            9,
            minus(10),
            11,
            12,
            0,
            13,
            2,
            14,
            15,
            0,
            16,
            u32::MAX,
            minus(17),
        ],
    );
}

#[test]
fn lists_are_vectors_and_trees_have_boxes() {
    let entry = |key: &str, value| Entry { key: key.to_owned(), value };
    let lists = Lists {
        entries: vec![entry("ab", 1), entry("c", 2)],
        numbers: vec![Link { number: 5 }],
        others: vec![vec![], vec![Link { number: 6 }]],
    };
    let first = [1, 2, text(b"ab\0\0"), 1, 1, 1, text(b"c\0\0\0"), 2, 0];
    is(&lists, &[&first[..], &[1, 0, 5, 0], &[2, 0, 1, 0, 6, 0]].concat());

    let leaf = |label| Some(Box::new(Tree { label, left: None, right: None }));
    is(&Tree { label: 1, left: leaf(2), right: leaf(3) }, &[1, 1, 2, 0, 0, 1, 3, 0, 0]);
    let branch = Branch { label: "b".to_owned(), branches: vec![] };
    let two = Branch { label: "a".to_owned(), branches: vec![branch.clone(), branch] };
    let b = [1, text(b"b\0\0\0"), 0];
    is(&two, &[&[1, text(b"a\0\0\0"), 2][..], &b, &b].concat());
    let wife = Wife { age: 50, spouse: None };
    is(&Husband { age: 60, spouse: Some(Box::new(wife)) }, &[60, 1, 50, 0]);
    let end = SpelledListElement { item: String::new(), next: SpelledList::False };
    is(&SpelledList::True(Box::new(end)), &[1, 0, 0]);
}

#[test]
fn unions_are_chosen_by_their_discriminants() {
    is(&ByNumber::Case0, &[0]);
    is(&ByNumber::CaseMinus2(9), &[0xffff_fffe, 9]);
    is(&ByNumber::Decimal("x".to_owned()), &[10, 1, text(b"x\0\0\0")]);
    is(&ByNumber::Default(77, Pair { first: 1, second: 2 }), &[77, 1, 2]);
    is(&ByColour::Red("ab".to_owned()), &[0, 2, text(b"ab\0\0")]);
    is(&ByColour::Blue(vec![]), &[255, 0]);
    is(&ByFlag::True(3), &[1, 0, 3]);
    is(&ByFlag::False, &[0]);
    is(&ByColourAndRest::Default(Colour::Green), &[1]);
    fails::<ByUnsigned>(&[5], Error::BadUnion { name: "by_unsigned", value: 5 });
    fails::<ByColour>(&[5], Error::BadEnum { name: "colour", value: 5 });
    assert_eq!(ByNumber::Default(5, Pair { first: 0, second: 0 }).discriminant(), 5);
    // A default that pretends to be one of the cases has no coding.
    let pretended = to_bytes(&ByNumber::Default(1, Pair { first: 0, second: 0 }), 64);
    assert_eq!(pretended, Err(Error::BadUnion { name: "by_number", value: 1 }));
}

#[test]
fn bounds_hold_in_both_directions() {
    let entry = |key: &str| Entry { key: key.to_owned(), value: 0 };
    assert_eq!(to_bytes(&entry("12345678901"), 64), Err(Error::TooLong { length: 11, max: 10 }));
    fails::<Entry>(&[11, 0, 0, 0, 0], Error::TooLong { length: 11, max: 10 });
    let branches = vec![Branch { label: String::new(), branches: vec![] }; 9];
    let wide = Branch { label: String::new(), branches };
    assert_eq!(to_bytes(&wide, 999), Err(Error::TooLong { length: 9, max: 8 }));
}

#[test]
fn a_list_of_a_hundred_thousand_is_no_matter() {
    let lists = Lists {
        entries: (0..100_000).map(|value| Entry { key: "k".to_owned(), value }).collect(),
        numbers: vec![],
        others: vec![],
    };
    let bytes = to_bytes(&lists, usize::MAX).unwrap();
    assert_eq!(from_slice::<Lists>(&bytes).unwrap(), lists);
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let endless: Vec<u8> = [[0, 0, 0, 1]; 100_000].concat();
    assert!(matches!(from_slice::<Tree>(&endless), Err(Error::TooDeep { .. })));
    assert!(matches!(from_slice::<Husband>(&endless), Err(Error::TooDeep { .. })));
    // On the small stack of a thread as well.
    let spelled: Vec<u8> = [[0, 0, 0, 1], [0; 4]].repeat(100_000).concat();
    let thread =
        std::thread::Builder::new().stack_size(1 << 20).spawn(move || from_slice::<SpelledList>(&spelled));
    assert!(matches!(thread.unwrap().join().unwrap(), Err(Error::TooDeep { .. })));
}

#[test]
fn strings_and_data_can_be_bytes() {
    let file = types::File {
        name: vec![0xff],
        comment: vec![],
        data: tapstack_xdr::Bytes::from_static(b"data"),
        signature: tapstack_xdr::Bytes::new(),
        link: Some(b"ln".to_vec()),
    };
    is(&file, &[1, 0xff00_0000, 0, 4, text(b"data"), 0, 1, 2, text(b"ln\0\0")]);
}

/// If the bytes begin with a value, it is coded as they are.
fn hold<T: Encode + Decode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut from = tapstack_xdr::Decoder::new(bytes);
    if let Ok(value) = T::decode(&mut from) {
        let again = to_bytes(&value, bytes.len()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&again[..], &bytes[..from.position()]);
    }
    Ok(())
}

/// The same where C's `char` is among the fields, of which both codings are taken and the signed one is written: what is
/// written is as long, and is the same value.
fn hold_but_chars<T: Encode + Decode + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut from = tapstack_xdr::Decoder::new(bytes);
    if let Ok(value) = T::decode(&mut from) {
        let again = to_bytes(&value, bytes.len()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(again.len(), from.position());
        prop_assert_eq!(from_slice::<T>(&again), Ok(value));
        let unsigned = |word: &[u8]| {
            if word[..3] == [0xff; 3] { [0, 0, 0, word[3]] } else { [word[0], word[1], word[2], word[3]] }
        };
        for (written, read) in again.chunks_exact(4).zip(bytes.chunks_exact(4)) {
            prop_assert!(written == read || unsigned(written) == *read, "{written:x?} for {read:x?}");
        }
    }
    Ok(())
}

#[test]
fn a_letter_has_two_codings_and_is_written_in_one() {
    // Found by `any_words_are_refused_or_read`: C's `char` is sent as 0 to 255 where it is unsigned.
    let words = |letter: u32| [0, 0, 1, 0, 1, letter, 0].map(u32::to_be_bytes).concat();
    let unsigned = from_slice::<Maybe>(&words(255)).unwrap();
    assert_eq!(Ok(&unsigned), from_slice(&words(u32::MAX)).as_ref());
    assert_eq!(to_bytes(&unsigned, 64).unwrap(), words(u32::MAX));
}

proptest! {
    #[test]
    fn any_words_are_refused_or_read(words in prop::collection::vec(
        prop_oneof![6 => 0..3u32, 2 => 0..12u32, 1 => Just(255), 1 => any::<u32>()], 0..120,
    )) {
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        hold::<Lists>(&bytes)?;
        hold::<Tree>(&bytes)?;
        hold::<Branch>(&bytes)?;
        hold_but_chars::<Maybe>(&bytes)?;
        hold::<ByNumber>(&bytes)?;
        hold::<ByUnsigned>(&bytes)?;
        hold::<ByColour>(&bytes)?;
        hold::<ByFlag>(&bytes)?;
        hold::<SpelledList>(&bytes)?;
        hold::<Nested>(&bytes)?;
        hold::<types::File>(&bytes)?;
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        hold::<Arrays>(&bytes)?;
        hold::<ByUnsigned>(&bytes)?;
        hold::<Nested>(&bytes)?;
    }
}
