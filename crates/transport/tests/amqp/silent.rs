//! Promises that a queue which does not answer is never taken for an empty one.

use std::sync::Arc;
use std::time::Duration;

use quash_transport::{Glance, Transport, TransportError};
use tokio::time::{Instant, timeout};

use super::node::{Fixture, LIMIT, consume, message, numbered, receive_many};

/// Longer than the broker waits for the leader of a queue before it says that there is nothing.
const SILENT: Duration = Duration::from_secs(3);

/// Keeps the leader of a queue from answering for a while; returns when it does not.
async fn silence(fixture: &Fixture, queue: &str) {
    let words = format!(
        "P = whereis(list_to_atom(\"%2F_{queue}\")), true = is_pid(P), Asking = self(), \
         spawn(fun() -> erlang:suspend_process(P), Asking ! silent, timer:sleep({}), erlang:resume_process(P) end), \
         receive silent -> ok end.",
        SILENT.as_millis()
    );
    fixture.node().await.ctl(&["eval", &words]).await;
}

async fn with_letters(fixture: &Fixture, count: usize) -> Arc<dyn Transport> {
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.dead_letters().append(&numbered(0..count)).await.unwrap();
    transport
}

fn is_told_or_unknown(answer: Result<u64, TransportError>, expected: u64) {
    match answer {
        Ok(count) => assert_eq!(count, expected),
        Err(error) => assert!(matches!(error, TransportError::Unreachable(_)), "{error}"),
    }
}

#[tokio::test]
async fn letters_of_a_queue_that_does_not_answer_are_an_error_or_all_of_them() {
    let fixture = Fixture::own().await;
    let transport = with_letters(&fixture, 25).await;
    let letters = transport.dead_letters();
    let dead = format!("{}.dead", fixture.queue());
    silence(&fixture, &dead).await;
    is_told_or_unknown(letters.len().await, 25);
    silence(&fixture, &dead).await;
    is_told_or_unknown(letters.scan(None, 100).await.map(|page| page.len() as u64), 25);
    silence(&fixture, &dead).await;
    is_told_or_unknown(letters.glance().await.map(|glance| glance.count), 25);
    silence(&fixture, fixture.queue()).await;
    is_told_or_unknown(transport.backlog().await.map(|backlog| backlog.ready), 0);
}

#[tokio::test]
async fn a_long_read_does_not_end_where_the_queue_falls_silent() {
    let fixture = Fixture::own().await;
    let transport = with_letters(&fixture, 300).await;
    let letters = transport.dead_letters();
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = match letters.scan(after.as_ref(), 100).await {
            Ok(page) => page,
            Err(TransportError::Unreachable(_)) => return,
            Err(error) => panic!("{error}"),
        };
        let Some((last, _)) = page.last() else { break };
        (after, seen) = (Some(last.clone()), seen + page.len());
        if seen == 100 {
            silence(&fixture, &format!("{}.dead", fixture.queue())).await;
        }
    }
    assert_eq!(seen, 300);
}

#[tokio::test]
async fn many_glances_disturb_neither_each_other_nor_who_looks_at_the_letters() {
    let fixture = Fixture::own().await;
    let transport = with_letters(&fixture, 10).await;
    let glancing: Vec<_> = (0..6).map(|_| fixture.transport()).collect();
    let (oldest, count) = (Some(message("0")), 10);
    for other in &glancing {
        assert_eq!(other.dead_letters().glance().await.unwrap(), Glance { count, oldest: oldest.clone() });
    }
    let page = transport.dead_letters().scan(None, 4).await.unwrap();
    assert_eq!(page.len(), 4);
    let started = Instant::now();
    for other in &glancing {
        assert_eq!(other.dead_letters().glance().await.unwrap(), Glance { count, oldest: oldest.clone() });
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let connections = fixture.node().await.ctl(&["list_connections", "client_properties"]).await;
    assert!(connections.lines().count() <= 4 + glancing.len(), "{connections}");
    let rest = transport.dead_letters().scan(page.last().map(|(id, _)| id), 100).await.unwrap();
    let order: Vec<_> = page.iter().chain(&rest).map(|(_, letter)| letter.payload.clone()).collect();
    assert_eq!(order, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn asking_an_empty_queue_whether_it_is_empty_takes_nothing_from_anybody() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    assert_eq!(transport.backlog().await.unwrap().ready, 0);
    transport.publish(&[message("x")]).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap().ready, 1);
    let mut consumer = consume(&*transport, "a", 1).await;
    let delivery = timeout(LIMIT, receive_many(&mut consumer, 1)).await.unwrap().remove(0);
    assert_eq!(delivery.deliveries, 1);
}
