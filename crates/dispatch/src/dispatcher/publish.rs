//! Hands messages to brokers, for callers who wait no longer than they want to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::engine::Hand;
use super::receipt::Cause;
use quash_transport::backoff::Pace;
use quash_transport::{Message, Transport, TransportError};

/// How long publishing goes on after its caller gave up: making a connection takes longer than a request waits, and the
/// next caller finds it ready.
const GOES_ON_FOR: Duration = Duration::from_secs(5);

/// How long publishing may take when nobody waits for it.
const PATIENT: Duration = Duration::from_secs(30);

/// Calls to brokers at once, those included whose callers gave up. While a broker hangs there are soon as many.
const CALLS_MAX: usize = 1024;

/// What goes to one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Outgoing {
    pub(super) source: String,
    /// To its queue.
    pub(super) messages: Vec<Message>,
    /// To its dead letters.
    pub(super) letters: Vec<Message>,
}

impl Outgoing {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.letters.is_empty()
    }
}

/// All sources, each with a connection that lives on the engine.
pub(super) struct Publisher {
    hand: Hand,
    sources: BTreeMap<String, Arc<dyn Transport>>,
    calls: Arc<Semaphore>,
}

impl Publisher {
    pub(super) fn new(hand: Hand, sources: BTreeMap<String, Arc<dyn Transport>>) -> Self {
        Self { hand, sources, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    pub(super) fn transport(&self, source: &str) -> Option<&Arc<dyn Transport>> {
        self.sources.get(source)
    }

    /// Publishes, and returns when the broker has taken all of it, within a limit.
    pub(super) async fn publish(&self, outgoing: Outgoing, limit: Duration) -> Result<(), Cause> {
        let source_name = outgoing.source.clone();
        let Some(transport) = self.sources.get(&source_name).map(Arc::clone) else {
            return Err(unknown(source_name));
        };
        let calls = Arc::clone(&self.calls);
        let call = async move {
            let mut call = Box::pin(async move {
                // Nobody closes the semaphore.
                let _call = calls.acquire_owned().await.ok();
                send(&*transport, &outgoing).await
            });
            match timeout(limit, &mut call).await {
                Ok(answer) => Some(answer),
                Err(_) => {
                    tokio::spawn(timeout(GOES_ON_FOR, call));
                    None
                }
            }
        };
        match self.hand.run(call).await {
            Some(Some(answer)) => answer.map_err(|error| Cause::Broker { source_name, error }),
            Some(None) => Err(Cause::Late { source_name, limit }),
            None => Err(Cause::Closed),
        }
    }

    /// Publishes for nobody who waits: as often as it takes. Runs on the engine.
    pub(super) async fn insist(&self, outgoing: &Outgoing) {
        let Some(transport) = self.sources.get(&outgoing.source) else { return };
        let mut pace = Pace::of_reconnects();
        let mut is_told = false;
        while let Err(error) = patiently(send(&**transport, outgoing)).await {
            if !is_told {
                tracing::warn!(source = %outgoing.source, %error, "what failed here cannot be handed over yet; trying until it can");
                is_told = true;
            }
            pace.failed().await;
        }
    }
}

fn unknown(source_name: String) -> Cause {
    Cause::Broker { source_name, error: TransportError::Refused("the source is not configured".to_owned()) }
}

async fn send(transport: &dyn Transport, outgoing: &Outgoing) -> Result<(), TransportError> {
    if !outgoing.letters.is_empty() {
        transport.dead_letters().append(&outgoing.letters).await?;
    }
    if !outgoing.messages.is_empty() {
        transport.publish(&outgoing.messages).await?;
    }
    Ok(())
}

/// Waits long for a broker, but not for ever.
pub(super) async fn patiently(call: impl Future<Output = Result<(), TransportError>>) -> Result<(), TransportError> {
    let silent = || TransportError::Unreachable(format!("no answer within {PATIENT:?}"));
    timeout(PATIENT, call).await.unwrap_or_else(|_| Err(silent()))
}
