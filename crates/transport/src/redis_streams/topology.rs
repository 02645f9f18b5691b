//! Names the keys, makes the stream and its group, and refuses a server that would lose events in silence.

use std::collections::HashMap;

use redis::{Cmd, Pipeline, RedisResult, Value, cmd};

use super::Shared;
use super::connection::{Link, code, failure};
use super::wire::{list, text};
use crate::TransportError;

/// The keys of one queue. All of them begin with the stream's, so that one pattern covers its rights.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The stream of messages.
    pub(super) stream: String,
    /// The consumer group on it.
    pub(super) group: String,
    /// The sorted set of parked copies, by the time at which they are due.
    pub(super) due: String,
    /// The hash of their contents.
    pub(super) parked: String,
    /// The stream of dead letters.
    pub(super) dead: String,
}

impl Names {
    pub(super) fn new(stream: &str, group: &str) -> Self {
        Self {
            stream: stream.into(),
            group: group.into(),
            due: format!("{stream}.due"),
            parked: format!("{stream}.parked"),
            dead: format!("{stream}.dead"),
        }
    }

    /// Every key with the type that it must have.
    pub(super) fn types(&self) -> [(&str, &'static str); 4] {
        [(&self.stream, "stream"), (&self.due, "zset"), (&self.parked, "hash"), (&self.dead, "stream")]
    }
}

/// Makes the stream and its group, after checking that neither the server nor the keys stand against it.
pub(super) async fn prepare(link: &Link, shared: &Shared) -> Result<(), TransportError> {
    let facts = Facts::read(link, &shared.names).await?;
    facts.check(shared.config.allow_eviction).map_err(TransportError::Refused)?;
    ensure_group(link, &shared.names).await
}

/// Makes the group if it is not there, at the stream's beginning: what was published before it counts as unread.
pub(super) async fn ensure_group(link: &Link, names: &Names) -> Result<(), TransportError> {
    // A full server refuses to make one even if it is there, and that must not keep a worker from emptying it.
    if group_exists(link, names).await? {
        return Ok(());
    }
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(&names.stream).arg(&names.group).arg("0").arg("MKSTREAM");
    let answer = link.try_ask(create).await?;
    match code(&answer) {
        Some("BUSYGROUP") => Ok(()),
        _ => answer.map(drop).map_err(|error| failure(&error)),
    }
}

async fn group_exists(link: &Link, names: &Names) -> Result<bool, TransportError> {
    let answer = link.try_ask(groups(names)).await?;
    let groups = answer.ok().and_then(list).into_iter().flatten().filter_map(list);
    Ok(groups.filter_map(|facts| text(facts.into_iter().nth(1)?)).any(|name| name == names.group))
}

/// What the server says of itself; a fact is missing where the rights do not allow to ask.
#[derive(Debug, Default)]
pub(super) struct Facts {
    info: HashMap<String, String>,
    settings: HashMap<String, String>,
    /// The keys whose type is another than needed, with both.
    wrong_types: Vec<(String, &'static str, String)>,
}

impl Facts {
    /// Asks the server; only being out of reach is an error.
    pub(super) async fn read(link: &Link, names: &Names) -> Result<Self, TransportError> {
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("INFO")
            .cmd("CONFIG")
            .arg("GET")
            .arg("maxmemory-policy")
            .cmd("CONFIG")
            .arg("GET")
            .arg("appendfsync");
        let mut answers = link.run(&mut pipeline).await?.into_iter();
        let info = allowed(answers.next())?.and_then(text).unwrap_or_default();
        let policy = allowed(answers.next())?;
        let fsync = allowed(answers.next())?;
        let mut facts = Self { info: parse_info(&info), settings: HashMap::new(), wrong_types: Vec::new() };
        facts.settings.extend([policy, fsync].into_iter().flatten().filter_map(setting));
        // A node of a cluster need not have the keys.
        if facts.mode_problem().is_none() {
            facts.read_types(link, names).await?;
        }
        Ok(facts)
    }

