//! Proves that dead letters can be listed, explained, replayed after mending, discarded, moved and purged.

use quash_e2e::{Kind, RedisServer, becomes, eventually};
use serde_json::Value;

use crate::scene::{HASTY, LIMIT, PRODUCT, Scene, bodies, on_every_broker, products, updates};

/// Takes the right to write these keys from everybody, as an operator's mistake would: the cache answers, with an error for
/// each key.
pub(crate) async fn forbid(cache: &RedisServer) {
    set_rights(cache, &["resetkeys", "%R~*"]).await;
}

/// Gives it back.
pub(crate) async fn permit(cache: &RedisServer) {
    set_rights(cache, &["allkeys"]).await;
}

async fn set_rights(cache: &RedisServer, rights: &[&str]) {
    let mut connection = cache.connect().await;
    let () = redis::cmd("ACL").arg(&["SETUSER", "default"]).arg(rights).query_async(&mut connection).await.unwrap();
}

/// A scene with this many letters of the reason `target_error`, and stale entries to go with them.
pub(crate) async fn with_letters(kind: Kind, count: u32) -> (Scene, Vec<String>) {
    let scene = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    let keys = products(0..count);
    scene.cache.fill(&keys).await;
    forbid(&scene.cache).await;
    let worker = scene.quash.worker("first").await;
    scene.queue.publish(bodies(&updates(0..count))).await;
    becomes(LIMIT, "every event becomes a dead letter", u64::from(count), async || scene.queue.dead_letters().await)
        .await;
    scene.queue.drained(LIMIT).await;
    drop(worker);
    (scene, keys)
}

on_every_broker!(
    a_letter_says_what_failed_where_and_how_often,
    a_replay_after_mending_invalidates_and_leaves_no_letter,
    a_letter_that_fails_again_comes_back_with_its_history,
    discarded_letters_are_gone_and_others_stay,
    letters_travel_from_one_queue_to_another_byte_for_byte,
    what_an_export_discards_is_in_its_file,
);

async fn what_an_export_discards_is_in_its_file(kind: Kind) {
    let (scene, keys) = with_letters(kind, 200).await;
    let file = scene.quash.home().path().join("letters.ndjson").display().to_string();
    let export = ["dlq", "export", "--file", &file, "--discard", "--limit", "150"];
    scene.quash.run(&export).await.done();
    assert_eq!(scene.queue.dead_letters().await, 50);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 150);
    scene.quash.run(&export).await.ended_with(77);
    assert_eq!(scene.queue.dead_letters().await, 50, "the file is the only copy of what is gone");

    permit(&scene.cache).await;
    let _worker = scene.quash.worker("second").await;
    scene.quash.run(&["dlq", "import", "--replay", "--file", &file]).await.done();
    scene.quash.run(&["dlq", "replay", "--all"]).await.done();
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_letter_says_what_failed_where_and_how_often(kind: Kind) {
    let (scene, _) = with_letters(kind, 3).await;
    let letters = scene.quash.dead_letters().await;
    assert_eq!(letters.len(), 3);
    for letter in &letters {
        assert_eq!(letter["reason"], "target_error", "{letter}");
        assert_eq!(letter["target"], "main", "{letter}");
        assert_eq!(letter["entity"], "shop.Product", "{letter}");
        assert_eq!(letter["attempts"], 2, "{letter}");
        assert!(text(letter, "error").contains("NOPERM"), "{letter}");
    }
    let groups = scene.quash.run(&["dlq", "groups", "-o", "json"]).await.done().json();
    assert_eq!(groups["groups"].as_array().map(Vec::len), Some(1), "one cause: {groups}");
    assert_eq!(groups["groups"][0]["count"], 3, "{groups}");
    let shown = scene.quash.run(&["dlq", "show", text(&letters[0], "id")]).await.done();
    assert!(shown.stdout.contains("NOPERM") && shown.stdout.contains("product"), "{}", shown.stdout);
}

async fn a_replay_after_mending_invalidates_and_leaves_no_letter(kind: Kind) {
    let (scene, keys) = with_letters(kind, 200).await;
    permit(&scene.cache).await;
    let _worker = scene.quash.worker("second").await;

    scene.quash.run(&["dlq", "replay", "--filter", "reason:decode"]).await.done();
    scene.quash.run(&["dlq", "replay", "--filter", "reason:target_error", "--dry-run"]).await.done();
    assert_eq!(scene.queue.dead_letters().await, 200, "neither another filter nor a dry run takes a letter");

    scene.quash.run(&["dlq", "replay", "--filter", "reason:target_error"]).await.done();
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_letter_that_fails_again_comes_back_with_its_history(kind: Kind) {
    let (scene, _) = with_letters(kind, 1).await;
    let _worker = scene.quash.worker("second").await;
    scene.quash.run(&["dlq", "replay"]).await.ended_with(2);
    scene.quash.run(&["dlq", "replay", "--all"]).await.done();
    eventually(LIMIT, "it is a dead letter again", async || {
        let letters = scene.quash.dead_letters().await;
        letters.len() == 1 && letters[0]["replays"] == 1
    })
    .await;
}

async fn discarded_letters_are_gone_and_others_stay(kind: Kind) {
    let (scene, keys) = with_letters(kind, 10).await;
    let id = scene.quash.dead_letters().await[0]["id"].clone();
    scene.quash.run(&["dlq", "discard", id.as_str().unwrap()]).await.done();
    assert_eq!(scene.queue.dead_letters().await, 9);
    scene.quash.run(&["dlq", "purge"]).await.ended_with(77);
    scene.quash.run(&["dlq", "purge", "--yes"]).await.done();
    assert_eq!(scene.queue.dead_letters().await, 0);
    assert_eq!(scene.cache.count(&keys).await, keys.len(), "discarding invalidates nothing");
}

async fn letters_travel_from_one_queue_to_another_byte_for_byte(kind: Kind) {
    let (scene, _) = with_letters(kind, 5).await;
    let exported = scene.quash.run(&["dlq", "export"]).await.done().stdout;
    assert_eq!(exported.lines().count(), 5, "one a line: {exported}");
    let before = scene.quash.dead_letters().await;

    let other = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    other.quash.run_with(&["dlq", "import"], exported).await.done();
    let after = other.quash.dead_letters().await;
    let said = |letters: &[Value]| letters.iter().map(|letter| letter["error"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&after), said(&before));

    // Replayed in its new place, a letter is as good as the original.
    let keys = products(0..5);
    other.cache.fill(&keys).await;
    let _worker = other.quash.worker("other").await;
    other.quash.run(&["dlq", "replay", "--all"]).await.done();
    other.gone(&keys).await;
    assert_eq!(other.settled().await, 0);
}

#[tokio::test]
async fn a_filter_that_is_no_filter_is_wrong_usage() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    scene.quash.run(&["dlq", "ls", "--filter", "raeson:decode"]).await.ended_with(2);
}

fn text<'a>(letter: &'a Value, field: &str) -> &'a str {
    letter[field].as_str().unwrap_or_else(|| panic!("{field} in {letter}"))
}
