//! Spells a log by hand, and reads what comes of it as a worker would.

use proptest::prelude::*;
use quash_core::event::{self, EventLimits, Format, Payload};
use serde_json::{Value, json};

use super::*;

fn assembler(limits: EventLimits) -> Assembler {
    Assembler::new("relay:shop", "7000000000000000001", (1 << 32) + 900, &limits, true)
}

fn begin(lsn: u64) -> Vec<u8> {
    [&b"B"[..], &lsn.to_be_bytes(), &0_i64.to_be_bytes(), &901_u32.to_be_bytes()].concat()
}

fn commit(end: u64) -> Vec<u8> {
    [&b"C\0"[..], &0_u64.to_be_bytes(), &end.to_be_bytes(), &0_i64.to_be_bytes()].concat()
}

/// A table `shop.book`, its columns as `(is key, name, type)`.
fn relation(identity: u8, columns: &[(bool, &str, u32)]) -> Vec<u8> {
    let mut bytes =
        [&b"R\0\0\0\x07shop\0book\0"[..], &[identity], &u16::try_from(columns.len()).unwrap().to_be_bytes()].concat();
    for (key, name, oid) in columns {
        bytes.push(u8::from(*key));
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(oid.to_be_bytes());
        bytes.extend((-1_i32).to_be_bytes());
    }
    bytes
}

/// A row: `n` is NULL, `u` unchanged, `=text` a value.
fn row(values: &[&str]) -> Vec<u8> {
    let mut bytes = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value.strip_prefix('=') {
            Some(text) => {
                bytes.push(b't');
                bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend(text.as_bytes());
            }
            None => bytes.extend(value.as_bytes()),
        }
    }
    bytes
}

fn change(tag: u8, parts: &[(u8, &[&str])]) -> Vec<u8> {
    let mut bytes = vec![tag, 0, 0, 0, 7];
    for (kind, values) in parts {
        bytes.push(*kind);
        bytes.extend(row(values));
    }
    bytes
}

/// What a worker may be sent for these messages of the log.
fn messages(assembler: &mut Assembler, log: &[Vec<u8>]) -> Vec<Value> {
    log.iter().for_each(|message| assembler.take(message).unwrap());
    let messages = assembler.made().messages;
    for message in &messages {
        let payload = Payload { body: message, headers: &[] };
        let mut changes = Vec::new();
        event::decode(payload, Format::Json, &EventLimits::default(), &mut changes)
            .unwrap_or_else(|error| panic!("{error}"));
        let belongs = |change: &event::Change<'_>| match change {
            event::Change::Event(event) => event.transaction.as_ref().is_some_and(|commit| commit.id.is_some()),
            event::Change::Command(_) => true,
        };
        assert!(changes.iter().all(belongs), "{changes:?}");
    }
    messages.iter().map(|message| serde_json::from_slice(message).unwrap()).collect()
}

/// The only event of a change of a table with these columns.
fn event_of(identity: u8, columns: &[(bool, &str, u32)], change: Vec<u8>) -> Value {
    let log = [begin(16), relation(identity, columns), change, commit(32)];
    let mut event = messages(&mut assembler(EventLimits::default()), &log)[0]["events"][0].take();
    assert_eq!(event["entity"], "shop.book");
    let fields = event.as_object_mut().unwrap();
    fields.remove("entity");
    fields.remove("id");
    event
}

const BOOK: [(bool, &str, u32); 3] = [(true, "id", 23), (false, "author", 20), (false, "text", 25)];
const WHOLE: [(bool, &str, u32); 3] = [(true, "id", 23), (true, "author", 20), (true, "text", 25)];

#[test]
fn what_was_not_logged_is_left_out_and_never_null() {
    let cases = [
        // An insert has it all.
        (
            b'd',
            BOOK,
            change(b'I', &[(b'N', &["=1", "n", "=a"])]),
            json!({"op": "create", "key": {"id": 1}, "after": {"id": 1, "author": null, "text": "a"}}),
        ),
        // By default an old row is known only where its key changed, and then its key alone.
        (
            b'd',
            BOOK,
            change(b'U', &[(b'N', &["=1", "=3", "u"])]),
            json!({"op": "update", "key": {"id": 1}, "after": {"id": 1, "author": 3}}),
        ),
        (
            b'd',
            BOOK,
            change(b'U', &[(b'K', &["=1", "n", "n"]), (b'N', &["=2", "=3", "=b"])]),
            json!({"op": "update", "key": {"id": 2}, "before": {"id": 1}, "after": {"id": 2, "author": 3, "text": "b"}}),
        ),
        (
            b'd',
            BOOK,
            change(b'D', &[(b'K', &["=1", "n", "n"])]),
            json!({"op": "delete", "key": {"id": 1}, "before": {"id": 1}}),
        ),
        // With the identity full it is known, and with it what did not change of the new row. The key is not.
        (
            b'f',
            WHOLE,
            change(b'U', &[(b'O', &["=1", "n", "=long"]), (b'N', &["=1", "=3", "u"])]),
            json!({"op": "update", "before": {"id": 1, "author": null, "text": "long"},
                   "after": {"id": 1, "author": 3, "text": "long"}}),
        ),
        (
            b'f',
            WHOLE,
            change(b'D', &[(b'O', &["=1", "n", "=a"])]),
            json!({"op": "delete", "before": {"id": 1, "author": null, "text": "a"}}),
        ),
        // An index may know another column than the primary key.
        (
            b'i',
            [(false, "id", 23), (true, "author", 20), (false, "text", 25)],
            change(b'D', &[(b'K', &["n", "=3", "n"])]),
            json!({"op": "delete", "key": {"author": 3}, "before": {"author": 3}}),
        ),
        (
            b'n',
            [(false, "id", 23), (false, "author", 20), (false, "text", 25)],
            change(b'I', &[(b'N', &["=1", "=3", "=a"])]),
            json!({"op": "create", "after": {"id": 1, "author": 3, "text": "a"}}),
        ),
    ];
    for (identity, columns, change, expected) in cases {
        assert_eq!(event_of(identity, &columns, change), expected);
    }
}

