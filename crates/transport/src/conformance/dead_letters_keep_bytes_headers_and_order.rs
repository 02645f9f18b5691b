//! Promises that dead letters are kept as they were given, in the order in which they came.

use std::time::Duration;

use super::Harness;
use super::tools::{LIMIT, consume, dead, eventually, holding, message, ok, receive_many, settle};
use crate::{DeadLetters, Message};

/// Appended and settled letters keep payload and headers; scanning disturbs nothing; a broker's restart loses none.
pub async fn dead_letters_keep_bytes_headers_and_order(harness: &dyn Harness) {
    let sent = letters();
    let transport = holding(harness, &sent[..2]).await;
    let mut consumer = consume(&*transport, "a", 1).await;
    for delivery in receive_many(&mut consumer, 2).await {
        settle(&consumer, &[delivery], dead).await;
    }
    ok(transport.dead_letters().append(&sent[2..]).await, "append");
    for _ in 0..2 {
        assert_eq!(all(transport.dead_letters()).await, sent);
    }
    drop((consumer, transport));
    if harness.restart().await {
        let transport = harness.transport();
        eventually(LIMIT, "the dead letters can be read", async || transport.dead_letters().len().await.is_ok()).await;
        assert_eq!(all(transport.dead_letters()).await, sent);
    }
}

async fn all(letters: &dyn DeadLetters) -> Vec<Message> {
    let letters = tokio::time::timeout(Duration::from_secs(10), letters.scan(None, 100)).await;
    ok(ok(letters, "scan"), "scan").into_iter().map(|(_, letter)| letter).collect()
}

fn letters() -> Vec<Message> {
    let mut letters: Vec<_> = [&b"garbage \xff\0\r\n"[..], b"", b"third", b"fourth"].map(message).into();
    for (index, letter) in letters.iter_mut().enumerate() {
        letter.headers.set("quash-dead-letter", format!("{{\"place\":{index}}}"));
        letter.headers.set("body", "a header of a misleading name");
    }
    letters
}
