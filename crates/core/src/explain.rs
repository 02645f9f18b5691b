//! Explains what one request asks for, clause by clause, from the same decisions that resolve it.

use serde::Serialize;

use crate::emit::Batch;
use crate::event::{Change, DecodeError, Event, Invalidate, Row};
use crate::guarantee::Guarantee;
use crate::key::text::show;
use crate::key::{ArgSet, KeySet, Reach, ReachBy};
use crate::plan::{RequestId, Share};
use crate::resolve::{Request, Resolution, Resolver, Widened};
use crate::rule::around::Around;
use crate::rule::cascade::EdgeOrigin;
use crate::rule::dependency::{Clause, Considered, Dependency, Origin, Stale};
use crate::rule::reads;
use crate::rule::set::{Cache, Found};
use crate::scope::CacheId;
use quash_config::{ConfigPath, Problem};

/// Why a request asks for what it asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// One per change in the message, in their order.
    pub changes: Vec<ExplainedChange>,
}

/// What one change asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedChange {
    /// What changed, as `update shop.Book id=42`.
    pub change: String,
    /// Every dependency on that entity, matching or not.
    pub rules: Vec<ExplainedRule>,
    /// Every stale cache, with what removes it.
    pub caches: Vec<ExplainedCache>,
    /// What a direct command asks for itself.
    pub command: Vec<PlannedAction>,
    /// Why it becomes a dead letter, if it does.
    pub refused: Option<String>,
}

/// One dependency of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependence {
    /// What it depends on, as `row shop.Book`, `m2m shop.Book.tags` or `cache product`.
    pub from: String,
    /// The cache, as `cache product`.
    pub to: String,
    /// The operations that count, as `create, delete`; empty is all.
    pub ops: String,
    /// The columns that it reads of the rows, as paths such as `author.country_id`; of a relation with its end, as `to.slug`.
    pub columns: Vec<String>,
    /// The columns of which one must have changed; empty is any change.
    pub changed: Vec<String>,
}

/// What became of one dependency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedRule {
    /// The cache that declares it.
    pub cache: String,
    /// Its index in the cache's `depends_on`, from 0.
    #[serde(rename = "place")]
    pub index: usize,
    /// What it depends on, as `row shop.Book`.
    pub on: String,
    /// What became of it.
    pub verdict: RuleVerdict,
}

/// What became of a dependency on one change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// It makes these key sets stale.
    Matched {
        /// The key sets, as `author_id=3 status=* page=*`.
        key_sets: Vec<String>,
        /// Why more goes than the event names, so that the publisher can be mended.
        notes: Vec<String>,
    },
    /// A clause is not met: which, and why.
    Skipped {
        /// The clause: `ops`, `changed`, `when` or `nulls`.
        clause: &'static str,
        /// Why it is not met.
        why: String,
    },
    /// It cannot be applied: the event becomes a dead letter.
    Failed {
        /// Why.
        error: String,
    },
}

/// A stale cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedCache {
    /// Its name.
    pub cache: String,
    /// The caches that it is stale because of; empty when a rule matched directly.
    pub through: Vec<String>,
    /// The key sets, widest only.
    pub key_sets: Vec<String>,
    /// How each key set is removed.
    pub reach: Vec<Reach>,
    /// Why more goes than the key sets name.
    pub notes: Vec<String>,
    /// What is done, per target, in this pass.
    pub actions: Vec<PlannedAction>,
    /// When it is done again, in milliseconds from the first pass.
    pub again_after_ms: Vec<u64>,
    /// What it promises once that is done.
    pub guarantee: Guarantee,
}

/// One action on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedAction {
    /// The target's name.
    pub target: String,
    /// The kind, one of [`crate::action::Action::KINDS`].
    pub action: &'static str,
    /// The key, prefix, glob or channel, byte for byte.
    pub object: String,
}

/// What a dependency compiled to, for `check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DependencyReach {
    /// The cache.
    pub cache: String,
    /// Its index in the cache's `depends_on`, from 0.
    #[serde(rename = "place")]
    pub index: usize,
    /// What it depends on, as `row shop.Book`.
    pub on: String,
    /// What removes the key sets it gives when every mapped column is known.
    pub reach: Reach,
    /// What that costs on the target.
    pub cost: &'static str,
}

/// What stale caches ask for.
#[derive(Default)]
struct Planned {
    actions: Vec<PlannedAction>,
    /// Why more goes than the key sets name.
    widened: Vec<Widened>,
    error: Option<String>,
}

