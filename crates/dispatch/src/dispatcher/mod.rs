//! Dispatches events from within an application: here, in the background, or to a queue, as the configuration says.
//!
//! See [`Dispatcher`].

// From a configuration to who does what.
mod builder;
mod layout;

// A call, from events to a receipt.
mod accept;
mod answered;
mod receipt;
mod work;

// Where the work of a call runs.
mod engine;
mod job;
mod publish;
mod queue;
mod room;
mod targets;
mod threadpool;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_core::event::EventLimits;
use quash_core::resolve::Resolver;

pub use self::answered::NotInvalidated;
pub use self::builder::{Builder, Plugins, StartError};
pub use self::receipt::{Cause, DispatchError, Drained, Receipt, Unconfirmed};

use self::accept::{Caller, Wish};
use self::engine::{Engine, Hand};
use self::layout::{Group, Home};
use self::publish::Publisher;
use self::queue::Buffer;
use self::receipt::Ledger;
use self::room::Room;
use self::targets::Targets;
use self::threadpool::Threadpool;
use self::work::Scene;
use crate::config::Config;
use crate::event::Event;
use quash_delivery::retry::RetryPolicy;

/// Takes events from an application and sees to it that what was cached from them goes.
///
/// It reads the configuration of the workers. `dispatch` in it says where the work runs, for all caches or for one of them:
///
/// | `dispatch` | the call returns when | lost when the process dies |
/// |---|---|---|
/// | `queue` | the broker has confirmed the event; with `batch`, when it is in a buffer | with `batch`: what is in the buffer |
/// | `inline` | the stale entries are gone | nothing that was returned from |
/// | `threadpool` | a thread of the pool will do it | what waits for a thread |
/// | `task` | a task of the caller's tokio runtime will do it | what waits or runs |
///
/// What fails here as often as it may goes to the queue, where workers go on, or to the dead letters, as `failures` says.
///
/// An event goes to the queue unless every cache of the configuration, and its default, is dispatched in this process:
/// a worker may know caches that this process does not. A header names what is done here already, and the worker does the
/// rest. Direct commands that name no cache are done where the configuration's default says.
///
/// Cloning gives another handle on the same dispatcher. It keeps connections of its own, and may be used from every
/// thread, from every async runtime, and without one ([`Dispatcher::dispatch_blocking`]).
///
/// ```
/// use quash_dispatch::config::Config;
/// use quash_dispatch::{Dispatcher, Event};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"
/// version: 1
/// targets: { main: { memory: {} } }
/// sources: { events: { memory: {} } }
/// dispatch: queue
/// caches:
///   product: { key: "product:{id}", dispatch: inline, depends_on: [ { row: shop.Product } ] }
/// "#;
/// let dispatcher = Dispatcher::from_config(&Config::parse(text)?)?;
///
/// let event = Event::update("shop.Product").key("id", 42).after(&serde_json::json!({"id": 42, "price": "12.50"}));
/// let receipt = dispatcher.dispatch_blocking(event)?;
/// assert_eq!(receipt.done(), ["product"]);     // invalidated before the call returned
/// assert!(receipt.is_queued());                // workers do what else depends on it
///
/// let drained = dispatcher.shutdown_blocking(std::time::Duration::from_secs(5));
/// assert!(drained.undone.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dispatcher(Arc<Handle>);

/// The last handle stops everything.
struct Handle {
    inner: Arc<Inner>,
    /// Keeps the engine running.
    _engine: Engine,
}

/// What calls and background work share.
struct Inner {
    resolver: Resolver,
    targets: Targets,
    groups: Vec<Running>,
    home: Home,
    buffer: Option<Buffer>,
    always_publishes: bool,
    publisher: Publisher,
    policy: RetryPolicy,
    limits: EventLimits,
    /// Who publishes, for events that do not say it.
    source: Option<Arc<str>>,
    /// The process, as `host:pid`.
    origin: Arc<str>,
    ledger: Ledger,
    hand: Hand,
    is_closed: AtomicBool,
}

