//! Tells Quash what changed: the only file that knows it.

use std::path::Path;
use std::time::Duration;

use quash_dispatch::{Dispatcher, Event};

use crate::Failure;
use crate::database::Book;

/// How long a shop that closes waits for events that are under way.
const CLOSING: Duration = Duration::from_secs(5);

/// Sends events as `shop.yaml` says.
#[derive(Clone)]
pub(crate) struct Changes(Dispatcher);

impl Changes {
    /// Reads the configuration; connects when the first event is sent.
    pub(crate) fn load(config: &Path) -> Result<Self, Failure> {
        Ok(Self(Dispatcher::load(config)?))
    }

    /// Tells of a book that is another one now. Call it after the commit: before it, a reader could store the old row again.
    pub(crate) async fn updated(&self, before: &Book, after: &Book) -> Result<(), Failure> {
        self.send(Event::update("shop.Book").key("id", before.id).before(before).after(after)).await
    }

    /// Tells of a book that is gone.
    pub(crate) async fn deleted(&self, before: &Book) -> Result<(), Failure> {
        self.send(Event::delete("shop.Book").key("id", before.id).before(before)).await
    }

    /// Waits for what is under way.
    pub(crate) async fn close(&self) {
        let drained = self.0.shutdown(CLOSING).await;
        if !drained.undone.is_empty() {
            tracing::error!(events = drained.undone.len(), "these changes were not sent in time");
        }
    }

    async fn send(&self, event: Event) -> Result<(), Failure> {
        self.0.dispatch(event).await?;
        Ok(())
    }
}
