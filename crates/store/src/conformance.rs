//! Holds what every store promises, one function a promise, for the stores to be run against.
//!
//! A promise that is broken panics with what differs. [`all`] runs every one of them.

mod answers;
mod frames;
mod integers;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use self::answers::{
    an_answer_reaches_who_waits_already, answers_are_heard_once_and_in_their_order, answers_go_by_themselves,
};
use self::frames::{
    a_hold_in_a_guard_removes_the_entry_beside_it, a_hold_takes_the_place_of_an_entry_for_its_time,
    a_pass_makes_stale_what_it_finds, a_pass_takes_entries_and_guards_along_whichever_it_finds, a_void_can_hold,
    a_void_leaves_a_value_that_may_be_served_as_stale, a_void_of_a_version_is_done_once,
    a_void_removes_what_could_not_be_served, an_entry_goes_with_its_guard,
    any_number_of_entries_are_void_and_a_refused_one_costs_only_itself,
};
use self::integers::{
    a_bump_writes_a_fresh_integer, a_renewal_changes_what_exists_and_makes_nothing,
    a_set_writes_an_integer_with_its_time_to_live, a_set_writes_the_time_in_microseconds,
};
use super::{Applied, KeyCount, KeyPattern, Questions, Stands, Store, Survey};
use quash_core::action::{Action, ActionSet, Object, Void, Write};
use quash_core::glob::{Glob, GlobBuilder};

/// A store under test, and a way to see behind it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn store(&self) -> &dyn Store;

    /// Writes an entry as an application would.
    async fn set(&self, key: &str, value: &str);

    /// Reads an entry as an application would.
    async fn get(&self, key: &str) -> Option<String>;

    /// Writes an entry of any bytes, for so many milliseconds.
    async fn set_bytes(&self, key: &str, value: &[u8], ttl_ms: u64);

    /// Reads an entry of any bytes.
    async fn get_bytes(&self, key: &str) -> Option<Vec<u8>>;

    /// How long an entry has still to live, in milliseconds; `None` when it is absent or lives for good.
    async fn ttl_ms(&self, key: &str) -> Option<u64>;

    /// Makes the cache refuse the store this one key, until [`Fixture::clear`].
    async fn refuse(&self, key: &str);

    /// Listens to a channel before something is published on it.
    async fn listen(&self, channel: &str);

    /// Waits for the next message on the channel that is listened to.
    async fn next_message(&self) -> String;

    /// Removes every entry, and every refusal.
    async fn clear(&self);
}

/// Runs every promise that the store claims by [`Store::can`], each on an empty cache.
pub async fn all(fixture: &dyn Fixture) {
    let can = fixture.store().can();
    let asks = fixture.store().questions().is_some();
    macro_rules! run {
        ($($claimed:expr => $($promise:ident)+;)+) => {
            $( if $claimed { $( fixture.clear().await; $promise(fixture).await; )+ } )+
        };
    }
    let does = |actions: &[ActionSet]| actions.iter().all(|kind| can.actions.contains(*kind));
    let (delete, prefix, pattern) = (ActionSet::DELETE, ActionSet::DELETE_PREFIX, ActionSet::DELETE_PATTERN);
    let (bump, set, publish) = (ActionSet::BUMP, ActionSet::SET, ActionSet::PUBLISH);
    let (hold, void, guard) = (ActionSet::HOLD, ActionSet::VOID, ActionSet::GUARD);
    let (void_prefix, void_pattern) = (ActionSet::VOID_PREFIX, ActionSet::VOID_PATTERN);
    run! {
        true =>
            what_is_not_claimed_is_refused_and_does_nothing
            no_actions_are_no_failure;
        does(&[delete]) =>
            removes_exactly_the_keys_that_are_named
            takes_any_number_of_keys;
        does(&[delete, prefix]) =>
            a_missing_key_is_no_failure
            several_prefixes_go_in_one_pass_and_are_counted_apart
            an_empty_prefix_removes_nothing;
        does(&[prefix]) =>
            a_prefix_removes_exactly_what_begins_with_it
            a_refused_key_costs_its_prefix_and_no_other;
        does(&[prefix]) && asks => a_prefix_finds_every_key_among_thousands;
        does(&[pattern]) => a_pattern_removes_exactly_what_it_matches;
        does(&[pattern, prefix]) && asks => patterns_and_prefixes_share_a_pass;
        does(&[delete, bump]) => one_refused_action_costs_only_itself;
        does(&[delete, bump, prefix]) => repeating_is_harmless;
        does(&[bump]) => a_bump_writes_a_fresh_integer;
        does(&[set]) =>
            a_set_writes_an_integer_with_its_time_to_live
            a_set_writes_the_time_in_microseconds
            a_renewal_changes_what_exists_and_makes_nothing;
        does(&[hold]) => a_hold_takes_the_place_of_an_entry_for_its_time;
        does(&[hold, guard]) => a_hold_in_a_guard_removes_the_entry_beside_it;
        does(&[guard, delete]) => an_entry_goes_with_its_guard;
        does(&[guard, prefix, pattern]) => a_pass_takes_entries_and_guards_along_whichever_it_finds;
        does(&[void]) =>
            a_void_leaves_a_value_that_may_be_served_as_stale
            a_void_removes_what_could_not_be_served
            a_void_can_hold
            a_void_of_a_version_is_done_once
            any_number_of_entries_are_void_and_a_refused_one_costs_only_itself;
        does(&[void_prefix, void_pattern]) => a_pass_makes_stale_what_it_finds;
        does(&[publish]) => a_publication_arrives;
        does(&[publish, prefix]) => a_publication_comes_after_what_it_announces;
        can.answers =>
            answers_are_heard_once_and_in_their_order
            an_answer_reaches_who_waits_already
            answers_go_by_themselves;
        can.tells_restarts => the_identity_stays_the_same;
        asks =>
            asking_removes_nothing
            a_survey_finds_keys_behind_another_head;
    }
}

