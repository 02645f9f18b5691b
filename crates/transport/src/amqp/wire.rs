//! Turns messages into AMQP properties and back, also those that other producers wrote.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, MAX_SHORT_STRING_LENGTH, ShortString};

use crate::{Headers, Message};

/// When a parked message is due, in Unix milliseconds. Only with delays that are longer than the ladder.
const DUE: &str = "quash-transport-due";

/// How often the broker had handed a message out before it was published anew.
const HANDED_OUT: &str = "quash-transport-handed-out";

/// The header in which the content type travels outside of AMQP, which has a property for it.
const CONTENT_TYPE: &str = "content-type";

/// The same of how the body is encoded.
const CONTENT_ENCODING: &str = "content-encoding";

/// The header with which Quash names an event whose payload does not.
const ID: &str = "quash-id";

/// How often the broker has returned a message to its queue; newer ones count takings, and releases no more.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// What the broker itself writes. It says nothing of a message that is published anew.
const BROKERS: [&str; 3] = ["x-death", "x-first-death-", "x-last-death-"];

/// Bytes of properties that fit into one frame of the size that brokers agree to by default; they cannot be split.
const PROPERTIES_MAX: usize = 127 * 1024;

/// A message as it came from a queue.
#[derive(Debug, PartialEq)]
pub(super) struct Received {
    pub(super) message: Message,
    /// How often it was handed out before.
    pub(super) handed_out: u32,
    /// When it is due, in Unix milliseconds.
    pub(super) due: Option<u64>,
}

/// What travels beside a message and never leaves the transport.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extras {
    pub(super) handed_out: u32,
    pub(super) due: Option<u64>,
    /// Milliseconds after which the queue lets go of it.
    pub(super) expiration: Option<u64>,
    /// The identifier of a dead letter.
    pub(super) message_id: Option<String>,
}

/// Reads what was delivered from the work queue or the suspects. What the broker and the transport wrote is taken out.
pub(super) fn read(delivery: Delivery) -> Received {
    let Delivery { properties, data, redelivered, .. } = delivery;
    let mut received = Received { message: Message::default(), handed_out: 0, due: None };
    let (mut before, mut returned) = (0, 0);
    let headers = &mut received.message.headers;
    for (name, value) in properties.headers().iter().flatten() {
        let name = name.as_str();
        if name == DUE {
            received.due = number(value);
        } else if name == HANDED_OUT {
            before = count(value);
        } else if COUNTS.contains(&name) {
            returned = count(value).max(returned);
        } else if !is_brokers(name) {
            headers.set(name.to_lowercase(), text(value));
        }
    }
    add_properties(headers, &properties);
    // Classic queues do not count.
    received.handed_out = before.saturating_add(returned.max(u32::from(redelivered)));
    received.message.payload = data.into();
    received
}

/// Reads a dead letter, with what the broker says about its death.
pub(super) fn read_letter(properties: &BasicProperties, data: Vec<u8>) -> Message {
    let mut message = Message { payload: data.into(), headers: Headers::default() };
    for (name, value) in properties.headers().iter().flatten() {
        let name = name.as_str();
        if name != DUE && name != HANDED_OUT && !COUNTS.contains(&name) {
            message.headers.set(name.to_lowercase(), text(value));
        }
    }
    set_content(&mut message.headers, properties);
    message
}

