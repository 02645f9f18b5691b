//! Judges what a cache holds at the end: what publishers had confirmed, the entries against the truth, and the dead letters.
//!
//! It reads frames by itself, so that what it says does not hang on the code that is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::AsyncCommands;
use serde_json::Value;

use crate::RedisServer;

/// What every frame begins with.
const MAGIC: &[u8] = b"\xC1Q1";
/// Bytes before the tags, and bytes of each of them.
const TAGS_AT: usize = 70;
const TAG: usize = 19;

/// Knows what was changed, and of which changes the broker has the event.
#[derive(Default)]
pub struct Oracle(Mutex<BTreeMap<String, Change>>);

/// The last change of one thing.
#[derive(Debug, Clone, Default)]
struct Change {
    version: u64,
    confirmed: u64,
}

/// What a cache holds, against the truth.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Entries that a reader would be served as fresh.
    pub served: BTreeSet<String>,
    /// Those of them that are not what is true, and by no excuse.
    pub stale: Vec<String>,
    /// Those that are not, and whose last event the broker never confirmed, or which is a dead letter.
    pub excused: Vec<String>,
    /// Values in no frame.
    pub foreign: Vec<String>,
}

/// An entry as its bytes say it.
#[derive(Debug, PartialEq, Eq)]
enum Stands<'b> {
    /// Served as fresh if its tags are these.
    Value(Vec<&'b [u8]>, &'b [u8]),
    /// Anything that says itself that it is no fresh value.
    Other,
    Foreign,
}

impl Oracle {
    /// This became this version, and an event of it is to come.
    pub fn changed(&self, thing: &str, version: u64) {
        let mut changes = self.changes();
        let change = changes.entry(thing.to_owned()).or_default();
        change.version = change.version.max(version);
    }

    /// The broker has the event of this version.
    pub fn confirmed(&self, thing: &str, version: u64) {
        let mut changes = self.changes();
        let change = changes.entry(thing.to_owned()).or_default();
        change.confirmed = change.confirmed.max(version);
    }

    /// How many changes were confirmed, of all that there were.
    #[must_use]
    pub fn confirmations(&self) -> u64 {
        self.changes().values().map(|change| change.confirmed).sum()
    }

    /// Compares each of these entries, given as its key, its tags' keys, the thing that it is about, and its true payload.
    /// Letters excuse the things whose events they name by `THING@`.
    ///
    /// # Panics
    /// When the cache does not answer.
    pub async fn judge(
        &self,
        cache: &RedisServer,
        entries: &[(String, Vec<String>, String, Value)],
        letters: &[Value],
    ) -> Judgement {
        let mut connection = cache.connect().await;
        let letters: Vec<String> = letters.iter().map(Value::to_string).collect();
        let mut judgement = Judgement::default();
        for (key, tags, thing, truth) in entries {
            let names: Vec<&String> = std::iter::once(key).chain(tags).collect();
            let mut bytes: Vec<Option<Vec<u8>>> = connection.mget(&names).await.expect("the cache answers");
            let tags = bytes.split_off(1);
            let Some(entry) = bytes.pop().flatten() else { continue };
            let payload = match stands(&entry) {
                Stands::Value(of, payload) if is_of_now(&of, &tags) => payload,
                Stands::Foreign => {
                    judgement.foreign.push(key.clone());
                    continue;
                }
                _ => continue,
            };
            judgement.served.insert(key.clone());
            if serde_json::from_slice::<Value>(payload).ok().as_ref() == Some(truth) {
                continue;
            }
            let told = format!("{key}: {} instead of {truth}", String::from_utf8_lossy(payload));
            let is_letter = letters.iter().any(|letter| letter.contains(&format!("{thing}@")));
            if is_letter || !self.is_confirmed(thing) {
                judgement.excused.push(told)
            } else {
                judgement.stale.push(told)
            }
        }
        judgement
    }

    fn is_confirmed(&self, thing: &str) -> bool {
        self.changes().get(thing).is_none_or(|change| change.confirmed >= change.version)
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<String, Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stands(bytes: &[u8]) -> Stands<'_> {
    if !bytes.starts_with(MAGIC) {
        return Stands::Foreign;
    }
    let tags = bytes.get(7).and_then(|digit| char::from(*digit).to_digit(16)).unwrap_or_default() as usize;
    match (bytes.get(3), bytes.get(TAGS_AT..TAGS_AT + TAG * tags)) {
        (Some(b'V'), Some(of)) => Stands::Value(of.chunks(TAG).collect(), &bytes[TAGS_AT + TAG * tags..]),
        _ => Stands::Other,
    }
}

/// Whether the tokens of an entry are those that stand at its tags; a missing one means stale.
fn is_of_now(of: &[&[u8]], now: &[Option<Vec<u8>>]) -> bool {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    let same = |(of, now): (&&[u8], &Option<Vec<u8>>)| {
        now.as_deref().and_then(number).is_some_and(|now| number(of) == Some(now))
    };
    of.len() == now.len() && of.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry in this state with these tags.
    fn entry(state: u8, tags: &[u64]) -> Vec<u8> {
        let count = char::from_digit(u32::try_from(tags.len()).unwrap(), 16).unwrap();
        let tags: String = tags.iter().map(|tag| format!("{tag:019}")).collect();
        let text = format!("0v-{count}{}{}{tags}{{}}", "0".repeat(49), "0".repeat(13));
        [MAGIC, &[state], text.as_bytes()].concat()
    }

    #[test]
    fn only_a_value_of_the_present_tags_is_served() {
        assert_eq!(stands(&entry(b'V', &[])), Stands::Value(vec![], b"{}"));
        for state in [b'S', b'L', b'T'] {
            assert_eq!(stands(&entry(state, &[])), Stands::Other);
        }
        assert_eq!(stands(b"{}"), Stands::Foreign);
        let (bytes, now) = (entry(b'V', &[7]), |tag: &str| vec![Some(tag.as_bytes().to_vec())]);
        let Stands::Value(of, _) = stands(&bytes) else { panic!("a value") };
        assert!(
            is_of_now(&of, &now("7")) && !is_of_now(&of, &now("8")) && !is_of_now(&of, &[None]) && !is_of_now(&of, &[])
        );
    }

    #[tokio::test]
    async fn what_was_not_confirmed_or_became_a_letter_is_an_excuse_and_nothing_else_is() {
        let (cache, oracle) = (RedisServer::start().await, Oracle::default());
        let mut connection = cache.connect().await;
        let entries: Vec<_> = ["good", "bad", "lost", "letter"]
            .map(|thing| {
                (
                    format!("k:{thing}"),
                    Vec::new(),
                    thing.to_owned(),
                    if thing == "good" { serde_json::json!({}) } else { Value::Null },
                )
            })
            .to_vec();
        for (key, _, thing, _) in &entries {
            let () = connection.set(key, entry(b'V', &[])).await.unwrap();
            oracle.changed(thing, 2);
            oracle.confirmed(thing, if thing == "lost" { 1 } else { 2 });
        }
        let judged = oracle.judge(&cache, &entries, &[serde_json::json!({"id": "letter@2"})]).await;
        assert_eq!(judged.stale, ["k:bad: {} instead of null"]);
        assert_eq!(judged.excused.len(), 2);
        assert_eq!(judged.served.len(), 4);
    }
}
