//! Shows how everything is: sources, targets, caches, and entities that no rule is on.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use quash_worker::text::{ago, thousands, time};

use super::{Answer, Frame, link, number, page as rendered, since};
use crate::desk::Desk;
use crate::overview::{Overview, SourceSeen, TargetSeen};
use crate::params::Params;
use crate::token::Who;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    version: &'static str,
    worker: String,
    reload_refused: Option<(String, String)>,
    sources: Vec<SourceShown>,
    targets: Vec<TargetShown>,
    caches: Vec<[String; 3]>,
}

struct SourceShown {
    name: String,
    where_it_is: String,
    state: &'static str,
    is_well: bool,
    /// What it is called, and how much.
    figures: Vec<(&'static str, String)>,
    letters: String,
    letters_link: String,
    has_letters: bool,
    oldest: String,
    unanswered: Vec<String>,
    unmatched: Vec<(String, Option<String>)>,
}

struct TargetShown {
    name: String,
    kind: &'static str,
    state: String,
    /// How it is shown.
    class: &'static str,
    error: Option<String>,
    removed: String,
    restarts: String,
}

pub(crate) async fn page(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&[])?;
    let overview = Overview::of(&desk).await;
    let worker = match &overview.worker {
        Some(worker) if worker.draining => {
            format!("worker {}, which stops", worker.name.as_deref().unwrap_or("without a source"))
        }
        Some(worker) => format!("worker {}", worker.name.as_deref().unwrap_or("without a source")),
        None => "no worker runs in this process: what only a worker knows is unknown here".to_owned(),
    };
    let refused = overview.worker.as_ref().and_then(|worker| worker.reload_refused.as_ref());
    Ok(rendered(&OverviewPage {
        frame: Frame::of("Overview", Some(&who)),
        version: overview.version,
        worker,
        reload_refused: refused.map(|refused| (time(refused.at_ms), refused.error.clone())),
        sources: overview.sources.iter().map(SourceShown::of).collect(),
        targets: overview.targets.iter().map(TargetShown::of).collect(),
        caches: overview
            .caches
            .iter()
            .map(|cache| [cache.name.clone(), number(cache.matches), number(cache.widened)])
            .collect(),
    }))
}

impl SourceShown {
    fn of(seen: &SourceSeen) -> Self {
        let state = match (seen.connected, seen.unanswered.is_empty()) {
            (Some(true), _) => "connected",
            (Some(false), _) => "not connected",
            (None, true) => "answers",
            (None, false) => "does not answer",
        };
        let mut figures = vec![
            ("ready", number(seen.ready)),
            ("unsettled", number(seen.unsettled)),
            ("in flight here", number(seen.in_flight)),
            ("parked", number(seen.parked)),
        ];
        let outcomes = seen.outcomes.iter().flatten();
        figures.extend(outcomes.map(|(outcome, messages)| (*outcome, thousands(*messages))));
        let address = seen.address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
        let unmatched = seen.unmatched.iter().flatten();
        Self {
            name: seen.name.clone(),
            where_it_is: format!("{}{address}", seen.kind),
            state,
            is_well: matches!(state, "connected" | "answers"),
            figures,
            letters: number(seen.dead_letters),
            letters_link: link("/groups", &[("source", &seen.name)]),
            has_letters: seen.dead_letters != Some(0),
            oldest: since(seen.oldest_letter_age_ms),
            unanswered: seen.unanswered.clone(),
            unmatched: unmatched.map(|unmatched| (unmatched.entity.clone(), unmatched.meant.clone())).collect(),
        }
    }
}

impl TargetShown {
    fn of(seen: &TargetSeen) -> Self {
        let away = seen.away_ms.map(|ms| ago(i64::try_from(ms).unwrap_or(i64::MAX)));
        Self {
            name: seen.name.clone(),
            kind: seen.kind,
            state: match (seen.reachable, away) {
                (_, Some(away)) => format!("away since {away} ago"),
                (Some(_), None) => "reachable".to_owned(),
                (None, None) => "unknown".to_owned(),
            },
            class: match seen.reachable {
                Some(true) => "good",
                Some(false) => "bad",
                None => "dim",
            },
            error: seen.error.clone(),
            removed: number(seen.keys_removed),
            restarts: number(seen.restarts),
        }
    }
}
