//! Proves that readers are served nothing stale once everything is settled, whatever was killed while they loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quash_e2e::{
    Broker, Judgement, Kind, Oracle, Postgres, Quash, Queue, RedisServer, Session, Worker, becomes, eventually,
};
use quash_reader::{Cache, Caches};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::scene::{LIMIT, config};

/// So few things that each is changed while it is loaded, again and again.
const ITEMS: u32 = 40;
const READERS: u32 = 9;
/// What a load takes at most.
const SLOW_LOAD_MS: u32 = 40;
/// The caches: each item has an entry in each of them.
const CACHES: [&str; 3] = ["leased", "served", "tagged"];

/// What is killed, how often, and how many changes there are in between.
struct Trial {
    rounds: usize,
    changes: u64,
}

const TRIAL: Trial = Trial { rounds: 6, changes: 40 };
/// What `./test long freshness` runs.
const LONG: Trial = Trial { rounds: 60, changes: 300 };

#[tokio::test]
async fn readers_are_served_nothing_stale_whatever_was_killed_while_they_loaded() {
    let trial = if std::env::var_os("QUASH_LONG").is_some() { &LONG } else { &TRIAL };
    let mut shop = Shop::open(Kind::RedisStreams).await;
    let mut worker = shop.quash.worker("alone").await;
    let (readers, writer) = (shop.readers(), shop.writer());
    let survive = async {
        shop.survive(trial, &mut worker).await;
        shop.closing.store(true, Ordering::Relaxed);
    };
    tokio::join!(writer, survive);
    let mut loads = 0;
    for reader in readers {
        loads += reader.await.unwrap();
    }
    shop.queue.drained(LIMIT).await;
    becomes(LIMIT, "no entry is stale any more", Vec::<String>::new(), async || shop.judge().await.stale).await;

    // Everything is read once more; then each entry is there, and each is true.
    assert_eq!(shop.read_all().await, Vec::<String>::new(), "what readers are served that is not true");
    let judged = shop.judge().await;
    println!(
        "{} changes, {loads} loads, {} kills, {} entries",
        shop.oracle.confirmations(),
        trial.rounds,
        judged.served.len()
    );
    let every = CACHES.len() * ITEMS as usize;
    assert_eq!((judged.served.len(), judged.stale.len(), judged.excused.len()), (every, 0, 0));
    assert!(loads >= every as u64, "readers loaded {loads} times");
    assert_eq!(shop.queue.dead_letters().await, 0);
    assert_eq!(shop.verify(0).await, (every as u64, Vec::new()), "quash verify agrees");

    // Both see what no event told of.
    shop.session.query("update item set v = v + 1 where id in (3, 5)").await;
    let told: Vec<String> = CACHES.iter().flat_map(|cache| [3, 5].map(|id| format!("{cache}:{id}"))).collect();
    let judged = shop.judge().await;
    let keys: Vec<&str> = judged.stale.iter().map(|stale| stale.rsplit_once(": {").unwrap().0).collect();
    assert_eq!(keys, told);
    assert_eq!(shop.verify(1).await, (every as u64 - 6, told));
}

/// A database, a queue, and a cache that comes back with an old snapshot.
struct Shop {
    postgres: Postgres,
    session: Session,
    broker: Broker,
    queue: Arc<Queue>,
    cache: RedisServer,
    quash: Quash,
    oracle: Arc<Oracle>,
    changes: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
}

impl Shop {
    async fn open(kind: Kind) -> Self {
        let (postgres, broker) = (Postgres::start().await, Broker::start(kind).await);
        let cache = RedisServer::with(&["--save", "86400 1000000000", "--appendonly", "no"]).await;
        postgres.psql(&format!(
            "create table item (id int primary key, v int); insert into item select id, 0 from generate_series(1, {ITEMS}) id"
        ));
        let queue = broker.queue();
        broker.settled_in(&queue).await;
        let quash = Quash::with(&config(&queue, &[("main", &cache)], &rules(&postgres)));
        let session = postgres.session();
        let (oracle, changes, closing) = Default::default();
        Self { postgres, session, broker, queue: Arc::new(queue), cache, quash, oracle, changes, closing }
    }

    /// Kills by turns the worker, the broker and the cache, which comes back as it was a while ago, old leases among it.
    async fn survive(&mut self, trial: &Trial, worker: &mut Worker) {
        for round in 0..trial.rounds {
            let () = redis::cmd("SAVE").query_async(&mut self.cache.connect().await).await.unwrap();
            self.changed(trial.changes).await;
            match round % 3 {
                0 => self.cache.restart().await,
                1 => worker.restart(),
                _ => self.broker.restart().await,
            }
        }
        self.changed(trial.changes).await;
    }

    /// Waits until there were so many more changes.
    async fn changed(&self, more: u64) {
        let until = self.changes.load(Ordering::Relaxed) + more;
        eventually(LIMIT, "things change", async || self.changes.load(Ordering::Relaxed) >= until).await;
    }

    fn caches(&self) -> Vec<(&'static str, Cache<Value>)> {
        let client = redis::Client::open(self.cache.url(0)).unwrap();
        let caches = Caches::builder().config(self.quash.config()).redis(client).build().unwrap();
        CACHES.map(|name| (name, caches.cache(name).unwrap())).to_vec()
    }

