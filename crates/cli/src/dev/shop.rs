//! Runs the shop: a writer that changes rows and tells of it, and readers that show pages from the cache.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use quash_transport::{Headers, Message, Transport, TransportError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::broken::broken;
use super::database::{Database, Page};
use super::letters::Letters;
use super::observe::COMMITTED;
use super::shelf::Shelf;
use super::tally::Tally;

/// How often the writer writes.
const TICK: Duration = Duration::from_millis(10);
/// One message in so many is broken.
pub(super) const BROKEN_EVERY: u64 = 50;
/// How long a reader's query takes: long enough that its row may change meanwhile.
const QUERY: Duration = Duration::from_millis(1);
/// Pages that a visitor looks at before a pause.
const PAGES_AT_ONCE: usize = 6;
const PAUSE: Duration = Duration::from_millis(2);

/// The shop and everything it works with.
pub(super) struct Shop {
    database: Mutex<Database>,
    pub(super) shelf: Shelf,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tally: Arc<Tally>,
    /// Counted while it runs and once more at the end.
    pub(super) letters: tokio::sync::Mutex<Letters>,
}

/// What a page in the cache is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    Absent,
    AsInDatabase,
    Different,
}

impl Shop {
    pub(super) fn new(shelf: Shelf, transport: Arc<dyn Transport>, tally: Arc<Tally>) -> Self {
        let database = Mutex::new(Database::new(&mut Rng::new()));
        Self { database, shelf, transport, tally, letters: tokio::sync::Mutex::default() }
    }

    /// Changes rows at this rate until told to stop. Never stops between a commit and its event: that event would be lost.
    ///
    /// # Errors
    /// When the broker does not take the events.
    pub(super) async fn write(&self, per_second: u32, stop: watch::Receiver<bool>) -> Result<(), TransportError> {
        let mut random = Rng::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sent = 0_u64;
        while !*stop.borrow() {
            ticks.tick().await;
            let due = self.tally.started.elapsed().as_millis() as u64 * u64::from(per_second) / 1000;
            // After a stall it catches up a little at a time.
            let now = due.saturating_sub(sent).min(u64::from(per_second) / 10 + 1);
            let messages: Vec<Message> = (sent..sent + now).map(|number| self.message(number, &mut random)).collect();
            if !messages.is_empty() {
                self.transport.publish(&messages).await?;
            }
            sent = if due > sent + now * 2 { due } else { sent + now };
        }
        Ok(())
    }

    fn message(&self, number: u64, random: &mut Rng) -> Message {
        if number % BROKEN_EVERY == BROKEN_EVERY - 1 {
            let (payload, reason) = broken(number / BROKEN_EVERY);
            self.tally.note_broken(reason.name());
            return Message { payload, headers: Headers::default() };
        }
        let event = self.database().change(random).to_string();
        let mut headers = Headers::default();
        headers.set(COMMITTED, self.tally.started.elapsed().as_micros().to_string());
        Message { payload: event.into(), headers }
    }

    /// Looks at pages for as long as it is polled.
    pub(super) async fn read(&self) {
        let mut random = Rng::new();
        loop {
            for _ in 0..PAGES_AT_ONCE {
                if self.visit(Page::any(&mut random)).await.is_err() {
                    self.tally.failed.add(1);
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Shows one page: from the cache, or from the database and then into the cache.
    async fn visit(&self, page: Page) -> Result<(), String> {
        self.tally.reads.add(1);
        match self.cached(page).await? {
            Cached::Absent => return self.fill(page).await,
            Cached::AsInDatabase => {}
            Cached::Different => self.tally.stale.add(1),
        }
        self.tally.hits.add(1);
        Ok(())
    }

    async fn fill(&self, page: Page) -> Result<(), String> {
        let key = page.key();
        let removals = || self.tally.removals(&self.shelf.physical(&key));
        let (before, token) = (removals(), self.token(page).await?);
        let text = self.database().render(page);
        sleep(QUERY).await;
        self.shelf.set(&key, &with_token(token.as_deref(), &text)).await?;
        // Entries with a token are void when their token is not the latest, so this race concerns only plain ones.
        if token.is_none() && removals() != before && self.database().render(page) != text {
            self.tally.raced.add(1);
        }
        Ok(())
    }

    /// The generation token that a reader must take before it loads; a missing one is made.
    async fn token(&self, page: Page) -> Result<Option<String>, String> {
        let Some(name) = page.token() else { return Ok(None) };
        if let Some(token) = self.shelf.get(&name).await? {
            return Ok(Some(token));
        }
        let token = fastrand::u64(1..i64::MAX as u64).to_string();
        self.shelf.set(&name, &token).await?;
        Ok(Some(token))
    }

    /// What the cache holds of a page, compared with the database.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub(super) async fn cached(&self, page: Page) -> Result<Cached, String> {
        let Some(entry) = self.shelf.get(&page.key()).await? else { return Ok(Cached::Absent) };
        let token = match page.token() {
            Some(name) => match self.shelf.get(&name).await? {
                Some(token) => Some(token),
                None => return Ok(Cached::Absent),
            },
            None => None,
        };
        let is_void = token.as_ref().is_some_and(|token| !entry.starts_with(&format!("{token}|")));
        if is_void {
            return Ok(Cached::Absent);
        }
        let text = self.database().render(page);
        Ok(if entry == with_token(token.as_deref(), &text) { Cached::AsInDatabase } else { Cached::Different })
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_token(token: Option<&str>, text: &str) -> String {
    token.map_or_else(|| text.to_owned(), |token| format!("{token}|{text}"))
}
