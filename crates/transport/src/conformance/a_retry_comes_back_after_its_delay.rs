//! Promises that delays are kept: never much earlier, and not of another order of magnitude.

use std::time::Duration;

use tokio::time::Instant;

use super::Harness;
use super::tools::{ack, consume, holding, later, message, receive, receive_many};
use crate::Delivery;

/// Copies come back in the order of their delays, whichever order they were parked in, and each after its own.
pub async fn a_retry_comes_back_after_its_delay(harness: &dyn Harness) {
    let delays = [1200, 100, 700];
    let messages = delays.map(|delay: u64| message(delay.to_string()));
    let transport = holding(harness, &messages).await;
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive_many(&mut consumer, 3).await;
    let started = Instant::now();
    super::tools::settle(&consumer, &batch, |delivery| later(delivery, delay_of(delivery))).await;
    for expected in [100, 700, 1200] {
        let back = receive(&mut consumer).await;
        let waited = started.elapsed();
        let delays: Vec<_> = back.iter().map(delay_of).collect();
        assert_eq!(delays, [Duration::from_millis(expected)]);
        assert!(waited.as_millis() + 20 >= expected.into(), "{expected} ms came after {waited:?}");
        assert!(waited.as_millis() <= (expected * 10).into(), "{expected} ms came after {waited:?}");
        ack(&consumer, &back).await;
    }
}

fn delay_of(delivery: &Delivery) -> Duration {
    let text = String::from_utf8_lossy(&delivery.message.payload);
    Duration::from_millis(text.parse().unwrap_or_else(|_| panic!("a payload became {text}")))
}
