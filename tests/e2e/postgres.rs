//! Proves the main job: no cached row differs from a busy PostgreSQL at the end, whatever is killed on the way.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quash_e2e::process::Process;
use quash_e2e::{Broker, Kind, Postgres, Quash, Queue, RedisServer, Session, Worker, eventually};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::scene::{LIMIT, config, on_every_broker};

/// 10 branches, 100 tellers, 1,000,000 accounts: few enough of the first two that many are changed again within a fill.
const SCALE: u32 = 10;
/// Accounts that readers ask for.
const HOT_ACCOUNTS: u32 = 500;
const READERS: u32 = 12;
/// How often each of them reads; without a pause they would take the processor from everybody else.
const READ_EVERY: Duration = Duration::from_millis(2);
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

/// What the database does, and what is killed meanwhile.
struct Trial {
    transactions: u32,
    /// Transactions a second at most, so that there is time to kill in.
    rate: u32,
    worker_kills: u32,
    broker_kills: u32,
}

/// Three changes each, and each of those is parked twice: 3,000 copies a second that come back, of 4,100 that RabbitMQ can
/// return on two processors.
const RATE: u32 = 500;
/// How long the broker may take for what has gathered when its last message is published.
const DRAINED_BY: Duration = Duration::from_secs(600);

/// As long as every change of the tree can afford.
const TRIAL: Trial = Trial { transactions: 10_000, rate: RATE, worker_kills: 5, broker_kills: 1 };
/// What `./test soak` runs: with the figures of the trial that a release must pass.
const SOAK: Trial = Trial { transactions: 100_000, rate: RATE, worker_kills: 25, broker_kills: 5 };

on_every_broker!(no_entry_differs_from_the_database_at_the_end);

async fn no_entry_differs_from_the_database_at_the_end(kind: Kind) {
    let trial = if std::env::var_os("QUASH_SOAK").is_some() { &SOAK } else { &TRIAL };
    let mut shop = Shop::open(kind, "again_after: [1s, 5s], ").await;
    let mut workers = [shop.quash.worker("one").await, shop.quash.worker("other").await];
    let readers = shop.readers().await;
    let took = shop.survive(trial, &mut workers).await;
    let filled = shop.finish(readers).await;

    let (checked, stale) = shop.compare().await;
    println!(
        "{}: {} transactions in {took:?}, workers killed {} times, the broker {} times, {filled} fills; \
         {} of {checked} entries stale",
        kind.name(),
        shop.transactions(),
        trial.worker_kills,
        trial.broker_kills,
        stale.len()
    );
    assert!(checked >= WARM, "the readers left {checked} entries to check");
    assert_eq!(stale, Vec::<String>::new(), "entries that differ from the database");
    assert_eq!(shop.queue.dead_letters().await, 0);
}

#[tokio::test]
async fn without_a_later_pass_the_race_of_plain_readers_is_what_remains() {
    let mut shop = Shop::open(Kind::RedisStreams, "").await;
    let _workers = [shop.quash.worker("one").await, shop.quash.worker("other").await];
    let readers = shop.readers().await;
    let begun = Instant::now();
    assert_eq!(shop.load(20_000, None).exit_code(Duration::from_secs(600)).await, 0, "pgbench");
    let took = begun.elapsed();
    let filled = shop.finish(readers).await;

    let (checked, stale) = shop.compare().await;
    println!(
        "control: 20,000 transactions in {took:?}, {filled} fills; the race alone left {} of {checked} entries stale",
        stale.len()
    );
    // How often the race happens is chance; that every event was handled is not.
    assert!(checked >= WARM, "the readers left {checked} entries to check");
    assert_eq!(shop.queue.dead_letters().await, 0);
}

/// A database under load, its changes on the way to a queue, and a cache that readers fill from it.
struct Shop {
    postgres: Postgres,
    cache: RedisServer,
    queue: Queue,
    quash: Quash,
    pipe: Pipe,
    closing: Arc<AtomicBool>,
    broker: Broker,
}

