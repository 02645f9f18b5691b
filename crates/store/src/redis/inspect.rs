//! Inspects a cache before it is trusted: rights, role, eviction, persistence and replicas. Leaves nothing.

use redis::{Cmd, Value};

use super::link::Link;
use super::node::Node;
use super::question::{Info, info};
use super::reply::{Class, classify, words};
use crate::StoreError;
use quash_config::{Finding, Severity};
use quash_core::action::ActionSet;
use quash_core::freshness::scripts::{VOID, version_arg};

/// A right that some rules need: the command, how it is tried without any effect, and what does not work without it.
struct Right {
    command: &'static str,
    /// `%` is a key that nobody has, `#` the text of the script, `~` its digest, `@` its version.
    arguments: &'static [&'static str],
    severity: Severity,
    without: &'static str,
}

/// What the script sends that makes entries stale, and how it is tried: without a key it does nothing, and each of its commands
/// by itself does nothing to a key that is not there. UNLINK and SET are tried with the others.
const VOID_RIGHTS: [Right; 7] = [
    Right { command: "EVAL", arguments: &["#", "0", "@", "0", "0"], severity: Severity::Error, without: VOIDS },
    Right { command: "EVALSHA", arguments: &["~", "0", "@", "0", "0"], severity: Severity::Error, without: VOIDS },
    Right { command: "GETRANGE", arguments: &["%", "0", "56"], severity: Severity::Error, without: VOIDS },
    Right { command: "SETRANGE", arguments: &["%", "0", ""], severity: Severity::Error, without: VOIDS },
    Right { command: "PTTL", arguments: &["%"], severity: Severity::Error, without: VOIDS },
    Right { command: "PEXPIRE", arguments: &["%", "1"], severity: Severity::Error, without: VOIDS },
    Right { command: "TIME", arguments: &[], severity: Severity::Error, without: VOIDS },
];

const VOIDS: &str = "no entry of a cache with `stale` can be made stale";

const ANSWERS: &str = "publishers who wait until their events are done are not answered, and wait in vain";

/// Every command that a store sends. A write is tried in a form that only changes a key that exists, or on
/// one that is gone afterwards.
const RIGHTS: [Right; 8] = [
    // An answer to nobody, which ends at once and goes with the UNLINK behind it.
    Right { command: "RPUSH", arguments: &["%", ""], severity: Severity::Warning, without: ANSWERS },
    Right { command: "PEXPIRE", arguments: &["%", "1"], severity: Severity::Warning, without: ANSWERS },
    Right { command: "UNLINK", arguments: &["%"], severity: Severity::Error, without: "nothing can be removed" },
    Right {
        command: "SCAN",
        arguments: &["0", "COUNT", "1"],
        severity: Severity::Warning,
        without: "what rules remove by prefix becomes a dead letter",
    },
    Right {
        command: "SET",
        arguments: &["%", "1", "XX", "PX", "1"],
        severity: Severity::Warning,
        without: "tags that rules bump and keys that they set become dead letters",
    },
    Right {
        command: "PUBLISH",
        arguments: &["%", ""],
        severity: Severity::Warning,
        without: "what rules publish becomes a dead letter",
    },
    Right {
        command: "EXISTS",
        arguments: &["%"],
        severity: Severity::Warning,
        without: "`explain --live` cannot count keys",
    },
    Right {
        command: "DBSIZE",
        arguments: &[],
        severity: Severity::Warning,
        without: "the number of keys that a scan visits stays unknown",
    },
];

/// Inspects every master.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn inspect(link: &Link, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for node in &link.nodes {
        let found = inspect_node(node, needs).await?;
        // Nodes of a cluster are set up alike: what is true of all of them is said once.
        found.into_iter().for_each(|finding| {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        });
    }
    if link.slots.is_some() {
        let what = format!("a cluster of {} masters answers", link.nodes.len());
        findings.insert(0, Finding::ok(what));
    }
    Ok(findings)
}

async fn inspect_node(node: &Node, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
    let mut findings = try_rights(node, needs).await?;
    match info(node, &["server", "replication", "memory", "persistence"]).await {
        Ok(info) => {
            let snapshots = snapshots(node).await?;
            findings.extend(judge(&info, snapshots.as_deref()));
        }
        Err(StoreError::Refused(why)) => findings.push(Finding::warning(
            format!("the cache does not tell about itself: {why}"),
            "grant +info, or a restart or failover of the cache goes unnoticed and removed entries may come back",
        )),
        Err(error) => return Err(error),
    }
    Ok(findings)
}