/// An action of a kind that the store does not claim is an `Err` in its outcomes, and costs none of its neighbours.
pub async fn what_is_not_claimed_is_refused_and_does_nothing(fixture: &dyn Fixture) {
    let can = fixture.store().can().actions;
    let publish = Action::Publish { channel: "quash:local".into(), message: "{}".into() };
    let void = Void { version: 0, hold_ms: 0, stale_ms: 1000 };
    let each = [
        delete("k:1"),
        Action::DeletePrefix("k:".into()),
        pattern(&["k:", "1"]),
        Action::Bump("t".into()),
        set("t", Write::exactly(1)),
        publish,
        Action::Hold { key: "k:1".into(), ms: 1000, guarded: false },
        Action::Hold { key: "k:1".into(), ms: 1000, guarded: true },
        Action::DeleteGuarded(Object::Key("k:1".into())),
        Action::DeleteGuarded(Object::Prefix("k:".into())),
        Action::Void { object: Object::Key("k:1".into()), void },
        Action::Void { object: Object::Prefix("k:".into()), void },
    ];
    let beyond: Vec<Action> = each.into_iter().filter(|action| !can.contains(ActionSet::of(action))).collect();
    seed(fixture, &["k:1", "t"]).await;
    let removed = outcomes(fixture, &beyond).await;
    assert!(removed.iter().all(Result::is_err), "{removed:?}");
    assert_eq!(left(fixture, &["k:1", "t"]).await, BTreeSet::from(["k:1", "t"]));
    assert_eq!(fixture.get("t").await.as_deref(), Some("1"));
}

/// Keys of every awkward kind; none of them may be taken for another.
const AWKWARD: [&str; 14] = [
    "plain",
    "with space",
    "star*",
    "star",
    "quest?",
    "quest1",
    "[abc]",
    "a",
    "back\\slash",
    "line\nbreak",
    "nul\0byte",
    "grüße:日本",
    "{tag}:1",
    "^-]",
];

/// A delete removes the key and leaves every other, whatever bytes are in them.
pub async fn removes_exactly_the_keys_that_are_named(fixture: &dyn Fixture) {
    for key in AWKWARD {
        seed(fixture, &AWKWARD).await;
        assert_eq!(outcomes(fixture, &[delete(key)]).await, [Ok(1)], "{key:?}");
        let others: BTreeSet<_> = AWKWARD.into_iter().filter(|other| *other != key).collect();
        assert_eq!(left(fixture, &AWKWARD).await, others, "{key:?}");
    }
}

/// One call takes as many deletes as there are, in whatever commands it sends them.
pub async fn takes_any_number_of_keys(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..1500).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        fixture.set(key, "1").await;
    }
    let actions: Vec<_> = keys.iter().map(|key| delete(key)).collect();
    assert_eq!(outcomes(fixture, &actions).await, vec![Ok(1); keys.len()]);
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(left(fixture, &names).await.is_empty());
}

/// A key that is not there counts as removed, with nothing to count.
pub async fn a_missing_key_is_no_failure(fixture: &dyn Fixture) {
    let actions = [delete("gone"), Action::DeletePrefix("gone:".into())];
    assert_eq!(outcomes(fixture, &actions).await, [Ok(0), Ok(0)]);
}

