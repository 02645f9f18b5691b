//! Races readers, a writer and a worker on a real Redis: plain readers leave entries that are stale for good, these none.

use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use quash_e2e::{RedisServer, eventually};
use quash_reader::freshness::Tag;
use quash_reader::freshness::scripts::{VOID, version_arg};
use quash_reader::{Cache, Caches, L1, Source};
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use crate::scene::CONFIG;

const READERS: usize = 12;
/// So few that each is asked for all the time.
const KEYS: usize = 8;
const WRITES: u64 = 500;

/// How entries are read and made stale.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// Get, load, set; `UNLINK`.
    Plain,
    /// With leases; `UNLINK`.
    Lease,
    /// With leases and tags; `UNLINK` or another tag by turns.
    LeaseAndTags,
    /// With tags alone; another tag.
    Generation,
    /// With leases; old values are served while one loads.
    Stale,
    /// With leases, and copies in each process.
    L1,
}

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(30);
/// What a message of the server to a process may take on a busy machine.
const MESSAGE: Duration = Duration::from_millis(250);

/// A database of counters, and what is settled of them.
struct World {
    rows: Vec<AtomicU64>,
    settled: Vec<AtomicU64>,
    is_over: AtomicBool,
    hits: AtomicU64,
    /// Of these, from copies.
    l1_hits: AtomicU64,
    /// Hits older than what was settled before they were asked for.
    stale_hits: AtomicU64,
}

impl World {
    /// A load: it reads, and takes a while to come back with it.
    async fn load(self: Arc<Self>, key: usize) -> Result<u64, IoError> {
        let row = self.rows[key].load(SeqCst);
        let micros = if fastrand::u8(..10) == 0 { 15_000..45_000 } else { 500..4_500 };
        sleep(Duration::from_micros(fastrand::u64(micros))).await;
        Ok(row)
    }

    fn hit(&self, served: u64, settled_before: u64) {
        self.hits.fetch_add(1, SeqCst);
        self.stale_hits.fetch_add(u64::from(served < settled_before), SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_leave_nothing_stale_where_plain_ones_do() {
    let server = RedisServer::start().await;
    let plain = race(&server, Mode::Plain).await;
    assert!(plain.stale > 0, "the control shows no race: {plain:?}");
    for mode in [Mode::Lease, Mode::LeaseAndTags, Mode::Generation, Mode::Stale, Mode::L1] {
        let raced = race(&server, mode).await;
        assert_eq!(raced.stale, 0, "{mode:?}: {raced:?}, where plain readers had {plain:?}");
        assert!(raced.hits > WRITES / 5, "{mode:?} caches nothing: {raced:?}");
        assert_eq!(raced.l1_hits > 0, mode == Mode::L1, "{mode:?}: {raced:?}");
    }
}

#[derive(Debug)]
struct Raced {
    hits: u64,
    l1_hits: u64,
    stale: u64,
}

async fn race(server: &RedisServer, mode: Mode) -> Raced {
    let counters = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let world = Arc::new(World {
        rows: counters(),
        settled: counters(),
        is_over: AtomicBool::new(false),
        hits: AtomicU64::new(0),
        l1_hits: AtomicU64::new(0),
        stale_hits: AtomicU64::new(0),
    });
    let connection = server.connect().await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection.clone()).await.unwrap();
    let processes: Vec<Cache<u64>> = (0..3).map(|_| readers(server, mode)).collect();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (world, cache) = (Arc::clone(&world), processes[reader % processes.len()].clone());
            let connection = connection.clone();
            tokio::spawn(async move {
                while !world.is_over.load(SeqCst) {
                    read(&world, mode, &cache, connection.clone()).await;
                    sleep(Duration::from_micros(fastrand::u64(100..500))).await;
                }
            })
        })
        .collect();
    write(&world, mode, &connection).await;
    for reader in readers {
        reader.await.unwrap();
    }
    let raced = Raced {
        hits: world.hits.load(SeqCst),
        l1_hits: world.l1_hits.load(SeqCst),
        stale: world.stale_hits.load(SeqCst),
    };
    eprintln!("{mode:?}: {raced:?} in {WRITES} writes");
    raced
}

