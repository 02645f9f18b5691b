//! Promises that letters can be read page by page, also while they change.

use super::Harness;
use super::tools::{holding, numbered, ok, payloads_of};

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
