//! Tells which caches write a key, what is under it, and where the same entry is if not there.

use std::time::Duration;

use quash_config::Finding;
use quash_config::Span;
use quash_core::action::GUARD;
use quash_core::glob::Glob;
use quash_core::key::entries::exactly;
use quash_core::resolve::Resolver;
use quash_core::rule::freshness::{Freshness, Layout};
use quash_core::whereabouts::Whereabouts;
use quash_store::{Described, Sought, Stands, Store, StoreError, places};
use serde::Serialize;

use super::hint::SURVEY_MAX;
use super::live;
use super::story::told;
use crate::absence::{self, Seen, Whose, is_of_another, mismatch, whose};
use crate::output::{self, Paint, Screen, escape_for_terminal};
use crate::{CliError, Exit, Global, Output, screen};
use quash_dispatch::config::Config;

/// How many caches are told of one key; the most specific come first.
const CLAIMS_MAX: usize = 8;

/// Tells what a key is on every target.
///
/// # Errors
/// [`CliError::Unreachable`] and [`CliError::Refused`] as a target says, when it is asked.
pub(super) async fn run(
    key: &str,
    live: bool,
    global: &Global,
    config: &Config,
    resolver: &Resolver,
) -> Result<Exit, CliError> {
    if key.is_empty() {
        return Err(CliError::Usage("a key has at least one character".to_owned()));
    }
    let whereabouts = resolver.whereabouts();
    let mut targets = Vec::new();
    for (name, target) in &config.targets {
        let mut known = Known::of(key, name, &whereabouts);
        if live {
            let store = live::store(name, target)?;
            let heads = resolver.heads(name);
            known.look(&*store, key, &heads, &whereabouts).await.map_err(|error| live::failed(name, &error))?;
        }
        targets.push(known);
    }
    match global.output {
        Output::Json => output::print_json(&serde_json::json!({ "key": key, "targets": targets }))?,
        Output::Text => screen::print(&tell(key, &targets, Screen::stdout().paint))?,
    }
    Ok(Exit::Done)
}

/// What is known of a key on one target.
#[derive(Debug, Serialize)]
struct Known {
    target: String,
    /// What is under the key; `null` when nothing is. Left out unless the target was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<Option<Described>>,
    /// What is under its guard, where a cache that writes it keeps leases there; `null` when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<Option<Described>>,
    /// The caches that write such keys, the most specific first.
    caches: Vec<Claim>,
    /// The caches whose keys cannot be told from others: any of them may have written it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untold: Vec<String>,
    /// Why it is not there, and what is.
    hints: Vec<Finding>,
}

/// What a cache has to do with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Claim {
    cache: String,
    role: Role,
    /// What its keys look like.
    pattern: String,
    /// Whether other caches of its library write such keys too.
    shared: bool,
    /// The keys that it writes for the entry that is meant, where that is not the given one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    writes: Vec<Written>,
    /// What stands before the logical key in the given one.
    #[serde(skip)]
    head: String,
    #[serde(skip)]
    place: usize,
}

/// A key in the place of the given one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Written {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<Option<Described>>,
}

/// What a key is to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Entry,
    Tag,
}

impl Known {
    fn of(key: &str, target: &str, whereabouts: &[Whereabouts]) -> Self {
        let here = whereabouts.iter().enumerate().filter(|(_, place)| place.target == target);
        let mut ranked: Vec<_> = here.filter_map(|(index, place)| claim(key, index, place)).collect();
        ranked.sort_by_key(|(literal, claim)| (!claim.writes.is_empty(), claim.shared, std::cmp::Reverse(*literal)));
        // Where a cache writes just this key, no other one is meant.
        let is_meant = ranked.iter().any(|(_, claim)| claim.writes.is_empty());
        let meant = ranked.into_iter().map(|(_, claim)| claim).filter(|claim| !is_meant || claim.writes.is_empty());
        let caches = meant.take(CLAIMS_MAX).collect();
        let untold = whereabouts.iter().filter(|place| place.target == target && place.entries.keys.is_empty());
        let untold = untold.map(|place| place.cache.clone()).collect();
        Self { target: target.to_owned(), there: None, guard: None, caches, untold, hints: Vec::new() }
    }

    /// Asks the target for the key and for what is written in its place; where none of them exists, looks further.
    async fn look(
        &mut self,
        store: &dyn Store,
        key: &str,
        heads: &[Box<str>],
        whereabouts: &[Whereabouts],
    ) -> Result<(), StoreError> {
        let mut written: Vec<_> = self.caches.iter_mut().flat_map(|claim| &mut claim.writes).collect();
        let keys: Vec<&str> = std::iter::once(key).chain(written.iter().map(|written| written.key.as_str())).collect();
        let mut described = store.ask()?.describe(&keys).await?.into_iter();
        let there = described.next().flatten();
        let exists = there.is_some();
        written.iter_mut().zip(described).for_each(|(written, there)| written.there = Some(there));
        let elsewhere = written.iter().any(|written| matches!(written.there, Some(Some(_))));
        let foreign = self.foreign(there.as_ref(), whereabouts);
        self.there = Some(there);
        let guarded = |claim: &Claim| whereabouts[claim.place].layout == Layout::Plain && claim.role == Role::Entry;
        if self.caches.iter().any(guarded) {
            let guard = format!("{key}{GUARD}");
            self.guard = Some(store.ask()?.describe(&[&guard]).await?.pop().flatten());
        }
        if exists {
            let strangers = self.caches.iter().filter(|claim| claim.is_misspelt());
            self.hints = strangers.map(|claim| claim.misspelt(key, &whereabouts[claim.place])).chain(foreign).collect();
        } else if !elsewhere {
            self.hints = self.search(store, key, heads, whereabouts).await?;
        }
        Ok(())
    }