async fn try_rights(node: &Node, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
    let key = format!("quash:check:{:016x}", fastrand::u64(..));
    let voids =
        [ActionSet::VOID, ActionSet::VOID_PREFIX, ActionSet::VOID_PATTERN].iter().any(|kind| needs.contains(*kind));
    let rights: Vec<&Right> = RIGHTS.iter().chain(if voids { &VOID_RIGHTS[..] } else { &[] }).collect();
    let replies = node.send(rights.iter().map(|right| attempt(right, &key))).await?;
    let mut findings: Vec<_> = rights.iter().zip(&replies).filter_map(|(right, reply)| missing(right, reply)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("the user may run every command that rules can need"));
    }
    Ok(findings)
}

fn attempt(right: &Right, key: &str) -> Cmd {
    let mut command = redis::cmd(right.command);
    for argument in right.arguments {
        match *argument {
            "%" => command.arg(key),
            "#" => command.arg(VOID.text),
            "~" => command.arg(VOID.sha1),
            "@" => command.arg(&version_arg(0)),
            argument => command.arg(argument),
        };
    }
    command
}

/// What a reply says about a right. That the made-up key is out of bounds says nothing about real ones, and that its
/// slot is elsewhere says nothing about rights.
fn missing(right: &Right, reply: &Value) -> Option<Finding> {
    let Value::ServerError(error) = reply else { return None };
    let command = right.command.to_lowercase();
    match classify(error) {
        Class::Refused | Class::NoScript | Class::Moved | Class::Ask(_) | Class::TryAgain => None,
        Class::NotGranted => {
            let what = format!("the user may not run {command}: {}", right.without);
            let mut finding = Finding::error(what, format!("grant +{command}"));
            finding.severity = right.severity;
            Some(finding)
        }
        Class::Down | Class::MemoryFull => Some(Finding::error(
            format!("the cache refuses {command} now: {}", words(error)),
            "nothing is lost meanwhile: work for this target waits until the cache accepts it",
        )),
    }
}

/// When the server saves snapshots, in its own words; `None` when it does not say.
async fn snapshots(node: &Node) -> Result<Option<String>, StoreError> {
    let mut question = redis::cmd("CONFIG");
    question.arg("GET").arg("save");
    Ok(match node.ask(question).await? {
        Value::Array(parts) => parts.get(1).and_then(super::reply::text),
        _ => None,
    })
}

/// Judges what a server tells about itself.
fn judge(info: &Info, snapshots: Option<&str>) -> Vec<Finding> {
    vec![version(info), role(info), eviction(info), persistence(info, snapshots), replicas(info)]
}

fn version(info: &Info) -> Finding {
    let (name, version) = match info.get("valkey_version") {
        "" => ("Redis", info.get("redis_version")),
        version => ("Valkey", version),
    };
    Finding::ok(format!("{name} {version} answers"))
}

fn role(info: &Info) -> Finding {
    match info.get("role") {
        "master" => Finding::ok("it is a master"),
        role => Finding::error(
            format!("it is a {role}, and refuses to remove anything"),
            "give the address of the master, or `sentinel` and the name of the master",
        ),
    }
}

fn eviction(info: &Info) -> Finding {
    let policy = info.get("maxmemory_policy");
    match policy {
        "noeviction" => Finding::ok("it evicts nothing (noeviction)"),
        _ if policy.starts_with("allkeys-") => Finding::warning(
            format!("it evicts any key when its memory is full ({policy}), tokens of tags among them"),
            "harmless for readers that take a missing token as stale; never keep the queue on this server",
        ),
        _ => Finding::ok(format!("it evicts only keys that expire ({policy})")),
    }
}

fn persistence(info: &Info, snapshots: Option<&str>) -> Finding {
    match (info.get("aof_enabled"), snapshots) {
        ("1", _) => Finding::ok("it keeps a log of every write, so a restart brings nothing back"),
        (_, Some("")) => Finding::ok("it keeps nothing over a restart"),
        (_, snapshots) => Finding::warning(
            match snapshots {
                Some(times) => {
                    format!("it saves snapshots ({times}): a crash brings back entries removed since the last")
                }
                None => "it may save snapshots: a crash then brings back entries removed since the last".to_owned(),
            },
            "switch snapshots off (save \"\"), or set the target's replay_window longer than the time between them",
        ),
    }
}

fn replicas(info: &Info) -> Finding {
    match info.get("connected_slaves") {
        "" | "0" => Finding::ok("it has no replicas"),
        count => Finding::warning(
            format!("it has {count} replicas: a failover brings back entries whose removal had not reached them"),
            "keep the target's replay_window well above the replication lag; it is applied again after a failover",
        ),
    }
}
