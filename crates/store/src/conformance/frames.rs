//! Holds what stores promise to readers that take leases: holds, entries that are void, and guards.

use quash_core::action::{Action, GUARD, Object, Void};
use quash_core::freshness::scripts::version_arg;
use quash_core::freshness::{Codec, Entry, Form, HOLD, MAGIC, State, Token, lease};

use super::{Fixture, outcomes, pattern};

/// How long entries live that are there before.
const LIFE_MS: u64 = 600_000;

const STALE: Void = Void { version: 0, hold_ms: 0, stale_ms: 30_000 };

/// A value as readers store it.
fn value(version: u64) -> Vec<u8> {
    let entry = Entry {
        codec: Codec::Zlib,
        form: Form::Value,
        encryption: None,
        fresh_until_ms: 1_700_000_000_000,
        tags: Default::default(),
        payload: b"\0payload\xff",
    };
    entry.encode(version).unwrap_or_default()
}

/// The frame of this state with this lease and bar, over what is there already.
fn framed(state: u8, over: &[u8], lease: &[u8; 29], bar: u64) -> Vec<u8> {
    [&MAGIC[..], &[state], &over[4..8], lease, &version_arg(bar), &over[57..]].concat()
}

const NO_LEASE: [u8; 29] = [b'0'; 29];

fn void(key: &str, void: Void) -> Action {
    Action::Void { object: Object::Key(key.into()), void }
}

async fn lives(fixture: &dyn Fixture, key: &str, most_ms: u64) -> bool {
    fixture.ttl_ms(key).await.is_some_and(|ttl| ttl <= most_ms && ttl + 10_000 > most_ms)
}

/// A hold stands where the entry stood, byte for byte, for its own time; once more for its time from then.
pub(super) async fn a_hold_takes_the_place_of_an_entry_for_its_time(fixture: &dyn Fixture) {
    let hold = |ms| [Action::Hold { key: "held".into(), ms, guarded: false }];
    fixture.set_bytes("held", &value(0), LIFE_MS).await;
    for ms in [20_000, 60_000, 20_000] {
        assert_eq!(outcomes(fixture, &hold(ms)).await, [Ok(0)]);
        assert_eq!(fixture.get_bytes("held").await.as_deref(), Some(&HOLD[..]));
        assert!(lives(fixture, "held", ms).await, "{:?}", fixture.ttl_ms("held").await);
    }
}

/// Where values are plain, the hold stands in the guard, and the entry is gone.
pub(super) async fn a_hold_in_a_guard_removes_the_entry_beside_it(fixture: &dyn Fixture) {
    let (key, guard) = ("{held}:1", "{held}:1!q");
    fixture.set_bytes(key, b"plain", LIFE_MS).await;
    fixture.set_bytes(guard, &lease(Token::from_random(7)), LIFE_MS).await;
    let hold = [Action::Hold { key: key.into(), ms: 20_000, guarded: true }];
    assert_eq!(outcomes(fixture, &hold).await, [Ok(1)]);
    assert_eq!(fixture.get_bytes(key).await, None);
    assert_eq!(fixture.get_bytes(guard).await.as_deref(), Some(&HOLD[..]));
    assert!(lives(fixture, guard, 20_000).await);
    assert_eq!(outcomes(fixture, &hold).await, [Ok(0)]);
}

/// Names with a hash tag, so that a cluster has each with its guard in one slot.
const ENTRIES: [&str; 4] = ["{a}:both", "{b}:entry", "{c}:guard", "{d}:none"];

async fn seed_pairs(fixture: &dyn Fixture) {
    for key in ["{a}:both", "{b}:entry", "other:both"] {
        fixture.set_bytes(key, b"plain", LIFE_MS).await;
    }
    for key in ["{a}:both", "{c}:guard", "other:both"] {
        fixture.set_bytes(&format!("{key}{GUARD}"), &lease(Token::from_random(7)), LIFE_MS).await;
    }
}

async fn has(fixture: &dyn Fixture, key: &str) -> bool {
    fixture.get_bytes(key).await.is_some() || fixture.get_bytes(&format!("{key}{GUARD}")).await.is_some()
}

/// An entry and its guard go together, and each counts that was there.
pub(super) async fn an_entry_goes_with_its_guard(fixture: &dyn Fixture) {
    seed_pairs(fixture).await;
    let actions = ENTRIES.map(|key| Action::DeleteGuarded(Object::Key(key.into())));
    let removed: u64 = outcomes(fixture, &actions).await.into_iter().flatten().sum();
    assert_eq!(removed, 4);
    for key in ENTRIES {
        assert!(!has(fixture, key).await, "{key}");
    }
    assert!(has(fixture, "other:both").await);
}

