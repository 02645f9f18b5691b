//! Lets callers of one process wait for a load that one of them does already.
//!
//! A caller may join a flight only if the server says, after the caller asked, that the flight's own lease still stands and its tags
//! are those of now: no change that was settled before can be missing in what that flight loads.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use quash_core::freshness::{Tag, Token};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::error::Error;
use crate::value::Outcome;

/// How a flight ended: an [`Outcome`] of the cache's type, or the load's error.
type Ending = Result<Arc<dyn Any + Send + Sync>, Error>;

/// The loads that are under way in this process, by key and lease.
#[derive(Default)]
pub(crate) struct Flights(Mutex<FxHashMap<(Arc<str>, Purpose), Flight>>);

struct Flight {
    tags: Vec<Tag>,
    ending: watch::Receiver<Option<Ending>>,
}

/// What a load was begun under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// This lease.
    Lease(Token),
    /// The tokens of its tags alone.
    Generation,
    /// It refreshes what is served still; nobody joins it.
    Refresh,
}

/// Whoever loads: others learn by it how that ended, also if it is dropped before.
pub(crate) struct Pilot {
    flights: Arc<Flights>,
    id: (Arc<str>, Purpose),
    ending: watch::Sender<Option<Ending>>,
}

/// Whoever waits.
pub(crate) struct Passenger(watch::Receiver<Option<Ending>>);

impl Flights {
    /// Begins a flight, in the place of another of the same purpose.
    pub(crate) fn begin(self: &Arc<Self>, key: &Arc<str>, purpose: Purpose, tags: &[Tag]) -> Pilot {
        let id = (Arc::clone(key), purpose);
        let (sender, ending) = watch::channel(None);
        self.with(|flights| flights.insert(id.clone(), Flight { tags: tags.to_vec(), ending }));
        Pilot { flights: Arc::clone(self), id, ending: sender }
    }

    /// Begins a flight, unless there is one of the same purpose.
    pub(crate) fn begin_alone(self: &Arc<Self>, key: &Arc<str>, purpose: Purpose) -> Option<Pilot> {
        let is_there = self.with(|flights| flights.contains_key(&(Arc::clone(key), purpose)));
        (!is_there).then(|| self.begin(key, purpose, &[]))
    }

    /// The flight of this purpose, if it was begun under these tags.
    pub(crate) fn join(&self, key: &Arc<str>, purpose: Purpose, tags: &[Tag]) -> Option<Passenger> {
        self.with(|flights| {
            let flight = flights.get(&(Arc::clone(key), purpose)).filter(|flight| flight.tags == tags)?;
            Some(Passenger(flight.ending.clone()))
        })
    }

    /// Lets nobody join a flight any more that tags alone stand for; it goes on for those who wait. Leases are the server's
    /// to end.
    pub(crate) fn detach(&self, key: &Arc<str>) {
        self.with(|flights| drop(flights.remove(&(Arc::clone(key), Purpose::Generation))));
    }

    fn with<T>(&self, act: impl FnOnce(&mut FxHashMap<(Arc<str>, Purpose), Flight>) -> T) -> T {
        // What is done while it is locked does not panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pilot {
    /// Tells those who wait how it ended.
    pub(crate) fn land<V: Send + Sync + 'static>(self, outcome: &Result<Outcome<V>, Error>) {
        let ending: Ending = match outcome {
            Ok(outcome) => Ok(Arc::new(outcome.clone())),
            Err(error) => Err(error.clone()),
        };
        self.ending.send_replace(Some(ending));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // Another may have taken its place.
        let is_its = |flight: &mut Flight| self.ending.subscribe().same_channel(&flight.ending);
        self.flights.with(|flights| {
            if flights.get_mut(&self.id).is_some_and(is_its) {
                flights.remove(&self.id);
            }
        });
    }
}

impl Passenger {
    /// How the flight ended; `None` if it was given up, or its values are of another type.
    pub(crate) async fn ending<V: Send + Sync + 'static>(mut self) -> Option<Result<Outcome<V>, Error>> {
        let ending = self.0.wait_for(Option::is_some).await.ok()?.clone()?;
        match ending {
            Ok(outcome) => outcome.downcast_ref::<Outcome<V>>().cloned().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}
