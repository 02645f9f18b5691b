//! Walks over all keys once, for any number of prefixes and globs, at a pace that leaves the server time for others.

use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use super::frames::Frames;
use super::link::Link;
use super::node::Node;
use super::order::{Order, Tally};
use super::reply::{answer, text};
use super::wanted::Wanted;
use crate::survey::Looker;
use crate::{KeyCount, KeyPattern, StoreError, Survey};
use quash_core::action::Action;

/// Keys per SCAN at first: they hold the server for half a millisecond, a slow one for two.
const STEP_KEYS: u64 = 1000;

/// Keys per SCAN at most, where the answers come so soon that the round trips are much of a pass.
const STEP_KEYS_MAX: u64 = 4000;

/// Steps that take less grow.
const STEP_SHORT: Duration = Duration::from_millis(2);

/// Removes every wanted key, on all nodes at once. Returns what came of it, with the commands that are
/// still to be sent, and how many keys were looked at.
///
/// A key that exists from before the pass until after it is seen for certain; one written meanwhile may be missed.
///
/// # Errors
/// When a node does not answer, cannot work now or does not let us scan.
pub(super) async fn remove<'a>(
    link: &Link,
    wanted: &Wanted<'_>,
    pace: f64,
    actions: &[Action],
) -> Result<(Tally<'a>, u64), StoreError> {
    let sweeps = link.nodes.iter().map(|node| sweep(link, node, wanted, pace, actions));
    let swept = futures_util::future::try_join_all(sweeps).await?;
    link.still_whole().await?;
    let mut tally = Tally::new(actions.len());
    let mut visited = 0;
    for (part, keys) in swept {
        tally.merge(part);
        visited += keys;
    }
    Ok((tally, visited))
}

/// How many keys each of so many owners wants; a key may be counted twice while the server grows its table.
///
/// # Errors
/// As [`remove`].
pub(super) async fn count(link: &Link, set: &Wanted<'_>, owners: usize, pace: f64) -> Result<Vec<u64>, StoreError> {
    let mut counts = vec![0; owners];
    if set.is_empty() {
        return Ok(counts);
    }
    for node in &link.nodes {
        let mut walk = Walk::begin(node, set.pattern(), pace).await?;
        while !walk.done() {
            let step = walk.step(Vec::new()).await?;
            let owners = step.keys.iter().flat_map(|key| set.owners(key));
            owners.for_each(|owner| counts[owner] += 1);
        }
    }
    Ok(counts)
}

/// Looks at the keys of all nodes at once, until everything was seen or the time is over.
///
/// # Errors
/// When a node does not answer, cannot work now or does not let us scan.
pub(super) async fn survey(
    link: &Link,
    patterns: &[KeyPattern],
    pace: f64,
    limit: Duration,
) -> Result<Survey, StoreError> {
    let until = Instant::now() + limit;
    let parts = link.nodes.iter().map(|node| survey_node(node, patterns, pace, until));
    let mut whole = Survey { counts: vec![KeyCount::default(); patterns.len()], keys: 0, complete: true };
    for part in futures_util::future::try_join_all(parts).await? {
        whole.counts.iter_mut().zip(&part.counts).for_each(|(sum, seen)| sum.merge(seen));
        whole.keys += part.keys;
        whole.complete &= part.complete;
    }
    Ok(whole)
}

async fn survey_node(node: &Node, patterns: &[KeyPattern], pace: f64, until: Instant) -> Result<Survey, StoreError> {
    // All keys, since those of others behind the same prefixes are counted as well.
    let mut walk = Walk::begin(node, b"*".to_vec(), pace).await?;
    let mut looker = Looker::new(patterns);
    while !walk.done() && !patterns.is_empty() && Instant::now() < until {
        walk.step(Vec::new()).await?.keys.iter().for_each(|key| looker.see(key));
    }
    let complete = walk.done() || patterns.is_empty();
    Ok(Survey { counts: looker.finish(), keys: walk.visited, complete })
}

