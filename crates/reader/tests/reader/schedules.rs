//! Runs readers of two processes, a writer, a worker and evictions in random order, over a store in memory.

use std::io::Error as IoError;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quash_reader::freshness::{Filled, Tag, Taken, Token, Want};
use quash_reader::{Cache, MemoryStore, Options, Source, Store, StoreError};
use tokio::task::yield_now;

use crate::scene::over;

const SCHEDULES: u64 = 150;

/// How entries are read and made stale.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Lease,
    LeaseAndTags,
    Generation,
    Stale,
    /// Leases whose fills compare nothing.
    Broken,
}

/// A store each of whose answers takes a random while.
struct Scrambled {
    store: MemoryStore,
    chance: Mutex<fastrand::Rng>,
    is_broken: bool,
}

impl Scrambled {
    fn below(&self, end: u64) -> u64 {
        self.chance.lock().unwrap().u64(..end)
    }

    async fn pause(&self) {
        for _ in 0..self.below(4) {
            yield_now().await;
        }
    }

    async fn between<T>(&self, asked: impl Future<Output = T>) -> T {
        self.pause().await;
        let answer = asked.await;
        self.pause().await;
        answer
    }
}

#[async_trait]
impl Store for Scrambled {
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.between(self.store.get(keys)).await
    }
    async fn ask(&self, key: &str, token: Token, lease: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.between(self.store.ask(key, token, lease)).await
    }
    async fn take(&self, key: &str, token: Token, lease: Duration, want: Want) -> Result<Taken, StoreError> {
        self.between(self.store.take(key, token, lease, want)).await
    }
    async fn fill(&self, key: &str, token: Token, of: u64, ttl: Duration, entry: &[u8]) -> Result<Filled, StoreError> {
        if self.is_broken {
            self.between(self.store.set(key, entry, ttl)).await?;
            return Ok(Filled::Stored);
        }
        self.between(self.store.fill(key, token, of, ttl, entry)).await
    }
    async fn drop_lease(&self, key: &str, token: Token) -> Result<bool, StoreError> {
        self.between(self.store.drop_lease(key, token)).await
    }
    async fn make_tag(&self, tag: &str, token: Tag) -> Result<Option<Tag>, StoreError> {
        self.between(self.store.make_tag(tag, token)).await
    }
    async fn renew_tag(&self, tag: &str, token: Tag) -> Result<(), StoreError> {
        self.between(self.store.renew_tag(tag, token)).await
    }
    async fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<(), StoreError> {
        self.between(self.store.set(key, bytes, ttl)).await
    }
    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.between(self.store.remove(key)).await
    }
}

/// One row of a database, and what is settled of it.
struct World {
    store: Arc<Scrambled>,
    row: AtomicU64,
    settled: AtomicU64,
    stale: AtomicU64,
    hits: AtomicU64,
}

#[test]
fn in_no_order_is_anything_served_that_is_older_than_what_was_settled() {
    for mode in [Mode::Lease, Mode::LeaseAndTags, Mode::Generation, Mode::Stale] {
        let (stale, hits) = run(mode);
        assert_eq!(stale, 0, "{mode:?}");
        assert!(hits > SCHEDULES, "{mode:?} caches nothing: {hits} hits");
    }
    let (stale, _) = run(Mode::Broken);
    eprintln!("{stale} stale reads where fills compare nothing");
    assert!(stale > 0, "these orders do not show what a fill that compares nothing does");
}

/// How many reads were stale, and how many were hits, in all schedules.
fn run(mode: Mode) -> (u64, u64) {
    let (mut stale, mut hits) = (0, 0);
    for seed in 0..SCHEDULES {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let world = runtime.block_on(schedule(mode, seed));
        stale += world.stale.load(SeqCst);
        hits += world.hits.load(SeqCst);
    }
    (stale, hits)
}

async fn schedule(mode: Mode, seed: u64) -> Arc<World> {
    let chance = Mutex::new(fastrand::Rng::with_seed(seed));
    let store = Arc::new(Scrambled { store: MemoryStore::at(|| 1_000), chance, is_broken: mode == Mode::Broken });
    let counter = || AtomicU64::new(0);
    let (row, settled, stale, hits) = (counter(), counter(), counter(), counter());
    let world = Arc::new(World { store: Arc::clone(&store), row, settled, stale, hits });
    let name = match mode {
        Mode::LeaseAndTags => "page",
        Mode::Generation => "list",
        Mode::Lease | Mode::Stale | Mode::Broken => "product",
    };
    let mut tasks = Vec::new();
    for reader in 0..2 {
        let caches = over(Arc::clone(&store) as Arc<dyn Store>, &Arc::default(), Options::default());
        let first: Cache<u64> = caches.cache(name).unwrap();
        let world = Arc::clone(&world);
        // Four callers in each process.
        for _ in 0..4 {
            let (cache, world) = (first.clone(), Arc::clone(&world));
            tasks.push(tokio::spawn(async move {
                for _ in 0..3 {
                    read(&world, &cache, reader % 2 == 0).await;
                }
            }));
        }
    }
    tasks.push(tokio::spawn(write(Arc::clone(&world), mode)));
    for task in tasks {
        task.await.unwrap();
    }
    world
}

async fn read(world: &Arc<World>, cache: &Cache<u64>, waits: bool) {
    world.store.pause().await;
    let settled = world.settled.load(SeqCst);
    let entry = if cache.name() == "product" { cache.key(1) } else { cache.key((3, 1)) };
    let entry = if waits { entry } else { entry.wait(Duration::ZERO) };
    let loading = Arc::clone(world);
    let load = move |_| {
        let world = Arc::clone(&loading);
        async move {
            world.store.pause().await;
            let row = world.row.load(SeqCst);
            for _ in 0..3 {
                world.store.pause().await;
            }
            Ok::<_, IoError>(row)
        }
    };
    let read = entry.get_or_load_with(load).await.unwrap();
    let is_stale = read.from != Source::Stale && *read.value.unwrap() < settled;
    world.stale.fetch_add(u64::from(is_stale), SeqCst);
    world.hits.fetch_add(u64::from(read.from == Source::Redis), SeqCst);
}

async fn write(world: Arc<World>, mode: Mode) {
    let store = &world.store.store;
    for _ in 0..4 {
        for _ in 0..world.store.below(6) {
            world.store.pause().await;
        }
        let row = world.row.fetch_add(1, SeqCst) + 1;
        world.store.pause().await;
        let token = Tag::from_random(world.store.below(u64::MAX));
        match mode {
            Mode::Generation => store.renew_tag("author:3", token).await.unwrap(),
            Mode::LeaseAndTags if row.is_multiple_of(2) => store.renew_tag("pages", token).await.unwrap(),
            Mode::LeaseAndTags => drop(store.evict("page:3:1")),
            Mode::Stale => drop(store.void("product:1", 0, 0, 30_000)),
            Mode::Lease | Mode::Broken => drop(store.evict("product:1")),
        }
        world.settled.fetch_max(row, SeqCst);
        if world.store.below(3) == 0 {
            let keys = ["product:1", "page:3:1", "list:3:1", "author:3", "pages"];
            store.evict(keys[usize::try_from(world.store.below(5)).unwrap()]);
        }
    }
}
