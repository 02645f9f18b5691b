//! Holds what stores promise of the integers that they write: tokens, times and generations.

use std::collections::BTreeSet;

use quash_core::action::{Action, Life, Number, Write};

use super::{Fixture, outcomes, set};

/// A bump leaves an ASCII integer that was not there before.
pub(super) async fn a_bump_writes_a_fresh_integer(fixture: &dyn Fixture) {
    let bump = [Action::Bump("author:3".into())];
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        assert_eq!(outcomes(fixture, &bump).await, [Ok(0)]);
        let token = fixture.get("author:3").await;
        let number = token.as_deref().and_then(|token| token.parse::<i64>().ok());
        assert!(number.is_some_and(|number| number >= 0), "{token:?}");
        seen.insert(token);
    }
    assert_eq!(seen.len(), 3, "each bump writes another token: {seen:?}");
}

/// A set leaves an ASCII integer, for its time or for good.
pub(super) async fn a_set_writes_an_integer_with_its_time_to_live(fixture: &dyn Fixture) {
    let number = Write::exactly(-1_700_000_000);
    let actions = [set("short", Write { life: Life::Ms(60_000), ..number }), set("long", number)];
    assert_eq!(outcomes(fixture, &actions).await, [Ok(0), Ok(0)]);
    for key in ["short", "long"] {
        assert_eq!(fixture.get(key).await.as_deref(), Some("-1700000000"), "{key}");
    }
    let ttl = fixture.ttl_ms("short").await;
    assert!(ttl.is_some_and(|ttl| (50_000..=60_000).contains(&ttl)), "{ttl:?}");
    assert_eq!(fixture.ttl_ms("long").await, None);
}

/// A tag's time is the time at which it is written, in microseconds since the Unix epoch.
pub(super) async fn a_set_writes_the_time_in_microseconds(fixture: &dyn Fixture) {
    let now_us = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
    let before = now_us();
    let write = Write { number: Number::NowUs, life: Life::Forever, only_if_exists: false };
    assert_eq!(outcomes(fixture, &[set("tag", write)]).await, [Ok(0)]);
    let written = fixture.get("tag").await.and_then(|text| text.parse::<u128>().ok());
    assert!(written.is_some_and(|written| (before..=now_us()).contains(&written)), "{written:?}");
}

/// What may only replace something changes it, keeps its time to live, and makes nothing where nothing is.
pub(super) async fn a_renewal_changes_what_exists_and_makes_nothing(fixture: &dyn Fixture) {
    let first = Write { life: Life::Ms(60_000), ..Write::exactly(7) };
    outcomes(fixture, &[set("generation", first), set("forever", Write::exactly(7))]).await;
    let actions = ["generation", "forever", "gone"].map(|key| set(key, Write::RENEW));
    let mut seen = BTreeSet::from(["7".to_owned()]);
    for _ in 0..3 {
        assert_eq!(outcomes(fixture, &actions).await, [Ok(0), Ok(0), Ok(0)]);
        seen.extend(fixture.get("generation").await);
    }
    assert_eq!(seen.len(), 4, "each renewal writes another integer: {seen:?}");
    let is_integer = |text: &String| text.parse::<i64>().is_ok_and(|number| number >= 0);
    assert!(seen.iter().all(is_integer), "{seen:?}");
    assert_eq!(fixture.get("gone").await, None);
    let ttl = fixture.ttl_ms("generation").await;
    assert!(ttl.is_some_and(|ttl| (50_000..=60_000).contains(&ttl)), "{ttl:?}");
    assert_eq!(fixture.ttl_ms("forever").await, None);
    let only = Write { only_if_exists: true, ..Write::exactly(8) };
    assert_eq!(outcomes(fixture, &[set("forever", only), set("gone", only)]).await, [Ok(0), Ok(0)]);
    assert_eq!((fixture.get("forever").await.as_deref(), fixture.get("gone").await), (Some("8"), None));
}
