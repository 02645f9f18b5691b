//! Looks at an entry once, and says what a reader does about it.

use std::sync::Arc;
use std::time::Duration;

use quash_core::freshness::{Entry, Tag, Taken, Token, Want};

use crate::config::Spot;
use crate::flight::{Pilot, Purpose};
use crate::local::Mark;
use crate::look::{Refresher, Seen, Tags, look};
use crate::observe::{Event, Miss, Tier};
use crate::options::{Foreign, Options};
use crate::reader::Reader;
use crate::store::StoreError;
use crate::time::{millis, now_ms};
use crate::turn::{Claim, OwnLease, Right, Turn};
use crate::value::{Outcome, Source};

/// What one call asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Whether it may be served what a change made stale.
    pub(crate) stale_ok: bool,
    /// How long it waits for others who load the same.
    pub(crate) wait: Duration,
    /// Whether it wants nothing that is there already.
    pub(crate) force: bool,
    /// Whether the load goes on when the caller is gone.
    pub(crate) detach: bool,
}

impl Call {
    /// What every call asks for that says nothing else.
    pub(crate) const fn of(options: &Options) -> Self {
        Self { stale_ok: true, wait: options.wait, force: false, detach: options.detach }
    }
}

/// What a reader does about what it saw.
pub(crate) enum Step<V> {
    /// It serves this.
    Serve(Outcome<V>, Background<V>),
    /// It loads.
    Load(Turn<V>),
    /// It waits for whoever loads, by this lease if that was seen; then it loads as well.
    Wait(Option<Token>, Vec<Tag>, Miss),
    /// It looks again at once: something changed meanwhile.
    Again,
}

/// What is done in the background for what was served.
pub(crate) enum Background<V> {
    Nothing,
    /// It is loaded.
    Load(Turn<V>),
    /// It is loaded if nobody else does.
    Refresh(Pilot, Vec<Tag>),
}

