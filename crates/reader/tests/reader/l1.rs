//! Shows that copies in a process are served only while the server tells of every change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use quash_e2e::{ChaosProxy, Mode, RedisServer, eventually};
use quash_reader::freshness::Tag;
use quash_reader::{Cache, Caches, L1, RedisStore, Source, Store};

use crate::scene::CONFIG;

const LIMIT: Duration = Duration::from_secs(20);

/// A process with a copy, whose messages come through a proxy, beside another one that changes things.
struct Scene {
    pages: Cache<u64>,
    other: RedisStore,
    proxy: ChaosProxy,
    /// What loads give.
    row: Arc<AtomicU64>,
    _server: RedisServer,
}

impl Scene {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = ChaosProxy::before(&server.address()).await;
        let client = |address: &str| redis::Client::open(format!("redis://{address}/0")).unwrap();
        let builder = Caches::builder().config_text(CONFIG).redis(client(&server.address()));
        let caches = builder.l1(L1::moka(100).client(client(&proxy.address()))).build().unwrap();
        let other = RedisStore::new(client(&server.address()));
        Self { pages: caches.cache("page").unwrap(), other, proxy, row: Arc::default(), _server: server }
    }

    async fn read(&self) -> (u64, Source) {
        let row = Arc::clone(&self.row);
        let load = move |_| {
            let row = row.load(SeqCst);
            async move { Ok::<_, std::io::Error>(row) }
        };
        let read = self.pages.key((3, 1)).get_or_load_with(load).await.unwrap();
        (*read.value.unwrap(), read.from)
    }

    /// Reads until it is from the copy.
    async fn is_kept(&self) {
        eventually(LIMIT, "it is served from the process", async || self.read().await.1 == Source::L1).await;
    }

    async fn is_fresh(&self, why: &str) {
        eventually(LIMIT, why, async || self.read().await.0 == self.row.load(SeqCst)).await;
    }
}

#[tokio::test]
async fn a_change_of_a_key_or_of_a_tag_ends_the_copy() {
    let scene = Scene::start().await;
    scene.is_kept().await;
    for row in 1..4 {
        scene.row.store(row, SeqCst);
        if row % 2 == 0 {
            scene.other.renew_tag("author:3", Tag::from_random(row << 8)).await.unwrap();
        } else {
            scene.other.remove("page:3:1").await.unwrap();
        }
        scene.is_fresh("the copy ends").await;
        scene.is_kept().await;
    }
    // Of what the process itself removes nobody has to tell it.
    scene.row.store(9, SeqCst);
    scene.pages.key((3, 1)).remove().await.unwrap();
    assert_eq!(scene.read().await, (9, Source::Loaded));
}

#[tokio::test]
async fn nothing_is_served_from_a_copy_that_nobody_tells_of_changes() {
    let scene = Scene::start().await;
    scene.is_kept().await;
    for (row, mode) in [(1, Mode::Cut), (2, Mode::BlackHole)] {
        scene.proxy.set(mode);
        scene.row.store(row, SeqCst);
        scene.other.remove("page:3:1").await.unwrap();
        scene.is_fresh("the copy ends with its connection").await;
        for _ in 0..20 {
            assert_ne!(scene.read().await.1, Source::L1);
        }
        scene.proxy.set(Mode::Pass);
        scene.is_kept().await;
        assert_eq!(scene.read().await.0, row);
    }
}
