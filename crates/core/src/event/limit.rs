//! Checks the bounds of a message before it is parsed, so that what is refused has cost next to nothing.

use super::{DecodeError, EventLimits};

/// Checks size and nesting.
pub(super) fn check(body: &[u8], limits: &EventLimits) -> Result<(), DecodeError> {
    size(body.len(), limits)?;
    depth(body, limits.depth())
}

/// Checks the number of events in one message.
pub(super) fn events(actual: usize, limits: &EventLimits) -> Result<(), DecodeError> {
    let limit = limits.max_events;
    if actual <= limit {
        return Ok(());
    }
    Err(DecodeError::Limit { what: "number of events", actual, limit, setting: "limits.max_events" })
}

fn size(actual: usize, limits: &EventLimits) -> Result<(), DecodeError> {
    let limit = limits.max_message_bytes;
    if actual <= limit {
        return Ok(());
    }
    Err(DecodeError::Limit { what: "message size", actual, limit, setting: "limits.max_message_bytes" })
}

/// Counts levels also inside fields that decoding ignores, so that both kinds of fields obey one limit.
fn depth(body: &[u8], limit: usize) -> Result<(), DecodeError> {
    // As many brackets as levels allowed cannot nest deeper; nearly all messages end here.
    if opening_brackets(body) <= limit || !deeper_than(body, limit) {
        return Ok(());
    }
    Err(DecodeError::Limit { what: "nesting depth", actual: limit + 1, limit, setting: "limits.max_depth" })
}

fn opening_brackets(body: &[u8]) -> usize {
    // `[` and `{` differ in one bit. A chunk's count fits a byte, and counts of bytes are added sixteen at a time.
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(*byte | 0x20 == b'{')).sum::<u8>();
    body.chunks(usize::from(u8::MAX)).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

fn deeper_than(body: &[u8], limit: usize) -> bool {
    let mut level = 0_usize;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_text(&mut bytes),
            b'{' | b'[' => {
                level += 1;
                if level > limit {
                    return true;
                }
            }
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn skip_text(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_text_only() {
        let cases = [
            ("{}", 1, false),
            ("{\"a\":[]}", 1, true),
            ("[[[]]]", 3, false),
            ("[[[]]]", 2, true),
            ("[\"[[[[[[\", \"\\\"[[[[\"]", 1, false),
            ("[[],[],[],[]]", 2, false),
            ("]]]][[", 1, true),
            ("[\"\\", 0, true),
        ];
        for (body, limit, refused) in cases {
            assert_eq!(depth(body.as_bytes(), limit).is_err(), refused, "{body} in {limit}");
        }
    }
}
