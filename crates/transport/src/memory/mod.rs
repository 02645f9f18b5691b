//! Keeps messages in this process, for tests and `quash dev`, with the same promises but for surviving the process.

mod consume;
mod queue;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use quash_config::Problem;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::queue::Queue;
use super::{Ages, Backlog, ConsumeOptions, Consumer, DeadLetters, LetterId, Message, Transport, TransportError};
use quash_config::{Finding, Severity};

/// A queue in this process, shared by everybody in it who uses the same name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The queue's name.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: "default".into() }
    }
}

impl Config {
    /// Opens the queue, which begins empty when nobody opened it before.
    ///
    /// # Errors
    /// Never; the signature is that of every kind.
    pub fn build(&self) -> Result<Arc<dyn Transport>, Problem> {
        static QUEUES: LazyLock<Mutex<HashMap<String, Arc<Shared>>>> = LazyLock::new(Mutex::default);
        let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(Memory { shared: Arc::clone(queues.entry(self.name.clone()).or_default()) }))
    }
}

/// One queue, and a bell that rings whenever something in it changed.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Shared {
    /// Every change of a queue is complete before anything in it can panic, so a poisoned lock guards a sound queue.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.queue());
        self.changed.notify_waiters();
        result
    }
}

struct Memory {
    shared: Arc<Shared>,
}

#[async_trait]
impl Transport for Memory {
    async fn prepare(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        self.shared.change(|queue| messages.iter().cloned().for_each(|message| queue.push(message)));
        Ok(())
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        Ok(consume::start(Arc::clone(&self.shared), options))
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        Ok(self.shared.queue().backlog(Instant::now()))
    }

    async fn ages(&self) -> Result<Ages, TransportError> {
        Ok(self.shared.queue().ages(Instant::now(), SystemTime::now()))
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        Ok(vec![Finding {
            severity: Severity::Warning,
            what: "messages are kept in this process and end with it".into(),
            mend: "use a broker where events matter".into(),
        }])
    }
}

#[async_trait]
impl DeadLetters for Memory {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        self.shared.change(|queue| letters.iter().cloned().for_each(|letter| queue.bury(letter)));
        Ok(())
    }

    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let after = after.map(number).transpose()?;
        let queue = self.shared.queue();
        Ok(queue.letters(after).take(max).map(|(id, letter)| (LetterId(id.to_string()), letter.clone())).collect())
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        let ids = ids.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        Ok(self.shared.change(|queue| ids.into_iter().map(|id| u64::from(queue.exhume(id))).sum()))
    }

    async fn len(&self) -> Result<u64, TransportError> {
        Ok(self.shared.queue().letters(None).count() as u64)
    }
}

fn number(id: &LetterId) -> Result<u64, TransportError> {
    id.0.parse().map_err(|_| TransportError::Refused(format!("`{}` is no identifier of a dead letter", id.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Harness;

    struct Named(Config);

    impl Named {
        async fn new() -> Self {
            static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Self(Config { name: format!("conformance-{number}") })
        }
    }

    #[async_trait]
    impl Harness for Named {
        fn transport(&self) -> Arc<dyn Transport> {
            self.0.build().unwrap()
        }
    }

    crate::transport_conformance!(tokio::test(start_paused = true), Named::new());

    #[tokio::test]
    async fn queues_of_other_names_are_other_queues() {
        let [one, other] = [Named::new().await, Named::new().await];
        one.transport().publish(&[Message::default()]).await.unwrap();
        assert_eq!(one.transport().backlog().await.unwrap().ready, 1);
        assert_eq!(other.transport().backlog().await.unwrap().ready, 0);
    }
}