impl Resolver {
    /// Explains one request.
    ///
    /// # Errors
    /// When the message cannot be decoded.
    pub fn explain(&self, request: &Request<'_>) -> Result<Explanation, DecodeError> {
        let changes = self.read(request)?;
        Ok(Explanation { changes: changes.iter().map(|change| self.explain_change(change, request)).collect() })
    }

    /// Why one request asks for what it asks for, as short lines for the rule trace of a dead letter.
    #[must_use]
    pub fn trace(&self, request: &Request<'_>) -> Vec<String> {
        /// Keeps the letter's header small; `quash explain` shows the rest.
        const LINES_MAX: usize = 20;
        /// Characters of one line: a key set may be as long as the event.
        const LINE_MAX: usize = 300;
        let Ok(changes) = self.read(request) else { return Vec::new() };
        let mut lines = Vec::new();
        for change in &changes {
            if lines.len() >= LINES_MAX {
                break;
            }
            let change = self.explain_change(change, request);
            let matched = change.rules.iter().filter_map(|rule| match &rule.verdict {
                RuleVerdict::Matched { key_sets, .. } => {
                    Some(format!("{} matched {}: {}", rule.cache, rule.on, key_sets.join(", ")))
                }
                RuleVerdict::Failed { error } => Some(format!("{} failed on {}: {error}", rule.cache, rule.on)),
                RuleVerdict::Skipped { .. } => None,
            });
            lines.push(change.change.clone());
            lines.extend(matched);
            let actions = change.caches.iter().flat_map(|cache| &cache.actions).chain(&change.command);
            lines.extend(actions.map(|planned| format!("{} {} on {}", planned.action, planned.object, planned.target)));
        }
        lines.truncate(LINES_MAX);
        lines.into_iter().map(|line| cut(line, LINE_MAX)).collect()
    }

    /// What every dependency compiled to.
    #[must_use]
    pub fn reaches(&self) -> Vec<DependencyReach> {
        let direct = self.rules.dependencies.iter().flat_map(|dependency| {
            let cache = &self.rules.caches[dependency.cache.index()];
            dependency.maps.iter().map(|map| self.reach_of(cache, dependency.index, on(dependency), exact(map)))
        });
        let cascaded =
            self.rules.caches.iter().flat_map(|upstream| upstream.feeds.iter().map(move |edge| (upstream, edge)));
        let cascaded = cascaded.flat_map(|(upstream, edge)| {
            let cache = &self.rules.caches[edge.to.index()];
            let on = format!("cache {}", upstream.name);
            edge.maps.iter().map(move |map| self.reach_of(cache, edge.index, on.clone(), exact_edge(map)))
        });
        let mut reaches: Vec<_> = direct.chain(cascaded).collect();
        reaches.sort_by(|one, other| (&one.cache, one.index).cmp(&(&other.cache, other.index)));
        reaches
    }

    fn reach_of(&self, cache: &Cache, index: usize, on: String, exact: ArgSet) -> DependencyReach {
        let reach = cache.scheme.reach(exact, self.limits.max_actions_per_event);
        DependencyReach { cache: cache.name.clone(), index, on, cost: reach.by.cost(), reach }
    }

