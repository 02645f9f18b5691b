//! Reads entries and writes notes, one command each, without a pass over the keys.

use std::time::Duration;

use redis::{Cmd, Value};

use super::link::Link;
use super::question::about;
use super::reply::{answer, text};
use crate::{ScanPage, ScanPosition, Stood, StoreError};

/// Keys that one step looks at: it holds the server for less than a tenth of a millisecond.
const PAGE_KEYS: u64 = 100;

/// One step of a walk.
///
/// # Errors
/// When a node does not answer, or `SCAN` is not allowed.
pub(super) async fn page(link: &Link, from: ScanPosition) -> Result<ScanPage, StoreError> {
    let Some(node) = link.nodes.get(from.node) else { return Ok(ScanPage::default()) };
    let mut scan = redis::cmd("SCAN");
    scan.arg(if from.cursor.is_empty() { "0" } else { &from.cursor }).arg("COUNT").arg(PAGE_KEYS);
    let strange = || StoreError::Unreachable("the answer to SCAN is not one".to_owned());
    let Value::Array(parts) = answer(node.ask(scan).await?)? else { return Err(strange()) };
    let Ok([cursor, Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else { return Err(strange()) };
    let cursor = text(&cursor).ok_or_else(strange)?;
    let next = match (cursor.as_str(), from.node + 1) {
        ("0", node) if node < link.nodes.len() => Some(ScanPosition { node, cursor: String::new() }),
        ("0", _) => None,
        _ => Some(ScanPosition { node: from.node, cursor }),
    };
    let utf8 = |key| match key {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    };
    Ok(ScanPage { keys: keys.into_iter().filter_map(utf8).collect(), next })
}

/// What stands at keys.
///
/// # Errors
/// When a node does not answer, or `EXISTS` or `GETRANGE` is not allowed.
pub(super) async fn read(link: &Link, keys: &[&str], bytes_max: usize) -> Result<Vec<Option<Stood>>, StoreError> {
    let command = |name: &str, key: &str| {
        let mut command = redis::cmd(name);
        command.arg(key);
        if name == "GETRANGE" {
            command.arg(0).arg(bytes_max);
        }
        command
    };
    let found = about(link, keys, ["EXISTS", "PTTL", "GETRANGE"], command).await?;
    found.into_iter().map(|[exists, ttl, bytes]| stood(answer(exists)?, &ttl, bytes)).collect()
}

fn stood(exists: Value, ttl: &Value, bytes: Value) -> Result<Option<Stood>, StoreError> {
    let ttl_ms = match ttl {
        Value::Int(ms) => u64::try_from(*ms).ok(),
        _ => None,
    };
    let bytes = match bytes {
        Value::ServerError(error) if error.code() == "WRONGTYPE" => None,
        reply => match answer(reply)? {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        },
    };
    // It may have gone between two of the questions.
    let is_gone = exists != Value::Int(1) || (*ttl == Value::Int(-2) && bytes.as_ref().is_some_and(Vec::is_empty));
    Ok((!is_gone).then_some(Stood { bytes, ttl_ms }))
}

/// Writes a note.
///
/// # Errors
/// When the node does not answer, or `SET` is not allowed.
pub(super) async fn note(
    link: &Link,
    key: &str,
    bytes: &[u8],
    life: Duration,
    only_new: bool,
) -> Result<bool, StoreError> {
    let mut set: Cmd = redis::cmd("SET");
    set.arg(key).arg(bytes).arg("PX").arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
    if only_new {
        set.arg("NX");
    }
    let reply = link.nodes[link.node(Some(key.as_bytes()))?].ask(set).await?;
    Ok(answer(reply)? != Value::Nil)
}
