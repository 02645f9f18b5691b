//! Promises that entries of other producers are read as they wrote them.

use super::server::{Server, ack, consume, receive_many};

/// The fields of an entry, names and values in turn; the payload and the headers that it stands for.
type Layout = (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)]);

#[tokio::test]
async fn entries_of_other_producers_are_read() {
    let server = Server::start().await;
    let layouts: [Layout; 5] = [
        (&["body", "native", "Traceparent", "00-1"], "native", &[("traceparent", "00-1")]),
        (&["ce-id", "7", "ce-type", "t", "data", "cloud"], "cloud", &[("ce-id", "7"), ("ce-type", "t")]),
        (&["key", "{\"id\":1}", "value", "extended"], "extended", &[("key", "{\"id\":1}")]),
        (&["{\"id\":1}", "compact"], "compact", &[("key", "{\"id\":1}")]),
        (&["a", "1", "b", "2"], "", &[("a", "1"), ("b", "2")]),
    ];
    for (fields, ..) in layouts {
        let command: Vec<_> = ["XADD", "quash.events", "*"].iter().chain(fields).copied().collect();
        server.ask::<String>(&command).await;
    }
    let transport = server.transport();
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, layouts.len()).await;
    for (delivery, (_, payload, headers)) in batch.iter().zip(layouts) {
        assert_eq!(delivery.message.payload, payload);
        let read: Vec<_> =
            delivery.message.headers.as_slice().iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(read, headers, "{payload}");
        assert!(delivery.broker_id.contains('-'), "{}", delivery.broker_id);
    }
    ack(&consumer, &batch).await;
}
