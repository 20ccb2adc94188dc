//! From bytes to values: every length is held against the bytes that are there before memory is taken.

use crate::encode::padding;
use crate::{DEPTH_MAX, Error, MEMORY_FACTOR, MEMORY_MIN, UNIT};
use bytes::Bytes;

/// What can be read from its coding.
pub trait Decode: Sized {
    /// Takes a value from the front of the bytes.
    ///
    /// # Errors
    ///
    /// If the bytes are not its coding, or a limit is met. How much was taken by then is unspecified.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error>;
}

/// Takes values from the front of some bytes.
///
/// No bytes make it panic, overflow the stack, or take more memory than [`memory_max`](Self::memory_max) besides copies
/// of strings and opaque data, which are never longer than the input.
///
/// ```
/// let mut from = tapstack_xdr::Decoder::new(b"\0\0\0\x07\0\0\0\x02ab\0\0");
/// assert_eq!(from.take_u32()?, 7);
/// assert_eq!(from.take_string(255)?, "ab");
/// from.finish()?;
/// # Ok::<(), tapstack_xdr::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    /// What is left.
    rest: &'a [u8],
    /// The whole, if it is shared: opaque data can then be taken by reference.
    shared: Option<&'a Bytes>,
    length: usize,
    depth: u32,
    memory: usize,
    memory_max: usize,
    any_padding: bool,
}

