//! Tells which caches write a key, what is under it, and where the same entry is if not there.

use std::time::Duration;

use quash_config::Finding;
use quash_config::Span;
use quash_core::action::GUARD;
use quash_core::key::entries::exactly;
use quash_core::location::Location;
use quash_core::resolve::Resolver;
use quash_core::rule::freshness::{Freshness, Layout};
use quash_store::{Described, KeyPattern, Stands, Store, StoreError, starts};

use super::hint::SURVEY_MAX;
use super::live;
use super::story::rendered;
use crate::absence::{self, Seen, Whose, is_of_another, mismatch, whose};
use crate::output::{self, Paint, Screen, escape_for_terminal};
use crate::{CliError, Exit, Global, Output, screen};
use quash_dispatch::config::Config;
use quash_worker::claims::{Claim, Known, Role};

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
    let locations = resolver.locations();
    let mut targets = Vec::new();
    for (name, target) in &config.targets {
        let mut known = Known::of(key, name, &locations);
        if live {
            let store = live::store(name, target)?;
            let prefixes = resolver.prefixes_on(name);
            look(&mut known, &*store, key, &prefixes, &locations).await.map_err(|error| live::failed(name, &error))?;
        }
        targets.push(known);
    }
    match global.output {
        Output::Json => output::print_json(&serde_json::json!({ "key": key, "targets": targets }))?,
        Output::Text => screen::print(&tell(key, &targets, Screen::stdout().paint))?,
    }
    Ok(Exit::Done)
}

/// Asks the target for the key and for what is written in its place; where none of them exists, looks further.
async fn look(
    known: &mut Known,
    store: &dyn Store,
    key: &str,
    prefixes: &[Box<str>],
    locations: &[Location],
) -> Result<(), StoreError> {
    let mut written: Vec<_> = known.caches.iter_mut().flat_map(|claim| &mut claim.writes).collect();
    let keys: Vec<&str> = std::iter::once(key).chain(written.iter().map(|written| written.key.as_str())).collect();
    let mut described = store.ask()?.describe(&keys).await?.into_iter();
    let there = described.next().flatten();
    let exists = there.is_some();
    written.iter_mut().zip(described).for_each(|(written, there)| written.there = Some(there));
    let elsewhere = written.iter().any(|written| matches!(written.there, Some(Some(_))));
    let foreign = foreign(known, there.as_ref(), locations);
    known.there = Some(there);
    let guarded = |claim: &Claim| locations[claim.location].layout == Layout::Plain && claim.role == Role::Entry;
    if known.caches.iter().any(guarded) {
        let guard = format!("{key}{GUARD}");
        known.guard = Some(store.ask()?.describe(&[&guard]).await?.pop().flatten());
    }
    if exists {
        let strangers = known.caches.iter().filter(|claim| is_misspelt(claim));
        known.hints = strangers.map(|claim| misspelt(claim, key, &locations[claim.location])).chain(foreign).collect();
    } else if !elsewhere {
        known.hints = search(known, store, key, prefixes, locations).await?;
    }
    Ok(())
}

/// That readers of a framed cache do not know what to do with a value.
fn foreign(known: &Known, there: Option<&Described>, locations: &[Location]) -> Option<Finding> {
    let framed = |claim: &&Claim| {
        let location = &locations[claim.location];
        let is_framed = location.freshness != Freshness::None && location.layout == Layout::Framed;
        is_framed && claim.role == Role::Entry && claim.writes.is_empty()
    };
    let cache = &known.caches.iter().find(framed).filter(|_| there.is_some_and(is_foreign))?.cache;
    let what = format!("it is foreign, in no frame: readers of cache {cache} load, and store nothing");
    let mend = "let nobody write beside them, or say `foreign: accept` until the last who does is gone";
    Some(Finding::warning(what, mend))
}

fn is_foreign(there: &Described) -> bool {
    there.stands == Some(Stands::Foreign)
}

