//! Proves that Quash finds out when entries are not where the configuration looks for them.

use quash_e2e::{Quash, RedisServer};
use redis::AsyncCommands;
use serde_json::Value;

use crate::scene::update;

/// A product cache, and pages that are found by a prefix.
const CACHES: &str = "caches:
  page: { key: \"page:{id}:{number}\", depends_on: [ { row: shop.Product } ] }
  product: { key: \"product:{id}\", tags: [ \"shelf:{id}\" ], depends_on: [ { row: shop.Product } ] }
";

/// A target with a password, its keys as Django spells them, and Quash.
async fn shop(format: &str, keys: &[&str]) -> (RedisServer, Quash) {
    let cache = RedisServer::start().await;
    cache.fill(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).await;
    let quash = Quash::with(&format!(
        "version: 1\ntargets:\n  main: {{ redis: {{ url: \"redis://default:hush-hush@{}/0\" }}, key_format: {format} }}\n{CACHES}",
        cache.address()
    ));
    let mut connection = cache.connect().await;
    let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", "hush-hush"]).query_async(&mut connection).await.unwrap();
    (cache, quash)
}

async fn said(quash: &Quash, args: &[&str], code: i32) -> String {
    let ran = quash.run(args).await.ended_with(code);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hush-hush"), "a password shows");
    ran.stdout
}

fn has(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "{word} in {text}"));
}

#[tokio::test]
async fn an_event_whose_keys_have_another_version_is_told_so() {
    let (_cache, quash) = shop("{ django: {} }", &[":2:product:42", ":2:page:42:1"]).await;
    let event = update(42).to_string();
    let text = said(&quash, &["explain", "--live", "-e", &event], 0).await;
    let why = "the target's key_format says version 1, the application writes version 2";
    has(&text, &["`:1:product:42` is not there, `:2:product:42` is", why, "{ django: { version: 2 } }"]);
    has(&text, &["cache page: no entry behind `:1:`, but 1 key behind `:2:`"]);
    let json: Value =
        serde_json::from_str(&said(&quash, &["explain", "--live", "-e", &event, "-o", "json"], 0).await).unwrap();
    let hint = json["hints"].as_array().unwrap().iter().find(|hint| hint["cache"] == "product").unwrap();
    assert_eq!((&hint["target"], &hint["severity"]), (&"main".into(), &"warning".into()), "{json}");
    assert_eq!(json["live"]["main"]["delete"][":1:product:42"], 0, "{json}");
}

#[tokio::test]
async fn an_event_whose_keys_are_right_is_told_nothing_more() {
    let (_cache, quash) = shop("{ django: {} }", &[":1:product:42", ":2:product:42", ":1:page:42:1"]).await;
    let event = update(42).to_string();
    let text = said(&quash, &["explain", "--live", "-e", &event], 0).await;
    has(&text, &[":1:product:42  exists", "1 key"]);
    assert!(!text.contains("the application"), "{text}");
    let json: Value =
        serde_json::from_str(&said(&quash, &["explain", "--live", "-e", &event, "-o", "json"], 0).await).unwrap();
    assert_eq!(json["hints"], serde_json::json!([]), "{json}");
    let other = said(&quash, &["explain", "--live", "-e", &update(7).to_string()], 0).await;
    has(&other, &["not cached now; cache product: 1 entry"]);
    assert!(!other.contains("the application"), "{other}");
}

