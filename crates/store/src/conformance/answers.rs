//! Promises about answers.

use std::time::Duration;

use quash_core::answer::AnswerId;

use super::Fixture;

/// Longer than any answer takes that was said; nothing waits for its end.
const LONG: Duration = Duration::from_secs(30);

pub(super) async fn answers_are_heard_once_and_in_their_order(fixture: &dyn Fixture) {
    let Some(answers) = fixture.store().answers() else { panic!("it claims answers and has none") };
    let (id, other) = (AnswerId::new(fastrand::u128(..)), AnswerId::new(fastrand::u128(..)));
    assert_eq!(answers.hear(id, Duration::ZERO).await, Ok(None));
    assert_eq!(answers.hear(id, Duration::from_millis(5)).await, Ok(None));
    let said = [(id, "1".to_owned()), (other, "3".to_owned()), (id, "2".to_owned())];
    assert_eq!(answers.say(&said).await, Ok(()));
    for (id, expected) in [(id, "1"), (id, "2"), (other, "3")] {
        assert_eq!(answers.hear(id, LONG).await, Ok(Some(expected.into())));
    }
    assert_eq!(answers.hear(id, Duration::ZERO).await, Ok(None));
    assert_eq!(answers.say(&[]).await, Ok(()));
}

pub(super) async fn an_answer_reaches_who_waits_already(fixture: &dyn Fixture) {
    let Some(answers) = fixture.store().answers() else { panic!("it claims answers and has none") };
    let id = AnswerId::new(fastrand::u128(..));
    let mut waits = answers.hear(id, LONG);
    // Polled once, so that it waits before anything is said.
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    assert_eq!(answers.say(&[(id, "done".to_owned())]).await, Ok(()));
    assert_eq!(waits.await, Ok(Some("done".into())));
}

pub(super) async fn answers_go_by_themselves(fixture: &dyn Fixture) {
    let Some(answers) = fixture.store().answers() else { panic!("it claims answers and has none") };
    let id = AnswerId::new(fastrand::u128(..));
    assert_eq!(answers.say(&[(id, "nobody waits".to_owned())]).await, Ok(()));
    // A store that keeps its answers apart from its keys shows none.
    if let Some(left) = fixture.ttl_ms(&id.key()).await {
        assert!((1..=60_000).contains(&left), "{left} ms");
    }
}
