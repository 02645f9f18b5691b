//! Shows dead letters: by cause, as a list, and one by one.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use quash_delivery::record::Reason;
use quash_worker::dead_letter::groups::Group;
use quash_worker::dead_letter::{About, Letter};
use quash_worker::text::{ago, shell_quote, thousands, time};

use super::explain::ExplainedShown;
use super::{Answer, Frame, Worth, known, letter_link, link, page, since};
use crate::api::{SnapshotSeen, grouped, looks};
use crate::clock::now_ms;
use crate::desk::Desk;
use crate::explanation::Explained;
use crate::letter::{PayloadShown, find};
use crate::list::{Order, neighbours};
use crate::params::Params;
use crate::shelf::{Letters, Outline, Wish};
use crate::source::Source;
use crate::token::Who;

/// Groups of one source that are shown, the biggest first.
const GROUPS_MAX: usize = 200;
/// Words that are suggested for the filter.
const WORDS_MAX: usize = 100;

/// What the filter's box needs.
pub(super) struct Search {
    action: &'static str,
    source: String,
    filter: String,
    /// What may stand there next.
    words: Vec<String>,
    /// The order of the list, where there is one.
    order: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "groups.html")]
struct GroupsPage {
    frame: Frame,
    search: Search,
    sources: Vec<GroupsShown>,
}

struct GroupsShown {
    worth: Worth,
    refresh: String,
    groups: Vec<GroupShown>,
    /// How many groups are not shown.
    more: usize,
    export: String,
}

struct GroupShown {
    count: String,
    title: String,
    error: String,
    ages: String,
    cure: Option<&'static str>,
    list: String,
    example: String,
    replay: String,
    discard: String,
    command: String,
}

pub(crate) async fn groups(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&["source", "filter", "fresh"])?;
    let (filter, now_ms) = (params.filter()?, now_ms());
    let looks = looks(&desk, &params).await?;
    let text = params.get("filter").unwrap_or_default();
    let words = words(&desk, looks.iter().filter_map(|(_, look)| look.known.as_deref()));
    let sources = looks.iter().map(|(source, look)| {
        let seen = SnapshotSeen::of(source, look, now_ms);
        let groups = look.known.as_deref().map(|known| grouped(known, &filter, now_ms)).unwrap_or_default();
        let hides = source.transport.dead_letters().hides_while_looking();
        GroupsShown {
            worth: Worth::of(&seen, hides, now_ms),
            refresh: link(
                "/groups",
                &[("source", params.get("source").unwrap_or_default()), ("filter", text), ("fresh", "1")],
            ),
            more: groups.len().saturating_sub(GROUPS_MAX),
            groups: groups.iter().take(GROUPS_MAX).map(|group| GroupShown::of(&desk, source, group, now_ms)).collect(),
            export: link("/api/v1/export", &[("source", &source.name), ("filter", text)]),
        }
    });
    let sources = sources.collect();
    let source = params.get("source").unwrap_or_default().to_owned();
    let search = Search { action: "/groups", source, filter: text.to_owned(), words, order: None };
    Ok(page(&GroupsPage { frame: Frame::of("Dead letters by cause", Some(&who)), search, sources }))
}

impl GroupShown {
    fn of(desk: &Desk, source: &Source, group: &Group, now_ms: i64) -> Self {
        let filter = group.cause.filter();
        let query = [("source", source.name.as_str()), ("filter", filter.as_str())];
        let since = |ms: i64| ago(now_ms.saturating_sub(ms));
        Self {
            count: thousands(group.count),
            title: group.cause.title(),
            error: group.cause.error.clone().unwrap_or_else(|| "no error is known".to_owned()),
            ages: match (group.oldest_ms, group.newest_ms) {
                (Some(oldest), Some(newest)) => format!("first {} ago, last {} ago", since(oldest), since(newest)),
                _ => "nobody knows since when".to_owned(),
            },
            cure: group.cause.cure(),
            list: link("/letters", &query),
            example: letter_link(&source.name, &group.example.0, &[("filter", &filter)]),
            replay: link("/replay", &query),
            discard: link("/discard", &query),
            command: format!("quash dlq replay{} --filter {}", desk.hint(&source.name), shell_quote(&filter)),
        }
    }
}

