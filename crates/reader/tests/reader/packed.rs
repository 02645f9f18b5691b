//! Proves that values which are long, compressed or encrypted are read back whole, and that what is broken is loaded anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quash_reader::{Cache, Caches, Event, Miss, Options, Store, ValueEncryption};

use crate::scene::{CONFIG, Scene};

fn caches(scene: &Scene, set: impl FnOnce(&mut Options), keys: Option<ValueEncryption>) -> Caches {
    let mut options = Options::default();
    set(&mut options);
    let store: Arc<dyn Store> = Arc::clone(&scene.store) as _;
    let builder =
        Caches::builder().config_text(CONFIG).target("main").store(store).observer(Arc::clone(&scene.events) as _);
    let builder = builder.defaults(options);
    keys.into_iter().fold(builder, |builder, keys| builder.encryption(keys)).build().unwrap()
}

/// Reads the text of a product, and says how often it has been loaded.
async fn read(products: &Cache<String>, loads: &Arc<AtomicU32>, text: &str) -> (String, u32) {
    let (loaded, text) = (Arc::clone(loads), text.to_owned());
    let load = move |_| {
        loaded.fetch_add(1, Ordering::Relaxed);
        let text = text.clone();
        async move { Ok::<_, std::io::Error>(text) }
    };
    let value = products.key(42).get_or_load(load).await.unwrap();
    (value.to_string(), loads.load(Ordering::Relaxed))
}

fn chunk(scene: &Scene, nth: u32) -> String {
    let entry = scene.store.bytes("product:42").unwrap();
    let name = std::str::from_utf8(&entry[70..86]).unwrap();
    format!("product:42~{name}~{nth}")
}

#[tokio::test]
async fn a_long_value_is_read_from_its_chunks_and_loaded_anew_where_one_is_missing() {
    let (scene, loads, text) = (Scene::new(), Arc::default(), "abc".repeat(100));
    let products = caches(&scene, |options| options.chunk_bytes = 100, None).cache("product").unwrap();
    assert_eq!(read(&products, &loads, &text).await, (text.clone(), 1));
    assert_eq!(read(&products, &loads, &text).await, (text.clone(), 1), "it is in the cache");
    let entry = scene.store.bytes("product:42").unwrap();
    assert_eq!((entry[5], entry.len()), (b'c', 130), "the entry names its chunks");
    assert_eq!(scene.store.bytes(&chunk(&scene, 3)).map(|last| last.len()), Some(2), "302 bytes with the quotes");
    assert!(scene.store.left_ms(&chunk(&scene, 0)) > scene.store.left_ms("product:42"));

    assert!(scene.store.evict(&chunk(&scene, 1)));
    scene.events.take();
    assert_eq!(read(&products, &loads, &text).await, (text.clone(), 2));
    assert!(scene.events.take().contains(&Event::Miss(Miss::Undecodable)));
    assert_eq!(read(&products, &loads, &text).await, (text.clone(), 2), "and stored again");

    scene.store.put(&chunk(&scene, 0), &[b'x'; 100]);
    assert_eq!(read(&products, &loads, &text).await, (text, 3), "a chunk that was changed");
}

/// While somebody refreshes an entry his token stands in its header: chunks named by that would not be found.
#[tokio::test]
async fn chunks_are_found_while_somebody_refreshes_the_entry() {
    use quash_reader::freshness::{Taken, Token, Want};
    let (scene, loads, text) = (Scene::new(), Arc::default(), "abc".repeat(100));
    let products = caches(&scene, |options| options.chunk_bytes = 100, None).cache("product").unwrap();
    read(&products, &loads, &text).await;
    let (token, lease) = (Token::from_random(7), std::time::Duration::from_secs(10));
    let taken = scene.store.take("product:42", token, lease, Want::Refresh).await.unwrap();
    assert!(matches!(taken, Taken::Won { .. }));
    assert_eq!(read(&products, &loads, &text).await, (text, 1));
}

/// Two who share a lease store by the same token: the one whose fill is refused must not touch the chunks of the other.
#[tokio::test]
async fn two_loads_that_share_a_lease_have_chunks_of_their_own() {
    let (scene, loads) = (Scene::new(), Arc::default());
    let of = |wait| {
        move |options: &mut Options| {
            options.chunk_bytes = 100;
            options.wait = std::time::Duration::from_millis(wait);
        }
    };
    let (one, other) = (caches(&scene, of(0), None), caches(&scene, of(0), None));
    let (one, other): (Cache<String>, Cache<String>) = (one.cache("product").unwrap(), other.cache("product").unwrap());
    let (long, longer) = ("a".repeat(300), "b".repeat(300));
    let (begun, may_end) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let first = {
        let (begun, may_end, long) = (Arc::clone(&begun), Arc::clone(&may_end), long.clone());
        tokio::spawn(async move {
            let load = move |_| {
                let (begun, may_end, long) = (Arc::clone(&begun), Arc::clone(&may_end), long.clone());
                async move {
                    begun.notify_one();
                    may_end.notified().await;
                    Ok::<_, std::io::Error>(long)
                }
            };
            one.key(42).get_or_load(load).await.unwrap()
        })
    };
    begun.notified().await;
    assert_eq!(read(&other, &loads, &longer).await.0, longer, "it shares the lease, and stores");
    may_end.notify_one();
    assert_eq!(*first.await.unwrap(), long);
    assert_eq!(read(&other, &loads, "none").await, (longer, 1), "what was stored is whole");
}

#[tokio::test]
async fn entries_are_compressed_and_encrypted_and_read_by_who_has_the_key() {
    let (scene, loads, text) = (Scene::new(), Arc::default(), "secret ".repeat(1000));
    let keys = || ValueEncryption::new('b', &[2; 32]).and('a', &[1; 32]);
    let set = |options: &mut Options| {
        options.compress_above = Some(100);
        options.encrypt = true;
    };
    let products = caches(&scene, set, Some(keys())).cache("product").unwrap();
    read(&products, &loads, &text).await;
    let entry = scene.store.bytes("product:42").unwrap();
    assert_eq!(&entry[4..7], b"gvb");
    assert!(entry.len() < 500 && !entry.windows(6).any(|part| part == b"secret"));
    assert_eq!(read(&products, &loads, &text).await, (text.clone(), 1));

    let others = caches(&scene, |_| {}, Some(ValueEncryption::new('a', &[1; 32]))).cache("product").unwrap();
    assert_eq!(read(&others, &loads, &text).await, (text, 2), "without the key it is loaded, and never served broken");
}

#[tokio::test]
async fn what_other_readers_packed_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/freshness/packed.jsonl");
    let vectors = std::fs::read_to_string(path).unwrap();
    assert!(vectors.lines().count() >= 7);
    for line in vectors.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let (scene, loads) = (Scene::new(), Arc::default());
        for (key, bytes) in vector["stands"].as_object().unwrap() {
            scene.store.put(key, &unhex(bytes.as_str().unwrap()));
        }
        let products = caches(&scene, |_| {}, None).cache("product").unwrap();
        let (value, _) = read(&products, &loads, "loaded anew").await;
        assert_eq!(value, vector["value"].as_str().unwrap_or("loaded anew"), "{}", vector["name"]);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn encryption_without_keys_is_refused_when_it_is_built() {
    let store: Arc<dyn Store> = Arc::new(quash_reader::MemoryStore::new());
    let mut options = Options::default();
    options.encrypt = true;
    let built = Caches::builder().config_text(CONFIG).store(store).defaults(options).build();
    assert!(built.is_err_and(|error| error.to_string().contains("no keys are given")));
}
