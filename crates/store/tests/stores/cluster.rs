//! Holds a store to its promises on a cluster of three masters, and while slots move between them.

use futures_util::future::join_all;
use quash_core::action::Action;
use quash_e2e::process::free_port;
use quash_store::StoreError;
use quash_store::conformance;
use redis::Value;
use serde_json::json;

use crate::fixture::{Servers, make_user, store};
use crate::server::{Server, eventually};

const LAST_SLOTS: [u16; 3] = [5460, 10_922, 16_383];

async fn start_cluster() -> Vec<Server> {
    let servers = join_all(LAST_SLOTS.map(|_| start_node())).await;
    let mut first = 0;
    for (server, last) in servers.iter().zip(LAST_SLOTS) {
        server.admin(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        first = last + 1;
    }
    for server in &servers[1..] {
        let bus = bus_port(server).await;
        servers[0].admin(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), &bus]).await;
    }
    for server in &servers {
        eventually("the cluster is whole", || async {
            let info = text(&server.admin(&["CLUSTER", "INFO"]).await);
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        })
        .await;
    }
    servers
}

async fn start_node() -> Server {
    let bus = format!("cluster-port {}", free_port());
    Server::start(&["cluster-enabled yes", "cluster-node-timeout 2000", &bus]).await
}

async fn bus_port(server: &Server) -> String {
    match server.admin(&["CONFIG", "GET", "cluster-port"]).await {
        Value::Array(pair) => text(&pair[1]),
        other => panic!("{other:?}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn urls(servers: &[Server]) -> Vec<String> {
    servers.iter().map(Server::url).collect()
}

#[tokio::test]
async fn a_cluster_keeps_every_promise_with_the_documented_rights() {
    let servers = start_cluster().await;
    join_all(servers.iter().map(make_user)).await;
    let store = store(json!({"cluster": urls(&servers), "username": "quash", "password": "secret"}));
    let client = redis::cluster::ClusterClient::new(urls(&servers)).unwrap();
    let connection = client.get_async_connection().await.unwrap();
    let nodes: Vec<&Server> = servers.iter().collect();
    conformance::all(&Servers::new(store, connection, &nodes)).await;
}

#[tokio::test]
async fn a_command_follows_its_slot_while_it_moves_and_after() {
    let mut servers = start_cluster().await;
    let store = store(json!({"cluster": urls(&servers)}));
    // Of one slot, which the third server has, and which goes to the first.
    let (slot, staying, going) = ("12182", "{foo}:staying", "{foo}:going");
    let both = [staying, going, "other"].map(|key| Action::Delete(key.into()));
    servers[2].admin(&["MSET", staying, "1", going, "1"]).await;
    let mut ids = Vec::new();
    for server in &servers {
        ids.push(text(&server.admin(&["CLUSTER", "MYID"]).await));
    }
    let scanner = crate::fixture::store(json!({"cluster": urls(&servers)}));
    assert_eq!(store.ask().unwrap().exist(&[staying, going]).await, Ok(vec![true, true]));
    assert_eq!(scanner.ask().unwrap().exist(&[staying, going]).await, Ok(vec![true, true]));

    servers[0].admin(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &ids[2]]).await;
    servers[2].admin(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &ids[0]]).await;
    let port = servers[0].port.to_string();
    servers[2].admin(&["MIGRATE", "127.0.0.1", &port, going, "0", "1000"]).await;
    assert_eq!(store.apply(&both).await.unwrap().outcomes, [Ok(1), Ok(1), Ok(0)]);

    for index in [0, 2, 1] {
        servers[index].admin(&["CLUSTER", "SETSLOT", slot, "NODE", &ids[0]]).await;
    }
    for server in &servers {
        eventually("all nodes agree on who has the slot", || async { owner(server, slot).await == ids[0] }).await;
    }
    servers[0].admin(&["MSET", staying, "1", going, "1"]).await;
    let scan = [Action::DeletePrefix("none".into())];
    let moved = scanner.apply(&scan).await;
    assert!(
        matches!(&moved, Err(StoreError::Unreachable(why)) if why.contains("slots of the cluster moved")),
        "{moved:?}"
    );
    assert_eq!(scanner.apply(&scan).await.unwrap().outcomes, [Ok(0)]);
    assert_eq!(store.apply(&both).await.unwrap().outcomes, [Ok(1), Ok(1), Ok(0)]);

    let before = store.identity().await.unwrap();
    servers[1].kill();
    assert!(matches!(store.apply(&[Action::DeletePrefix("a".into())]).await, Err(StoreError::Unreachable(_))));
    servers[1].restart().await;
    eventually("the cluster works again", || async { store.apply(&both).await.is_ok() }).await;
    assert_ne!(store.identity().await.unwrap(), before);
}

#[tokio::test]
async fn a_pass_over_a_cluster_that_is_down_is_none_though_its_nodes_let_themselves_be_scanned() {
    let servers = start_cluster().await;
    let store = store(json!({"cluster": urls(&servers)}));
    let scan = [Action::DeletePrefix("none".into())];
    assert_eq!(store.apply(&scan).await.unwrap().outcomes, [Ok(0)]);

    servers[1].admin(&["CLUSTER", "DELSLOTS", "6000"]).await;
    eventually("the pass fails", || async {
        matches!(store.apply(&scan).await, Err(StoreError::Unreachable(why)) if why.contains("its cluster is down"))
    })
    .await;
    servers[1].admin(&["CLUSTER", "ADDSLOTS", "6000"]).await;
    eventually("the pass is one again", || async { store.apply(&scan).await.is_ok() }).await;
}

/// The id of the master that serves a slot, as a node sees it.
async fn owner(server: &Server, slot: &str) -> String {
    let slot: i64 = slot.parse().unwrap();
    let Value::Array(ranges) = server.admin(&["CLUSTER", "SLOTS"]).await else { panic!("no ranges") };
    let of = |range: &Value| match range {
        Value::Array(parts) => match &parts[..] {
            [Value::Int(first), Value::Int(last), Value::Array(master), ..] if (*first..=*last).contains(&slot) => {
                Some(text(&master[2]))
            }
            _ => None,
        },
        _ => None,
    };
    ranges.iter().find_map(of).unwrap_or_default()
}
