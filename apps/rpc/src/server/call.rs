//! What becomes of one message: the checks of RFC 5531 in their order, the cache, the execution, the reply.

use super::counts::{Dropped, count};
use super::duplicates::{Caller, Key, Known};
use super::incarnations::Running;
use super::{Registered, Shared, lock};
use crate::auth::{AUTH_BYTES_MAX, AuthStatus, Credential, OpaqueAuth, SysCredential, flavour};
use crate::message::{CallHeader, Incoming, Outcome, RPC_VERSION, Reply};
use crate::semantics::Semantics;
use crate::service::{Answer, CallContext, Procedure, Refusal, Transport};
use bytes::{BufMut as _, Bytes, BytesMut};
use siphasher::sip::SipHasher13;
use std::future::poll_fn;
use std::hash::Hasher as _;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// What a message comes to before anything is executed.
pub(super) enum Begun {
    /// A reply: an error, or one that was given before.
    Reply(Bytes),
    /// A call to be executed.
    Call(Box<Call>),
    /// Nothing.
    Dropped,
}

/// A call that passed all checks.
pub(super) struct Call {
    shared: Arc<Shared>,
    registered: Registered,
    header: CallHeader,
    arguments: Bytes,
    context: CallContext,
    /// Where the cache has it; none for idempotent procedures and for services that see to it themselves.
    key: Option<Key>,
    running: Option<Running>,
    verifier: OpaqueAuth,
}

impl Shared {
    /// Looks at a message: what RFC 5531 section 9 has wrong, in its order, and whether it is a duplicate.
    pub(super) fn begin(
        self: &Arc<Shared>,
        message: &Bytes,
        peer: SocketAddr,
        transport: Transport,
    ) -> Begun {
        count(&self.counters.messages);
        let (header, arguments) = match Incoming::parse(message) {
            Incoming::Call(header, arguments) => (header, arguments),
            Incoming::OtherRpc { xid } => {
                return self.error(xid, Outcome::RpcMismatch(RPC_VERSION, RPC_VERSION));
            }
            Incoming::BadAuth { xid, status } => return self.error(xid, Outcome::Auth(status)),
            Incoming::Reply => return self.dropped(Dropped::Reply),
            Incoming::Nonsense => return self.dropped(Dropped::Nonsense),
        };
        let xid = header.xid;
        // "Authentication errors are rejections of the call itself", so they come before anything about the program.
        let (credential, session) = match self.who_calls(&header) {
            Ok(known) => known,
            Err(status) => return self.error(xid, Outcome::Auth(status)),
        };
        let registered = match self.service(header.program, header.version) {
            Ok(registered) => registered,
            Err(Some((low, high))) => return self.error(xid, Outcome::ProgramMismatch(low, high)),
            Err(None) => return self.error(xid, Outcome::ProgramUnavailable),
        };
        let Some(procedure) = procedure_of(&registered, header.procedure) else {
            return self.error(xid, Outcome::ProcedureUnavailable);
        };
        let running = match self.enter(&credential) {
            Ok(running) => running,
            Err(status) => return self.error(xid, Outcome::Auth(status)),
        };
        let at_most_once = registered.semantics == Semantics::AtMostOnce;
        let key = (at_most_once && !procedure.idempotent).then(|| Key {
            caller: session.map_or(Caller::Address(peer), Caller::Session),
            xid,
            program: header.program,
            version: header.version,
            procedure: header.procedure,
            checksum: checksum(&arguments),
        });
        if let Some(known) = key.and_then(|key| self.known(key)) {
            return known;
        }
        // Who begins with procedure 0 and says who it is gets a short hand, and with it a session.
        let begins = at_most_once && header.procedure == 0 && header.credential.flavour == flavour::SYS;
        let verifier =
            begins.then(|| self.new_session(&header.credential.body)).flatten().unwrap_or_default();
        let context = CallContext {
            host: self.host.clone(),
            peer,
            transport,
            credential,
            xid,
            result_bytes_max: match transport {
                Transport::Udp => self.config.udp_result_bytes_max,
                Transport::Tcp => self.config.tcp_result_bytes_max,
            },
        };
        let shared = Arc::clone(self);
        Begun::Call(Box::new(Call { shared, registered, header, arguments, context, key, running, verifier }))
    }

    /// A call of a client's life begins, where the client says which that is. Errors: it is none of the present life.
    fn enter(&self, credential: &Credential) -> Result<Option<Running>, AuthStatus> {
        let Credential::Sys(sys) = credential else { return Ok(None) };
        let Some((name, incarnation)) = sys.incarnation() else { return Ok(None) };
        let running = self.incarnations.enter(name, incarnation);
        if running.is_none() {
            self.counters.drop(Dropped::Orphan);
        }
        running.map(Some).ok_or(AuthStatus::RejectedCredential)
    }

    /// What a call comes to that the cache knows, or has no room for; none for a new one.
    fn known(&self, key: Key) -> Option<Begun> {
        match lock(&self.duplicates).look_up(self.host.now(), key) {
            Known::New => None,
            Known::InProgress => Some(self.dropped(Dropped::DuplicateInProgress)),
            Known::Full => Some(self.dropped(Dropped::CacheFull)),
            Known::Replied(reply) => {
                count(&self.counters.replayed);
                Some(Begun::Reply(reply))
            }
        }
    }

