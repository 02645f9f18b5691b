//! Tells the broker verdicts until it has heard them, with smaller copies where they are larger than it takes.

use quash_dispatch::transport::backoff::Pace;
use quash_dispatch::transport::{Copy, Delivery, Message, Settler, Tag, Verdict};

use super::Source;
use crate::drain::Stop;
use quash_dispatch::headers;
use quash_dispatch::record::Record;

/// How many bytes of an error stay in the record of a dead letter that must be smaller.
const ERROR_BYTES: usize = 200;

/// Settles a batch, again and again until the broker has answered: repeating it is harmless, and forgetting it would leave
/// the deliveries to nobody. False when the worker had to stop before; the broker then hands the deliveries out again.
pub async fn settle(
    settler: &dyn Settler,
    batch: &[Delivery],
    verdicts: &[(Tag, Verdict)],
    source: &Source,
    stop: &Stop,
) -> bool {
    tokio::select! {
        () = settle_all(settler, batch, verdicts, source) => true,
        () = stop.over() => {
            source.metrics.given_back_unsettled(verdicts.len());
            false
        }
    }
}

/// Copies that are too large are tried again without what only people read. What is too large even so stays unsettled:
/// the broker hands it out again, so nothing is lost, and somebody must raise its limit.
async fn settle_all(settler: &dyn Settler, batch: &[Delivery], verdicts: &[(Tag, Verdict)], source: &Source) {
    let oversized = until_heard(settler, verdicts, source).await;
    if oversized.is_empty() {
        return;
    }
    let chosen = verdicts.iter().filter(|(tag, _)| oversized.contains(tag));
    let smaller: Vec<_> = chosen.map(|(tag, verdict)| (*tag, shrunk(verdict))).collect();
    for tag in until_heard(settler, &smaller, source).await {
        let delivery = batch.iter().find(|delivery| delivery.tag == tag);
        let bytes = smaller.iter().find(|(of, _)| *of == tag).map_or(0, |(_, verdict)| largest(verdict));
        source.metrics.oversized(delivery.map_or("", |delivery| &delivery.broker_id), bytes);
    }
}

async fn until_heard(settler: &dyn Settler, verdicts: &[(Tag, Verdict)], source: &Source) -> Vec<Tag> {
    let mut pace = Pace::of_reconnects();
    // Held until the broker takes them, or the worker stops.
    let mut refused = None;
    loop {
        match settler.settle(verdicts).await {
            Ok(oversized) => return oversized,
            Err(error) => drop(refused.replace(source.metrics.not_settled(&error, verdicts.len()))),
        }
        pace.failed().await;
    }
}

/// The same verdict with copies as small as they can be: the payload is never touched, nor what Quash needs to go on.
fn shrunk(verdict: &Verdict) -> Verdict {
    match verdict {
        Verdict::Replace(copies) => Verdict::Replace(copies.iter().map(shrunk_copy).collect()),
        other => other.clone(),
    }
}

fn shrunk_copy(copy: &Copy) -> Copy {
    let Copy { mut message, place } = copy.clone();
    message.headers.remove(headers::ATTEMPTS);
    let record = message.headers.get(headers::RECORD).and_then(|text| serde_json::from_str::<Record>(text).ok());
    if let Some(mut record) = record {
        record.attempts.clear();
        record.trace.clear();
        let fits = |end: &usize| record.error.is_char_boundary(*end);
        let end = (0..=ERROR_BYTES).rev().find(fits).unwrap_or(0);
        record.error.truncate(end);
        record.put(&mut message.headers);
    }
    Copy { message, place }
}

/// About how many bytes the largest copy has.
fn largest(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Replace(copies) => copies.iter().map(|copy| size(&copy.message)).max().unwrap_or(0),
        Verdict::Ack | Verdict::Release => 0,
    }
}

/// About how many bytes a message has: its payload, and its headers with some bytes around each.
pub(crate) fn size(message: &Message) -> usize {
    const AROUND: usize = 4;
    let headers = message.headers.as_slice().iter().map(|(name, value)| name.len() + value.len() + AROUND);
    message.payload.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quash_dispatch::transport::{Headers, Place};

    use super::*;
    use crate::app::doubles::{FakeBroker, FakeRules, FakeStore, Mode, app, until};
    use quash_dispatch::record::Attempt;
    use quash_dispatch::state::write_attempts;

    fn tried_often() -> Headers {
        let attempt = |at_ms| Attempt { at_ms, target: Some("main".into()), error: "e".repeat(300) };
        let mut headers = Headers::default();
        headers.set("kept", "yes");
        write_attempts(&mut headers, &(0..5).map(attempt).collect::<Vec<_>>());
        headers
    }

    /// A worker whose broker takes so many bytes, and that is handed a message it cannot decode after many attempts.
    async fn given_garbage(bytes_max: usize) -> (Arc<FakeBroker>, crate::app::Running) {
        let store = FakeStore::new(Mode::Works);
        let (app, broker) = app(FakeRules::over(&["main"]), &[("main", &store)]);
        broker.take_at_most(bytes_max);
        let running = app.start().await.unwrap();
        broker.send_with("garbage", tried_often(), 1);
        until("it is settled, or was tried", || broker.settled().len() >= 2 || broker.is_empty()).await;
        (broker, running)
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_that_is_too_large_is_written_without_its_history() {
        let (broker, _running) = given_garbage(1200).await;
        let letters = broker.letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].payload, "garbage");
        assert_eq!((letters[0].headers.get("kept"), letters[0].headers.get(headers::ATTEMPTS)), (Some("yes"), None));
        let record: Record = serde_json::from_str(letters[0].headers.get(headers::RECORD).unwrap()).unwrap();
        assert_eq!(record.attempts, []);
        assert!(!record.error.is_empty() && record.error.len() <= ERROR_BYTES);
        assert_eq!((record.source.as_str(), record.broker_id.as_str()), ("events", "1-0"));
        assert!(broker.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_even_so_stays_with_the_broker() {
        let (broker, _running) = given_garbage(10).await;
        assert_eq!(broker.letters(), []);
        assert!(!broker.is_empty(), "nothing was acked");
        assert_eq!(broker.settled().len(), 2, "it was tried as it is and smaller, and not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fits_keeps_its_history() {
        let (broker, _running) = given_garbage(usize::MAX).await;
        assert!(broker.letters()[0].headers.get(headers::ATTEMPTS).is_some());
        assert_eq!(broker.settled().len(), 1);
    }

    #[test]
    fn shrinking_touches_neither_payload_nor_state() {
        let mut headers = tried_often();
        headers.set(headers::ATTEMPT, "4");
        headers.set(headers::RECORD, "not a record");
        let message = Message { payload: "body".into(), headers };
        let Verdict::Replace(copies) =
            shrunk(&Verdict::Replace(vec![Copy { message: message.clone(), place: Place::DeadLetters }]))
        else {
            panic!("another verdict");
        };
        let mut expected = message;
        expected.headers.remove(headers::ATTEMPTS);
        assert_eq!(copies, [Copy { message: expected, place: Place::DeadLetters }]);
        assert_eq!(shrunk(&Verdict::Release), Verdict::Release);
    }
}
