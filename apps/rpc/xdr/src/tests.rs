//! The codings of RFC 4506 byte by byte, and what any bytes get.

use crate::*;
use proptest::prelude::*;

/// A type with everything in it: a tree, a list, bounded and fixed data, optional data.
#[derive(Clone, Debug, PartialEq)]
struct Thing {
    number: i32,
    wide: u64,
    flag: bool,
    name: String,
    data: Vec<u8>,
    id: [u8; 5],
    pair: [u32; 2],
    list: Vec<u32>,
    maybe: Option<i64>,
    left: Option<Box<Thing>>,
    children: Vec<Thing>,
}

const NAME_MAX: usize = 20;
const DATA_MAX: usize = 33;
const CHILDREN_MAX: usize = 4;

impl Encode for Thing {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_i32(self.number)?;
        to.put_u64(self.wide)?;
        to.put_bool(self.flag)?;
        to.put_string(&self.name, NAME_MAX)?;
        to.put_opaque(&self.data, DATA_MAX)?;
        to.put_opaque_fixed(&self.id)?;
        to.put_array_fixed(&self.pair, |n, to| to.put_u32(*n))?;
        to.put_list(&self.list, |n, to| to.put_u32(*n))?;
        to.put_option(self.maybe.as_ref(), |n, to| to.put_i64(*n))?;
        to.put_option(self.left.as_ref(), |left, to| to.put(left))?;
        to.put_array(&self.children, CHILDREN_MAX, Thing::encode)
    }
}

impl Thing {
    /// What it has on the heap, in bytes.
    fn memory(&self) -> usize {
        let below = self.children.iter().map(Thing::memory).sum::<usize>();
        let left = self.left.as_ref().map_or(0, |left| size_of::<Thing>() + left.memory());
        let lists = self.list.capacity() * 4 + self.children.capacity() * size_of::<Thing>();
        self.name.capacity() + self.data.capacity() + lists + below + left
    }
}

impl Decode for Thing {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(Self {
            number: from.take_i32()?,
            wide: from.take_u64()?,
            flag: from.take_bool()?,
            name: from.take_string(NAME_MAX)?.to_owned(),
            data: from.take_opaque(DATA_MAX)?.to_vec(),
            id: from.take_opaque_fixed()?,
            pair: from.take_array_fixed(|from| from.take_u32())?,
            list: from.take_list(|from| from.take_u32())?,
            maybe: from.take_option(|from| from.take_i64())?,
            left: from.take_option(|from| from.take_box(Thing::decode))?,
            children: from.take_array(CHILDREN_MAX, Thing::decode)?,
        })
    }
}

fn leaf() -> impl Strategy<Value = Thing> {
    (
        (any::<i32>(), any::<u64>(), any::<bool>(), "[a-zé]{0,10}"),
        prop::collection::vec(any::<u8>(), 0..=DATA_MAX),
        (
            any::<[u8; 5]>(),
            any::<[u32; 2]>(),
            prop::collection::vec(any::<u32>(), 0..9),
            any::<Option<i64>>(),
        ),
    )
        .prop_map(|((number, wide, flag, name), data, (id, pair, list, maybe))| Thing {
            number,
            wide,
            flag,
            name,
            data,
            id,
            pair,
            list,
            maybe,
            left: None,
            children: Vec::new(),
        })
}

fn thing() -> impl Strategy<Value = Thing> {
    leaf().prop_recursive(6, 40, CHILDREN_MAX as u32, |inner| {
        let children = prop::collection::vec(inner.clone(), 0..=CHILDREN_MAX);
        (leaf(), prop::option::of(inner), children).prop_map(|(mut thing, left, children)| {
            thing.left = left.map(Box::new);
            thing.children = children;
            thing
        })
    })
}

/// Bytes that look like XDR: mostly small words, so that lengths and flags are often right.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![4 => 0..3u32, 2 => 0..40u32, 1 => any::<u32>()];
    prop::collection::vec(word, 0..200)
        .prop_map(|words| words.into_iter().flat_map(u32::to_be_bytes).collect())
}

