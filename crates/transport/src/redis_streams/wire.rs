//! Turns messages into stream entries and entries into messages, also those that other producers wrote.

use redis::{Cmd, Value};

use crate::{Delivery, Headers, Message, Tag};

/// The field that holds the payload; all others are headers.
const BODY: &[u8] = b"body";

/// How many headers of a message are kept. Scripts cannot pass much more than that on in one command.
const HEADERS_MAX: usize = 1000;

/// Reads the payload and headers from the fields of an entry, names and values in turn.
///
/// The payload is the field `body`; or `data`, as CloudEvents producers write it; or `value` beside `key`, as Debezium
/// Server does in its extended layout; or the only field there is, its name then being the header `key`, as in Debezium
/// Server's compact layout. An entry without any of these has an empty payload, and all of its fields are headers.
pub(super) fn message(fields: Vec<Value>) -> Message {
    let mut fields: Vec<Field> = pairs(fields).collect();
    let index = [BODY, b"data", b"value"].iter().find_map(|name| fields.iter().position(|field| field.name == *name));
    match index {
        Some(index) => {
            let payload = fields.remove(index).value;
            Message { payload: payload.into(), headers: headers(fields) }
        }
        None if fields.len() == 1 => {
            let Some(only) = fields.pop() else { return Message::default() };
            let mut headers = Headers::default();
            headers.set("key", String::from_utf8_lossy(&only.name));
            Message { payload: only.value.into(), headers }
        }
        None => Message { payload: bytes::Bytes::new(), headers: headers(fields) },
    }
}

struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

fn pairs(fields: Vec<Value>) -> impl Iterator<Item = Field> {
    let mut fields = fields.into_iter();
    std::iter::from_fn(move || Some(Field { name: bytes(fields.next()?)?, value: bytes(fields.next()?)? }))
}

fn headers(fields: Vec<Field>) -> Headers {
    let mut headers = Headers::default();
    for field in fields.into_iter().take(HEADERS_MAX) {
        let name = String::from_utf8_lossy(&field.name).to_lowercase();
        headers.set(name, String::from_utf8_lossy(&field.value));
    }
    headers
}

/// The fields of an entry, names and values in turn. The payload comes first, so that a header named `body` is none.
pub(super) fn fields(message: &Message) -> impl Iterator<Item = &[u8]> {
    let headers = message.headers.as_slice().iter().take(HEADERS_MAX);
    [BODY, &message.payload].into_iter().chain(headers.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]))
}

/// How many of them there are.
pub(super) fn field_count(message: &Message) -> usize {
    2 + 2 * message.headers.as_slice().len().min(HEADERS_MAX)
}

/// About how many bytes they have.
pub(super) fn size(message: &Message) -> usize {
    let headers: usize = message.headers.as_slice().iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    message.payload.len() + headers + 64
}

/// The command that appends a message to a stream.
pub(super) fn append(stream: &str, message: &Message) -> Cmd {
    let mut cmd = Cmd::with_capacity(3 + field_count(message), size(message) + stream.len());
    cmd.arg("XADD").arg(stream).arg("*");
    for field in fields(message) {
        cmd.arg(field);
    }
    cmd
}

/// The deliveries in the answer to `XREADGROUP` on one stream, each handed out for the first time.
pub(super) fn deliveries(answer: Value) -> Vec<Delivery> {
    let stream = list(answer).into_iter().flatten().next();
    let entries = stream.and_then(list).and_then(|stream| stream.into_iter().nth(1)).and_then(list);
    entries.into_iter().flatten().filter_map(|entry| delivery(list(entry)?, 1)).collect()
}

fn delivery(entry: Vec<Value>, deliveries: u32) -> Option<Delivery> {
    let mut entry = entry.into_iter();
    let broker_id = text(entry.next()?)?;
    let tag = Tag(parse_id(&broker_id)?);
    Some(Delivery { tag, broker_id, message: message(list(entry.next()?)?), deliveries })
}

/// A delivery that was handed out before.
pub(super) fn redelivery(id: Value, fields: Value, deliveries: u32) -> Option<Delivery> {
    delivery(vec![id, fields], deliveries)
}

/// The number that a stream id stands for; their order is the same.
pub(super) fn parse_id(id: &str) -> Option<u128> {
    let (milliseconds, sequence) = id.split_once('-')?;
    Some(u128::from(milliseconds.parse::<u64>().ok()?) << 64 | u128::from(sequence.parse::<u64>().ok()?))
}

/// The stream id that a number stands for.
pub(super) fn format_id(id: u128) -> String {
    format!("{}-{}", id >> 64, id & u128::from(u64::MAX))
}

/// The list in an answer.
pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// The bytes in an answer.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// The text in an answer.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// The number in an answer, zero if it is none.
pub(super) fn number(value: &Value) -> u64 {
    match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&str, &str)], payload: &str, headers: &[(&str, &str)]) {
        let values = fields.iter().flat_map(|(name, value)| [name, value]);
        let message = message(values.map(|text| Value::BulkString(text.as_bytes().to_vec())).collect());
        assert_eq!(message.payload, payload.as_bytes(), "{fields:?}");
        let read: Vec<_> = message.headers.as_slice().iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(read, headers, "{fields:?}");
    }

    #[test]
    fn the_layouts_of_other_producers_are_read() {
        check(&[("body", "x")], "x", &[]);
        check(&[("Quash-Attempt", "2"), ("body", "x")], "x", &[("quash-attempt", "2")]);
        check(&[("body", "x"), ("body", "header")], "x", &[("body", "header")]);
        check(&[("ce-id", "1"), ("data", "x")], "x", &[("ce-id", "1")]);
        check(&[("key", "k"), ("value", "v")], "v", &[("key", "k")]);
        check(&[("{\"id\":1}", "v")], "v", &[("key", "{\"id\":1}")]);
        check(&[("a", "1"), ("b", "2")], "", &[("a", "1"), ("b", "2")]);
        check(&[], "", &[]);
    }

    #[test]
    fn ids_keep_their_order_as_numbers() {
        let ids = ["0-1", "5-0", "5-18446744073709551615", "1700000000000-0", "18446744073709551615-3"];
        let numbers: Vec<_> = ids.iter().map(|id| parse_id(id).unwrap()).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.into_iter().map(format_id).collect::<Vec<_>>(), ids);
        for nonsense in ["", "5", "a-1", "1-", "-1", "1-2-3"] {
            assert_eq!(parse_id(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_holds_no_deliveries() {
        for answer in
            [Value::Nil, Value::Okay, Value::Array(vec![]), Value::Array(vec![Value::Array(vec![Value::Nil])])]
        {
            assert_eq!(deliveries(answer), []);
        }
    }
}
