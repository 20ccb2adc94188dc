//! What can be wrong with coded bytes, or with a value that is to be coded.

use std::fmt;

/// Why bytes are not the coding of a value, or a value has no coding within its limits.
///
/// [`is_peer_fault`](Self::is_peer_fault) tells bytes that break the standard from limits that were met; while coding,
/// [`TooLong`](Self::TooLong), [`BadUnion`](Self::BadUnion) and [`TooDeep`](Self::TooDeep) are the caller's own values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside a value.
    Truncated {
        /// Bytes that the value still needs, as far as was known.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// Bytes follow the value that should have been the last.
    Trailing {
        /// How many.
        remaining: usize,
    },
    /// A string, opaque or array is longer than its interface allows.
    TooLong {
        /// Its bytes or elements.
        length: usize,
        /// The declared bound.
        max: usize,
    },
    /// A byte that only fills up to a multiple of four is not zero.
    Padding,
    /// A boolean is neither 0 nor 1.
    BadBool(u32),
    /// A number is not among the enumeration's.
    BadEnum {
        /// The enumeration, as its interface names it.
        name: &'static str,
        /// The number.
        value: i32,
    },
    /// A discriminant chooses no arm of its union, which has no default.
    BadUnion {
        /// The union, as its interface names it.
        name: &'static str,
        /// The discriminant; an unsigned one as the same 32 bits.
        value: i32,
    },
    /// A number is outside what its declared type can hold (`char` and `short`, which are sent as an int).
    OutOfRange(i32),
    /// A string is not UTF-8. (RFC 4506 section 4.11 allows ASCII only.)
    NotUtf8,
    /// Values are nested deeper than the limit.
    TooDeep {
        /// The limit.
        max: u32,
    },
    /// The decoded value would take more memory than the limit.
    Memory {
        /// The limit, in bytes.
        max: usize,
    },
    /// The coding would be longer than the encoder's limit.
    Full {
        /// The limit, in bytes.
        max: usize,
    },
}

impl Error {
    /// Whether the bytes themselves are at fault, whatever limits we had chosen.
    pub fn is_peer_fault(&self) -> bool {
        !matches!(self, Self::TooDeep { .. } | Self::Memory { .. } | Self::Full { .. })
    }
}

/// Fails with [`Error::BadEnum`]: generated code ends here where no member has a number.
pub fn no_member<T>(name: &'static str, value: i32) -> Result<T, Error> {
    Err(Error::BadEnum { name, value })
}

/// Fails with [`Error::BadUnion`]: generated code ends here where no arm has a discriminant.
pub fn no_arm<T>(name: &'static str, value: i32) -> Result<T, Error> {
    Err(Error::BadUnion { name, value })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, remaining } => {
                write!(f, "the bytes end inside a value: {needed} needed, {remaining} left")
            }
            Self::Trailing { remaining } => write!(f, "{remaining} bytes follow the last value"),
            Self::TooLong { length, max } => write!(f, "a length of {length}, where {max} is the most"),
            Self::Padding => write!(f, "a padding byte is not zero"),
            Self::BadBool(value) => write!(f, "a boolean of {value}, neither 0 nor 1"),
            Self::BadEnum { name, value } => write!(f, "{value} is not among the numbers of enum {name}"),
            Self::BadUnion { name, value } => write!(f, "{value} chooses no arm of union {name}"),
            Self::OutOfRange(value) => write!(f, "{value} is outside its type"),
            Self::NotUtf8 => write!(f, "a string is not UTF-8"),
            Self::TooDeep { max } => write!(f, "values are nested deeper than {max}"),
            Self::Memory { max } => {
                write!(f, "the value would take more than {max} bytes of memory: raise Decoder::memory_max")
            }
            Self::Full { max } => {
                write!(f, "the coding is longer than {max} bytes: give the Encoder a larger limit")
            }
        }
    }
}

impl std::error::Error for Error {}
