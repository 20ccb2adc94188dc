//! From values to bytes: appends to a buffer that grows up to a stated limit.

use crate::{DEPTH_MAX, Error, UNIT};
use bytes::{BufMut as _, Bytes, BytesMut};

/// What has a coding.
pub trait Encode {
    /// Appends the coding of this value.
    ///
    /// # Errors
    ///
    /// If a length is over its declared bound, or the encoder's limit is met. What was appended before stays.
    fn encode(&self, to: &mut Encoder) -> Result<(), Error>;
}

/// Appends codings to a buffer, which never becomes longer than a limit.
///
/// ```
/// let mut to = tapstack_xdr::Encoder::new(64);
/// to.put_u32(7)?;
/// to.put_string("ab", 255)?;
/// assert_eq!(to.as_slice(), b"\0\0\0\x07\0\0\0\x02ab\0\0");
/// # Ok::<(), tapstack_xdr::Error>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    buffer: BytesMut,
    length_max: usize,
    depth: u32,
}

impl Encoder {
    /// An empty encoder, for at most `length_max` bytes.
    pub fn new(length_max: usize) -> Self {
        Self::onto(BytesMut::new(), length_max)
    }

    /// Appends to what `buffer` holds; `length_max` counts those bytes too. Its capacity is used before any other
    /// memory is taken.
    pub fn onto(buffer: BytesMut, length_max: usize) -> Self {
        Self { buffer, length_max, depth: 0 }
    }

    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    /// Drops all bytes after the first `length`: back to an earlier [`len`](Self::len), for a value that failed.
    pub fn truncate(&mut self, length: usize) {
        self.buffer.truncate(length);
    }

    /// The buffer.
    pub fn into_buffer(self) -> BytesMut {
        self.buffer
    }

    /// The bytes, to be shared.
    pub fn into_bytes(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Appends any value.
    pub fn put<T: Encode + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.encode(self)
    }

    /// An int (RFC 4506 section 4.1).
    #[inline]
    pub fn put_i32(&mut self, value: i32) -> Result<(), Error> {
        self.room(4)?;
        self.buffer.put_i32(value);
        Ok(())
    }

    /// An unsigned int (section 4.2).
    #[inline]
    pub fn put_u32(&mut self, value: u32) -> Result<(), Error> {
        self.room(4)?;
        self.buffer.put_u32(value);
        Ok(())
    }

    /// Writes an unsigned int over the four bytes at `position`, which were appended before: for a length that is known
    /// only afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if those four bytes are not there.
    pub fn put_u32_at(&mut self, position: usize, value: u32) -> Result<(), Error> {
        let remaining = self.buffer.len().saturating_sub(position);
        match self.buffer.get_mut(position..).and_then(|rest| rest.first_chunk_mut()) {
            Some(place) => *place = value.to_be_bytes(),
            None => return Err(Error::Truncated { needed: UNIT, remaining }),
        }
        Ok(())
    }

    /// A boolean (section 4.4).
    #[inline]
    pub fn put_bool(&mut self, value: bool) -> Result<(), Error> {
        self.put_u32(value.into())
    }

    /// A hyper (section 4.5).
    #[inline]
    pub fn put_i64(&mut self, value: i64) -> Result<(), Error> {
        self.room(8)?;
        self.buffer.put_i64(value);
        Ok(())
    }

    /// An unsigned hyper (section 4.5).
    #[inline]
    pub fn put_u64(&mut self, value: u64) -> Result<(), Error> {
        self.room(8)?;
        self.buffer.put_u64(value);
        Ok(())
    }

    /// C's `char`, sent as an int.
    #[inline]
    pub fn put_i8(&mut self, value: i8) -> Result<(), Error> {
        self.put_i32(value.into())
    }

    /// C's `unsigned char`, sent as an unsigned int.
    #[inline]
    pub fn put_u8(&mut self, value: u8) -> Result<(), Error> {
        self.put_u32(value.into())
    }

    /// C's `short`, sent as an int.
    #[inline]
    pub fn put_i16(&mut self, value: i16) -> Result<(), Error> {
        self.put_i32(value.into())
    }

    /// C's `unsigned short`, sent as an unsigned int.
    #[inline]
    pub fn put_u16(&mut self, value: u16) -> Result<(), Error> {
        self.put_u32(value.into())
    }

    /// A float (section 4.6).
    #[inline]
    pub fn put_f32(&mut self, value: f32) -> Result<(), Error> {
        self.put_u32(value.to_bits())
    }

