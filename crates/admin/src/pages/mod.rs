//! Answers people, in pages that need no script: the same as for programs, with the words and links to go on.

pub(crate) mod actions;
pub(crate) mod assets;
pub(crate) mod explain;
pub(crate) mod letters;
pub(crate) mod login;
pub(crate) mod overview;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quash_dispatch::config::AdminConfig;
use quash_worker::text::{ago, thousands};

use crate::api::SnapshotSeen;
use crate::refusal::Refusal;
use crate::token::Who;

type Answer = Result<Response, Refusal>;

/// What stands around every page.
struct Frame {
    title: String,
    /// Who looks; nobody on the way in.
    who: Option<String>,
    /// Whether to show what an operator may do.
    operates: bool,
    /// Whether there is something to log out of.
    logged_in: bool,
    /// Seconds after which the page is asked for again, if it should be.
    again: Option<u32>,
}

impl Frame {
    fn of(title: impl Into<String>, who: Option<&Who>) -> Self {
        Self {
            title: title.into(),
            who: who.map(|who| who.name.to_string()),
            operates: who.is_some_and(Who::operates),
            logged_in: who.is_some_and(|who| &*who.name != AdminConfig::LOCAL),
            again: None,
        }
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    frame: Frame,
    error: &'a str,
}

/// Why a page is not shown.
pub(crate) fn refused(who: Option<&Who>, refusal: &Refusal) -> Response {
    let title = refusal.status.canonical_reason().unwrap_or("Refused");
    show(refusal.status, &RefusedPage { frame: Frame::of(title, who), error: &refusal.error })
}

fn page(template: &impl Template) -> Response {
    show(StatusCode::OK, template)
}

fn show(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        // Writing to a string cannot fail.
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A path with a query. Empty values are left out.
fn link(path: &str, query: &[(&str, &str)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    query.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        encoded.append_pair(name, value);
    });
    match encoded.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// The page of a letter.
fn letter_link(source: &str, id: &str, query: &[(&str, &str)]) -> String {
    let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    link(&format!("/letters/{}/{}", part(source), part(id)), query)
}

/// Text, or a dash where nothing is known.
fn known(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// A number, or that it is unknown.
fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), thousands)
}

/// How long ago, or a dash.
fn since(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), ago)
}

/// What a snapshot is worth, in words.
struct Worth {
    source: String,
    /// `1,234 letters, as of 3s ago`.
    known: String,
    /// That they are being read, and why they could not be.
    notes: Vec<String>,
    /// Whether nobody knows how many there are.
    is_unknown: bool,
}

impl Worth {
    fn of(seen: &SnapshotSeen, hides: bool, now_ms: i64) -> Self {
        let known = match (seen.total, seen.age_ms) {
            (Some(total), Some(age)) => {
                format!("{} as of {} ago", quash_worker::text::count(total, "dead letter", "dead letters"), ago(age))
            }
            _ => "not known how many".to_owned(),
        };
        let read = seen.read.unwrap_or_default() as u64;
        let cut = seen.total.filter(|total| *total > read);
        let cut = cut.map(|_| format!("only the oldest {} were read: what follows is about these", thousands(read)));
        let reading = seen.reading_since_ms.map(|since_ms| {
            let holds = if hides { ", and holds them: nobody else sees them meanwhile" } else { "" };
            format!("this process reads them since {} ago{holds}", ago(now_ms.saturating_sub(since_ms)))
        });
        let failed = seen.unanswered.as_ref().map(|error| format!("the last reading failed: {error}"));
        let notes = cut.into_iter().chain(reading).chain(failed).collect();
        Self { source: seen.source.clone(), known, notes, is_unknown: seen.total.is_none() }
    }
}