/// A pass finds entries by their own names and by those of their guards.
pub(super) async fn a_pass_takes_entries_and_guards_along_whichever_it_finds(fixture: &dyn Fixture) {
    seed_pairs(fixture).await;
    let prefix = |text: &str| Action::DeleteGuarded(Object::Prefix(text.into()));
    let guarded = |texts: &[&str]| match pattern(texts) {
        Action::DeletePattern(glob) => Action::DeleteGuarded(Object::Pattern(glob)),
        other => other,
    };
    let actions = [prefix("{a}:"), guarded(&["{b}:", "ry"]), guarded(&["{c}:gu", "d"]), prefix("{d}:")];
    let removed = outcomes(fixture, &actions).await;
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
    assert_eq!(removed.iter().flatten().sum::<u64>(), 4);
    for key in ENTRIES {
        assert!(!has(fixture, key).await, "{key}");
    }
    assert!(fixture.get_bytes("other:both").await.is_some() && fixture.get_bytes("other:both!q").await.is_some());
    let empty = outcomes(fixture, &[prefix("")]).await;
    assert!(matches!(empty.as_slice(), [Err(_)]), "{empty:?}");
}

/// A value stays as it is, but for its state, for as long as it may be served, or less if it ends before.
pub(super) async fn a_void_leaves_a_value_that_may_be_served_as_stale(fixture: &dyn Fixture) {
    fixture.set_bytes("long", &value(0), LIFE_MS).await;
    fixture.set_bytes("short", &value(0), 12_000).await;
    let actions = ["long", "short"].map(|key| void(key, STALE));
    assert_eq!(outcomes(fixture, &actions).await, [Ok(1), Ok(1)]);
    for (key, life) in [("long", 30_000), ("short", 12_000)] {
        assert_eq!(fixture.get_bytes(key).await, Some(framed(b'S', &value(0), &NO_LEASE, 0)), "{key}");
        assert!(lives(fixture, key, life).await, "{key}: {:?}", fixture.ttl_ms(key).await);
    }
    // Nor does it live longer when it is void again.
    fixture.set_bytes("long", &framed(b'S', &value(0), &NO_LEASE, 0), 12_000).await;
    assert_eq!(outcomes(fixture, &actions[..1]).await, [Ok(1)]);
    assert!(lives(fixture, "long", 12_000).await);
}

/// A lease, a hold, and what somebody else wrote are gone: whoever loads must not store.
pub(super) async fn a_void_removes_what_could_not_be_served(fixture: &dyn Fixture) {
    let (leased, truncated) = (lease(Token::from_random(7)), &value(0)[..40]);
    let there: [(&str, &[u8]); 4] =
        [("lease", &leased), ("hold", &HOLD), ("foreign", b"gASVCg"), ("cut off", truncated)];
    for (key, bytes) in there {
        fixture.set_bytes(key, bytes, LIFE_MS).await;
    }
    let keys = ["lease", "hold", "foreign", "cut off", "absent"];
    assert_eq!(outcomes(fixture, &keys.map(|key| void(key, STALE))).await, keys.map(|_| Ok(0)));
    for key in keys {
        assert_eq!(fixture.get_bytes(key).await, None, "{key}");
    }
}

/// With a hold nothing may be stored for its time, not even where nothing was, and an old value may still be served.
pub(super) async fn a_void_can_hold(fixture: &dyn Fixture) {
    let both = Void { hold_ms: 20_000, ..STALE };
    fixture.set_bytes("value", &value(0), LIFE_MS).await;
    fixture.set_bytes("lease", &lease(Token::from_random(7)), LIFE_MS).await;
    let keys = ["value", "lease", "absent"];
    assert_eq!(outcomes(fixture, &keys.map(|key| void(key, both))).await, [Ok(1), Ok(0), Ok(0)]);
    for (key, state, life) in [("value", b'S', 30_000), ("lease", b'T', LIFE_MS), ("absent", b'T', 20_000)] {
        let bytes = fixture.get_bytes(key).await.unwrap_or_default();
        assert_eq!(bytes.get(3), Some(&state), "{key}");
        assert_eq!(bytes.get(8..24), Some(&Token::NOBODY.as_bytes()[..]), "{key}");
        let until = bytes.get(24..37).and_then(|until| std::str::from_utf8(until).ok()?.parse::<u128>().ok());
        let now_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        assert!(until.is_some_and(|until| (until > now_ms) && until <= now_ms + 20_000), "{key} {until:?} {now_ms}");
        assert!(lives(fixture, key, life).await, "{key}: {:?}", fixture.ttl_ms(key).await);
    }
}

