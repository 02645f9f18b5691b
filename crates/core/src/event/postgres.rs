//! Reads values that PostgreSQL wrote as text: arrays as lists, JSON as what it holds.

use std::borrow::Cow;

use super::Value;

/// Deeper arrays are no columns of anybody; PostgreSQL itself ends at six dimensions.
const DEPTH_MAX: usize = 6;

/// What a text is, given the name of the column's type, as `integer[]` or `jsonb`; `None` where it cannot be read, which makes
/// the column unknown.
#[must_use]
pub fn typed<'a>(kind: &str, text: Cow<'a, str>) -> Option<Value<'a>> {
    match kind.strip_suffix("[]") {
        Some(element) => array(element.trim_end_matches("[]"), &text),
        None if matches!(kind, "json" | "jsonb") => json(&text),
        None => Some(Value::Text(text)),
    }
}

/// What a JSON text holds.
pub(super) fn json(text: &str) -> Option<Value<'static>> {
    serde_json::from_str::<Value<'_>>(text).ok().map(Value::into_owned)
}

/// An array as a list: `{1,NULL,"a b"}`, `{{1},{2}}`, `[0:1]={1,2}`.
fn array(element: &str, text: &str) -> Option<Value<'static>> {
    let begin = if text.starts_with('[') { text.find("={")? + 1 } else { 0 };
    let separator = if element == "box" { b';' } else { b',' };
    let mut reader = Reader { bytes: text.as_bytes(), at: begin, element, separator };
    let list = reader.list(1)?;
    (reader.at == text.len()).then_some(list)
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    element: &'t str,
    separator: u8,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    fn list(&mut self, depth: usize) -> Option<Value<'static>> {
        self.take(b'{').filter(|()| depth <= DEPTH_MAX)?;
        let mut items = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Value::List(items));
        }
        loop {
            items.push(match self.peek()? {
                b'{' => self.list(depth + 1)?,
                b'"' => {
                    let text = self.quoted()?;
                    self.value(text)?
                }
                _ => self.bare()?,
            });
            if self.take(b'}').is_some() {
                return Some(Value::List(items));
            }
            self.take(self.separator)?;
        }
    }

    fn quoted(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut text = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    text.push(self.peek()?);
                    self.at += 1;
                }
                other => text.push(other),
            }
        }
    }

    fn bare(&mut self) -> Option<Value<'static>> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|byte| *byte == self.separator || matches!(byte, b'{' | b'}' | b'"'))?;
        let text = std::str::from_utf8(&rest[..end]).ok().filter(|text| !text.is_empty())?;
        self.at += end;
        if text.eq_ignore_ascii_case("null") { Some(Value::Null) } else { self.value(text.to_owned()) }
    }

    /// An element as the same value outside of an array comes.
    fn value(&self, text: String) -> Option<Value<'static>> {
        match self.element {
            "smallint" | "integer" | "bigint" | "oid" => text.parse().ok().map(Value::Int),
            "boolean" => match text.as_str() {
                "t" => Some(Value::Bool(true)),
                "f" => Some(Value::Bool(false)),
                _ => None,
            },
            "json" | "jsonb" => json(&text),
            _ => Some(Value::Text(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arrays_are_lists_of_what_their_elements_are() {
        let cases = [
            ("integer[]", "{5,6}", Some(json!([5, 6]))),
            ("bigint[]", "{-9223372036854775808,NULL}", Some(json!([i64::MIN, null]))),
            ("integer[]", "{}", Some(json!([]))),
            ("integer[]", "{{1,2},{3,4}}", Some(json!([[1, 2], [3, 4]]))),
            ("integer[]", "[0:1]={1,2}", Some(json!([1, 2]))),
            ("integer[]", "[-1:0][2:2]={{1},{2}}", Some(json!([[1], [2]]))),
            ("boolean[]", "{t,f}", Some(json!([true, false]))),
            ("numeric(10,2)[]", "{1.50,NaN}", Some(json!(["1.50", "NaN"]))),
            (
                "text[]",
                r#"{a,"b c","q\"\\",NULL,"NULL","","{}","é,x"}"#,
                Some(json!(["a", "b c", "q\"\\", null, "NULL", "", "{}", "é,x"])),
            ),
            ("character varying(30)[]", "{a}", Some(json!(["a"]))),
            ("jsonb[]", r#"{"{\"a\": 1}","[1]"}"#, Some(json!([{"a": 1}, [1]]))),
            ("box[]", "{(1,1),(0,0);(2,2),(1,1)}", Some(json!(["(1,1),(0,0)", "(2,2),(1,1)"]))),
            ("timestamp without time zone[]", r#"{"2024-01-02 03:04:05"}"#, Some(json!(["2024-01-02 03:04:05"]))),
            ("jsonb", r#"{"a": [1, "x"]}"#, Some(json!({"a": [1, "x"]}))),
            ("json", "5", Some(json!(5))),
            ("text", "{5,6}", Some(json!("{5,6}"))),
            ("integer[]", "{5,x}", None),
            ("integer[]", "{5,6", None),
            ("integer[]", "{5}}", None),
            ("integer[]", "{5,}", None),
            ("integer[]", "5", None),
            ("integer[]", "", None),
            ("integer[]", "{{{{{{{1}}}}}}}", None),
            ("boolean[]", "{true}", None),
            ("text[]", r#"{"a\"#, None),
            ("jsonb", "{", None),
        ];
        for (kind, text, expected) in cases {
            let typed = typed(kind, text.into());
            assert_eq!(typed, expected.as_ref().map(Value::from), "{text} as {kind}");
        }
    }
}
