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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

impl Transaction {
    pub(crate) const fn new(dispatcher: Dispatcher) -> Self {
        Self { dispatcher, events: Vec::new() }
    }

    /// Keeps an event until the commit.
    pub fn add(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }

    /// The events that were gathered, repeats included.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// A point to go back to.
    #[must_use]
    pub const fn savepoint(&self) -> Savepoint {
        Savepoint(self.events.len())
    }

    /// Drops what was added since.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        self.events.truncate(savepoint.0);
    }

    /// Drops everything, as dropping the transaction does.
    pub fn rollback(self) {}

    /// Dispatches what was gathered, repeats merged, as events that belong together. With nothing gathered nothing is sent.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch_all`]; the error gives the events back.
    pub async fn commit(self) -> Result<Receipt, DispatchError> {
        let (dispatcher, events) = self.merged()?;
        dispatcher.dispatch_all(events).await
    }

    /// The same from code that is not async: it blocks the thread.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
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
