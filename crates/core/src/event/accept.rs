//! Says which messages of a source are for Quash at all, where it shares a topic with other people's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::{Change, EventLimits, Format, Payload, cloud_events, decode};

/// What a source takes; a message that does not meet everything that is said here is left out. In each text `*` stands for any
/// text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Accept {
    /// The `type`s of CloudEvents; messages that are none are taken.
    pub types: Vec<String>,
    /// The entities, of which a message names at least one; direct commands are taken, and what cannot be decoded.
    pub entities: Vec<String>,
    /// Headers that a message has, each with its values.
    pub headers: BTreeMap<String, Vec<String>>,
}

/// The attributes of a CloudEvent in structured mode that say what it is.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Structured {
    specversion: Option<String>,
    r#type: Option<String>,
}

impl Accept {
    /// Whether a message is left out.
    #[must_use]
    pub fn leaves_out(&self, payload: Payload<'_>, format: Format, limits: &EventLimits) -> bool {
        let lacks = |(name, values): (&String, &Vec<String>)| {
            let mut headers = payload.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
            !headers.any(|(_, value)| is_one_of(values, value))
        };
        self.headers.iter().any(lacks)
            || (!self.types.is_empty() && self.is_other_type(payload))
            || (!self.entities.is_empty() && self.is_other_entity(payload, format, limits))
    }

    fn is_other_type(&self, payload: Payload<'_>) -> bool {
        let kind = cloud_events::kind(payload.headers).map(|kind| kind.into_owned()).or_else(|| {
            let structured: Structured = serde_json::from_slice(payload.body).ok()?;
            structured.specversion.and(structured.r#type)
        });
        kind.is_some_and(|kind| !is_one_of(&self.types, &kind))
    }

    fn is_other_entity(&self, payload: Payload<'_>, format: Format, limits: &EventLimits) -> bool {
        let mut changes = Vec::new();
        let is_decoded = decode(payload, format, limits, &mut changes).is_ok();
        is_decoded
            && !changes.is_empty()
            && changes.iter().all(|change| match change {
                Change::Event(event) => !is_one_of(&self.entities, &event.entity),
                Change::Command(_) => false,
            })
    }
}

fn is_one_of(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| Pattern::parse(pattern).matches(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(accept: serde_json::Value, headers: &[(&'static str, &str)], body: &str, left_out: bool) {
        let accept: Accept = serde_json::from_value(accept).unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        let payload = Payload { body: body.as_bytes(), headers: &headers };
        let limits = EventLimits::default();
        assert_eq!(
            accept.leaves_out(payload, Format::Auto, &limits),
            left_out,
            "{accept:?} of {body} with {headers:?}"
        );
    }

    #[test]
    fn messages_of_others_are_left_out_and_what_is_not_known_is_taken() {
        let book = r#"{"entity":"shop.Book","op":"truncate"}"#;
        let of_type = |kind: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"{kind}"}}"#);
        let binary = |kind| [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", kind)];
        let types = json!({"types": ["com.shop.*", "com.other.sold"]});
        for (kind, left_out) in [("com.shop.book", false), ("com.other.sold", false), ("com.other.bought", true)] {
            check(types.clone(), &[], &of_type(kind), left_out);
            check(types.clone(), &binary(kind), "<xml/>", left_out);
        }
        for body in [book, "<xml/>", r#"{"type":"com.other.bought"}"#, r#"{"specversion":"1.0"}"#, ""] {
            check(types.clone(), &[], body, false);
        }
        let entities = json!({"entities": ["shop.*"]});
        check(entities.clone(), &[], book, false);
        check(entities.clone(), &[], &book.replace("shop.", "bank."), true);
        check(entities.clone(), &[], &format!(r#"{{"events":[{book},{}]}}"#, book.replace("shop.", "bank.")), false);
        for taken in [r#"{"invalidate":{"tag":"t"}}"#, "garbage", r#"{"ts_ms":1}"#] {
            check(entities.clone(), &[], taken, false);
        }
        let headers = json!({"headers": {"tenant": ["a", "b*"], "Kind": ["*"]}});
        check(headers.clone(), &[("tenant", "a"), ("kind", "")], book, false);
        check(headers.clone(), &[("Tenant", "b7"), ("KIND", "x")], book, false);
        check(headers.clone(), &[("tenant", "c"), ("kind", "")], book, true);
        check(headers, &[("tenant", "a")], book, true);
        check(json!({}), &[], "anything", false);
    }
}