    /// That readers of a framed cache do not know what to do with a value.
    fn foreign(&self, there: Option<&Described>, whereabouts: &[Whereabouts]) -> Option<Finding> {
        let framed = |claim: &&Claim| {
            let place = &whereabouts[claim.place];
            let is_framed = place.freshness != Freshness::None && place.layout == Layout::Framed;
            is_framed && claim.role == Role::Entry && claim.writes.is_empty()
        };
        let cache = &self.caches.iter().find(framed).filter(|_| there.is_some_and(is_foreign))?.cache;
        let what = format!("it is foreign, in no frame: readers of cache {cache} load, and store nothing");
        let mend = "let nobody write beside them, or say `foreign: accept` until the last who does is gone";
        Some(Finding::warning(what, mend))
    }

    async fn search(
        &self,
        store: &dyn Store,
        key: &str,
        heads: &[Box<str>],
        whereabouts: &[Whereabouts],
    ) -> Result<Vec<Finding>, StoreError> {
        let (head, logical) = self.split(key, heads);
        let Some(exact) = exactly(logical) else { return Ok(Vec::new()) };
        let place = self.caches.first().map(|claim| &whereabouts[claim.place]);
        let known = place.map_or(heads, |place| &place.heads).to_vec();
        let whose = place.map_or(Whose::Target(&self.target), whose);
        let cache = place.into_iter().flat_map(absence::sought);
        let sought: Vec<_> = std::iter::once(Sought { logical: exact, heads: known.clone() }).chain(cache).collect();
        let survey = match absence::survey(store, &sought, SURVEY_MAX).await {
            Ok(survey) => survey,
            Err(StoreError::Refused(why)) => return Ok(vec![absence::unanswered(&why)]),
            Err(error) => return Err(error),
        };
        let Some((twin, cached)) = survey.sighted.split_first() else { return Ok(Vec::new()) };
        let strange = |other: &String| place.is_none_or(|place| !is_of_another(place, other, whereabouts));
        let twins: Vec<Finding> = twin
            .elsewhere
            .keys()
            .filter(|other| *other != head && strange(other))
            .map(|other| found(other, logical, &known, whose))
            .collect();
        let seen = place.map(|place| Seen::of(place, cached, &survey, whereabouts).finding());
        Ok(if twins.is_empty() { seen.into_iter().collect() } else { twins })
    }

    /// The key as its head and the logical key.
    fn split<'k>(&self, key: &'k str, heads: &[Box<str>]) -> (&'k str, &'k str) {
        let claimed = self.caches.first().map(|claim| claim.head.len());
        let configured = || heads.iter().filter(|head| key.starts_with(&***head)).map(|head| head.len()).max();
        let django = || places(key.as_bytes()).get(1).copied();
        let cut = claimed.or_else(|| configured().filter(|length| *length > 0)).or_else(django).unwrap_or(0);
        key.split_at_checked(cut).unwrap_or(("", key))
    }
}

fn is_foreign(there: &Described) -> bool {
    there.stands == Some(Stands::Foreign)
}

fn found(other: &str, logical: &str, known: &[Box<str>], whose: Whose<'_>) -> Finding {
    let (why, mend) = mismatch(known, other, whose);
    Finding::warning(format!("`{other}{logical}` is there: {why}"), mend)
}

impl Claim {
    /// Whether the application writes the entry behind something else than is configured.
    fn is_misspelt(&self) -> bool {
        !self.writes.is_empty() && self.writes.iter().all(|written| !matches!(written.there, Some(Some(_))))
    }

    fn misspelt(&self, key: &str, place: &Whereabouts) -> Finding {
        let (why, mend) = mismatch(&place.heads, &self.head, whose(place));
        let what = format!("cache {} removes {}, not `{key}`: {why}", self.cache, self.written());
        Finding::warning(what, mend)
    }

    fn written(&self) -> String {
        self.writes.iter().map(|written| format!("`{}`", written.key)).collect::<Vec<_>>().join(" and ")
    }
}