/// What may stand in a filter: reasons, and the names that rules and letters have.
fn words<'l>(desk: &Desk, letters: impl Iterator<Item = &'l Letters>) -> Vec<String> {
    let reasons = Reason::ALL.into_iter().map(|reason| format!("reason:{}", reason.name()));
    let rules = desk.rules();
    let caches = rules.caches().iter().map(|name| format!("cache:{name}"));
    let targets = desk.targets().into_iter().map(|(target, _)| format!("target:{}", target.name));
    let plain = |name: &&str| {
        !name.is_empty()
            && name.len() < 80
            && name.chars().all(|letter| letter.is_alphanumeric() || "._/-".contains(letter))
    };
    let mut entities: Vec<String> = letters
        .flat_map(|letters| &letters.outlines)
        .filter_map(|outline| outline.letter.about.entity.as_deref())
        .filter(plain)
        .map(|entity| format!("entity:{entity}"))
        .collect();
    entities.sort_unstable();
    entities.dedup();
    let fields =
        ["error:", "age:<1h", "age:>1d", "attempts:>3", "replays:>0", "id:", "source:", "worker:"].map(str::to_owned);
    reasons.chain(caches).chain(targets).chain(fields).chain(entities).take(WORDS_MAX).collect()
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    search: Search,
    worth: Worth,
    refresh: String,
    matched: Option<String>,
    rows: Vec<Row>,
    next: Option<String>,
    other_order: (&'static str, String),
    replay: String,
    discard: String,
    export: String,
    command: String,
}

/// A letter in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) link: String,
    pub(super) age: String,
    pub(super) reason: String,
    pub(super) entity: String,
    pub(super) cache: String,
    pub(super) target: String,
    pub(super) attempts: String,
    pub(super) replays: u32,
    pub(super) error: String,
}

pub(crate) async fn list(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&["source", "filter", "order", "after", "limit", "fresh"])?;
    let (wanted, source, now_ms) = (params.wanted()?, desk.source(params.get("source"))?, now_ms());
    let look = source.shelf.look(if params.is_set("fresh") { Wish::Fresh } else { Wish::Soon }).await;
    let seen = SnapshotSeen::of(source, &look, now_ms);
    let known = look.known.as_deref();
    let picked = known.map(|known| wanted.of(known, now_ms));
    let text = params.get("filter").unwrap_or_default();
    let here = |order: &str, after: &str, fresh: &str| {
        let limit = params.get("limit").unwrap_or_default();
        link(
            "/letters",
            &[
                ("source", &source.name),
                ("filter", text),
                ("order", order),
                ("limit", limit),
                ("after", after),
                ("fresh", fresh),
            ],
        )
    };
    let order = wanted.order.name();
    let meant = [("source", source.name.as_str()), ("filter", text), ("all", if text.is_empty() { "1" } else { "" })];
    let rows = picked.iter().flat_map(|page| &page.letters);
    Ok(page(&ListPage {
        frame: Frame::of(format!("Dead letters of {}", source.name), Some(&who)),
        search: Search {
            action: "/letters",
            source: source.name.clone(),
            filter: text.to_owned(),
            words: words(&desk, known.into_iter()),
            order: Some(order),
        },
        worth: Worth::of(&seen, source.transport.dead_letters().hides_while_looking(), now_ms),
        refresh: here(order, "", "1"),
        matched: picked.as_ref().map(|page| thousands(page.matched as u64)),
        rows: rows.map(|outline| Row::of(source, outline, text, order, now_ms)).collect(),
        next: picked.as_ref().and_then(|page| page.next).map(|next| here(order, next, "")),
        other_order: match wanted.order {
            Order::Newest => ("oldest first", here("oldest", "", "")),
            Order::Oldest => ("newest first", here("newest", "", "")),
        },
        replay: link("/replay", &meant),
        discard: link("/discard", &meant),
        export: link("/api/v1/export", &[("source", &source.name), ("filter", text)]),
        command: command(&desk, source, "ls", text),
    }))
}

fn command(desk: &Desk, source: &Source, verb: &str, filter: &str) -> String {
    let filter = if filter.is_empty() { String::new() } else { format!(" --filter {}", shell_quote(filter)) };
    format!("quash dlq {verb}{}{filter}", desk.hint(&source.name))
}

