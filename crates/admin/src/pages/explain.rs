//! Shows what an event would invalidate and why, and which caches write a key.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use quash_core::event::Format;
use quash_core::explain::{ExplainedChange, RuleVerdict};
use quash_core::key::Reach;
use quash_core::resolve::Resolver;
use quash_worker::claims::{Claim, Role};
use quash_worker::text::shell_quote;

use super::{Answer, Frame, page};
use crate::desk::Desk;
use crate::explanation::{Explained, KeyExplained};
use crate::params::Params;
use crate::refusal::Refusal;
use crate::token::Who;

/// How much of a long list is shown.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    event: String,
    format: &'static str,
    formats: Vec<&'static str>,
    key: String,
    explained: Option<ExplainedShown>,
    targets: Vec<TargetKey>,
    command: Option<String>,
}

/// An explanation, in words.
pub(super) struct ExplainedShown {
    /// Why the message becomes a dead letter before any rule sees it.
    pub(super) refused: Option<String>,
    pub(super) changes: Vec<ChangeShown>,
    pub(super) more: usize,
}

pub(super) struct ChangeShown {
    pub(super) change: String,
    pub(super) refused: Option<String>,
    pub(super) rules: Vec<RuleShown>,
    pub(super) caches: Vec<CacheShown>,
    /// What a direct command asks for.
    pub(super) command: Vec<[String; 3]>,
    /// That no rule is on the entity, and which one may be meant.
    pub(super) unknown: Option<String>,
    pub(super) is_nothing: bool,
}

pub(super) struct RuleShown {
    pub(super) mark: &'static str,
    pub(super) cache: String,
    pub(super) on: String,
    pub(super) what: String,
    pub(super) notes: Vec<String>,
}

pub(super) struct CacheShown {
    pub(super) cache: String,
    pub(super) through: String,
    pub(super) notes: Vec<String>,
    /// The target, the action, and the key.
    pub(super) actions: Vec<[String; 3]>,
    pub(super) more: usize,
}

struct TargetKey {
    target: String,
    claims: Vec<(String, Vec<String>)>,
    none: Option<String>,
}

/// A key can be linked to; an event is sent.
pub(crate) async fn form(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&["key"])?;
    Ok(page(&explain(&desk, &who, &params)?))
}

pub(crate) async fn explained(State(desk): State<Arc<Desk>>, who: Who, body: Bytes) -> Answer {
    let params = Params::read(&body);
    params.only(&["key", "event", "format"])?;
    Ok(page(&explain(&desk, &who, &params)?))
}

fn explain(desk: &Desk, who: &Who, params: &Params) -> Result<ExplainPage, Refusal> {
    let named = params.get("format").unwrap_or(Format::Auto.name());
    let format = Format::ALL.into_iter().find(|format| format.name() == named);
    let format = format.ok_or_else(|| Refusal::wrong(format!("there is no format `{named}`")))?;
    let event = params.get("event");
    let key = params.get("key");
    let known = key.map(|key| KeyExplained::of(desk, key));
    let command = key.map(|key| format!("quash explain {}", shell_quote(key)));
    Ok(ExplainPage {
        frame: Frame::of("Explain", Some(who)),
        event: event.unwrap_or_default().to_owned(),
        format: format.name(),
        formats: Format::ALL.map(Format::name).to_vec(),
        key: key.unwrap_or_default().to_owned(),
        explained: event.map(|event| ExplainedShown::of(desk, &Explained::event(desk, event.as_bytes(), format))),
        targets: known.into_iter().flat_map(|known| known.targets).map(TargetKey::of).collect(),
        command: command.or_else(|| event.map(|_| format!("quash explain --format {} --event FILE", format.name()))),
    })
}

impl ExplainedShown {
    pub(super) fn of(desk: &Desk, explained: &Explained) -> Self {
        match explained {
            Explained::Refused { refused, error } => {
                Self { refused: Some(format!("reason {refused}: {error}")), changes: Vec::new(), more: 0 }
            }
            Explained::Asks(explanation) => Self {
                refused: None,
                more: explanation.changes.len().saturating_sub(SHOWN),
                changes: explanation
                    .changes
                    .iter()
                    .take(SHOWN)
                    .map(|change| ChangeShown::of(&desk.rules(), change))
                    .collect(),
            },
        }
    }
}