    /// A double (section 4.7).
    #[inline]
    pub fn put_f64(&mut self, value: f64) -> Result<(), Error> {
        self.put_u64(value.to_bits())
    }

    /// Fixed-length opaque (section 4.9): the bytes, filled up with zeros to a multiple of four.
    #[inline]
    pub fn put_opaque_fixed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let padding = padding(bytes.len());
        self.room(bytes.len().saturating_add(padding))?;
        self.buffer.put_slice(bytes);
        self.buffer.put_bytes(0, padding);
        Ok(())
    }

    /// Variable-length opaque of at most `max` bytes (section 4.10).
    #[inline]
    pub fn put_opaque(&mut self, bytes: &[u8], max: usize) -> Result<(), Error> {
        self.put_length(bytes.len(), max)?;
        self.put_opaque_fixed(bytes)
    }

    /// A string of at most `max` bytes (section 4.11).
    #[inline]
    pub fn put_string(&mut self, text: &str, max: usize) -> Result<(), Error> {
        self.put_opaque(text.as_bytes(), max)
    }

    /// A fixed-length array (section 4.12): `element` appends each one.
    pub fn put_array_fixed<T>(
        &mut self,
        elements: &[T],
        mut element: impl FnMut(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        elements.iter().try_for_each(|e| element(e, self))
    }

    /// A variable-length array of at most `max` elements (section 4.13): `element` appends each one.
    pub fn put_array<T>(
        &mut self,
        elements: &[T],
        max: usize,
        element: impl FnMut(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.put_length(elements.len(), max)?;
        self.nested(|to| to.put_array_fixed(elements, element))
    }

    /// Optional data (section 4.19): `some` appends what is there.
    pub fn put_option<T: ?Sized>(
        &mut self,
        value: Option<&T>,
        some: impl FnOnce(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.put_bool(value.is_some())?;
        match value {
            Some(value) => some(value, self),
            None => Ok(()),
        }
    }

    /// Optional data that is on the heap, one level deeper: for a type that holds itself.
    pub fn put_option_box<T: ?Sized>(
        &mut self,
        value: Option<&T>,
        some: impl FnOnce(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.put_option(value, |value, to| to.put_box(value, some))
    }

    /// A value that is on the heap, one level deeper: for a type that holds itself.
    pub fn put_box<T: ?Sized>(
        &mut self,
        value: &T,
        inner: impl FnOnce(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.nested(|to| inner(value, to))
    }

    /// A linked list (section 4.19), whose last field is the optional next element: `element` appends all but that.
    ///
    /// In Rust such a list is a slice, so that neither coding nor dropping it recurses.
    pub fn put_list<T>(
        &mut self,
        elements: &[T],
        mut element: impl FnMut(&T, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.nested(|to| {
            elements.iter().try_for_each(|e| {
                to.put_bool(true)?;
                element(e, to)
            })
        })?;
        self.put_bool(false)
    }

    /// The length that goes before variable-length data.
    #[inline]
    pub fn put_length(&mut self, length: usize, max: usize) -> Result<(), Error> {
        match u32::try_from(length) {
            Ok(short) if length <= max => self.put_u32(short),
            _ => Err(Error::TooLong { length, max: max.min(u32::MAX as usize) }),
        }
    }

    /// Appends one level deeper: around everything through which a type may hold itself.
    ///
    /// # Errors
    ///
    /// [`Error::TooDeep`] if that is deeper than [`DEPTH_MAX`], where a decoder would give up as well.
    pub fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH_MAX {
            return Err(Error::TooDeep { max: DEPTH_MAX });
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Whether `more` bytes are within the limit.
    #[inline]
    fn room(&self, more: usize) -> Result<(), Error> {
        if more > self.length_max.saturating_sub(self.buffer.len()) {
            return Err(Error::Full { max: self.length_max });
        }
        Ok(())
    }
}

/// Makes an [`Encode`] of a function that appends: for values whose type alone doesn't say how, such as several arguments
/// or a string with a bound.
#[derive(Clone, Copy, Debug)]
pub struct EncodeWith<F>(pub F);

impl<F: Fn(&mut Encoder) -> Result<(), Error>> Encode for EncodeWith<F> {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        (self.0)(to)
    }
}

/// Zeros that follow `length` bytes, up to a multiple of four (section 3).
pub(crate) fn padding(length: usize) -> usize {
    (UNIT - length % UNIT) % UNIT
}
