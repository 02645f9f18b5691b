//! Promises that an inspection says what is wrong with a server, and is content with a right one.

use quash_config::Severity;
use quash_transport::redis_streams::Config;

use super::server::{Server, numbered};

async fn check(server: &Server, severity: Severity, words: &str) {
    let findings = server.transport().inspect().await.unwrap();
    let found = findings.iter().any(|finding| finding.severity == severity && finding.what.contains(words));
    assert!(found, "{severity:?} {words}: {findings:?}");
    assert!(
        findings.iter().all(|finding| finding.mend.is_empty() == (finding.severity == Severity::Ok)),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_right_server_has_nothing_to_mend() {
    let server = Server::start().await;
    server.transport().publish(&numbered(0..3)).await.unwrap();
    let findings = server.transport().inspect().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
    check(&server, Severity::Ok, "3 ready, 0 unsettled").await;
    check(&server, Severity::Ok, "has all rights").await;
    let keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    assert_eq!(keys, ["quash.events"], "an inspection changes nothing");
}

#[tokio::test]
async fn what_loses_events_is_found() {
    let server = Server::with(&["--appendonly", "no", "--maxmemory-policy", "allkeys-random"]).await;
    check(&server, Severity::Error, "append-only file is off").await;
    check(&server, Severity::Error, "allkeys-random").await;
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    check(&server, Severity::Error, "every second").await;
    let allowed = Config { allow_loss: true, ..server.config() }.build().unwrap().inspect().await.unwrap();
    let of_the_file = allowed.iter().find(|finding| finding.what.contains("every second")).unwrap();
    assert_eq!(of_the_file.severity, Severity::Warning);
    server.ask::<u64>(&["RPUSH", "quash.events", "x"]).await;
    check(&server, Severity::Error, "the key quash.events is a list, not a stream").await;
}
