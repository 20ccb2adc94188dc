//! Headers as the crate `onc-rpc`, which we did not write, reads and writes them: both ways, with random fields.
#![allow(clippy::unwrap_used)]

use onc_rpc::auth::{AuthFlavor, AuthUnixParams};
use onc_rpc::{
    AcceptedReply, AcceptedStatus, AuthError, CallBody, MessageType, RejectedReply, ReplyBody, RpcMessage,
};
use tapstack_rpc::Bytes;
use tapstack_rpc::auth::{AuthStatus, OpaqueAuth, SysCredential, flavour};
use tapstack_rpc::message::{CallHeader, Incoming, Outcome, Reply};
use tapstack_rpc::record::{RecordReader, to_record};

type Theirs<'a> = RpcMessage<&'a [u8], &'a [u8]>;

/// Bytes of opaque credentials, which that crate limits to 200.
const OPAQUE_BYTES_MAX: usize = 200;

fn some_bytes(rng: &mut fastrand::Rng, max: usize) -> Vec<u8> {
    (0..rng.usize(..=max)).map(|_| rng.u8(..)).collect()
}

/// One record out of a stream that begins with it.
fn record(stream: &[u8]) -> Bytes {
    let mut reader = RecordReader::new(1 << 20);
    reader.push(stream);
    reader.next_record().unwrap().unwrap()
}

#[test]
fn calls_are_read_as_they_were_written() {
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..2000 {
        let name: String = (0..rng.usize(..60)).map(|_| rng.alphanumeric()).collect();
        let gids: Vec<u32> = (0..rng.usize(..=16)).map(|_| rng.u32(..)).collect();
        let sys =
            SysCredential { stamp: rng.u32(..), machine: name, uid: rng.u32(..), gid: rng.u32(..), gids };
        let opaque = some_bytes(&mut rng, OPAQUE_BYTES_MAX / 4 * 4);
        let unix = || {
            let gids = sys.gids.iter().copied();
            AuthFlavor::AuthUnix(AuthUnixParams::new(
                sys.stamp,
                sys.machine.as_bytes(),
                sys.uid,
                sys.gid,
                gids,
            ))
        };
        let (credential, theirs) = match round % 3 {
            0 => (OpaqueAuth::default(), AuthFlavor::AuthNone(None)),
            1 => (sys.to_auth().unwrap(), unix()),
            _ => {
                let body = Bytes::copy_from_slice(&opaque);
                (OpaqueAuth { flavour: flavour::SHORT, body }, AuthFlavor::AuthShort(opaque.as_slice()))
            }
        };
        let header = CallHeader {
            xid: rng.u32(..),
            program: rng.u32(..),
            version: rng.u32(..),
            procedure: rng.u32(..),
            credential,
            verifier: OpaqueAuth::default(),
        };
        let arguments = (rng.u32(..), rng.u64(..));
        let ours = header.message(&arguments, 100).unwrap();
        let payload = &ours[ours.len() - 12..];
        let body = CallBody::new(
            header.program,
            header.version,
            header.procedure,
            theirs,
            AuthFlavor::AuthNone(None),
            payload,
        );
        let theirs: Theirs<'_> = RpcMessage::new(header.xid, MessageType::Call(body));
        assert_eq!(theirs.serialise().unwrap(), to_record(&ours), "the same bytes");
        assert_eq!(Theirs::try_from(&to_record(&ours)[..]).unwrap(), theirs);
        let read = Incoming::parse(&record(&theirs.serialise().unwrap()));
        assert_eq!(read, Incoming::Call(header, Bytes::copy_from_slice(payload)));
    }
}

#[test]
fn replies_are_read_as_they_were_written() {
    let mut rng = fastrand::Rng::with_seed(2);
    let results: Vec<u8> = vec![7; 24];
    let accepted = |status| ReplyBody::Accepted(AcceptedReply::new(AuthFlavor::AuthNone(None), status));
    let denied = ReplyBody::Denied;
    for _ in 0..200 {
        let (low, high) = (rng.u32(..), rng.u32(..));
        let cases = [
            (Outcome::Success(Bytes::from(results.clone())), accepted(AcceptedStatus::Success(&results[..]))),
            (Outcome::ProgramUnavailable, accepted(AcceptedStatus::ProgramUnavailable)),
            (Outcome::ProgramMismatch(low, high), accepted(AcceptedStatus::ProgramMismatch { low, high })),
            (Outcome::ProcedureUnavailable, accepted(AcceptedStatus::ProcedureUnavailable)),
            (Outcome::GarbageArguments, accepted(AcceptedStatus::GarbageArgs)),
            (Outcome::SystemError, accepted(AcceptedStatus::SystemError)),
            (Outcome::RpcMismatch(low, high), denied(RejectedReply::RpcVersionMismatch { low, high })),
            (
                Outcome::Auth(AuthStatus::BadCredential),
                denied(RejectedReply::AuthError(AuthError::BadCredentials)),
            ),
            (
                Outcome::Auth(AuthStatus::RejectedCredential),
                denied(RejectedReply::AuthError(AuthError::RejectedCredentials)),
            ),
            (
                Outcome::Auth(AuthStatus::BadVerifier),
                denied(RejectedReply::AuthError(AuthError::BadVerifier)),
            ),
        ];
        for (outcome, body) in cases {
            let ours = Reply { xid: rng.u32(..), verifier: OpaqueAuth::default(), outcome };
            let theirs: Theirs<'_> = RpcMessage::new(ours.xid, MessageType::Reply(body));
            let bytes = ours.message().unwrap();
            assert_eq!(theirs.serialise().unwrap(), to_record(&bytes), "{ours:?}");
            assert_eq!(Theirs::try_from(&to_record(&bytes)[..]).unwrap(), theirs);
            assert_eq!(Reply::parse(&record(&theirs.serialise().unwrap())), Some(ours));
        }
    }
}
