//! The codings of Rust's own types, with no bound but the standard's on their lengths.

use crate::{Decode, Decoder, Encode, Encoder, Error, LENGTH_MAX};
use bytes::Bytes;

/// Joins a type to the encoder's and the decoder's method for it.
macro_rules! number {
    ($($type:ty, $put:ident, $take:ident;)*) => {$(
        impl Encode for $type {
            fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
                to.$put(*self)
            }
        }

        impl Decode for $type {
            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                from.$take()
            }
        }
    )*};
}

number! {
    i32, put_i32, take_i32;
    u32, put_u32, take_u32;
    i64, put_i64, take_i64;
    u64, put_u64, take_u64;
    f32, put_f32, take_f32;
    f64, put_f64, take_f64;
    bool, put_bool, take_bool;
}

/// Void (RFC 4506 section 4.16): no bytes.
impl Encode for () {
    fn encode(&self, _: &mut Encoder) -> Result<(), Error> {
        Ok(())
    }
}

impl Decode for () {
    fn decode(_: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(())
    }
}

/// A `string<>`.
impl Encode for str {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_string(self, LENGTH_MAX)
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_string(self, LENGTH_MAX)
    }
}

impl Decode for String {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_string(LENGTH_MAX).map(str::to_owned)
    }
}

/// An `opaque<>`.
impl Encode for Bytes {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_opaque(self, LENGTH_MAX)
    }
}

impl Decode for Bytes {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_bytes(LENGTH_MAX)
    }
}

/// A variable-length array. (Bytes are no such array: `opaque<>` is [`Bytes`], or [`Encoder::put_opaque`].)
impl<T: Encode> Encode for [T] {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_array(self, LENGTH_MAX, |element, to| element.encode(to))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        self.as_slice().encode(to)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_array(LENGTH_MAX, T::decode)
    }
}

/// A fixed-length array.
impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_array_fixed(self, |element, to| element.encode(to))
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_array_fixed(T::decode)
    }
}

/// Optional data.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_option(self.as_ref(), |value, to| value.encode(to))
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_option(T::decode)
    }
}

/// What a type that holds itself is behind; it counts as one level of nesting.
impl<T: Encode + ?Sized> Encode for Box<T> {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.nested(|to| (**self).encode(to))
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.take_box(T::decode)
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        (**self).encode(to)
    }
}

/// Values one after another, as a procedure with several arguments sends them.
macro_rules! tuple {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<$($name: Encode),*> Encode for ($($name,)*) {
            fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
                let ($($name,)*) = self;
                $($name.encode(to)?;)*
                Ok(())
            }
        }

        impl<$($name: Decode),*> Decode for ($($name,)*) {
            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                Ok(($($name::decode(from)?,)*))
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
