//! Lets operators replay and discard: what is meant, a dry run, and how far it is.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::filter::matches;
use quash_worker::dead_letter::replay::REPLAYS_MAX;
use quash_worker::dead_letter::report::{DiscardReport, ReplayReport};
use quash_worker::text::{count, shell_quote, thousands, time};

use super::letters::Row;
use super::{Answer, Frame, Worth, link, page};
use crate::api::{JOB_PATIENCE, SnapshotSeen, begin, stopped};
use crate::ask::{Ask, UNCONFIRMED_MAX};
use crate::clock::now_ms;
use crate::desk::Desk;
use crate::jobs::{Deed, Job, JobSeen, Report, Stage};
use crate::params::Params;
use crate::shelf::{Letters, Wish};
use crate::source::Source;
use crate::token::Who;

/// Letters that are shown before anything is done with them.
const SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "act.html")]
struct ActPage {
    frame: Frame,
    /// `Replay` or `Discard`.
    verb: &'static str,
    action: &'static str,
    replays: bool,
    source: String,
    filter: String,
    ids: Vec<String>,
    all: bool,
    force: bool,
    rate: String,
    worth: Worth,
    /// How many letters are meant, as far as is known.
    meant: String,
    /// How many of them go in circles, and are left out unless forced.
    circling: usize,
    /// Whether the number has to be typed.
    needs_number: bool,
    unconfirmed_max: u64,
    replays_max: u32,
    rows: Vec<Row>,
    command: String,
}

pub(crate) async fn replay_form(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    form(&desk, &who, &params, Deed::Replay).await
}

pub(crate) async fn discard_form(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    form(&desk, &who, &params, Deed::Discard).await
}

async fn form(desk: &Desk, who: &Who, params: &Params, deed: Deed) -> Answer {
    let ask = Ask::of(params)?;
    let source = desk.source(ask.source.as_deref())?;
    let (choice, now_ms) = (ask.choice(false)?, now_ms());
    let look = source.shelf.look(Wish::Soon).await;
    let known = look.known.as_deref();
    let is_meant = |letter: &Letter| {
        choice.ids.as_ref().is_none_or(|ids| ids.contains(&letter.id)) && matches(&choice.filter, letter, now_ms)
    };
    let outlines = known.map(|known: &Letters| known.outlines.as_slice()).unwrap_or_default();
    let meant: Vec<_> = outlines.iter().filter(|outline| is_meant(&outline.letter)).collect();
    let circling = meant.iter().filter(|outline| outline.letter.about.replays >= REPLAYS_MAX).count();
    let letters = meant.len() as u64;
    let cut = if known.is_some_and(Letters::is_cut) { "at least " } else { "" };
    let (verb, action) = match deed {
        Deed::Replay => ("Replay", "/replay"),
        Deed::Discard => ("Discard", "/discard"),
    };
    Ok(page(&ActPage {
        frame: Frame::of(format!("{verb} dead letters"), Some(who)),
        verb,
        action,
        replays: deed == Deed::Replay,
        source: source.name.clone(),
        meant: match known {
            Some(_) => format!("{cut}{}", count(letters, "letter is meant", "letters are meant")),
            None => "It is not known yet how many letters are meant".to_owned(),
        },
        circling: if deed == Deed::Replay { circling } else { 0 },
        needs_number: deed == Deed::Discard && (letters > UNCONFIRMED_MAX || known.is_none_or(Letters::is_cut)),
        unconfirmed_max: UNCONFIRMED_MAX,
        replays_max: REPLAYS_MAX,
        worth: Worth::of(
            &SnapshotSeen::of(source, &look, now_ms),
            source.transport.dead_letters().hides_while_looking(),
            now_ms,
        ),
        rows: meant.iter().take(SHOWN).map(|outline| Row::of(source, outline, &ask.filter, "newest", now_ms)).collect(),
        command: command(desk, source, deed, &ask),
        filter: ask.filter,
        ids: ask.ids,
        all: ask.all,
        force: ask.force,
        rate: ask.rate.unwrap_or_default(),
    }))
}

/// The same as a command line.
fn command(desk: &Desk, source: &Source, deed: Deed, ask: &Ask) -> String {
    let verb = match deed {
        Deed::Discard if ask.ids.is_empty() && ask.filter.is_empty() => {
            return format!("quash dlq purge{}", desk.hint(&source.name));
        }
        Deed::Replay => "replay",
        Deed::Discard => "discard",
    };
    let ids = ask.ids.iter().map(|id| format!(" {}", shell_quote(id)));
    let filter = (!ask.filter.is_empty()).then(|| format!(" --filter {}", shell_quote(&ask.filter)));
    let all = (ask.ids.is_empty() && ask.filter.is_empty()).then(|| " --all".to_owned());
    let rest: String = ids.chain(filter).chain(all).collect();
    format!("quash dlq {verb}{}{rest}", desk.hint(&source.name))
}

pub(crate) async fn replay(State(desk): State<Arc<Desk>>, who: Who, body: Bytes) -> Answer {
    act(&desk, &who, &body, Deed::Replay).await
}

pub(crate) async fn discard(State(desk): State<Arc<Desk>>, who: Who, body: Bytes) -> Answer {
    act(&desk, &who, &body, Deed::Discard).await
}

