//! Keeps answers in this process for those who wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use quash_core::answer::{AnswerId, LIFE};
use tokio::time::timeout;

use super::Memory;
use crate::{Answers, StoreError};

/// What was said and not heard yet, each with the time at which it is forgotten.
#[derive(Debug, Default)]
pub(super) struct Said(BTreeMap<AnswerId, (Instant, VecDeque<String>)>);

impl Said {
    fn add(&mut self, id: AnswerId, answer: String, now: Instant) {
        self.0.retain(|_, (until, _)| *until > now);
        let (until, said) = self.0.entry(id).or_insert_with(|| (now, VecDeque::new()));
        *until = now + LIFE;
        said.push_back(answer);
    }

    fn take(&mut self, id: AnswerId, now: Instant) -> Option<String> {
        let (until, said) = self.0.get_mut(&id)?;
        let first = if *until > now { said.pop_front() } else { None };
        if said.is_empty() || *until <= now {
            self.0.remove(&id);
        }
        first
    }
}

#[async_trait]
impl Answers for Memory {
    async fn say(&self, answers: &[(AnswerId, String)]) -> Result<(), StoreError> {
        let mut state = self.reached()?;
        let now = Instant::now();
        answers.iter().for_each(|(id, answer)| state.said.add(*id, answer.clone(), now));
        drop(state);
        self.spoken.notify_waiters();
        Ok(())
    }

    async fn hear(&self, id: AnswerId, limit: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        let heard = async {
            loop {
                let spoken = self.spoken.notified();
                tokio::pin!(spoken);
                // Listening before looking: what is said in between is heard.
                spoken.as_mut().enable();
                if let Some(answer) = self.reached()?.said.take(id, Instant::now()) {
                    return Ok(answer.into_bytes());
                }
                spoken.await;
            }
        };
        timeout(limit, heard).await.ok().transpose()
    }
}