/// A dispatcher of this process that runs.
struct Running {
    group: Arc<Group>,
    /// Nothing for what the caller does himself.
    background: Option<Background>,
}

struct Background {
    room: Room,
    /// Nothing for tasks of the caller's runtime.
    pool: Option<Threadpool>,
}

impl Dispatcher {
    /// A dispatcher as a configuration describes it. Connects to nothing yet.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    ///
    /// ```
    /// # use quash_dispatch::Dispatcher;
    /// use quash_dispatch::config::Config;
    ///
    /// let text = "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } } }";
    /// let config = Config::parse(text)?;
    /// let dispatcher = Dispatcher::from_config(&config)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        Self::builder(config).start()
    }

    /// The same from files and directories, as `quash run -c` takes them. What only workers need (`admin`, `worker`, `tests`)
    /// is left alone, and variables of the environment that only stand there need not be set.
    ///
    /// # Errors
    /// When a file cannot be read, or everything that is wrong, at its place in the files.
    ///
    /// ```no_run
    /// let dispatcher = quash_dispatch::Dispatcher::load("quash.yaml")?;
    /// # Ok::<(), quash_dispatch::dispatcher::StartError>(())
    /// ```
    pub fn load(path: impl Into<std::path::PathBuf>) -> Result<Self, StartError> {
        Self::from_config(&Config::load(path)?)
    }

    /// A dispatcher with more than a configuration says.
    ///
    /// ```no_run
    /// # fn example(config: &quash_dispatch::config::Config) -> Result<(), quash_dispatch::dispatcher::StartError> {
    /// let dispatcher = quash_dispatch::Dispatcher::builder(config).source("shop-api").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn builder(config: &Config) -> Builder<'_> {
        Builder::new(config)
    }

    /// Dispatches an event; see [`Dispatcher`] for when it returns.
    ///
    /// Within a tokio runtime the caches are asked from there, which takes its timers and its I/O (`enable_all`). When the
    /// future is dropped half-way, the event is done or published perhaps, and not accepted.
    ///
    /// # Errors
    /// The event was not accepted, and is given back. Dispatching it again is harmless.
    ///
    /// ```
    /// # async fn example(dispatcher: quash_dispatch::Dispatcher) -> Result<(), quash_dispatch::dispatcher::DispatchError> {
    /// use quash_dispatch::{Event, Invalidate};
    ///
    /// dispatcher.dispatch(Event::delete("shop.Product").key("id", 42)).await?;
    /// dispatcher.dispatch(Invalidate::tag("bestsellers")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn dispatch(&self, event: impl Into<Event>) -> Result<Receipt, DispatchError> {
        self.dispatch_all([event]).await
    }

    /// Dispatches events that belong together; they travel in as few messages as fit.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch`], for all of them.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let gone = [41, 42].map(|id| Event::delete("shop.Book").key("id", id));
    /// assert_eq!(dispatcher.dispatch_all(gone).await?.done(), ["book"]);
    /// # Ok(()) }
    /// ```
    pub async fn dispatch_all<E: Into<Event>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Receipt, DispatchError> {
        self.accept(events.into_iter().map(Into::into).collect(), Wish::Receipt).await
    }

    /// As [`Dispatcher::dispatch_all`], and asks to be told when everything is invalidated, which [`Receipt::invalidated`] waits
    /// for: so that a user finds what he has just written. What is dispatched in this process is done before the call returns,
    /// also where it would go on in the background. Waiting takes the driver of the targets, the feature `in_process`.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch_all`], and for native JSON that says by itself where it is answered.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use quash_dispatch::Event;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let receipt = dispatcher.dispatch_asking([Event::delete("shop.Book").key("id", 42)]).await?;
    /// receipt.invalidated(&["main"], Duration::from_secs(2)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn dispatch_asking<E: Into<Event>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Receipt, DispatchError> {
        self.accept(events.into_iter().map(Into::into).collect(), Wish::Answer).await
    }

    /// As [`Dispatcher::dispatch_asking`] from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch_asking`].
    pub fn dispatch_asking_blocking<E: Into<Event>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Receipt, DispatchError> {
        self.accept_blocking(events.into_iter().map(Into::into).collect(), Wish::Answer)
    }

    async fn accept(&self, events: Arc<[Event]>, wish: Wish) -> Result<Receipt, DispatchError> {
        let inner = Arc::clone(&self.0.inner);
        if tokio::runtime::Handle::try_current().is_ok() {
            return inner.accept(events, Caller::Tokio, wish).await;
        }
        // On another executor.
        let hand = inner.hand.clone();
        let accepted = hand.run(async move { inner.accept(events, Caller::Foreign, wish).await }).await;
        accepted.unwrap_or_else(|| Err(DispatchError::of_events(Cause::Closed, Vec::new())))
    }

    fn accept_blocking(&self, events: Arc<[Event]>, wish: Wish) -> Result<Receipt, DispatchError> {
        let inner = Arc::clone(&self.0.inner);
        let accepted = self.0.inner.hand.block_on(async move { inner.accept(events, Caller::Foreign, wish).await });
        accepted.unwrap_or_else(|| Err(DispatchError::of_events(Cause::Closed, Vec::new())))
    }

    /// As [`Dispatcher::dispatch`] from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch`].
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
    pub fn dispatch_blocking(&self, event: impl Into<Event>) -> Result<Receipt, DispatchError> {
        self.dispatch_all_blocking([event])
    }

    /// As [`Dispatcher::dispatch_all`] from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch_all`].
    ///
    /// ```
    /// # use quash_dispatch::{Event, Invalidate};
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let gone = Event::delete("shop.Book").key("id", 42);
    /// let receipt = dispatcher.dispatch_all_blocking([gone, Invalidate::tag("bestsellers").into()])?;
    /// assert_eq!(receipt.done(), ["book"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dispatch_all_blocking<E: Into<Event>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Receipt, DispatchError> {
        self.accept_blocking(events.into_iter().map(Into::into).collect(), Wish::Receipt)
    }

    /// How many events are accepted and not done yet.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert_eq!(dispatcher.pending(), 0);     // done here, before the call returned
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.inner.ledger.len()
    }

    /// Takes no more events, and waits until those that were accepted are done, at most this long. What is not done then is
    /// given back; it may yet be done while the process lives, which is harmless.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: threadpool, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// dispatcher.dispatch(quash_dispatch::Event::delete("shop.Book").key("id", 42)).await?;
    /// let drained = dispatcher.shutdown(Duration::from_secs(5)).await;
    /// assert!(drained.undone.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(&self, limit: Duration) -> Drained {
        let inner = Arc::clone(&self.0.inner);
        inner.is_closed.store(true, Ordering::Release);
        let before = inner.ledger.len();
        let waiting = Arc::clone(&inner);
        let _ = inner.hand.within(limit, async move { waiting.ledger.emptied().await }).await;
        let undone = inner.ledger.undone();
        Drained { done: before.saturating_sub(undone.len()), undone }
    }

    /// As [`Dispatcher::shutdown`] from code that is not async: it blocks the thread.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: threadpool, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// let drained = dispatcher.shutdown_blocking(Duration::from_secs(5));
    /// assert!(drained.undone.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_blocking(&self, limit: Duration) -> Drained {
        let this = self.clone();
        let drained = self.0.inner.hand.block_on(async move { this.shutdown(limit).await });
        drained.unwrap_or(Drained { done: 0, undone: Vec::new() })
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Dispatcher").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.is_closed.store(true, Ordering::Release);
        let events = self.inner.ledger.len();
        if events > 0 {
            tracing::error!(events, "a dispatcher was dropped before its events were done: call `shutdown` before");
        }
    }
}

impl Inner {
    fn scene(&self) -> Scene<'_> {
        Scene { targets: &self.targets, names: self.resolver.targets(), policy: &self.policy, origin: &self.origin }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod doubles;
#[cfg(test)]
mod tests;
