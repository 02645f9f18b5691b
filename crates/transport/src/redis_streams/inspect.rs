//! Looks at the server for whoever sets it up: version, durability, eviction, rights, and what waits.

use std::sync::atomic::Ordering;

use redis::{Cmd, cmd};

use super::connection::Link;
use super::topology::{Facts, Names};
use super::wire::text;
use super::{Shared, backlog};
use crate::TransportError;
use quash_config::{Finding, Severity};

/// Inspects the server; changes nothing.
pub(super) async fn inspect(link: &Link, shared: &Shared) -> Result<Vec<Finding>, TransportError> {
    let facts = Facts::read(link, &shared.names).await?;
    let mut findings = vec![
        version(&facts),
        persistence(&facts, shared.config.allow_loss),
        eviction(&facts, shared.config.allow_eviction),
    ];
    findings.extend(facts.mode_problem().map(|what| error(what, "use a standalone server for the queue")));
    let types = facts.type_problems();
    let keys_fit = types.is_empty();
    findings.extend(types.into_iter().map(|what| error(what, "choose another stream, or remove the key")));
    findings.push(rights(link, &shared.names).await?);
    if keys_fit {
        findings.push(waiting(link, shared).await?);
    }
    findings.extend(regrouped(shared));
    Ok(findings)
}

fn version(facts: &Facts) -> Finding {
    let Some(version) = facts.info("redis_version") else {
        return ok("the server can be reached; its version may not be read");
    };
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < (6, 2) {
        return error(format!("the server's version is {version}"), "use Redis 6.2 or newer, or Valkey");
    }
    ok(format!("the server can be reached, version {version}"))
}

/// What the server confirms and may lose: an error, unless the configuration says that it may.
fn persistence(facts: &Facts, allow_loss: bool) -> Finding {
    let what = match (facts.info("aof_enabled"), facts.fsync()) {
        (None, _) => return ok("whether the server keeps an append-only file may not be read"),
        (Some("0"), _) => {
            "the append-only file is off: when the server dies, everything since its last snapshot is lost"
        }
        (_, Some("always")) => return ok("the append-only file is written through before every answer"),
        (_, Some("no")) => {
            "the append-only file is written through when the system likes: a power loss takes half a minute of events"
        }
        (_, Some(_)) => {
            "the append-only file is written through every second, later on a busy disk: when the process dies, events that \
             were confirmed can be lost, and a power loss takes the last second or two of them"
        }
        (_, None) => {
            return ok("the append-only file is on; how often it is written through may not be read");
        }
    };
    let mend = "set appendonly yes and appendfsync always, or allow_loss: true in the source where events may be lost";
    if allow_loss { warning(what, mend) } else { error(what, mend) }
}

fn eviction(facts: &Facts, allowed: bool) -> Finding {
    match (facts.eviction_problem(), facts.policy()) {
        (Some(what), _) if allowed => warning(what, "set maxmemory-policy noeviction"),
        (Some(what), _) => error(what, "set maxmemory-policy noeviction"),
        (None, Some(policy)) => ok(format!("maxmemory-policy is {policy}: the stream is not evicted")),
        (None, None) => ok("the eviction policy may not be read"),
    }
}

/// Asks the server whether this user may do everything that a worker does.
async fn rights(link: &Link, names: &Names) -> Result<Finding, TransportError> {
    let unknown = || ok("the rights may not be inspected (that needs ACL DRYRUN, of version 7)");
    let mut who = cmd("ACL");
    who.arg("WHOAMI");
    let Some(user) = link.try_ask(who).await?.ok().and_then(text) else { return Ok(unknown()) };
    let mut missing = Vec::new();
    for needed in needed(names) {
        let mut dry = cmd("ACL");
        dry.arg("DRYRUN").arg(&user);
        needed.args_iter().for_each(|arg| {
            if let redis::Arg::Simple(arg) = arg {
                dry.arg(arg);
            }
        });
        match link.try_ask(dry).await?.map(text) {
            Ok(Some(answer)) if answer == "OK" => {}
            Ok(Some(answer)) => missing.push(answer),
            // `OK` is a value of its own for the driver.
            Ok(None) => {}
            Err(_) => return Ok(unknown()),
        }
    }
    Ok(match missing.first() {
        None => ok(format!("the user {user} has all rights that are needed")),
        Some(_) => error(missing.join("; "), "grant what docs/brokers.md lists"),
    })
}

/// One command of each kind that is used, as the server would see it.
fn needed(names: &Names) -> Vec<Cmd> {
    let Names { stream, group, due, parked, dead } = names;
    let commands: [&[&str]; 27] = [
        &["XADD", stream, "*", "body", "x"],
        &["XADD", dead, "*", "body", "x"],
        &["XGROUP", "CREATE", stream, group, "0", "MKSTREAM"],
        &["XGROUP", "DELCONSUMER", stream, group, "x"],
        &["XREADGROUP", "GROUP", group, "x", "STREAMS", stream, ">"],
        &["XACK", stream, group, "0-1"],
        &["XAUTOCLAIM", stream, group, "x", "1", "0"],
        &["XCLAIM", stream, group, "x", "1", "0-1"],
        &["XPENDING", stream, group],
        &["XINFO", "GROUPS", stream],
        &["XINFO", "CONSUMERS", stream, group],
        &["XRANGE", stream, "-", "+"],
        &["XRANGE", dead, "-", "+"],
        &["XTRIM", stream, "MINID", "0"],
        &["XLEN", stream],
        &["XLEN", dead],
        &["XDEL", dead, "0-1"],
        &["ZADD", due, "0", "x"],
        &["ZRANGE", due, "0", "0"],
        &["ZRANGEBYSCORE", due, "0", "0"],
        &["ZREM", due, "x"],
        &["ZCARD", due],
        &["HSET", parked, "x", "x"],
        &["HGET", parked, "x"],
        &["HDEL", parked, "x"],
        &["TIME"],
        &["EVALSHA", "x", "4", stream, due, parked, dead],
    ];
    let mut needed: Vec<_> = commands.into_iter().map(command).collect();
    needed.push(command(&["SCRIPT", "LOAD", "x"]));
    needed
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

async fn waiting(link: &Link, shared: &Shared) -> Result<Finding, TransportError> {
    let backlog = backlog::backlog(link, shared).await?;
    Ok(ok(format!(
        "{} ready, {} unsettled and {} delayed messages in {}",
        backlog.ready, backlog.unsettled, backlog.delayed, shared.names.stream
    )))
}

fn regrouped(shared: &Shared) -> Option<Finding> {
    let times = shared.regrouped.load(Ordering::Relaxed);
    let what = format!("the consumer group vanished {times} times since this process started");
    (times > 0).then(|| warning(what, "find out who flushes the server, or whether it restarts without its data"))
}

fn ok(what: impl Into<String>) -> Finding {
    Finding { severity: Severity::Ok, what: what.into(), mend: String::new() }
}

fn warning(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Warning, what: what.into(), mend: mend.into() }
}

fn error(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Error, what: what.into(), mend: mend.into() }
}
