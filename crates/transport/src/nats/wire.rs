//! Turns messages into what travels over NATS and back, and knows how large that is.

use std::str::FromStr;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_MESSAGE_ID};
use bytes::Bytes;

use crate::{Headers, Message};

/// Begins the names of headers that belong to this transport and never leave it.
const OWN: &str = "_quash-";

/// Begins the names of headers that are orders to the server. They are about one copy, and obeyed again they could lose
/// the next: another copy with the same `Nats-Msg-Id` is not stored.
const ORDERS: &str = "nats-";

/// Holds a header that the protocol cannot, name and value escaped.
const ESCAPED: &str = "_quash-header";

/// When a parked copy is due, in milliseconds since the Unix epoch.
const DUE: &str = "_quash-due";

/// How often a suspect was handed out before it became one.
const DELIVERIES: &str = "_quash-deliveries";

/// The header by which a publisher names a message, so that it is stored once however often it is published.
const MESSAGE_ID: &str = "nats-msg-id";

/// How many headers of a message are kept; finding one among them takes the longer the more there are.
const HEADERS_MAX: usize = 1000;

/// What is handed to the driver.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) subject: async_nats::Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

impl Outgoing {
    /// A message as a publisher gave it.
    pub(super) fn published(subject: async_nats::Subject, message: &Message) -> Self {
        let mut headers = header_map(&message.headers);
        if let Some(id) = message.headers.get(MESSAGE_ID).filter(|id| is_value(id)) {
            headers.get_or_insert_default().insert(NATS_MESSAGE_ID, id);
        }
        Self { subject, headers, payload: message.payload.clone() }
    }

    /// A copy that is stored once under an identifier of its own.
    pub(super) fn copy(subject: async_nats::Subject, message: &Message, id: &str) -> Self {
        let mut headers = header_map(&message.headers).unwrap_or_default();
        headers.insert(NATS_MESSAGE_ID, id);
        Self { subject, headers: Some(headers), payload: message.payload.clone() }
    }

    /// The same, not to be worked on before a time in milliseconds since the Unix epoch.
    pub(super) fn due_at(mut self, milliseconds: u64) -> Self {
        self.headers.get_or_insert_default().insert(DUE, HeaderValue::from(milliseconds));
        self
    }

    /// The same, with how often it was handed out before.
    pub(super) fn handed_out(mut self, deliveries: u32) -> Self {
        self.headers.get_or_insert_default().insert(DELIVERIES, HeaderValue::from(u64::from(deliveries)));
        self
    }

    /// How many bytes the server counts against its limit.
    pub(super) fn size(&self) -> usize {
        self.headers.as_ref().map_or(0, wire_size) + self.payload.len()
    }
}

/// The message as it was published.
pub(super) fn message(headers: Option<&HeaderMap>, payload: Bytes) -> Message {
    Message { payload, headers: headers.map(read_headers).unwrap_or_default() }
}

/// When a parked copy is due; at once if it does not say.
pub(super) fn due(headers: Option<&HeaderMap>) -> u64 {
    number(headers, DUE).unwrap_or(0)
}

