//! Holds the layout of the outbox as SQL, and the names that its table may have.

use std::str::FromStr;

/// The table with its index; the Django app of the Python client makes the same.
pub const LAYOUT: &str = include_str!("layout.sql");
/// The trigger that wakes relays.
pub const NOTIFY: &str = include_str!("notify.sql");
/// What that trigger notifies, whatever the table is called.
pub(super) const CHANNEL: &str = "quash_outbox";

/// Bytes of an identifier that PostgreSQL keeps.
const IDENTIFIER_MAX: usize = 63;

/// The name of a table, with its schema or without, as PostgreSQL stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Table(String);

impl Table {
    /// The name in quotes, as it stands in SQL.
    pub(super) fn quoted(&self) -> String {
        let parts: Vec<_> = self.0.split('.').map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Table {
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

fn is_identifier(part: &str) -> bool {
    let begins_well = part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on_well = part.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    begins_well && goes_on_well && part.len() <= IDENTIFIER_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_one_or_two_identifiers_and_nothing_that_sql_obeys() {
        let quoted = |name: &str| name.parse::<Table>().map(|table| table.quoted()).ok();
        assert_eq!(quoted("quash_outbox").as_deref(), Some(r#""quash_outbox""#));
        assert_eq!(quoted("shop.Outbox2").as_deref(), Some(r#""shop"."Outbox2""#));
        let long = "x".repeat(IDENTIFIER_MAX + 1);
        for wrong in ["", ".", "a.", ".a", "a.b.c", "2a", "a b", "a\"; drop table b; --", "tàble", &long] {
            assert_eq!(quoted(wrong), None, "{wrong}");
        }
    }
}