impl<'a> Decoder<'a> {
    /// Decodes `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let memory_max = bytes.len().saturating_mul(MEMORY_FACTOR).max(MEMORY_MIN);
        Self {
            rest: bytes,
            shared: None,
            length: bytes.len(),
            depth: 0,
            memory: 0,
            memory_max,
            any_padding: false,
        }
    }

    /// Decodes `bytes`, of which [`take_bytes`](Self::take_bytes) then shares parts instead of copying them.
    pub fn shared(bytes: &'a Bytes) -> Self {
        Self { shared: Some(bytes), ..Self::new(bytes) }
    }

    /// Lets arrays, lists and optional data take `bytes` of memory at most, counted as the sizes of their elements, where
    /// [`MEMORY_FACTOR`] times the input (and [`MEMORY_MIN`] at least) isn't right.
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// Accepts padding that is not zero, from peers that leave there what their memory held.
    ///
    /// RFC 4506 section 3 has "residual zero bytes", so they are checked by default: then a value has one coding only,
    /// requests can be compared as bytes (as a cache of replies does), and nothing can hide there.
    pub fn accept_any_padding(mut self) -> Self {
        self.any_padding = true;
        self
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Bytes that were taken.
    pub fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the decoding: nothing may be left.
    pub fn finish(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            remaining => Err(Error::Trailing { remaining }),
        }
    }

    /// Takes any value.
    pub fn take<T: Decode>(&mut self) -> Result<T, Error> {
        T::decode(self)
    }

    /// An int (RFC 4506 section 4.1).
    #[inline]
    pub fn take_i32(&mut self) -> Result<i32, Error> {
        Ok(i32::from_be_bytes(self.take_raw()?))
    }

    /// An unsigned int (section 4.2).
    #[inline]
    pub fn take_u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.take_raw()?))
    }

    /// A boolean (section 4.4): 0 or 1, nothing else.
    #[inline]
    pub fn take_bool(&mut self) -> Result<bool, Error> {
        match self.take_u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::BadBool(other)),
        }
    }

    /// A hyper (section 4.5).
    #[inline]
    pub fn take_i64(&mut self) -> Result<i64, Error> {
        Ok(i64::from_be_bytes(self.take_raw()?))
    }

    /// An unsigned hyper (section 4.5).
    #[inline]
    pub fn take_u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.take_raw()?))
    }

    /// C's `char`, sent as an int: from -128 to 127 where it is signed and to 255 where it isn't, so both are taken, as the
    /// same eight bits.
    #[inline]
    pub fn take_i8(&mut self) -> Result<i8, Error> {
        let value = self.take_i32()?;
        i8::try_from(value)
            .or_else(|_| u8::try_from(value).map(u8::cast_signed))
            .map_err(|_| Error::OutOfRange(value))
    }

    /// C's `unsigned char`, sent as an unsigned int.
    #[inline]
    pub fn take_u8(&mut self) -> Result<u8, Error> {
        let value = self.take_i32()?;
        u8::try_from(value).map_err(|_| Error::OutOfRange(value))
    }

    /// C's `short`, sent as an int.
    #[inline]
    pub fn take_i16(&mut self) -> Result<i16, Error> {
        let value = self.take_i32()?;
        i16::try_from(value).map_err(|_| Error::OutOfRange(value))
    }

    /// C's `unsigned short`, sent as an unsigned int.
    #[inline]
    pub fn take_u16(&mut self) -> Result<u16, Error> {
        let value = self.take_i32()?;
        u16::try_from(value).map_err(|_| Error::OutOfRange(value))
    }

    /// A float (section 4.6).
    #[inline]
    pub fn take_f32(&mut self) -> Result<f32, Error> {
        Ok(f32::from_bits(self.take_u32()?))
    }

    /// A double (section 4.7).
    #[inline]
    pub fn take_f64(&mut self) -> Result<f64, Error> {
        Ok(f64::from_bits(self.take_u64()?))
    }

    /// Fixed-length opaque (section 4.9).
    #[inline]
    pub fn take_opaque_fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take_padded(N)?;
        // As long as was asked for, so this can't fail; if it did, the bytes would be too short.
        bytes.try_into().map_err(|_| Error::Truncated { needed: N, remaining: bytes.len() })
    }

    /// Variable-length opaque of at most `max` bytes (section 4.10), by reference.
    #[inline]
    pub fn take_opaque(&mut self, max: usize) -> Result<&'a [u8], Error> {
        let length = self.take_length(max)?;
        self.take_padded(length)
    }

    /// The same, as a part of the input that is shared if it can be ([`shared`](Self::shared)), else a copy. A part keeps
    /// the whole input in memory for as long as it lives.
    pub fn take_bytes(&mut self, max: usize) -> Result<Bytes, Error> {
        let bytes = self.take_opaque(max)?;
        Ok(self.shared.map_or_else(|| Bytes::copy_from_slice(bytes), |whole| whole.slice_ref(bytes)))
    }

    /// A string of at most `max` bytes (section 4.11), by reference. It has to be UTF-8, which includes the ASCII that the
    /// section asks for; where a peer sends other bytes, as file servers do, use [`take_opaque`](Self::take_opaque).
    #[inline]
    pub fn take_string(&mut self, max: usize) -> Result<&'a str, Error> {
        std::str::from_utf8(self.take_opaque(max)?).map_err(|_| Error::NotUtf8)
    }

    /// A fixed-length array (section 4.12): `element` takes each one.
    pub fn take_array_fixed<T, const N: usize>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<[T; N], Error> {
        self.check_elements(N)?;
        let mut elements = [const { None }; N];
        for place in &mut elements {
            *place = Some(element(self)?);
        }
        Ok(elements.map(|taken| taken.expect("the loop has filled every place")))
    }

    /// A fixed-length array of `N` elements, on the heap: for those that are too large for the stack.
    pub fn take_array_boxed<T, const N: usize>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Box<[T; N]>, Error> {
        let elements = self.take_elements(N, element)?.into_boxed_slice();
        let length = elements.len();
        elements.try_into().map_err(|_| Error::TooLong { length, max: N })
    }

    /// A variable-length array of at most `max` elements (section 4.13): `element` takes each one.
    pub fn take_array<T>(
        &mut self,
        max: usize,
        element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let length = self.take_length(max)?;
        self.take_elements(length, element)
    }

    /// Optional data (section 4.19): `some` takes what is there.
    pub fn take_option<T>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if !self.take_bool()? {
            return Ok(None);
        }
        some(self).map(Some)
    }

    /// Optional data that goes on the heap, one level deeper: for a type that holds itself.
    pub fn take_option_box<T>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<Box<T>>, Error> {
        self.take_option(|from| from.take_box(some))
    }

    /// A value that goes on the heap, one level deeper: for a type that holds itself.
    pub fn take_box<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Box<T>, Error> {
        self.charge::<T>(1)?;
        self.nested(inner).map(Box::new)
    }

    /// A linked list (section 4.19), whose last field is the optional next element: `element` takes all but that.
    ///
    /// In Rust such a list is a `Vec`, so that neither coding nor dropping it recurses, however long it is.
    pub fn take_list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut elements = Vec::new();
        self.nested(|from| {
            while from.take_bool()? {
                from.charge::<T>(1)?;
                elements.push(element(from)?);
            }
            Ok(elements)
        })
    }

    /// The length that goes before variable-length data, which may be `max` at most.
    #[inline]
    pub fn take_length(&mut self, max: usize) -> Result<usize, Error> {
        let length = self.take_u32()?;
        match usize::try_from(length) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(Error::TooLong { length: length as usize, max }),
        }
    }

    /// Takes from one level deeper: around everything through which a type may hold itself.
    ///
    /// # Errors
    ///
    /// [`Error::TooDeep`] if that is deeper than [`DEPTH_MAX`]: the nesting is the peer's choice, the stack is ours.
    pub fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH_MAX {
            return Err(Error::TooDeep { max: DEPTH_MAX });
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn take_elements<T>(
        &mut self,
        length: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.check_elements(length)?;
        self.charge::<T>(length)?;
        let mut elements = Vec::with_capacity(length);
        self.nested(|from| {
            for _ in 0..length {
                elements.push(element(from)?);
            }
            Ok(elements)
        })
    }

    /// No element is shorter than four bytes (section 3), so more than a quarter of what is left can't follow. (A
    /// zero-length array would be: as an element it gets this refusal, or four thousand million of them were free.)
    fn check_elements(&self, elements: usize) -> Result<(), Error> {
        let needed = elements.saturating_mul(UNIT);
        if needed > self.rest.len() {
            return Err(Error::Truncated { needed, remaining: self.rest.len() });
        }
        Ok(())
    }

    /// Counts the memory that elements will take, before they do.
    fn charge<T>(&mut self, elements: usize) -> Result<(), Error> {
        let bytes = elements.saturating_mul(size_of::<T>());
        if bytes > self.memory_max.saturating_sub(self.memory) {
            return Err(Error::Memory { max: self.memory_max });
        }
        self.memory += bytes;
        Ok(())
    }

    #[inline]
    fn take_raw<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(Error::Truncated { needed: N, remaining: self.rest.len() }),
        }
    }

    #[inline]
    fn take_padded(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let padding = padding(length);
        let truncated =
            Error::Truncated { needed: length.saturating_add(padding), remaining: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(truncated)?;
        let (zeros, rest) = rest.split_at_checked(padding).ok_or(truncated)?;
        if !self.any_padding && zeros.iter().any(|zero| *zero != 0) {
            return Err(Error::Padding);
        }
        self.rest = rest;
        Ok(taken)
    }
}
