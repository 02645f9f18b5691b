//! Reads and writes what was recorded of a broker: a declaration or a message a line, under `tests/vectors/wire`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::Kind;

/// What lay in one broker.
#[derive(Debug, Default)]
pub struct Recording {
    /// Queues, streams and consumers as the broker tells of them, in the order in which they can be declared.
    pub declared: Vec<Value>,
    /// Messages in the order in which they were taken out.
    pub messages: Vec<Lain>,
}

/// A message as it lay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lain {
    /// The name of the queue, of the stream, or of the key.
    pub within: String,
    /// Its headers, exactly and in their order.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
    /// What else the broker keeps of it: identifiers, properties, a subject.
    pub besides: Map<String, Value>,
}

/// A header as it lay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, written as text where it is a number.
    pub value: Vec<u8>,
    /// The type of the value, where the broker has several.
    pub kind: Option<String>,
}

impl Header {
    /// A header of a broker that knows one type of value.
    #[must_use]
    pub fn plain(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into(), kind: None }
    }
}

impl Lain {
    /// A header's value as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(&header.value).ok()
    }

    /// Something else that the broker keeps of it, as text.
    ///
    /// # Panics
    /// When it was not recorded.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.besides.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no `{name}` beside {self:?}"))
    }
}

impl Recording {
    /// Where the recordings of a version are.
    #[must_use]
    pub fn folder(version: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/wire").join(version)
    }

    /// Reads what was recorded of a kind of broker with a version.
    ///
    /// # Panics
    /// When there is none, or a line is no recording.
    #[must_use]
    pub fn read(version: &str, kind: Kind) -> Self {
        let path = Self::folder(version).join(format!("{}.jsonl", kind.name()));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let mut recording = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
            match line.get("declared") {
                Some(_) => recording.declared.push(line),
                None => recording.messages.push(message_of(line)),
            }
        }
        recording
    }

    /// Writes it down as what lay in a kind of broker.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, version: &str, kind: Kind) {
        let path = Self::folder(version).join(format!("{}.jsonl", kind.name()));
        let lines = self.declared.iter().cloned().chain(self.messages.iter().map(line_of));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }
}

fn line_of(message: &Lain) -> Value {
    let header = |header: &Header| {
        let mut line = json!({ "name": header.name });
        put(&mut line, ["value", "value_base64"], &header.value);
        if let Some(kind) = &header.kind {
            line["type"] = kind.as_str().into();
        }
        line
    };
    let mut line = json!({ "in": message.within, "headers": message.headers.iter().map(header).collect::<Vec<_>>() });
    put(&mut line, ["body", "body_base64"], &message.body);
    for (name, value) in &message.besides {
        line[name] = value.clone();
    }
    line
}

fn message_of(line: Value) -> Lain {
    let Value::Object(mut line) = line else { panic!("{line} is no message") };
    let mut take = |name: &str| line.remove(name).unwrap_or_default();
    let headers = take("headers");
    let header = |header: &Value| Header {
        name: header["name"].as_str().expect("a name").to_owned(),
        value: get([&header["value"], &header["value_base64"]]),
        kind: header["type"].as_str().map(str::to_owned),
    };
    Lain {
        within: take("in").as_str().expect("where it lay").to_owned(),
        headers: headers.as_array().expect("headers").iter().map(header).collect(),
        body: get([&take("body"), &take("body_base64")]),
        besides: line,
    }
}

/// Writes bytes as text where they are, and as base64 where they are not.
fn put(line: &mut Value, [text, base64]: [&str; 2], bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(plain) => line[text] = plain.into(),
        Err(_) => line[base64] = encode(bytes).into(),
    }
}

fn get([text, base64]: [&Value; 2]) -> Vec<u8> {
    match text.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => decode(base64.as_str().expect("text or base64")),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| number << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = char::from(ALPHABET[number >> (18 - 6 * at) & 63]);
            text.push(if at <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// The bytes of base64.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').collect();
    let value = |letter: &u8| ALPHABET.iter().position(|known| known == letter).expect("a letter of base64");
    let mut bytes = Vec::new();
    for chunk in letters.chunks(4) {
        let number = (0..4).fold(0, |number, at| number << 6 | chunk.get(at).map_or(0, value));
        bytes.extend((0..chunk.len() - 1).map(|at| (number >> (16 - 8 * at) & 255) as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!((encode(bytes.as_bytes()).as_str(), decode(text)), (text, bytes.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_message_comes_back_from_its_line() {
        let typed = Header { kind: Some("long".to_owned()), ..Header::plain("due", "7") };
        let message = Lain {
            within: "events".to_owned(),
            headers: vec![Header::plain("a", "1"), Header::plain("odd", [0xff]), typed],
            body: vec![0xff, 0],
            besides: Map::from_iter([("id".to_owned(), "1-0".into())]),
        };
        assert_eq!(message_of(line_of(&message)), message);
    }
}
