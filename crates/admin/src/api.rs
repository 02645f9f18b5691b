//! Answers programs, in JSON, with what the commands print for them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use futures_util::stream;
use quash_core::event::Format;
use quash_worker::dead_letter::archive::Archived;
use quash_worker::dead_letter::groups::Groups;
use quash_worker::dead_letter::report::{GroupReport, Summary};
use quash_worker::dead_letter::select::{Choice, Pages};
use quash_worker::metrics::OperatorAction;
use quash_worker::text::escape_json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::ask::Ask;
use crate::clock::{now_ms, within};
use crate::desk::Desk;
use crate::explanation::{Explained, KeyExplained};
use crate::jobs::{Deed, JobSeen};
use crate::letter::{self, LetterSeen};
use crate::overview::Overview;
use crate::params::Params;
use crate::refusal::Refusal;
use crate::shelf::{Letters, Look, Wish};
use crate::source::Source;
use crate::token::Who;

/// How long a request waits for a job to end, so that small ones are answered at once.
pub(crate) const JOB_PATIENCE: Duration = Duration::from_secs(2);

/// What the endpoint answers, for programs that make clients of it.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

type Answer = Result<Response, Refusal>;

/// How old what follows is, and what is known of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SnapshotSeen {
    pub(crate) source: String,
    /// How many letters there were; nothing when nobody knows.
    pub(crate) total: Option<u64>,
    /// How many of them, the oldest, were read.
    pub(crate) read: Option<usize>,
    pub(crate) taken_ms: Option<i64>,
    pub(crate) age_ms: Option<i64>,
    /// Since when this process reads them again, if it does.
    pub(crate) reading_since_ms: Option<i64>,
    /// Why the last reading failed, if it did.
    pub(crate) unanswered: Option<String>,
}

impl SnapshotSeen {
    pub(crate) fn of(source: &Source, look: &Look, now_ms: i64) -> Self {
        let known = look.known.as_deref();
        let taken_ms = known.map(|known| known.taken_ms);
        Self {
            source: source.name.clone(),
            total: known.map(|known| known.total),
            read: known.map(|known| known.outlines.len()),
            taken_ms,
            age_ms: taken_ms.map(|taken_ms| now_ms.saturating_sub(taken_ms).max(0)),
            reading_since_ms: look.reading_since_ms,
            unanswered: look.failed.as_ref().map(|failed| failed.error.clone()),
        }
    }
}

#[derive(Serialize)]
struct GroupsSeen<'a> {
    #[serde(flatten)]
    snapshot: SnapshotSeen,
    groups: Option<Vec<GroupReport<'a>>>,
}

#[derive(Serialize)]
struct ListSeen<'a> {
    #[serde(flatten)]
    snapshot: SnapshotSeen,
    order: &'static str,
    matched: Option<usize>,
    /// What to give as `after` for the next page, if there is one.
    next: Option<&'a str>,
    letters: Option<Vec<Summary<'a>>>,
}

pub(crate) fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    // Everything that is told here has a JSON form.
    let text = serde_json::to_string(value).unwrap_or_default();
    let body = escape_json(&text).into_owned() + "\n";
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

pub(crate) async fn overview(State(desk): State<Arc<Desk>>, params: Params) -> Answer {
    params.only(&[])?;
    Ok(json(&Overview::of(&desk).await))
}

pub(crate) async fn groups(State(desk): State<Arc<Desk>>, params: Params) -> Answer {
    params.only(&["source", "filter", "fresh"])?;
    let (filter, now_ms) = (params.filter()?, now_ms());
    let looks = looks(&desk, &params).await?;
    let regrouped: Vec<Option<_>> =
        looks.iter().map(|(_, look)| look.known.as_deref().map(|known| grouped(known, &filter, now_ms))).collect();
    let seen = looks.iter().zip(&regrouped).map(|((source, look), groups)| GroupsSeen {
        snapshot: SnapshotSeen::of(source, look, now_ms),
        groups: groups.as_ref().map(|groups| groups.iter().map(GroupReport::of).collect()),
    });
    Ok(json(&serde_json::json!({ "sources": seen.collect::<Vec<_>>() })))
}

