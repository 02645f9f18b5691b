//! Proves what the commands do that talk to real servers.

use quash_e2e::Kind;
use serde_json::json;

use crate::scene::{PRODUCT, Scene, on_every_broker, products, update};

/// A cache whose entries are found by a prefix.
const PAGE: &str = "  page: { key: \"page:{id}:{number}\", depends_on: [ { row: shop.Product } ] }\n";

on_every_broker!(a_direct_command_removes_what_it_names_and_nothing_else);

async fn a_direct_command_removes_what_it_names_and_nothing_else(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    let _worker = scene.quash.worker("alone").await;
    let named = ["product:1", "other:1", "other:2", "free"].map(str::to_owned);
    let others = ["product:2", "product:11", "another:1", "freed"].map(str::to_owned);
    scene.cache.fill(&named).await;
    scene.cache.fill(&others).await;
    for what in [vec!["cache", "product", "id=1"], vec!["prefix", "other:"], vec!["key", "free"]] {
        let command: Vec<&str> = ["invalidate"].into_iter().chain(what).collect();
        scene.quash.run(&command).await.done();
    }
    scene.gone(&named).await;
    assert_eq!(scene.settled().await, 0);
    assert_eq!(scene.cache.count(&others).await, others.len());
    scene.quash.run(&["invalidate", "cache", "prodct"]).await.ended_with(2);
}

#[tokio::test]
async fn an_explanation_counts_what_exists_and_removes_nothing() {
    let scene = Scene::with(Kind::RedisStreams, &format!("{PRODUCT}{PAGE}")).await;
    let entries = ["product:1", "page:1:1", "page:1:2", "page:2:1"].map(str::to_owned);
    scene.cache.fill(&entries).await;
    let event = update(1).to_string();
    let told = scene.quash.run(&["explain", "--live", "-e", &event]).await.done().stdout;
    let line =
        |start: &str| told.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start}: {told}"));
    assert!(line("product:1").contains("exists"), "{told}");
    assert!(line("page:1:*").contains("2 keys"), "{told}");
    assert_eq!(scene.cache.count(&entries).await, entries.len());
}

#[tokio::test]
async fn cases_in_the_configuration_pass_or_fail() {
    let case = |id: u32| {
        let expect = json!({ "caches": ["product"], "actions": [{ "main": { "delete": "product:1" } }] });
        let tests = json!([{ "name": "an update", "event": update(id), "expect": expect }]);
        format!("{PRODUCT}tests: {tests}\n")
    };
    let right = Scene::with(Kind::RedisStreams, &case(1)).await;
    let covered = right.quash.run(&["test", "--coverage"]).await.done().stdout;
    assert!(covered.contains("1 of 1"), "{covered}");
    let wrong = Scene::with(Kind::RedisStreams, &case(2)).await;
    let failed = wrong.quash.run(&["test"]).await.ended_with(1).stdout;
    assert!(failed.contains("product:1") && failed.contains("product:2"), "{failed}");
    assert_eq!(right.cache.count(&products([1])).await, 0, "a case touches no cache");
}
