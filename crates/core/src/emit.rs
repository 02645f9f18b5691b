//! Turns stale key sets into the actions of a batch's plan.

mod command;
mod later;
mod limit;
mod physical;

use std::time::Duration;

use self::physical::Physical;
use crate::action::Action;
use crate::answer::AnswerId;
use crate::event::Change;
use crate::key::text::show;
use crate::key::{KeyError, KeySet};
use crate::plan::{ActionKind, Plan, RequestId, ShareBuilder, TargetId, TargetSet};
use crate::resolution::{Later, Matched, Refused, Remaining, Resolution, Resolved};
use crate::resolver::Resolver;
use crate::rule::set::{Cache, Found};
use crate::rule::{RuleError, Widened};
use crate::scope::{CacheId, Part, Scope};
use crate::undeclared::Undeclared;

/// What each event of a message adds to what all of them together may ask for beyond one event's limit. Events of a few
/// hundred bytes can name thousands of entries each; a message full of them must not fill the memory.
const ACTIONS_PER_EVENT: usize = 100;

/// Most keys are rendered without growing their text.
const KEY_BYTES_EXPECTED: usize = 128;

/// Gathers what the requests of one batch ask for.
pub(crate) struct Batch<'r> {
    resolver: &'r Resolver,
    shares: Vec<ShareBuilder>,
    cache_matches: Vec<(CacheId, u32)>,
    widened: Vec<(CacheId, Widened)>,
    handed_over: Vec<(RequestId, CacheId)>,
    answers: Vec<(RequestId, AnswerId)>,
    later: Vec<Later>,
    undeclared: Undeclared,
    undeclared_events: u64,
    /// What all that was asked for takes, by an estimate that is never far too low.
    bytes: usize,
    /// Scratch space for rendered keys: logical and physical.
    logical: String,
    physical: String,
}

impl<'r> Batch<'r> {
    pub(crate) fn new(resolver: &'r Resolver) -> Self {
        Self {
            shares: resolver.targets.iter().map(|_| ShareBuilder::default()).collect(),
            cache_matches: Vec::new(),
            widened: Vec::new(),
            handed_over: Vec::new(),
            answers: Vec::new(),
            later: Vec::new(),
            undeclared: Undeclared::default(),
            undeclared_events: 0,
            bytes: 0,
            logical: String::with_capacity(KEY_BYTES_EXPECTED),
            physical: String::with_capacity(KEY_BYTES_EXPECTED),
            resolver,
        }
    }

    /// Whether the rest should go into another batch.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= self.resolver.limits.max_plan_bytes
    }

    /// Begins with one request, which holds so many changes.
    pub(crate) fn ask<'b, 'q>(
        &'b mut self,
        request: RequestId,
        remaining: Remaining<'q>,
        changes: usize,
    ) -> Asking<'b, 'r, 'q> {
        let limit = self.resolver.limits.max_actions_per_event;
        Asking {
            bytes_left: self.resolver.limits.max_plan_bytes,
            message_left: changes.saturating_mul(ACTIONS_PER_EVENT).saturating_add(limit),
            batch: self,
            request,
            remaining,
            targets: TargetSet::EMPTY,
            next_pass: None,
            merges: remaining.merges,
            refused: None,
            handed_over: false,
            has_unknown: false,
            actions_left: 0,
            max_keys: 0,
        }
    }

    pub(crate) fn finish(mut self, outcomes: Vec<Resolved>) -> Resolution {
        let built = std::mem::take(&mut self.shares);
        let shares = (0..).map(TargetId).zip(built).filter_map(|(target, share)| share.finish(target)).collect();
        let Self { cache_matches, widened, handed_over, answers, later, undeclared, undeclared_events, .. } = self;
        let plan = Plan { shares };
        Resolution {
            plan,
            outcomes,
            cache_matches,
            widened,
            handed_over,
            answers,
            later,
            undeclared,
            undeclared_events,
        }
    }

    /// Notes that the publisher of a request waits for an answer under this identifier.
    pub(crate) fn answer(&mut self, request: RequestId, id: AnswerId) {
        if self.answers.last() != Some(&(request, id)) {
            self.answers.push((request, id));
        }
    }

    fn hand_over(&mut self, request: RequestId, cache: CacheId) {
        let of_request = self.handed_over.iter().rev().take_while(|(known, _)| *known == request);
        if of_request.into_iter().all(|(_, known)| *known != cache) {
            self.handed_over.push((request, cache));
        }
    }

    fn count_match(&mut self, cache: CacheId) {
        match self.cache_matches.iter_mut().find(|(known, _)| *known == cache) {
            Some((_, count)) => *count += 1,
            None => self.cache_matches.push((cache, 1)),
        }
    }
}

/// One request on its way into the plan.
pub(crate) struct Asking<'b, 'r, 'q> {
    batch: &'b mut Batch<'r>,
    request: RequestId,
    remaining: Remaining<'q>,
    targets: TargetSet,
    next_pass: Option<Duration>,
    /// Whether its later passes may be merged with those of others, and can be said as commands so far.
    merges: bool,
    refused: Option<Refused>,
    /// Whether any of its caches has to go to another source.
    handed_over: bool,
    /// Whether a mapped column of the current event is unknown.
    has_unknown: bool,
    /// How many more actions the message may ask for before its events are widened.
    message_left: usize,
    /// How many more actions the current event may ask for before it is widened.
    actions_left: usize,
    /// How many bytes the message's keys may still take before its events are widened.
    bytes_left: usize,
    /// How many keys the current cache may enumerate for one key set.
    max_keys: usize,
}

