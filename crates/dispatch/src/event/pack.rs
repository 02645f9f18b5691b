//! Packs events into messages: one alone as it is, several as a transaction.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use quash_core::answer::AnswerId;
use quash_core::event::{Change, EventLimits};

use super::{Event, EventError};
use quash_transport::Message;

/// Events that travel together are cut into messages of this size: one bad event then costs only its message.
const PACK_BYTES: usize = 256 * 1024;
const PACK_EVENTS: usize = 500;

const AROUND: [&[u8]; 2] = [b"{\"events\":[", b"]}"];

/// Events that travel as one message. That of a single event is spelt when somebody needs it: what is done in this process
/// needs none.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) events: Arc<[Event]>,
    /// Under which identifier somebody waits for an answer.
    pub(crate) answer: Option<AnswerId>,
    spelling: Spelling,
}

#[derive(Debug, Clone)]
enum Spelling {
    Spelt(Bytes),
    /// Of a single event, which fits a message.
    Lone(OnceLock<Bytes>),
}

impl Parcel {
    /// The message, without headers.
    pub(crate) fn message(&self) -> Message {
        let payload = match &self.spelling {
            Spelling::Spelt(body) => body,
            Spelling::Lone(body) => body.get_or_init(|| spell(&self.events)),
        };
        let payload = self.answer.map_or_else(|| payload.clone(), |id| asking(payload, id));
        Message { payload, ..Message::default() }
    }

    /// What a worker would decode from the message, where that is known without spelling it.
    pub(crate) fn change(&self) -> Option<Change<'_>> {
        match (&self.spelling, &*self.events) {
            (Spelling::Lone(_), [alone]) => alone.decoded(),
            _ => None,
        }
    }
}

/// The messages of these events, in their order, each of which asks for an answer of its own.
///
/// # Errors
/// When a single event is too large for a message, or asks for an answer already.
pub(crate) fn pack_asking(events: &Arc<[Event]>, limits: &EventLimits) -> Result<Vec<Parcel>, EventError> {
    if let Some(event) = events.iter().find(|event| event.asks_by_itself()) {
        let what = event.entity().unwrap_or("the command");
        return Err(EventError::new(format!("the event of {what} has an `answer` of its own: leave it out")));
    }
    let room = limits.max_message_bytes.saturating_sub(ASKING_BYTES);
    let mut parcels = pack(events, &EventLimits { max_message_bytes: room, ..*limits })?;
    parcels.iter_mut().for_each(|parcel| parcel.answer = Some(AnswerId::new(fastrand::u128(..))));
    Ok(parcels)
}

/// What asking adds to a message.
const ASKING_BYTES: usize = r#""answer":"","#.len() + 32;

/// The same message with the question for an answer in front; every message is an object with a field.
fn asking(payload: &[u8], id: AnswerId) -> Bytes {
    [b"{\"answer\":\"", id.to_string().as_bytes(), b"\",", payload.strip_prefix(b"{").unwrap_or(payload)]
        .concat()
        .into()
}

/// The messages of these events, in their order.
///
/// # Errors
/// When a single event is too large for a message.
pub(crate) fn pack(events: &Arc<[Event]>, limits: &EventLimits) -> Result<Vec<Parcel>, EventError> {
    if let [alone] = &**events
        && alone.fits(limits)
    {
        let (events, spelling) = (Arc::clone(events), Spelling::Lone(OnceLock::new()));
        return Ok(vec![Parcel { events, answer: None, spelling }]);
    }
    let bodies = events.iter().map(|event| encode(event, limits)).collect::<Result<Vec<_>, _>>()?;
    let (mut parcels, mut start, mut size) = (Vec::new(), 0, 0);
    for (index, body) in bodies.iter().enumerate() {
        // A comma each, and what is around them.
        let longer = body.len() + 1;
        let around = AROUND[0].len() + AROUND[1].len();
        let is_full = index - start >= PACK_EVENTS.min(limits.max_events)
            || size + longer + around > PACK_BYTES.min(limits.max_message_bytes);
        // A transaction does not hold another.
        let alone = events[index].is_transaction() || events[start].is_transaction();
        if index > start && (is_full || alone) {
            parcels.push(parcel(events, &bodies, start..index));
            (start, size) = (index, 0);
        }
        size += longer;
    }
    if start < bodies.len() {
        parcels.push(parcel(events, &bodies, start..bodies.len()));
    }
    Ok(parcels)
}

/// The event as a message of its own, within the limits of a worker.
fn encode(event: &Event, limits: &EventLimits) -> Result<Bytes, EventError> {
    let body = event.to_json()?;
    let (bytes, most) = (body.len(), limits.max_message_bytes);
    if bytes > most {
        let what = event.entity().unwrap_or("the command");
        return Err(EventError::new(format!(
            "the event of {what} has {bytes} bytes, the limit is {most}: publish fewer columns"
        )));
    }
    Ok(body.into())
}