    /// Where more is removed than a dependency asks for, or all keys of a target are passed over; and, as errors, where
    /// nothing can be removed.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let path =
            |at: &DependencyReach| ConfigPath::root().key("caches").key(&at.cache).key("depends_on").index(at.index);
        self.reaches().into_iter().filter_map(|at| warning(path(&at), at.reach)).collect()
    }

    /// What depends on what, for `graph`: from entities, relations and caches to caches.
    #[must_use]
    pub fn graph(&self) -> Vec<Dependence> {
        let name = |id: CacheId| format!("cache {}", self.rules.caches[id.index()].name);
        let direct = self.rules.dependencies.iter().map(|dependency| Dependence {
            from: on(dependency),
            to: name(dependency.cache),
            ops: dependency.ops.iter().map(|op| op.name()).collect::<Vec<_>>().join(", "),
            columns: reads::columns(dependency).into_iter().collect(),
            changed: dependency.changed.clone(),
        });
        let cascaded = self.rules.caches.iter().flat_map(|upstream| {
            let from = format!("cache {}", upstream.name);
            upstream.feeds.iter().map(move |edge| Dependence {
                from: from.clone(),
                to: name(edge.to),
                ..Dependence::default()
            })
        });
        direct.chain(cascaded).collect()
    }

    fn explain_change(&self, change: &Change<'_>, request: &Request<'_>) -> ExplainedChange {
        let headers = self.headers(request.payload.headers);
        let around = Around::of(change, &headers);
        let mut found = Found::default();
        self.rules.find(change, &around, &mut found);
        let mut refused = found.error.as_ref().map(ToString::to_string);
        let rules = match change {
            Change::Event(event) => {
                self.rules.all_for(event).map(|dependency| self.explain_rule(dependency, event, &around)).collect()
            }
            Change::Command(_) => Vec::new(),
        };
        let mut caches = Vec::new();
        for (id, sets) in &found.stale {
            let cache = &self.rules.caches[id.index()];
            let mut alone = Found::default();
            sets.iter().for_each(|set| alone.add(*id, set.clone(), cache.exact_only));
            let Planned { actions, widened, error } = self.planned(change, alone, request);
            refused = refused.or(error);
            let (actions_max, bytes_max) = (self.limits.max_actions_per_event, self.limits.max_plan_bytes);
            let widened = widened.first().map(|why| match why {
                Widened::TooManyBytes => format!("widened: too long keys, limits.max_plan_bytes is {bytes_max}"),
                _ => format!("widened: too many actions, limits.max_actions_per_event is {actions_max}"),
            });
            caches.push(ExplainedCache {
                cache: cache.name.clone(),
                through: self.through(*id, &found),
                key_sets: sets.iter().map(|set| show_set(cache, set)).collect(),
                reach: sets
                    .iter()
                    .map(|set| cache.scheme.reach(set.exact(), self.limits.max_actions_per_event))
                    .collect(),
                notes: widened.into_iter().collect(),
                actions,
                again_after_ms: cache
                    .again_after
                    .iter()
                    .map(|due| u64::try_from(due.as_millis()).unwrap_or(u64::MAX))
                    .collect(),
                guarantee: Guarantee::of(cache),
            });
        }
        let Planned { actions: command, error, .. } = match change {
            Change::Command(command) if !matches!(command.what, Invalidate::Cache { .. }) => {
                self.planned(change, Found::default(), request)
            }
            _ => Planned::default(),
        };
        ExplainedChange { change: describe(change), rules, caches, command, refused: refused.or(error) }
    }

    /// What a change asks for because of just these stale caches, by the way that every request takes.
    fn planned(&self, change: &Change<'_>, found: Found<'_>, request: &Request<'_>) -> Planned {
        let mut batch = Batch::new(self);
        let mut asked = batch.ask(RequestId(0), request.terms(), 1);
        asked.emit(change, found);
        let resolved = asked.resolved(None);
        let error = match resolved {
            crate::resolve::Resolved::Refused(refused) => Some(refused.to_string()),
            _ => None,
        };
        let Resolution { plan, widened, .. } = batch.finish(Vec::new());
        let actions = plan.shares.iter().flat_map(|share| self.planned_on(share)).collect();
        let widened = widened.into_iter().map(|(_, why)| why).collect();
        Planned { actions, widened, error }
    }

    fn planned_on<'s>(&'s self, share: &'s Share) -> impl Iterator<Item = PlannedAction> + 's {
        let target = &self.targets()[usize::from(share.target.0)];
        share.actions.iter().map(move |action| PlannedAction {
            target: target.clone(),
            action: action.kind(),
            object: action.object().to_owned(),
        })
    }

    fn explain_rule(&self, dependency: &Dependency, event: &Event<'_>, around: &Around<'_>) -> ExplainedRule {
        let cache = &self.rules.caches[dependency.cache.index()];
        let verdict = match dependency.consider(event, around, self.rules.bounds) {
            Ok(Considered::Skipped(clause)) => skipped(dependency, event, clause),
            Ok(Considered::Stale(stale)) => matched(cache, event, &stale),
            Err(error) => RuleVerdict::Failed { error },
        };
        ExplainedRule { cache: cache.name.clone(), index: dependency.index, on: on(dependency), verdict }
    }

    /// The stale caches that feed this one.
    fn through(&self, id: CacheId, found: &Found<'_>) -> Vec<String> {
        let stale = found.stale.iter().map(|(upstream, _)| &self.rules.caches[upstream.index()]);
        stale
            .filter(|upstream| upstream.feeds.iter().any(|edge| edge.to == id))
            .map(|upstream| upstream.name.clone())
            .collect()
    }
}

