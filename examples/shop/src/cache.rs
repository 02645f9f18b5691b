//! Reads through the cache with leases: what is not there is loaded, and stored unless it was changed meanwhile.

use std::path::Path;
use std::sync::Arc;

use quash_reader::{Cache as Entries, Caches, Outcome};

use crate::Failure;
use crate::database::{Book, Database};

/// The caches that the configuration of the workers declares, on the Redis that they remove from.
#[derive(Clone)]
pub(crate) struct Cache {
    books: Entries<Book>,
    lists: Entries<Vec<Book>>,
}

/// What a reader got, and from where, as the header `Cache-Status` says it.
pub(crate) struct Read<V> {
    pub(crate) value: Arc<V>,
    pub(crate) status: String,
}

impl Cache {
    /// Connects when it is read from.
    pub(crate) fn open(config: &Path, url: &str) -> Result<Self, Failure> {
        let caches = Caches::builder().config(config).redis(redis::Client::open(url)?).build()?;
        Ok(Self { books: caches.cache("book")?, lists: caches.cache("author_books")? })
    }

    /// A book, if it is there. That it is not is remembered too.
    pub(crate) async fn book(&self, database: &Database, id: i64) -> Result<Option<Read<Book>>, Failure> {
        let database = database.clone();
        let load = move |_| {
            let database = database.clone();
            async move { database.book(id).await }
        };
        Ok(read("book", self.books.key(id).get_or_load_with(load).await?))
    }

    /// The books of an author.
    pub(crate) async fn books_of(
        &self,
        database: &Database,
        author_id: i64,
    ) -> Result<Option<Read<Vec<Book>>>, Failure> {
        let database = database.clone();
        let load = move |_| {
            let database = database.clone();
            async move { database.books_of(author_id).await }
        };
        Ok(read("author_books", self.lists.key(author_id).get_or_load_with(load).await?))
    }
}

fn read<V>(cache: &str, outcome: Outcome<V>) -> Option<Read<V>> {
    let status = format!("{cache}; {}", outcome.from);
    outcome.value.map(|value| Read { value, status })
}
