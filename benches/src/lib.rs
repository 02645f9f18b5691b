//! Makes the events that the benches share.

/// The size of a benchmark event.
pub const EVENT_BYTES: usize = 400;

/// A native update of a book with a before and an after image, [`EVENT_BYTES`] long; each `number` is another book.
#[must_use]
pub fn event(number: usize) -> Vec<u8> {
    let author = number % 50;
    let head = format!(
        r#"{{"id":"evt-{number:08}","source":"django:shop","entity":"shop.Book","op":"update","key":{{"id":{number}}},"before":{{"id":{number},"author_id":{author},"title":"The old title","state":"draft","price":"12.50"}},"after":{{"id":{number},"author_id":{author},"title":"The new title","state":"published","price":"12.50"}},"changed":["title","state"],"time":"2026-11-20T11:46:04.123456Z","origin":""#
    );
    let padding = EVENT_BYTES.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(padding)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_size() {
        for number in [0, 7, 99_999_999] {
            assert_eq!(event(number).len(), EVENT_BYTES, "{}", String::from_utf8_lossy(&event(number)));
        }
    }
}