impl Asking<'_, '_, '_> {
    /// Asks for what a change made stale, and for what a direct command names itself.
    pub(crate) fn emit(&mut self, change: &Change<'_>, found: Found<'_>) {
        let limit = self.batch.resolver.limits.max_actions_per_event.min(self.message_left);
        self.actions_left = limit;
        self.has_unknown = found.widened.iter().any(|(_, why)| *why == Widened::UnknownColumn);
        found.widened.into_iter().for_each(|(cache, why)| self.widened(cache, why));
        if let Some(error) = found.error {
            self.refuse(Refused::Rule(error));
        }
        let only = match change {
            Change::Command(command) => self.command(command),
            Change::Event(event) => {
                if found.undeclared {
                    self.batch.undeclared.add(&event.entity);
                    self.batch.undeclared_events += u64::from(self.remaining.counts);
                }
                self.remaining.targets
            }
        };
        for (id, mut sets) in found.stale {
            let cache = &self.batch.resolver.rules.caches[id.index()];
            self.emit_cache(id, cache, only, &mut sets);
        }
        self.message_left -= limit - self.actions_left;
    }

    /// What became of the request.
    pub(crate) fn resolved(self, time_us: Option<i64>) -> Resolved {
        match self.refused {
            Some(refused) => Resolved::Refused(refused),
            None if self.targets.is_empty() && !self.handed_over => Resolved::Unmatched { time_us },
            None => Resolved::Matched(Matched { targets: self.targets, next_pass: self.next_pass, time_us }),
        }
    }

    fn widened(&mut self, id: CacheId, why: Widened) {
        if self.remaining.counts {
            self.batch.widened.push((id, why));
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.refused.get_or_insert(refused);
    }

    fn emit_cache(&mut self, id: CacheId, cache: &Cache, only: TargetSet, sets: &mut [KeySet<'_>]) {
        let targets = cache.targets.intersection(only);
        let Remaining { pass, scope, elsewhere, .. } = self.remaining;
        let is_due = self.batch.resolver.rules.is_due(cache, pass);
        let next = cache.again_after.iter().find(|due| **due > pass).copied();
        let part = Scope::part(scope, id, cache.source.is_some_and(|source| elsewhere.contains(source)));
        let is_due = is_due && matches!(part, Part::All | Part::HandOver { done: false });
        if targets.is_empty() || part == Part::None || (!is_due && next.is_none()) {
            return;
        }
        if let Part::HandOver { .. } = part {
            self.handed_over = true;
            return self.batch.hand_over(self.request, id);
        }
        self.targets = self.targets.union(targets);
        self.next_pass = [self.next_pass, next].into_iter().flatten().min();
        if !is_due {
            return self.later(id, cache, next, sets);
        }
        if self.remaining.counts {
            self.batch.count_match(id);
        }
        let sets = self.within_limit(id, cache, targets, sets);
        self.later(id, cache, next, sets);
        for set in sets.iter() {
            if let Err(error) = self.remove(cache, targets, set) {
                self.refuse(key_refused(cache, error, self.has_unknown));
            }
        }
    }

    /// Notes what the next pass of a cache removes again, if there is one.
    fn later(&mut self, id: CacheId, cache: &Cache, next: Option<Duration>, sets: &[KeySet<'_>]) {
        let Some(pass) = next.filter(|_| self.merges) else { return };
        self.merges = self.batch.later(self.request, id, cache, pass, sets);
        if !self.merges {
            self.batch.never_later(self.request);
        }
    }

    fn remove(&mut self, cache: &Cache, targets: TargetSet, set: &KeySet<'_>) -> Result<(), KeyError> {
        crate::steps::taken(1);
        let max_keys = self.max_keys;
        let mut logical = std::mem::take(&mut self.batch.logical);
        let mut physical = Physical::new(self, Some(cache), targets);
        let removed = cache.scheme.remove(set, max_keys, &mut logical, &mut physical);
        self.batch.logical = logical;
        if let Some(channel) = &cache.publish {
            let message = announcement(cache, set);
            for target in targets.iter() {
                self.batch.shares[usize::from(target.0)].ask(
                    self.request,
                    ActionKind::Publish,
                    (channel, &message),
                    || Action::Publish { channel: channel.clone(), message: message.as_str().into() },
                );
            }
        }
        removed
    }
}

fn key_refused(cache: &Cache, error: KeyError, has_unknown: bool) -> Refused {
    let (cache, mut text) = (cache.name.clone(), error.to_string());
    if has_unknown && matches!(error, KeyError::OutOfReach(_)) {
        text.push_str(
            "; the event does not say what a mapped column was or is: publish it in `before`, say in `changed` what \
             changed, or set `on_unknown: after_only`",
        );
    }
    match error {
        KeyError::TooLong { .. } => Refused::Limit { cache, error: text },
        KeyError::EmptyInPrefix { .. }
        | KeyError::Unspellable { .. }
        | KeyError::OutOfReach(_)
        | KeyError::Reserved => Refused::Rule(RuleError { cache: Some(cache), error: text }),
    }
}

/// What processes with a local copy are told: the cache, and the exact arguments of what went.
fn announcement(cache: &Cache, set: &KeySet<'_>) -> String {
    let args = cache.scheme.args().iter().enumerate();
    let exact: serde_json::Map<String, serde_json::Value> =
        args.filter_map(|(arg, name)| Some((name.clone(), show(set.get(arg)?).into()))).collect();
    serde_json::json!({ "cache": cache.name, "args": exact }).to_string()
}
