//! Shows that nothing stale is stored, and what is stored, served and refreshed.

use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quash_reader::freshness::{HOLD, Tag};
use quash_reader::{Event, Foreign, Loaded, Miss, Options, Refused, Source, Store, Tier};

use crate::scene::{Scene, gives, options};

const HIT: Event = Event::Hit(Tier::Redis);

#[tokio::test]
async fn a_value_is_loaded_and_then_served() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let first = products.key((42,)).get_or_load_with(|_| gives("one")).await.unwrap();
    let second = products.key(42).get_or_load_with(|_| gives("two")).await.unwrap();
    assert_eq!((first.value.unwrap().as_str(), first.from), ("one", Source::Loaded));
    assert_eq!((second.value.unwrap().as_str(), second.from), ("one", Source::Redis));
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::Stored, HIT]);
    assert_eq!(scene.store.left_ms("product:42"), 600_000);
}

#[tokio::test]
async fn what_is_removed_while_it_loads_is_not_stored() {
    let scene = Scene::new();
    let (products, store) = (scene.products(Options::default()), Arc::clone(&scene.store));
    let removing = move |_| {
        store.evict("product:1");
        gives("old")
    };
    assert_eq!(*products.key(1).get_or_load(removing).await.unwrap(), "old");
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::Refused(Refused::Voided)]);
    assert_eq!(*products.key(1).get_or_load(|_| gives("new")).await.unwrap(), "new");
    assert_eq!(scene.store.bytes("product:1").map(|bytes| bytes.ends_with(b"new\"")), Some(true));
}

#[tokio::test]
async fn a_tag_that_is_renewed_makes_its_entries_stale_also_those_that_are_loading() {
    for cache in ["page", "list"] {
        let scene = Scene::new();
        let pages = scene.caches(Options::default()).cache::<String>(cache).unwrap();
        let read = |value: &'static str| pages.key((3, "a")).get_or_load(move |_| gives(value));
        assert_eq!(*read("one").await.unwrap(), "one");
        scene.store.renew_tag("pages", Tag::from_random(4)).await.unwrap();
        scene.events.take();
        let store = Arc::clone(&scene.store);
        let renewing = move |_| {
            let store = Arc::clone(&store);
            async move {
                store.renew_tag("author:3", Tag::from_random(8)).await.unwrap();
                Ok::<_, IoError>("two".to_owned())
            }
        };
        assert_eq!(*pages.key((3, "a")).get_or_load(renewing).await.unwrap(), "two");
        assert_eq!(*read("three").await.unwrap(), "three");
        assert_eq!(*read("four").await.unwrap(), "three");
        let old = Event::Miss(Miss::OldTags);
        assert_eq!(scene.events.take(), [old, Event::Stored, old, Event::Stored, HIT], "{cache}");
        // A tag that was evicted is no tag that stayed as it was.
        scene.store.evict("author:3");
        assert_eq!(*read("five").await.unwrap(), "five");
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered() {
    let scene = Scene::new();
    let products = scene.products(options(|options| options.negative_ttl = Duration::from_secs(5)));
    for _ in 0..2 {
        let found = products.key(1).find_or_load(|_| async { Ok::<_, IoError>(None::<String>) }).await;
        assert_eq!(found.unwrap(), None);
    }
    assert!(products.key(1).get_or_load(|_| gives("x")).await.unwrap_err().is_absent());
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::Stored, HIT, HIT]);
    assert_eq!(scene.store.left_ms("product:1"), 5_000);
}

#[tokio::test]
async fn an_old_value_is_served_while_one_loads_unless_the_caller_forbids_it() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    products.key(1).get_or_load(|_| gives("old")).await.unwrap();
    scene.store.void("product:1", 0, 0, 30_000);
    let served = products.key(1).get_or_load_with(|_| gives("new")).await.unwrap();
    assert_eq!((served.value.unwrap().as_str(), served.from), ("old", Source::Stale));
    let stored = || scene.store.bytes("product:1").is_some_and(|bytes| bytes.ends_with(b"new\""));
    quash_e2e::eventually(Duration::from_secs(5), "it is loaded in the background", async || stored()).await;
    scene.store.void("product:1", 0, 0, 30_000);
    let after =
        |load: quash_reader::Load<String>| async move { Ok::<_, IoError>(format!("after {}", load.stale.unwrap())) };
    let fresh = products.key(1).stale_ok(false).get_or_load(after);
    assert_eq!(*fresh.await.unwrap(), "after new");
    let (miss, stored) = (Event::Miss(Miss::Absent), Event::Stored);
    assert_eq!(scene.events.take(), [miss, stored, Event::Stale, stored, miss, stored]);
}