    /// Reads each entry of each cache; which of them are not true.
    async fn read_all(&self) -> Vec<String> {
        let (truth, database, mut wrong) = (self.truth(), connect(&self.postgres.url()).await, Vec::new());
        for (name, cache) in self.caches() {
            for id in 1..=ITEMS {
                let database = Arc::clone(&database);
                let load = move |_| load(Arc::clone(&database), format!("select v from item where id = {id}"));
                let value = cache.key(id).stale_ok(false).get_or_load(load).await.unwrap();
                if *value != truth[id as usize - 1] {
                    wrong.push(format!("{name}:{id}: {value}"));
                }
            }
        }
        wrong
    }

    fn readers(&self) -> Vec<JoinHandle<u64>> {
        let reader = |_| tokio::spawn(read(self.caches(), self.postgres.url(), Arc::clone(&self.closing)));
        (0..READERS).map(reader).collect()
    }

    /// Changes things and tells of it, until the shop closes.
    fn writer(&self) -> impl Future<Output = ()> + use<> {
        let (mut session, queue, oracle) = (self.postgres.session(), Arc::clone(&self.queue), Arc::clone(&self.oracle));
        let (changes, closing) = (Arc::clone(&self.changes), Arc::clone(&self.closing));
        async move {
            while !closing.load(Ordering::Relaxed) {
                let id = fastrand::u32(1..=ITEMS);
                let told = session.query(&format!("update item set v = v + 1 where id = {id} returning v")).await;
                let (thing, version) = (format!("item:{id}"), told[0].parse().unwrap());
                oracle.changed(&thing, version);
                let row = json!({ "id": id });
                let event = json!({ "id": format!("{thing}@{version}"), "entity": "shop.Item", "op": "update",
                                    "key": row, "before": row, "after": row });
                queue.publish([event.to_string()]).await;
                oracle.confirmed(&thing, version);
                changes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn judge(&self) -> Judgement {
        let truth = self.truth();
        let entries: Vec<_> = CACHES
            .iter()
            .flat_map(|cache| (1..=ITEMS).map(move |id| (*cache, id)))
            .map(|(cache, id)| {
                let tags = if cache == "tagged" { vec![format!("tag:{id}")] } else { Vec::new() };
                (format!("{cache}:{id}"), tags, format!("item:{id}"), truth[id as usize - 1].clone())
            })
            .collect();
        self.oracle.judge(&self.cache, &entries, &self.quash.dead_letters().await).await
    }

    fn truth(&self) -> Vec<Value> {
        let rows = self.postgres.psql("select v from item order by id");
        rows.lines().map(|v| json!({ "v": v.parse::<u64>().unwrap() })).collect()
    }

    /// What `quash verify` says: how many are fresh, and which are stale.
    async fn verify(&self, code: i32) -> (u64, Vec<String>) {
        let ran = self.quash.run(&["verify", "--once", "-o", "json", "-n", "100000", "--within", "1s"]).await;
        let ran = ran.ended_with(code);
        let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let fresh = lines.iter().filter_map(|line| line["count"]["outcomes"]["fresh"].as_u64()).sum();
        let stale = lines.iter().filter_map(|line| line["violation"]["key"].as_str());
        let mut stale: Vec<String> = stale.map(str::to_owned).collect();
        stale.sort_by_key(|key| (CACHES.iter().position(|cache| key.starts_with(cache)), key.clone()));
        stale.dedup();
        (fresh, stale)
    }
}

fn rules(postgres: &Postgres) -> String {
    let cache = |name: &str, mode: &str| {
        format!(
            "  {name}: {{ key: \"{name}:{{id}}\", types: {{ id: int }}, {mode}, depends_on: [ {{ row: shop.Item }} ], \
             truth: {{ sql: {{ server: shop, query: \"SELECT v FROM item WHERE id = {{id}}\" }} }} }}\n"
        )
    };
    format!(
        "servers: {{ shop: {{ postgres: {{ url: \"{}\" }} }} }}\ncaches:\n{}{}{}",
        postgres.url(),
        cache("leased", "freshness: lease"),
        cache("served", "freshness: lease, stale: 1s"),
        cache("tagged", "freshness: generation, tags: [\"tag:{id}\"]"),
    )
}

/// Reads entries by chance until the shop closes. Says how often it loaded.
async fn read(caches: Vec<(&'static str, Cache<Value>)>, url: String, closing: Arc<AtomicBool>) -> u64 {
    let (database, loads) = (connect(&url).await, Arc::new(AtomicU64::new(0)));
    while !closing.load(Ordering::Relaxed) {
        let (_, cache) = &caches[fastrand::usize(..caches.len())];
        let (id, loads, database) = (fastrand::u32(1..=ITEMS), Arc::clone(&loads), Arc::clone(&database));
        let select = move |_| {
            loads.fetch_add(1, Ordering::Relaxed);
            let slow = f64::from(fastrand::u32(0..=SLOW_LOAD_MS)) / 1000.0;
            // The row is read when the statement begins.
            load(Arc::clone(&database), format!("select v from item, pg_sleep({slow}) where id = {id}"))
        };
        let _value = cache.key(id).get_or_load(select).await.unwrap();
    }
    loads.load(Ordering::Relaxed)
}

async fn connect(url: &str) -> Arc<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    Arc::new(client)
}

async fn load(database: Arc<Client>, select: String) -> Result<Value, tokio_postgres::Error> {
    let v: i32 = database.query_one(&select, &[]).await?.get(0);
    Ok(json!({ "v": v }))
}