/// A prefix is taken literally: no byte of it is a pattern.
pub async fn a_prefix_removes_exactly_what_begins_with_it(fixture: &dyn Fixture) {
    for prefix in AWKWARD {
        seed(fixture, &AWKWARD).await;
        let below = format!("{prefix}:below");
        fixture.set(&below, "1").await;
        let begins: Vec<_> = AWKWARD.into_iter().filter(|key| key.starts_with(prefix)).collect();
        let removed = outcomes(fixture, &[Action::DeletePrefix(prefix.into())]).await;
        assert_eq!(removed, [Ok(begins.len() as u64 + 1)], "{prefix:?}");
        let others: BTreeSet<_> = AWKWARD.into_iter().filter(|key| !begins.contains(key)).collect();
        assert_eq!(left(fixture, &AWKWARD).await, others, "{prefix:?}");
        assert_eq!(fixture.get(&below).await, None, "{prefix:?}");
    }
}

/// Prefixes of one call share a pass, and each knows how many keys it removed.
pub async fn several_prefixes_go_in_one_pass_and_are_counted_apart(fixture: &dyn Fixture) {
    seed(fixture, &["a:1", "a:2", "b:1", "ab", "c"]).await;
    let prefix = |text: &str| Action::DeletePrefix(text.into());
    let applied = applied(fixture, &[prefix("b:"), delete("c"), prefix("a:"), prefix("x")]).await;
    let removed: Vec<_> = applied.outcomes.into_iter().map(|outcome| outcome.ok()).collect();
    assert_eq!(removed, [Some(1), Some(1), Some(2), Some(0)]);
    assert!((4..=5).contains(&applied.keys_visited), "{} keys visited in one pass over 4 or 5", applied.keys_visited);
    assert_eq!(left(fixture, &["a:1", "a:2", "b:1", "ab", "c"]).await, BTreeSet::from(["ab"]));
}

/// A pass goes round the whole cache, in as many steps as it takes.
pub async fn a_prefix_finds_every_key_among_thousands(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..4000).map(|number| format!("kind{}:{number}", number % 4)).collect();
    for key in &keys {
        fixture.set(key, "1").await;
    }
    let actions = ["kind1:", "kind3:"].map(|prefix| Action::DeletePrefix(prefix.into()));
    assert_eq!(outcomes(fixture, &actions).await, [Ok(1000), Ok(1000)]);
    let counts = questions(fixture).count_prefixes(&["kind0:", "kind1:", "kind2:", "kind"]).await;
    assert_eq!(counts, Ok(vec![1000, 0, 1000, 2000]));
}

/// An empty prefix would mean everything, and is refused by itself.
pub async fn an_empty_prefix_removes_nothing(fixture: &dyn Fixture) {
    seed(fixture, &["a", "b"]).await;
    let actions = [Action::DeletePrefix("".into()), delete("a")];
    let removed = outcomes(fixture, &actions).await;
    assert!(matches!(removed.as_slice(), [Err(_), Ok(1)]), "{removed:?}");
    assert_eq!(left(fixture, &["a", "b"]).await, BTreeSet::from(["b"]));
}

/// A pattern matches keys as a whole; its literal text is taken literally, its gaps are any text.
pub async fn a_pattern_removes_exactly_what_it_matches(fixture: &dyn Fixture) {
    for part in AWKWARD {
        let (below, beside) = (format!("{part}:x:1"), format!("{part}:x:10"));
        let keys: Vec<&str> = AWKWARD.into_iter().chain([below.as_str(), beside.as_str()]).collect();
        seed(fixture, &keys).await;
        let removed = outcomes(fixture, &[pattern(&[part, "x:1"])]).await;
        let others: BTreeSet<_> =
            keys.iter().copied().filter(|key| !(key.starts_with(part) && key.ends_with("x:1"))).collect();
        assert_eq!(removed, [Ok((keys.len() - others.len()) as u64)], "{part:?}");
        assert_eq!(left(fixture, &keys).await, others, "{part:?}");
    }
    let digest = "0123456789abcdef".repeat(2);
    let (upper, longer, other) = (digest.to_uppercase(), format!("{digest}0"), format!("b{digest}"));
    let keys = [digest.as_str(), &upper, &longer, &other];
    seed(fixture, &keys).await;
    let mut digests = GlobBuilder::new();
    digests.hex(32);
    let digests = digests.build().map(Action::DeletePattern);
    assert_eq!(outcomes(fixture, digests.as_slice()).await, [Ok(1)]);
    assert_eq!(left(fixture, &keys).await, BTreeSet::from([upper.as_str(), &longer, &other]));
}

