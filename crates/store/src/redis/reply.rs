//! Tells what a server's error says of: one key, the whole server, or another node.

use std::collections::HashMap;

use redis::{RedisError, ServerError, Value};

use crate::StoreError;

/// What an error reply means for the command and for those around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// The server does not want this command on these keys; others are not concerned.
    Refused,
    /// This user may not run the command, or the server does not know it, whatever the keys: no waiting helps, and other
    /// commands are not concerned.
    NotGranted,
    /// The server cannot work now, whatever is asked; waiting helps, another key does not.
    Down,
    /// The server has no memory left to write, and still removes.
    MemoryFull,
    /// Another node serves the slot now.
    Moved,
    /// Another node, as `host:port`, serves this key while its slot is being moved.
    Ask(String),
    /// The server does not know the script: it has to be sent whole.
    NoScript,
    /// The keys of the command are on both nodes of a slot that is being moved; each by itself can be asked for.
    TryAgain,
}

/// The state of the server that an error code reports, for a table that can be read at once.
pub(super) fn class(code: &str, details: &str) -> Class {
    match code {
        "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY" | "UNKILLABLE" | "MISCONF" | "NOREPLICAS"
        | "NOAUTH" | "WRONGPASS" | "DENIED" => Class::Down,
        "OOM" => Class::MemoryFull,
        "MOVED" => Class::Moved,
        "ASK" => Class::Ask(details.rsplit(' ').next().unwrap_or_default().to_owned()),
        "TRYAGAIN" => Class::TryAgain,
        "NOSCRIPT" => Class::NoScript,
        // The server uses one code for a key that a user may not touch, which concerns whoever asked for that key, and
        // for a command that it may not run at all.
        "NOPERM" if details.contains("permissions to run") => Class::NotGranted,
        // A command inside of a script; servers from 7.0 and before spell it so.
        "ERR" | "NOPERM" if details.contains("can't run this command") => Class::NotGranted,
        "ERR" if details.starts_with("unknown command") => Class::NotGranted,
        "ERR" if details.starts_with("max number of clients") => Class::Down,
        _ => Class::Refused,
    }
}

/// The class of a server's error.
pub(super) fn classify(error: &ServerError) -> Class {
    class(error.code(), error.details().unwrap_or_default())
}

/// A server's error in its own words.
pub(super) fn words(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// The driver's words for a connection that does not work, as the error of a store.
pub(super) fn down(error: &RedisError) -> StoreError {
    StoreError::Unreachable(scrub(&error.to_string()))
}

/// The value of a reply to a question, not to an action: an error of the server is the answer.
pub(super) fn answer(reply: Value) -> Result<Value, StoreError> {
    let Value::ServerError(error) = reply else { return Ok(reply) };
    match classify(&error) {
        Class::Refused | Class::NotGranted | Class::NoScript => Err(StoreError::Refused(words(&error))),
        _ => Err(StoreError::Unreachable(words(&error))),
    }
}

/// A reply as text, where it is one.
pub(super) fn text(reply: &Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The fields of a reply that lists names and values, as maps do over RESP2.
pub(super) fn fields(reply: &Value) -> HashMap<String, String> {
    let pair = |name: &Value, value: &Value| text(name).zip(text(value));
    match reply {
        Value::Array(flat) => flat.chunks_exact(2).filter_map(|both| pair(&both[0], &both[1])).collect(),
        Value::Map(pairs) => pairs.iter().filter_map(|(name, value)| pair(name, value)).collect(),
        _ => HashMap::new(),
    }
}

/// Takes the user and the password out of every address in a text.
pub(super) fn scrub(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '/' | '`')).unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rfind('@') {
            Some(at) => {
                clean.push_str("***");
                clean.push_str(&authority[at..]);
            }
            None => clean.push_str(authority),
        }
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_costs_one_key_or_holds_the_target() {
        use Class::{Ask, Down, MemoryFull, Moved, NoScript, NotGranted, Refused, TryAgain};
        let cases = [
            ("LOADING", "Redis is loading the dataset in memory", Down),
            ("READONLY", "You can't write against a read only replica.", Down),
            ("MASTERDOWN", "Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Down),
            ("CLUSTERDOWN", "Hash slot not served", Down),
            ("BUSY", "Redis is busy running a script.", Down),
            (
                "MISCONF",
                "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                Down,
            ),
            ("NOREPLICAS", "Not enough good replicas to write.", Down),
            ("NOAUTH", "Authentication required.", Down),
            ("WRONGPASS", "invalid username-password pair or user is disabled.", Down),
            ("ERR", "max number of clients reached", Down),
            ("ERR", "unknown command 'UNLINK', with args beginning with: 'a'", NotGranted),
            ("NOPERM", "User quash has no permissions to run the 'unlink' command", NotGranted),
            ("NOPERM", "No permissions to access a key", Refused),
            ("NOPERM", "this user has no permissions to access one of the keys used as arguments", Refused),
            ("ERR", "The user executing the script can't run this command or subcommand script: 2511", NotGranted),
            ("NOSCRIPT", "No matching script. Please use EVAL.", NoScript),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", MemoryFull),
            ("MOVED", "3999 127.0.0.1:6381", Moved),
            ("ASK", "3999 127.0.0.1:6381", Ask("127.0.0.1:6381".to_owned())),
            ("TRYAGAIN", "Multiple keys request during rehashing of slot", TryAgain),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", Refused),
            ("CROSSSLOT", "Keys in request don't hash to the same slot", Refused),
            ("ERR", "syntax error", Refused),
        ];
        for (code, details, expected) in cases {
            assert_eq!(class(code, details), expected, "{code} {details}");
        }
    }

    #[test]
    fn no_address_shows_its_password() {
        let cases = [
            ("cannot open redis://u:p@ss@host:1/0: refused", "cannot open redis://***@host:1/0: refused"),
            ("a redis://:x@h and rediss://y@g", "a redis://***@h and rediss://***@g"),
            ("redis://host:1/0", "redis://host:1/0"),
            ("broken pipe", "broken pipe"),
            ("odd ://", "odd ://"),
        ];
        for (text, clean) in cases {
            assert_eq!(scrub(text), clean);
        }
    }
}
