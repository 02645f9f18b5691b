//! Shows that many entries are looked at, loaded and stored together.

use std::collections::HashMap;
use std::io::Error as IoError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_reader::freshness::Token;
use quash_reader::{Options, Store};

use crate::scene::{Scene, gives};

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_loaded_together_and_what_others_load_is_waited_for_last() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    products.key(1).get_or_load(|_| gives("one")).await.unwrap();
    scene.store.ask("product:4", Token::from_random(9), Duration::from_secs(10)).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let load = |ids: Vec<i64>| {
        asked.lock().unwrap().push(ids.clone());
        async move {
            let known = ids.into_iter().filter(|id| *id != 3);
            Ok::<_, IoError>(known.map(|id| (id, format!("of {id}"))).collect::<Vec<_>>())
        }
    };
    let values = products.many([1, 2, 3, 4, 2]).get_or_load(load).await.unwrap();
    let values: HashMap<i64, String> = values.into_iter().map(|(id, value)| (id, value.to_string())).collect();
    let expected = [(1, "one"), (2, "of 2"), (4, "of 4")];
    assert_eq!(values, expected.into_iter().map(|(id, value)| (id, value.to_owned())).collect());
    let asked = asked.lock().unwrap().clone();
    let sorted: Vec<Vec<i64>> = asked
        .into_iter()
        .map(|mut ids| {
            ids.sort_unstable();
            ids
        })
        .collect();
    assert_eq!(sorted, [vec![2, 3], vec![4]]);
    // What was loaded is stored, also that there is nothing.
    let nothing = |ids: Vec<i64>| async move { Err::<Vec<(i64, String)>, _>(IoError::other(format!("{ids:?}"))) };
    assert_eq!(products.many([1, 2, 3, 4]).get_or_load(nothing).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_load_of_many_that_fails_gives_all_leases_up() {
    let scene = Scene::new();
    let products = scene.products(Options::default());
    let fails = |_: Vec<i64>| async { Err::<Vec<(i64, String)>, _>(IoError::other("away")) };
    assert!(products.many([1, 2]).get_or_load(fails).await.is_err());
    let free = async || ["product:1", "product:2"].iter().all(|key| scene.store.bytes(key).is_none());
    quash_e2e::eventually(Duration::from_secs(5), "the leases are given up", free).await;
    assert!(products.many(Vec::<i64>::new()).get_or_load(fails).await.unwrap().is_empty());
}
