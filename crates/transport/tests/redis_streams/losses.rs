//! Promises that what others destroy is reported, and that the rest goes on.

use std::slice::from_mut;
use std::sync::Arc;
use std::time::Duration;

use quash_config::Severity;
use quash_transport::conformance::eventually;
use quash_transport::{Consumer, Transport};
use tokio::time::timeout;

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

/// Publishes while nobody can settle, so that a part of it stays unread.
async fn unread(server: &Server, count: usize) -> (Arc<dyn Transport>, Consumer) {
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let consumer = consume(&*transport, "a", 2).await;
    // What was seen before anything was there is what later looks are compared with.
    server.called_again("xtrim", 2).await;
    transport.publish(&numbered(0..count)).await.unwrap();
    eventually(LIMIT, "it reads ahead", async || transport.backlog().await.unwrap().unsettled >= 2).await;
    server.called_again("xtrim", 2).await;
    (transport, consumer)
}

async fn lost(transport: &dyn Transport) -> u64 {
    transport.backlog().await.unwrap().lost
}

async fn until_lost(transport: &dyn Transport, count: u64) {
    eventually(LIMIT, "the loss is counted", async || lost(transport).await == count).await;
}

/// Receives and acks all there is.
async fn drain(transport: &dyn Transport, consumers: &mut [Consumer]) {
    eventually(LIMIT, "all is settled", async || {
        for consumer in &mut *consumers {
            while let Ok(batch) = timeout(Duration::from_millis(50), consumer.receiver.receive()).await {
                ack(consumer, &batch.unwrap()).await;
            }
        }
        let backlog = transport.backlog().await.unwrap();
        backlog.ready + backlog.unsettled == 0
    })
    .await;
}

#[tokio::test]
async fn unread_entries_that_a_publisher_trims_are_reported_as_lost() {
    let server = Server::start().await;
    let (transport, mut consumer) = unread(&server, 20).await;
    let unsettled = transport.backlog().await.unwrap().unsettled;
    let trimming = ["XADD", "quash.events", "MAXLEN", "=", "5", "*", "body", "new"];
    server.ask::<String>(&trimming).await;
    // 16 of 21 went, those that were read and not settled among them.
    until_lost(&*transport, 16).await;
    let findings = transport.inspect().await.unwrap();
    let found = findings.iter().find(|finding| finding.what.contains("removed before they were read")).unwrap();
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.what.contains(&format!("({} since", 16 - unsettled)), "{}", found.what);
    drain(&*transport, from_mut(&mut consumer)).await;
    server.called_again("xtrim", 2).await;
    assert_eq!(lost(&*transport).await, 16, "settled entries are trimmed, and not lost");
}

#[tokio::test]
async fn what_is_trimmed_while_nobody_is_there_is_counted_by_the_first_to_come_and_once() {
    let server = Server::start().await;
    let first = server.transport();
    first.prepare().await.unwrap();
    let mut consumer = consume(&*first, "a", 8).await;
    first.publish(&numbered(0..8)).await.unwrap();
    drain(&*first, from_mut(&mut consumer)).await;
    server.called_again("xtrim", 2).await;
    consumer.receiver.close().await;
    drop(consumer.settler);
    first.publish(&numbered(8..40)).await.unwrap();
    server.ask::<u64>(&["XTRIM", "quash.events", "MINID", "=", &id_of(&server, 10).await]).await;
    // A server that was restarted has forgotten how much was read.
    server.restart().await;
    let (second, third) = (server.transport(), server.transport());
    let mut consumers = [consume(&*second, "b", 8).await, consume(&*third, "c", 8).await];
    let sum = async || lost(&*second).await + lost(&*third).await;
    eventually(LIMIT, "the loss is counted", async || sum().await > 0).await;
    drain(&*second, &mut consumers).await;
    server.called_again("xtrim", 3).await;
    assert_eq!(sum().await, 10);
}

/// The id of the entry that has so many before it.
async fn id_of(server: &Server, before: usize) -> String {
    let entries: Vec<(String, Vec<String>)> = server.ask(&["XRANGE", "quash.events", "-", "+"]).await;
    entries[before].0.clone()
}

#[tokio::test]
async fn an_unread_entry_that_is_deleted_is_reported_as_lost() {
    let server = Server::start().await;
    let (transport, mut consumer) = unread(&server, 20).await;
    let last = id_of(&server, 19).await;
    assert_eq!(server.ask::<u64>(&["XDEL", "quash.events", &last]).await, 1);
    until_lost(&*transport, 1).await;
    drain(&*transport, from_mut(&mut consumer)).await;
    server.called_again("xtrim", 2).await;
    assert_eq!(lost(&*transport).await, 1);
}

#[tokio::test]
async fn nothing_counts_as_lost_while_consumers_die_and_the_server_is_killed() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    for round in 0..6 {
        let mut consumers = [consume(&*transport, "a", 16).await, consume(&*transport, "b", 16).await];
        transport.publish(&numbered(0..200)).await.unwrap();
        for consumer in &mut consumers {
            let batch = consumer.receiver.receive().await.unwrap();
            ack(consumer, &batch).await;
        }
        // One of them ends with what it holds.
        let [mut stays, goes] = consumers;
        drop(goes);
        // What was settled is trimmed by others as well, as a publisher with a long MAXLEN does.
        server.ask::<u64>(&["XTRIM", "quash.events", "MAXLEN", "=", "500"]).await;
        if round % 2 == 0 {
            server.restart().await;
        }
        drain(&*transport, from_mut(&mut stays)).await;
        server.called_again("xtrim", 2).await;
    }
    assert_eq!(lost(&*transport).await, 0);
}

#[tokio::test]
async fn a_stream_with_the_greatest_id_is_a_problem_until_it_is_mended() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 2).await;
    let greatest = "18446744073709551615-18446744073709551615";
    server.ask::<String>(&["XADD", "quash.events", greatest, "body", "x"]).await;
    drain(&*transport, from_mut(&mut consumer)).await;
    let problem = async || consumer.settler.problem().map(|problem| problem.to_string()).unwrap_or_default();
    eventually(LIMIT, "it is a problem", async || problem().await.contains("the greatest id there is")).await;
    let findings = transport.inspect().await.unwrap();
    let found = findings.iter().find(|finding| finding.what.contains("the greatest id there is")).unwrap();
    assert_eq!(found.severity, Severity::Error);
    // What helps is what is said.
    let commands = found.mend.split_once("unsettled: ").unwrap().1;
    for command in commands.split(", ") {
        server.ask::<redis::Value>(&command.split(' ').collect::<Vec<_>>()).await;
    }
    eventually(LIMIT, "it is mended", async || problem().await.is_empty()).await;
    transport.publish(&[message("again")]).await.unwrap();
    let batch = receive_many(&mut consumer, 1).await;
    assert_eq!(texts(&batch), ["again"]);
    ack(&consumer, &batch).await;
    assert_eq!(lost(&*transport).await, 0);
}
