//! Proves how a relay holds its slot: one works and others stand by, nothing is held without need, memory is bounded.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use quash_e2e::{Kind, becomes, eventually};

use super::{BOOK, BOOK_TABLE, Relayed, books};
use crate::scene::{LIMIT, on_every_broker};

on_every_broker!(a_broker_that_is_away_holds_no_database_up_and_finds_every_change);

async fn a_broker_that_is_away_holds_no_database_up_and_finds_every_change(kind: Kind) {
    let mut relayed = Relayed::fragile(kind, BOOK_TABLE, BOOK).await;
    let mut relay = relayed.relay("relay").await;
    let _worker = relayed.scene.quash.worker("worker").await;
    relayed.scene.cache.fill(&books(1..=200)).await;
    relayed.postgres.psql("insert into book select i, 3, 'a' from generate_series(1, 100) i");
    relayed.scene.gone(&books(1..=100)).await;

    relayed.scene.broker.kill9();
    for id in 101..=200 {
        relayed.postgres.psql(&format!("insert into book values ({id}, 3, 'a')"));
    }
    becomes(LIMIT, "the slot is let go of", "f".to_owned(), async || relayed.slot("active")).await;
    eventually(LIMIT, "it says why", async || relay.log().contains("not relayed; the database keeps the changes"))
        .await;
    relayed.scene.broker.restart().await;
    relayed.scene.gone(&books(101..=200)).await;
    assert_eq!(relay.terminate().await, 0);
    assert_eq!(relayed.scene.settled().await, 0);
}

#[tokio::test]
async fn another_relay_takes_over_within_seconds() {
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, BOOK).await;
    let mut said = Reported::default();
    for (nth, signal) in (1..).zip(["KILL", "STOP"]) {
        let mut one = relayed.relay("one").await;
        let mut other = relayed.scene.quash.start_relay("other");
        eventually(LIMIT, "the other stands by", async || other.log().matches("stands by").count() == nth).await;
        let id = u64::try_from(nth * 2).unwrap();
        relayed.postgres.psql(&format!("insert into book values ({id}, 3, 'a')"));
        said.until(&relayed, id).await;
        one.signal(signal);
        let cut_off = Instant::now();
        let works = async || other.log().matches("the log is relayed").count() == nth;
        eventually(Duration::from_secs(20), "the other works", works).await;
        println!("taken over after {:?} from one that got {signal}", cut_off.elapsed());
        relayed.postgres.psql(&format!("insert into book values ({}, 3, 'a')", id + 1));
        said.until(&relayed, id + 1).await;
        one.kill9();
        assert_eq!(other.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_relay_lets_the_database_stop_and_goes_on_when_it_is_back() {
    let mut relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, BOOK).await;
    let mut relay = relayed.relay("relay").await;
    let mut said = Reported::default();
    relayed.postgres.psql("insert into book values (1, 3, 'a')");
    said.until(&relayed, 1).await;
    // It waits until a reader of its log has everything.
    relayed.postgres.stop(Duration::from_secs(20)).await;
    relayed.postgres.restart("").await;
    relayed.is_read().await;
    relayed.postgres.psql("insert into book values (2, 3, 'a')");
    said.until(&relayed, 2).await;
    assert_eq!(relay.terminate().await, 0);
    becomes(LIMIT, "the slot is free", "f".to_owned(), async || relayed.slot("active")).await;
}

/// The books that were told, each with the id of its event: what comes again comes under the same.
#[derive(Default)]
struct Reported(HashMap<u64, String>);

impl Reported {
    /// Takes messages until one is of this book.
    async fn until(&mut self, relayed: &Relayed, book: u64) {
        while !self.0.contains_key(&book) {
            let message = relayed.take(1).await.remove(0);
            let event = &message["events"][0];
            let id = event["id"].as_str().unwrap().to_owned();
            let known = self.0.entry(event["key"]["id"].as_u64().unwrap()).or_insert_with(|| id.clone());
            assert_eq!(*known, id, "{message}");
        }
    }
}

#[tokio::test]
async fn a_slot_holds_nothing_of_what_others_write() {
    let relayed = Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; create table other (id int)"), BOOK).await;
    let relay = relayed.relay("relay").await;
    relayed.postgres.psql("insert into other select generate_series(1, 200000)");
    let end = relayed.postgres.psql("select pg_current_wal_lsn()");
    let behind = format!("confirmed_flush_lsn >= '{end}'");
    becomes(LIMIT, "it is confirmed", "t".to_owned(), async || relayed.slot(&behind)).await;
    becomes(LIMIT, "nothing is behind", 0, async || {
        eventually(LIMIT, "it is known", async || relay.metrics().await.contains("quash_relay_lag_bytes{")).await;
        relay.metric("quash_relay_lag_bytes", &["relay=\"shop\""]).await as u64
    })
    .await;
    let seconds = relay.metric("quash_relay_lag_seconds", &[]).await;
    assert!(seconds < 5.0, "{seconds}");
}

#[tokio::test]
async fn a_large_transaction_comes_whole_and_takes_no_more_memory() {
    const ROWS: u32 = 100_000;
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, BOOK).await;
    let relay = relayed.relay("relay").await;
    relayed.postgres.psql("insert into book values (0, 3, 'a')");
    assert_eq!(relayed.take(1).await.len(), 1);
    let idle = relay.resident_kib();
    relayed.postgres.psql(&format!("insert into book select i, 3, repeat('x', 300) from generate_series(1, {ROWS}) i"));
    let said = f64::from(ROWS + 1);
    becomes(LIMIT, "every row is told", said as u64, async || relay.metric("quash_relay_rows_total", &[]).await as u64)
        .await;
    let most = relay.peak_kib();
    let (mut rows, mut parts, mut last) = (0, BTreeSet::new(), None);
    while rows < ROWS as usize {
        let message = relayed.take(1).await.remove(0);
        let part = message["transaction"]["part"].as_u64().unwrap();
        assert!(parts.insert(part), "part {part} came twice");
        rows += message["events"].as_array().unwrap().len();
        if message["transaction"]["last"] == true {
            assert_eq!(last.replace(part), None);
        }
    }
    assert_eq!(rows, ROWS as usize);
    assert_eq!((last, parts.first()), (parts.last().copied(), Some(&1)), "{parts:?}");
    let parts = parts.len();
    println!("{ROWS} rows in {parts} parts: {idle} KiB idle, {most} KiB at most");
    assert!(most < idle + 60 * 1024, "{idle} KiB idle, {most} KiB at most");
}
