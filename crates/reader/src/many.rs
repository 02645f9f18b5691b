//! Reads many entries of a cache at once: one look, one load, one write.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::join_all;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::config::Spot;
use crate::error::{BoxError, Error};
use crate::key::KeyArgs;
use crate::look::Tags;
use crate::observe::{Event, Miss};
use crate::reader::Reader;
use crate::serve::Turned;
use crate::step::{Background, Call, Step};
use crate::store::StoreError;
use crate::turn::Turn;
use crate::value::{Loaded, Outcome, Source};

/// Many entries of a cache.
#[must_use = "entries do nothing until they are asked for"]
pub struct Many<'c, V, A> {
    reader: &'c Arc<Reader<V>>,
    args: Vec<A>,
    call: Call,
}

/// An entry, by its arguments.
type Asked<A> = (A, Arc<Spot>);

impl<V: Send + Sync + 'static> Cache<V> {
    /// The entries of these arguments, each as for [`Cache::key`].
    pub fn many<A>(&self, args: impl IntoIterator<Item = A>) -> Many<'_, V, A> {
        Many { reader: &self.0, args: args.into_iter().collect(), call: Call::of(self.0.options()) }
    }
}

impl<V: Send + Sync + 'static, A: KeyArgs + Clone + Eq + Hash> Many<'_, V, A> {
    /// Whether entries may be served that a change made stale while somebody else loads them; they may when not said.
    pub fn stale_ok(mut self, stale_ok: bool) -> Self {
        self.call.stale_ok = stale_ok;
        self
    }