async fn search(
    on: &Known,
    store: &dyn Store,
    key: &str,
    prefixes: &[Box<str>],
    locations: &[Location],
) -> Result<Vec<Finding>, StoreError> {
    let (prefix, logical) = split(on, key, prefixes);
    let Some(exact) = exactly(logical) else { return Ok(Vec::new()) };
    let location = on.caches.first().map(|claim| &locations[claim.location]);
    let known = location.map_or(prefixes, |location| &location.prefixes).to_vec();
    let whose = location.map_or(Whose::Target(&on.target), whose);
    let cache = location.into_iter().flat_map(absence::patterns);
    let patterns: Vec<_> =
        std::iter::once(KeyPattern { logical: exact, prefixes: known.clone() }).chain(cache).collect();
    let survey = match absence::survey(store, &patterns, SURVEY_MAX).await {
        Ok(survey) => survey,
        Err(StoreError::Refused(why)) => return Ok(vec![absence::unanswered(&why)]),
        Err(error) => return Err(error),
    };
    let Some((twin, cached)) = survey.counts.split_first() else { return Ok(Vec::new()) };
    let strange = |other: &String| location.is_none_or(|location| !is_of_another(location, other, locations));
    let twins: Vec<Finding> = twin
        .elsewhere
        .keys()
        .filter(|other| *other != prefix && strange(other))
        .map(|other| found(other, logical, &known, whose))
        .collect();
    let seen = location.map(|location| Seen::of(location, cached, &survey, locations).finding());
    Ok(if twins.is_empty() { seen.into_iter().collect() } else { twins })
}

/// The key as its prefix and the logical key.
fn split<'k>(known: &Known, key: &'k str, prefixes: &[Box<str>]) -> (&'k str, &'k str) {
    let claimed = known.caches.first().map(|claim| claim.prefix.len());
    let configured = || prefixes.iter().filter(|prefix| key.starts_with(&***prefix)).map(|prefix| prefix.len()).max();
    let django = || starts(key.as_bytes()).get(1).copied();
    let cut = claimed.or_else(|| configured().filter(|length| *length > 0)).or_else(django).unwrap_or(0);
    key.split_at_checked(cut).unwrap_or(("", key))
}

fn found(other: &str, logical: &str, known: &[Box<str>], whose: Whose<'_>) -> Finding {
    let (why, mend) = mismatch(known, other, whose);
    Finding::warning(format!("`{other}{logical}` is there: {why}"), mend)
}

/// Whether the application writes the entry behind something else than is configured.
fn is_misspelt(claim: &Claim) -> bool {
    !claim.writes.is_empty() && claim.writes.iter().all(|written| !matches!(written.there, Some(Some(_))))
}

fn misspelt(claim: &Claim, key: &str, location: &Location) -> Finding {
    let (why, mend) = mismatch(&location.prefixes, &claim.prefix, whose(location));
    let written = claim.writes.iter().map(|written| format!("`{}`", written.key)).collect::<Vec<_>>().join(" and ");
    let what = format!("cache {} removes {written}, not `{key}`: {why}", claim.cache);
    Finding::warning(what, mend)
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
        out.extend(known.caches.iter().map(|claim| tell_claim(claim, paint)));
        out.extend(known.hints.iter().map(|hint| rendered(hint, "  ", paint)));
    }
    out
}

fn tell_claim(claim: &Claim, paint: Paint) -> String {
    let (cache, pattern) = (paint.bold(&escape_for_terminal(&claim.cache)).into_owned(), &claim.pattern);
    let pattern = escape_for_terminal(pattern).replace(&"[0-9a-f]".repeat(32), "[0-9a-f]{32}");
    let what = match (claim.role, claim.shared, claim.writes.is_empty()) {
        (Role::Tag, _, true) => format!("is a tag of cache {cache} ({pattern})"),
        (Role::Entry, false, true) => format!("is an entry of cache {cache} ({pattern})"),
        (Role::Entry, true, true) => {
            format!("may be an entry of cache {cache} ({pattern}), or of others of its library")
        }
        (Role::Tag, _, false) => format!("would be a tag of cache {cache}, which writes:"),
        (Role::Entry, _, false) => format!("would be an entry of cache {cache}, which writes:"),
    };
    let mut out = format!("  {} {what}\n", if claim.writes.is_empty() { paint.green("✓") } else { paint.dim("–") });
    for written in &claim.writes {
        let there = written.there.as_ref().map(|there| format!("  {}", there_is(there.as_ref(), paint)));
        out += &format!("      {}{}\n", escape_for_terminal(&written.key), there.unwrap_or_default());
    }
    out
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