    async fn read_types(&mut self, link: &Link, names: &Names) -> Result<(), TransportError> {
        for (key, needed) in names.types() {
            let mut kind = cmd("TYPE");
            kind.arg(key);
            let found = allowed(Some(link.try_ask(kind).await?))?.and_then(text);
            if let Some(found) = found.filter(|found| found != needed && found != "none") {
                self.wrong_types.push((key.into(), needed, found));
            }
        }
        Ok(())
    }

    /// Says why a queue must not be here.
    fn check(&self, allow_eviction: bool) -> Result<(), String> {
        if let Some(words) = self.mode_problem() {
            return Err(words);
        }
        if let Some(words) = self.type_problems().into_iter().next() {
            return Err(words);
        }
        match self.eviction_problem() {
            Some(words) if !allow_eviction => Err(words),
            Some(words) => {
                tracing::warn!("{words}");
                Ok(())
            }
            None if self.policy().is_none() => {
                tracing::info!("the rights do not allow to read the eviction policy; it is not checked");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The eviction policy, if it may be known.
    pub(super) fn policy(&self) -> Option<&str> {
        self.settings.get("maxmemory-policy").or_else(|| self.info.get("maxmemory_policy")).map(String::as_str)
    }

    /// How often the append-only file is written through, if that may be known.
    pub(super) fn fsync(&self) -> Option<&str> {
        self.settings.get("appendfsync").map(String::as_str)
    }

    /// A line of `INFO`.
    pub(super) fn info(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    /// Why the server may lose the stream when its memory is full.
    pub(super) fn eviction_problem(&self) -> Option<String> {
        let policy = self.policy().filter(|policy| policy.starts_with("allkeys"))?;
        Some(format!(
            "maxmemory-policy is {policy}, so the server may evict the stream: a queue needs noeviction or volatile-*, \
             and a server of its own"
        ))
    }

    /// Why the server is of the wrong kind.
    pub(super) fn mode_problem(&self) -> Option<String> {
        let clustered = self.info("cluster_enabled") == Some("1") || self.info("redis_mode") == Some("cluster");
        clustered.then(|| "the server is part of a cluster: a queue needs a standalone server".into())
    }

    /// Which keys are something else already.
    pub(super) fn type_problems(&self) -> Vec<String> {
        self.wrong_types
            .iter()
            .map(|(key, needed, found)| format!("the key {key} is a {found}, not a {needed}"))
            .collect()
    }
}

/// The answer, or nothing where the rights do not allow to ask.
pub(super) fn allowed(answer: Option<RedisResult<Value>>) -> Result<Option<Value>, TransportError> {
    match answer.transpose() {
        Ok(value) => Ok(value),
        Err(error) => match failure(&error) {
            TransportError::Refused(_) if matches!(error.code(), Some("NOPERM" | "ERR")) => Ok(None),
            other => Err(other),
        },
    }
}

fn parse_info(info: &str) -> HashMap<String, String> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.into(), value.trim().into()))
        .collect()
}

fn setting(answer: Value) -> Option<(String, String)> {
    let mut pair = list(answer)?.into_iter();
    Some((text(pair.next()?)?, text(pair.next()?)?))
}

/// The command that asks for the groups of the stream.
pub(super) fn groups(names: &Names) -> Cmd {
    let mut groups = cmd("XINFO");
    groups.arg("GROUPS").arg(&names.stream);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &str, allow_eviction: bool) -> Result<(), String> {
        Facts { info: parse_info(info), ..Facts::default() }.check(allow_eviction)
    }

    #[test]
    fn a_server_that_would_lose_events_in_silence_is_refused() {
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            assert_eq!(check(&format!("maxmemory_policy:{policy}\r\n"), false), Ok(()));
        }
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let info = format!("# Memory\r\nmaxmemory_policy:{policy}\r\n");
            assert!(check(&info, false).unwrap_err().contains(policy));
            assert_eq!(check(&info, true), Ok(()));
        }
        assert!(check("redis_mode:cluster\r\n", true).unwrap_err().contains("standalone"));
        assert_eq!(check("", false), Ok(()));
    }
}