/// What decoding any bytes must keep to.
fn hold(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut from = Decoder::new(bytes);
    if let Ok(thing) = Thing::decode(&mut from) {
        let limit = MEMORY_MIN.max(bytes.len() * MEMORY_FACTOR) + bytes.len();
        // A list's Vec grows by doubling.
        prop_assert!(thing.memory() <= 2 * limit, "{} bytes became {}", bytes.len(), thing.memory());
        prop_assert_eq!(from.position() + from.remaining(), bytes.len());
        // One value, one coding: what was taken is what the value encodes to.
        let again = to_bytes(&thing, bytes.len()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&again[..], &bytes[..from.position()]);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_value_comes_back(thing in thing()) {
        let bytes = to_bytes(&thing, 1 << 20).unwrap();
        prop_assert_eq!(bytes.len() % UNIT, 0);
        prop_assert_eq!(from_slice::<Thing>(&bytes).unwrap(), thing.clone());
        prop_assert_eq!(from_bytes::<Thing>(&bytes).unwrap(), thing);
    }

    #[test]
    fn no_prefix_is_a_value(thing in leaf(), cut in any::<prop::sample::Index>()) {
        let bytes = to_bytes(&thing, 1 << 20).unwrap();
        let short = &bytes[..cut.index(bytes.len())];
        let is_truncated = matches!(from_slice::<Thing>(short), Err(Error::Truncated { .. }));
        prop_assert!(is_truncated);
    }

    #[test]
    fn any_bytes_are_held_within_limits(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        hold(&bytes)?;
    }

    #[test]
    fn any_words_are_held_within_limits(bytes in words()) {
        hold(&bytes)?;
    }

    #[test]
    fn changed_bytes_are_held_within_limits(
        thing in thing(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = to_bytes(&thing, 1 << 20).unwrap().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        hold(&bytes)?;
    }

    #[test]
    fn the_limit_of_an_encoder_holds(thing in thing(), length_max in 0..300usize) {
        let whole = to_bytes(&thing, 1 << 20).unwrap();
        match to_bytes(&thing, length_max) {
            Ok(bytes) => prop_assert_eq!(bytes, whole),
            Err(error) => {
                prop_assert_eq!(error, Error::Full { max: length_max });
                prop_assert!(whole.len() > length_max);
            }
        }
    }
}

#[test]
fn the_example_of_the_standard() {
    // RFC 4506 section 7: struct file { string filename<255>; filetype type; string owner<32>; opaque data<65535>; }
    let expected: [&[u8]; 9] = [
        &[0, 0, 0, 9],
        b"sillyprog\0\0\0",
        &[0, 0, 0, 2],
        &[0, 0, 0, 4],
        b"lisp",
        &[0, 0, 0, 4],
        b"john",
        &[0, 0, 0, 6],
        b"(quit)\0\0",
    ];
    let mut to = Encoder::new(64);
    to.put_string("sillyprog", 255).unwrap();
    to.put_i32(2).unwrap();
    to.put_string("lisp", 255).unwrap();
    to.put_string("john", 32).unwrap();
    to.put_opaque(b"(quit)", 65535).unwrap();
    assert_eq!(to.as_slice(), expected.concat());
}

#[test]
fn numbers_are_big_endian_and_floats_are_ieee() {
    let bytes = to_bytes(&(-2i32, 0x0102_0304_0506_0708u64, 1.0f32, -2.5f64, true, -1i64), 64).unwrap();
    let expected: [&[u8]; 6] = [
        &[0xff, 0xff, 0xff, 0xfe],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[0x3f, 0x80, 0, 0],
        &[0xc0, 4, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1],
        &[0xff; 8],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn what_breaks_the_standard_is_named() {
    assert_eq!(from_slice::<bool>(&[0, 0, 0, 2]), Err(Error::BadBool(2)));
    assert_eq!(from_slice::<u32>(&[0; 8]), Err(Error::Trailing { remaining: 4 }));
    assert_eq!(from_slice::<u64>(&[0; 7]), Err(Error::Truncated { needed: 8, remaining: 7 }));
    assert_eq!(from_slice::<String>(&[0, 0, 0, 1, 0xff, 0, 0, 0]), Err(Error::NotUtf8));
    assert_eq!(from_slice::<String>(&[0, 0, 0, 1, b'a', 0, 7, 0]), Err(Error::Padding));
    assert_eq!(
        from_slice::<String>(&[0, 0, 0, 1, b'a', 0, 0]),
        Err(Error::Truncated { needed: 4, remaining: 3 })
    );
    let mut lenient = Decoder::new(&[0, 0, 0, 1, b'a', 0, 7, 0]).accept_any_padding();
    assert_eq!(lenient.take_string(1), Ok("a"));
    assert_eq!(Decoder::new(&[0, 0, 0, 9]).take_opaque(8), Err(Error::TooLong { length: 9, max: 8 }));
    assert_eq!(Encoder::new(99).put_string("abc", 2), Err(Error::TooLong { length: 3, max: 2 }));
    assert!(Error::Padding.is_peer_fault() && !Error::Full { max: 1 }.is_peer_fault());
}

#[test]
fn lengths_take_no_memory_before_their_bytes_are_there() {
    let huge = [0xff; 8];
    assert_eq!(
        from_slice::<Vec<u64>>(&huge),
        Err(Error::Truncated { needed: 0xffff_ffff * 4, remaining: 4 })
    );
    assert!(matches!(from_slice::<Bytes>(&huge), Err(Error::Truncated { .. })));
    // Elements that are large in memory and small on the wire.
    let nothing = [0; 4 * 5001];
    let mut from = Decoder::new(&nothing);
    let mut count = Encoder::new(4);
    count.put_u32(5000).unwrap();
    let wire = [count.as_slice(), &nothing].concat();
    from.clone_from(&Decoder::new(&wire));
    let large = |from: &mut Decoder<'_>| from.take_u32().map(|_| [0u8; 1000]);
    assert_eq!(from.take_array(5000, large), Err(Error::Memory { max: wire.len() * MEMORY_FACTOR }));
    let mut from = Decoder::new(&wire).memory_max(5_000_000);
    assert_eq!(from.take_array(5000, large).unwrap().len(), 5000);
}

#[test]
fn a_long_list_needs_no_stack() {
    let list: Vec<u32> = (0..1_000_000).collect();
    let mut to = Encoder::new(usize::MAX);
    to.put_list(&list, |n, to| to.put_u32(*n)).unwrap();
    assert_eq!(to.len(), 8 * list.len() + 4);
    let mut from = Decoder::new(to.as_slice());
    assert_eq!(from.take_list(|from| from.take_u32()).unwrap(), list);
    from.finish().unwrap();
}

/// A chain through optional data, with nothing else in it.
struct Chain(Option<Box<Chain>>);

impl Encode for Chain {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        self.0.encode(to)
    }
}

impl Decode for Chain {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        Option::decode(from).map(Self)
    }
}

#[test]
fn nesting_is_bounded_in_both_directions() {
    let deep = |links: u32| (0..links).fold(Chain(None), |below, _| Chain(Some(Box::new(below))));
    let bytes = to_bytes(&deep(DEPTH_MAX), 1 << 20).unwrap();
    assert_eq!(bytes.len(), 4 * (DEPTH_MAX as usize + 1));
    assert!(from_slice::<Chain>(&bytes).is_ok());
    assert_eq!(to_bytes(&deep(DEPTH_MAX + 1), 1 << 20).err(), Some(Error::TooDeep { max: DEPTH_MAX }));
    let endless: Vec<u8> = [0, 0, 0, 1].repeat(1_000_000);
    assert_eq!(from_slice::<Chain>(&endless).err(), Some(Error::TooDeep { max: DEPTH_MAX }));
}

#[test]
fn shared_input_is_not_copied() {
    let whole = to_bytes(&Bytes::from_static(b"by reference"), 64).unwrap();
    let part: Bytes = from_bytes(&whole).unwrap();
    assert_eq!(part.as_ptr(), whole[4..].as_ptr());
    let copy: Bytes = from_slice(&whole).unwrap();
    assert_ne!(copy.as_ptr(), whole[4..].as_ptr());
}

#[test]
fn a_length_can_be_written_afterwards() {
    let mut to = Encoder::onto(BytesMut::from(&b"head"[..]), 12);
    to.put_u32(0).unwrap();
    to.put_u32(9).unwrap();
    to.put_u32_at(4, 4).unwrap();
    assert_eq!(to.put_u32_at(9, 4), Err(Error::Truncated { needed: 4, remaining: 3 }));
    assert_eq!(to.put_u32_at(99, 4), Err(Error::Truncated { needed: 4, remaining: 0 }));
    assert_eq!(to.put_u32(1), Err(Error::Full { max: 12 }));
    to.truncate(8);
    assert_eq!(to.into_bytes(), &b"head\0\0\0\x04"[..]);
}

#[test]
fn small_numbers_travel_as_ints() {
    let mut to = Encoder::new(16);
    to.put_i8(-2).unwrap();
    to.put_u8(254).unwrap();
    to.put_i16(-3).unwrap();
    to.put_u16(65533).unwrap();
    assert_eq!(to.as_slice(), [255, 255, 255, 254, 0, 0, 0, 254, 255, 255, 255, 253, 0, 0, 255, 253]);
    let mut from = Decoder::new(to.as_slice());
    assert_eq!((from.take_i8(), from.take_u8()), (Ok(-2), Ok(254)));
    assert_eq!((from.take_i16(), from.take_u16()), (Ok(-3), Ok(65533)));
    assert_eq!(Decoder::new(&[0, 0, 0, 254]).take_i8(), Ok(-2));
    assert_eq!(Decoder::new(&[0, 0, 1, 0]).take_i8(), Err(Error::OutOfRange(256)));
    assert_eq!(Decoder::new(&[0, 0, 1, 0]).take_u8(), Err(Error::OutOfRange(256)));
    assert_eq!(Decoder::new(&[0, 0, 128, 0]).take_i16(), Err(Error::OutOfRange(32768)));
    assert_eq!(Decoder::new(&[255, 255, 255, 255]).take_u16(), Err(Error::OutOfRange(-1)));
}
