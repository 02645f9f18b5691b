//! Declares database servers, and relays of their changes.

use std::collections::BTreeMap;

use quash_config::{ConfigPath, Problem, Secret, nearest};
use serde::Deserialize;

use super::outbox::{self, OutboxRelay};

/// A database server.
///
/// ```
/// use quash_dispatch::config::Config;
///
/// let config = Config::parse("{ version: 1, servers: { shop: { postgres: { url: 'postgres://quash@db/shop' } } } }")?;
/// assert_eq!(config.servers["shop"].postgres.url.expose(), "postgres://quash@db/shop");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// PostgreSQL.
    pub postgres: PostgresServer,
}

/// Where a PostgreSQL is.
///
/// ```
/// use quash_dispatch::config::{Config, PostgresServer};
///
/// let config = Config::parse("{ version: 1, servers: { shop: { postgres: { url: 'postgres://quash@db/shop' } } } }")?;
/// let PostgresServer { url, .. } = &config.servers["shop"].postgres;
/// assert_eq!(format!("{url:?}"), "***");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostgresServer {
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`.
    pub url: Secret,
}

/// A relay: the changes of a database, to a source. They are read from its log, or from an outbox.
///
/// ```
/// use quash_dispatch::config::Config;
///
/// let config = Config::parse("
/// version: 1
/// servers: { shop: { postgres: { url: 'postgres://quash@db/shop' } } }
/// sources: { events: { memory: {} } }
/// relay: { shop: { server: shop, to: events } }
/// ")?;
/// assert_eq!(config.relay["shop"].to, "events");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// The server, by its name under `servers`.
    pub server: String,
    /// How its log is read, where it is the log that is read.
    #[serde(default)]
    pub postgres: Option<PostgresRelay>,
    /// How an outbox is read, in the place of the log.
    #[serde(default)]
    pub outbox: Option<OutboxRelay>,
    /// Where the changes go: a source, by its name under `sources`.
    pub to: String,
}

/// What a relay reads.
///
/// ```
/// use quash_dispatch::config::{Config, PostgresRelay, RelayKind};
///
/// let config = Config::parse("
/// version: 1
/// servers: { shop: { postgres: { url: 'postgres://quash@db/shop' } } }
/// sources: { events: { memory: {} } }
/// relay: { shop: { server: shop, to: events } }
/// ")?;
/// assert_eq!(config.relay["shop"].kind(), RelayKind::Log(PostgresRelay::default()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayKind<'a> {
    /// The log of the database.
    Log(PostgresRelay),
    /// The table of an outbox.
    Outbox(&'a OutboxRelay),
}

impl RelayConfig {
    /// What it reads: the log, unless an outbox is declared.
    #[must_use]
    pub fn kind(&self) -> RelayKind<'_> {
        match &self.outbox {
            Some(outbox) => RelayKind::Outbox(outbox),
            None => RelayKind::Log(self.postgres.clone().unwrap_or_default()),
        }
    }
}

/// How the log of a PostgreSQL is read.
///
/// ```
/// use quash_dispatch::config::{OnSchemaChange, PostgresRelay};
///
/// let PostgresRelay { slot, publication, tables, on_schema_change } = PostgresRelay::default();
/// assert_eq!((slot.as_str(), publication.as_str(), tables), ("quash", "quash", None));
/// assert_eq!(on_schema_change, OnSchemaChange::Purge);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PostgresRelay {
    /// The replication slot, which is made where there is none. One relay works on it, others stand by.
    pub slot: String,
    /// The publication, which is made where there is none.
    pub publication: String,
    /// The tables of the publication, as `schema.table`; those that caches depend on when left out.
    pub tables: Option<Vec<String>>,
    /// What happens when the columns of a table change, which the log says without the rows that are written anew.
    pub on_schema_change: OnSchemaChange,
}

impl Default for PostgresRelay {
    fn default() -> Self {
        Self {
            slot: "quash".to_owned(),
            publication: "quash".to_owned(),
            tables: None,
            on_schema_change: OnSchemaChange::default(),
        }
    }
}

