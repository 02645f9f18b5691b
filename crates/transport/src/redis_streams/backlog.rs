//! Counts what waits.

use std::sync::atomic::Ordering;

use redis::{Pipeline, Value};

use super::Shared;
use super::connection::{Link, all, code};
use super::topology::{Names, groups};
use super::wire::{list, number, text};
use crate::{Backlog, TransportError};

/// Counts what waits; a queue that does not exist yet is empty.
pub(super) async fn backlog(link: &Link, shared: &Shared) -> Result<Backlog, TransportError> {
    let names = &shared.names;
    let mut pipeline = Pipeline::new();
    pipeline.cmd("XLEN").arg(&names.stream).cmd("ZCARD").arg(&names.due).add_command(groups(names));
    let mut answers = link.run(&mut pipeline).await?;
    let groups = match answers.pop() {
        // The stream itself may not be there yet.
        Some(answer) if code(&answer) == Some("ERR") => None,
        Some(answer) => all(vec![answer])?.pop(),
        None => None,
    };
    let counts = all(answers)?;
    let length = counts.first().map_or(0, number);
    let group = groups.and_then(list).into_iter().flatten().find_map(|group| Group::named(group, names));
    let (ready, unsettled) = group.map_or((length, 0), |group| (group.unread(length), group.pending));
    Ok(Backlog {
        ready,
        unsettled,
        delayed: counts.get(1).map_or(0, number),
        lost: shared.lost.load(Ordering::Relaxed),
    })
}

struct Group {
    pending: u64,
    lag: Option<u64>,
}

impl Group {
    /// Reads the facts about our group, names and values in turn.
    fn named(facts: Value, names: &Names) -> Option<Self> {
        let (mut ours, mut group) = (false, Self { pending: 0, lag: None });
        let mut facts = list(facts)?.into_iter();
        while let (Some(name), Some(value)) = (facts.next(), facts.next()) {
            match text(name)?.as_str() {
                "name" => ours = text(value)? == names.group,
                "pending" => group.pending = number(&value),
                "lag" if matches!(value, Value::Int(_)) => group.lag = Some(number(&value)),
                _ => {}
            }
        }
        ours.then_some(group)
    }

    /// How many entries nobody of the group has read. The server cannot tell once an unread entry was deleted, and before
    /// version 7; as settled entries are trimmed, what is not pending is about right then. After a restart it may have
    /// forgotten how much was read, and then says more than there is.
    fn unread(&self, length: u64) -> u64 {
        let rest = length.saturating_sub(self.pending);
        self.lag.map_or(rest, |lag| lag.min(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_more_than_there_is() {
        let cases =
            [(None, 2, 5, 3), (Some(1), 2, 5, 1), (Some(103_442), 0, 0, 0), (Some(9), 2, 5, 3), (None, 5, 2, 0)];
        for (lag, pending, length, expected) in cases {
            assert_eq!(Group { pending, lag }.unread(length), expected, "{lag:?} {pending} {length}");
        }
    }
}
