//! Proves what the commands print and how they end.

use std::path::{Path, PathBuf};

use quash_e2e::Quash;
use serde_json::Value;

/// One change of `pgbench`'s workload, as wal2json writes it.
const TELLER: &str = r#"{"action":"U","timestamp":"2026-01-31 12:00:00.123456+00","schema":"public","table":"pgbench_tellers","columns":[{"name":"tid","type":"integer","value":7},{"name":"bid","type":"integer","value":1},{"name":"tbalance","type":"integer","value":-3410},{"name":"filler","type":"character(84)","value":null}],"identity":[{"name":"tid","type":"integer","value":7}],"pk":[{"name":"tid","type":"integer"}]}"#;

/// Dependencies on a row, a relation and a cache.
const SHOP: &str = r#"version: 1
targets: { main: { redis: { url: "redis://127.0.0.1:6379/1" } } }
caches:
  page:
    args: [author_id, country_id, number]
    key: "page:{author_id}:{country_id}:{number}"
    depends_on:
      - row: shop.Book
        ops: [create, update]
        changed: [title, author_id]
        when: "after.state == 'published' || before.state == 'published'"
        map: { author_id: author_id, country_id: author.country_id }
      - m2m: shop.Book.tags
        when: "size(to) > 1 || to[0].slug == 'new'"
        map: { author_id: from.author_id }
  home:
    key: "home"
    depends_on: [ { cache: page } ]
  alone: { key: "alone:{id}" }
"#;

#[tokio::test]
async fn every_configuration_in_the_tree_passes_the_check() {
    let found = configurations();
    assert!(!found.is_empty(), "the tree has configurations");
    for path in found {
        let quash = Quash::with("").env("QUASH_CONFIG", &path.display().to_string());
        let ran = quash.run(&["check"]).await;
        assert_eq!(ran.code, 0, "{}: {}{}", path.display(), ran.stdout, ran.stderr);
    }
}

#[tokio::test]
async fn dev_shows_events_that_flow_and_ends_with_0() {
    Quash::with("").run(&["dev", "--for", "5s"]).await.done();
}

#[tokio::test]
async fn explain_tells_a_newcomer_which_rule_which_key_and_why() {
    let quash =
        Quash::with("").env("QUASH_CONFIG", &root().join("deploy/examples/postgres.yaml").display().to_string());
    let event = quash.home().write("event.json", TELLER);
    let ran = quash.run(&["explain", "-e", &event.display().to_string()]).await.done();
    assert_eq!(ran.stdout, include_str!("golden/explain-teller.txt"));
}

#[tokio::test]
async fn a_graph_tells_publishers_which_columns_each_dependency_reads() {
    let said = Quash::with(SHOP).run(&["graph", "-o", "json"]).await.done().json();
    let expect: Value = serde_json::from_str(include_str!("golden/graph.json")).unwrap();
    assert_eq!(said, expect);
}

#[tokio::test]
async fn init_writes_a_configuration_that_passes_the_check_and_overwrites_none() {
    let quash = Quash::with("");
    let file = quash.home().path().join("fresh.yaml").display().to_string();
    let quash = quash.env("QUASH_CONFIG", &file);
    quash.run(&["init", &file]).await.done();
    quash.run(&["check"]).await.done();
    let again = quash.run(&["init", &file]).await;
    assert_ne!(again.code, 0, "an existing file is not overwritten: {}", again.stdout);
}

#[tokio::test]
async fn the_schema_is_json_and_names_every_section() {
    let schema = Quash::with("").run(&["schema", "config"]).await.done().json();
    for section in ["version", "targets", "sources", "caches", "retry", "limits", "tests"] {
        assert!(schema["properties"].get(section).is_some_and(Value::is_object), "{section}");
    }
}

