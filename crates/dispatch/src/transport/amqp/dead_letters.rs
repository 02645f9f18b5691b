//! Keeps dead letters in a queue of their own, and lets them be looked at and removed one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustc_hash::FxHashSet;
use tokio::sync::Mutex;

use super::browse::Session;
use super::connection::Link;
use super::letter_id::{self, Order};
use super::message::Extras;
use super::publish::{Outgoing, Publisher};
use super::topology::{self, Names};
use crate::transport::{DeadLetters, LetterId, Message, TransportError};

/// How many letters are read at once where only their names matter.
const CHUNK: usize = 1000;

/// How long a session that nobody uses hides what it holds.
const IDLE: Duration = Duration::from_millis(1500);

/// The queue of dead letters.
pub(super) struct DeadQueue {
    publisher: Arc<Publisher>,
    link: Arc<Link>,
    names: Names,
    browser: Arc<Mutex<Browser>>,
}

/// Who browses, one at a time. A session lasts from one page to the next, so that a long queue is read once and not once
/// for every page.
#[derive(Default)]
struct Browser {
    session: Option<Session>,
    /// The letters shown since the last look at the oldest.
    order: Order,
}

impl DeadQueue {
    pub(super) fn new(publisher: Arc<Publisher>, link: Arc<Link>, names: Names) -> Self {
        Self { publisher, link, names, browser: Arc::default() }
    }

    async fn begin(&self) -> Result<Option<Session>, TransportError> {
        let session = Session::open(self.link.server(), &self.names).await?;
        if session.is_some() {
            end_when_idle(&self.browser);
        }
        Ok(session)
    }

    /// A session whose next letter is the one after the one named; a new one has to find it.
    async fn session_after(
        &self,
        browser: &mut Browser,
        after: Option<&LetterId>,
    ) -> Result<Option<Session>, TransportError> {
        let mut session = match browser.session.take() {
            Some(session) if after.is_some() && session.front.as_ref() == after => return Ok(Some(session)),
            Some(mut session) => {
                session.rewind().await?;
                session
            }
            None => match self.begin().await? {
                Some(session) => session,
                None => return Ok(None),
            },
        };
        match after {
            Some(after) => session.seek(after, &browser.order).await?,
            None => browser.order.clear(),
        }
        Ok(Some(session))
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
        // An error, or being dropped, ends the session: it is put back only when all went well.
        let browser = &mut *self.browser.lock().await;
        let Some(mut session) = self.session_after(browser, after).await? else { return Ok(Vec::new()) };
        let page = session.read(max).await?;
        page.iter().for_each(|(id, _)| browser.order.add(id));
        if page.len() < max {
            session.end().await?;
        } else {
            session.front = page.last().map(|(id, _)| id.clone());
            browser.keep(session);
        }
        Ok(page)
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut wanted: FxHashSet<_> = ids.iter().collect();
        let browser = &mut *self.browser.lock().await;
        let session = match browser.session.take() {
            Some(session) => Some(session),
            None => self.begin().await?,
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
        browser.keep(session);
        Ok(removed)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        let browser = self.browser.lock().await;
        let channel = self.link.throw_away_channel().await?;
        let ready = topology::count(&channel, &self.names.dead).await?.unwrap_or(0);
        topology::close(&channel).await;
        Ok(u64::from(ready) + browser.session.as_ref().map_or(0, |session| session.held() as u64))
    }
}

impl Names {
    /// A dead letter on its way, with a name of its own.
    pub(super) fn letter<'a>(&'a self, message: &'a Message) -> Outgoing<'a> {
        let extras = Extras { message_id: Some(letter_id::fresh()), ..Extras::default() };
        Outgoing { queue: &self.dead, message, extras }
    }
}

impl Browser {
    fn keep(&mut self, mut session: Session) {
        session.touched = Instant::now();
        self.session = Some(session);
    }
}

/// Ends a session that nobody uses, so that others see what it held.
fn end_when_idle(browser: &Arc<Mutex<Browser>>) {
    let browser = Arc::downgrade(browser);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(IDLE).await;
            let Some(browser) = browser.upgrade() else { return };
            let mut browser = browser.lock().await;
            match browser.session.take() {
                Some(session) if session.touched.elapsed() < IDLE => browser.session = Some(session),
                Some(session) => return drop(session.end().await),
                None => return,
            }
        }
    });
}
