//! Tests what is mended, by having the driver's own parser read it.

use lapin::protocol::basic::AMQPProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::*;

/// The beginning of a content header: its class, and the length of the body.
const BEGIN: [u8; FIXED] = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];

fn short(bytes: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    put_short(&mut written, bytes);
    written
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    put_long(&mut written, bytes);
    written
}

fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    let mut written = short(name);
    put_value(&mut written, kind, value);
    written
}

/// Lists in lists, so many of them.
fn nested(depth: usize) -> Vec<u8> {
    (1..depth).fold(Vec::new(), |inner, _| [b"A", &long(&inner)[..]].concat())
}

fn with(flags: u16, properties: &[&[u8]]) -> Vec<u8> {
    [&BEGIN[..], &flags.to_be_bytes(), &properties.concat()].concat()
}

fn with_headers(entries: &[Vec<u8>]) -> Vec<u8> {
    with(bit(2), &[&long(&entries.concat())])
}

/// What the driver reads, which must be all of it.
fn read(header: &[u8]) -> AMQPProperties {
    assert_eq!(flaw(header), Ok(()));
    assert_eq!(header[..FIXED], BEGIN, "class and length stay");
    let (rest, properties) = lapin::protocol::basic::parse_properties(&header[FIXED..]).unwrap();
    assert!(rest.is_empty());
    properties
}

fn text<'a>(table: &'a FieldTable, name: &str) -> std::borrow::Cow<'a, str> {
    match table.inner().get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn what_the_driver_can_read_is_left_alone() {
    let deep = entry(b"deep", b'A', &nested(DEPTH_MAX - 1));
    let cases = [
        with(0, &[]),
        with_headers(&[]),
        with_headers(&[entry(b"a", b'S', b"caf\xe9"), entry("\u{e4}".as_bytes(), b't', &[1]), entry(b"v", b'V', &[])]),
        with_headers(&[deep]),
        with(bit(0) | bit(3) | bit(9), &[&short(b"text/plain"), &[2], &[0; 8]]),
    ];
    for header in cases {
        assert_eq!(super::header(&header), None);
        read(&header);
    }
}

#[test]
fn what_it_cannot_is_written_anew_with_why() {
    let fine = entry(b"fine", b'S', b"1");
    let inner = entry(b"caf\xe9", b't', &[1]);
    let cases: Vec<(Vec<u8>, &str, bool)> = vec![
        (with_headers(&[fine.clone(), entry(b"caf\xe9", b'S', b"x")]), "the name of the header `caf%E9` is not", true),
        (with_headers(&[fine.clone(), entry(b"deep", b'A', &nested(1500))]), "`deep`: nested more than 128 deep", true),
        (with_headers(&[fine.clone(), entry(b"in", b'F', &inner)]), "`in`: the name of the header `caf%E9`", true),
        (with_headers(&[fine.clone(), short(b"z"), vec![b'!']]), "a table of headers is cut short", true),
        (with(bit(0) | bit(2), &[&short(b"\xff"), &long(&fine)]), "the property `content-type` is not UTF-8", true),
        (with(bit(2) | bit(8), &[&long(&fine), &short(b"\xe9")]), "the property `message-id` is not UTF-8", true),
        (with(bit(8), &[&short(b"\xe9")]), "the property `message-id` is not UTF-8", false),
        (with(bit(2) | bit(8), &[&long(&fine), &[9, b'x']]), "the properties end too early", true),
        (with(bit(2), &[&[0, 0, 1, 0], &fine]), "the properties end too early", false),
        (with(0, &[b"more"]), "something follows", false),
        (BEGIN.to_vec(), "the properties end too early", false),
    ];
    for (bad, why, keeps_fine) in cases {
        let mended = header(&bad).unwrap_or_else(|| panic!("{why}: left alone"));
        let properties = read(&mended);
        let table = properties.headers().as_ref().unwrap();
        assert!(text(table, UNREADABLE).contains(why), "{why}: {}", text(table, UNREADABLE));
        assert_eq!(table.inner().contains_key("fine"), keeps_fine, "{why}");
    }
}

#[test]
fn names_and_properties_stay_legible() {
    let bad = with(bit(2) | bit(8), &[&long(&entry(b"caf\xe9", b'S', b"x")), &short(b"no \xe9")]);
    let properties = read(&header(&bad).unwrap());
    assert_eq!(text(properties.headers().as_ref().unwrap(), "caf%E9"), "x");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "no %E9");
}

#[test]
fn what_is_mended_fits_where_the_original_did() {
    let many: Vec<_> =
        (0..9000_u16).map(|number| entry(&[b'\xe9'; 9].map(|byte| byte ^ (number % 7) as u8), b'V', &[])).collect();
    let bad = with_headers(&many);
    let mended = header(&bad).unwrap();
    assert!(mended.len() <= bad.len().max(GROWN_MAX), "{} from {}", mended.len(), bad.len());
    read(&mended);
}

#[test]
fn where_a_message_came_by_gets_question_marks() {
    let head = |method: u16| [BASIC.to_be_bytes(), method.to_be_bytes()].concat();
    let names = |key: &[u8]| [short(b"ex"), short(key)].concat();
    let cases = [
        (DELIVER, [short(b"consumer"), vec![0; 9]].concat(), vec![]),
        (GET_OK, vec![0; 9], vec![3, 0xff, 0xff, 0xff]),
        (RETURN, [vec![1, 56], short(b"NO_ROUTE")].concat(), vec![]),
    ];
    for (method, before, after) in cases {
        let whole = |key: &[u8]| [head(method), before.clone(), names(key), after.clone()].concat();
        for (key, expected) in [(&b"caf\xe9"[..], &b"caf?"[..]), ("\u{e9}".as_bytes(), "\u{e9}".as_bytes())] {
            let mut payload = whole(key);
            super::method(&mut payload);
            assert_eq!(payload, whole(expected), "{method}");
        }
    }
    let mut other = [head(20), vec![0xff; 9]].concat();
    let before = other.clone();
    method(&mut other);
    assert_eq!(other, before);
}
