//! The session of an at-most-once client: the server's short hand for it, in its present life.

use crate::auth::{OpaqueAuth, flavour};
use crate::error::CallError;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client's session, if it has one.
#[derive(Default)]
pub(super) struct Session {
    /// Held while a session is being begun, so that one call does it for all.
    beginning: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
enum State {
    #[default]
    None,
    /// The server gives no short hand.
    NotOffered,
    Begun(OpaqueAuth),
}

impl Session {
    /// The short hand, which `begin` asks the server for if there is none yet. None where the server gives none.
    pub(super) async fn current<F>(&self, begin: impl FnOnce() -> F) -> Result<Option<OpaqueAuth>, CallError>
    where
        F: Future<Output = Result<OpaqueAuth, CallError>>,
    {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _alone = self.beginning.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let verifier = begin().await?;
        let short = verifier.flavour == flavour::SHORT;
        *self.state() = if short { State::Begun(verifier) } else { State::NotOffered };
        Ok(self.known().flatten())
    }

    /// The server rejected a credential. True if it was a session's, which is over then unless a new one has begun.
    pub(super) fn end(&self, credential: &OpaqueAuth) -> bool {
        let mut state = self.state();
        if matches!(&*state, State::Begun(present) if present == credential) {
            *state = State::None;
        }
        credential.flavour == flavour::SHORT
    }

    /// Whether calls carry a session.
    pub(super) fn is_begun(&self) -> bool {
        matches!(&*self.state(), State::Begun(_))
    }

    fn known(&self) -> Option<Option<OpaqueAuth>> {
        match &*self.state() {
            State::None => None,
            State::NotOffered => Some(None),
            State::Begun(short) => Some(Some(short.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
