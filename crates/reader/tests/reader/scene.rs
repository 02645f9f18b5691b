//! Builds readers over a store in memory, and writes down what happens to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_reader::{Cache, Caches, Event, MemoryStore, Observer, Options, Store};

/// The caches of the tests.
pub(crate) const CONFIG: &str = r#"
version: 1
targets: { main: { redis: { url: "${NOT_ASKED_FOR:-redis://nowhere}" } } }
caches:
  product: { key: "product:{id}", freshness: lease, types: { id: int }, depends_on: [ { row: shop.Product } ] }
  page: { key: "page:{author}:{number}", tags: ["author:{author}", "pages"], freshness: lease, depends_on: [ { row: shop.Book } ] }
  list:
    { key: "list:{author}:{number}", tags: ["author:{author}", "pages"], freshness: generation, depends_on: [ { row: shop.Book } ] }
  plain: { key: "plain:{id}", freshness: lease, layout: plain, lease: 3s, depends_on: [ { row: shop.Product } ] }
"#;

/// Readers over a store in memory, by a clock that stands still unless a test lets time pass.
pub(crate) struct Scene {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) events: Arc<Events>,
    now_ms: Arc<AtomicU64>,
}

/// What happened, in order.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn on(&self, _cache: &str, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    /// What happened since this was asked last.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&now_ms);
        let store = Arc::new(MemoryStore::at(move || clock.load(Ordering::SeqCst)));
        Self { store, events: Arc::default(), now_ms }
    }

    /// Lets time pass for the store.
    pub(crate) fn pass(&self, time: Duration) {
        self.now_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The readers of one process.
    pub(crate) fn caches(&self, options: Options) -> Caches {
        over(Arc::clone(&self.store) as Arc<dyn Store>, &self.events, options)
    }

    /// The readers of a process that reads products.
    pub(crate) fn products(&self, options: Options) -> Cache<String> {
        self.caches(options).cache("product").unwrap()
    }
}

/// Readers over a store.
pub(crate) fn over(store: Arc<dyn Store>, events: &Arc<Events>, options: Options) -> Caches {
    let observer = Arc::clone(events) as Arc<dyn Observer>;
    Caches::builder().config_text(CONFIG).store(store).observer(observer).defaults(options).build().unwrap()
}

/// Options that differ from the defaults by this.
pub(crate) fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A load that gives this.
pub(crate) async fn gives(value: &str) -> Result<String, std::io::Error> {
    Ok(value.to_owned())
}
