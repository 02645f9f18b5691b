//! Waits until what was published is invalidated, where its publisher asked to be told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use quash_core::answer::{AnswerId, Awaited, Heard};
use quash_store::Store;
use tokio::time::Instant;

use super::Inner;
use super::receipt::Receipt;

/// A message of a call that asked.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: AnswerId,
    /// Whether workers do what is not done here.
    pub(super) is_queued: bool,
    /// The sources that went on with what failed here.
    pub(super) handed_over: Vec<String>,
    /// Whether something that failed here is a dead letter.
    pub(super) is_letter: bool,
}

/// What a receipt waits with.
#[derive(Clone)]
pub(super) struct Waits {
    pub(super) inner: Arc<Inner>,
    pub(super) messages: Vec<Pending>,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(&self.messages).finish()
    }
}

/// Why it is not known that everything is invalidated. What was published stays so, and workers do it all the same.
///
/// ```
/// # use std::time::Duration;
/// # use quash_dispatch::{Dispatcher, Event};
/// use quash_dispatch::dispatcher::NotInvalidated;
///
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// # let dispatcher = Dispatcher::from_config(&config)?;
/// let receipt = dispatcher.dispatch_asking_blocking([Event::delete("shop.Book").key("id", 42)])?;
/// // No worker runs here.
/// let error = receipt.invalidated_blocking(&["main"], Duration::from_millis(10)).unwrap_err();
/// assert!(matches!(error, NotInvalidated::Late { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInvalidated {
    /// The call did not ask for an answer.
    #[error("the events were dispatched without asking for an answer: use `dispatch_asking`")]
    NotAsked,
    /// There is no such target.
    #[error("no target is called `{0}`")]
    UnknownTarget(String),
    /// Nothing was heard in time. The events stay with the broker, and are done when a worker comes to them.
    #[error("target {target}: no answer within {limit:?}; the event is published all the same")]
    Late {
        /// The target.
        target: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A part of it, or all, was given up.
    #[error("target {target}: the event is a dead letter ({reason}): {error}")]
    DeadLetter {
        /// The target.
        target: String,
        /// The letter's reason, as `target_error`.
        reason: String,
        /// The letter's error.
        error: String,
    },
    /// The target could not be asked.
    #[error("target {target}: {error}")]
    Unheard {
        /// The target.
        target: String,
        /// Why.
        error: String,
    },
}

impl Receipt {
    /// Waits until everything is invalidated on these targets; none are all that are configured. Only for calls that asked
    /// ([`Dispatcher::dispatch_asking`](super::Dispatcher::dispatch_asking)): workers leave their answers on the targets, for a
    /// minute.
    ///
    /// # Errors
    /// When that is not known within the limit, or never will be. Nothing else changes by that.
    pub async fn invalidated(&self, targets: &[&str], limit: Duration) -> Result<(), NotInvalidated> {
        let Some(waits) = self.waits.clone() else { return Err(NotInvalidated::NotAsked) };
        let targets = targets.iter().map(|name| (*name).to_owned()).collect();
        if tokio::runtime::Handle::try_current().is_ok() {
            return waits.all(targets, limit).await;
        }
        // On another executor.
        let hand = waits.inner.hand.clone();
        hand.run(waits.all(targets, limit)).await.unwrap_or_else(|| Err(stopped()))
    }

    /// The same from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Receipt::invalidated`].
    pub fn invalidated_blocking(&self, targets: &[&str], limit: Duration) -> Result<(), NotInvalidated> {
        let Some(waits) = self.waits.clone() else { return Err(NotInvalidated::NotAsked) };
        let targets = targets.iter().map(|name| (*name).to_owned()).collect();
        let hand = waits.inner.hand.clone();
        hand.block_on(waits.all(targets, limit)).unwrap_or_else(|| Err(stopped()))
    }
}

fn stopped() -> NotInvalidated {
    NotInvalidated::Unheard { target: "any".to_owned(), error: "the dispatcher stopped".to_owned() }
}

impl Waits {
    async fn all(self, named: Vec<String>, limit: Duration) -> Result<(), NotInvalidated> {
        let known = self.inner.resolver.targets();
        let named = if named.is_empty() { known.to_vec() } else { named };
        let until = Instant::now() + limit;
        try_join_all(named.into_iter().map(|name| self.on(name, limit, until))).await.map(|_| ())
    }

    async fn on(&self, target: String, limit: Duration, until: Instant) -> Result<(), NotInvalidated> {
        let Some(id) = self.inner.resolver.target(&target) else {
            return Err(NotInvalidated::UnknownTarget(target));
        };
        let unheard = |error: String| NotInvalidated::Unheard { target: target.clone(), error };
        let store = self.inner.targets.store(id).map_err(unheard)?;
        for message in &self.messages {
            if message.is_letter {
                let (reason, error) = ("target_error".to_owned(), "it failed in this process".to_owned());
                return Err(NotInvalidated::DeadLetter { target, reason, error });
            }
            if let Some(error) = hear(message, &*store, until).await.map_err(unheard)? {
                return Err(match error {
                    Unanswered::Late => NotInvalidated::Late { target, limit },
                    Unanswered::Letter { reason, error } => NotInvalidated::DeadLetter { target, reason, error },
                });
            }
        }
        Ok(())
    }
}

enum Unanswered {
    Late,
    Letter { reason: String, error: String },
}

/// Waits for all that a target has to say of a message; nothing where it is invalidated.
async fn hear(message: &Pending, store: &dyn Store, until: Instant) -> Result<Option<Unanswered>, String> {
    let mut awaited = Awaited::new(message.is_queued, message.handed_over.iter().cloned());
    let mut heard = awaited.now();
    loop {
        match heard {
            Heard::Invalidated => return Ok(None),
            Heard::DeadLetter(letter) => {
                let (reason, error) =
                    (letter.reason.unwrap_or_default().into_owned(), letter.error.unwrap_or_default());
                return Ok(Some(Unanswered::Letter { reason, error }));
            }
            Heard::Waiting => {}
        }
        let answers = store.answers().ok_or("this kind of target takes no answers")?;
        let left = until.saturating_duration_since(Instant::now());
        match answers.hear(message.id, left).await.map_err(|error| error.to_string())? {
            Some(answer) => heard = awaited.hear(&answer),
            None => return Ok(Some(Unanswered::Late)),
        }
    }
}