/// What happens when the columns of a table change.
///
/// ```
/// use quash_dispatch::config::OnSchemaChange;
///
/// assert_eq!(OnSchemaChange::default(), OnSchemaChange::Purge);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnSchemaChange {
    /// All entries of the caches that depend on the table go, since any of its rows may have other values.
    #[default]
    Purge,
    /// Nothing.
    Ignore,
}

/// What is wrong with relays: names that are not declared, a slot that no server would take.
pub(super) fn check(relays: &BTreeMap<String, RelayConfig>, servers: &[&str], sources: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut slots = BTreeMap::new();
    for (name, relay) in relays {
        let path = ConfigPath::root().key("relay").key(name);
        problems.extend(declared(&path.key("server"), "server", &relay.server, servers));
        problems.extend(declared(&path.key("to"), "source", &relay.to, sources));
        problems.extend(relay.outbox.iter().flat_map(|outbox| outbox::check(&path.key("outbox"), outbox)));
        if relay.outbox.is_some() && relay.postgres.is_some() {
            let message = "a relay reads the log (`postgres`) or an outbox, not both";
            problems.push(Problem::error(path.clone(), message).help("declare two relays"));
        }
        let RelayKind::Log(log) = relay.kind() else { continue };
        problems.extend(check_log(&path.key("postgres"), &log));
        if let Some(first) = slots.insert((&relay.server, log.slot), name) {
            let message = format!("relay `{first}` reads this slot: each change goes to one of the two");
            problems.push(Problem::error(path.clone(), message).help("give each relay a slot of its own"));
        }
    }
    problems
}

fn check_log(path: &ConfigPath, log: &PostgresRelay) -> Vec<Problem> {
    let mut problems = Vec::new();
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if log.slot.is_empty() || log.slot.len() > 63 || !log.slot.chars().all(fits) {
        let message = "the name of a slot has small letters, digits and underscores, 63 at most";
        problems.push(Problem::error(path.key("slot"), message));
    }
    if log.publication.is_empty() {
        problems.push(Problem::error(path.key("publication"), "the name of a publication is not empty"));
    }
    for (index, table) in log.tables.iter().flatten().enumerate() {
        if !table.split_once('.').is_some_and(|(schema, table)| !schema.is_empty() && !table.is_empty()) {
            let path = path.key("tables").index(index);
            problems.push(Problem::error(path, "a table is named with its schema, as public.book"));
        }
    }
    problems
}

fn declared(path: &ConfigPath, kind: &str, name: &str, names: &[&str]) -> Option<Problem> {
    if names.contains(&name) {
        return None;
    }
    let problem = Problem::error(path.clone(), format!("there is no {kind} `{name}`"));
    Some(match nearest(name, names.iter().copied()) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.help(format!("declare it under `{kind}s`")),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn problems(relay: &str) -> String {
        let yaml = format!(
            "version: 1\nservers: {{ shop: {{ postgres: {{ url: 'postgres://h/d' }} }} }}\n\
             sources: {{ events: {{ memory: {{}} }} }}\nrelay:\n{relay}"
        );
        Config::parse(&yaml).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_relay_names_what_is_declared() {
        let cases = [
            ("  a: { server: shop, to: events }", ""),
            ("  a: { server: shp, to: events }", "there is no server `shp`"),
            ("  a: { server: shop, to: x }", "there is no source `x`"),
            ("  a: { server: shop, to: events, postgres: { slot: Quash } }", "the name of a slot"),
            ("  a: { server: shop, to: events }\n  b: { server: shop, to: events }", "relay `a` reads this slot"),
            ("  a: { server: shop, to: events, postgres: { tables: [book] } }", "named with its schema"),
            ("  a: { server: shop, to: events, postgres: { tabels: [] } }", "tabels"),
            ("  a: { server: shop, to: events }\n  b: { server: shop, to: events, outbox: {} }", ""),
            ("  a: { server: shop, to: events, outbox: {}, postgres: {} }", "not both"),
            ("  a: { server: shop, to: events, outbox: { table: a.b.c } }", "`a.b.c` is no table"),
            ("  a: { server: shop, to: events, outbox: { batch: 0 } }", "from 1 to 10000"),
            ("  a: { server: shop, to: events, outbox: { interval: 0s } }", "longer than zero"),
        ];
        for (relay, expected) in cases {
            let found = problems(relay);
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{relay}: {found}");
        }
    }
}
