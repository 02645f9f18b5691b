//! Runs the suite against stores that do all of it, a part of it, or less than they claim.

use quash_config::Finding;

use super::*;
use crate::memory::Memory;
use crate::{Can, Identity, Refusal, StoreError};

#[async_trait]
impl Fixture for Memory {
    fn store(&self) -> &dyn Store {
        self
    }

    async fn set(&self, key: &str, value: &str) {
        Self::set(self, key, value);
    }

    async fn get(&self, key: &str) -> Option<String> {
        Self::get(self, key).map(|value| String::from_utf8(value).unwrap())
    }

    async fn set_bytes(&self, key: &str, value: &[u8], ttl_ms: u64) {
        self.set_for(key, value, Duration::from_millis(ttl_ms));
    }

    async fn get_bytes(&self, key: &str) -> Option<Vec<u8>> {
        Self::get(self, key)
    }

    async fn ttl_ms(&self, key: &str) -> Option<u64> {
        self.time_to_live(key).map(|time| u64::try_from(time.as_millis()).unwrap())
    }

    async fn refuse(&self, key: &str) {
        Self::refuse(self, key);
    }

    async fn listen(&self, _: &str) {}

    async fn next_message(&self) -> String {
        self.published().pop().unwrap().1
    }

    async fn clear(&self) {
        self.restart_from(std::collections::BTreeMap::new());
        self.permit_all();
    }
}

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise() {
    all(&Memory::new()).await;
}

/// A cache that does less than the one in memory, and what it claims.
struct Limited {
    memory: Memory,
    does: ActionSet,
    claims: ActionSet,
}

impl Limited {
    fn new(does: ActionSet, claims: ActionSet) -> Self {
        Self { memory: Memory::new(), does, claims }
    }
}

#[async_trait]
impl Store for Limited {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        let mut outcomes = Vec::new();
        for action in actions {
            outcomes.push(match self.does.contains(ActionSet::of(action)) {
                true => self.memory.apply(std::slice::from_ref(action)).await?.outcomes.remove(0),
                false => Err(Refusal(format!("this cache cannot {}", action.kind()))),
            });
        }
        Ok(Applied { outcomes, keys_visited: 0 })
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        Err(StoreError::Refused("it does not tell".to_owned()))
    }

    async fn inspect(&self, _: ActionSet) -> Result<Vec<Finding>, StoreError> {
        Ok(Vec::new())
    }

    fn can(&self) -> Can {
        Can { actions: self.claims, tells_restarts: false, has_slots: false, answers: false }
    }
}

#[async_trait]
impl Fixture for Limited {
    fn store(&self) -> &dyn Store {
        self
    }

    async fn set(&self, key: &str, value: &str) {
        self.memory.set(key, value);
    }

    async fn get(&self, key: &str) -> Option<String> {
        Fixture::get(&self.memory, key).await
    }

    async fn set_bytes(&self, key: &str, value: &[u8], ttl_ms: u64) {
        self.memory.set_bytes(key, value, ttl_ms).await;
    }

    async fn get_bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.memory.get_bytes(key).await
    }

    async fn ttl_ms(&self, key: &str) -> Option<u64> {
        Fixture::ttl_ms(&self.memory, key).await
    }

    async fn refuse(&self, key: &str) {
        self.memory.refuse(key);
    }

    async fn listen(&self, _: &str) {}

    async fn next_message(&self) -> String {
        Fixture::next_message(&self.memory).await
    }

    async fn clear(&self) {
        Fixture::clear(&self.memory).await;
    }
}

#[tokio::test]
async fn a_store_of_exact_keys_and_one_of_tags_pass_with_what_they_claim() {
    for does in [ActionSet::DELETE, ActionSet::BUMP] {
        all(&Limited::new(does, does)).await;
    }
}

#[tokio::test]
async fn a_claim_that_does_not_hold_fails_the_suite() {
    for kind in
        [ActionSet::DELETE, ActionSet::DELETE_PREFIX, ActionSet::DELETE_PATTERN, ActionSet::BUMP, ActionSet::SET]
    {
        let does = ActionSet::ALL.without(kind);
        let too_much = tokio::spawn(async move { all(&Limited::new(does, ActionSet::ALL)).await });
        assert!(too_much.await.is_err(), "it claims {:?}", kind.names().collect::<Vec<_>>());
        let too_little = tokio::spawn(async move { all(&Limited::new(ActionSet::ALL, does)).await });
        assert!(too_little.await.is_err(), "it hides {:?}", kind.names().collect::<Vec<_>>());
    }
}