/// The properties with which a message is published: persistent, its headers in the table.
pub(super) fn properties(message: &Message, extras: &Extras) -> BasicProperties {
    let mut properties = BasicProperties::default().with_delivery_mode(2).with_timestamp(now_ms() / 1000);
    let mut table = FieldTable::default();
    for (name, value) in message.headers.as_slice() {
        if name == CONTENT_TYPE && value.len() <= MAX_SHORT_STRING_LENGTH {
            properties = properties.with_content_type(value.as_str().into());
        } else if name == CONTENT_ENCODING && value.len() <= MAX_SHORT_STRING_LENGTH {
            properties = properties.with_content_encoding(value.as_str().into());
        } else if !is_brokers(name)
            && let Ok(name) = ShortString::try_new(name.as_ref())
        {
            table.insert(name, AMQPValue::LongString(value.as_str().into()));
        }
    }
    if extras.handed_out > 0 {
        table.insert(HANDED_OUT.into(), AMQPValue::LongLongInt(extras.handed_out.into()));
    }
    if let Some(due) = extras.due {
        table.insert(DUE.into(), AMQPValue::LongLongInt(i64::try_from(due).unwrap_or(i64::MAX)));
    }
    if let Some(milliseconds) = extras.expiration {
        properties = properties.with_expiration(milliseconds.to_string().into());
    }
    if let Some(id) = extras.message_id.as_ref().and_then(|id| ShortString::try_new(id).ok()) {
        properties = properties.with_message_id(id);
    }
    if table.inner().is_empty() { properties } else { properties.with_headers(table) }
}

/// Whether a message's headers are more than the broker ever takes: they travel in one frame.
pub(super) fn is_oversized(message: &Message) -> bool {
    let headers = message.headers.as_slice().iter();
    let bytes: usize = headers.map(|(name, value)| name.len() + value.len() + 6).sum();
    bytes + 256 > PROPERTIES_MAX
}

/// About how many bytes a message has.
pub(super) fn size(message: &Message) -> usize {
    let headers: usize = message.headers.as_slice().iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    message.payload.len() + headers + 64
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A publisher's own identifier names the event if nothing else does.
fn add_properties(headers: &mut Headers, properties: &BasicProperties) {
    set_content(headers, properties);
    if let Some(id) = properties.message_id()
        && headers.get(ID).is_none()
    {
        headers.set(ID, id.as_str());
    }
}

fn set_content(headers: &mut Headers, properties: &BasicProperties) {
    if let Some(content_type) = properties.content_type() {
        headers.set(CONTENT_TYPE, content_type.as_str());
    }
    if let Some(encoding) = properties.content_encoding() {
        headers.set(CONTENT_ENCODING, encoding.as_str());
    }
}

fn is_brokers(name: &str) -> bool {
    name.starts_with("x-") && (BROKERS.iter().any(|start| name.starts_with(start)) || COUNTS.contains(&name))
}

fn count(value: &AMQPValue) -> u32 {
    number(value).map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn number(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::ShortShortInt(number) => u64::try_from(number).ok(),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => u64::try_from(number).ok(),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => u64::try_from(number).ok(),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => u64::try_from(number).ok(),
        AMQPValue::Timestamp(number) => Some(number),
        _ => None,
    }
}

/// The value as text; what is nested becomes JSON.
fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        other => match json(other) {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        },
    }
}

