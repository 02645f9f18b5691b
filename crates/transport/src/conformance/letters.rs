//! Promises: dead letters are kept, looked at and removed as they are.

use std::time::Duration;

use super::Harness;
use super::tools::{
    LIMIT, consume, dead, eventually, holding, message, numbered, ok, payloads_of, receive_many, settle,
};
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

/// Pages follow each other without gap or overlap, also when the last letter seen is removed between two of them.
pub async fn scanning_dead_letters_pages(harness: &dyn Harness) {
    let transport = holding(harness, &[]).await;
    let letters = transport.dead_letters();
    assert_eq!(ok(letters.scan(None, 10).await, "scan"), []);
    ok(letters.append(&numbered(0..10)).await, "append");
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ok(letters.scan(after.as_ref(), 4).await, "scan");
        assert!(page.len() <= 4, "a page of {}", page.len());
        let Some((last, _)) = page.last() else { break };
        ok(letters.remove(std::slice::from_ref(last)).await, "remove");
        after = Some(last.clone());
        seen.extend(payloads_of(&page));
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(ok(letters.len().await, "len"), 7);
}

/// The letters named go, their neighbours stay, and removing again says that nothing was there.
pub async fn removing_dead_letters_is_selective(harness: &dyn Harness) {
    let transport = holding(harness, &[]).await;
    let letters = transport.dead_letters();
    ok(letters.append(&numbered(0..5)).await, "append");
    let ids: Vec<_> = ok(letters.scan(None, 10).await, "scan").into_iter().map(|(id, _)| id).collect();
    let chosen = [ids[1].clone(), ids[3].clone()];
    assert_eq!(ok(letters.remove(&chosen).await, "remove"), 2);
    assert_eq!(ok(letters.remove(&chosen).await, "remove again"), 0);
    assert_eq!(ok(letters.remove(&[]).await, "remove none"), 0);
    assert_eq!(payloads_of(&ok(letters.scan(None, 10).await, "scan")), ["0", "2", "4"]);
    assert_eq!(ok(letters.len().await, "len"), 3);
}
