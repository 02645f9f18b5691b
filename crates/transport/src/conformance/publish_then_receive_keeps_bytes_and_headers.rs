//! Promises that what is received is what was published, byte for byte.

use super::Harness;
use super::tools::{ack, consume, holding, message, receive};
use crate::Message;

/// Payloads of any content and size, and headers, arrive as they were published, in their order.
pub async fn publish_then_receive_keeps_bytes_and_headers(harness: &dyn Harness) {
    let sent = messages();
    let transport = holding(harness, &sent).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let mut received: Vec<Message> = Vec::new();
    while received.len() < sent.len() {
        let batch = receive(&mut consumer).await;
        assert!(batch.iter().all(|delivery| delivery.deliveries == 1), "first deliveries are counted as 1");
        ack(&consumer, &batch).await;
        received.extend(batch.into_iter().map(|delivery| delivery.message));
    }
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.iter().zip(&sent) {
        assert!(received.payload == sent.payload, "a payload of {} bytes was changed", sent.payload.len());
        assert_eq!(received.headers, sent.headers);
    }
}

fn messages() -> Vec<Message> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = every_byte.iter().copied().cycle().take(1024 * 1024).collect();
    let mut messages: Vec<_> =
        [&b""[..], b"\0", b"a\0b\r\n*1\r\n", &every_byte, &large].into_iter().map(message).collect();
    let mut with_headers = message("headers");
    for (name, value) in [("quash-attempt", "2"), ("traceparent", "00-ab-cd-01"), ("text", "ä → ∞\r\n"), ("empty", "")]
    {
        with_headers.headers.set(name, value);
    }
    messages.push(with_headers);
    // Names that a broker's own layout could take for the payload.
    let mut with_misleading_headers = message("payload");
    for name in ["body", "data", "value", "key"] {
        with_misleading_headers.headers.set(name, "header");
    }
    messages.push(with_misleading_headers);
    messages
}