fn json(value: &AMQPValue) -> serde_json::Value {
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::DecimalValue(value) => {
            (f64::from(value.value) / 10_f64.powi(i32::from(value.scale))).to_string().into()
        }
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::Timestamp(value) => (*value).into(),
        AMQPValue::FieldTable(table) => {
            table.into_iter().map(|(name, value)| (name.as_str().to_owned(), json(value))).collect()
        }
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into(),
        AMQPValue::Void => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::{FieldArray, LongString};

    use super::*;

    fn delivery(properties: BasicProperties, redelivered: bool) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), "q".into(), redelivered, b"body".to_vec());
        delivery.properties = properties;
        delivery
    }

    fn table(values: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in values {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn headers_of(message: &Message) -> Vec<(&str, &str)> {
        message.headers.as_slice().iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn a_message_comes_back_as_it_was_published() {
        let mut sent = Message { payload: "body".into(), ..Message::default() };
        for (name, value) in [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("quash-attempt", "2"),
            ("text", "ä → ∞\r\n"),
            ("empty", ""),
        ] {
            sent.headers.set(name, value);
        }
        let extras = Extras { handed_out: 3, due: Some(17), expiration: Some(5), message_id: None };
        let received = read(delivery(properties(&sent, &extras), false));
        assert_eq!(received, Received { message: sent, handed_out: 3, due: Some(17) });
    }

    #[test]
    fn what_others_write_is_read_as_text() {
        let nested = table(&[("b", AMQPValue::Boolean(true)), ("n", AMQPValue::Void)]);
        let array = FieldArray::from(vec![AMQPValue::LongInt(-1), AMQPValue::LongString("x".into())]);
        let cases = [
            (AMQPValue::LongString(LongString::from("text")), "text"),
            (AMQPValue::LongString(LongString::from(vec![0xff])), "\u{fffd}"),
            (AMQPValue::LongLongInt(-5), "-5"),
            (AMQPValue::Boolean(true), "true"),
            (AMQPValue::Double(1.5), "1.5"),
            (AMQPValue::Timestamp(1_700_000_000), "1700000000"),
            (AMQPValue::Void, ""),
            (AMQPValue::FieldTable(nested), r#"{"b":true,"n":null}"#),
            (AMQPValue::FieldArray(array), r#"[-1,"x"]"#),
        ];
        for (value, expected) in cases {
            let properties = BasicProperties::default().with_headers(table(&[("Name", value)]));
            assert_eq!(headers_of(&read(delivery(properties, false)).message), [("name", expected)]);
        }
    }

    #[test]
    fn properties_of_other_publishers_become_headers() {
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_message_id("their-id".into())
            .with_headers(table(&[("cloudEvents:type", AMQPValue::LongString("t".into()))]));
        let message = read(delivery(properties, false)).message;
        let expected = [("cloudevents:type", "t"), ("content-type", "text/plain"), ("quash-id", "their-id")];
        assert_eq!(headers_of(&message), expected);
    }

    #[test]
    fn how_often_a_message_was_handed_out_is_the_sum_of_what_is_known() {
        let long = AMQPValue::LongLongInt;
        let cases = [
            (vec![], false, 0),
            (vec![], true, 1),
            (vec![("x-delivery-count", long(2))], true, 2),
            (vec![("x-delivery-count", long(1)), ("x-acquired-count", long(4))], true, 4),
            (vec![(HANDED_OUT, long(3))], false, 3),
            (vec![(HANDED_OUT, long(3)), ("x-delivery-count", long(2))], true, 5),
            (vec![(HANDED_OUT, long(-3))], false, 0),
            (vec![(HANDED_OUT, long(i64::MAX)), ("x-delivery-count", long(2))], false, u32::MAX),
        ];
        for (headers, redelivered, expected) in cases {
            let properties = BasicProperties::default().with_headers(table(&headers));
            let received = read(delivery(properties, redelivered));
            assert_eq!(received.handed_out, expected, "{headers:?}");
            assert_eq!(headers_of(&received.message), []);
        }
    }

    #[test]
    fn what_the_broker_wrote_is_not_published_anew() {
        let mut message = Message::default();
        for name in ["x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "x-own"] {
            message.headers.set(name, "v");
        }
        let properties = properties(&message, &Extras::default());
        let names: Vec<_> = properties.headers().iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-own"]);
    }

    #[test]
    fn names_and_identifiers_that_amqp_cannot_carry_do_no_harm() {
        let mut message = Message::default();
        message.headers.set("n".repeat(300), "v");
        message.headers.set("content-type", "t".repeat(300));
        let extras = Extras { message_id: Some("i".repeat(300)), ..Extras::default() };
        let properties = properties(&message, &extras);
        let names: Vec<_> = properties.headers().iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type"]);
        assert_eq!((properties.content_type(), properties.message_id()), (&None, &None));
    }

    #[test]
    fn headers_beyond_one_frame_are_oversized() {
        for (bytes, expected) in [(0, false), (100 * 1024, false), (128 * 1024, true)] {
            let mut message = Message::default();
            message.headers.set("h", "v".repeat(bytes));
            assert_eq!(is_oversized(&message), expected, "{bytes} bytes");
        }
    }
}
