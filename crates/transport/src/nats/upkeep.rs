//! Says of what is held that it is still worked on, so that the server hands it to nobody else.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::consume::Consuming;
use super::settle;

/// Keeps what is held, three times within the server's patience, until the consumer has ended and holds nothing.
pub(super) async fn keep_held(consuming: Arc<Consuming>) {
    let often = consuming.ack_wait / 3;
    while !(*consuming.stop.borrow() && consuming.held.is_empty()) {
        sleep(often).await;
        keep_once(&consuming).await;
    }
}

async fn keep_once(consuming: &Consuming) {
    let now = Instant::now();
    // What the server has not heard of for too long may be somebody else's by now.
    let lost = consuming.held.older_than(consuming.ack_wait, now);
    if !lost.is_empty() {
        tracing::debug!(consumer = %consuming.name, count = lost.len(), "held for too long without the server hearing of it");
        consuming.held.let_go(lost.into_iter().map(|(tag, _)| tag));
    }
    let mut old = consuming.held.older_than(consuming.ack_wait / 4, now);
    old.retain(|(_, entry)| !entry.forsaken);
    if old.is_empty() {
        return;
    }
    let tags: Vec<_> = old.iter().map(|(tag, _)| *tag).collect();
    match settle::say_working(consuming, old).await {
        Ok(()) => consuming.held.refresh(tags, now),
        Err(error) => tracing::debug!(consumer = %consuming.name, %error, "cannot say what is still worked on"),
    }
}
