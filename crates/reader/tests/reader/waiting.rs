//! Shows that readers of the same entry load it once, and that nobody waits for who is slow or dead.

use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use quash_reader::freshness::{Token, lease};
use quash_reader::{Event, Load, Miss, Options, Refused, Store, Tier};
use tokio::sync::Barrier;

use crate::scene::{Scene, gives, options};

#[tokio::test(start_paused = true)]
async fn callers_of_one_process_and_of_another_load_once() {
    let scene = Scene::new();
    let options = options(|options| options.wait = Duration::from_secs(5));
    let processes = [scene.products(options.clone()), scene.products(options)];
    let loads = Arc::new(AtomicU32::new(0));
    let callers = (0..24).map(|caller| {
        let (products, loads) = (&processes[caller % 2], Arc::clone(&loads));
        let slow = move |_| {
            let loads = Arc::clone(&loads);
            async move {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok::<_, IoError>("once".to_owned())
            }
        };
        products.key(1).get_or_load(slow)
    });
    for value in join_all(callers).await {
        assert_eq!(*value.unwrap(), "once");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let events = scene.events.take();
    let count = |event: Event| events.iter().filter(|seen| **seen == event).count();
    assert_eq!(count(Event::Miss(Miss::Absent)), 1);
    assert_eq!(count(Event::Waited), 23);
    assert_eq!(count(Event::Hit(Tier::Redis)), 12, "those of the other process found it on the server");
}

#[tokio::test]
async fn nobody_joins_a_load_that_began_before_a_change() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let (begun, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let slow = {
        let (products, begun, end) = (products.clone(), Arc::clone(&begun), Arc::clone(&end));
        tokio::spawn(async move {
            let load = move |_: Load<String>| {
                let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
                async move {
                    begun.wait().await;
                    end.wait().await;
                    Ok::<_, IoError>("of before".to_owned())
                }
            };
            products.key(1).get_or_load(load).await
        })
    };
    begun.wait().await;
    scene.store.evict("product:1");
    assert_eq!(*products.key(1).get_or_load(|_| gives("of now")).await.unwrap(), "of now");
    end.wait().await;
    assert_eq!(*slow.await.unwrap().unwrap(), "of before");
    assert_eq!(*products.key(1).get_or_load(|_| gives("other")).await.unwrap(), "of now");
    assert!(scene.events.take().contains(&Event::Refused(Refused::Voided)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_dead_loads_by_their_lease() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let dead = Token::from_random(7);
    scene.store.ask("product:1", dead, Duration::from_secs(10)).await.unwrap();
    assert_eq!(scene.store.bytes("product:1").unwrap(), lease(dead));
    let begun = tokio::time::Instant::now();
    assert_eq!(*products.key(1).get_or_load(|_| gives("loaded")).await.unwrap(), "loaded");
    assert!((200..260).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(*products.key(1).get_or_load(|_| gives("other")).await.unwrap(), "loaded");
    let events = [Event::Waited, Event::Shared, Event::Miss(Miss::Absent), Event::Stored, Event::Hit(Tier::Redis)];
    assert_eq!(scene.events.take(), events);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_reads_its_own_key_ends() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let inner = products.clone();
    let outer = move |_| {
        let inner = inner.clone();
        async move { inner.key(1).get_or_load(|_| gives("inner")).await.map(|value| format!("outer of {value}")) }
    };
    assert_eq!(*products.key(1).get_or_load(outer).await.unwrap(), "outer of inner");
}

#[tokio::test(start_paused = true)]
async fn what_loads_longer_than_its_lease_is_told_apart() {
    let scene = Scene::new();
    let products = scene.products(options(|options| options.lease = Duration::from_secs(1)));
    let store = Arc::clone(&scene.store);
    let slow = move |_| {
        let store = Arc::clone(&store);
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            store.evict("product:1");
            Ok::<_, IoError>("late".to_owned())
        }
    };
    products.key(1).get_or_load(slow).await.unwrap();
    assert_eq!(scene.events.take(), [Event::Miss(Miss::Absent), Event::Refused(Refused::Slow)]);
}