/// What knows a version already is left as it is; a bar stays as long as it did, and keeps the lease that stands.
pub(super) async fn a_void_of_a_version_is_done_once(fixture: &dyn Fixture) {
    let at = |version| Void { version, hold_ms: 20_000, stale_ms: 0 };
    fixture.set_bytes("known", &value(7), LIFE_MS).await;
    fixture.set_bytes("old", &value(6), LIFE_MS).await;
    fixture.set_bytes("lease", &lease(Token::from_random(7)), LIFE_MS).await;
    let actions = ["known", "old", "lease", "absent"].map(|key| void(key, at(7)));
    assert_eq!(outcomes(fixture, &actions).await, [const { Ok(0) }; 4]);
    assert_eq!(fixture.get_bytes("known").await, Some(value(7)));
    let leased = lease(Token::from_random(7));
    let mut kept = NO_LEASE;
    kept.copy_from_slice(&leased[8..37]);
    let blank = [&MAGIC[..], b"T---0"].concat();
    for (key, lease, life) in [("old", NO_LEASE, 20_000), ("lease", kept, LIFE_MS), ("absent", NO_LEASE, 20_000)] {
        let expected = [&blank[..], &lease, &version_arg(7)].concat();
        assert_eq!(fixture.get_bytes(key).await, Some(expected.clone()), "{key}");
        assert!(lives(fixture, key, life).await, "{key}: {:?}", fixture.ttl_ms(key).await);
        outcomes(fixture, &[void(key, at(6))]).await;
        assert_eq!(fixture.get_bytes(key).await, Some(expected), "{key}: an older change says nothing new");
    }
    let stale = Void { stale_ms: 30_000, ..at(9) };
    assert_eq!(outcomes(fixture, &[void("known", stale)]).await, [Ok(1)]);
    assert_eq!(fixture.get_bytes("known").await, Some(framed(b'S', &value(7), &NO_LEASE, 9)));
}

/// One call takes as many as there are, in whatever commands it sends them.
pub(super) async fn any_number_of_entries_are_void_and_a_refused_one_costs_only_itself(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..200).map(|number| format!("entry:{number}")).collect();
    for key in &keys {
        fixture.set_bytes(key, &value(0), LIFE_MS).await;
    }
    fixture.refuse("entry:70").await;
    let actions: Vec<_> = keys.iter().map(|key| void(key, STALE)).collect();
    let removed = outcomes(fixture, &actions).await;
    for (number, outcome) in removed.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number != 70, "{number}: {outcome:?}");
    }
    assert_eq!(removed.iter().flatten().sum::<u64>(), 199);
    assert_eq!(fixture.get_bytes("entry:199").await, Some(framed(b'S', &value(0), &NO_LEASE, 0)));
    assert_eq!(fixture.get_bytes("entry:70").await, Some(value(0)));
}

/// A pass makes values stale, and removes everything else that it finds.
pub(super) async fn a_pass_makes_stale_what_it_finds(fixture: &dyn Fixture) {
    for key in ["p:value", "q:1:value", "r:value"] {
        fixture.set_bytes(key, &value(0), LIFE_MS).await;
    }
    for key in ["p:lease", "q:1:lease"] {
        fixture.set_bytes(key, &lease(Token::from_random(7)), LIFE_MS).await;
    }
    let in_pattern = match pattern(&["q:", "e"]) {
        Action::DeletePattern(glob) => Action::Void { object: Object::Pattern(glob), void: STALE },
        other => other,
    };
    let in_prefix = Action::Void { object: Object::Prefix("p:".into()), void: STALE };
    assert_eq!(outcomes(fixture, &[in_prefix, in_pattern]).await, [Ok(1), Ok(1)]);
    for key in ["p:value", "q:1:value"] {
        assert_eq!(fixture.get_bytes(key).await, Some(framed(b'S', &value(0), &NO_LEASE, 0)), "{key}");
    }
    for key in ["p:lease", "q:1:lease"] {
        assert_eq!(fixture.get_bytes(key).await, None, "{key}");
    }
    let other = fixture.get_bytes("r:value").await.unwrap_or_default();
    let decoded = quash_core::freshness::Frame::decode(&other).map(|frame| matches!(frame.state, State::Value(_)));
    assert_eq!(decoded, Some(true), "what it does not name is as it was");
}
