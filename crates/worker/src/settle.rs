//! Tells the broker verdicts until it has heard them, with smaller copies where they are larger than it takes.

mod smaller;

use quash_transport::backoff::Pace;
use quash_transport::{Delivery, Settler, Tag, Verdict};

use crate::drain::Stop;
use crate::source::Source;
#[cfg(test)]
pub(crate) use smaller::size;
use smaller::{Size, largest};

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

/// Copies that are too large are tried again as something smaller, down to the payload alone, which the broker took once
/// already. What is too large even so stays unsettled: the broker hands it out again, so nothing is lost, and somebody must
/// raise its limit.
async fn settle_all(settler: &dyn Settler, batch: &[Delivery], verdicts: &[(Tag, Verdict)], source: &Source) {
    let mut oversized = until_heard(settler, verdicts, source).await;
    for size in Size::ALL {
        if oversized.is_empty() {
            return;
        }
        let chosen = batch.iter().filter(|delivery| oversized.contains(&delivery.tag));
        let of = |tag: Tag| verdicts.iter().find(|(of, _)| *of == tag).map(|(_, verdict)| verdict);
        let smaller: Vec<_> =
            chosen.filter_map(|delivery| Some((delivery.tag, size.of(of(delivery.tag)?, delivery, source)))).collect();
        oversized = until_heard(settler, &smaller, source).await;
        for (tag, verdict) in smaller.iter().filter(|_| size != Size::WithoutHistory) {
            let id = batch.iter().find(|delivery| delivery.tag == *tag).map_or("", |delivery| &delivery.broker_id);
            match oversized.contains(tag) {
                false => source.metrics.shortened(id, size.words()),
                true if size == Size::PayloadAlone => source.metrics.oversized(id, largest(verdict)),
                true => {}
            }
        }
    }
}

async fn until_heard(settler: &dyn Settler, verdicts: &[(Tag, Verdict)], source: &Source) -> Vec<Tag> {
    let mut pace = Pace::of_reconnects();
    // Held until the broker takes them, or the worker stops.
    let mut refused = None;
    loop {
        match settler.settle(verdicts).await {
            Ok(settled) => return settled.oversized,
            Err(error) => drop(refused.replace(source.metrics.not_settled(&error, verdicts.len()))),
        }
        pace.failed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quash_transport::{Destination, Headers};

    use quash_delivery::headers;
    use quash_delivery::record::{Reason, Record};
    use quash_transport::{Message, Replacement};

    use super::smaller::{ERROR_BYTES, shrunk};
    use super::*;
    use crate::app::doubles::{FakeBroker, FakeStore, Mode, app, body, until};
    use quash_delivery::record::Attempt;
    use quash_delivery::state::write_attempts;

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
        let (app, broker) = app(&[("main", &store)]);
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
        let (broker, _running) = given_garbage("garbage".len() - 1).await;
        assert_eq!(broker.letters(), []);
        assert!(!broker.is_empty(), "nothing was acked");
        until("it was tried as it is and smaller", || broker.settled().len() == 1 + Size::ALL.len()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_no_room_is_a_dead_letter_with_less_and_less_beside_its_payload() {
        // So much for the headers: what the letter has then.
        for (room, kept, record) in [(600, true, true), (0, false, false)] {
            let (broker, _running) = given_garbage("garbage".len() + room).await;
            until("it is a letter", || broker.letters().len() == 1).await;
            let letter = broker.letters().remove(0);
            assert_eq!(letter.payload, "garbage");
            assert_eq!(letter.headers.get("kept").is_some(), kept, "{room}");
            assert_eq!(letter.headers.get(headers::RECORD).is_some(), record, "{room}");
            assert!(broker.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_wait_because_it_is_too_large_is_a_dead_letter_that_says_so() {
        let store = FakeStore::new(Mode::Picky);
        let (app, broker) = app(&[("main", &store)]);
        let body = &*body("main:bad");
        let mut headers = Headers::default();
        headers.set("theirs", "x".repeat(3000));
        broker.take_at_most(body.len() + 1000);
        let _running = app.start().await.unwrap();
        broker.send_with(body, headers, 1);
        until("it is a letter", || broker.letters().len() == 1).await;
        let letter = broker.letters().remove(0);
        assert_eq!((letter.payload.as_ref(), letter.headers.get("theirs")), (body.as_bytes(), None));
        let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD).unwrap()).unwrap();
        assert_eq!((record.reason, record.error.as_str()), (Reason::Limit, Size::WithoutHeaders.words()));
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
            shrunk(&Verdict::Replace(vec![Replacement { message: message.clone(), to: Destination::DeadLetters }]))
        else {
            panic!("another verdict");
        };
        let mut expected = message;
        expected.headers.remove(headers::ATTEMPTS);
        assert_eq!(copies, [Replacement { message: expected, to: Destination::DeadLetters }]);
        assert_eq!(shrunk(&Verdict::Release), Verdict::Release);
    }
}