/// The letters of the source that is asked for, or of all.
pub(crate) async fn looks<'d>(desk: &'d Desk, params: &Params) -> Result<Vec<(&'d Source, Look)>, Refusal> {
    let wish = if params.is_set("fresh") { Wish::Fresh } else { Wish::Soon };
    let sources: Vec<&Source> = match params.get("source") {
        None => desk.sources.iter().collect(),
        name => vec![desk.source(name)?],
    };
    Ok(join_all(sources.into_iter().map(async |source| (source, source.shelf.look(wish).await))).await)
}

/// The letters that a filter means, by cause.
pub(crate) fn grouped(
    letters: &Letters,
    filter: &quash_worker::dead_letter::filter::Filter,
    now_ms: i64,
) -> Vec<quash_worker::dead_letter::groups::Group> {
    if filter.is_empty() {
        return letters.groups.clone();
    }
    let mut groups = Groups::default();
    let all = letters.outlines.iter().map(|outline| &outline.letter);
    all.filter(|letter| quash_worker::dead_letter::filter::matches(filter, letter, now_ms))
        .for_each(|letter| groups.add(letter));
    groups.into_sorted()
}

pub(crate) async fn letters(State(desk): State<Arc<Desk>>, params: Params) -> Answer {
    params.only(&["source", "filter", "order", "after", "limit", "fresh"])?;
    let (wanted, source, now_ms) = (params.wanted()?, desk.source(params.get("source"))?, now_ms());
    let wish = if params.is_set("fresh") { Wish::Fresh } else { Wish::Soon };
    let look = source.shelf.look(wish).await;
    let page = look.known.as_deref().map(|known| wanted.of(known, now_ms));
    Ok(json(&ListSeen {
        snapshot: SnapshotSeen::of(source, &look, now_ms),
        order: wanted.order.name(),
        matched: page.as_ref().map(|page| page.matched),
        next: page.as_ref().and_then(|page| page.next),
        letters: page.as_ref().map(|page| page.letters.iter().map(|outline| outline.summary(now_ms)).collect()),
    }))
}

pub(crate) async fn letter(
    State(desk): State<Arc<Desk>>,
    who: Who,
    Path((source, id)): Path<(String, String)>,
) -> Answer {
    let source = desk.source(Some(&source))?;
    let letter = letter::find(source, &id).await?;
    Ok(json(&LetterSeen::of(&desk, source, &letter, &who)))
}

pub(crate) async fn replay(State(desk): State<Arc<Desk>>, who: Who, headers: HeaderMap, body: Bytes) -> Answer {
    work(&desk, Deed::Replay, &who, read(&headers, &body)?).await
}

pub(crate) async fn discard(State(desk): State<Arc<Desk>>, who: Who, headers: HeaderMap, body: Bytes) -> Answer {
    work(&desk, Deed::Discard, &who, read(&headers, &body)?).await
}

async fn work(desk: &Desk, deed: Deed, who: &Who, ask: Ask) -> Answer {
    let job = begin(desk, deed, who, ask)?;
    job.ended_within(JOB_PATIENCE).await;
    let status = if job.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_with(status, &job_seen(&job)))
}

/// Begins a job, and says so in the log.
pub(crate) fn begin(desk: &Desk, deed: Deed, who: &Who, ask: Ask) -> Result<Arc<crate::jobs::Job>, Refusal> {
    let source = desk.source(ask.source.as_deref())?;
    let about = ask.about(&source.name);
    let action = match deed {
        Deed::Replay => OperatorAction::Replay,
        Deed::Discard => OperatorAction::Discard,
    };
    let job = desk.jobs.begin(deed, ask, who, source)?;
    desk.metrics.operated(action, &who.name, &format!("job {}: {about}", job.id));
    Ok(job)
}

/// A job with the first letters of its set.
fn job_seen(job: &crate::jobs::Job) -> serde_json::Value {
    #[derive(Serialize)]
    struct WithSample<'a> {
        #[serde(flatten)]
        job: JobSeen,
        sample: Vec<Summary<'a>>,
    }
    let (sample, now_ms) = (job.sample(), now_ms());
    let sample = sample.iter().map(|outline| outline.summary(now_ms)).collect();
    serde_json::to_value(WithSample { job: job.seen(), sample }).unwrap_or_default()
}

pub(crate) async fn jobs(State(desk): State<Arc<Desk>>, params: Params) -> Answer {
    params.only(&[])?;
    let jobs: Vec<JobSeen> = desk.jobs.all().iter().map(|job| job.seen()).collect();
    Ok(json(&serde_json::json!({ "jobs": jobs })))
}