impl ChangeShown {
    fn of(rules: &Resolver, change: &ExplainedChange) -> Self {
        let row = |action: &quash_core::explain::PlannedAction| {
            let star = if action.action.ends_with("_prefix") { "*" } else { "" };
            [action.target.clone(), action.action.to_owned(), format!("{}{star}", action.object)]
        };
        let caches = change.caches.iter().take(SHOWN).map(|cache| {
            let mut how: Vec<String> = cache.reach.iter().map(Reach::in_words).collect();
            how.dedup();
            let through = if cache.through.is_empty() {
                String::new()
            } else {
                format!("because of {}, ", cache.through.join(", "))
            };
            CacheShown {
                cache: cache.cache.clone(),
                through: format!("{through}{}", how.join("; ")),
                notes: cache.notes.clone(),
                actions: cache.actions.iter().take(SHOWN).map(row).collect(),
                more: cache.actions.len().saturating_sub(SHOWN),
            }
        });
        Self {
            change: change.change.clone(),
            refused: change.refused.clone(),
            rules: change.rules.iter().take(SHOWN).map(RuleShown::of).collect(),
            caches: caches.collect(),
            command: change.command.iter().take(SHOWN).map(row).collect(),
            unknown: unknown(rules, change),
            is_nothing: change.caches.is_empty() && change.command.is_empty() && change.refused.is_none(),
        }
    }
}

/// What to look at where no rule is on the entity. It stands second in what a change is called.
fn unknown(rules: &Resolver, change: &ExplainedChange) -> Option<String> {
    let entity = change.change.split(' ').nth(1).filter(|_| change.rules.is_empty() && change.command.is_empty())?;
    let meant = rules.meant_by(entity).filter(|meant| *meant != entity);
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    Some(format!("no rule is on {entity}{meant}"))
}

impl RuleShown {
    fn of(rule: &quash_core::explain::ExplainedRule) -> Self {
        let (mark, what, notes) = match &rule.verdict {
            RuleVerdict::Matched { key_sets, notes } => ("matched", key_sets.join("; "), notes.clone()),
            RuleVerdict::Skipped { clause, why } => ("skipped", format!("{clause}: {why}"), Vec::new()),
            RuleVerdict::Failed { error } => ("failed", error.clone(), Vec::new()),
        };
        Self { mark, cache: rule.cache.clone(), on: rule.on.clone(), what, notes }
    }
}

impl TargetKey {
    fn of(known: quash_worker::claims::Known) -> Self {
        let none = match (known.caches.is_empty(), known.untold.as_slice()) {
            (false, _) => None,
            (true, []) => Some("no declared cache writes such a key".to_owned()),
            (true, untold) => Some(format!(
                "no declared cache is known to write such a key; it may be one of {}, whose keys look like any",
                untold.join(", ")
            )),
        };
        Self { target: known.target, claims: known.caches.iter().map(claimed).collect(), none }
    }
}

/// What a cache has to do with the key, and the keys that it writes in its place.
fn claimed(claim: &Claim) -> (String, Vec<String>) {
    let (cache, pattern) = (&claim.cache, &claim.pattern);
    let what = match (claim.role, claim.shared, claim.writes.is_empty()) {
        (Role::Tag, _, true) => format!("it is a tag of cache {cache} ({pattern})"),
        (Role::Entry, false, true) => format!("it is an entry of cache {cache} ({pattern})"),
        (Role::Entry, true, true) => {
            format!("it may be an entry of cache {cache} ({pattern}), or of others of its library")
        }
        (Role::Tag, _, false) => format!("it would be a tag of cache {cache}, which writes:"),
        (Role::Entry, _, false) => format!("it would be an entry of cache {cache}, which writes:"),
    };
    (what, claim.writes.iter().map(|written| written.key.clone()).collect())
}
