//! Makes messages that no worker can carry out, each with the reason that its dead letter must give.

use bytes::Bytes;

use quash_delivery::record::Reason;

/// The kinds of broken messages, in turn.
pub(super) fn broken(number: u64) -> (Bytes, Reason) {
    match number % 5 {
        0 => (Bytes::from_static(b"\x80\x03}q\x00(X\x06\x00\x00\x00pickle"), Reason::Decode),
        1 => (Bytes::from_static(br#"{"entity": "shop.Product", "op": "update", "key": {"id": 7"#), Reason::Decode),
        2 => (Bytes::from_static(br#"{"entity": "shop.Product", "op": "upsert", "key": {"id": 7}}"#), Reason::Decode),
        3 => (nested().into(), Reason::Limit),
        _ => (Bytes::from_static(br#"{"invalidate": {"cache": "prodct", "args": {"id": 7}}}"#), Reason::Rule),
    }
}

/// Deeper than `limits.max_depth`.
fn nested() -> String {
    const DEPTH: usize = 300;
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    format!(
        r#"{{"entity": "shop.Product", "op": "update", "key": {{"id": 7}}, "after": {{"id": 7, "deep": {open}{close}}}}}"#
    )
}
