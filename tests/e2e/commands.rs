//! Proves what the commands do that talk to real servers.

use std::io::Write;

use quash_e2e::process::Process;
use quash_e2e::{Kind, becomes, eventually};
use serde_json::json;

use crate::scene::{LIMIT, PRODUCT, Scene, on_every_broker, products, update};

/// A cache whose entries are found by a prefix.
const PAGE: &str = "  page: { key: \"page:{id}:{number}\", depends_on: [ { row: shop.Product } ] }\n";

on_every_broker!(
    a_direct_command_removes_what_it_names_and_nothing_else,
    what_a_pipe_cannot_decode_becomes_a_dead_letter,
    publishing_that_gets_nowhere_ends_with_the_first_signal,
);

/// eulerto/wal2json#165, #57: a database in LATIN1 writes lines that are no UTF-8, and a row may be larger than a worker reads.
/// `pg_recvlogical` has told the database by then that they are safe.
async fn what_a_pipe_cannot_decode_becomes_a_dead_letter(kind: Kind) {
    let scene = Scene::with(kind, &format!("limits: {{ max_message_bytes: 5000 }}\n{PRODUCT}")).await;
    let keys = products([1, 2]);
    scene.cache.fill(&keys).await;
    let _worker = scene.quash.worker("alone").await;
    let mut lines = format!("{}\n", update(1)).into_bytes();
    lines.extend(b"{\"entity\":\"shop.Product\",\"op\":\"truncate\",\"note\":\"caf\xe9\"}\n");
    lines.extend(
        format!("{{\"entity\":\"shop.Product\",\"op\":\"truncate\",\"source\":\"{}\"}}\n", "x".repeat(6000)).bytes(),
    );
    lines.extend(format!("{}\n", update(2)).bytes());
    let ran = scene.quash.run_with(&["publish"], lines).await.ended_with(1);
    assert!(ran.stdout.contains("published 4 events"), "{}", ran.stdout);
    assert!(ran.stdout.contains("2 cannot be read and become dead letters"), "{}", ran.stdout);
    assert!(ran.stderr.contains("line 2: ") && ran.stderr.contains("line 3: "), "{}", ran.stderr);
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 2);
    let letters = scene.quash.dead_letters().await;
    let mut reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["decode", "limit"]);
}

async fn publishing_that_gets_nowhere_ends_with_the_first_signal(kind: Kind) {
    let mut scene = Scene::fragile(kind, &format!("worker: {{ drain: 500ms }}\n{PRODUCT}")).await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let log = scene.quash.home().path().join("publish.log");
    let errors = std::fs::File::create(&log).unwrap();
    let mut command = scene.quash.command(&["publish"]);
    let mut publishing = Process::start("publish", command.stdin(reader).stderr(errors));
    writeln!(writer, "{}", update(1)).unwrap();
    becomes(LIMIT, "the first event is there", 1, async || scene.queue.backlog().await.ready).await;
    scene.broker.kill9();
    writeln!(writer, "{}", update(2)).unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    eventually(LIMIT, "it is said that nothing goes", async || said().contains("trying again")).await;
    publishing.signal("TERM");
    assert_eq!(publishing.exit_code(LIMIT).await, 69, "{}", said());
    assert!(said().contains("gave up with 1 event read and not known to be published, 1 before"), "{}", said());
}

#[tokio::test]
async fn a_misspelt_entity_is_named_by_the_publisher_and_once_by_the_worker() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let worker = scene.quash.worker("alone").await;
    let event = r#"{"entity":"shop.Prodcut","op":"truncate"}"#;
    let ran = scene.quash.run_with(&["publish", "--check"], format!("{event}\n{event}\n")).await.done();
    let doubt = "line 1: no cache depends on `shop.Prodcut`, did you mean `shop.Product`?\n";
    assert_eq!(ran.stderr, doubt);
    scene.quash.run_with(&["publish", "--check", "--strict"], event).await.ended_with(1);
    assert_eq!(scene.settled().await, 0);
    let log = worker.log();
    assert_eq!(log.matches("did you mean `shop.Product`?").count(), 1, "{log}");
}

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
    let said = scene.quash.run(&["explain", "--live", "-e", &event]).await.done().stdout;
    let line =
        |start: &str| said.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start}: {said}"));
    assert!(line("product:1").contains("exists"), "{said}");
    assert!(line("page:1:*").contains("2 keys"), "{said}");
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
