//! Says what became of events: what a call returns, and what stopping leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Inner;
use super::answered::Waits;
use crate::event::{Event, EventError};
use quash_transport::TransportError;

/// What became of the events of one call. All of them are accepted: done, or in the hands of somebody who will not lose them
/// while he lives.
///
/// ```
/// # use quash_dispatch::Event;
/// use quash_dispatch::dispatcher::Receipt;
///
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
/// let receipt: Receipt = dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
/// assert_eq!(receipt.done(), ["book"]);
/// assert!(!receipt.is_queued());     // every cache of the configuration is dispatched here
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Receipt {
    pub(super) done: Vec<String>,
    pub(super) background: Vec<String>,
    pub(super) is_queued: bool,
    pub(super) is_handed_over: bool,
    /// One for each message that waits in this process to be published.
    pub(super) waiting: Vec<oneshot::Receiver<Result<(), TransportError>>>,
    /// Where answers are waited for, if the call asked.
    pub(super) waits: Option<Waits>,
}

impl Receipt {
    /// The caches that were stale and are invalidated now.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let receipt = dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert_eq!(receipt.done(), ["book"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn done(&self) -> &[String] {
        &self.done
    }

    /// The caches that were stale and are being invalidated by this process.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: threadpool, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let receipt = dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert_eq!(receipt.in_background(), ["book"]);
    /// # dispatcher.shutdown_blocking(std::time::Duration::from_secs(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn in_background(&self) -> &[String] {
        &self.background
    }

    /// Whether the events went to the queue: workers do what is not done here.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: queue, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let receipt = dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert!(receipt.is_queued());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        self.is_queued
    }

    /// Whether something failed here and went to the configured place instead.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use quash_store::memory::Memory;
    /// # use quash_dispatch::dispatcher::Plugins;
    /// # use quash_dispatch::{Dispatcher, Event};
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let cache = Memory::new();
    /// # let stores = [("main".to_owned(), Arc::new(cache.clone()) as _)].into();
    /// # let dispatcher = Dispatcher::builder(&config).plugins(Plugins { stores, ..Plugins::default() }).start()?;
    /// cache.set_reachable(false);
    /// let receipt = dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert!(receipt.done().is_empty() && receipt.is_handed_over());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn is_handed_over(&self) -> bool {
        self.is_handed_over
    }

    pub(super) fn add_done(&mut self, caches: Vec<String>) {
        if self.done.is_empty() {
            self.done = caches;
        } else {
            self.done.extend(caches);
        }
    }

    /// Waits until the broker has confirmed everything that went to the queue. At once, unless events are published in
    /// batches: then a call returns before.
    ///
    /// # Errors
    /// When the broker could not be reached or refused. The events stay in the buffer of this process and are tried again:
    /// only whoever cannot go on without the confirmation need do anything.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: { queue: { batch: {} } }, \
    /// #        caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let receipt = dispatcher.dispatch(Event::delete("shop.Book").key("id", 42)).await?;
    /// receipt.confirmed().await?;
    /// # Ok(()) }
    /// ```
    pub async fn confirmed(self) -> Result<(), Unconfirmed> {
        for waiting in self.waiting {
            match waiting.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Unconfirmed(error.to_string())),
                Err(_) => return Err(Unconfirmed("the dispatcher stopped".to_owned())),
            }
        }
        Ok(())
    }
}

/// The broker has not confirmed events that were published in a batch.
///
/// ```
/// use quash_dispatch::dispatcher::{Receipt, Unconfirmed};
///
/// async fn all_confirmed(receipts: Vec<Receipt>) -> Result<(), Unconfirmed> {
///     for receipt in receipts {
///         receipt.confirmed().await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker has not confirmed the events: {0}")]
pub struct Unconfirmed(String);

/// Why events were not accepted. It gives them back: dispatching all of them again is harmless, whatever was done already.
///
/// ```
/// # use quash_dispatch::Event;
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
/// let error = dispatcher.dispatch_blocking(Event::create("shop.Book").key("id", 42)).unwrap_err();
/// assert_eq!(error.to_string(), "shop.Book: no after, which op create needs");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct DispatchError {
    cause: Cause,
    events: Vec<Event>,
}

impl DispatchError {
    pub(crate) const fn of_events(cause: Cause, events: Vec<Event>) -> Self {
        Self { cause, events }
    }