/// How often a suspect was handed out before it became one.
pub(super) fn deliveries_before(headers: Option<&HeaderMap>) -> u32 {
    number(headers, DELIVERIES).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

/// `None` when there is nothing to carry, as most messages have no header.
fn header_map(headers: &Headers) -> Option<HeaderMap> {
    let mut map: Option<HeaderMap> = None;
    for (name, value) in headers.as_slice() {
        if name == MESSAGE_ID {
            continue;
        }
        let map = map.get_or_insert_default();
        match HeaderName::from_str(name) {
            Ok(plain) if is_free(name) && is_value(value) => map.insert(plain, value.as_str()),
            _ => put_escaped(map, name, value),
        }
    }
    map
}

/// Adds a header in the form that carries any name and any value.
pub(super) fn put_escaped(map: &mut HeaderMap, name: &str, value: &str) {
    map.append(ESCAPED, format!("{}={}", escape(name), escape(value)));
}

fn is_free(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(OWN) && !name.starts_with(ORDERS)
}

/// Whether a value arrives as it is: without line breaks, and without the outer spaces that readers take off.
fn is_value(value: &str) -> bool {
    !value.contains(['\r', '\n']) && value.trim().len() == value.len()
}

/// Reads headers in the order of their names, as the driver knows no other.
fn read_headers(map: &HeaderMap) -> Headers {
    let mut found: Vec<(String, String)> = Vec::with_capacity(map.len().min(HEADERS_MAX));
    for (name, values) in map.iter().take(HEADERS_MAX) {
        let lower = AsRef::<str>::as_ref(name).to_ascii_lowercase();
        if lower == ESCAPED {
            found.extend(values.iter().take(HEADERS_MAX).filter_map(|value| unescape_pair(value.as_str())));
        } else if let Some(value) = values.last().filter(|_| is_free(&lower)) {
            found.push((lower, value.as_str().to_owned()));
        }
    }
    found.sort_unstable();
    let mut headers = Headers::default();
    for (name, value) in found.into_iter().take(HEADERS_MAX) {
        headers.set(name, value);
    }
    headers
}

fn unescape_pair(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    Some((unescape(name), unescape(value)))
}

/// Writes what the protocol cannot carry as a percent sign and two digits.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if char.is_control() || char.is_whitespace() || char == '%' || char == '=' {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Reads what is written as a percent sign and two digits.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many bytes headers have on the wire: a first line, `name: value` lines, an empty line.
fn wire_size(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name = AsRef::<str>::as_ref(name).len();
        values.iter().map(move |value| name + value.as_str().len() + 4)
    });
    "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&'static str, &str)]) -> Message {
        let mut message = Message { payload: "x".into(), ..Message::default() };
        headers.iter().for_each(|(name, value)| message.headers.set(*name, *value));
        message
    }

    /// Sends and reads again.
    fn travelled(message: &Message) -> Message {
        let sent = Outgoing::copy("s".into(), message, "id").due_at(7).handed_out(2);
        assert_eq!((due(sent.headers.as_ref()), deliveries_before(sent.headers.as_ref())), (7, 2));
        super::message(sent.headers.as_ref(), sent.payload)
    }

    #[test]
    fn every_header_arrives_as_it_was() {
        let cases: [&[(&str, &str)]; 7] = [
            &[],
            &[("a", "1"), ("traceparent", "00-ab-cd-01"), ("empty", "")],
            &[("lines", "a\r\nb: c\n\n"), ("spaces", "  x\t"), ("ä", "ö = 100%"), ("a b", "=%41")],
            &[("", "no name"), ("colon:", "x")],
            &[("_quash-due", "mine"), ("_quash-header", "a=b"), ("nats-expected-stream", "mine")],
            &[("wide", "\u{a0}x\u{2003}")],
            &[("key", "{\"id\":1}")],
        ];
        for headers in cases {
            assert_eq!(travelled(&with(headers)), with(headers), "{headers:?}");
        }
    }

    #[test]
    fn an_identifier_is_for_one_copy_alone() {
        let named = with(&[("nats-msg-id", "7")]);
        let sent = Outgoing::published("s".into(), &named);
        let id = |sent: &Outgoing| sent.headers.as_ref().unwrap().get(NATS_MESSAGE_ID).unwrap().to_string();
        assert_eq!(id(&sent), "7");
        let received = message(sent.headers.as_ref(), sent.payload);
        assert_eq!(received, with(&[]));
        assert_eq!(id(&Outgoing::copy("s".into(), &named, "8")), "8");
        assert!(Outgoing::published("s".into(), &with(&[])).headers.is_none());
    }

    #[test]
    fn the_size_is_what_goes_over_the_wire() {
        assert_eq!(Outgoing::published("s".into(), &with(&[])).size(), 1);
        let lines = "NATS/1.0\r\na: 1\r\nNats-Msg-Id: id\r\n\r\n";
        assert_eq!(Outgoing::copy("s".into(), &with(&[("a", "1")]), "id").size(), lines.len() + 1);
    }

    #[test]
    fn names_of_other_publishers_become_lower_case() {
        let mut headers = HeaderMap::new();
        headers.insert("Ce-Id", "1");
        headers.insert("Content-Type", "application/json");
        let read = message(Some(&headers), Bytes::new());
        assert_eq!(
            read.headers.as_slice(),
            with(&[("ce-id", "1"), ("content-type", "application/json")]).headers.as_slice()
        );
    }
}
