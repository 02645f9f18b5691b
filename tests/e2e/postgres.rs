//! Proves the main job: no cached row differs from a busy PostgreSQL at the end, whatever is killed on the way.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quash_e2e::process::Process;
use quash_e2e::{Postgres, Quash, Queue, RedisServer, Session, Worker, eventually};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::scene::{LIMIT, config};

/// 10 branches, 100 tellers, 1,000,000 accounts: few enough of the first two that many are changed again within a fill.
const SCALE: u32 = 10;
/// Accounts that readers ask for.
const HOT_ACCOUNTS: u32 = 500;
const READERS: u32 = 12;
/// How often each of them reads; without a pause they would take the processor from everybody else.
const READ_EVERY: Duration = Duration::from_millis(2);
const KILLS: u32 = 5;
/// Entries that the readers must have left in the cache at the end, of 610 that there can be.
const WARM: usize = 550;
/// How long a reader's query takes at most: the time in which it can read an old row and store it after the removal.
const SLOW_QUERY_MS: u32 = 60;
/// What the tables and columns of `pgbench` are called.
const TABLES: [(&str, &str, &str, &str); 3] = [
    ("account", "pgbench_accounts", "aid", "abalance"),
    ("branch", "pgbench_branches", "bid", "bbalance"),
    ("teller", "pgbench_tellers", "tid", "tbalance"),
];

#[tokio::test]
async fn no_entry_differs_from_the_database_at_the_end() {
    let mut scene = Shop::open("again_after: [1s, 5s], ").await;
    let mut workers = [scene.quash.worker("steady").await, scene.quash.worker("victim").await];
    let readers = scene.readers().await;
    let took = scene.pgbench(50_000, Some(&mut workers[1])).await;
    let filled = scene.finish(readers).await;

    let (checked, stale) = scene.compare().await;
    println!(
        "50,000 transactions in {took:?}, {KILLS} kills, {filled} fills; {} of {checked} entries stale",
        stale.len()
    );
    assert!(checked >= WARM, "the readers left {checked} entries to check");
    assert_eq!(stale, Vec::<String>::new(), "entries that differ from the database");
    assert_eq!(scene.queue.dead_letters().await, 0);
}

#[tokio::test]
async fn without_a_later_pass_the_race_of_plain_readers_is_what_remains() {
    let mut scene = Shop::open("").await;
    let _workers = [scene.quash.worker("steady").await, scene.quash.worker("other").await];
    let readers = scene.readers().await;
    let took = scene.pgbench(20_000, None).await;
    let filled = scene.finish(readers).await;

    let (checked, stale) = scene.compare().await;
    println!(
        "control: 20,000 transactions in {took:?}, {filled} fills; the race alone left {} of {checked} entries stale",
        stale.len()
    );
    // How often the race happens is chance; that every event was handled is not.
    assert!(checked >= WARM, "the readers left {checked} entries to check");
    assert_eq!(scene.queue.dead_letters().await, 0);
}

/// A database under load, its changes on the way to a queue, and a cache that readers fill from it.
struct Shop {
    postgres: Postgres,
    cache: RedisServer,
    queue: Queue,
    quash: Quash,
    pipe: Pipe,
    closing: Arc<AtomicBool>,
    // Held so that it lives as long as the shop.
    _broker: RedisServer,
}

/// `pg_recvlogical … | quash publish --format wal2json -f -`
struct Pipe {
    receive: Process,
    publish: Process,
}

impl Shop {
    async fn open(again_after: &str) -> Self {
        let (postgres, broker, cache) =
            (Postgres::start().await, RedisServer::durable().await, RedisServer::start().await);
        let scale = SCALE.to_string();
        postgres.pgbench_done(&["-i", "-q", "-s", &scale], LIMIT).await;
        postgres.psql("create table bell (id int primary key, rung int); insert into bell values (1, 0)");
        let queue = Queue::on(&broker, "pgbench");
        let quash = Quash::with(&config(&queue, &[("main", &cache)], &rules(again_after)));
        postgres.create_slot("quash");
        let pipe = Pipe::open(&postgres, &quash);
        Self { postgres, cache, queue, quash, pipe, closing: Arc::default(), _broker: broker }
    }

    async fn readers(&self) -> Vec<JoinHandle<u64>> {
        let cache = self.cache.connect().await;
        let reader = |_| tokio::spawn(read(self.postgres.session(), cache.clone(), self.closing.clone()));
        (0..READERS).map(reader).collect()
    }

    /// Runs the workload to its end and kills a worker five times meanwhile.
    async fn pgbench(&self, transactions: u32, victim: Option<&mut Worker>) -> Duration {
        let clients = 4;
        let each = (transactions / clients).to_string();
        let begun = Instant::now();
        let mut load = self.postgres.pgbench(&["-n", "-c", &clients.to_string(), "-t", &each]);
        if let Some(victim) = victim {
            self.kill_on_the_way(victim, transactions).await;
            assert!(load.ended().is_none(), "the worker was killed while the database was busy");
        }
        assert_eq!(load.exit_code(Duration::from_secs(600)).await, 0, "pgbench");
        begun.elapsed()
    }

