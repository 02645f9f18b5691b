//! Unwraps Cassandra's cells, and its operations: an insert there writes over the row that may be there already.

use super::envelope::Envelope;
use crate::event::{Row, Value};

impl Envelope<'_> {
    /// Makes an envelope of Cassandra's into one that says the same in the words of the others.
    pub(super) fn unwrap_cells(&mut self) {
        if self.connector.as_deref() != Some("cassandra") {
            return;
        }
        if let Some(row) = &mut self.after {
            unwrap(row);
        }
        match &*self.op {
            "i" => self.op = "u".into(),
            // A row, and a range of rows of which only the partition is known.
            "d" | "r" => {
                self.op = "d".into();
                self.before = self.after.take();
            }
            _ => {}
        }
    }
}

/// A cell that was not written is unknown.
fn unwrap(row: &mut Row<'_>) {
    row.0.retain_mut(|(_, value)| {
        let Value::Object(cell) = value else { return *value != Value::Null };
        if cell.get("set") == Some(&Value::Bool(false)) {
            return false;
        }
        match cell.take("value") {
            Some(held) => *value = held,
            None => return false,
        }
        true
    });
}
