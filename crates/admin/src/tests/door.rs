//! Goes through every route with every method and every role, and tries what must not work.

use quash_delivery::record::Reason;
use quash_worker::dead_letter::testing::{message, record};

use super::site::{Answer, Site, TOKENS};
use crate::door::Access;
use crate::routes::{Face, routes};

fn bearer(name: &str) -> String {
    format!("Bearer t-{name}")
}

async fn site() -> Site {
    Site::with(TOKENS, [message(&record(Reason::Rule), "{}")]).await
}

/// The status, and where somebody is sent instead.
fn admitted(answer: &Answer) -> (u16, bool) {
    (answer.status, answer.header("location").is_some_and(|index| index.starts_with("/login?next=")))
}

#[tokio::test]
async fn every_route_lets_in_whom_it_says_and_nobody_else() {
    let site = site().await;
    let all = routes();
    for route in &all {
        let path = route.path.replace("{source}", "events").replace("{id}", "1");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let other = all.iter().find(|other| other.path == route.path && other.method == method);
            for who in [None, Some("nobody"), Some("bob"), Some("alice")] {
                let token = who.map(bearer);
                let headers: Vec<_> = token.iter().map(|token| ("Authorization", token.as_str())).collect();
                let answer = site.ask(method, &path, &headers, "").await;
                let case = format!("{method} {path} as {who:?}: {answer:?}");
                let Some(other) = other else {
                    assert_eq!(answer.status, 405, "{case}");
                    continue;
                };
                let is_known = matches!(who, Some("bob" | "alice"));
                let asks_back = other.face == Face::Person && method == "GET";
                match other.access {
                    Access::Anybody | Access::Entrance => assert_ne!(answer.status, 403, "{case}"),
                    _ if !is_known && asks_back => assert_eq!(admitted(&answer), (303, true), "{case}"),
                    _ if !is_known => assert_eq!(answer.status, 401, "{case}"),
                    Access::Operator if who == Some("bob") => assert_eq!(answer.status, 403, "{case}"),
                    _ => assert!(![401, 403, 405].contains(&answer.status), "{case}"),
                }
            }
        }
    }
    assert_eq!(site.broker.ids(), [1], "nothing of this said which letters are meant");
}

#[tokio::test]
async fn no_way_of_spelling_a_path_leads_past_the_door() {
    let site = site().await;
    let paths = [
        "//api/v1/letters",
        "/api/v1/letters/",
        "/api/v1//letters",
        "/%61pi/v1/letters",
        "/api%2fv1%2fletters",
        "/livez/../api/v1/letters",
        "/livez/%2e%2e/api/v1/letters",
        "/API/v1/letters",
        "/api/v1/letters;a=b",
        "/nowhere",
        "/assets/../",
        "/assets/Cargo.toml",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let answer = site.ask(method, path, &[], "").await;
            assert!(answer.status >= 400, "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("target_error"), "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(site.ask("HEAD", "/api/v1/letters", &[], "").await.status, 401);
}

#[tokio::test]
async fn a_session_stands_for_a_token_until_it_is_closed() {
    let site = site().await;
    let wrong = site.send("/login", "token=t-alicia&next=/groups").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(wrong.body.contains("Nobody has this token."), "{}", wrong.body);

    let login = site.send("/login", "token=t-alice&next=/groups").await;
    assert_eq!((login.status, login.header("location")), (303, Some("/groups")));
    let cookie = login.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("t-alice"), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    let cookies = [("Cookie", session)];
    let page = site.ask("GET", "/groups", &cookies, "").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("alice") && page.body.contains("Log out"), "{}", page.body);

    assert_eq!(site.ask("POST", "/replay", &cookies, "all=1").await.status, 403, "nobody says where it comes from");
    let elsewhere = [("Cookie", session), ("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(site.ask("POST", "/replay", &elsewhere, "all=1").await.status, 403);
    assert_eq!(site.broker.ids(), [1]);

    let origin = format!("http://{}", site.host());
    let from_here = [("Cookie", session), ("Origin", origin.as_str())];
    let logout = site.ask("POST", "/logout", &from_here, "").await;
    assert_eq!((logout.status, logout.header("location")), (303, Some("/login")));
    assert_eq!(admitted(&site.ask("GET", "/groups", &cookies, "").await), (303, true));

    let metrics = site.ask("GET", "/metrics", &[("Authorization", &bearer("bob"))], "").await.body;
    for (action, who, outcome) in [
        ("login", "alice", "accepted"),
        ("login", "unknown", "refused"),
        ("logout", "alice", "accepted"),
        ("replay", "alice", "refused"),
    ] {
        let line = format!("quash_operator_actions_total{{action=\"{action}\",who=\"{who}\",outcome=\"{outcome}\"}}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_cookie_is_for_tls_alone_where_a_proxy_speaks_it() {
    let site = site().await;
    let login = site.ask("POST", "/login", &[("X-Forwarded-Proto", "https")], "token=t-bob").await;
    assert!(login.header("set-cookie").unwrap().ends_with("; Secure"), "{login:?}");
}

#[tokio::test]
async fn a_name_of_elsewhere_is_not_answered_where_there_is_no_token() {
    let site = Site::open([message(&record(Reason::Rule), "{}")]).await;
    let rebound = [("Host", "evil.example"), ("Content-Type", "application/json")];
    for path in ["/", "/metrics", "/readyz", "/api/v1/letters", "/login"] {
        assert_eq!(site.ask("GET", path, &rebound, "").await.status, 403, "{path}");
    }
    assert_eq!(site.ask("POST", "/api/v1/replay", &rebound, r#"{"all":true}"#).await.status, 403);
    assert_eq!(site.ask("GET", "/livez", &rebound, "").await.status, 200);
    let from_a_page = [("Origin", "http://evil.example"), ("Content-Type", "application/json")];
    assert_eq!(site.ask("POST", "/api/v1/replay", &from_a_page, r#"{"all":true}"#).await.status, 403);
    let as_a_form = site.ask("POST", "/api/v1/replay", &[("Content-Type", "text/plain")], r#"{"all":true}"#).await;
    assert_eq!((as_a_form.status, site.broker.ids()), (415, vec![1]));
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_obeying_what_is_in_it() {
    let site = site().await;
    for path in ["/", "/login", "/assets/quash.js", "/nowhere", "/livez", "/api/v1/overview"] {
        let answer = site.ask("GET", path, &[("Authorization", &bearer("alice"))], "").await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_browsers() {
    let site = site().await;
    let page = site.ask("GET", "/nowhere", &[("Accept", "text/html,*/*")], "").await;
    assert!(page.status == 404 && page.body.starts_with("<!doctype html>"), "{page:?}");
    assert_eq!(site.get("/nowhere").await.body, "{\"error\":\"there is no such page\"}\n");
}

#[tokio::test]
async fn a_body_has_a_bound() {
    let site = Site::open([]).await;
    let long = "x".repeat(600 * 1024);
    assert_eq!(site.post("/api/v1/replay", &serde_json::json!({ "filter": long })).await.status, 413);
}