/// Patterns take no pass of their own, and each knows how many keys it removed.
pub async fn patterns_and_prefixes_share_a_pass(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..3000).map(|number| format!("kind{}:{number}:end{}", number % 3, number % 2)).collect();
    for key in &keys {
        fixture.set(key, "1").await;
    }
    let actions = [pattern(&["kind0:", ":end1"]), Action::DeletePrefix("kind1:".into()), pattern(&["none:", "x"])];
    let counted: Vec<Glob> = actions.iter().filter_map(|action| Glob::parse(action.object())).collect();
    let counts = questions(fixture).count_patterns(&counted).await;
    assert_eq!(counts.map(|counts| counts[0]), Ok(500));
    let applied = applied(fixture, &actions).await;
    assert_eq!(applied.outcomes, [Ok(500), Ok(1000), Ok(0)]);
    assert_eq!(applied.keys_visited, 3000, "one pass");
}

/// An action that the cache refuses is the only one that fails.
pub async fn one_refused_action_costs_only_itself(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        fixture.set(key, "1").await;
    }
    fixture.refuse("key:7").await;
    let mut actions: Vec<_> = keys.iter().map(|key| delete(key)).collect();
    actions.push(Action::Bump("token".into()));
    let removed = outcomes(fixture, &actions).await;
    let failed: Vec<_> = removed.iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(at, _)| at).collect();
    assert_eq!(failed, [7], "{removed:?}");
    assert!(fixture.get("key:7").await.is_some(), "the refused key is still there");
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(left(fixture, &names).await, BTreeSet::from(["key:7"]));
    assert!(fixture.get("token").await.is_some());
}

/// A key below a prefix that the cache refuses fails that prefix, and everything else below it still goes.
pub async fn a_refused_key_costs_its_prefix_and_no_other(fixture: &dyn Fixture) {
    let keys = ["a:1", "a:2", "a:3", "b:1"];
    seed(fixture, &keys).await;
    fixture.refuse("a:2").await;
    let actions = ["a:", "b:"].map(|prefix| Action::DeletePrefix(prefix.into()));
    let removed = outcomes(fixture, &actions).await;
    assert!(matches!(removed.as_slice(), [Err(_), Ok(1)]), "{removed:?}");
    assert_eq!(left(fixture, &keys).await, BTreeSet::from(["a:2"]));
}

/// Whoever listens gets the message as it was given.
pub async fn a_publication_arrives(fixture: &dyn Fixture) {
    fixture.listen("quash:local").await;
    let message = r#"{"cache":"product","text":"grüße\u0000"}"#;
    let publish = Action::Publish { channel: "quash:local".into(), message: message.into() };
    assert_eq!(outcomes(fixture, &[publish]).await, [Ok(0)]);
    assert_eq!(fixture.next_message().await, message);
}

/// Whoever is told finds nothing left to read, also where removing takes a pass over all keys.
pub async fn a_publication_comes_after_what_it_announces(fixture: &dyn Fixture) {
    let keys: Vec<String> = (0..4000).map(|number| format!("page:{number}")).collect();
    for key in &keys {
        fixture.set(key, "1").await;
    }
    fixture.listen("quash:local").await;
    let publish = Action::Publish { channel: "quash:local".into(), message: "gone".into() };
    let actions = [publish, Action::DeletePrefix("page:".into())];
    let notified = async {
        fixture.next_message().await;
        let some: Vec<&str> = keys.iter().step_by(100).map(String::as_str).collect();
        left(fixture, &some).await
    };
    let (removed, left) = futures_util::future::join(outcomes(fixture, &actions), notified).await;
    assert_eq!(removed, [Ok(0), Ok(4000)]);
    assert!(left.is_empty(), "{left:?} could still be read");
}

/// The same actions a second time find nothing to do and do no harm.
pub async fn repeating_is_harmless(fixture: &dyn Fixture) {
    seed(fixture, &["a:1", "b", "c"]).await;
    let actions = [delete("b"), Action::DeletePrefix("a:".into()), Action::Bump("t".into())];
    assert_eq!(outcomes(fixture, &actions).await, [Ok(1), Ok(1), Ok(0)]);
    assert_eq!(outcomes(fixture, &actions).await, [Ok(0), Ok(0), Ok(0)]);
    assert_eq!(left(fixture, &["a:1", "b", "c"]).await, BTreeSet::from(["c"]));
}

/// Nothing to do is done.
pub async fn no_actions_are_no_failure(fixture: &dyn Fixture) {
    assert!(outcomes(fixture, &[]).await.is_empty());
}

