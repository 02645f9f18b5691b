//! Keeps the gauges of a source fresh: what waits at the broker, and its dead letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_transport::{Message, TransportError};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::source::Source;
use quash_delivery::headers;
use quash_delivery::record::Record;

/// How often the broker is asked, and how long it may take to answer.
const EVERY: Duration = Duration::from_secs(3);

/// Asks the broker again and again; never ends.
pub(super) async fn refresh(source: Arc<Source>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = timeout(EVERY, ask(&source)).await;
        let silent = || Err(TransportError::Unreachable(format!("no answer within {EVERY:?}")));
        match asked.unwrap_or_else(|_| silent()) {
            // Who may consume need not be allowed to count.
            Ok(()) | Err(TransportError::Refused(_)) => judge(&source),
            Err(error) => source.metrics.disconnected(&error),
        }
    }
}

/// The broker answers; what remains is whether the consumer reaches it. An idle one hears of nothing else that it does.
fn judge(source: &Source) {
    match source.settler.get() {
        Some(settler) if settler.connected() => source.metrics.connected(),
        Some(_) => source.metrics.disconnected(&TransportError::Unreachable("the consumer is cut off".to_owned())),
        None => {}
    }
}

async fn ask(source: &Source) -> Result<(), TransportError> {
    source.metrics.backlog(&source.transport.backlog().await?);
    let letters = source.transport.dead_letters();
    let count = letters.len().await?;
    let oldest = if count > 0 { letters.scan(None, 1).await? } else { Vec::new() };
    let age = oldest.first().and_then(|(_, message)| age(message)).unwrap_or(0.0);
    source.metrics.dead_letters(count, age);
    Ok(())
}

/// Seconds since the letter was written; `None` when it does not say.
fn age(letter: &Message) -> Option<f64> {
    let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD)?).ok()?;
    let written = Duration::from_millis(u64::try_from(record.last_failure_ms).ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(written).as_secs_f64())
}
