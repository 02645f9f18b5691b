//! Promises that the ages of what waits are right where they are told, and never told of what is not there.

use std::time::{Duration, SystemTime};

use super::Harness;
use super::tools::{LIMIT, ack, consume, eventually, holding, later, message, ok, receive, receive_many, settle};
use crate::{Ages, Dated, Transport};

/// How far the clocks of a broker and of this process may be apart on one machine.
const CLOCKS: Duration = Duration::from_secs(2);

/// The oldest message keeps its age while it is held; delayed copies have theirs; what is done has none. A transport may say
/// nothing of any of them.
pub async fn what_waits_is_dated_or_not_at_all(harness: &dyn Harness) {
    let transport = holding(harness, &[]).await;
    assert_eq!(ages(&*transport).await, Ages::default());
    let before = SystemTime::now();
    let mut oldest = message("oldest");
    oldest.headers.set("quash-first-failure", "7");
    ok(transport.publish(&[oldest.clone(), message("other")]).await, "publish");
    is_of(ages(&*transport).await.oldest, before, &oldest.headers);

    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive_many(&mut consumer, 2).await;
    is_of(ages(&*transport).await.oldest, before, &oldest.headers);
    let parked_at = SystemTime::now();
    let delay = Duration::from_secs(2);
    settle(&consumer, &batch[..1], |delivery| later(delivery, delay)).await;
    ack(&consumer, &batch[1..]).await;

    let now = ages(&*transport).await;
    assert_eq!(now.oldest, None, "what waits for its delay is not ready");
    is_of(now.oldest_delayed, parked_at, &oldest.headers);
    if let Some(due) = now.next_due {
        assert!(due + CLOCKS >= parked_at + delay && due <= SystemTime::now() + delay + CLOCKS, "{due:?}");
    }
    let back = receive(&mut consumer).await;
    ack(&consumer, &back).await;
    eventually(LIMIT, "nothing that waits has an age", async || ages(&*transport).await == Ages::default()).await;
}

fn is_of(dated: Option<Dated>, since: SystemTime, headers: &crate::Headers) {
    if let Some(dated) = dated {
        assert!(dated.since + CLOCKS >= since && dated.since <= SystemTime::now() + CLOCKS, "{dated:?}, not {since:?}");
        assert_eq!(&dated.headers, headers);
    }
}

async fn ages(transport: &dyn Transport) -> Ages {
    ok(transport.ages().await, "ages")
}
