//! Shows what the endpoint tells, and to whom.

use quash_config::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::doubles::{FakeStore, Mode, app, config, until};
use crate::app::{App, Plugins, Running};
use quash_store::TargetOptions;

async fn get(running: &Running, path: &str, token: Option<&str>) -> String {
    let mut stream = TcpStream::connect(running.admin_address().unwrap()).await.unwrap();
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> &str {
    &answer["HTTP/1.1 ".len()..][..3]
}

async fn worker(token: Option<&str>) -> Running {
    let mut config = config(&["main"], TargetOptions::default());
    config.admin.listen = "127.0.0.1:0".to_owned();
    config.admin.token = token.map(Secret::new);
    let store = FakeStore::new(Mode::Works);
    let plugins = Plugins { stores: [("main".to_owned(), store as _)].into(), ..Plugins::default() };
    App::new(config).unwrap().plugins(plugins).start().await.unwrap()
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    let running = worker(None).await;
    for (path, expected, part) in [
        ("/", "200", "/metrics"),
        ("/metrics", "200", "quash_build_info"),
        ("/metrics", "200", "text/plain; version=0.0.4"),
        ("/livez", "200", "ok"),
        ("/readyz", "200", r#"{"ready":true,"draining":false,"sources":[],"lanes":[{"target":"main","open":false}]}"#),
        ("/nowhere", "404", ""),
    ] {
        let answer = get(&running, path, None).await;
        assert_eq!(status(&answer), expected, "{path}: {answer}");
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

#[tokio::test]
async fn everything_but_liveness_asks_for_the_token_where_there_is_one() {
    let running = worker(Some("s3cret")).await;
    for path in ["/", "/metrics", "/readyz"] {
        assert_eq!(status(&get(&running, path, None).await), "401", "{path}");
        assert_eq!(status(&get(&running, path, Some("S3cret")).await), "401", "{path}");
        assert_eq!(status(&get(&running, path, Some("s3cret")).await), "200", "{path}");
    }
    assert_eq!(status(&get(&running, "/livez", None).await), "200");
}

#[test]
fn the_scheme_of_a_token_is_read_in_any_case() {
    for value in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret"] {
        assert_eq!(super::bearer(value.as_bytes()), Some(b"s3cret".as_slice()), "{value}");
    }
    for value in ["", "Bearer", "Basic s3cret", "Bearers3cret"] {
        assert_eq!(super::bearer(value.as_bytes()), None, "{value}");
    }
}

#[tokio::test]
async fn a_worker_that_can_reach_no_target_is_not_ready() {
    let store = FakeStore::new(Mode::Dead);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.listening("127.0.0.1:0").start().await.unwrap();
    broker.send(&["main:a"]);
    until("the lane opens", || running.snapshot().lanes[0].is_open()).await;
    let answer = get(&running, "/readyz", None).await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains(r#""lanes":[{"target":"main","open":true}]"#), "{answer}");
}