#[tokio::test]
async fn the_texts_for_shells_and_people_are_there() {
    let quash = Quash::with("");
    assert!(quash.run(&["completions", "bash"]).await.done().stdout.contains("dlq"));
    assert!(quash.run(&["man"]).await.done().stdout.contains("quash"));
    assert!(quash.run(&["--version"]).await.done().stdout.starts_with("quash "));
    quash.run(&["no-such-command"]).await.ended_with(2);
}

#[tokio::test]
async fn who_has_read_enough_ends_a_command_quietly() {
    let quash = Quash::with("version: 1\n");
    for args in [&["schema", "config"][..], &["init", "-"], &["completions", "bash"], &["graph"], &["check"]] {
        let (reader, nobody) = std::io::pipe().unwrap();
        drop(reader);
        let ran = quash.command(args).stdout(nobody).output().unwrap();
        assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr)), (Some(0), "".into()), "{args:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_an_io_error() {
    let quash = Quash::with("").env("QUASH_CONFIG", "/nowhere/quash.yaml");
    let ran = quash.run(&["check"]).await.ended_with(74);
    assert!(ran.stderr.contains("/nowhere/quash.yaml"), "{}", ran.stderr);
}

#[tokio::test]
async fn configuration_files_may_be_arguments() {
    let quash = Quash::with("").env("QUASH_CONFIG", "/nowhere/quash.yaml");
    let file = quash.home().write("shop.yaml", SHOP).display().to_string();
    let more =
        quash.home().write("more.yaml", "version: 1\ncaches: { cart: { key: \"cart:{id}\" } }\n").display().to_string();
    assert!(quash.run(&["check", &file, &more]).await.done().stdout.contains("4 caches"));
    assert!(quash.run(&["check", "-c", &file, &more]).await.done().stdout.contains("4 caches"));
    quash.run(&["test", &file]).await.done();
    quash.run(&["graph", &file]).await.done();
    quash.run(&["explain", &file, "-e", r#"{"entity":"shop.Book","op":"truncate"}"#]).await.done();
    quash.run(&["explain", &file, "page:1:2:3"]).await.done();
}

#[tokio::test]
async fn a_newcomer_without_a_configuration_is_told_where_to_begin() {
    let quash = Quash::with("").env("QUASH_CONFIG", "");
    std::fs::remove_file(quash.config()).unwrap();
    let ran = quash.run(&["check"]).await.ended_with(74);
    assert!(ran.stderr.contains("quash init"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_runs_for_long_and_cannot_start_says_so_in_records_one_for_each_problem() {
    let wrong = "version: 1\ntargets: { main: { redis: { url: \"redis://127.0.0.1:1\" } } }\ncaches:\n  \
                 a: { key: \"a:{id}\", depends_upon: [] }\n  b: { kee: \"b:{id}\" }\n";
    for command in ["run", "relay", "ui"] {
        let ran = Quash::with(wrong).run(&[command]).await.ended_with(78);
        let records: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (fatal, problems) = records.split_last().unwrap();
        assert_eq!((&fatal["kind"], &fatal["exit"]), (&"configuration".into(), &78.into()), "{}", ran.stderr);
        assert_eq!(
            fatal["message"],
            format!("the configuration is wrong: {} errors", problems.len()),
            "{}",
            ran.stderr
        );
        for problem in problems {
            assert!(
                problem["line"].is_u64() && problem["file"].is_string() && problem["path"].is_string(),
                "{problem}"
            );
            assert!(problem["message"].as_str().unwrap().starts_with("configuration: "), "{problem}");
            assert!(
                problem["module"].as_str().unwrap().starts_with("quash_") && problem["target"].is_null(),
                "{problem}"
            );
        }
    }
}

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every YAML file of `deploy/` and `docs/` that is a configuration of Quash.
fn configurations() -> Vec<PathBuf> {
    let folders = ["deploy/compose", "deploy/examples", "deploy/docker"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let paths = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.filter(|path| std::fs::read_to_string(path).unwrap().lines().any(|line| line == "version: 1")).collect()
}
