//! Tells since when entries wait: a stream's ids say when the server took them.

use redis::{Cmd, Pipeline, Value, cmd};

use super::connection::{Link, code};
use super::topology::{Names, groups};
use super::wire::{format_id, list, message, parse_id, text};
use crate::ages::moment;
use crate::{Ages, Dated, TransportError};

/// Asks twice: where the oldest are, and what they are. The members of the sorted set are in the order in which they are due,
/// so that which of them was parked first cannot be told without reading all.
pub(super) async fn ages(link: &Link, names: &Names) -> Result<Ages, TransportError> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("XPENDING").arg(&names.stream).arg(&names.group);
    pipeline.add_command(groups(names));
    pipeline.cmd("ZRANGE").arg(&names.due).arg(0).arg(0).arg("WITHSCORES");
    let mut answers = Vec::new();
    for answer in link.run(&mut pipeline).await? {
        answers.push(match code(&answer) {
            // The stream or its group may not be there yet.
            Some("ERR" | "NOGROUP") => None,
            _ => Some(answer.map_err(|error| super::connection::failure(&error))?),
        });
    }
    let due = answers.pop().flatten().and_then(score);
    let read = answers.pop().flatten().and_then(|groups| last_delivered(groups, names));
    let pending = answers.pop().flatten().and_then(|summary| text(list(summary)?.into_iter().nth(1)?));
    let oldest = [pending.map(|id| entries(names, &id, &id)), Some(after(names, read))];
    let mut pipeline = Pipeline::new();
    oldest.into_iter().flatten().for_each(|range| {
        pipeline.add_command(range);
    });
    let found = super::connection::all(link.run(&mut pipeline).await?)?;
    let oldest = found.into_iter().filter_map(dated).min_by_key(|dated| dated.since);
    Ok(Ages { oldest, oldest_delayed: None, next_due: due.and_then(moment) })
}

fn entries(names: &Names, from: &str, to: &str) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(&names.stream).arg(from).arg(to).arg("COUNT").arg(1);
    range
}

/// The first entry that the group has not read.
fn after(names: &Names, read: Option<u128>) -> Cmd {
    let from = read.and_then(|id| id.checked_add(1)).map_or_else(|| "-".to_owned(), format_id);
    entries(names, &from, "+")
}

/// The last entry that our group has read, from the facts about all groups: names and values in turn.
fn last_delivered(groups: Value, names: &Names) -> Option<u128> {
    let ours = list(groups)?.into_iter().filter_map(list).find_map(|facts| {
        let mut facts = facts.into_iter();
        let (mut ours, mut last) = (false, None);
        while let (Some(name), Some(value)) = (facts.next(), facts.next()) {
            match text(name)?.as_str() {
                "name" => ours = text(value)? == names.group,
                "last-delivered-id" => last = text(value),
                _ => {}
            }
        }
        last.filter(|_| ours)
    })?;
    parse_id(&ours)
}

/// The first entry of an answer.
fn dated(entries: Value) -> Option<Dated> {
    let mut entry = list(list(entries)?.into_iter().next()?)?.into_iter();
    let id = parse_id(&text(entry.next()?)?)?;
    let headers = entry.next().and_then(list).map(|fields| message(fields).headers).unwrap_or_default();
    Some(Dated { since: moment(u64::try_from(id >> 64).ok()?)?, headers })
}

/// The score of the one member in an answer, in either of the protocol's versions.
fn score(members: Value) -> Option<u64> {
    let mut members = list(members)?.into_iter();
    let score = match (members.next()?, members.next()) {
        (_, Some(score)) => score,
        (pair, None) => list(pair)?.into_iter().nth(1)?,
    };
    let score: f64 = match score {
        Value::Double(score) => score,
        other => text(other)?.parse().ok()?,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time in whole milliseconds, below 2^53"
    )]
    (0.0..9e15).contains(&score).then_some(score as u64)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str) -> Value {
        let fields = ["quash-first-failure", "7", "body", "x"].map(bulk).to_vec();
        Value::Array(vec![Value::Array(vec![bulk(id), Value::Array(fields)])])
    }

    #[test]
    fn an_entry_is_as_old_as_its_id_unless_that_is_no_time() {
        let found = dated(entry("1700000000000-3")).unwrap();
        assert_eq!(
            (moment(1_700_000_000_000), found.headers.get("quash-first-failure")),
            (Some(found.since), Some("7"))
        );
        assert_eq!((dated(entry("7-0")), dated(entry("x"))), (None, None));
        assert!(dated(entry("18446744073709551615-0")).is_none_or(|dated| dated.since > SystemTime::now()));
        assert_eq!(dated(Value::Array(Vec::new())), None);
    }

    #[test]
    fn scores_are_read_in_both_protocols() {
        let flat = Value::Array(vec![bulk("quash/1-0/1"), bulk("1700000000000")]);
        let nested = Value::Array(vec![Value::Array(vec![bulk("quash/1-0/1"), Value::Double(1.7e12)])]);
        assert_eq!((score(flat), score(nested)), (Some(1_700_000_000_000), Some(1_700_000_000_000)));
        assert_eq!(score(Value::Array(Vec::new())), None);
    }
}
