//! Lets sentinels move the master away under a store.

use quash_core::action::Action;
use quash_store::StoreError;
use redis::Value;
use serde_json::json;

use crate::fixture::store;
use crate::server::{Server, eventually};

#[tokio::test]
async fn a_store_finds_the_new_master_and_shows_that_it_is_another() {
    let master = Server::start(&[]).await;
    let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", master.port)]).await;
    // Before: a sentinel looks at its servers every ten seconds only.
    eventually("the replica is in step", || async {
        matches!(master.admin(&["ROLE"]).await, Value::Array(role) if role.len() == 3 && role[2] != Value::Array(vec![]))
            && matches!(replica.admin(&["ROLE"]).await, Value::Array(role) if role[3] == Value::BulkString("connected".into()))
    })
    .await;
    let sentinel = Server::sentinel(&master).await;
    eventually("the sentinel knows the replica", || async {
        matches!(sentinel.admin(&["SENTINEL", "REPLICAS", "cache"]).await, Value::Array(known) if !known.is_empty())
    })
    .await;
    let store = store(json!({"sentinel": {"urls": ["redis://127.0.0.1:1", sentinel.url()], "master": "cache"}}));
    let delete = [Action::Delete("a".into())];
    master.admin(&["SET", "a", "1"]).await;
    assert_eq!(store.apply(&delete).await.unwrap().outcomes, [Ok(1)]);
    let before = store.identity().await.unwrap();

    eventually("the sentinel begins", || async {
        let client = redis::Client::open(sentinel.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut failover = redis::cmd("SENTINEL");
        failover.arg("FAILOVER").arg("cache").exec_async(&mut connection).await.is_ok()
    })
    .await;
    eventually("the store acts on the new master", || async {
        // The old master lives and answers; it is the question who the cache is that finds the new one.
        match (store.apply(&delete).await, store.identity().await) {
            (Ok(applied), Ok(identity)) => {
                assert_eq!(applied.outcomes, [Ok(0)], "a failover costs no action");
                identity.0.contains(&format!(":{}=", replica.port))
            }
            (Err(StoreError::Refused(why)), _) => panic!("{why}"),
            _ => false,
        }
    })
    .await;
    assert_ne!(store.identity().await.unwrap(), before);
    replica.admin(&["SET", "a", "1"]).await;
    assert_eq!(store.apply(&delete).await.unwrap().outcomes, [Ok(1)]);
}

#[tokio::test]
async fn a_sentinel_that_does_not_know_the_master_says_so() {
    let master = Server::start(&[]).await;
    let sentinel = Server::sentinel(&master).await;
    let store = store(json!({"sentinel": {"urls": [sentinel.url()], "master": "other"}}));
    match store.apply(&[Action::Delete("a".into())]).await {
        Err(StoreError::Unreachable(why)) => assert!(why.contains("knows no master `other`"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sentinel_that_missed_a_failover_is_outvoted() {
    let (before, now) = (Server::start(&[]).await, Server::start(&[]).await);
    // As after a cut: one still names the old master, the others have made another one.
    let behind = Server::sentinel_since(&before, 3).await;
    let others = [Server::sentinel_since(&now, 4).await, Server::sentinel_since(&now, 4).await];
    let urls = [behind.url(), others[0].url(), others[1].url()];
    for master in [&before, &now] {
        master.admin(&["SET", "a", "1"]).await;
    }
    let store = store(json!({"sentinel": {"urls": urls, "master": "cache"}}));
    assert_eq!(store.apply(&[Action::Delete("a".into())]).await.unwrap().outcomes, [Ok(1)]);
    let left = [before.admin(&["GET", "a"]).await, now.admin(&["GET", "a"]).await];
    assert_eq!(left, [Value::BulkString("1".into()), Value::Nil]);
}

#[tokio::test]
async fn a_sentinel_without_a_majority_is_not_believed() {
    let master = Server::start(&[]).await;
    let sentinel = Server::sentinel(&master).await;
    let urls = [sentinel.url(), "redis://127.0.0.1:1".to_owned(), "redis://127.0.0.1:2".to_owned()];
    let store = store(json!({"sentinel": {"urls": urls, "master": "cache"}}));
    match store.apply(&[Action::Delete("a".into())]).await {
        Err(StoreError::Unreachable(why)) => assert!(why.starts_with("only 1 of 3 answered"), "{why}"),
        other => panic!("{other:?}"),
    }
}