async fn act(desk: &Desk, who: &Who, body: &[u8], deed: Deed) -> Answer {
    let job = begin(desk, deed, who, Ask::of(&Params::read(body))?)?;
    job.ended_within(JOB_PATIENCE).await;
    Ok(Redirect::to(&job_link(job.id)).into_response())
}

fn job_link(id: u64) -> String {
    format!("/jobs/{id}")
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    jobs: Vec<JobShown>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobShown,
    rows: Vec<Row>,
    /// What would be asked again without being a dry run.
    again: Option<String>,
}

struct JobShown {
    id: u64,
    link: String,
    title: String,
    stage: &'static str,
    runs: bool,
    is_well: bool,
    who: String,
    begun: String,
    ended: Option<String>,
    error: Option<String>,
    figures: Vec<(&'static str, String)>,
    /// Letters that were left out or are not there.
    skipped: Vec<String>,
    missing: Vec<String>,
    done: u64,
    matched: u64,
    groups: String,
}

pub(crate) async fn jobs(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&[])?;
    let jobs = desk.jobs.all().iter().map(|job| JobShown::of(job)).collect();
    Ok(page(&JobsPage { frame: Frame::of("Replays and removals", Some(&who)), jobs }))
}

pub(crate) async fn job(State(desk): State<Arc<Desk>>, who: Who, Path(id): Path<u64>) -> Answer {
    let job = desk.jobs.get(id)?;
    let shown = JobShown::of(&job);
    let source = desk.source(Some(&job.source))?;
    let now_ms = now_ms();
    let rows = job.sample().iter().map(|outline| Row::of(source, outline, &job.ask.filter, "newest", now_ms)).collect();
    let frame = Frame { again: shown.runs.then_some(2), ..Frame::of(shown.title.clone(), Some(&who)) };
    let again = (job.ask.dry_run && !shown.runs).then(|| again(&job));
    Ok(page(&JobPage { frame, job: shown, rows, again }))
}

pub(crate) async fn stop(State(desk): State<Arc<Desk>>, who: Who, Path(id): Path<u64>) -> Answer {
    let job = stopped(&desk, &who, id)?;
    job.ended_within(JOB_PATIENCE).await;
    Ok(Redirect::to(&job_link(id)).into_response())
}

/// The form of what a dry run tried.
fn again(job: &Job) -> String {
    let path = match job.deed {
        Deed::Replay => "/replay",
        Deed::Discard => "/discard",
    };
    let ask = &job.ask;
    let flag = |set: bool| if set { "1" } else { "" };
    let mut query = vec![
        ("source", job.source.as_str()),
        ("filter", ask.filter.as_str()),
        ("all", flag(ask.all)),
        ("force", flag(ask.force)),
    ];
    query.push(("rate", ask.rate.as_deref().unwrap_or_default()));
    query.extend(ask.ids.iter().map(|id| ("id", id.as_str())));
    link(path, &query)
}

impl JobShown {
    fn of(job: &Job) -> Self {
        let JobSeen { job: id, action, stage, who, asked, begun_ms, ended_ms, looked_at, error, report } = job.seen();
        let verb = match action {
            Deed::Replay => "Replay",
            Deed::Discard => "Removal",
        };
        let dry_run = if asked.dry_run { "Dry run: " } else { "" };
        let mut figures = vec![("looked at", thousands(looked_at))];
        let (done, matched, skipped, missing) = in_words(report, asked.dry_run, &mut figures);
        let names = |ids: Vec<quash_transport::LetterId>| ids.into_iter().map(|id| id.0).collect();
        Self {
            id,
            link: job_link(id),
            title: format!("{dry_run}{verb} of letters of {}", job.source),
            stage: match stage {
                Stage::Selecting => "looks which letters are meant",
                Stage::Running => "runs",
                Stage::Done => "done",
                Stage::Stopped => "stopped",
                Stage::Refused => "refused",
                Stage::Failed => "failed",
            },
            runs: matches!(stage, Stage::Selecting | Stage::Running),
            is_well: !matches!(stage, Stage::Refused | Stage::Failed),
            who,
            begun: time(begun_ms),
            ended: ended_ms.map(time),
            error,
            figures,
            skipped: names(skipped),
            missing: names(missing),
            done,
            matched,
            groups: link("/groups", &[("source", &job.source)]),
        }
    }
}

/// The figures of a report; what was done of how many, and the letters that were left out.
fn in_words(
    report: Report,
    dry_run: bool,
    figures: &mut Vec<(&'static str, String)>,
) -> (u64, u64, Vec<quash_transport::LetterId>, Vec<quash_transport::LetterId>) {
    let mut add = |name, number: u64| figures.push((name, thousands(number)));
    match report {
        Report::Replay(ReplayReport { matched, replayed, gone, left, unclear, skipped, missing, .. }) => {
            add("in the set", matched as u64);
            if !dry_run {
                add("replayed", replayed);
                add("gone before", gone);
                add("not tried", left);
                add("perhaps sent and still here", unclear);
            }
            add("going in circles", skipped.len() as u64);
            (replayed + gone, matched as u64, skipped, missing)
        }
        Report::Discard(DiscardReport { matched, discarded, gone, left, missing, .. }) => {
            add("in the set", matched as u64);
            if !dry_run {
                add("discarded", discarded);
                add("gone before", gone);
                add("not tried", left);
            }
            (discarded + gone, matched as u64, Vec::new(), missing)
        }
    }
}
