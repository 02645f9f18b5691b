//! Waits for a condition within a limit, asking again and again.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Often enough that no test waits noticeably, seldom enough that asking costs the servers nothing.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Returns when the condition holds.
///
/// # Panics
/// When it did not hold within the limit; `what` says what was waited for.
pub async fn eventually(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let asked = timeout(limit, async {
        let mut pace = pace();
        while !condition().await {
            pace.tick().await;
        }
    });
    assert!(asked.await.is_ok(), "waited {limit:?} in vain: {what}");
}

/// Returns when the value asked for is the one expected.
///
/// # Panics
/// When it was another one for the whole limit; the message shows the last.
pub async fn becomes<T: PartialEq + Debug>(limit: Duration, what: &str, expected: T, mut ask: impl AsyncFnMut() -> T) {
    let (begun, mut pace) = (Instant::now(), pace());
    loop {
        let asked = timeout(limit, ask()).await.unwrap_or_else(|_| panic!("no answer within {limit:?}: {what}"));
        if asked == expected {
            return;
        }
        assert!(begun.elapsed() < limit, "after {limit:?} still {asked:?} instead of {expected:?}: {what}");
        pace.tick().await;
    }
}

/// Returns what was asked for as soon as it can be had.
///
/// # Panics
/// When it could not be had for the whole limit; the message shows the last error.
pub(crate) async fn answered<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let (begun, mut pace) = (Instant::now(), pace());
    loop {
        match timeout(limit, ask()).await.unwrap_or_else(|_| panic!("no answer within {limit:?}: {what}")) {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < limit, "after {limit:?} still {error}: {what}"),
        }
        pace.tick().await;
    }
}

fn pace() -> Interval {
    let mut pace = interval(ASK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