/// What a cache has to do with the key, and how much of the key it spells out.
fn claim(key: &str, index: usize, place: &Whereabouts) -> Option<(usize, Claim)> {
    let roles = [(Role::Entry, &place.entries.keys), (Role::Tag, &place.entries.tags)];
    let patterns = || roles.iter().flat_map(|(role, patterns)| patterns.iter().map(|pattern| (*role, pattern)));
    let configured: Vec<usize> =
        place.heads.iter().filter(|head| key.starts_with(&***head)).map(|head| head.len()).collect();
    let others = places(key.as_bytes());
    let cuts = configured.iter().map(|cut| (*cut, true)).chain(others.iter().map(|cut| (*cut, false)));
    for (cut, is_configured) in cuts {
        let (head, logical) = key.split_at_checked(cut)?;
        let matching =
            patterns().filter_map(|(role, pattern)| matched(logical, pattern).map(|size| (size, role, pattern)));
        let Some((literal, role, pattern)) = matching.max_by_key(|(literal, ..)| *literal) else { continue };
        let written = |head: &str| Written { key: format!("{head}{logical}"), there: None };
        let ours = if is_configured { head } else { place.heads.first().map_or("", |head| head) };
        let claim = Claim {
            cache: place.cache.clone(),
            role,
            pattern: pattern.behind(ours).text().to_owned(),
            shared: place.entries.shared && role == Role::Entry,
            writes: if is_configured { Vec::new() } else { place.heads.iter().map(|head| written(head)).collect() },
            head: head.to_owned(),
            place: index,
        };
        return Some((literal, claim));
    }
    None
}

/// How many bytes a pattern spells out before its first gap, if the key matches it.
fn matched(logical: &str, pattern: &Glob) -> Option<usize> {
    let matcher = pattern.matcher();
    matcher.matches(logical.as_bytes()).then(|| matcher.root().len())
}

fn tell(key: &str, targets: &[Known], paint: Paint) -> String {
    let mut out = format!("{}\n", paint.bold(&escape_for_terminal(key)));
    for known in targets {
        out += &format!("\non target {}\n", escape_for_terminal(&known.target));
        if let Some(there) = &known.there {
            out += &format!("  {}\n", there_is(there.as_ref(), paint));
        }
        if let Some(guard) = &known.guard {
            out += &format!("  its guard: {}\n", there_is(guard.as_ref(), paint));
        }
        if known.caches.is_empty() {
            let none = match known.untold.as_slice() {
                [] => "no declared cache writes such a key".to_owned(),
                untold => format!(
                    "no declared cache is known to write such a key; it may be one of {}, whose keys look like any",
                    escape_for_terminal(&untold.join(", "))
                ),
            };
            out += &format!("  {} {none}\n", paint.yellow("–"));
        }
        out.extend(known.caches.iter().map(|claim| claim.tell(paint)));
        out.extend(known.hints.iter().map(|hint| told(hint, "  ", paint)));
    }
    out
}

impl Claim {
    fn tell(&self, paint: Paint) -> String {
        let (cache, pattern) = (paint.bold(&escape_for_terminal(&self.cache)).into_owned(), &self.pattern);
        let pattern = escape_for_terminal(pattern).replace(&"[0-9a-f]".repeat(32), "[0-9a-f]{32}");
        let what = match (self.role, self.shared, self.writes.is_empty()) {
            (Role::Tag, _, true) => format!("is a tag of cache {cache} ({pattern})"),
            (Role::Entry, false, true) => format!("is an entry of cache {cache} ({pattern})"),
            (Role::Entry, true, true) => {
                format!("may be an entry of cache {cache} ({pattern}), or of others of its library")
            }
            (Role::Tag, _, false) => format!("would be a tag of cache {cache}, which writes:"),
            (Role::Entry, _, false) => format!("would be an entry of cache {cache}, which writes:"),
        };
        let mut out = format!("  {} {what}\n", if self.writes.is_empty() { paint.green("✓") } else { paint.dim("–") });
        for written in &self.writes {
            let there = written.there.as_ref().map(|there| format!("  {}", there_is(there.as_ref(), paint)));
            out += &format!("      {}{}\n", escape_for_terminal(&written.key), there.unwrap_or_default());
        }
        out
    }
}

fn there_is(there: Option<&Described>, paint: Paint) -> String {
    let Some(Described { kind, expires, ttl_ms, stands, .. }) = there else {
        return paint.dim("not there").into_owned();
    };
    let kind = match stands {
        Some(Stands::Value) => ", a value in a frame".to_owned(),
        Some(Stands::Stale) => ", a stale value".to_owned(),
        Some(Stands::Lease) => ", a lease: somebody loads".to_owned(),
        Some(Stands::Hold) => ", a hold: nothing may be stored".to_owned(),
        Some(Stands::Foreign) | None => {
            kind.as_ref().map(|kind| format!(", a {}", escape_for_terminal(kind))).unwrap_or_default()
        }
    };
    let life = match (expires, ttl_ms) {
        (Some(false), _) => ", never expires".to_owned(),
        (_, Some(ms)) => format!(", expires in {}", Span(rounded(*ms))),
        _ => String::new(),
    };
    format!("{}{kind}{life}", paint.green("exists"))
}

/// Whole seconds, where there are any.
const fn rounded(ms: u64) -> Duration {
    if ms < 1000 { Duration::from_millis(ms) } else { Duration::from_secs(ms / 1000) }
}

#[cfg(test)]
mod tests;
