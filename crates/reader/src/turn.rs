//! Holds a load that is a reader's to do: by what right it may be stored, and who waits for it.

use std::sync::Arc;

use quash_core::freshness::{Tag, Token};
use tokio::runtime::Handle;

use crate::flight::Pilot;
use crate::observe::Miss;
use crate::store::Store;

/// A load that is a reader's to do.
pub(crate) struct Turn<V> {
    pub(crate) claim: Claim,
    pub(crate) pilot: Option<Pilot>,
    /// What a change made stale.
    pub(crate) stale: Option<Arc<V>>,
    pub(crate) why: Miss,
}

impl<V> Turn<V> {
    /// One of which nothing is stored.
    pub(crate) const fn unstored(why: Miss) -> Self {
        Self { claim: Claim::NONE, pilot: None, stale: None, why }
    }
}

/// By what right a load may be stored. All of it was there before the load begins.
pub(crate) struct Claim {
    pub(crate) right: Right,
    pub(crate) tags: Vec<Tag>,
    /// The version that what is loaded must know.
    pub(crate) bar: u64,
}

pub(crate) enum Right {
    /// A lease of its own.
    Own(OwnLease),
    /// The lease of somebody else who loads: it was there before this load as well.
    Shared(Token),
    /// The tokens of its tags, which readers check.
    Tags,
    /// None: it is not stored.
    None,
}

impl Claim {
    pub(crate) const NONE: Self = Self { right: Right::None, tags: Vec::new(), bar: 0 };
}

impl Right {
    /// The lease that it is stored by.
    pub(crate) const fn token(&self) -> Option<Token> {
        match self {
            Self::Own(lease) => Some(lease.token),
            Self::Shared(token) => Some(*token),
            Self::Tags | Self::None => None,
        }
    }

    /// It was spent, or is void.
    pub(crate) const fn end(&mut self) {
        if let Self::Own(lease) = self {
            lease.end();
        }
    }
}

/// A lease of this process. When it is dropped before something was stored by it, as by a load that fails, panics or is given up,
/// the server is told in the background, so that nobody waits for it.
pub(crate) struct OwnLease {
    pub(crate) token: Token,
    store: Arc<dyn Store>,
    key: Arc<str>,
    is_over: bool,
}

impl OwnLease {
    /// One that is about to be asked for. What came of that may never be heard.
    pub(crate) fn new(store: &Arc<dyn Store>, key: &Arc<str>) -> Self {
        let token = Token::from_random(fastrand::u64(..));
        Self { token, store: Arc::clone(store), key: Arc::clone(key), is_over: false }
    }

    /// It was not given, or was spent.
    pub(crate) const fn end(&mut self) {
        self.is_over = true;
    }
}

impl Drop for OwnLease {
    fn drop(&mut self) {
        let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) else { return };
        let (store, key, token) = (Arc::clone(&self.store), Arc::clone(&self.key), self.token);
        // Where that fails, the lease ends by itself.
        runtime.spawn(async move { store.drop_lease(&key, token).await });
    }
}
