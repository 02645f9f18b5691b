//! Lets people in by a token, which is exchanged for a session, and out again.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use quash_worker::metrics::OperatorAction;

use super::{Answer, Frame, link, show};
use crate::desk::Desk;
use crate::door::session;
use crate::params::Params;
use crate::refusal::Refusal;
use crate::session::{COOKIE, LASTS};
use crate::token::Who;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    error: Option<&'static str>,
    /// A browser keeps the session back where a link elsewhere was followed.
    from_elsewhere: bool,
}

/// Where somebody logs in who wanted to see this.
pub(crate) fn way_back(path: &str) -> String {
    link("/login", &[("next", path)])
}

pub(crate) async fn form(params: Params, who: Option<Who>, headers: HeaderMap) -> Response {
    let next = after(&params);
    if who.is_some() {
        return Redirect::to(&next).into_response();
    }
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let from_elsewhere = site.is_some_and(|site| site == "cross-site" || site == "same-site");
    show(StatusCode::OK, &LoginPage { frame: Frame::of("Log in", None), next, error: None, from_elsewhere })
}

pub(crate) async fn log_in(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&body);
    let next = after(&params);
    let token = params.get("token").unwrap_or_default();
    let Some(who) = desk.door.tokens.who_has(token.as_bytes()) else {
        desk.metrics.operation_refused(OperatorAction::Login, None, "nobody has this token");
        let frame = Frame::of("Log in", None);
        let error = Some("Nobody has this token.");
        return Ok(show(StatusCode::UNAUTHORIZED, &LoginPage { frame, next, error, from_elsewhere: false }));
    };
    let opened = desk.door.sessions.open(&who.name);
    let name = opened.map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("no session: {error}")))?;
    desk.metrics.operated(OperatorAction::Login, &who.name, "by its token");
    let cookie = cookie(&name, LASTS.as_secs(), &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

pub(crate) async fn log_out(State(desk): State<Arc<Desk>>, who: Option<Who>, headers: HeaderMap) -> Response {
    if let Some(name) = session(&headers) {
        desk.door.sessions.close(name);
    }
    if let Some(who) = who {
        desk.metrics.operated(OperatorAction::Logout, &who.name, "its session");
    }
    ([(header::SET_COOKIE, cookie("", 0, &headers))], Redirect::to("/login")).into_response()
}

/// No script reads it, and no page elsewhere makes a browser send it. Only over TLS, where a proxy says that there is some.
fn cookie(name: &str, seconds: u64, headers: &HeaderMap) -> String {
    let is_tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{COOKIE}={name}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Where to go on: a place here, whatever the link said.
fn after(params: &Params) -> String {
    let next = params.get("next").unwrap_or("/");
    let is_odd = |letter: char| letter == '\\' || letter.is_control();
    let is_here = next.starts_with('/') && !next.starts_with("//") && !next.contains(is_odd);
    if is_here { next.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_place_here() {
        let after = |next: &str| after(&Params::read(link("", &[("next", next)]).trim_start_matches('?').as_bytes()));
        assert_eq!(after("/letters?source=a&filter=b c"), "/letters?source=a&filter=b c");
        for elsewhere in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "evil",
            "/a\r\nSet-Cookie: x",
            "/\t/evil.example",
        ] {
            assert_eq!(after(elsewhere), "/", "{elsewhere}");
        }
    }
}
