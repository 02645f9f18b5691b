//! Brings parked copies back into the stream when they are due.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use super::consume::Consuming;
use super::scripts::{self, MOVE};
use super::wire::{list, number, text};
use crate::TransportError;
use crate::backoff::Pace;

/// How long to sleep at most: others may park something that is due earlier.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Moves due copies for ever. Several workers may do so at once: each copy is moved by one of them.
pub(super) async fn run(consuming: Arc<Consuming>) {
    let mut pace = Pace::of_reconnects();
    loop {
        match move_due(&consuming).await {
            Ok(next) => {
                pace.succeeded();
                tokio::select! { () = sleep(next) => {}, () = consuming.parked.notified() => {} }
            }
            Err(error) => {
                tracing::debug!(%error, "moving parked copies failed");
                pace.failed().await;
            }
        }
    }
}

/// Moves a chunk of what is due; returns how long until there may be more.
async fn move_due(consuming: &Consuming) -> Result<Duration, TransportError> {
    let names = &consuming.shared.names;
    let call = MOVE.call(&[&names.stream, &names.due, &names.parked]);
    let mut answer = list(scripts::call(&consuming.link, call).await?).unwrap_or_default().into_iter();
    let _moved = answer.next();
    let next = answer.next();
    let lost: Vec<_> = answer.next().and_then(list).into_iter().flatten().filter_map(text).collect();
    consuming.shared.report_lost(&lost);
    Ok(match next {
        Some(Value::Int(milliseconds)) if milliseconds < 0 => SLEEP_MAX,
        Some(milliseconds) => Duration::from_millis(number(&milliseconds)).min(SLEEP_MAX),
        None => SLEEP_MAX,
    })
}
