//! Keeps a snapshot of the letters of a source, with its age, so that many who look disturb neither the broker nor each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quash_transport::{LetterId, Message, Transport, TransportError};
use quash_worker::dead_letter::groups::{Group, Groups};
use quash_worker::dead_letter::report::Summary;
use quash_worker::dead_letter::select::Pages;
use quash_worker::dead_letter::{About, Letter};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock::now_ms;

/// Letters of one snapshot at most: the oldest so many. More of them are counted, not known.
pub(crate) const LETTERS_MAX: u64 = 50_000;
/// How old a snapshot may be that is shown without another reading, and where looking hides letters from others.
const FRESH_FOR: Duration = Duration::from_secs(2);
const FRESH_FOR_WHERE_HIDDEN: Duration = Duration::from_secs(15);
/// A snapshot is shown so many times longer than it took to read, but for no longer than this: people who look on and on must not
/// keep a broker busy.
const PAUSE: u32 = 20;
const FRESH_FOR_MAX: Duration = Duration::from_secs(60);
/// How long somebody waits for a reading who could be shown an older one, and who could not.
const BRIEF: Duration = Duration::from_millis(80);
const PATIENT: Duration = Duration::from_secs(3);
/// How long a reading may take.
const READING_MAX: Duration = Duration::from_secs(120);

/// The letters of a source.
pub(crate) struct Shelf {
    transport: Arc<dyn Transport>,
    state: Mutex<State>,
    /// Counts readings that ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    known: Option<Arc<Letters>>,
    /// Something took letters away since: what is known is older than it looks.
    is_spoilt: bool,
    reading_since_ms: Option<i64>,
    failed: Option<Failed>,
}

/// All letters as they were at one time, without what takes room.
pub(crate) struct Letters {
    /// When it was read, in milliseconds since the Unix epoch.
    pub(crate) taken_ms: i64,
    taken: Instant,
    /// How long it took to read.
    took: Duration,
    /// How many letters there were; [`Self::outlines`] are the oldest [`LETTERS_MAX`] of them.
    pub(crate) total: u64,
    /// Oldest first.
    pub(crate) outlines: Vec<Outline>,
    /// The same by cause, the biggest first.
    pub(crate) groups: Vec<Group>,
}

/// A letter without payload and headers, and without what no filter and no list asks of its record.
pub(crate) struct Outline {
    pub(crate) letter: Letter,
    pub(crate) payload_bytes: usize,
}

/// A reading that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    pub(crate) error: String,
}

/// What is known of the letters of a source at this moment.
#[derive(Clone)]
pub(crate) struct Look {
    /// `None` when none were read yet: nobody knows how many there are.
    pub(crate) known: Option<Arc<Letters>>,
    /// Since when this process reads them again, if it does.
    pub(crate) reading_since_ms: Option<i64>,
    /// Why the last reading failed, if it did.
    pub(crate) failed: Option<Failed>,
}

/// What somebody who looks wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Whatever is known, and be it nothing: it only saves the way.
    Glimpse,
    /// An answer soon; an older snapshot will do.
    Soon,
    /// What there is now.
    Fresh,
}

