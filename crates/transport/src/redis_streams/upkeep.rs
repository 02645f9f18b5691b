//! Keeps what this consumer works on from being taken away, removes what nobody needs any more, and notices what others
//! removed.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::consume::Consuming;
use super::scripts::{self, CHUNK, REFRESH, TRIM};
use super::settle::{add_ids, retire};
use super::wire::{list, number, parse_id, text};
use crate::TransportError;

/// How often settled entries are removed.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// How many such rounds pass between two looks for consumers that nobody uses.
const RETIRE_EVERY: u32 = 60;

/// How long a consumer that holds nothing may be silent before its name is removed.
const RETIRE_AFTER: Duration = Duration::from_secs(3600);

/// Tells the server about what has been held for a while, long before it counts as abandoned.
pub(super) async fn keep_held(consuming: Arc<Consuming>) {
    let mut ticks = interval(consuming.claim_after() / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = refresh(&consuming).await {
            tracing::debug!(%error, "the server could not be told what is still worked on");
        }
    }
}

async fn refresh(consuming: &Consuming) -> Result<(), TransportError> {
    let now = Instant::now();
    let old = consuming.held.older_than(consuming.claim_after() / 3, now);
    for chunk in old.chunks(CHUNK) {
        let mut call = REFRESH.call(&[&consuming.shared.names.stream]);
        call.arg(&consuming.shared.names.group).arg(&consuming.name);
        add_ids(&mut call, chunk);
        let gone = list(scripts::call(&consuming.link, call).await?).unwrap_or_default();
        consuming.held.refresh(chunk, now);
        consuming.held.let_go(gone.into_iter().filter_map(text).filter_map(|id| parse_id(&id)));
    }
    Ok(())
}

/// Removes settled entries about every second, and sometimes the names of consumers that are long gone.
pub(super) async fn tidy(consuming: Arc<Consuming>) {
    let mut ticks = interval(TRIM_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..RETIRE_EVERY).cycle() {
        ticks.tick().await;
        logged(tidy_once(&consuming, round == 0).await);
    }
}

/// Notices what others removed while no consumer was there, and removes what is settled.
pub(super) async fn look(consuming: &Consuming) {
    logged(tidy_once(consuming, false).await);
}

fn logged(outcome: Result<(), TransportError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "removing settled entries failed");
    }
}

async fn tidy_once(consuming: &Consuming, consumers_too: bool) -> Result<(), TransportError> {
    let shared = &consuming.shared;
    let keep = u64::try_from(shared.config.keep.as_millis()).unwrap_or(u64::MAX);
    loop {
        let mut call = TRIM.call(&[&shared.names.stream, &shared.names.seen]);
        call.arg(&shared.names.group).arg(keep);
        let mut answer = list(scripts::call(&consuming.link, call).await?).unwrap_or_default().into_iter();
        let mut next = || answer.next().unwrap_or(Value::Nil);
        let (removed, dropped, last) = (number(&next()), number(&next()), text(next()));
        shared.report_dropped(dropped);
        shared.report_last(last.and_then(|id| parse_id(&id)));
        if removed == 0 {
            break;
        }
    }
    if consumers_too {
        scripts::call(&consuming.link, retire(consuming, "", RETIRE_AFTER)).await?;
    }
    Ok(())
}
