//! Collects events while a database transaction is open, and sends them when it is committed.

use crate::dispatcher::{DispatchError, Dispatcher, Receipt};
use crate::event::coalesce::coalesced;
use crate::event::{Document, Event};

/// Events of an open database transaction.
///
/// A worker that hears of a change before it is committed removes an entry that the next reader fills again with the old
/// row. So gather events here, and [`Transaction::commit`] them *after* the database has committed; on a rollback drop it.
/// Repeats are merged as the client for Python merges them: no row image is lost, however short it lived.
///
/// ```
/// # async fn example(
/// #     dispatcher: quash_dispatch::Dispatcher,
/// #     database: impl AsyncFnOnce(),
/// # ) -> Result<(), quash_dispatch::dispatcher::DispatchError> {
/// use quash_dispatch::Event;
///
/// let mut changes = dispatcher.transaction();
/// // BEGIN; UPDATE …
/// changes.add(Event::update("shop.Book").key("id", 42).after(&serde_json::json!({"id": 42, "author_id": 4})));
/// let before_risky = changes.savepoint();
/// // SAVEPOINT; INSERT …; ROLLBACK TO SAVEPOINT
/// changes.add(Event::create("shop.Book").after(&serde_json::json!({"id": 43, "author_id": 4})));
/// changes.rollback_to(before_risky);
/// // COMMIT
/// # database().await;
/// changes.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "events are sent when the transaction is committed"]
pub struct Transaction {
    dispatcher: Dispatcher,
    events: Vec<Event>,
}

/// A point that a transaction can go back to.
///
/// ```
/// use quash_dispatch::transaction::{Savepoint, Transaction};
///
/// fn tried(changes: &mut Transaction, attempt: impl FnOnce(&mut Transaction) -> bool) {
///     let before: Savepoint = changes.savepoint();
///     if !attempt(changes) {
///         changes.rollback_to(before);
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

impl Dispatcher {
    /// Collects events while a database transaction is open.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let mut changes = dispatcher.transaction();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// assert_eq!(changes.commit_blocking()?.done(), ["book"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone())
    }
}

impl Transaction {
    pub(crate) const fn new(dispatcher: Dispatcher) -> Self {
        Self { dispatcher, events: Vec::new() }
    }

    /// Keeps an event until the commit.
    ///
    /// ```
    /// # use quash_dispatch::{Event, Invalidate};
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # let mut changes = dispatcher.transaction();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// changes.add(Invalidate::tag("bestsellers"));
    /// assert_eq!(changes.events().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }

    /// The events that were gathered, repeats included.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # let mut changes = dispatcher.transaction();
    /// let event = Event::delete("shop.Book").key("id", 42);
    /// changes.add(event.clone());
    /// assert_eq!(changes.events(), [event]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// A point to go back to.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # let mut changes = dispatcher.transaction();
    /// let before = changes.savepoint();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// assert!(before < changes.savepoint());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn savepoint(&self) -> Savepoint {
        Savepoint(self.events.len())
    }

    /// Drops what was added since.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # let mut changes = dispatcher.transaction();
    /// let before = changes.savepoint();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// changes.rollback_to(before);
    /// assert!(changes.events().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        self.events.truncate(savepoint.0);
    }

    /// Drops everything, as dropping the transaction does.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # let mut changes = dispatcher.transaction();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// changes.rollback();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rollback(self) {}

    /// Dispatches what was gathered, repeats merged, as events that belong together. With nothing gathered nothing is sent.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch_all`]; the error gives the events back.
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let mut changes = dispatcher.transaction();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// assert_eq!(changes.commit().await?.done(), ["book"]);
    /// # Ok(()) }
    /// ```
    pub async fn commit(self) -> Result<Receipt, DispatchError> {
        let (dispatcher, events) = self.merged()?;
        dispatcher.dispatch_all(events).await
    }

    /// The same from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    ///
    /// ```
    /// # use quash_dispatch::Event;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// # let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// let mut changes = dispatcher.transaction();
    /// changes.add(Event::delete("shop.Book").key("id", 42));
    /// assert_eq!(changes.commit_blocking()?.done(), ["book"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit_blocking(self) -> Result<Receipt, DispatchError> {
        let (dispatcher, events) = self.merged()?;
        dispatcher.dispatch_all_blocking(events)
    }

    fn merged(self) -> Result<(Dispatcher, Vec<Event>), DispatchError> {
        let Self { dispatcher, events } = self;
        let documents: Result<Vec<Document>, _> = events.iter().map(Event::document).collect();
        match documents {
            Ok(documents) => Ok((dispatcher, coalesced(documents).into_iter().map(Event::given).collect())),
            Err(error) => Err(DispatchError::of_events(error.into(), events)),
        }
    }
}