impl<V: Send + Sync + 'static> Reader<V> {
    /// Looks at an entry, and asks for its lease where there is none.
    pub(crate) async fn step(&self, spot: &Spot, call: Call) -> Result<Step<V>, StoreError> {
        let mark = self.shared.local.mark(spot);
        let values = self.store().get(&spot.names().collect::<Vec<_>>()).await?;
        let (entry, tags) = values.split_first().ok_or_else(|| StoreError::new("get", "no answer"))?;
        self.decide(spot, call, mark, entry.as_deref(), Tags::read(tags)).await
    }

    /// Decides about what was seen.
    pub(crate) async fn decide(
        &self,
        spot: &Spot,
        call: Call,
        mark: Option<Mark>,
        bytes: Option<&[u8]>,
        tags: Tags,
    ) -> Result<Step<V>, StoreError> {
        let seen = look(bytes, tags.all());
        let mut why = if call.force { Miss::Forced } else { Miss::Absent };
        match &seen {
            Seen::Foreign(bytes) => return Ok(self.foreign(bytes, call)),
            Seen::OldTags(_) if !call.force => why = Miss::OldTags,
            Seen::Fresh(entry, refresher) if !call.force => match self.value_of(spot, entry).await {
                Ok(value) => {
                    self.shared.local.put(spot, mark, &value, entry.fresh_until_ms);
                    return Ok(self.hit(spot, entry, *refresher, value));
                }
                Err(_) => why = Miss::Undecodable,
            },
            _ => {}
        }
        let Some(tags) = self.make_tags(spot, tags).await? else {
            return Ok(Step::Load(Turn::unstored(Miss::Foreign)));
        };
        if self.info.by_tags_alone {
            return Ok(self.by_tags(spot, tags, why));
        }
        match seen {
            Seen::Absent | Seen::Foreign(_) => self.ask(spot, call, tags, why).await,
            Seen::Lease(token) => Ok(Step::Wait(Some(token), tags, why)),
            Seen::Fresh(_, refresher) | Seen::OldTags(refresher) => {
                self.take(spot, Want::Refresh, refresher, tags, why).await
            }
            Seen::Hold(refresher) => self.take(spot, Want::Miss, refresher, tags, why).await,
            Seen::Stale(entry, refresher) => self.stale(spot, call, &entry, refresher, tags).await,
        }
    }

    fn hit(&self, spot: &Spot, entry: &Entry<'_>, refresher: Refresher, value: Option<Arc<V>>) -> Step<V> {
        self.on(Event::Hit(Tier::Redis));
        let (now, soft) = (now_ms(), entry.fresh_until_ms);
        let lived = |soft_ttl| now.saturating_sub(soft.saturating_sub(millis(soft_ttl)));
        let age = self.options().soft_ttl.filter(|_| soft > 0).map(|ttl| Duration::from_millis(lived(ttl)));
        let outcome = Outcome { value, from: Source::Redis, age };
        let is_refreshed = refresher.token.is_some() && refresher.until_ms > now;
        if soft == 0 || now < soft || is_refreshed {
            return Step::Serve(outcome, Background::Nothing);
        }
        match self.shared.flights.begin_alone(&spot.key, Purpose::Refresh) {
            Some(pilot) => Step::Serve(outcome, Background::Refresh(pilot, entry.tags.to_vec())),
            None => Step::Serve(outcome, Background::Nothing),
        }
    }

    async fn stale(
        &self,
        spot: &Spot,
        call: Call,
        entry: &Entry<'_>,
        refresher: Refresher,
        tags: Vec<Tag>,
    ) -> Result<Step<V>, StoreError> {
        let old = self.value_of(spot, entry).await;
        let why = match (&old, call.force) {
            (_, true) => Miss::Forced,
            (Err(_), _) => Miss::Undecodable,
            (Ok(_), _) => Miss::Absent,
        };
        let taken = self.take(spot, Want::Miss, refresher, tags, why).await?;
        let Ok(value) = old else { return Ok(taken) };
        let taken = match taken {
            Step::Load(turn) => Step::Load(Turn { stale: value.clone(), ..turn }),
            other => other,
        };
        if !call.stale_ok || call.force {
            return Ok(taken);
        }
        self.on(Event::Stale);
        let outcome = Outcome { value, from: Source::Stale, age: None };
        Ok(match taken {
            Step::Load(turn) if !matches!(turn.claim.right, Right::None) => {
                Step::Serve(outcome, Background::Load(turn))
            }
            _ => Step::Serve(outcome, Background::Nothing),
        })
    }

    /// What is in no frame is left alone.
    fn foreign(&self, bytes: &[u8], call: Call) -> Step<V> {
        if self.options().foreign == Foreign::Refuse || call.force {
            return Step::Load(Turn::unstored(Miss::Foreign));
        }
        match self.codec.decode(bytes) {
            Ok(value) => {
                self.on(Event::Hit(Tier::Redis));
                Step::Serve(
                    Outcome { value: Some(Arc::new(value)), from: Source::Redis, age: None },
                    Background::Nothing,
                )
            }
            Err(_) => Step::Load(Turn::unstored(Miss::Undecodable)),
        }
    }

    /// Gives a token to each tag that has none, before anything is loaded. `None` if one of them can have none.
    pub(crate) async fn make_tags(&self, spot: &Spot, tags: Tags) -> Result<Option<Vec<Tag>>, StoreError> {
        let known = match tags {
            Tags::All(tags) => return Ok(Some(tags)),
            Tags::Broken => return Ok(None),
            Tags::Missing(known) => known,
        };
        let mut all = Vec::with_capacity(known.len());
        for (name, tag) in spot.tags.iter().zip(known) {
            let made = match tag {
                Some(tag) => Some(tag),
                None => self.store().make_tag(name, Tag::from_random(fastrand::u64(..))).await?,
            };
            let Some(made) = made else { return Ok(None) };
            all.push(made);
        }
        Ok(Some(all))
    }

    /// Whoever loads by the tags alone needs no lease.
    fn by_tags(&self, spot: &Spot, tags: Vec<Tag>, why: Miss) -> Step<V> {
        let flights = &self.shared.flights;
        if flights.join(&spot.key, Purpose::Generation, &tags).is_some() && why != Miss::Forced {
            return Step::Wait(None, tags, why);
        }
        let pilot = Some(flights.begin(&spot.key, Purpose::Generation, &tags));
        Step::Load(Turn { claim: Claim { right: Right::Tags, tags, bar: 0 }, pilot, stale: None, why })
    }

    async fn ask(&self, spot: &Spot, call: Call, tags: Vec<Tag>, why: Miss) -> Result<Step<V>, StoreError> {
        let mut lease = OwnLease::new(&self.shared.store, &spot.key);
        // Before it is asked for, so that nobody sees it who cannot join.
        let pilot = self.shared.flights.begin(&spot.key, Purpose::Lease(lease.token), &tags);
        let Some(bytes) = self.store().ask(&spot.key, lease.token, self.options().lease).await? else {
            return Ok(Step::Load(Turn {
                claim: Claim { right: Right::Own(lease), tags, bar: 0 },
                pilot: Some(pilot),
                stale: None,
                why,
            }));
        };
        lease.end();
        Ok(match look(Some(&bytes), Some(&tags)) {
            Seen::Lease(token) => Step::Wait(Some(token), tags, why),
            Seen::Foreign(bytes) => self.foreign(bytes, call),
            Seen::Fresh(entry, refresher) if !call.force => match self.value_of(spot, &entry).await {
                Ok(value) => self.hit(spot, &entry, refresher, value),
                Err(_) => Step::Again,
            },
            _ => Step::Again,
        })
    }

    async fn take(
        &self,
        spot: &Spot,
        want: Want,
        refresher: Refresher,
        tags: Vec<Tag>,
        why: Miss,
    ) -> Result<Step<V>, StoreError> {
        let mut lease = OwnLease::new(&self.shared.store, &spot.key);
        let pilot = self.shared.flights.begin(&spot.key, Purpose::Lease(lease.token), &tags);
        let taken = self.store().take(&spot.key, lease.token, self.options().lease, want).await?;
        if let Taken::Won { bar, .. } = taken {
            let claim = Claim { right: Right::Own(lease), tags, bar };
            return Ok(Step::Load(Turn { claim, pilot: Some(pilot), stale: None, why }));
        }
        lease.end();
        Ok(match taken {
            Taken::Won { .. } | Taken::Value => Step::Again,
            Taken::Busy { .. } => Step::Wait(refresher.token, tags, why),
            Taken::Held { .. } => {
                self.on(Event::Held);
                Step::Load(Turn::unstored(why))
            }
            Taken::Foreign => Step::Load(Turn::unstored(Miss::Foreign)),
        })
    }

    /// Takes the lease of what is served still; `None` if somebody else has it.
    pub(crate) async fn refresh_turn(&self, spot: &Spot, tags: Vec<Tag>) -> Result<Option<Turn<V>>, StoreError> {
        if self.info.by_tags_alone {
            let claim = Claim { right: Right::Tags, tags, bar: 0 };
            return Ok(Some(Turn { claim, pilot: None, stale: None, why: Miss::Absent }));
        }
        let nobody = Refresher { token: None, until_ms: 0 };
        Ok(match self.take(spot, Want::Refresh, nobody, tags, Miss::Absent).await? {
            Step::Load(turn) if matches!(turn.claim.right, Right::Own(_)) => Some(turn),
            _ => None,
        })
    }
}