impl Shelf {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, state: Mutex::default(), ended: watch::Sender::new(0) }
    }

    /// What is known; begins to read again where that is old, and waits a little for it.
    pub(crate) async fn look(self: &Arc<Self>, wish: Wish) -> Look {
        let mut ended = self.ended.subscribe();
        if let Some(patience) = self.begin(wish) {
            // Whoever waited in vain is shown what there is, and since when it is being read.
            let _ = timeout(patience, ended.changed()).await;
        }
        let state = self.state();
        Look { known: state.known.clone(), reading_since_ms: state.reading_since_ms, failed: state.failed.clone() }
    }

    /// Letters were taken away: whoever looks next waits for a new reading.
    pub(crate) fn spoil(&self) {
        self.state().is_spoilt = true;
    }

    /// How long to wait for the reading that is due, if one is.
    fn begin(self: &Arc<Self>, wish: Wish) -> Option<Duration> {
        let least =
            if self.transport.dead_letters().hides_while_looking() { FRESH_FOR_WHERE_HIDDEN } else { FRESH_FOR };
        let fresh_for = |known: &Letters| (known.took * PAUSE).min(FRESH_FOR_MAX).max(least);
        let mut state = self.state();
        let usable = state.known.as_ref().filter(|_| !state.is_spoilt && wish != Wish::Fresh);
        if usable.is_some_and(|known| known.taken.elapsed() < fresh_for(known)) {
            return None;
        }
        let patience = if usable.is_some() || wish == Wish::Glimpse { BRIEF } else { PATIENT };
        if state.reading_since_ms.is_none() {
            (state.reading_since_ms, state.is_spoilt) = (Some(now_ms()), false);
            tokio::spawn(Arc::clone(self).read_to_the_end());
        }
        Some(patience)
    }

    async fn read_to_the_end(self: Arc<Self>) {
        let silent = || Err(TransportError::Unreachable(format!("not all letters were read within {READING_MAX:?}")));
        let read = timeout(READING_MAX, read(&*self.transport)).await.unwrap_or_else(|_| silent());
        let mut state = self.state();
        state.reading_since_ms = None;
        match read {
            Ok(letters) => (state.known, state.failed) = (Some(Arc::new(letters)), None),
            Err(error) => state.failed = Some(Failed { at_ms: now_ms(), error: error.to_string() }),
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Held for moments only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(transport: &dyn Transport) -> Result<Letters, TransportError> {
    let (taken, taken_ms) = (Instant::now(), now_ms());
    let letters = transport.dead_letters();
    let total = letters.len().await?;
    let mut pages = Pages::of_first(letters, total.min(LETTERS_MAX));
    let (mut outlines, mut groups) = (Vec::new(), Groups::default());
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        page.iter().for_each(|letter| groups.add(letter));
        outlines.extend(page.into_iter().map(Outline::of));
    }
    // What somebody removed meanwhile is not there any more.
    let total = if total <= LETTERS_MAX { outlines.len() as u64 } else { total };
    Ok(Letters { taken_ms, taken, took: taken.elapsed(), total, outlines, groups: groups.into_sorted() })
}

impl Outline {
    pub(crate) fn of(letter: Letter) -> Self {
        let Letter { id, message, about } = letter;
        let about = About { attempts: Vec::new(), trace: Vec::new(), broker_id: None, quash: None, ..about };
        Self { payload_bytes: message.payload.len(), letter: Letter { id, message: Message::default(), about } }
    }

    /// What a program is told of it in a list.
    pub(crate) fn summary(&self, now_ms: i64) -> Summary<'_> {
        Summary::of_outline(&self.letter, self.payload_bytes, now_ms)
    }
}

impl Letters {
    /// Whether there are more than were read.
    pub(crate) fn is_cut(&self) -> bool {
        self.total > self.outlines.len() as u64
    }

    /// Where a letter is.
    pub(crate) fn index(&self, id: &str) -> Option<usize> {
        self.outlines.iter().position(|outline| outline.letter.id.0 == id)
    }

    /// The letter before a place.
    pub(crate) fn before(&self, index: usize) -> Option<&LetterId> {
        Some(&self.outlines.get(index.checked_sub(1)?)?.letter.id)
    }
}

#[cfg(test)]
mod tests {
    use quash_delivery::record::Reason;
    use quash_worker::dead_letter::testing::{Broker, message, record};

    use super::*;

    fn shelf(count: usize) -> (Arc<Shelf>, Arc<Broker>) {
        let broker = Arc::new(Broker::with((0..count).map(|_| message(&record(Reason::Rule), "{}"))));
        (Arc::new(Shelf::new(Arc::clone(&broker) as _)), broker)
    }

    async fn count(shelf: &Arc<Shelf>, wish: Wish) -> Option<u64> {
        shelf.look(wish).await.known.map(|known| known.total)
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_is_shown_until_it_is_old_spoilt_or_not_wanted() {
        let (shelf, broker) = shelf(300);
        assert_eq!(count(&shelf, Wish::Soon).await, Some(300));
        broker.add(message(&record(Reason::Rule), "{}"));
        assert_eq!(count(&shelf, Wish::Soon).await, Some(300));
        assert_eq!(count(&shelf, Wish::Fresh).await, Some(301));
        broker.add(message(&record(Reason::Rule), "{}"));
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(count(&shelf, Wish::Soon).await, Some(302));
        broker.add(message(&record(Reason::Rule), "{}"));
        shelf.spoil();
        assert_eq!(count(&shelf, Wish::Soon).await, Some(303));
    }

    #[tokio::test]
    async fn an_outline_keeps_what_filters_ask_and_no_payload() {
        let (shelf, _) = shelf(1);
        let known = shelf.look(Wish::Soon).await.known.unwrap();
        let Outline { letter, payload_bytes } = &known.outlines[0];
        assert_eq!((letter.message.payload.len(), *payload_bytes), (0, 2));
        assert_eq!((letter.about.attempts.len(), letter.about.reason.as_deref()), (0, Some("rule")));
        assert_eq!((known.groups.len(), known.groups[0].count), (1, 1));
    }
}