pub(crate) async fn job(State(desk): State<Arc<Desk>>, Path(id): Path<u64>) -> Answer {
    Ok(json(&job_seen(&*desk.jobs.get(id)?)))
}

pub(crate) async fn stop(State(desk): State<Arc<Desk>>, who: Who, Path(id): Path<u64>) -> Answer {
    let job = stopped(&desk, &who, id)?;
    job.ended_within(JOB_PATIENCE).await;
    Ok(json(&job_seen(&job)))
}

/// Stops a job, and says so in the log.
pub(crate) fn stopped(desk: &Desk, who: &Who, id: u64) -> Result<Arc<crate::jobs::Job>, Refusal> {
    let job = desk.jobs.get(id)?;
    desk.metrics.operated(OperatorAction::Stop, &who.name, &format!("job {id} of {}", job.who));
    job.stop();
    Ok(job)
}

/// Letters as lines of JSON, as `quash dlq export` writes them, as they are read from the broker.
pub(crate) async fn export(State(desk): State<Arc<Desk>>, who: Who, params: Params) -> Answer {
    params.only(&["source", "id", "filter"])?;
    if !who.sees_payloads {
        let why = format!("{} does not see payloads, which an export holds", who.name);
        desk.metrics.operation_refused(OperatorAction::Export, Some(&who.name), &why);
        return Err(Refusal::forbidden(why));
    }
    let source = desk.source(params.get("source"))?;
    let ask = Ask {
        ids: params.all("id"),
        filter: params.get("filter").unwrap_or_default().to_owned(),
        all: true,
        ..Ask::default()
    };
    let choice = ask.choice(false)?;
    // An answer that has begun cannot say any more that the broker does not answer.
    let asked = within(source.transport.dead_letters().len()).await;
    let total = asked.map_err(|error| Refusal::unanswered(error.to_string()))?;
    desk.metrics.operated(OperatorAction::Export, &who.name, &ask.about(&source.name));
    let (lines, mut written) = mpsc::channel(1);
    let transport = Arc::clone(&source.transport);
    tokio::spawn(async move {
        if let Err(error) = write(&*transport, total, &choice, &lines).await {
            // The answer ends without its end: who reads it sees that it is not whole.
            let _ = lines.send(Err(std::io::Error::other(error))).await;
        }
    });
    let body = stream::poll_fn(move |context| written.poll_recv(context));
    let name = format!("attachment; filename=\"letters-{}.ndjson\"", now_ms());
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(body)).into_response())
}

async fn write(
    transport: &dyn quash_transport::Transport,
    total: u64,
    choice: &Choice,
    lines: &mpsc::Sender<std::io::Result<Bytes>>,
) -> Result<(), String> {
    let mut pages = Pages::of_first(transport.dead_letters(), total);
    loop {
        let page = pages.next().await.map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Ok(());
        }
        for letter in page.iter().filter(|letter| choice.means(letter, now_ms())) {
            let line = serde_json::to_string(&Archived::of(letter)).map_err(|error| error.to_string())?;
            if lines.send(Ok((escape_json(&line).into_owned() + "\n").into())).await.is_err() {
                // Nobody reads it any more.
                return Ok(());
            }
        }
    }
}

/// What is to be explained: one of the two.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Question {
    /// The message: an object, or text that is the message byte for byte.
    event: Option<serde_json::Value>,
    format: Format,
    key: Option<String>,
}

pub(crate) async fn explain(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Answer {
    let Question { event, format, key } = read(&headers, &body)?;
    match (event, key) {
        (Some(serde_json::Value::String(text)), None) => Ok(json(&Explained::event(&desk, text.as_bytes(), format))),
        (Some(event), None) => Ok(json(&Explained::event(&desk, event.to_string().as_bytes(), format))),
        (None, Some(key)) if !key.is_empty() => Ok(json(&KeyExplained::of(&desk, &key))),
        _ => Err(Refusal::wrong("say what to explain: an `event`, or a `key`")),
    }
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// The body of a request. Only what says that it is JSON is read: no form of another page can send that.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let error = "send JSON, and say so: `Content-Type: application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::wrong(format!("the body is wrong: {error}")))
}
