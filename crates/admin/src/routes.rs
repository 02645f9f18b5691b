//! Lists everything that is answered, with who may ask for it; what is not in the list is not answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use quash_worker::metrics::OperatorAction;

use crate::desk::Desk;
use crate::door::Access;
use crate::refusal::Refusal;
use crate::{api, health, pages};

/// Bytes of a body: names of ten thousand letters. An event that is to be explained may be longer.
const BODY_MAX: usize = 512 * 1024;
const EVENT_BODY_MAX: usize = 4 * 1024 * 1024;

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Person,
    Program,
}

/// One thing that is answered.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the handler knows it; tests go through all of them"))]
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) face: Face,
    /// What it does, where that is counted.
    pub(crate) action: Option<OperatorAction>,
    handler: MethodRouter<Arc<Desk>>,
}

impl Route {
    fn new(
        method: &'static str,
        path: &'static str,
        access: Access,
        face: Face,
        handler: MethodRouter<Arc<Desk>>,
    ) -> Self {
        Self { method, path, access, face, action: None, handler }
    }

    fn does(self, action: OperatorAction) -> Self {
        Self { action: Some(action), ..self }
    }
}

/// Everything that is answered.
pub(crate) fn routes() -> Vec<Route> {
    [machines(), people(), programs()].into_iter().flatten().collect()
}

fn machines() -> Vec<Route> {
    use Face::Program;
    vec![
        Route::new("GET", "/livez", Access::Anybody, Program, get(async || "ok\n")),
        Route::new("GET", "/readyz", Access::Viewer, Program, get(health::readyz)),
        Route::new("GET", "/metrics", Access::Viewer, Program, get(health::metrics)),
    ]
}

fn people() -> Vec<Route> {
    use Access::{Entrance, Operator, Viewer};
    use Face::Person;
    use OperatorAction::{Discard, Login, Logout, Replay, Stop};
    vec![
        Route::new("GET", "/assets/quash.css", Entrance, Person, get(pages::assets::css)),
        Route::new("GET", "/assets/quash.js", Entrance, Person, get(pages::assets::js)),
        Route::new("GET", "/assets/quash.svg", Entrance, Person, get(pages::assets::icon)),
        Route::new("GET", "/login", Entrance, Person, get(pages::login::form)),
        Route::new("POST", "/login", Entrance, Person, post(pages::login::log_in)).does(Login),
        Route::new("POST", "/logout", Entrance, Person, post(pages::login::log_out)).does(Logout),
        Route::new("GET", "/", Viewer, Person, get(pages::overview::page)),
        Route::new("GET", "/groups", Viewer, Person, get(pages::letters::groups)),
        Route::new("GET", "/letters", Viewer, Person, get(pages::letters::list)),
        Route::new("GET", "/letters/{source}/{id}", Viewer, Person, get(pages::letters::letter)),
        Route::new("GET", "/explain", Viewer, Person, get(pages::explain::form)),
        Route::new(
            "POST",
            "/explain",
            Viewer,
            Person,
            post(pages::explain::explained).layer(DefaultBodyLimit::max(EVENT_BODY_MAX)),
        ),
        Route::new("GET", "/jobs", Viewer, Person, get(pages::actions::jobs)),
        Route::new("GET", "/jobs/{id}", Viewer, Person, get(pages::actions::job)),
        Route::new("POST", "/jobs/{id}/stop", Operator, Person, post(pages::actions::stop)).does(Stop),
        Route::new("GET", "/replay", Operator, Person, get(pages::actions::replay_form)),
        Route::new("POST", "/replay", Operator, Person, post(pages::actions::replay)).does(Replay),
        Route::new("GET", "/discard", Operator, Person, get(pages::actions::discard_form)),
        Route::new("POST", "/discard", Operator, Person, post(pages::actions::discard)).does(Discard),
    ]
}

fn programs() -> Vec<Route> {
    use Access::{Operator, Viewer};
    use Face::Program;
    use OperatorAction::{Discard, Export, Replay, Stop};
    vec![
        Route::new("GET", "/api/v1/openapi.json", Viewer, Program, get(api::openapi)),
        Route::new("GET", "/api/v1/overview", Viewer, Program, get(api::overview)),
        Route::new("GET", "/api/v1/groups", Viewer, Program, get(api::groups)),
        Route::new("GET", "/api/v1/letters", Viewer, Program, get(api::letters)),
        Route::new("GET", "/api/v1/letters/{source}/{id}", Viewer, Program, get(api::letter)),
        Route::new("GET", "/api/v1/export", Viewer, Program, get(api::export)).does(Export),
        Route::new(
            "POST",
            "/api/v1/explain",
            Viewer,
            Program,
            post(api::explain).layer(DefaultBodyLimit::max(EVENT_BODY_MAX)),
        ),
        Route::new("POST", "/api/v1/replay", Operator, Program, post(api::replay)).does(Replay),
        Route::new("POST", "/api/v1/discard", Operator, Program, post(api::discard)).does(Discard),
        Route::new("GET", "/api/v1/jobs", Viewer, Program, get(api::jobs)),
        Route::new("GET", "/api/v1/jobs/{id}", Viewer, Program, get(api::job)),
        Route::new("POST", "/api/v1/jobs/{id}/stop", Operator, Program, post(api::stop)).does(Stop),
    ]
}

/// Answers for all of them, each behind the door.
pub(crate) fn router(desk: &Arc<Desk>) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, route| {
        let Route { path, access, face, action, handler, .. } = route;
        let entry = Entry { desk: Arc::clone(desk), access, face, action };
        router.route(path, handler.route_layer(from_fn_with_state(entry, enter)))
    });
    router
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(axum::middleware::map_response(dress))
        .with_state(Arc::clone(desk))
}

async fn nowhere(headers: HeaderMap) -> Response {
    let refusal = Refusal::missing("there is no such page");
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") { pages::refused(None, &refusal) } else { refusal.into_response() }
}

/// What the door needs to know of a route.
#[derive(Clone)]
struct Entry {
    desk: Arc<Desk>,
    access: Access,
    face: Face,
    action: Option<OperatorAction>,
}

async fn enter(State(entry): State<Entry>, request: Request, next: Next) -> Response {
    let Entry { desk, access, face, action } = entry;
    let (mut parts, body) = request.into_parts();
    let (path, is_change) =
        (parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(), parts.method != "GET");
    let (who, response) = match desk.door.admit(&parts, access) {
        Ok(who) => {
            who.clone().map(|who| parts.extensions.insert(who));
            (who, next.run(Request::from_parts(parts, body)).await)
        }
        Err(refusal) => {
            let who = desk.door.who_asks(&parts.headers);
            if let Some(action) = action {
                desk.metrics.operation_refused(action, who.as_ref().map(|who| &*who.name), &refusal.error);
            }
            (who, refusal.into_response())
        }
    };
    match response.extensions().get::<Refusal>().cloned() {
        Some(refusal) if face == Face::Person => match refusal.status {
            StatusCode::UNAUTHORIZED if !is_change => Redirect::to(&pages::login::way_back(&path)).into_response(),
            _ => pages::refused(who.as_ref(), &refusal),
        },
        _ => response,
    }
}

/// What every answer tells browsers.
async fn dress(mut response: Response) -> Response {
    const ALWAYS: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers then leave out where a change comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