#[test]
fn values_keep_their_text() {
    let cases = [
        (16, "t", json!(true), None),
        (20, "-9223372036854775808", json!(i64::MIN), None),
        (1700, "1.5000", json!("1.5000"), Some("decimal")),
        (1700, "NaN", json!("NaN"), Some("decimal")),
        (701, "1e+20", json!(1e20), Some("float")),
        (701, "-Infinity", json!("-Infinity"), Some("float")),
        (1082, "0044-03-15 BC", json!("0044-03-15 BC"), Some("date")),
        (1184, "2024-01-02 03:04:05.678+00", json!("2024-01-02 03:04:05.678+00"), Some("datetime")),
        (1042, "ab   ", json!("ab   "), None),
        (17, "\\x00ff", json!("\\x00ff"), None),
        (3802, r#"{"a": [1, 1.10]}"#, json!({"a": [1, 1.1]}), None),
        (1007, "{1,NULL}", json!([1, null]), None),
        (1009, r#"{"a,b",NULL,"NULL",""}"#, json!(["a,b", null, "NULL", ""]), None),
        (3904, "[1,5)", json!("[1,5)"), None),
        (25, "q\"\u{1}ü", json!("q\"\u{1}ü"), None),
    ];
    for (oid, text, expected, word) in cases {
        let event = event_of(b'd', &[(false, "x", oid)], change(b'I', &[(b'N', &[&format!("={text}")])]));
        assert_eq!(event["after"], json!({"x": expected}), "{text}");
        assert_eq!(event.get("types"), word.map(|word| json!({"x": word})).as_ref(), "{text}");
    }
}

#[test]
fn what_cannot_be_read_of_a_value_is_unknown() {
    let deep = format!("={}1{}", "[".repeat(30), "]".repeat(30));
    for (oid, value) in [(114, r#"={"a": 1, "a": 2}"#), (3802, &deep), (1007, "={x}"), (1007, "=5"), (25, "u")] {
        let change = change(b'U', &[(b'N', &["=1", value])]);
        let event = event_of(b'd', &[(true, "id", 23), (false, "x", oid)], change);
        assert_eq!(event["after"], json!({"id": 1}), "{value}");
    }
}

#[test]
fn values_that_no_message_can_hold_are_unknown_and_the_others_are_there() {
    let huge = format!("={}", "x".repeat(600 * 1024));
    let event = event_of(b'd', &BOOK, change(b'I', &[(b'N', &["=1", "=3", &huge])]));
    assert_eq!(event["after"], json!({"id": 1, "author": 3}));
    // A row of which not even the key fits may be any.
    let limits = EventLimits { max_message_bytes: 400, ..EventLimits::default() };
    let columns: Vec<_> = (0..20).map(|_| (true, "a_column_with_a_name", 23)).collect();
    let log = [begin(16), relation(b'd', &columns), change(b'I', &[(b'N', &["=1"; 20])]), commit(32)];
    let message = &messages(&mut assembler(limits), &log)[0];
    assert_eq!(message["events"][0]["op"], "truncate");
}

#[test]
fn a_transaction_is_one_message_that_says_what_it_is() {
    let insert = |id: &str| change(b'I', &[(b'N', &[id, "=3", "=a"])]);
    let mut assembler = assembler(EventLimits::default());
    let log = [begin(0x16_0000_0010), relation(b'd', &BOOK), insert("=1"), insert("=2"), commit(0x16_0000_0020)];
    log.iter().for_each(|message| assembler.take(message).unwrap());
    let made = assembler.made();
    assert_eq!((made.reached, made.rows, made.transactions), (Some(0x16_0000_0020), 2, 1));
    let message: Value = serde_json::from_slice(&made.messages[0]).unwrap();
    assert_eq!(made.messages.len(), 1);
    let (id, system) = (((1_u64 << 32) + 901).to_string(), "7000000000000000001");
    let transaction = json!({"id": id, "system": system, "lsn": "16/10", "part": 1, "last": true});
    assert_eq!(message["transaction"], transaction);
    assert_eq!((&message["time"], &message["source"]), (&json!("2000-01-01T00:00:00.000000Z"), &json!("relay:shop")));
    assert_eq!(message["events"][1]["id"], format!("{system}:16/10:2"));
}

#[test]
fn a_large_transaction_comes_in_parts_of_which_the_last_is_marked() {
    let limits = EventLimits { max_events: 4, ..EventLimits::default() };
    for (rows, parts) in [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)] {
        let mut log = vec![begin(16), relation(b'd', &BOOK)];
        log.extend((0..rows).map(|_| change(b'I', &[(b'N', &["=1", "=3", "=a"])])));
        log.push(commit(32));
        let messages = messages(&mut assembler(limits), &log);
        let marks: Vec<_> = messages.iter().map(|message| &message["transaction"]).collect();
        let marks: Vec<_> = marks.iter().map(|mark| (mark["part"].as_u64().unwrap(), mark["last"] == true)).collect();
        assert_eq!(marks, (1..=parts).map(|part| (part, part == parts)).collect::<Vec<_>>(), "{rows} rows");
        let ids: Vec<_> = messages.iter().flat_map(|message| message["events"].as_array().unwrap()).collect();
        let ids: BTreeSet<_> = ids.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rows, "each id is of one event");
    }
}

#[test]
fn a_truncate_empties_each_of_its_tables_and_a_changed_table_too() {
    let truncate = [&b"T\0\0\0\x01\0"[..], &7_u32.to_be_bytes()].concat();
    let insert = change(b'I', &[(b'N', &["=1", "=3", "=a"])]);
    let other = [(true, "id", 20), (false, "author", 20), (false, "text", 25)];
    // The same description again is no change.
    let log = [
        begin(16),
        relation(b'd', &BOOK),
        truncate,
        relation(b'd', &BOOK),
        insert.clone(),
        relation(b'd', &other),
        insert,
        commit(32),
    ];
    let mut assembler = assembler(EventLimits::default());
    log.iter().for_each(|message| assembler.take(message).unwrap());
    let made = assembler.made();
    assert_eq!(made.altered, BTreeSet::from(["shop.book".to_owned()]));
    let message: Value = serde_json::from_slice(&made.messages[0]).unwrap();
    let ops: Vec<_> = message["events"].as_array().unwrap().iter().map(|event| event["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["truncate", "create", "truncate", "create"]);
}

#[test]
fn messages_for_quash_go_as_they_are_and_others_are_not_for_it() {
    let notice = |prefix: &str, content: &str| {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [b"M\0\0\0\0\0\0\0\0\x10", prefix.as_bytes(), b"\0", &length, content.as_bytes()].concat()
    };
    let mut assembler = assembler(EventLimits::default());
    assembler.take(&notice("quash", r#"{"invalidate": {"tag": "bestsellers"}}"#)).unwrap();
    assembler.take(&notice("heartbeat", "x")).unwrap();
    let made = assembler.made();
    assert_eq!((made.messages, made.reached), (vec![Bytes::from(r#"{"invalidate": {"tag": "bestsellers"}}"#)], None));
}

#[test]
fn what_does_not_follow_is_an_error() {
    let insert = change(b'I', &[(b'N', &["=1"])]);
    for log in [vec![insert.clone()], vec![begin(1), insert], vec![begin(1), begin(2)], vec![commit(1)]] {
        let mut assembler = assembler(EventLimits::default());
        let (last, before) = log.split_last().unwrap();
        before.iter().for_each(|message| assembler.take(message).unwrap());
        assert!(matches!(assembler.take(last), Err(Misread::Order(_))));
    }
}

proptest! {
    #[test]
    fn any_rows_give_messages_that_a_worker_reads(
        rows in proptest::collection::vec((any::<bool>(), "\\PC{0,40}", proptest::option::of("[0-9\\[\\]{},\"a-z.-]{0,12}")), 1..20),
        oid in proptest::sample::select(vec![16_u32, 23, 25, 114, 3802, 701, 1700, 1007, 1009, 199, 90_000]),
        full in any::<bool>(),
    ) {
        let columns = [(true, "id", 25), (full, "x", oid)];
        let mut log = vec![begin(16), relation(if full { b'f' } else { b'd' }, &columns)];
        for (deleted, id, value) in &rows {
            let (id, value) = (format!("={id}"), value.as_ref().map_or("n".to_owned(), |value| format!("={value}")));
            let values: [&str; 2] = [&id, &value];
            log.push(match deleted {
                true => change(b'D', &[(if full { b'O' } else { b'K' }, &values)]),
                false => change(b'U', &[(b'N', &values)]),
            });
        }
        log.push(commit(32));
        let limits = EventLimits { max_events: 7, ..EventLimits::default() };
        let messages = messages(&mut assembler(limits), &log);
        let events: usize = messages.iter().map(|message| message["events"].as_array().unwrap().len()).sum();
        prop_assert_eq!(events, rows.len());
    }
}