    /// The values, of which those that are not cached are loaded together. What the load does not give is remembered as
    /// nothing; what there is nothing of is left out.
    ///
    /// The load is asked a second time for entries that others were loading and did not store in time.
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Load`]; never that the cache failed.
    pub async fn get_or_load<F, R, I, L, E>(self, mut load: F) -> Result<HashMap<A, Arc<V>>, Error>
    where
        F: FnMut(Vec<A>) -> R,
        R: Future<Output = Result<I, E>>,
        I: IntoIterator<Item = (A, L)>,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        let reader = self.reader;
        let (mut asked, mut values) = (FxHashMap::default(), HashMap::new());
        for args in self.args {
            let spot = reader.info.spot(&args)?;
            match reader.kept_here(&spot) {
                Some(Outcome { value, .. }) => keep(&mut values, args, value),
                None => drop(asked.insert(args, Arc::new(spot))),
            }
        }
        let (turns, busy) = reader.look_at_all(asked.into_iter().collect(), self.call, &mut values).await;
        reader.load_all(turns, &mut load, &mut values).await?;
        let waits = busy.iter().map(|(_, spot)| reader.turn(spot, self.call));
        let turned = join_all(waits).await;
        let mut turns = Vec::new();
        for ((args, spot), turned) in busy.into_iter().zip(turned) {
            match turned {
                Turned::Served(Outcome { value, .. }, _) => keep(&mut values, args, value),
                Turned::Joined(ended) => keep(&mut values, args, ended?.value),
                Turned::Mine(turn) => turns.push(((args, spot), turn)),
            }
        }
        reader.load_all(turns, &mut load, &mut values).await?;
        Ok(values)
    }
}

fn keep<V, A: Eq + Hash>(values: &mut HashMap<A, Arc<V>>, args: A, value: Option<Arc<V>>) {
    values.extend(value.map(|value| (args, value)));
}

impl<V: Send + Sync + 'static> Reader<V> {
    /// Serves what there is, takes the leases of what is not, and says which of them others load.
    async fn look_at_all<A: Eq + Hash>(
        &self,
        asked: Vec<Asked<A>>,
        call: Call,
        values: &mut HashMap<A, Arc<V>>,
    ) -> (Vec<(Asked<A>, Turn<V>)>, Vec<Asked<A>>) {
        let steps = if self.shared.health.rests() { Vec::new() } else { self.steps(&asked, call).await };
        let (mut turns, mut busy) = (Vec::new(), Vec::new());
        let mut steps = steps.into_iter();
        for asked in asked {
            let step = steps.next().unwrap_or_else(|| {
                self.on(Event::RedisFailed);
                Ok(Step::Load(Turn::unstored(Miss::Absent)))
            });
            match step {
                // Loaded here with the others, rather than served stale.
                Ok(Step::Serve(_, Background::Load(turn)) | Step::Load(turn)) => turns.push((asked, turn)),
                Ok(Step::Serve(outcome, _)) => keep(values, asked.0, outcome.value),
                Ok(Step::Wait(..) | Step::Again) => busy.push(asked),
                Err(error) => {
                    self.fail(&error);
                    turns.push((asked, Turn::unstored(Miss::Absent)));
                }
            }
        }
        (turns, busy)
    }

    /// What to do about each entry, after one look at all of them; nothing if the cache cannot be asked.
    async fn steps<A>(&self, asked: &[Asked<A>], call: Call) -> Vec<Result<Step<V>, StoreError>> {
        let mut names: Vec<&str> = Vec::new();
        let mut indices: FxHashMap<&str, usize> = FxHashMap::default();
        for name in asked.iter().flat_map(|(_, spot)| spot.names()) {
            indices.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            });
        }
        if names.is_empty() {
            return Vec::new();
        }
        let marks: Vec<_> = asked.iter().map(|(_, spot)| self.shared.local.mark(spot)).collect();
        let found = match self.store().get(&names).await {
            Ok(found) => found,
            Err(error) => {
                self.fail(&error);
                return Vec::new();
            }
        };
        let at = |name: &str| indices.get(name).and_then(|index| found.get(*index)).cloned().flatten();
        // All of them at once: the connection sends their commands together.
        join_all(asked.iter().zip(marks).map(|((_, spot), mark)| {
            let tags: Vec<_> = spot.tags.iter().map(|tag| at(tag)).collect();
            let entry = at(&spot.key);
            async move { self.decide(spot, call, mark, entry.as_deref(), Tags::read(&tags)).await }
        }))
        .await
    }

    async fn load_all<A, F, R, I, L, E>(
        &self,
        turns: Vec<(Asked<A>, Turn<V>)>,
        load: &mut F,
        values: &mut HashMap<A, Arc<V>>,
    ) -> Result<(), Error>
    where
        A: Clone + Eq + Hash,
        F: FnMut(Vec<A>) -> R,
        R: Future<Output = Result<I, E>>,
        I: IntoIterator<Item = (A, L)>,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        if turns.is_empty() {
            return Ok(());
        }
        turns.iter().for_each(|(_, turn)| self.on(Event::Miss(turn.why)));
        let begun = Instant::now();
        let loaded = load(turns.iter().map(|((args, _), _)| args.clone()).collect()).await;
        let took = begun.elapsed();
        let mut loaded: FxHashMap<A, L> = match loaded {
            Ok(loaded) => loaded.into_iter().collect(),
            Err(error) => {
                self.on(Event::LoadFailed);
                let error = Error::Load(error.into().into());
                let pilots = turns.into_iter().filter_map(|(_, turn)| turn.pilot);
                pilots.for_each(|pilot| pilot.land::<V>(&Err(error.clone())));
                return Err(error);
            }
        };
        let kept = turns.into_iter().map(|((args, spot), mut turn)| {
            let loaded = loaded.remove(&args).map_or_else(Loaded::nothing, Into::into);
            async move {
                self.keep(&spot, &mut turn.claim, &loaded, took).await;
                let value = loaded.value.map(Arc::new);
                if let Some(pilot) = turn.pilot {
                    pilot.land(&Ok(Outcome { value: value.clone(), from: Source::Loaded, age: None }));
                }
                (args, value)
            }
        });
        for (args, value) in join_all(kept.collect::<Vec<_>>()).await {
            keep(values, args, value);
        }
        Ok(())
    }
}
