//! Serves an entry, or waits for whoever loads it, or loads it.

use std::sync::Arc;
use std::time::Duration;

use quash_core::freshness::{Tag, Token};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Spot;
use crate::error::Error;
use crate::flight::{Pilot, Purpose};
use crate::observe::{Event, Miss, Tier};
use crate::reader::{Loader, Reader};
use crate::step::{Background, Call, Step};
use crate::store::StoreError;
use crate::turn::{Claim, Right, Turn};
use crate::value::{Outcome, Source};

/// How often a reader that waits no longer looks for the lease of whoever loads; then it loads without.
const LOOKS_MAX: u32 = 4;
/// The pauses between looks, of which half to all is waited.
const PAUSES_MS: [u64; 4] = [5, 10, 20, 40];

/// What came of looking, and of waiting for others.
pub(crate) enum Turned<V> {
    /// The entry is served.
    Served(Outcome<V>, Background<V>),
    /// Somebody in this process loaded it.
    Joined(Result<Outcome<V>, Error>),
    /// It is this reader's turn to load.
    Mine(Turn<V>),
}

impl<V: Send + Sync + 'static> Reader<V> {
    /// Serves the entry, or loads it.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        spot: &Arc<Spot>,
        call: Call,
        load: Loader<V>,
    ) -> Result<Outcome<V>, Error> {
        if !call.force
            && let Some(kept) = self.kept_here(spot)
        {
            return Ok(kept);
        }
        let turn = match self.turn(spot, call).await {
            Turned::Served(outcome, background) => {
                self.go_on(spot, background, load);
                return Ok(outcome);
            }
            Turned::Joined(ended) => return ended,
            Turned::Mine(turn) => turn,
        };
        self.on(Event::Miss(turn.why));
        let loaded = Arc::clone(self).load_and_store(Arc::clone(spot), turn, load);
        if !call.detach {
            return loaded.await;
        }
        match tokio::spawn(loaded).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(Error::Load(Arc::new(error))),
            },
        }
    }

    /// What this process keeps of the entry, if nothing was told of it since.
    pub(crate) fn kept_here(&self, spot: &Spot) -> Option<Outcome<V>> {
        let value = self.shared.local.get(spot)?;
        self.on(Event::Hit(Tier::L1));
        Some(Outcome { value, from: Source::L1, age: None })
    }

    /// Looks, and waits, until the entry is served or it is this reader's turn. Where the cache cannot be asked, it is.
    pub(crate) async fn turn(&self, spot: &Spot, call: Call) -> Turned<V> {
        if self.shared.health.rests() {
            self.on(Event::RedisFailed);
            return Turned::Mine(Turn::unstored(Miss::Absent));
        }
        self.await_turn(spot, call).await.unwrap_or_else(|error| {
            self.fail(&error);
            Turned::Mine(Turn::unstored(Miss::Absent))
        })
    }

    async fn await_turn(&self, spot: &Spot, call: Call) -> Result<Turned<V>, StoreError> {
        let deadline = Instant::now() + if call.force { Duration::ZERO } else { call.wait };
        let (mut pauses, mut looks, mut has_waited) = (PAUSES_MS.into_iter(), 0, false);
        loop {
            let (token, tags, why) = match self.step(spot, call).await? {
                Step::Serve(outcome, background) => return Ok(Turned::Served(outcome, background)),
                Step::Load(turn) => return Ok(Turned::Mine(turn)),
                Step::Wait(token, tags, why) => (token, tags, why),
                Step::Again => (None, Vec::new(), Miss::Absent),
            };
            if Instant::now() >= deadline {
                looks += 1;
                if let Some(turn) = self.turn_of_late(token, tags, why, looks) {
                    return Ok(Turned::Mine(turn));
                }
                continue;
            }
            if token.is_none() && tags.is_empty() {
                // It changed at this moment: a value may have come.
                tokio::task::yield_now().await;
                continue;
            }
            if !std::mem::replace(&mut has_waited, true) {
                self.on(Event::Waited);
            }
            let pause = pauses.next().unwrap_or(PAUSES_MS[PAUSES_MS.len() - 1]);
            if let Some(ended) = self.wait(spot, token, &tags, deadline, pause).await {
                return Ok(Turned::Joined(ended));
            }
        }
    }

    /// Whoever waits no longer loads as well, by the lease that was there before; without one it looks a few times more.
    fn turn_of_late(&self, token: Option<Token>, tags: Vec<Tag>, why: Miss, looks: u32) -> Option<Turn<V>> {
        let right = match token {
            Some(token) => Right::Shared(token),
            None if self.info.by_tags_alone => Right::Tags,
            None if looks < LOOKS_MAX => return None,
            None => return Some(Turn::unstored(why)),
        };
        self.on(Event::Shared);
        Some(Turn { claim: Claim { right, tags, bar: 0 }, pilot: None, stale: None, why })
    }

    /// Waits for a load in this process, or for a while where another process loads.
    async fn wait(
        &self,
        spot: &Spot,
        token: Option<Token>,
        tags: &[Tag],
        deadline: Instant,
        pause_ms: u64,
    ) -> Option<Result<Outcome<V>, Error>> {
        let purpose = token.map_or(Purpose::Generation, Purpose::Lease);
        if let Some(passenger) = self.shared.flights.join(&spot.key, purpose, tags) {
            return timeout_at(deadline, passenger.ending()).await.ok().flatten();
        }
        let pause = Duration::from_millis(pause_ms).mul_f64(0.5 + fastrand::f64() / 2.0);
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        None
    }

    fn go_on(self: &Arc<Self>, spot: &Arc<Spot>, background: Background<V>, load: Loader<V>) {
        let (reader, spot) = (Arc::clone(self), Arc::clone(spot));
        match background {
            Background::Nothing => {}
            Background::Load(turn) => drop(tokio::spawn(reader.load_and_store(spot, turn, load))),
            Background::Refresh(pilot, tags) => drop(tokio::spawn(reader.refresh(spot, pilot, tags, load))),
        }
    }

    /// Loads what is served still, if nobody else does.
    async fn refresh(self: Arc<Self>, spot: Arc<Spot>, pilot: Pilot, tags: Vec<Tag>, load: Loader<V>) {
        match self.refresh_turn(&spot, tags).await {
            Ok(Some(turn)) => drop(self.load_and_store(spot, turn, load).await),
            Ok(None) => {}
            Err(error) => self.fail(&error),
        }
        // Until here nobody else in this process begins it.
        drop(pilot);
    }
}