/// As long as the cache neither restarts nor fails over, it is the same.
pub async fn the_identity_stays_the_same(fixture: &dyn Fixture) {
    let before = fixture.store().identity().await;
    fixture.set("a", "1").await;
    let actions = [delete("a"), Action::Bump("t".into())];
    outcomes(fixture, &actions).await;
    assert!(before.is_ok(), "{before:?}");
    assert_eq!(fixture.store().identity().await, before);
}

/// Looking for keys, counting and inspecting leave every entry where it is.
pub async fn asking_removes_nothing(fixture: &dyn Fixture) {
    seed(fixture, &AWKWARD).await;
    let store = fixture.store();
    assert_eq!(
        questions(fixture).exist(&["star*", "st", "nul\0byte", "{tag}:1"]).await,
        Ok(vec![true, false, true, true])
    );
    assert_eq!(questions(fixture).count_prefixes(&["star", "star*", "none", "a", ""]).await, Ok(vec![2, 1, 0, 1, 0]));
    assert!(store.inspect(store.can().actions).await.is_ok_and(|findings| !findings.is_empty()));
    let described = questions(fixture).describe(&["star*", "st"]).await;
    let Ok([Some(star), None]) = described.as_deref() else { panic!("{described:?}") };
    // What the documented rights do not show is left blank.
    assert!(star.kind.as_deref().is_none_or(|kind| kind == "string"), "{star:?}");
    assert!(star.expires.is_none_or(|expires| !expires) && star.ttl_ms.is_none(), "{star:?}");
    assert!(star.stands.is_none_or(|stands| stands == Stands::Foreign), "{star:?}");
    assert_eq!(left(fixture, &AWKWARD).await, BTreeSet::from(AWKWARD));
}

/// A survey tells keys behind their prefixes from those behind another version, and counts what is in the cache.
pub async fn a_survey_finds_keys_behind_another_head(fixture: &dyn Fixture) {
    seed(fixture, &[":1:a*", ":1:b", ":2:a*", ":2:ab", "shop:1:a*", "a*"]).await;
    let logical = key_exactly("a*");
    let patterns = [KeyPattern { logical, prefixes: vec![":1:".into()] }];
    let elsewhere = ["", ":2:", "shop:1:"].map(|prefix| (prefix.to_owned(), 1));
    let counts = vec![KeyCount { here: 1, under: 2, elsewhere: elsewhere.into() }];
    let survey = questions(fixture).survey(&patterns, Duration::from_secs(60)).await;
    assert_eq!(survey, Ok(Survey { counts, keys: 6, complete: true }));
}

fn key_exactly(key: &str) -> Glob {
    match quash_core::key::entries::exactly(key) {
        Some(glob) => glob,
        None => panic!("{key:?} is empty"),
    }
}

/// A pattern of literal texts with gaps between them.
fn pattern(texts: &[&str]) -> Action {
    let mut builder = GlobBuilder::new();
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        if index > 0 {
            builder.any();
        }
        builder.literal(text);
    }
    match builder.build() {
        Some(glob) => Action::DeletePattern(glob),
        None => panic!("{texts:?} begins with a gap"),
    }
}

fn set(key: &str, write: Write) -> Action {
    Action::Set { key: key.into(), write }
}

fn delete(key: &str) -> Action {
    Action::Delete(key.into())
}

async fn seed(fixture: &dyn Fixture, keys: &[&str]) {
    for key in keys {
        fixture.set(key, "1").await;
    }
}

async fn left<'a>(fixture: &dyn Fixture, keys: &[&'a str]) -> BTreeSet<&'a str> {
    let mut left = BTreeSet::new();
    for key in keys {
        if fixture.get(key).await.is_some() {
            left.insert(*key);
        }
    }
    left
}

fn questions(fixture: &dyn Fixture) -> &dyn Questions {
    match fixture.store().ask() {
        Ok(questions) => questions,
        Err(error) => panic!("{error}"),
    }
}

async fn applied(fixture: &dyn Fixture, actions: &[Action]) -> Applied {
    match fixture.store().apply(actions).await {
        Ok(applied) => {
            assert_eq!(applied.outcomes.len(), actions.len(), "one outcome per action");
            applied
        }
        Err(error) => panic!("the store can be reached: {error}"),
    }
}

async fn outcomes(fixture: &dyn Fixture, actions: &[Action]) -> Vec<Result<u64, super::Refusal>> {
    applied(fixture, actions).await.outcomes
}

#[cfg(test)]
mod tests;