#[tokio::test]
async fn a_key_is_told_with_its_cache_its_type_and_its_time() {
    let (cache, quash) = shop("{ django: { prefix: shop } }", &[]).await;
    let client = redis::Client::open(format!("redis://:hush-hush@{}/0", cache.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = connection.set_ex("shop:1:product:42", "1", 3600).await.unwrap();
    let () = connection.hset("shop:2:product:43", "a", 1).await.unwrap();
    let text = said(&quash, &["explain", "--live", "shop:1:product:42"], 0).await;
    has(&text, &["exists, a string, expires in 5", "is an entry of cache product (shop:1:product:*)"]);
    let foreign = said(&quash, &["explain", "--live", "shop:2:product:43"], 0).await;
    has(
        &foreign,
        &["exists, a hash, never expires", "shop:1:product:43  not there", "says version 1", "writes version 2"],
    );
    let logical = said(&quash, &["explain", "--live", "product:42"], 0).await;
    has(&logical, &["shop:1:product:42  exists"]);
    let missing = said(&quash, &["explain", "--live", "shop:1:product:43"], 0).await;
    has(&missing, &["not there", "`shop:2:product:43` is there: the target's key_format says version 1"]);
    let offline = said(&quash, &["explain", "shop:1:shelf:9"], 0).await;
    has(&offline, &["is a tag of cache product (shop:1:shelf:*)"]);
    let json: Value =
        serde_json::from_str(&said(&quash, &["explain", "--live", "shop:2:product:43", "-o", "json"], 0).await)
            .unwrap();
    assert_eq!(json["targets"][0]["there"]["kind"], "hash", "{json}");
    assert_eq!(json["targets"][0]["caches"][0]["writes"][0]["key"], "shop:1:product:43", "{json}");
    let nobody = said(&quash, &["explain", "basket:1", "-e", "{}"], 2).await;
    assert_eq!(nobody, "", "a key and an event are two questions");
}

#[tokio::test]
async fn a_check_counts_the_entries_of_every_cache() {
    let products: Vec<String> = (0..1500).map(|id| format!("shop:1:product:{id}")).collect();
    let keys: Vec<&str> = products.iter().map(String::as_str).chain(["shop:2:page:1:1"]).collect();
    let (_cache, quash) = shop("{ django: { prefix: shop } }", &keys).await;
    let text = said(&quash, &["check", "--connect"], 0).await;
    has(&text, &["✓ cache product: 1,500 entries (shop:1:product:*)"]);
    has(&text, &["! cache page: no entry behind `shop:1:`, but 1 key behind `shop:2:`", "writes version 2", "mend:"]);
    said(&quash, &["check", "--connect", "--strict"], 1).await;
    let json: Value = serde_json::from_str(&said(&quash, &["check", "--connect", "-o", "json"], 0).await).unwrap();
    let findings = json["environment"][0]["findings"].as_array().unwrap();
    let is = |finding: &&Value| finding["what"].as_str().unwrap().starts_with("cache page: ");
    assert_eq!(findings.iter().find(is).unwrap()["severity"], "warning", "{json}");
}

#[tokio::test]
async fn a_database_of_others_is_suspected_and_an_empty_one_is_not() {
    let (_cache, quash) = shop("{ django: { prefix: shop } }", &["session:1", "session:2"]).await;
    let text = said(&quash, &["check", "--connect"], 0).await;
    has(&text, &["! cache product: no entry, and none of the 2 keys of the database begins with `shop:1:`"]);
    let (_empty, quash) = shop("{ django: { prefix: shop } }", &[]).await;
    let text = said(&quash, &["check", "--connect"], 0).await;
    has(&text, &["✓ cache product: no entry (shop:1:product:*), the database is empty"]);
}

#[tokio::test]
async fn a_user_who_may_not_scan_is_told_what_cannot_be_seen() {
    let (cache, quash) = shop("plain", &["product:1"]).await;
    let client = redis::Client::open(format!("redis://:hush-hush@{}/0", cache.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rules = ["SETUSER", "default", "-scan", "-type", "-pttl"];
    let () = redis::cmd("ACL").arg(&rules).query_async(&mut connection).await.unwrap();
    let there = said(&quash, &["explain", "--live", "product:1"], 0).await;
    has(&there, &["  exists\n", "is an entry of cache product"]);
    let missing = said(&quash, &["explain", "--live", "product:2"], 0).await;
    has(&missing, &["not there", "its keys could not be looked at", "grant +scan"]);
    let checked = said(&quash, &["check", "--connect"], 0).await;
    has(&checked, &["its keys could not be looked at"]);
}