    /// Why.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use quash_dispatch::Event;
    /// # use quash_dispatch::dispatcher::Cause;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// dispatcher.shutdown_blocking(Duration::from_secs(5));
    /// let error = dispatcher.dispatch_blocking(Event::truncate("shop.Book")).unwrap_err();
    /// assert_eq!(*error.cause(), Cause::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// All events of the call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # dispatcher.shutdown_blocking(Duration::from_secs(5));
    /// let emptied = [Event::truncate("shop.Book"), Event::truncate("shop.Tag")];
    /// let error = dispatcher.dispatch_all_blocking(emptied).unwrap_err();
    /// let kept = error.into_events();     // for another try, or for a table of the application
    /// assert_eq!(kept.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}

/// Why events were not accepted.
///
/// ```
/// use quash_dispatch::dispatcher::{Cause, DispatchError};
///
/// fn is_worth_another_try(error: &DispatchError) -> bool {
///     matches!(error.cause(), Cause::Full { .. } | Cause::Late { .. } | Cause::Broker { .. })
/// }
/// # let yaml = "{ version: 1, sources: { events: { memory: {} } } }";
/// # let config = quash_dispatch::config::Config::parse(yaml)?;
/// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
/// # let error = dispatcher.dispatch_blocking(quash_dispatch::Event::create("shop.Book")).unwrap_err();
/// # assert!(!is_worth_another_try(&error));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// One of them is no event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// There is no room for them in this process.
    #[error("no room for the event: {capacity} are waiting or running in `{dispatcher}`")]
    Full {
        /// The kind of dispatcher.
        dispatcher: &'static str,
        /// How many events it takes.
        capacity: usize,
    },
    /// The broker did not confirm in time. It may have the events all the same.
    #[error("source {source_name}: no confirmation within {limit:?}")]
    Late {
        /// The source.
        source_name: String,
        /// The configured time-out.
        limit: Duration,
    },
    /// The broker cannot be reached, or refused.
    #[error("source {source_name}: {error}")]
    Broker {
        /// The source.
        source_name: String,
        /// The broker's words.
        error: TransportError,
    },
    /// The dispatcher was shut down.
    #[error("the dispatcher is shut down")]
    Closed,
}

/// What came of shutting down.
///
/// ```
/// # use std::time::Duration;
/// use quash_dispatch::dispatcher::Drained;
///
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        dispatch: threadpool, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
/// let Drained { done, undone } = dispatcher.shutdown_blocking(Duration::from_secs(5));
/// assert_eq!((done, undone.len()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Drained {
    /// How many events that were waiting got done.
    pub done: usize,
    /// The events that were accepted and not done in time. A later process may dispatch them again.
    pub undone: Vec<Event>,
}

/// What is accepted and not done yet.
#[derive(Default)]
pub(super) struct Ledger {
    entries: std::sync::Mutex<Entries>,
    emptied: tokio::sync::Notify,
}

#[derive(Default)]
struct Entries {
    next: u64,
    open: std::collections::HashMap<u64, Arc<[Event]>>,
}

impl Ledger {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Nothing in here can panic half-way.
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many events are open.
    pub(super) fn len(&self) -> usize {
        self.entries().open.values().map(|events| events.len()).sum()
    }

    pub(super) fn undone(&self) -> Vec<Event> {
        let mut entries = self.entries();
        let mut open: Vec<_> = entries.open.drain().collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        open.iter().flat_map(|(_, events)| events.iter().cloned()).collect()
    }

    /// Waits until nothing is open.
    pub(super) async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            tokio::pin!(notified);
            // Listening before looking: what closes in between is heard.
            notified.as_mut().enable();
            if self.entries().open.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

/// Stands for accepted events until they are done.
pub(super) struct Ticket {
    number: u64,
    inner: Arc<Inner>,
}

impl Ticket {
    pub(super) fn open(inner: &Arc<Inner>, events: Arc<[Event]>) -> Self {
        let mut entries = inner.ledger.entries();
        let number = entries.next;
        entries.next += 1;
        entries.open.insert(number, events);
        Self { number, inner: Arc::clone(inner) }
    }

    pub(super) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// They are done, or with somebody else. A ticket that is only dropped leaves them open.
    pub(super) fn done(self) {
        let mut entries = self.inner.ledger.entries();
        entries.open.remove(&self.number);
        if entries.open.is_empty() {
            self.inner.ledger.emptied.notify_waiters();
        }
    }
}
