//! Proves that every change that is committed to a PostgreSQL reaches the cache through `quash relay`, whatever is killed.

mod audit;
mod check;
mod log;
mod slot;

use quash_e2e::{Kind, Postgres, Worker, becomes};

use crate::scene::{LIMIT, Scene};

/// A database, a queue, a cache, and relays between them.
pub(crate) struct Relayed {
    /// The queue, the cache and the binary.
    pub(crate) scene: Scene,
    /// The database.
    pub(crate) postgres: Postgres,
}

/// What is cached of the table of most tests.
const BOOK: &str = "caches:\n  book: { key: \"book:{id}\", depends_on: [ { row: public.book } ] }\n";
/// That table.
const BOOK_TABLE: &str = "create table book (id int primary key, author int, title text)";

impl Relayed {
    /// Sets it with this schema and these caches.
    pub(crate) async fn open(kind: Kind, schema: &str, sections: &str) -> Self {
        Self::of(async |sections| Scene::with(kind, sections).await, schema, sections, "").await
    }

    /// The same with a broker of its own, which the test may kill.
    async fn fragile(kind: Kind, schema: &str, sections: &str) -> Self {
        Self::of(async |sections| Scene::fragile(kind, sections).await, schema, sections, "").await
    }

    async fn of(scene: impl AsyncFnOnce(&str) -> Scene, schema: &str, sections: &str, options: &str) -> Self {
        let postgres = Postgres::start().await;
        if !schema.is_empty() {
            postgres.psql(schema);
        }
        let declared = format!(
            "servers: {{ shop: {{ postgres: {{ url: \"{}\" }} }} }}\n\
             relay: {{ shop: {{ server: shop, to: events{options} }} }}\n{sections}",
            postgres.url()
        );
        Self { scene: scene(&declared).await, postgres }
    }

    /// Starts a relay and waits until it reads the log.
    pub(crate) async fn relay(&self, name: &str) -> Worker {
        let relay = self.scene.quash.start_relay(name);
        self.is_read().await;
        relay
    }

    /// Waits until the slot is read by somebody.
    async fn is_read(&self) {
        becomes(LIMIT, "the slot is read", "t".to_owned(), async || self.slot("active")).await;
    }

    /// What the database says of the slot.
    fn slot(&self, what: &str) -> String {
        self.postgres.psql(&format!("select {what} from pg_replication_slots where slot_name = 'quash'"))
    }

    /// The next messages of the queue, as JSON.
    async fn take(&self, count: usize) -> Vec<serde_json::Value> {
        let taken = self.scene.queue.take(count).await;
        taken.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }
}

/// The keys of these books.
fn books(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| format!("book:{id}")).collect()
}
