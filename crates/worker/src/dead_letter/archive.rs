//! Writes dead letters as lines of JSON, and reads such lines back as the messages that they were.

use base64::prelude::{BASE64_STANDARD, Engine};
use quash_transport::{Headers, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Letter;
use quash_delivery::headers;

/// One letter as an object of JSON. The payload is text where it is UTF-8, and base64 where it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// The letter's name at the broker that it was exported from; reading gives it a new one.
    #[serde(default)]
    pub id: Option<String>,
    /// The headers, but for the record; all of them when the record is no JSON object.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The record.
    #[serde(default)]
    pub record: Option<Map<String, Value>>,
    /// The payload as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

impl Archived {
    /// A letter as it is written.
    #[must_use]
    pub fn of(letter: &Letter) -> Self {
        let message = &letter.message;
        let record = message.headers.get(headers::RECORD).and_then(|text| serde_json::from_str(text).ok());
        let kept = |name: &str| record.is_none() || name != headers::RECORD;
        let all = message.headers.as_slice().iter();
        let headers = all.filter(|(name, _)| kept(name)).map(|(name, value)| (name.to_string(), value.clone().into()));
        let text = std::str::from_utf8(&message.payload).ok();
        Self {
            id: Some(letter.id.0.clone()),
            headers: headers.collect(),
            payload: text.map(str::to_owned),
            payload_base64: text.is_none().then(|| BASE64_STANDARD.encode(&message.payload)),
            record,
        }
    }

    /// The message that was written.
    ///
    /// # Errors
    /// When a header is no text, or the payload is missing, there twice, or no base64.
    pub fn into_message(self) -> Result<Message, String> {
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(&text).map_err(|_| "payload_base64 is no base64")?,
            (None, None) => return Err("there is neither payload nor payload_base64".to_owned()),
            (Some(_), Some(_)) => return Err("there are both payload and payload_base64".to_owned()),
        };
        let mut headers = Headers::default();
        for (name, value) in self.headers {
            let Value::String(value) = value else { return Err(format!("header `{name}` is no text")) };
            headers.set(name, value);
        }
        if let Some(record) = self.record {
            headers.set(headers::RECORD, Value::Object(record).to_string());
        }
        Ok(Message { payload: payload.into(), headers })
    }
}

/// Reads one line of an export.
///
/// # Errors
/// When it is no letter, with what is wrong.
pub fn read_line(line: &str) -> Result<Message, String> {
    let archived: Archived = serde_json::from_str(line).map_err(|error| error.to_string())?;
    archived.into_message()
}

#[cfg(test)]
mod tests {
    use quash_delivery::record::Reason;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_letter_comes_back_as_it_was() {
        let foreign = |record: &str| {
            let mut letter = testing::letter("1", &testing::record(Reason::Decode), "{}");
            letter.message.headers.set(headers::RECORD, record);
            letter
        };
        let mut bytes = testing::letter("1", &testing::record(Reason::Decode), "");
        bytes.message.payload = vec![0, 159, 146, 150].into();
        bytes.message.headers.set("x-odd \u{1b}", "\u{0}é");
        let cases = [
            testing::letter("1", &testing::record(Reason::TargetError), "{\"a\":\n1}\u{0}"),
            testing::letter("1", &testing::record(Reason::TargetError), ""),
            bytes,
            foreign("no json"),
            foreign("[1]"),
        ];
        for letter in cases {
            let line = serde_json::to_string(&Archived::of(&letter)).unwrap();
            let mut message = read_line(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            let mut expect = letter.message;
            // The record comes back last; the order of headers has no meaning.
            for message in [&mut message, &mut expect] {
                if let Some(record) = message.headers.remove(headers::RECORD) {
                    message.headers.set(headers::RECORD, record);
                }
            }
            assert_eq!(message, expect, "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn what_is_no_letter_is_refused_with_its_reason() {
        let cases = [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{}", "there is neither payload nor payload_base64"),
            (r#"{"payload":"a","payload_base64":"YQ=="}"#, "there are both payload and payload_base64"),
            (r#"{"payload_base64":"?"}"#, "payload_base64 is no base64"),
            (r#"{"payload":"a","headers":{"n":1}}"#, "header `n` is no text"),
        ];
        for (line, expect) in cases {
            assert_eq!(read_line(line), Err(expect.to_owned()), "{line}");
        }
    }
}
