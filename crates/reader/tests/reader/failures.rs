//! Shows that a failed load leaves nothing behind, and that a cache that cannot be asked costs its callers little.

use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quash_reader::freshness::{Filled, Tag, Taken, Token, Want};
use quash_reader::{Error, Event, Load, Miss, Options, Store, StoreError};
use tokio::sync::Notify;

use crate::scene::{Scene, gives, options, over};

async fn fails() -> Result<String, IoError> {
    Err(IoError::other("the database is away"))
}

async fn is_free(scene: &Scene) {
    let free = async || scene.store.bytes("product:1").is_none();
    quash_e2e::eventually(Duration::from_secs(5), "the lease is given up", free).await;
}

#[tokio::test]
async fn a_load_that_fails_gives_its_lease_up_and_tells_who_waits() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let error = products.key(1).get_or_load(|_| fails()).await.unwrap_err();
    assert_eq!(error.to_string(), "the load failed: the database is away");
    assert!(error.load::<IoError>().is_some());
    is_free(&scene).await;
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::LoadFailed]);
}

#[tokio::test]
async fn a_load_that_panics_or_is_dropped_gives_its_lease_up() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let panicking = {
        let products = products.clone();
        let panics = |_: Load<String>| async { if true { panic!("on purpose") } else { gives("").await } };
        tokio::spawn(async move { products.key(1).get_or_load(panics).await })
    };
    assert!(panicking.await.unwrap_err().is_panic());
    is_free(&scene).await;

    let begun = Arc::new(Notify::new());
    let notified = Arc::clone(&begun);
    let endless = move |_| {
        notified.notify_one();
        std::future::pending::<Result<String, IoError>>()
    };
    let dropped = tokio::spawn(async move { products.key(1).get_or_load(endless).await });
    begun.notified().await;
    assert!(scene.store.bytes("product:1").is_some());
    dropped.abort();
    is_free(&scene).await;
}

#[tokio::test]
async fn a_detached_load_goes_on_when_its_caller_is_gone() {
    let scene = Scene::new();
    let products = scene.products(options(|options| options.detach = true));
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (notified, ends) = (Arc::clone(&begun), Arc::clone(&end));
    let load = move |_| {
        let ends = Arc::clone(&ends);
        notified.notify_one();
        async move {
            ends.notified().await;
            gives("kept").await
        }
    };
    let caller = tokio::spawn(async move { products.key(1).get_or_load(load).await });
    begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    end.notify_one();
    let stored = || scene.store.bytes("product:1").is_some_and(|bytes| bytes.ends_with(b"kept\""));
    quash_e2e::eventually(Duration::from_secs(5), "it is stored", async || stored()).await;
}

/// A server that is away, and counts who asks.
#[derive(Default)]
struct Away(AtomicU32);

impl Away {
    fn fail<T>(&self) -> Result<T, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::new("ask", "it is away"))
    }
}

#[async_trait]
impl Store for Away {
    async fn get(&self, _: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.fail()
    }
    async fn ask(&self, _: &str, _: Token, _: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.fail()
    }
    async fn take(&self, _: &str, _: Token, _: Duration, _: Want) -> Result<Taken, StoreError> {
        self.fail()
    }
    async fn fill(&self, _: &str, _: Token, _: u64, _: Duration, _: &[u8]) -> Result<Filled, StoreError> {
        self.fail()
    }
    async fn drop_lease(&self, _: &str, _: Token) -> Result<bool, StoreError> {
        self.fail()
    }
    async fn make_tag(&self, _: &str, _: Tag) -> Result<Option<Tag>, StoreError> {
        self.fail()
    }
    async fn renew_tag(&self, _: &str, _: Tag) -> Result<(), StoreError> {
        self.fail()
    }
    async fn set(&self, _: &str, _: &[u8], _: Duration) -> Result<(), StoreError> {
        self.fail()
    }
    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        self.fail()
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_away_is_asked_once_a_second_and_never_an_error() {
    let (away, events) = (Arc::new(Away::default()), Arc::default());
    let products = over(Arc::clone(&away) as Arc<dyn Store>, &events, Options::default()).cache("product").unwrap();
    for _ in 0..10 {
        assert_eq!(*products.key(1).get_or_load(|_| gives("loaded")).await.unwrap(), "loaded");
    }
    assert_eq!(away.0.load(Ordering::SeqCst), 1);
    assert_eq!(events.take(), [[Event::RedisFailed, Event::Miss(Miss::Absent)]; 10].concat());
    tokio::time::advance(Duration::from_millis(1_001)).await;
    let values = products.many([1, 2]).get_or_load(|ids: Vec<i32>| async move {
        Ok::<_, IoError>(ids.into_iter().map(|id| (id, format!("of {id}"))).collect::<Vec<_>>())
    });
    assert_eq!(values.await.unwrap().len(), 2);
    assert_eq!(away.0.load(Ordering::SeqCst), 2);
    assert!(matches!(products.key(1).remove().await, Err(Error::Store(_))), "this must not pass in silence");
}
