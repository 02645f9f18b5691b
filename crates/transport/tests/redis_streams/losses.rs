//! Promises that what others destroy is reported, and that the rest goes on.

use quash_config::Severity;
use quash_transport::conformance::eventually;

use super::server::{LIMIT, Server, ack, consume, message, numbered, receive_many, texts};

#[tokio::test]
async fn entries_trimmed_while_pending_are_reported_as_lost() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..6)).await.unwrap();
    let mut dying = consume(&*transport, "dying", 6).await;
    receive_many(&mut dying, 6).await;
    drop(dying);
    server.ask::<u64>(&["XTRIM", "quash.events", "MAXLEN", "=", "2"]).await;
    let mut heir = consume(&*transport, "heir", 6).await;
    let rest = receive_many(&mut heir, 2).await;
    assert_eq!(texts(&rest), ["4", "5"]);
    ack(&heir, &rest).await;
    eventually(LIMIT, "the loss is counted", async || transport.backlog().await.unwrap().lost == 4).await;
    assert_eq!(transport.backlog().await.unwrap().unsettled, 0);
}

#[tokio::test]
async fn own_entries_trimmed_while_away_are_reported_as_lost() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..6)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 6).await;
    receive_many(&mut consumer, 6).await;
    drop(consumer);
    server.ask::<u64>(&["XTRIM", "quash.events", "MAXLEN", "=", "1"]).await;
    let mut consumer = consume(&*transport, "a", 6).await;
    assert_eq!(texts(&receive_many(&mut consumer, 1).await), ["5"]);
    eventually(LIMIT, "the loss is counted", async || transport.backlog().await.unwrap().lost == 5).await;
}

#[tokio::test]
async fn a_copy_whose_contents_were_deleted_is_reported_as_lost() {
    let server = Server::start().await;
    let transport = server.transport();
    server.ask::<u64>(&["ZADD", "quash.events.due", "1", "quash/1-1/1"]).await;
    let _consumer = consume(&*transport, "a", 1).await;
    eventually(LIMIT, "the loss is counted", async || transport.backlog().await.unwrap().lost == 1).await;
    assert_eq!(transport.backlog().await.unwrap().delayed, 0);
}

#[tokio::test]
async fn a_flushed_server_is_consumed_from_again_and_the_incident_is_told() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 4).await;
    transport.publish(&[message("before")]).await.unwrap();
    let held = receive_many(&mut consumer, 1).await;
    server.ask::<String>(&["FLUSHALL"]).await;
    // Published before anybody has made the group again: it must not be skipped.
    transport.publish(&[message("after")]).await.unwrap();
    let next = receive_many(&mut consumer, 1).await;
    assert_eq!(texts(&next), ["after"]);
    ack(&consumer, &held).await;
    ack(&consumer, &next).await;
    let findings = transport.inspect().await.unwrap();
    let notified =
        findings.iter().any(|finding| finding.severity == Severity::Warning && finding.what.contains("vanished"));
    assert!(notified, "{findings:?}");
}