async fn sweep<'a>(
    link: &Link,
    node: &Node,
    wanted: &Wanted<'_>,
    pace: f64,
    actions: &[Action],
) -> Result<(Tally<'a>, u64), StoreError> {
    let mut walk = Walk::begin(node, wanted.pattern(), pace).await?;
    let mut tally = Tally::new(actions.len());
    let frames = Frames::of(actions);
    let mut orders: Vec<Order<'a>> = Vec::new();
    while !walk.done() {
        let step = walk.step(orders.iter().map(|order| order.command()).collect()).await?;
        for (order, reply) in orders.drain(..).zip(step.replies) {
            tally.book(order, reply)?;
        }
        orders = std::mem::take(&mut tally.again);
        let (unlinks, voids) = frames.owned(wanted, step.keys);
        orders.extend(link.unlinks(unlinks));
        orders.extend(link.voids(voids));
    }
    tally.again = orders;
    Ok((tally, walk.visited))
}

/// A walk over the keys of one node.
struct Walk<'n> {
    node: &'n Node,
    pattern: Vec<u8>,
    pace: f64,
    /// Keys per SCAN.
    keys: u64,
    /// The server's place in its table; `None` when it has come round.
    cursor: Option<String>,
    /// Keys on the node when the walk began.
    visited: u64,
}

/// How many keys the next step looks at, after one of so many took so long.
fn keys_after(keys: u64, took: Duration) -> u64 {
    if took < STEP_SHORT { (keys * 2).min(STEP_KEYS_MAX) } else { keys }
}

/// What one step brought.
struct Step {
    /// The replies to the commands that travelled with it.
    replies: Vec<Value>,
    /// The keys that match the pattern.
    keys: Vec<Vec<u8>>,
}

impl<'n> Walk<'n> {
    async fn begin(node: &'n Node, pattern: Vec<u8>, pace: f64) -> Result<Self, StoreError> {
        // Only for a metric: whoever may not ask for the size may still scan.
        let visited = match node.ask(redis::cmd("DBSIZE")).await? {
            Value::Int(keys) => u64::try_from(keys).unwrap_or(0),
            _ => 0,
        };
        Ok(Self { node, pattern, pace, keys: STEP_KEYS, cursor: Some("0".to_owned()), visited })
    }

    const fn done(&self) -> bool {
        self.cursor.is_none()
    }

    /// Sends commands and the next SCAN in one write.
    async fn step(&mut self, mut commands: Vec<Cmd>) -> Result<Step, StoreError> {
        self.pause().await;
        let begun = Instant::now();
        commands.push(self.scan());
        let mut replies = self.node.send(commands).await?;
        let ended = Instant::now();
        self.node.rest().after_step(begun, ended, self.pace);
        self.keys = keys_after(self.keys, ended - begun);
        let (cursor, keys) = parse(answer(replies.pop().unwrap_or(Value::Nil))?)?;
        self.cursor = Some(cursor).filter(|cursor| cursor != "0");
        Ok(Step { replies, keys })
    }

    fn scan(&self) -> Cmd {
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.cursor.as_deref().unwrap_or("0"));
        if self.pattern != b"*" {
            scan.arg("MATCH").arg(&self.pattern);
        }
        scan.arg("COUNT").arg(self.keys);
        scan
    }

    async fn pause(&self) {
        // Other passes may have worked meanwhile: what is due then is theirs as well.
        let mut due = self.node.rest().before_step(Instant::now());
        while let Some(rest) = due {
            tokio::time::sleep(rest).await;
            due = self.node.rest().before_step(Instant::now());
        }
    }
}

fn parse(reply: Value) -> Result<(String, Vec<Vec<u8>>), StoreError> {
    let strange = || StoreError::Unreachable("the answer to SCAN is not one".to_owned());
    let Value::Array(parts) = reply else { return Err(strange()) };
    let Ok([cursor, Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else { return Err(strange()) };
    let bytes = |key| match key {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    };
    Ok((text(&cursor).ok_or_else(strange)?, keys.into_iter().filter_map(bytes).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_up_to_a_bound_and_only_where_answers_come_soon() {
        let steps =
            |took: Duration| [1, 2, 3].map(|steps| (0..steps).fold(STEP_KEYS, |keys, _| keys_after(keys, took)));
        assert_eq!(steps(STEP_SHORT / 2), [2000, 4000, 4000]);
        assert_eq!(steps(STEP_SHORT), [1000; 3]);
    }
}
