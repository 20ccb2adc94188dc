//! Who calls: credentials and verifiers of the flavours NONE, SYS and SHORT, and a place for more.
//!
//! ```text
//!  0                   1                   2                   3
//! +---------------------------------------------------------------+
//! |                         flavour                               |
//! +---------------------------------------------------------------+
//! |                    length, 400 at most                        |
//! +---------------------------------------------------------------+
//! |        body, as the flavour has it, filled up to 4 bytes      |
//! +---------------------------------------------------------------+
//! ```

use bytes::Bytes;
use std::fmt;
use tapstack_xdr::{Decode, Decoder, Encode, Encoder, Error};

/// Bytes of a credential's or verifier's body at most (RFC 5531 section 8.2).
pub const AUTH_BYTES_MAX: usize = 400;
/// Bytes of a machine's name in AUTH_SYS at most (RFC 5531 appendix A).
pub const MACHINE_NAME_BYTES_MAX: usize = 255;
/// Groups in AUTH_SYS at most, besides the first (RFC 5531 appendix A).
pub const GIDS_MAX: usize = 16;

/// The flavours' numbers (RFC 5531 section 8.2 and the registry that it began).
pub mod flavour {
    /// No authentication.
    pub const NONE: u32 = 0;
    /// Unix numbers, taken on trust.
    pub const SYS: u32 = 1;
    /// A server's short hand for a credential that it has seen.
    pub const SHORT: u32 = 2;
}

/// A credential or a verifier as it is sent: `opaque_auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpaqueAuth {
    /// The flavour's number: see [`flavour`].
    pub flavour: u32,
    /// What the flavour says.
    pub body: Bytes,
}

impl Encode for OpaqueAuth {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_u32(self.flavour)?;
        to.put_opaque(&self.body, AUTH_BYTES_MAX)
    }
}

impl Decode for OpaqueAuth {
    fn decode(from: &mut Decoder<'_>) -> Result<OpaqueAuth, Error> {
        Ok(OpaqueAuth { flavour: from.take_u32()?, body: from.take_bytes(AUTH_BYTES_MAX)? })
    }
}

/// Who a caller says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Credential {
    /// It doesn't say.
    #[default]
    None,
    /// A Unix user. Nothing proves it.
    Sys(SysCredential),
}

/// The body of AUTH_SYS (RFC 5531 appendix A).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SysCredential {
    /// Chosen by the caller. Clients with an [`Identity`](crate::Identity) send their incarnation number here.
    pub stamp: u32,
    /// The caller's machine, [`MACHINE_NAME_BYTES_MAX`] at most.
    pub machine: String,
    /// The user.
    pub uid: u32,
    /// The user's first group.
    pub gid: u32,
    /// Further groups, [`GIDS_MAX`] at most.
    pub gids: Vec<u32>,
}

impl Encode for SysCredential {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_u32(self.stamp)?;
        to.put_string(&self.machine, MACHINE_NAME_BYTES_MAX)?;
        to.put_u32(self.uid)?;
        to.put_u32(self.gid)?;
        to.put_array(&self.gids, GIDS_MAX, |gid, to| to.put_u32(*gid))
    }
}

impl Decode for SysCredential {
    fn decode(from: &mut Decoder<'_>) -> Result<SysCredential, Error> {
        Ok(SysCredential {
            stamp: from.take_u32()?,
            machine: from.take_string(MACHINE_NAME_BYTES_MAX)?.to_owned(),
            uid: from.take_u32()?,
            gid: from.take_u32()?,
            gids: from.take_array(GIDS_MAX, |from| from.take_u32())?,
        })
    }
}

/// Before the name of a client that says which of its lives it calls from. Machines' names have no slash, and what other
/// programs put into the stamp (libtirpc: the time) is no incarnation number.
const INCARNATED: &str = "tapstack/";

impl SysCredential {
    /// The credential of a client's life.
    pub fn of_incarnation(name: &str, incarnation: u32, uid: u32, gid: u32) -> SysCredential {
        SysCredential {
            stamp: incarnation,
            machine: format!("{INCARNATED}{name}"),
            uid,
            gid,
            gids: Vec::new(),
        }
    }

    /// The client's name and the number of its life, if it says so.
    pub fn incarnation(&self) -> Option<(&str, u32)> {
        Some((self.machine.strip_prefix(INCARNATED)?, self.stamp))
    }

    /// As it is sent. Errors: a name or a list of groups that is too long.
    pub fn to_auth(&self) -> Result<OpaqueAuth, Error> {
        Ok(OpaqueAuth { flavour: flavour::SYS, body: tapstack_xdr::to_bytes(self, AUTH_BYTES_MAX)? })
    }
}

/// Why a server doesn't accept a caller (RFC 5531 section 9, `auth_stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthStatus {
    /// Bad credential (seal broken).
    BadCredential,
    /// "Client must begin new session."
    RejectedCredential,
    /// Bad verifier (seal broken).
    BadVerifier,
    /// Verifier expired or replayed.
    RejectedVerifier,
    /// Rejected for security reasons.
    TooWeak,
    /// Bogus response verifier.
    InvalidResponse,
    /// Reason unknown, or one of the numbers that other flavours have.
    Other(u32),
}

impl AuthStatus {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            AuthStatus::BadCredential => 1,
            AuthStatus::RejectedCredential => 2,
            AuthStatus::BadVerifier => 3,
            AuthStatus::RejectedVerifier => 4,
            AuthStatus::TooWeak => 5,
            AuthStatus::InvalidResponse => 6,
            AuthStatus::Other(number) => number,
        }
    }

    /// The status of this number.
    pub fn from_number(number: u32) -> AuthStatus {
        match number {
            1 => AuthStatus::BadCredential,
            2 => AuthStatus::RejectedCredential,
            3 => AuthStatus::BadVerifier,
            4 => AuthStatus::RejectedVerifier,
            5 => AuthStatus::TooWeak,
            6 => AuthStatus::InvalidResponse,
            other => AuthStatus::Other(other),
        }
    }
}

impl fmt::Display for AuthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthStatus::BadCredential => f.write_str("bad credential"),
            AuthStatus::RejectedCredential => f.write_str("the client must begin a new session"),
            AuthStatus::BadVerifier => f.write_str("bad verifier"),
            AuthStatus::RejectedVerifier => f.write_str("verifier expired or replayed"),
            AuthStatus::TooWeak => f.write_str("rejected for security reasons"),
            AuthStatus::InvalidResponse => f.write_str("bogus response verifier"),
            AuthStatus::Other(number) => write!(f, "authentication status {number}"),
        }
    }
}