/// `pg_recvlogical … | quash publish --format wal2json -f -`
struct Pipe {
    receive: Process,
    publish: Process,
}

impl Shop {
    async fn open(kind: Kind, again_after: &str) -> Self {
        let (postgres, broker, cache) =
            (Postgres::start().await, Broker::start(kind).await, RedisServer::start().await);
        let scale = SCALE.to_string();
        postgres.pgbench_done(&["-i", "-q", "-s", &scale], LIMIT).await;
        postgres.psql("create table bell (id int primary key, rung int); insert into bell values (1, 0)");
        let queue = broker.queue();
        broker.settled_in(&queue).await;
        let quash = Quash::with(&config(&queue, &[("main", &cache)], &rules(again_after)));
        postgres.create_slot("quash");
        let pipe = Pipe::open(&postgres, &quash);
        Self { postgres, cache, queue, quash, pipe, closing: Arc::default(), broker }
    }

    async fn readers(&self) -> Vec<JoinHandle<u64>> {
        let cache = self.cache.connect().await;
        let reader = |_| tokio::spawn(read(self.postgres.session(), cache.clone(), self.closing.clone()));
        (0..READERS).map(reader).collect()
    }

    /// Starts the workload, at most so many transactions a second.
    fn load(&self, transactions: u32, rate: Option<u32>) -> Process {
        let clients = 4;
        let each = (transactions / clients).to_string();
        let rate = rate.map(|rate| format!("--rate={rate}"));
        let fixed = ["-n", "-c", &clients.to_string(), "-t", &each];
        self.postgres.pgbench(&fixed.into_iter().chain(rate.as_deref()).collect::<Vec<_>>())
    }

    /// How many transactions there were.
    fn transactions(&self) -> String {
        self.postgres.psql("select count(*) from pgbench_history")
    }

    /// Runs the workload, and kills workers and the broker meanwhile. Should a broker have taken so long to come back that
    /// the workload is at its end before everybody was killed, there is a bit more of it.
    async fn survive(&mut self, trial: &Trial, workers: &mut [Worker]) -> Duration {
        let mut load = self.load(trial.transactions, Some(trial.rate));
        let begun = Instant::now();
        let mut watcher = self.postgres.session();
        for (reached, victim) in victims(trial) {
            eventually(Duration::from_secs(600), "the database gets on", async || {
                let done = watcher.query("select count(*) from pgbench_history").await;
                done[0].parse::<u32>().unwrap() >= reached
            })
            .await;
            if load.ended().is_some() {
                assert_eq!(load.exit_code(LIMIT).await, 0, "pgbench");
                load = self.load(trial.transactions / 10, Some(trial.rate));
            }
            match victim {
                Victim::Broker => self.broker.restart().await,
                Victim::Worker => workers[fastrand::usize(..workers.len())].restart(),
            }
        }
        assert_eq!(load.exit_code(Duration::from_secs(600)).await, 0, "pgbench");
        begun.elapsed()
    }

    /// Waits until every change has arrived and is settled, while readers go on and fill the cache again; then closes the
    /// shop. Says how often readers filled the cache.
    async fn finish(&mut self, readers: Vec<JoinHandle<u64>>) -> u64 {
        self.ring_the_bell().await;
        self.queue.drained(DRAINED_BY).await;
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

/// Who is killed with signal 9 and started again.
#[derive(Clone, Copy)]
enum Victim {
    Worker,
    Broker,
}

/// Who is killed after how many transactions: in any order, at a moment by chance in each piece of the first nine tenths.
fn victims(trial: &Trial) -> Vec<(u32, Victim)> {
    let workers = (0..trial.worker_kills).map(|_| Victim::Worker);
    let mut all: Vec<_> = workers.chain((0..trial.broker_kills).map(|_| Victim::Broker)).collect();
    fastrand::shuffle(&mut all);
    let piece = trial.transactions * 9 / 10 / (trial.worker_kills + trial.broker_kills);
    (0..).zip(all).map(|(number, victim)| (number * piece + fastrand::u32(..piece), victim)).collect()
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
