//! Promises that the rights in docs/brokers.md are enough, and that a missing one is named.

use std::time::Duration;

use quash_config::Secret;
use quash_transport::nats::Config;
use quash_transport::{Delivery, Destination, Replacement, Verdict};

use super::server::{LIMIT, Server, all, consume, dead, message, numbered, receive_many, refusal};

/// The lists of the manual.
const MANUAL: &str = include_str!("../../../../docs/brokers.md");

/// The users of the manual's example, and one who may do anything.
pub(crate) async fn server() -> Server {
    let begin = MANUAL.find("```\nauthorization {").unwrap() + 4;
    let users = &MANUAL[begin..begin + MANUAL[begin..].find("```").unwrap()];
    let all = users.replacen("users = [", "users = [\n    { user: operator, password: PASSWORD }", 1);
    Server::with(&all).await
}

pub(crate) fn as_user(server: &Server, user: &str) -> Config {
    let prefix = (user != "operator").then(|| format!("_INBOX_{user}"));
    let mut config = Config {
        username: Some(Secret::new(user)),
        password: Some(Secret::new("PASSWORD")),
        inbox_prefix: prefix,
        declare: user == "operator",
        ..server.config()
    };
    config.publish_timeout.0 = Duration::from_secs(1);
    config
}

fn later(delivery: &Delivery) -> Verdict {
    let copy = Replacement { message: delivery.message.clone(), to: Destination::Later(Duration::from_millis(20)) };
    Verdict::Replace(vec![copy])
}

#[tokio::test]
async fn the_rights_of_the_manual_are_enough_for_a_worker() {
    let server = server().await;
    as_user(&server, "operator").build().unwrap().prepare().await.unwrap();
    let publisher = as_user(&server, "publisher").build().unwrap();
    publisher.publish(&numbered(0..3)).await.unwrap();
    let worker = as_user(&server, "quash").build().unwrap();
    worker.prepare().await.unwrap();
    for round in 1..=3 {
        let mut consumer = consume(&*worker, "a", 8).await;
        assert_eq!(receive_many(&mut consumer, 3).await[0].deliveries, round);
    }
    let mut consumer = consume(&*worker, "a", 8).await;
    for round in 0..3 {
        let suspect = receive_many(&mut consumer, 1).await.remove(0);
        let verdict = if round == 0 { Verdict::Ack } else { later(&suspect) };
        consumer.settler.settle(&[(suspect.tag, verdict)]).await.unwrap();
    }
    let back = receive_many(&mut consumer, 2).await;
    consumer.settler.settle(&all(&back, &dead(message("dead")))).await.unwrap();
    let letters = worker.dead_letters();
    let ids: Vec<_> = letters.scan(None, 10).await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(letters.remove(&ids).await.unwrap(), 2);
    assert_eq!(worker.backlog().await.unwrap(), Default::default());
    assert!(worker.inspect().await.is_ok());
    assert_eq!(worker.ages().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_consumer_without_the_right_to_fetch_is_told() {
    let server = Server::with(
        "authorization { users = [ { user: operator, password: PASSWORD }, \
         { user: quash, password: PASSWORD, permissions: { publish: { deny: \"$JS.API.CONSUMER.MSG.NEXT.>\" } } } ] }\n",
    )
    .await;
    as_user(&server, "operator").build().unwrap().prepare().await.unwrap();
    let worker = as_user(&server, "quash").build().unwrap();
    let mut consumer = consume(&*worker, "a", 8).await;
    let words = refusal(tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap());
    assert!(words.contains("CONSUMER.MSG.NEXT"), "{words}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let server = server().await;
    as_user(&server, "operator").build().unwrap().prepare().await.unwrap();
    let publisher = as_user(&server, "publisher").build().unwrap();
    let words = refusal(publisher.dead_letters().append(&[message("x")]).await);
    assert!(words.contains("_quash.QUASH.dead"), "{words}");
    let words = refusal(publisher.prepare().await);
    assert!(words.to_lowercase().contains("permissions violation"), "{words}");
}
