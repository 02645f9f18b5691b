//! Proves that entries which differ from the database are found, all of them and no others, and that no entry is touched.

use std::collections::BTreeSet;

use quash_e2e::{Kind, Postgres, Quash, Ran, RedisServer, becomes, eventually};
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::scene::{LIMIT, Scene, config};

/// So many entries, of which one in ten thousand is stale.
const ENTRIES: usize = 20_000;

/// A database with as many products, and a cache with an entry of each.
async fn shop(entries: usize) -> (Postgres, RedisServer) {
    let (database, cache) = (Postgres::start().await, RedisServer::start().await);
    database.psql(&format!(
        "create table product (id int primary key, price numeric(10,2), title text); \
         insert into product select id, id / 100.0, 'title ' || id from generate_series(1, {entries}) id"
    ));
    let mut connection = cache.connect().await;
    let ids: Vec<usize> = (1..=entries).collect();
    for ids in ids.chunks(1000) {
        let entry = |id: &usize| {
            let price = format!("{}.{:02}", id / 100, id % 100);
            (format!("product:{id}"), json!({"title": format!("title {id}"), "price": price, "seen": 1}).to_string())
        };
        let () = connection.mset(&ids.iter().map(entry).collect::<Vec<_>>()).await.unwrap();
    }
    (database, cache)
}

fn sections(database: &Postgres) -> String {
    format!(
        "servers: {{ shop: {{ postgres: {{ url: \"{}\" }} }} }}
caches:
  product:
    key: \"product:{{id}}\"
    truth: {{ sql: {{ server: shop, query: \"SELECT price, title FROM product WHERE id = {{id}}\" }} }}
    depends_on: [ {{ row: shop.Product }} ]
",
        database.url()
    )
}

fn quash(database: &Postgres, cache: &RedisServer) -> Quash {
    Quash::with(&format!(
        "version: 1\ntargets:\n  main: {{ redis: {{ url: \"{}\" }} }}\n{}",
        cache.url(0),
        sections(database)
    ))
}

/// What a command printed, one JSON value a line.
fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn outcome(ran: &Ran, outcome: &str) -> u64 {
    let count = |line: &Value| line["count"]["outcomes"][outcome].as_u64().unwrap_or_default();
    lines(ran).iter().map(count).sum()
}

#[tokio::test]
async fn a_rate_of_one_in_ten_thousand_is_found_and_nothing_is_touched() {
    let (database, cache) = shop(ENTRIES).await;
    let quash = quash(&database, &cache);
    let samples = (2 * ENTRIES).to_string();
    let arguments = ["verify", "--once", "-o", "json", "--within", "1s", "--budget", "100000", "-n", &samples];
    let mut connection = cache.connect().await;
    let sum = async |connection: &mut redis::aio::MultiplexedConnection| -> String {
        // What stands there, whatever Quash writes beside it.
        let keys: Vec<String> = (1..=ENTRIES).map(|id| format!("product:{id}")).collect();
        let values: Vec<String> = connection.mget(keys).await.unwrap();
        values.join("\n")
    };
    let before = sum(&mut connection).await;
    let ran = quash.run(&arguments).await.ended_with(0);
    assert_eq!(outcome(&ran, "stale"), 0, "{}", ran.stdout);
    assert!(outcome(&ran, "fresh") >= ENTRIES as u64, "{}", ran.stdout);
    assert_eq!(sum(&mut connection).await, before);
    let keys: BTreeSet<String> = connection.keys("*").await.unwrap();
    let others: Vec<&String> = keys.iter().filter(|key| !key.starts_with("product:")).collect();
    assert_eq!(others, ["quash:canary:product"]);

    // A row changes and no event tells of it; another is gone.
    database.psql("update product set price = 0 where id = 4242; delete from product where id = 17");
    let ran = quash.run(&arguments).await.ended_with(1);
    let stale: BTreeSet<String> =
        lines(&ran).iter().filter_map(|line| line["violation"]["key"].as_str().map(str::to_owned)).collect();
    assert_eq!(stale, BTreeSet::from(["product:17".to_owned(), "product:4242".to_owned()]));
    assert_eq!(outcome(&ran, "stale"), 2);
    let text = quash.run(&["verify", "--once", "--within", "1s", "--budget", "100000", "-n", &samples]).await;
    let text = text.ended_with(1).stdout;
    assert!(text.contains("stale: product:17 of cache product on target main, after 1s"), "{text}");
    assert!(text.contains("% (3.9 nines)") || text.contains("% (4.0 nines)"), "{text}");
}

#[tokio::test]
async fn what_did_not_answer_is_unknown_and_no_pass() {
    let (database, cache) = shop(10).await;
    let quash = quash(&database, &cache);
    database.psql("alter table product rename to gone");
    let ran = quash.run(&["verify", "--once", "-o", "json"]).await.ended_with(1);
    assert_eq!((outcome(&ran, "undecided"), outcome(&ran, "stale"), outcome(&ran, "fresh")), (10, 0, 0));
    database.psql("alter table gone rename to product");
    drop(cache);
    quash.run(&["verify", "--once"]).await.ended_with(69);
    quash.run(&["verify"]).await.ended_with(69);
}

#[tokio::test]
async fn one_of_two_workers_takes_samples_and_everybody_can_read_what_came_of_it() {
    let (database, cache) = shop(20).await;
    let mut scene = Scene::with(Kind::RedisStreams, "").await;
    let verify = "verify: { budget: 1000, within: [1s], canary: 1s }\n";
    let text = config(&scene.queue, &[("main", &cache)], &format!("{verify}{}", sections(&database)));
    scene.quash = Quash::with(&text);
    let told = scene.quash.run(&["verify"]).await.ended_with(0).stdout;
    assert!(told.starts_with("no samples were taken"), "{told}");
    let workers = [scene.quash.worker("one").await, scene.quash.worker("two").await];
    let fresh =
        async |worker: &quash_e2e::Worker| worker.metric("quash_verify_samples_total", &["outcome=\"fresh\""]).await;
    eventually(LIMIT, "one takes samples, and finds what was made stale on purpose", async || {
        let mut ok = 0.0;
        for worker in &workers {
            ok += worker.metric("quash_verify_canary_ok", &["cache=\"product\""]).await;
        }
        ok >= 1.0
    })
    .await;
    let taken = [fresh(&workers[0]).await, fresh(&workers[1]).await];
    assert!(taken.contains(&0.0) && taken.iter().sum::<f64>() > 0.0, "{taken:?}");
    database.psql("update product set price = 0 where id = 7");
    becomes(LIMIT, "what is stale is told", true, async || {
        let ran = scene.quash.run(&["verify", "--since", "1h"]).await;
        ran.code == 1 && ran.stdout.contains("product")
    })
    .await;
}
