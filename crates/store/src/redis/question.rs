//! Asks a cache who it is and what it holds.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::link::Link;
use super::node::Node;
use super::reply::{answer, text};
use crate::{Described, Identity, Stands, StoreError};
use quash_core::freshness::HEADER;

/// Who the cache is: address, run id, role and replication id of every master. A run id is drawn anew at each start, a
/// replication id when a replica is promoted.
///
/// # Errors
/// When a node does not answer, or `INFO` is not allowed.
pub(super) async fn identity(link: &Link) -> Result<Identity, StoreError> {
    let mut nodes = try_join_all(link.nodes.iter().map(node_identity)).await?;
    nodes.sort_unstable();
    Ok(Identity(nodes.join(" ")))
}

/// Which of the keys exist.
///
/// # Errors
/// When a node does not answer, or `EXISTS` is not allowed.
pub(super) async fn exist(link: &Link, keys: &[&str]) -> Result<Vec<bool>, StoreError> {
    let found = about(link, keys, ["EXISTS"]).await?;
    found.into_iter().map(|[exists]| Ok(answer(exists)? == Value::Int(1))).collect()
}

/// What is under each of the keys. That the type or the time may not be asked for leaves a blank.
///
/// # Errors
/// As [`exist`].
pub(super) async fn describe(link: &Link, keys: &[&str]) -> Result<Vec<Option<Described>>, StoreError> {
    let found = about(link, keys, ["EXISTS", "TYPE", "PTTL", "GETRANGE"]).await?;
    let described = |[exists, kind, ttl, header]: [Value; 4]| {
        Ok((answer(exists)? == Value::Int(1)).then(|| described(&kind, &ttl, &header))) as Result<_, StoreError>
    };
    found.into_iter().map(described).collect()
}

fn described(kind: &Value, ttl: &Value, header: &Value) -> Described {
    let ttl = match ttl {
        Value::Int(ms) => Some(*ms),
        _ => None,
    };
    let ttl_ms = ttl.and_then(|ms| u64::try_from(ms).ok());
    let stands = match header {
        Value::BulkString(bytes) => Some(Stands::read(bytes)),
        Value::ServerError(error) if error.code() == "WRONGTYPE" => Some(Stands::Foreign),
        _ => None,
    };
    Described { kind: text(kind), expires: ttl.map(|ms| ms >= 0), ttl_ms, stands }
}

/// What the nodes reply to these commands on each of the keys.
async fn about<const N: usize>(link: &Link, keys: &[&str], commands: [&str; N]) -> Result<Vec<[Value; N]>, StoreError> {
    let mut found: Vec<[Value; N]> = keys.iter().map(|_| [const { Value::Nil }; N]).collect();
    for (number, node) in link.nodes.iter().enumerate() {
        let mut here = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if link.node(Some(key.as_bytes()))? == number {
                here.push(index);
            }
        }
        let asked = here.iter().flat_map(|index| commands.map(|command| on_key(command, keys[*index])));
        let mut replies = node.send(asked).await?.into_iter();
        for index in here {
            found[index].iter_mut().zip(&mut replies).for_each(|(slot, reply)| *slot = reply);
        }
    }
    Ok(found)
}

/// The sections of `INFO`, as one text; each by itself, since servers before 7.0 take only one.
///
/// # Errors
/// As [`identity`].
pub(super) async fn info(node: &Node, sections: &[&str]) -> Result<Info, StoreError> {
    let replies = node.send(sections.iter().map(|section| section_of_info(section))).await?;
    let mut lines = String::new();
    for reply in replies {
        lines.push_str(&text(&answer(reply)?).unwrap_or_default());
        lines.push('\n');
    }
    Ok(Info(lines))
}

/// What a server tells of itself.
pub(super) struct Info(String);

impl Info {
    /// A field, empty when the server does not have it.
    pub(super) fn get(&self, name: &str) -> &str {
        let field = |line: &'_ str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        let line = self.0.lines().find(|line| field(line)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

async fn node_identity(node: &Node) -> Result<String, StoreError> {
    let info = info(node, &["server", "replication"]).await?;
    let [run, role, replication] = ["run_id", "role", "master_replid"].map(|name| info.get(name));
    Ok(format!("{}={run}/{role}/{replication}", node.address))
}

fn section_of_info(section: &str) -> Cmd {
    let mut info = redis::cmd("INFO");
    info.arg(section);
    info
}

fn on_key(command: &str, key: &str) -> Cmd {
    let is_range = command == "GETRANGE";
    let mut command = redis::cmd(command);
    command.arg(key.as_bytes());
    if is_range {
        command.arg(0).arg(HEADER - 1);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = Info("# Server\r\nrun_id_old:x\r\nrun_id:abc\r\nrole:master\r\n".to_owned());
        assert_eq!(["run_id", "role", "run", ""].map(|name| info.get(name)), ["abc", "master", "", ""]);
    }
}
