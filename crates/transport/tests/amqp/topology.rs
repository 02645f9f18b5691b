//! Promises that queues are declared as they must be, by whoever comes first, and that the documented rights are enough.

use std::time::Duration;

use quash_config::Secret;
use quash_config::Severity;
use quash_e2e::eventually;
use quash_transport::amqp::{Config, QueueType};
use quash_transport::{Destination, Replacement, Transport, Verdict};

use super::node::{Fixture, LIMIT, ack, consume, message, numbered, receive, receive_many};

/// The queues of a place as the broker lists them: name, type, whether durable.
async fn queues(fixture: &Fixture) -> Vec<String> {
    let list = fixture.node().await.ctl(&["list_queues", "--no-table-headers", "name", "type", "durable"]).await;
    let own = format!("{}.", fixture.queue());
    let is_own = |line: &&str| line.starts_with(&own) || line.split_whitespace().next() == Some(fixture.queue());
    let mut queues: Vec<_> = list.lines().filter(is_own).map(|line| line.replace('\t', " ")).collect();
    queues.sort();
    queues
}

#[tokio::test]
async fn several_may_declare_at_once_and_again() {
    let fixture = Fixture::shared().await;
    let transports: Vec<_> = (0..4).map(|_| fixture.transport()).collect();
    for _ in 0..2 {
        for declared in futures_util::future::join_all(transports.iter().map(|transport| transport.prepare())).await {
            declared.unwrap();
        }
    }
    let queues = queues(&fixture).await;
    assert_eq!(queues.len(), 15, "{queues:?}");
    assert!(queues.iter().all(|queue| queue.contains("quorum") && queue.ends_with("true")), "{queues:?}");
}

#[tokio::test]
async fn classic_queues_work_where_they_are_asked_for() {
    let fixture = Fixture::shared().await;
    let config = Config { queue_type: QueueType::Classic, ..fixture.config() };
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..3)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 3).await;
    let batch = receive_many(&mut consumer, 3).await;
    let later = Replacement { message: message("later"), to: Destination::Later(Duration::from_millis(10)) };
    let dead = Replacement { message: message("dead"), to: Destination::DeadLetters };
    let verdicts = [
        (batch[0].tag, Verdict::Ack),
        (batch[1].tag, Verdict::Replace(vec![later])),
        (batch[2].tag, Verdict::Replace(vec![dead])),
    ];
    assert_eq!(consumer.settler.settle(&verdicts).await, Ok(vec![]));
    let back = receive(&mut consumer).await;
    assert_eq!(back[0].message.payload, "later");
    ack(&consumer, &back).await;
    assert_eq!(transport.dead_letters().len().await, Ok(1));
    let classic = queues(&fixture).await.iter().filter(|queue| queue.contains("classic")).count();
    assert_eq!(classic, 14, "all but the dead letters");
    let findings = transport.inspect().await.unwrap();
    assert!(findings.iter().any(|finding| finding.severity == Severity::Warning && finding.what.contains("classic")));
}

/// The patterns of the documented line that grants the rights of a worker: configure, write, read.
fn documented() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/brokers.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("rabbitmqctl set_permissions quash ")).expect("documented");
    line.split_whitespace().skip(3).map(|word| word.trim_matches('\'').to_owned()).collect()
}

async fn user(fixture: &Fixture, rights: &[String]) -> Config {
    let node = fixture.node().await;
    node.ctl(&["add_user", "quash", "secret"]).await;
    let [configure, write, read] = rights else { panic!("{rights:?}") };
    node.ctl(&["set_permissions", "quash", configure, write, read]).await;
    let (username, password) = (Some(Secret::new("quash")), Some(Secret::new("secret")));
    Config { username, password, queue: "quash.events".into(), ..fixture.config() }
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let fixture = Fixture::own().await;
    let transport = user(&fixture, &documented()).await.build().unwrap();
    everything(&*transport).await;
    let findings = transport.inspect().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
}

/// Does everything that a worker does.
async fn everything(transport: &dyn Transport) {
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..4)).await.unwrap();
    let mut dying = consume(transport, "dying", 4).await;
    receive_many(&mut dying, 4).await;
    drop(dying);
    let mut consumer = consume(transport, "a", 4).await;
    let batch = receive_many(&mut consumer, 4).await;
    let copies = vec![
        Replacement { message: message("later"), to: Destination::Later(Duration::from_millis(10)) },
        Replacement { message: message("dead"), to: Destination::DeadLetters },
    ];
    let verdicts = [
        (batch[0].tag, Verdict::Ack),
        (batch[1].tag, Verdict::Replace(copies)),
        (batch[2].tag, Verdict::Release),
        (batch[3].tag, Verdict::Ack),
    ];
    assert_eq!(consumer.settler.settle(&verdicts).await, Ok(vec![]));
    let again = receive_many(&mut consumer, 2).await;
    ack(&consumer, &again).await;
    let letters = transport.dead_letters();
    letters.append(&[message("another")]).await.unwrap();
    let found = letters.scan(None, 10).await.unwrap();
    assert_eq!((found.len(), letters.len().await.unwrap()), (2, 2));
    assert_eq!(letters.remove(&[found[0].0.clone()]).await.unwrap(), 1);
    drop(consumer);
    let settled = async || {
        let backlog = transport.backlog().await.unwrap();
        backlog.ready + backlog.unsettled + backlog.delayed == 0
    };
    eventually(LIMIT, "everything is settled", settled).await;
}
