//! Holds which commit an event belongs to.

use super::value::{Row, Value};

/// Which commit an event belongs to, as far as the publisher says. Fields of another form are as if they were not there: nothing
/// that is removed depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// The transaction's id on its database system, with its epoch.
    pub id: Option<u64>,
    /// The identifier of the database system that it is an id of.
    pub system: Option<String>,
    /// Where the commit stands in the system's log, as the system spells it.
    pub lsn: Option<String>,
    /// Which part of the transaction the message is, from 1; parts may come in any order.
    pub part: Option<u32>,
    /// Whether it is the part with the highest number.
    pub last: Option<bool>,
}

impl Transaction {
    /// Reads the field `transaction`; `None` when it says nothing.
    pub(super) fn read(field: &Value<'_>) -> Option<Self> {
        let Value::Object(row) = field else { return None };
        let text = |name: &str| match row.get(name) {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let read = Self {
            id: whole(row, "id").and_then(|id| u64::try_from(id).ok()),
            system: text("system"),
            lsn: text("lsn"),
            part: whole(row, "part").and_then(|part| u32::try_from(part).ok()),
            last: row.get("last").and_then(|last| if let Value::Bool(last) = last { Some(*last) } else { None }),
        };
        (read != Self::default()).then_some(read)
    }
}

/// A number, also as decimal text, which keeps 64 bits in every language.
fn whole(row: &Row<'_>, name: &str) -> Option<i128> {
    match row.get(name)? {
        Value::Int(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_another_form_is_as_if_it_were_not_there() {
        let whole = Transaction {
            id: Some(u64::MAX),
            system: Some("7".to_owned()),
            lsn: Some("0/1".to_owned()),
            part: Some(2),
            last: Some(true),
        };
        let max = u64::MAX.to_string();
        let cases = [
            (json!({"id": max, "system": "7", "lsn": "0/1", "part": 2, "last": true, "x": 1}), Some(whole)),
            (json!({"id": 5, "part": -1, "last": "no"}), Some(Transaction { id: Some(5), ..Transaction::default() })),
            (json!({"id": "x"}), None),
            (json!({}), None),
            (json!("abc"), None),
            (json!(null), None),
        ];
        for (json, expected) in cases {
            assert_eq!(Transaction::read(&Value::from(&json)), expected, "{json}");
        }
    }
}