#[tokio::test]
async fn what_passes_its_soft_ttl_is_served_and_loaded_once_in_the_background() {
    let scene = Scene::new();
    let products = scene.products(options(|options| options.soft_ttl = Some(Duration::from_millis(1))));
    products.key(1).get_or_load(|_| gives("old")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (loads, loading) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
    for _ in 0..8 {
        let (loads, loading) = (Arc::clone(&loads), Arc::clone(&loading));
        let counting = move |_| {
            let (loads, loading) = (Arc::clone(&loads), Arc::clone(&loading));
            async move {
                loads.fetch_add(1, Ordering::SeqCst);
                loading.notified().await;
                Ok::<_, IoError>("new".to_owned())
            }
        };
        let served = products.key(1).get_or_load_with(counting).await.unwrap();
        assert_eq!((served.value.unwrap().as_str(), served.from), ("old", Source::Redis));
        assert!(served.age.unwrap() >= Duration::from_millis(5), "{:?}", served.age);
        tokio::task::yield_now().await;
    }
    loading.notify_waiters();
    let stored = || scene.store.bytes("product:1").is_some_and(|bytes| bytes.ends_with(b"new\""));
    quash_e2e::eventually(Duration::from_secs(5), "it is loaded in the background", async || stored()).await;
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_is_stored_under_a_hold() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    scene.store.set("product:1", &HOLD, Duration::from_secs(2)).await.unwrap();
    assert_eq!(*products.key(1).get_or_load(|_| gives("lagging")).await.unwrap(), "lagging");
    assert_eq!(scene.events.take(), [Event::Held, Event::Miss(Miss::Absent)]);
    assert_eq!(scene.store.bytes("product:1").unwrap(), HOLD);
    scene.pass(Duration::from_secs(2));
    products.key(1).get_or_load(|_| gives("new")).await.unwrap();
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::Stored]);
}

#[tokio::test]
async fn what_is_in_no_frame_is_left_alone_or_served_where_that_is_declared() {
    let scene = Scene::new();
    scene.store.put("product:1", b"\"plain\"");
    let products = scene.products(Options::default());
    assert_eq!(*products.key(1).get_or_load(|_| gives("loaded")).await.unwrap(), "loaded");
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Foreign)]);
    let accepting = scene.products(options(|options| options.foreign = Foreign::Accept));
    assert_eq!(*accepting.key(1).get_or_load(|_| gives("loaded")).await.unwrap(), "plain");
    scene.store.put("product:1", b"\x80\x04pickle");
    assert_eq!(*accepting.key(1).get_or_load(|_| gives("loaded")).await.unwrap(), "loaded");
    assert_eq!(scene.events.take(), [HIT, Event::Miss(Miss::Undecodable)]);
    assert_eq!(scene.store.bytes("product:1").unwrap(), b"\x80\x04pickle");
}

#[tokio::test]
async fn what_another_version_of_the_application_stored_is_replaced() {
    let scene = Scene::new();
    let numbers = scene.caches(Options::default()).cache::<u64>("product").unwrap();
    numbers.key(1).get_or_load(|_| async { Ok::<_, IoError>(7) }).await.unwrap();
    let texts = scene.products(Options::default());
    assert_eq!(*texts.key(1).get_or_load(|_| gives("text")).await.unwrap(), "text");
    assert_eq!(*texts.key(1).get_or_load(|_| gives("other")).await.unwrap(), "text");
    let (absent, undecodable) = (Event::Miss(Miss::Absent), Event::Miss(Miss::Undecodable));
    assert_eq!(scene.events.take(), [absent, Event::Stored, undecodable, Event::Stored, HIT]);
}

#[tokio::test]
async fn what_is_older_than_the_change_is_loaded_again_and_never_stored() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    scene.store.void("product:1", 8, 60_000, 0);
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let notified = Arc::clone(&asked);
    let lagging = move |load: quash_reader::Load<String>| {
        notified.lock().unwrap().push((load.attempt, load.min_version, load.prefer_primary()));
        let version = if load.prefer_primary() { 8 } else { 7 };
        async move { Ok::<_, IoError>(Loaded::new(format!("of {version}")).version(version)) }
    };
    assert_eq!(*products.key(1).get_or_load(lagging).await.unwrap(), "of 8");
    assert_eq!(*asked.lock().unwrap(), [(1, 8, false), (2, 8, true)]);
    scene.store.void("product:1", 9, 60_000, 0);
    let always_old = |_| async { Ok::<_, IoError>(Loaded::new("old".to_owned()).version(3)) };
    assert_eq!(*products.key(1).get_or_load(always_old).await.unwrap(), "old");
    let (miss, old) = (Event::Miss(Miss::Absent), Event::Refused(Refused::TooOld));
    assert_eq!(scene.events.take(), [miss, old, Event::Stored, miss, old, old, old]);
}

#[tokio::test]
async fn removing_voids_loads_under_way_and_refreshing_loads_whatever_is_there() {
    for cache in ["page", "list"] {
        let scene = Scene::new();
        let pages = scene.caches(Options::default()).cache::<String>(cache).unwrap();
        pages.key((1, 1)).get_or_load(|_| gives("one")).await.unwrap();
        assert_eq!(*pages.key((1, 1)).refresh(|_| gives("two")).await.unwrap(), "two");
        assert_eq!(*pages.key((1, 1)).get_or_load(|_| gives("three")).await.unwrap(), "two");
        pages.key((1, 1)).remove().await.unwrap();
        let other = pages.clone();
        let removing = move |_| {
            let other = other.clone();
            async move {
                other.key((1, 1)).remove().await.unwrap();
                Ok::<_, IoError>("of before".to_owned())
            }
        };
        pages.key((1, 1)).get_or_load(removing).await.unwrap();
        assert_eq!(*pages.key((1, 1)).get_or_load(|_| gives("new")).await.unwrap(), "new", "{cache}");
    }
}
