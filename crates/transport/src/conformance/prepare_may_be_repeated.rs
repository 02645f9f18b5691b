//! Promises that preparing is idempotent, and touches no message.

use super::Harness;
use super::tools::{consume, holding, numbered, ok, payloads, receive_many};

/// Preparing again, also by several at once and over waiting messages, changes nothing.
pub async fn prepare_may_be_repeated(harness: &dyn Harness) {
    let [one, other] = [harness.transport(), harness.transport()];
    let (first, second) = tokio::join!(one.prepare(), other.prepare());
    ok(first.and(second), "prepare at once");
    let transport = holding(harness, &numbered(0..3)).await;
    ok(transport.prepare().await, "prepare over messages");
    let mut consumer = consume(&*transport, "a", 4).await;
    assert_eq!(payloads(&receive_many(&mut consumer, 3).await), ["0", "1", "2"]);
}
