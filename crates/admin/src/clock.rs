//! Tells the time, and waits for brokers no longer than a request may.

use std::time::Duration;

use jiff::Timestamp;
use quash_transport::TransportError;
use tokio::time::timeout;

/// How long a broker may take for one question. A request has to be answered within five seconds.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The broker's answer, or that there was none in time.
pub(crate) async fn within<T>(asked: impl Future<Output = Result<T, TransportError>>) -> Result<T, TransportError> {
    let silent = || Err(TransportError::Unreachable(format!("no answer within {ANSWER_MAX:?}")));
    timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| silent())
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
