//! Packs events into messages: one alone as it is, several as a transaction.

use std::ops::Range;

use bytes::Bytes;

use super::{Event, EventError};

/// Events that travel together are cut into messages of this size: one bad event then costs only its message.
const PACK_BYTES: usize = 256 * 1024;
const PACK_EVENTS: usize = 500;

const AROUND: [&[u8]; 2] = [b"{\"events\":[", b"]}"];

/// A message's body, and which of the events are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) body: Bytes,
    pub(crate) events: Range<usize>,
}

/// What a worker takes of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) events: usize,
}

/// The messages of these events, in their order.
///
/// # Errors
/// When a single event is too large for a message.
pub(crate) fn pack(events: &[Event], bounds: Bounds) -> Result<Vec<Packed>, EventError> {
    let bodies = events.iter().map(|event| encode(event, bounds)).collect::<Result<Vec<_>, _>>()?;
    let (mut packs, mut start, mut size) = (Vec::new(), 0, 0);
    for (place, body) in bodies.iter().enumerate() {
        // A comma each, and what is around them.
        let longer = body.len() + 1;
        let around = AROUND[0].len() + AROUND[1].len();
        let is_full =
            place - start >= PACK_EVENTS.min(bounds.events) || size + longer + around > PACK_BYTES.min(bounds.bytes);
        // A transaction does not hold another.
        let alone = events[place].is_transaction() || events[start].is_transaction();
        if place > start && (is_full || alone) {
            packs.push(packed(&bodies, start..place));
            (start, size) = (place, 0);
        }
        size += longer;
    }
    if start < bodies.len() {
        packs.push(packed(&bodies, start..bodies.len()));
    }
    Ok(packs)
}

fn encode(event: &Event, bounds: Bounds) -> Result<Bytes, EventError> {
    let body = event.to_json()?;
    if body.len() > bounds.bytes {
        let what = event.entity().unwrap_or("the command");
        let (bytes, most) = (body.len(), bounds.bytes);
        return Err(EventError::new(format!(
            "the event of {what} has {bytes} bytes, the limit is {most}: publish fewer columns"
        )));
    }
    Ok(body.into())
}

fn packed(bodies: &[Bytes], events: Range<usize>) -> Packed {
    let body = match &bodies[events.clone()] {
        [alone] => alone.clone(),
        several => [AROUND[0], &several.join(&b","[..]), AROUND[1]].concat().into(),
    };
    Packed { body, events }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1024 * 1024, events: 10_000 };

    fn event(id: &str, text: &str) -> Event {
        Event::create("e").id(id).after(&serde_json::json!({ "text": text }))
    }

    #[test]
    fn messages_keep_order_and_size() {
        let events: Vec<_> = (0..600).map(|number: u32| event(&number.to_string(), &"x".repeat(1000))).collect();
        let packs = pack(&events, BOUNDS).unwrap();
        assert!(packs.iter().all(|pack| pack.body.len() <= PACK_BYTES));
        let ids = packs.iter().flat_map(|pack| {
            let json: Json = serde_json::from_slice(&pack.body).unwrap();
            let ids = json["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned());
            assert_eq!(ids.len(), pack.events.len());
            ids.collect::<Vec<_>>()
        });
        assert!(ids.eq((0..600).map(|number| number.to_string())));
    }

    #[test]
    fn a_transaction_does_not_hold_another() {
        let json = serde_json::json!({ "events": [{ "entity": "e", "op": "truncate" }] });
        let transaction = Event::given(json.as_object().cloned().unwrap());
        let events = [event("1", ""), transaction, event("2", ""), event("3", "")];
        let packs = pack(&events, BOUNDS).unwrap();
        assert_eq!(packs.into_iter().map(|pack| pack.events).collect::<Vec<_>>(), [0..1, 1..2, 2..4]);
    }

    #[test]
    fn a_worker_s_limits_are_kept() {
        let events: Vec<_> = (0..5).map(|_| event("1", "")).collect();
        let few = pack(&events, Bounds { events: 2, ..BOUNDS }).unwrap();
        assert_eq!(few.into_iter().map(|pack| pack.events).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
        let error = pack(&[event("1", &"x".repeat(100))], Bounds { bytes: 100, ..BOUNDS }).unwrap_err();
        assert!(error.to_string().starts_with("the event of e has 1"), "{error}");
    }
}
