//! Asks a node of a cluster which masters it sees, and how much that is worth.

use redis::{Cmd, Value};

use super::node::Node;
use super::reply::{answer, text};
use super::slot::{Range, parse};
use crate::StoreError;

/// How far what a node says of its cluster can be believed; of two, the greater one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    /// Whether it sees a majority of the masters, and every slot served.
    pub(super) whole: bool,
    /// The newest change of the cluster that it knows of.
    epoch: u64,
}

/// Which master serves which slots, as a node sees it.
///
/// # Errors
/// When it does not answer, or may not be asked.
pub(super) async fn topology(node: &Node) -> Result<(Standing, Vec<Range>), StoreError> {
    let replies = node.send(["INFO", "SLOTS"].map(cluster)).await?;
    let mut replies = replies.into_iter().map(answer);
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
    let (info, slots) = (next()?, next()?);
    let host = node.address.rsplit_once(':').map_or("", |(host, _)| host);
    Ok((standing(&text(&info).unwrap_or_default()), parse(&slots, host)))
}

fn cluster(question: &str) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(question);
    command
}

/// Reads the answer to `CLUSTER INFO`.
fn standing(info: &str) -> Standing {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Standing { whole: field("cluster_state") == Some("ok"), epoch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_cluster_is_believed_before_a_newer_one_and_a_newer_one_before_an_older() {
        let standings = [
            "",
            "cluster_state:fail\r\ncluster_current_epoch:9\r\n",
            "cluster_state:ok\r\ncluster_current_epoch:6\r\n",
            "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_current_epoch:10\r\n",
        ]
        .map(standing);
        assert!(standings.is_sorted_by(|one, next| one < next), "{standings:?}");
    }
}
