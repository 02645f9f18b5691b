//! Compares the columns of a row with the fields of an entry's JSON: pure.

use serde_json::Value;

/// Whether each column of the rows stands in the entry. `None` where the entry is no JSON that could say so.
pub(super) fn is_same(rows: &[Value], entry: Option<&[u8]>) -> Option<bool> {
    let Some(bytes) = entry else { return Some(rows.is_empty()) };
    let entry: Value = serde_json::from_slice(bytes).ok()?;
    Some(match (rows, &entry) {
        ([], Value::Null) => true,
        (rows, Value::Array(items)) => {
            items.len() == rows.len() && rows.iter().zip(items).all(|(row, item)| has(row, item))
        }
        ([row], entry) => has(row, entry),
        _ => false,
    })
}

/// Whether an entry has every column of a row. A row of one column may be the entry itself.
fn has(row: &Value, entry: &Value) -> bool {
    let Value::Object(columns) = row else { return equal(row, entry) };
    match entry {
        Value::Object(fields) => {
            columns.iter().all(|(name, value)| fields.get(name).is_some_and(|it| equal(value, it)))
        }
        entry if columns.len() == 1 => columns.values().all(|value| equal(value, entry)),
        _ => false,
    }
}

/// Whether two values are the same to whoever reads them: a number and its text are, as decimals come as either.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| equal(value, other)))
        }
        (Value::Number(one), Value::Number(other)) => is_same_number(&one.to_string(), &other.to_string()),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            is_same_number(&number.to_string(), text)
        }
        (one, other) => one == other,
    }
}

fn is_same_number(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // Whole numbers beyond 2^53 are not compared by what a float keeps of them.
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(one), Ok(other)) if one == other),
    }
}

/// The same JSON with another value in each of its fields; `None` where it is none.
pub(super) fn spoilt(entry: &[u8]) -> Option<Vec<u8>> {
    fn spoil(value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                fields.values_mut().for_each(|field| *field = serde_json::json!({ "quash": "canary" }));
            }
            Value::Array(items) if !items.is_empty() => items.iter_mut().for_each(spoil),
            other => *other = serde_json::json!({ "quash": "canary" }),
        }
    }
    let mut value: Value = serde_json::from_slice(entry).ok()?;
    spoil(&mut value);
    Some(value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_column_stands_in_the_entry() {
        let check = |rows: Value, entry: &str, expect: Option<bool>| {
            let Value::Array(rows) = rows else { panic!("{rows}") };
            assert_eq!(is_same(&rows, Some(entry.as_bytes())), expect, "{rows:?} {entry}");
        };
        check(json!([{"price": 5}]), r#"{"price": 5, "title": "x"}"#, Some(true));
        check(json!([{"price": 5}]), r#"{"price": 6}"#, Some(false));
        check(json!([{"price": 5}]), r#"{"title": "x"}"#, Some(false));
        check(json!([{"price": 10.5}]), r#"{"price": "10.50"}"#, Some(true));
        check(json!([{"price": "x"}]), r#"{"price": "10.50"}"#, Some(false));
        check(json!([{"price": 9_007_199_254_740_993_i64}]), r#"{"price": 9007199254740992}"#, Some(false));
        check(json!([{"price": null}]), r#"{"price": null}"#, Some(true));
        check(json!([{"price": 5}]), "5", Some(true));
        check(json!([{"price": 5, "id": 1}]), "5", Some(false));
        check(json!([{"id": 1}, {"id": 2}]), r#"[{"id": 1}, {"id": 2}]"#, Some(true));
        check(json!([{"id": 1}, {"id": 2}]), r#"[{"id": 2}, {"id": 1}]"#, Some(false));
        check(json!([]), "[]", Some(true));
        check(json!([]), "null", Some(true));
        check(json!([]), r#"{"id": 1}"#, Some(false));
        check(json!([{"id": 1}]), "\u{80}pickle", None);
    }

    #[test]
    fn an_absence_is_right_where_there_is_no_row() {
        assert_eq!(is_same(&[], None), Some(true));
        assert_eq!(is_same(&[json!({"id": 1})], None), Some(false));
    }

    #[test]
    fn what_is_spoilt_differs_in_every_field() {
        for (row, entry) in
            [(json!({"a": 1}), r#"{"a": 1, "b": 2}"#), (json!({"a": 1}), "1"), (json!({"a": 1}), r#"[{"a": 1}]"#)]
        {
            assert_eq!(is_same(std::slice::from_ref(&row), Some(entry.as_bytes())), Some(true), "{entry}");
            assert_eq!(is_same(&[row], Some(&spoilt(entry.as_bytes()).unwrap())), Some(false), "{entry}");
        }
        assert_eq!(spoilt(b"\x80pickle"), None);
    }
}
