//! Keeps dead letters in a queue of their own, and lets them be looked at and removed one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustc_hash::FxHashSet;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::browse::Session;
use super::connection::{Link, Server};
use super::glance::Glances;
use super::letter_id::{self, Order};
use super::publish::{Outgoing, Publisher};
use super::topology::Names;
use super::wire::Extras;
use crate::{DeadLetters, Glance, LetterId, Message, TransportError};

/// How many letters are read at once where only their names matter.
const CHUNK: usize = 1000;

/// How long a session that nobody uses hides what it holds.
const IDLE: Duration = Duration::from_secs(1);

/// The queue of dead letters.
pub(super) struct DeadQueue {
    publisher: Arc<Publisher>,
    names: Names,
    browser: Arc<Mutex<Browser>>,
    glances: Glances,
}

impl DeadQueue {
    pub(super) fn new(publisher: Arc<Publisher>, looking: Arc<Link>, names: Names) -> Self {
        let (server, order) = (looking.server().clone(), Order::default());
        let browser = Browser { server, names: names.clone(), session: None, order };
        let glances = Glances::new(looking, names.dead.clone());
        Self { publisher, names, browser: Arc::new(Mutex::new(browser)), glances }
    }

    async fn browser(&self) -> OwnedMutexGuard<Browser> {
        Arc::clone(&self.browser).lock_owned().await
    }
}

#[async_trait]
impl DeadLetters for DeadQueue {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        let outgoing: Vec<_> = letters.iter().map(|letter| self.names.letter(letter)).collect();
        self.publisher.publish(&outgoing).await
    }

    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let (mut browser, after) = (self.browser().await, after.cloned());
        to_its_end(&self.browser, async move { browser.scan(after.as_ref(), max).await }).await
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let (mut browser, wanted) = (self.browser().await, ids.iter().cloned().collect());
        to_its_end(&self.browser, async move { browser.remove(wanted).await }).await
    }

    async fn len(&self) -> Result<u64, TransportError> {
        let mut browser = self.browser().await;
        to_its_end(&self.browser, async move { browser.len().await }).await
    }

    async fn glance(&self) -> Result<Glance, TransportError> {
        self.glances.glance().await
    }

    fn hides_while_looking(&self) -> bool {
        true
    }
}

/// Browses to the end also if whoever asked gives up: only a session that knows all it holds gives it back in order. What
/// nobody asks for any more returns after a while.
async fn to_its_end<T: Send + 'static>(
    browser: &Arc<Mutex<Browser>>,
    browsing: impl Future<Output = Result<T, TransportError>> + Send + 'static,
) -> Result<T, TransportError> {
    let browser = Arc::clone(browser);
    let task = tokio::spawn(async move {
        let result = browsing.await;
        tokio::spawn(end_when_idle(browser));
        result
    });
    task.await.unwrap_or_else(|_| Err(TransportError::Unreachable("reading dead letters: the process ends".into())))
}

/// Ends a session that nobody uses, so that others see what it held.
async fn end_when_idle(browser: Arc<Mutex<Browser>>) {
    tokio::time::sleep(IDLE).await;
    let mut browser = browser.lock().await;
    if let Some(session) = browser.session.take_if(|session| session.touched.elapsed() >= IDLE)
        && let Err(error) = session.end().await
    {
        tracing::debug!(%error, "the broker itself takes back the dead letters that were looked at");
    }
}

impl Names {
    /// A dead letter on its way, with a name of its own.
    pub(super) fn letter<'a>(&'a self, message: &'a Message) -> Outgoing<'a> {
        let extras = Extras { message_id: Some(letter_id::fresh()), ..Extras::default() };
        Outgoing { queue: &self.dead, message, extras }
    }
}

/// Who browses, one at a time. A session lasts from one page to the next, so that a long queue is read once and not once
/// for every page. An error ends it: it is put back only when all went well.
struct Browser {
    server: Server,
    names: Names,
    session: Option<Session>,
    /// The letters shown since the last look at the oldest.
    order: Order,
}

impl Browser {
    async fn scan(&mut self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let Some(mut session) = self.session_after(after).await? else { return Ok(Vec::new()) };
        let page = session.read(max).await?;
        page.iter().for_each(|(id, _)| self.order.add(id));
        if page.len() < max {
            session.end().await?;
        } else {
            self.keep(session);
        }
        Ok(page)
    }

    /// Counts while nobody else browses: what others hold is hidden, and a count without it would make `dlq` commands
    /// overlook letters while a worker looks at the oldest.
    async fn len(&mut self) -> Result<u64, TransportError> {
        if let Some(session) = self.session.take() {
            let len = session.ready().await? + session.held();
            self.keep(session);
            return Ok(len as u64);
        }
        let Some(session) = Session::open(&self.server, &self.names).await? else { return Ok(0) };
        let len = session.ready().await?;
        session.end().await?;
        Ok(len as u64)
    }

    /// A session whose next letter is the one after the one named; a new one has to find it.
    async fn session_after(&mut self, after: Option<&LetterId>) -> Result<Option<Session>, TransportError> {
        let mut session = match self.session.take() {
            Some(session) if after.is_some() && session.front.as_ref() == after => return Ok(Some(session)),
            Some(mut session) => {
                session.rewind().await?;
                session
            }
            None => match Session::open(&self.server, &self.names).await? {
                Some(session) => session,
                None => return Ok(None),
            },
        };
        match after {
            Some(after) => session.seek(after, &self.order).await?,
            None => self.order.clear(),
        }
        Ok(Some(session))
    }

    async fn remove(&mut self, mut wanted: FxHashSet<LetterId>) -> Result<u64, TransportError> {
        let session = match self.session.take() {
            Some(session) => Some(session),
            None => Session::open(&self.server, &self.names).await?,
        };
        let Some(mut session) = session else { return Ok(0) };
        let mut removed = session.remove(&mut wanted).await?;
        let mut more = true;
        while more && !wanted.is_empty() {
            more = session.read(CHUNK).await?.len() == CHUNK;
            // It has gone on, and what it read is not kept.
            session.front = None;
            removed += session.remove(&mut wanted).await?;
        }
        self.keep(session);
        Ok(removed)
    }

    fn keep(&mut self, mut session: Session) {
        session.touched = Instant::now();
        self.session = Some(session);
    }
}
