//! Asks a cache who it is and what it holds.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::link::{Link, Node};
use super::reply::{answer, text};
use crate::store::{Identity, StoreError};

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
    let mut found = vec![false; keys.len()];
    for (place, node) in link.nodes.iter().enumerate() {
        let mut here = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if link.node(Some(key.as_bytes()))? == place {
                here.push(index);
            }
        }
        let replies = node.send(here.iter().map(|index| exists(keys[*index])).collect()).await?;
        for (index, reply) in here.into_iter().zip(replies) {
            found[index] = answer(reply)? == Value::Int(1);
        }
    }
    Ok(found)
}

/// The sections of `INFO`, as one text; each by itself, since servers before 7.0 take only one.
///
/// # Errors
/// As [`identity`].
pub(super) async fn info(node: &Node, sections: &[&str]) -> Result<Info, StoreError> {
    let replies = node.send(sections.iter().map(|section| section_of_info(section)).collect()).await?;
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

fn exists(key: &str) -> Cmd {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(key.as_bytes());
    exists
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
