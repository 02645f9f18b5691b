//! Serves what pages are dressed with. All of it is in the binary.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(crate) async fn css() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../assets/quash.css"))
}

pub(crate) async fn js() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../assets/quash.js"))
}

pub(crate) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("../../assets/quash.svg"))
}

/// Kept for minutes only: an upgrade changes it under the same name.
fn asset(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")], body).into_response()
}