/// What should be known of a reach.
fn warning(path: ConfigPath, Reach { by, template, rounds_up, advice, .. }: Reach) -> Option<Problem> {
    let (message, help) = match (by, rounds_up) {
        (ReachBy::Nothing, _) => {
            let problem = Problem::error(path, format!("nothing from outside removes `{template}`"));
            return Some(advice.into_iter().fold(problem, |problem, advice| problem.help(advice)));
        }
        (ReachBy::Keys | ReachBy::Tag, false) => return None,
        (ReachBy::Keys, true) => {
            (format!("removes more than was asked: `{template}`"), "map every argument, if that matters")
        }
        (ReachBy::Tag, true) => (
            format!("removes more than was asked: everything tagged `{template}`"),
            "add a narrower tag, if that matters",
        ),
        (ReachBy::Prefix | ReachBy::Pattern | ReachBy::WholeCache, rounds_up) => {
            let more = if rounds_up { "removes more than was asked, and " } else { "" };
            (
                format!("{more}passes over all keys of the target to remove `{template}`"),
                "declare a tag that readers check, or `values` for arguments with few values",
            )
        }
    };
    Some(Problem::warning(path, message).help(advice.unwrap_or_else(|| help.to_owned())))
}

fn cut(mut line: String, max: usize) -> String {
    if let Some((end, _)) = line.char_indices().nth(max) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn on(dependency: &Dependency) -> String {
    match &dependency.relation {
        Some(relation) => format!("m2m {}.{relation}", dependency.entity),
        None => format!("row {}", dependency.entity),
    }
}

fn exact(map: &[Origin]) -> ArgSet {
    map.iter()
        .enumerate()
        .filter(|(_, origin)| **origin != Origin::Any)
        .fold(ArgSet::EMPTY, |args, (arg, _)| args.with(arg))
}

fn exact_edge(map: &[EdgeOrigin]) -> ArgSet {
    map.iter()
        .enumerate()
        .filter(|(_, origin)| **origin != EdgeOrigin::Any)
        .fold(ArgSet::EMPTY, |args, (arg, _)| args.with(arg))
}

fn matched(cache: &Cache, event: &Event<'_>, stale: &Stale<'_>) -> RuleVerdict {
    let mut notes: Vec<String> = Vec::new();
    if !stale.unknown_columns.is_empty() {
        let mut columns: Vec<String> = stale.unknown_columns.iter().map(|path| path.join(".")).collect();
        columns.sort_unstable();
        columns.dedup();
        let who = if event.filled { "Debezium" } else { "the event" };
        notes.push(format!("widened: {who} does not say what {} was or is", columns.join(", ")));
    }
    if stale.unknown_condition {
        notes.push("the condition needs a column that the event does not carry, and counts as true".to_owned());
    }
    if stale.too_many {
        notes.push("widened: too many values in one event".to_owned());
    }
    RuleVerdict::Matched { key_sets: stale.sets.iter().map(|set| show_set(cache, set)).collect(), notes }
}

fn skipped(dependency: &Dependency, event: &Event<'_>, clause: Clause) -> RuleVerdict {
    let (clause, why) = match clause {
        Clause::Ops => {
            let ops: Vec<_> = dependency.ops.iter().map(|op| op.name()).collect();
            ("ops", format!("{} is not one of {}", event.op.name(), ops.join(", ")))
        }
        Clause::Changed => ("changed", format!("none of {} changed", dependency.changed.join(", "))),
        Clause::When => {
            ("when", format!("`{}` is false", dependency.when.as_ref().map_or("", |condition| condition.source())))
        }
        Clause::Nulls => ("nulls", "a mapped column is null, or a list without elements".to_owned()),
    };
    RuleVerdict::Skipped { clause, why }
}

fn show_set(cache: &Cache, set: &KeySet<'_>) -> String {
    let args = cache.scheme.args().iter().enumerate();
    let shown: Vec<String> =
        args.map(|(arg, name)| format!("{name}={}", set.get(arg).map_or_else(|| "*".to_owned(), show))).collect();
    if shown.is_empty() { "its only entry".to_owned() } else { shown.join(" ") }
}

fn describe(change: &Change<'_>) -> String {
    match change {
        Change::Event(event) => {
            let relation = event.relation.as_ref().map(|relation| format!(".{}", relation.name)).unwrap_or_default();
            format!("{} {}{relation}{}", event.op.name(), event.entity, columns(&event.key))
        }
        Change::Command(command) => match &command.what {
            Invalidate::Cache { cache, args } => format!("invalidate cache {cache}{}", columns(args)),
            Invalidate::Key(key) => format!("invalidate key {key}"),
            Invalidate::Prefix(prefix) => format!("invalidate prefix {prefix}"),
            Invalidate::Tag(tag) => format!("invalidate tag {tag}"),
        },
    }
}

fn columns(row: &Row<'_>) -> String {
    row.0.iter().map(|(name, value)| format!(" {name}={}", show(value))).collect()
}