impl Row {
    pub(super) fn of(source: &Source, outline: &Outline, filter: &str, order: &str, now_ms: i64) -> Self {
        let Letter { id, about, .. } = &outline.letter;
        Self {
            id: id.0.clone(),
            link: letter_link(&source.name, &id.0, &[("filter", filter), ("order", order)]),
            age: since(outline.letter.age_ms(now_ms)),
            reason: known(about.reason.as_deref()),
            entity: known(about.entity.as_deref()),
            cache: known(about.cache.as_deref()),
            target: known(about.target.as_deref()),
            attempts: about.attempts_made.map_or_else(|| "-".to_owned(), |made| thousands(made.into())),
            replays: about.replays,
            error: known(about.error.as_deref()),
        }
    }
}

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    frame: Frame,
    title: String,
    error: String,
    facts: Vec<(&'static str, String)>,
    note: Option<String>,
    advice: Option<&'static str>,
    attempts: Vec<[String; 3]>,
    earlier_attempts: u64,
    trace: Vec<String>,
    headers: Vec<(String, String)>,
    payload: Option<PayloadShown>,
    payload_bytes: String,
    explained: Option<ExplainedShown>,
    previous: Option<String>,
    next: Option<String>,
    back: String,
    replay: String,
    discard: String,
    command: String,
}

pub(crate) async fn letter(
    State(desk): State<Arc<Desk>>,
    who: Who,
    Path((source, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    params.only(&["filter", "order"])?;
    let (wanted, source, now_ms) = (params.wanted()?, desk.source(Some(&source))?, now_ms());
    let letter = find(source, &id).await?;
    let look = source.shelf.look(Wish::Glimpse).await;
    let (previous, next) =
        look.known.as_deref().map(|known| neighbours(known, &wanted, &id, now_ms)).unwrap_or_default();
    let (text, order) = (params.get("filter").unwrap_or_default(), wanted.order.name());
    let query = [("filter", text), ("order", order)];
    let near = |id: Option<&str>| id.map(|id| letter_link(&source.name, id, &query));
    let (previous, next) = (near(previous), near(next));
    let explained = who.sees_payloads.then(|| Explained::letter(&desk, &letter, source.format));
    let headers = letter.more_headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let one = [("source", source.name.as_str()), ("id", id.as_str())];
    let about = &letter.about;
    let kept = about.attempts.len() as u64;
    Ok(page(&LetterPage {
        frame: Frame::of(format!("Dead letter {id}"), Some(&who)),
        title: title(about),
        error: about.error.clone().unwrap_or_else(|| "no error is known".to_owned()),
        facts: facts(&letter, now_ms),
        note: about.legibility.note(),
        advice: about.advice(),
        attempts: attempts(about),
        earlier_attempts: about.attempts_made.map_or(0, |made| u64::from(made).saturating_sub(kept)),
        trace: about.trace.clone(),
        headers: if who.sees_payloads { headers } else { Vec::new() },
        payload: who.sees_payloads.then(|| PayloadShown::of(&letter.message.payload)),
        payload_bytes: thousands(letter.message.payload.len() as u64),
        explained: explained.as_ref().map(|explained| ExplainedShown::of(&desk, explained)),
        previous,
        next,
        back: link("/letters", &[("source", &source.name), query[0], query[1]]),
        replay: link("/replay", &one),
        discard: link("/discard", &one),
        command: format!("quash dlq show{} {}", desk.hint(&source.name), shell_quote(&id)),
    }))
}

fn title(about: &About) -> String {
    let target = about.target.as_deref().map_or_else(String::new, |target| format!(" on {target}"));
    let cache = about.cache.as_deref().map_or_else(String::new, |cache| format!(", cache {cache}"));
    format!("{}{target}{cache}", known(about.reason.as_deref()))
}

fn facts(letter: &Letter, now_ms: i64) -> Vec<(&'static str, String)> {
    let about = &letter.about;
    let when = |ms: Option<i64>| {
        ms.map_or_else(|| "-".to_owned(), |ms| format!("{} ({} ago)", time(ms), ago(now_ms.saturating_sub(ms))))
    };
    vec![
        ("event", format!("{} of {}", known(about.id.as_deref()), known(about.entity.as_deref()))),
        ("received", format!("from {} as {}", known(about.source.as_deref()), known(about.broker_id.as_deref()))),
        ("first failed", when(about.first_failure_ms)),
        ("last failed", when(about.last_failure_ms)),
        ("kept by", format!("{}, quash {}", known(about.worker.as_deref()), known(about.quash.as_deref()))),
        ("replayed", quash_worker::text::count(about.replays.into(), "time", "times")),
    ]
}

/// When, on which target, and the error; each after the first by how long after the one before.
fn attempts(about: &About) -> Vec<[String; 3]> {
    let mut before = None;
    let attempts = about.attempts.iter().map(|attempt| {
        let when = match before.replace(attempt.at_ms) {
            None => time(attempt.at_ms),
            Some(earlier) => format!("+{}", ago(attempt.at_ms.saturating_sub(earlier))),
        };
        [when, known(attempt.target.as_deref()), attempt.error.clone()]
    });
    attempts.collect()
}
