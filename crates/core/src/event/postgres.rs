//! Reads values that PostgreSQL wrote as text: arrays as lists, JSON as what it holds.

use std::borrow::Cow;

use super::Value;

/// Deeper arrays are no columns of anybody; PostgreSQL itself ends at six dimensions.
const DEPTH_MAX: usize = 6;

/// What a text is, given the name of the column's type as PostgreSQL prints it, without its length: `integer[]`, `jsonb`, `mood`.
/// `None` where it cannot be read, or where the name says too little, which makes the column unknown.
#[must_use]
pub fn typed<'a>(kind: &str, text: Cow<'a, str>) -> Option<Value<'a>> {
    match kind.strip_suffix("[]") {
        Some(element) => array(plain(element.trim_end_matches("[]")), &text),
        None if matches!(kind, "json" | "jsonb") => json(&text),
        None if is_integer(kind) => text.parse().ok().map(Value::Int),
        None if kind == "boolean" => truth(&text),
        None if !is_built_in(kind) && may_be_a_domain(&text) => None,
        None => Some(Value::Text(text)),
    }
}

/// The name of a type without its length or precision: `numeric(10,2)` is `numeric`, `timestamp(3) with time zone` keeps its zone.
pub(super) fn plain(kind: &str) -> Cow<'_, str> {
    let Some((head, rest)) = kind.split_once('(') else { return Cow::Borrowed(kind) };
    match rest.split_once(')') {
        Some((_, "")) => Cow::Borrowed(head),
        Some((_, tail)) => Cow::Owned(format!("{head}{tail}")),
        None => Cow::Borrowed(kind),
    }
}

/// Whether values of this type are integers that JSON keeps.
pub(super) fn is_integer(kind: &str) -> bool {
    matches!(kind, "smallint" | "integer" | "bigint" | "oid")
}

/// Whether JSON has no number for some of the values of this type: NaN and the infinities.
pub(super) fn has_no_number(kind: &str) -> bool {
    matches!(kind, "real" | "double precision" | "numeric")
}

fn truth<'a>(text: &str) -> Option<Value<'a>> {
    match text {
        "t" => Some(Value::Bool(true)),
        "f" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Whether a text of a type that is not built in may be of a domain over something that is no text: an array, JSON, a truth value.
/// The name of the type does not tell it from a label of an enumeration.
fn may_be_a_domain(text: &str) -> bool {
    let nested = [('{', '}'), ('[', ']'), ('"', '"')];
    matches!(text, "t" | "f" | "true" | "false" | "null")
        || nested.iter().any(|(begin, end)| text.starts_with(*begin) && text.ends_with(*end))
        || (text.starts_with('[') && text.contains("]={"))
}

fn is_built_in(kind: &str) -> bool {
    BUILT_IN.contains(&kind) || (kind.starts_with("reg") && !kind.contains('.'))
}

/// Types of PostgreSQL, and of its usual extensions, whose values may look as if they were of another.
const BUILT_IN: [&str; 25] = [
    "text",
    "character varying",
    "character",
    // As PostgreSQL writes it, and as wal2json does.
    "\"char\"",
    "char",
    "name",
    "xml",
    "refcursor",
    "line",
    "path",
    "lseg",
    "tsvector",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "citext",
];

/// What a JSON text holds.
pub(super) fn json(text: &str) -> Option<Value<'static>> {
    serde_json::from_str::<Value<'_>>(text).ok().map(Value::into_owned)
}

/// An array as a list: `{1,NULL,"a b"}`, `{{1},{2}}`, `[0:1]={1,2}`.
fn array(element: Cow<'_, str>, text: &str) -> Option<Value<'static>> {
    let begin = if text.starts_with('[') { text.find("={")? + 1 } else { 0 };
    let separator = if element == "box" { b';' } else { b',' };
    let mut reader = Reader { bytes: text.as_bytes(), at: begin, element: &element, separator };
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
        typed(self.element, Cow::Owned(text))
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
            ("ids", "{5,6}", None),
            ("ids[]", r#"{"{5,6}"}"#, None),
            ("mood[]", "{ok,bad}", Some(json!(["ok", "bad"]))),
            ("numeric", "1.50", Some(json!("1.50"))),
            ("bigint", "x", None),
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
