//! Promises that removing letters removes those and no others.

use super::Harness;
use super::tools::{holding, numbered, ok, payloads_of};

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