    /// Who a call says it is from, and in which session. Errors: why it isn't accepted.
    fn who_calls(&self, header: &CallHeader) -> Result<(Credential, Option<u64>), AuthStatus> {
        let OpaqueAuth { flavour, body } = &header.credential;
        match *flavour {
            // "It is recommended that the length of the body be zero": it is ignored if it isn't.
            flavour::NONE => Ok((Credential::None, None)),
            flavour::SYS => {
                let sys = tapstack_xdr::from_bytes(body).map_err(|_| AuthStatus::BadCredential)?;
                Ok((Credential::Sys(sys), None))
            }
            flavour::SHORT => {
                let (epoch, session, sys) = read_short_hand(body).ok_or(AuthStatus::RejectedCredential)?;
                if epoch != self.epoch {
                    return Err(AuthStatus::RejectedCredential);
                }
                Ok((Credential::Sys(sys), Some(session)))
            }
            // Further flavours have their place here.
            _ => Err(AuthStatus::BadCredential),
        }
    }

    fn error(&self, xid: u32, outcome: Outcome) -> Begun {
        count(&self.counters.errors);
        let reply = Reply { xid, verifier: OpaqueAuth::default(), outcome };
        reply.message().map_or(Begun::Dropped, Begun::Reply)
    }

    fn dropped(&self, why: Dropped) -> Begun {
        self.counters.drop(why);
        Begun::Dropped
    }
}

impl Call {
    /// Executes the call, and makes the reply; none when there is to be none.
    pub(super) async fn execute(mut self: Box<Call>) -> Option<Bytes> {
        count(&self.shared.counters.executed);
        let answer = self.answer().await;
        let reply = self.reply(answer);
        if let Some(key) = self.key.take() {
            lock(&self.shared.duplicates).replied(self.shared.host.now(), key, reply.clone());
        }
        reply
    }

    async fn answer(&mut self) -> Answer {
        let declared = |p: &Procedure| p.number == self.header.procedure;
        if !self.registered.service.procedures().iter().any(declared) {
            // Procedure 0, by custom: nothing in, nothing out (RFC 5531 section 12.1).
            return Ok(Bytes::new());
        }
        let service = Arc::clone(&self.registered.service);
        let call = service.call(&self.context, self.header.procedure, std::mem::take(&mut self.arguments));
        let mut call = pin!(call);
        let mut running = self.running.as_mut();
        let counters = &self.shared.counters;
        poll_fn(|cx| {
            if let Some(running) = running.as_mut()
                && Pin::new(&mut running.orphaned).poll(cx).is_ready()
            {
                counters.drop(Dropped::Orphan);
                return Poll::Ready(Err(Refusal::Silence));
            }
            call.as_mut().poll(cx)
        })
        .await
    }

    fn reply(&self, answer: Answer) -> Option<Bytes> {
        let counters = &self.shared.counters;
        let outcome = match answer {
            Ok(results) if results.len() <= self.context.result_bytes_max => Outcome::Success(results),
            Ok(results) => {
                log::warn!("results of {} bytes are too long to be sent", results.len());
                Outcome::SystemError
            }
            Err(Refusal::ProcedureUnavailable) => Outcome::ProcedureUnavailable,
            Err(Refusal::GarbageArguments) => Outcome::GarbageArguments,
            Err(Refusal::SystemError) => Outcome::SystemError,
            Err(Refusal::Auth(status)) => Outcome::Auth(status),
            Err(Refusal::InProgress) => {
                counters.drop(Dropped::DuplicateInProgress);
                return None;
            }
            Err(Refusal::Silence) => {
                counters.drop(Dropped::Policy);
                return None;
            }
        };
        if !matches!(outcome, Outcome::Success(_)) {
            count(&counters.errors);
        }
        let reply = Reply { xid: self.header.xid, verifier: self.verifier.clone(), outcome };
        reply.message().ok()
    }
}

impl Drop for Call {
    /// One that came to no end (its procedure panicked, or its task was stopped) has no reply: its duplicates are dropped
    /// for as long as others get theirs again, and not for ever.
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            lock(&self.shared.duplicates).replied(self.shared.host.now(), key, None);
        }
    }
}

fn procedure_of(registered: &Registered, number: u32) -> Option<Procedure> {
    let declared = registered.service.procedures().iter().find(|p| p.number == number).copied();
    declared.or((number == 0).then_some(Procedure { number: 0, name: "NULL", idempotent: true }))
}

/// Of a call's arguments; not kept from one life to the next.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// A short hand: the server's life, the session, and the credential that it stands for, so that the server has nothing
/// to remember. None if that is too long. Like AUTH_SYS itself it is taken on trust.
pub(super) fn short_hand(epoch: u64, session: u64, credential: &Bytes) -> Option<OpaqueAuth> {
    let mut body = BytesMut::with_capacity(16 + credential.len());
    body.put_u64(epoch);
    body.put_u64(session);
    body.extend_from_slice(credential);
    (body.len() <= AUTH_BYTES_MAX).then(|| OpaqueAuth { flavour: flavour::SHORT, body: body.freeze() })
}

fn read_short_hand(body: &Bytes) -> Option<(u64, u64, SysCredential)> {
    let mut from = tapstack_xdr::Decoder::shared(body);
    let (epoch, session) = (from.take_u64().ok()?, from.take_u64().ok()?);
    let sys = from.take().ok()?;
    from.finish().ok()?;
    Some((epoch, session, sys))
}