#[expect(
    clippy::expect_used,
    reason = "an event that fits was checked, and is made of texts and JSON, which always have a spelling"
)]
fn spell(alone: &[Event]) -> Bytes {
    let body = alone.iter().map(Event::to_json).collect::<Result<String, _>>();
    body.expect("a spelling").into()
}

fn parcel(all: &Arc<[Event]>, bodies: &[Bytes], events: Range<usize>) -> Parcel {
    let body = match &bodies[events.clone()] {
        [alone] => alone.clone(),
        several => [AROUND[0], &several.join(&b","[..]), AROUND[1]].concat().into(),
    };
    let events = if events.len() == all.len() { Arc::clone(all) } else { all[events].into() };
    Parcel { events, answer: None, spelling: Spelling::Spelt(body) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn packed(events: Vec<Event>, limits: EventLimits) -> Result<Vec<Parcel>, EventError> {
        pack(&events.into(), &limits)
    }

    fn sizes(parcels: &[Parcel]) -> Vec<usize> {
        parcels.iter().map(|parcel| parcel.events.len()).collect()
    }

    fn event(id: &str, text: &str) -> Event {
        Event::create("e").id(id).after(&serde_json::json!({ "text": text }))
    }

    #[test]
    fn messages_keep_order_and_size() {
        let events: Vec<_> = (0..600).map(|number: u32| event(&number.to_string(), &"x".repeat(1000))).collect();
        let parcels = packed(events, EventLimits::default()).unwrap();
        let bodies: Vec<Bytes> = parcels.iter().map(|parcel| parcel.message().payload).collect();
        assert!(bodies.iter().all(|body| body.len() <= PACK_BYTES));
        let ids = bodies.iter().zip(sizes(&parcels)).flat_map(|(body, size)| {
            let json: Json = serde_json::from_slice(body).unwrap();
            let ids = json["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned());
            assert_eq!(ids.len(), size);
            ids.collect::<Vec<_>>()
        });
        assert!(ids.eq((0..600).map(|number| number.to_string())));
    }

    #[test]
    fn a_transaction_does_not_hold_another() {
        let json = serde_json::json!({ "events": [{ "entity": "e", "op": "truncate" }] });
        let transaction = Event::given(json.as_object().cloned().unwrap());
        let events = vec![event("1", ""), transaction, event("2", ""), event("3", "")];
        assert_eq!(sizes(&packed(events, EventLimits::default()).unwrap()), [1, 1, 2]);
    }

    #[test]
    fn each_message_asks_for_an_answer_of_its_own_within_the_limits() {
        let events: Arc<[Event]> = (0..3).map(|_| event("1", "x")).collect();
        let limits = EventLimits { max_events: 2, ..EventLimits::default() };
        let parcels = pack_asking(&events, &limits).unwrap();
        let asked: Vec<String> = parcels
            .iter()
            .map(|parcel| {
                let json: Json = serde_json::from_slice(&parcel.message().payload).unwrap();
                json["answer"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(asked, parcels.iter().map(|parcel| parcel.answer.unwrap().to_string()).collect::<Vec<_>>());
        assert!(asked.len() == 2 && asked[0] != asked[1]);

        let bytes = event("1", &"x".repeat(100)).to_json().unwrap().len();
        let one = |bytes| EventLimits { max_message_bytes: bytes, ..EventLimits::default() };
        let large: Arc<[Event]> = [event("1", &"x".repeat(100))].into();
        assert!(pack_asking(&large, &one(bytes)).is_err());
        let fits = &pack_asking(&large, &one(bytes + ASKING_BYTES)).unwrap()[0];
        assert_eq!(fits.message().payload.len(), bytes + ASKING_BYTES);

        let json = serde_json::json!({ "entity": "e", "op": "truncate", "answer": "0".repeat(32) });
        let given: Arc<[Event]> = [Event::given(json.as_object().cloned().unwrap())].into();
        let error = pack_asking(&given, &EventLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), "the event of e has an `answer` of its own: leave it out");
    }

    #[test]
    fn a_worker_s_limits_are_kept() {
        let events: Vec<_> = (0..5).map(|_| event("1", "")).collect();
        let few = packed(events, EventLimits { max_events: 2, ..EventLimits::default() }).unwrap();
        assert_eq!(sizes(&few), [2, 2, 1]);
        let small = EventLimits { max_message_bytes: 100, ..EventLimits::default() };
        let error = packed(vec![event("1", &"x".repeat(100))], small).unwrap_err();
        assert!(error.to_string().starts_with("the event of e has 1"), "{error}");
    }
}
