//! Promises that the rights in the documentation are enough, and that missing ones are named.

use std::time::Duration;

use quash_config::Secret;
use quash_config::Severity;
use quash_transport::conformance::eventually;
use quash_transport::redis_streams::Config;
use quash_transport::{Destination, Replacement, Transport, Verdict};

use super::server::{LIMIT, Server, ack, consume, message, numbered, receive_many};

/// The line of the documentation that grants the rights of a worker.
fn documented() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/brokers.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("user quash on ")).expect("the line is documented");
    line.split_whitespace()
        .skip(1)
        .map(|word| if word.starts_with('>') { ">secret" } else { word }.to_owned())
        .collect()
}

async fn grant(server: &Server, rights: &[String]) -> Config {
    let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(rights.iter().map(String::as_str)).collect();
    server.ask::<String>(&command).await;
    let (username, password) = (Some(Secret::new("quash")), Some(Secret::new("secret")));
    Config { username, password, ..server.config() }
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let server = Server::start().await;
    let transport = grant(&server, &documented()).await.build().unwrap();
    everything(&server, &*transport).await;
    // Inspecting rights and settings needs more than working does; nothing else was denied.
    let log: Vec<redis::Value> = server.ask(&["ACL", "LOG"]).await;
    let log = format!("{log:?}");
    for command in ["config|get", "acl|whoami"] {
        assert!(log.contains(command), "{command} was not tried: {log}");
    }
    let denied: Vec<_> = log.split("object").skip(1).filter(|entry| !entry.contains("config|get")).collect();
    assert!(denied.iter().all(|entry| entry.contains("acl|whoami")), "{denied:?}");
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let server = Server::start().await;
    let mut rights = documented();
    rights.retain(|right| right != "+xclaim");
    rights.extend(["+acl|whoami".into(), "+acl|dryrun".into()]);
    let transport = grant(&server, &rights).await.build().unwrap();
    let findings = transport.inspect().await.unwrap();
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(matches!(errors[..], [error] if error.what.contains("xclaim")), "{findings:?}");
}

/// Does everything that a worker does.
async fn everything(server: &Server, transport: &dyn Transport) {
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
    consumer.settler.settle(&verdicts).await.unwrap();
    let again = receive_many(&mut consumer, 2).await;
    // What is held for a while is refreshed, and settled entries are removed.
    server.called_again("xclaim", 2).await;
    server.called_again("xtrim", 1).await;
    ack(&consumer, &again).await;
    let letters = transport.dead_letters();
    letters.append(&[message("another")]).await.unwrap();
    let found = letters.scan(None, 10).await.unwrap();
    assert_eq!((found.len(), letters.len().await.unwrap()), (2, 2));
    assert_eq!(letters.remove(&[found[0].0.clone()]).await.unwrap(), 1);
    transport.inspect().await.unwrap();
    transport.ages().await.unwrap();
    drop(consumer);
    let settled = async || transport.backlog().await.unwrap().unsettled == 0;
    eventually(LIMIT, "everything is settled", settled).await;
}