    /// Kills a worker whenever a sixth of the transactions is done, but at the end.
    async fn kill_on_the_way(&self, victim: &mut Worker, transactions: u32) {
        let mut watcher = self.postgres.session();
        for kill in 1..=KILLS {
            let reached = kill * transactions / (KILLS + 1);
            eventually(Duration::from_secs(600), "the database gets on", async || {
                let done = watcher.query("select count(*) from pgbench_history").await;
                done[0].parse::<u32>().unwrap() >= reached
            })
            .await;
            victim.kill9();
            victim.restart();
        }
    }

    /// Waits until every change has arrived and is settled, while readers go on and fill the cache again; then closes the
    /// shop. Says how often readers filled the cache.
    async fn finish(&mut self, readers: Vec<JoinHandle<u64>>) -> u64 {
        self.ring_the_bell().await;
        self.queue.drained(Duration::from_secs(120)).await;
        eventually(LIMIT, "the readers have warmed the cache", async || self.keys().await.len() >= WARM).await;
        self.closing.store(true, Ordering::Relaxed);
        let mut filled = 0;
        for reader in readers {
            filled += reader.await.unwrap();
        }
        self.pipe.close().await;
        filled
    }

    /// A last change, which arrives after all others: the log of a database is in the order of its commits.
    async fn ring_the_bell(&self) {
        let bell = ["bell:1".to_owned()];
        self.cache.fill(&bell).await;
        self.postgres.psql("update bell set rung = rung + 1 where id = 1");
        eventually(Duration::from_secs(300), "the last change arrives", async || self.cache.count(&bell).await == 0)
            .await;
    }

    /// Compares every entry with the database: how many there are, and which differ.
    async fn compare(&self) -> (usize, Vec<String>) {
        let truth = self.truth();
        let keys = self.keys().await;
        let values: Vec<Option<String>> = self.cache.connect().await.mget(&keys).await.unwrap();
        let differs = |(key, value): &(&String, Option<String>)| value.is_some() && *value != truth.get(*key).cloned();
        let stale = keys.iter().zip(values).filter(differs).map(|(key, _)| key.clone());
        (keys.len(), stale.collect())
    }

    async fn keys(&self) -> Vec<String> {
        self.cache.connect().await.keys("*").await.unwrap()
    }

    fn truth(&self) -> HashMap<String, String> {
        let selects =
            TABLES.map(|(name, table, id, balance)| format!("select '{name}:' || {id}, {balance} from {table}"));
        let rows = self.postgres.psql(&selects.join(" union all "));
        rows.lines()
            .filter_map(|row| row.split_once('|'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

impl Pipe {
    fn open(postgres: &Postgres, quash: &Quash) -> Self {
        let options = ["format-version=2", "include-pk=true", "include-timestamp=true", "include-transaction=false"];
        let tables = "add-tables=public.pgbench_accounts,public.pgbench_branches,public.pgbench_tellers,public.bell";
        let (receive, changes) = postgres.stream("quash", &[&options[..], &[tables]].concat());
        let log = std::fs::File::create(quash.home().path().join("publish.log")).unwrap();
        let mut publish = quash.command(&["publish", "--format", "wal2json", "-f", "-"]);
        publish.stdin(changes).stdout(Stdio::null()).stderr(log);
        Self { receive, publish: Process::start("quash publish", &mut publish) }
    }

    /// Ends the stream of changes; what is in the pipe is still published.
    async fn close(&mut self) {
        self.receive.signal("INT");
        assert_eq!(self.receive.exit_code(LIMIT).await, 0, "pg_recvlogical");
        assert_eq!(self.publish.exit_code(LIMIT).await, 0, "quash publish");
    }
}

fn rules(again_after: &str) -> String {
    let rule = |(name, table, id, _): (&str, &str, &str, &str)| {
        format!("  {name}: {{ key: \"{name}:{{{id}}}\", {again_after}depends_on: [ {{ row: public.{table} }} ] }}\n")
    };
    let rules: String = TABLES.map(rule).concat();
    format!("caches:\n{rules}  bell: {{ key: \"bell:{{id}}\", depends_on: [ {{ row: public.bell }} ] }}\n")
}

/// Reads through the cache as plainly as applications do: get, on a miss select and set. Says how often it filled.
async fn read(mut database: Session, mut cache: MultiplexedConnection, closing: Arc<AtomicBool>) -> u64 {
    let mut filled = 0;
    let mut pace = interval(READ_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !closing.load(Ordering::Relaxed) {
        pace.tick().await;
        let (name, table, id, balance) = TABLES[fastrand::usize(0..TABLES.len())];
        let row = 1 + fastrand::u32(0..rows(name));
        let key = format!("{name}:{row}");
        if cache.get::<_, Option<String>>(&key).await.unwrap().is_some() {
            continue;
        }
        // The row is read when the query begins; what follows is a slow query, as any join or report is.
        let slow = f64::from(fastrand::u32(0..=SLOW_QUERY_MS)) / 1000.0;
        let sql = format!("select {balance} from {table}, pg_sleep({slow}) where {id} = {row}");
        let value = database.query(&sql).await.pop().expect("every row that is asked for is there");
        let () = cache.set(&key, value).await.unwrap();
        filled += 1;
    }
    filled
}

fn rows(name: &str) -> u32 {
    match name {
        "account" => HOT_ACCOUNTS,
        "branch" => SCALE,
        _ => 10 * SCALE,
    }
}