fn readers(server: &RedisServer, mode: Mode) -> Cache<u64> {
    let client = redis::Client::open(server.url(0)).unwrap();
    let builder = Caches::builder().config_text(CONFIG).redis(client);
    let builder = if mode == Mode::L1 { builder.l1(L1::moka(1_000)) } else { builder };
    let caches = builder.build().unwrap();
    let name = match mode {
        Mode::LeaseAndTags => "page",
        Mode::Generation => "list",
        Mode::Plain | Mode::Lease | Mode::Stale | Mode::L1 => "product",
    };
    caches.cache(name).unwrap()
}

async fn read(world: &Arc<World>, mode: Mode, cache: &Cache<u64>, mut connection: MultiplexedConnection) {
    let key = fastrand::usize(..KEYS);
    let settled_before = world.settled[key].load(SeqCst);
    if mode == Mode::Plain {
        let name = format!("product:{key}");
        let served: Option<u64> = redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
        if let Some(served) = served {
            return world.hit(served, settled_before);
        }
        let loaded = Arc::clone(world).load(key).await.unwrap();
        return redis::cmd("SET")
            .arg(name)
            .arg(loaded)
            .arg("PX")
            .arg(600_000)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    let entry = if cache.name() == "product" { cache.key(key as u64) } else { cache.key((key as u64, 1)) };
    let loading = Arc::clone(world);
    let served = entry.get_or_load_with(move |_| Arc::clone(&loading).load(key)).await.unwrap();
    if served.from == Source::L1 {
        world.l1_hits.fetch_add(1, SeqCst);
    }
    if matches!(served.from, Source::Redis | Source::L1) {
        world.hit(*served.value.unwrap(), settled_before);
    }
}

/// Writes, and makes stale what depends on it a while later, as a worker does.
async fn write(world: &Arc<World>, mode: Mode, connection: &MultiplexedConnection) {
    let mut events = Vec::new();
    for number in 0..WRITES {
        let key = fastrand::usize(..KEYS);
        let version = world.rows[key].fetch_add(1, SeqCst) + 1;
        let (world, connection) = (Arc::clone(world), connection.clone());
        events.push(tokio::spawn(async move {
            sleep(Duration::from_micros(fastrand::u64(1_000..6_000))).await;
            make_stale(mode, key, number, connection).await;
            if mode == Mode::L1 {
                sleep(MESSAGE).await;
            }
            world.settled[key].fetch_max(version, SeqCst);
        }));
        sleep(Duration::from_micros(fastrand::u64(1_000..5_000))).await;
    }
    for event in events {
        event.await.unwrap();
    }
    // What is stale for good is served now at the latest: every key is asked for some times more.
    let enough = world.hits.load(SeqCst) + 20 * KEYS as u64;
    eventually(LIMIT, "entries are hit", async || world.hits.load(SeqCst) >= enough).await;
    world.is_over.store(true, SeqCst);
}

async fn make_stale(mode: Mode, key: usize, number: u64, mut connection: MultiplexedConnection) {
    let mut renew = redis::cmd("SET");
    renew.arg(format!("author:{key}")).arg(Tag::from_random(fastrand::u64(..)).to_string()).arg("XX").arg("KEEPTTL");
    let command = match mode {
        Mode::Generation => renew,
        Mode::LeaseAndTags if number.is_multiple_of(2) => renew,
        Mode::LeaseAndTags => unlink(&format!("page:{key}:1")),
        Mode::Plain | Mode::Lease | Mode::L1 => unlink(&format!("product:{key}")),
        Mode::Stale => {
            let mut void = redis::cmd("EVAL");
            void.arg(VOID.text).arg(1).arg(format!("product:{key}")).arg(&version_arg(0)).arg(0).arg(30_000);
            void
        }
    };
    let _: redis::Value = command.query_async(&mut connection).await.unwrap();
}

fn unlink(key: &str) -> redis::Cmd {
    let mut command = redis::cmd("UNLINK");
    command.arg(key);
    command
}
