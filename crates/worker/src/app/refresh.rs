//! Keeps the gauges of a source fresh: what waits at the broker and since when, and its dead letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_transport::{Glance, Message, TransportError};
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
        let transport = &source.transport;
        let (backlog, ages, letters) =
            tokio::join!(within(transport.backlog()), within(transport.ages()), letters(&source));
        if let Err(error) = &ages {
            tracing::debug!(source = %source.name, %error, "cannot tell since when messages wait");
        }
        match &backlog {
            Ok(backlog) => source.metrics.backlog(backlog, ages.ok().as_ref()),
            Err(_) => source.metrics.backlog_unknown(),
        }
        if let Some(settler) = source.settler.get() {
            source.metrics.interrupted(settler.interruptions());
        }
        match letters {
            Ok((count, age)) => source.metrics.dead_letters(count, age),
            Err(error) => {
                tracing::debug!(source = %source.name, %error, "cannot count the dead letters");
                source.metrics.dead_letters_unknown();
            }
        }
        judge(&source, backlog.err());
    }
}

/// Whether the consumer reaches its broker: an idle one hears of nothing else that it does. It knows best what is wrong;
/// who may consume need not be allowed to count.
fn judge(source: &Source, error: Option<TransportError>) {
    let settler = source.settler.get();
    let error = error.filter(|error| !matches!(error, TransportError::Refused(_)));
    match (settler.map(|settler| settler.problem()), error) {
        (Some(Some(problem)), _) => source.metrics.disconnected(&problem),
        (_, Some(error)) => source.metrics.disconnected(&error),
        (Some(None), None) => source.metrics.connected(),
        (None, None) => {}
    }
}

/// How many dead letters there are, and how old the oldest is.
async fn letters(source: &Source) -> Result<(u64, Option<f64>), TransportError> {
    let Glance { count, oldest } = within(source.transport.dead_letters().glance()).await?;
    let age = if count == 0 { Some(0.0) } else { oldest.as_ref().and_then(age) };
    Ok((count, age))
}

async fn within<T>(asked: impl Future<Output = Result<T, TransportError>>) -> Result<T, TransportError> {
    let silent = || Err(TransportError::Unreachable(format!("no answer within {EVERY:?}")));
    timeout(EVERY, asked).await.unwrap_or_else(|_| silent())
}

/// Seconds since the letter was written; `None` when it does not say.
fn age(letter: &Message) -> Option<f64> {
    let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD)?).ok()?;
    let written = Duration::from_millis(u64::try_from(record.last_failure_ms).ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(written).as_secs_f64())
}
