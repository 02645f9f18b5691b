//! Declares how the table of an outbox is relayed.

use std::str::FromStr;
use std::time::Duration;

use quash_config::{ConfigPath, Problem, Span};
use serde::Deserialize;

/// Bytes of an identifier that PostgreSQL keeps.
const IDENTIFIER_MAX: usize = 63;
/// Rows in one batch at most.
const BATCH_MAX: u32 = 10_000;

/// How an outbox is relayed: a table in PostgreSQL with a row for each event that waits, as `quash schema outbox` prints it.
///
/// ```
/// use quash_dispatch::config::Config;
///
/// let config = Config::parse("
/// version: 1
/// servers: { shop: { postgres: { url: 'postgres://quash@db/shop' } } }
/// sources: { events: { memory: {} } }
/// relay: { shop: { server: shop, outbox: { interval: 200ms }, to: events } }
/// ")?;
/// let outbox = config.relay["shop"].outbox.as_ref().expect("it is declared");
/// assert_eq!((outbox.table.quoted().as_str(), outbox.batch), (r#""quash_outbox""#, 500));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OutboxRelay {
    /// The table, with its schema or without.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub table: OutboxTable,
    /// How long to wait before an empty table is looked at again, where no trigger wakes the relay.
    pub interval: Span,
    /// Rows that are published together at most, from 1 to 10,000.
    pub batch: u32,
}

impl Default for OutboxRelay {
    fn default() -> Self {
        Self { table: OutboxTable("quash_outbox".to_owned()), interval: Span(Duration::from_secs(1)), batch: 500 }
    }
}

/// The name of a table, with its schema or without, as PostgreSQL stores it.
///
/// ```
/// use quash_dispatch::config::OutboxTable;
///
/// assert_eq!("shop.Outbox".parse::<OutboxTable>()?.quoted(), r#""shop"."Outbox""#);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OutboxTable(String);

impl OutboxTable {
    /// The name in quotes, as it stands in SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        let parts: Vec<_> = self.0.split('.').map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }
}

impl std::fmt::Display for OutboxTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for OutboxTable {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.split('.').count() <= 2 && name.split('.').all(is_identifier) {
            true => Ok(Self(name.to_owned())),
            false => Err(format!(
                "`{name}` is no table; write `table` or `schema.table`, each of letters, digits and _, {IDENTIFIER_MAX} at most"
            )),
        }
    }
}

impl TryFrom<String> for OutboxTable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

fn is_identifier(part: &str) -> bool {
    let begins_well = part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on_well = part.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    begins_well && goes_on_well && part.len() <= IDENTIFIER_MAX
}

/// What is wrong with the numbers of an outbox, which is declared at this place.
pub(super) fn check(path: &ConfigPath, outbox: &OutboxRelay) -> Vec<Problem> {
    let mut problems = Vec::new();
    if outbox.interval.is_zero() {
        problems.push(Problem::error(path.key("interval"), "it must be longer than zero"));
    }
    if !(1..=BATCH_MAX).contains(&outbox.batch) {
        problems.push(Problem::error(path.key("batch"), format!("it must be from 1 to {BATCH_MAX}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_one_or_two_identifiers_and_nothing_that_sql_obeys() {
        let quoted = |name: &str| name.parse::<OutboxTable>().map(|table| table.quoted()).ok();
        assert_eq!(quoted("quash_outbox").as_deref(), Some(r#""quash_outbox""#));
        assert_eq!(quoted("shop.Outbox2").as_deref(), Some(r#""shop"."Outbox2""#));
        let long = "x".repeat(IDENTIFIER_MAX + 1);
        for wrong in ["", ".", "a.", ".a", "a.b.c", "2a", "a b", "a\"; drop table b; --", "tàble", &long] {
            assert_eq!(quoted(wrong), None, "{wrong}");
        }
    }
}
