//! XDR, the External Data Representation of RFC 4506: values to bytes and back, with limits.
//!
//! - **In**: values, which an [`Encoder`] appends to a buffer; bytes from a peer, which a [`Decoder`] takes values from.
//! - **Out**: bytes, at most as many as were allowed; values, or an [`Error`] that says what is wrong.
//! - **Keeps**: nothing.
//! - **Timers**: none.
//! - **RFC**: 4506. Numbers of quadruple precision (section 4.8) are 16 bytes of opaque data here, since Rust has no such
//!   stable type.
//! - **Never**: panics or overflows the stack whatever the bytes are; takes memory because a length says so: each length
//!   is first held against its declared bound and against the bytes that follow.
//!
//! Types of an interface are best made from its `.x` file by `tapstack-rpcgen`. By hand they look like this:
//!
//! ```
//! use tapstack_xdr::{Decode, Decoder, Encode, Encoder, Error};
//!
//! /// struct file { string name<255>; opaque owner[4]; unsigned blocks<1000>; };
//! #[derive(Debug, PartialEq)]
//! struct File {
//!     name: String,
//!     owner: [u8; 4],
//!     blocks: Vec<u32>,
//! }
//!
//! impl Encode for File {
//!     fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
//!         to.put_string(&self.name, 255)?;
//!         to.put_opaque_fixed(&self.owner)?;
//!         to.put_array(&self.blocks, 1000, |block, to| to.put_u32(*block))
//!     }
//! }
//!
//! impl Decode for File {
//!     fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
//!         Ok(Self {
//!             name: from.take_string(255)?.to_owned(),
//!             owner: from.take_opaque_fixed()?,
//!             blocks: from.take_array(1000, |from| from.take_u32())?,
//!         })
//!     }
//! }
//!
//! let file = File { name: "sillyprog".into(), owner: *b"john", blocks: vec![1, 2] };
//! let bytes = tapstack_xdr::to_bytes(&file, 1024)?;
//! assert_eq!(bytes.len(), 4 + 12 + 4 + 4 + 8);
//! assert_eq!(tapstack_xdr::from_slice::<File>(&bytes)?, file);
//! # Ok::<(), Error>(())
//! ```
//!
//! # What a decoder insists on
//!
//! Padding bytes are zero (section 3: "residual zero bytes"), booleans are 0 or 1, enumerations have one of their
//! numbers, strings are UTF-8, and [`from_slice`] leaves no byte. So each value has exactly one coding.
//!
//! # Nesting
//!
//! Everything through which a type can hold itself (variable-length arrays, lists, boxes) counts towards [`DEPTH_MAX`] levels, in
//! both directions: trees may be that deep. A linked list is a `Vec` ([`Decoder::take_list`]), and takes one level
//! however long it is.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decode;
mod encode;
mod error;
#[cfg(test)]
mod tests;
mod values;

pub use bytes::{Bytes, BytesMut};
pub use decode::{Decode, Decoder};
pub use encode::{Encode, EncodeWith, Encoder};
pub use error::{Error, no_arm, no_member};

/// Bytes of a unit: every coding is a multiple of it (RFC 4506 section 3).
pub const UNIT: usize = 4;

/// The longest variable-length data where an interface states no bound (RFC 4506 sections 4.10, 4.11, 4.13: 2^32 - 1).
pub const LENGTH_MAX: usize = u32::MAX as usize;

/// Levels of nesting at most: a few hundred bytes of stack each.
pub const DEPTH_MAX: u32 = 128;

/// Memory for arrays, lists and optional data at most, in multiples of the input, unless [`Decoder::memory_max`] says
/// otherwise. An empty string has four bytes on the wire and 24 in memory; unions with a large arm have more.
pub const MEMORY_FACTOR: usize = 32;

/// Memory that short inputs may take nevertheless, in bytes.
pub const MEMORY_MIN: usize = 16 * 1024;

/// The coding of one value, which may be `length_max` bytes long.
pub fn to_bytes<T: Encode + ?Sized>(value: &T, length_max: usize) -> Result<Bytes, Error> {
    let mut to = Encoder::new(length_max);
    value.encode(&mut to)?;
    Ok(to.into_bytes())
}

/// The one value whose coding all of `bytes` are.
pub fn from_slice<T: Decode>(bytes: &[u8]) -> Result<T, Error> {
    let mut from = Decoder::new(bytes);
    let value = T::decode(&mut from)?;
    from.finish()?;
    Ok(value)
}

/// The same, where [`Bytes`] in the value share those of the input.
pub fn from_bytes<T: Decode>(bytes: &Bytes) -> Result<T, Error> {
    let mut from = Decoder::shared(bytes);
    let value = T::decode(&mut from)?;
    from.finish()?;
    Ok(value)
}
