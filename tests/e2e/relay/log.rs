//! Proves what of the log comes out as events: exact values, what is unknown, truncates, partitions, tables that change under way.

use quash_e2e::Kind;
use serde_json::{Value, json};

use super::{BOOK, BOOK_TABLE, Relayed, books};

/// The events of the next message, each as its operation and its images.
async fn events(relayed: &Relayed) -> Vec<Value> {
    let message = relayed.take(1).await.remove(0);
    assert_eq!(message["transaction"]["last"], true, "{message}");
    let shown = |event: &Value| {
        let mut event = event.as_object().unwrap().clone();
        for left_out in ["id", "types"] {
            event.remove(left_out);
        }
        Value::Object(event)
    };
    message["events"].as_array().unwrap().iter().map(shown).collect()
}

#[tokio::test]
async fn each_kind_of_change_says_what_the_log_has_of_it() {
    let schema = format!(
        "{BOOK_TABLE}; alter table book alter title set storage external;
         create table page (id int primary key, author int, title text); alter table page replica identity full;
         alter table page alter title set storage external"
    );
    let rules = "caches:\n  book: { key: \"book:{id}\", depends_on: [ { row: public.book }, { row: public.page } ] }\n";
    let relayed = Relayed::open(Kind::RedisStreams, &schema, rules).await;
    let _relay = relayed.relay("relay").await;
    let long = "x".repeat(5000);
    let mut cases: Vec<(String, Vec<Value>)> = Vec::new();
    for table in ["book", "page"] {
        let entity = format!("public.{table}");
        let is_full = table == "page";
        let row = |id: u32, author: Value, title: Option<&str>| {
            let mut row = json!({ "id": id, "author": author });
            if let Some(title) = title {
                row["title"] = title.into();
            }
            row
        };
        let with_key = |mut event: Value, id: u32| {
            if !is_full {
                event["key"] = json!({ "id": id });
            }
            event
        };
        let event = |op: &str, before: Option<Value>, after: Option<Value>| {
            let mut event = json!({ "entity": entity, "op": op });
            if let Some(before) = before {
                event["before"] = before;
            }
            if let Some(after) = after {
                event["after"] = after;
            }
            event
        };
        cases.push((
            format!("insert into {table} values (1, null, '{long}')"),
            vec![with_key(event("create", None, Some(row(1, Value::Null, Some(&long)))), 1)],
        ));
        // The long text does not change, and is not logged.
        let old = is_full.then(|| row(1, Value::Null, Some(&long)));
        let new = row(1, json!(3), is_full.then_some(long.as_str()));
        cases.push((format!("update {table} set author = 3"), vec![with_key(event("update", old, Some(new)), 1)]));
        let old = if is_full { row(1, json!(3), Some(&long)) } else { json!({ "id": 1 }) };
        cases.push((
            format!("update {table} set id = 2, title = 'b'"),
            vec![with_key(event("update", Some(old), Some(row(2, json!(3), Some("b")))), 2)],
        ));
        let old = if is_full { row(2, json!(3), Some("b")) } else { json!({ "id": 2 }) };
        cases.push((format!("delete from {table}"), vec![with_key(event("delete", Some(old), None), 2)]));
        cases.push((format!("truncate {table}"), vec![event("truncate", None, None)]));
    }
    for (sql, expected) in cases {
        relayed.postgres.psql(&sql);
        assert_eq!(events(&relayed).await, expected, "{}", &sql[..sql.len().min(60)]);
    }
}

#[tokio::test]
async fn values_come_as_postgresql_prints_them() {
    let schema = "create type mood as enum ('sad', 'ok'); create domain positive as int check (value > 0);
        create table kinds (id int primary key, n numeric, d date, t timestamptz, s timestamp, u uuid, b bytea, f float8, y bool,
            j jsonb, raw json, a int[], texts text[], m mood, ms mood[], p positive, r int4range, i interval, c char(5), q money)";
    let rules = "caches:\n  kinds: { key: \"kinds:{id}\", depends_on: [ { row: public.kinds } ] }\n";
    let relayed = Relayed::open(Kind::RedisStreams, schema, rules).await;
    let _relay = relayed.relay("relay").await;
    relayed.postgres.psql(
        "set timezone = 'Asia/Tokyo'; set datestyle = 'German';
         insert into kinds values (1, 1.5000, '2024-02-29', '2024-01-02 03:04:05.678+09', '2024-01-02 03:04:05',
         'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '\\x00ff', 'NaN', true, '{\"b\": 1.10, \"a\": [1]}', '{\"a\":1, \"b\":2}',
         '{1,NULL}', '{\"a,b\",NULL,\"NULL\",\"\"}', 'ok', '{sad,ok}', 5, '[1,5)', '1 day 2 hours', 'ab', 3.5)",
    );
    let message = relayed.take(1).await.remove(0);
    let event = &message["events"][0];
    let expected = json!({
        "id": 1, "n": "1.5000", "d": "2024-02-29", "t": "2024-01-01 18:04:05.678+00", "s": "2024-01-02 03:04:05",
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b": "\\x00ff", "f": "NaN", "y": true, "j": {"a": [1], "b": 1.1},
        "raw": {"a": 1, "b": 2}, "a": [1, null], "texts": ["a,b", null, "NULL", ""], "m": "ok", "ms": ["sad", "ok"], "p": 5,
        "r": "[1,5)", "i": "1 day 02:00:00", "c": "ab   ", "q": "$3.50"
    });
    assert_eq!(event["after"], expected);
    let types = json!({"n": "decimal", "d": "date", "t": "datetime", "s": "datetime", "u": "uuid", "f": "float"});
    assert_eq!(event["types"], types);
}

#[tokio::test]
async fn partitions_come_under_the_name_of_their_table() {
    let schema = "create table sale (id int, region text, primary key (id, region)) partition by list (region);
        create table sale_eu partition of sale for values in ('eu');
        create table odd (junk int, region text not null, id int not null); alter table odd drop column junk;
        alter table odd add primary key (id, region); alter table sale attach partition odd for values in ('us')";
    let rules = "caches:\n  sale: { key: \"sale:{id}\", depends_on: [ { row: public.sale } ] }\n";
    let relayed = Relayed::open(Kind::RedisStreams, schema, rules).await;
    let _relay = relayed.relay("relay").await;
    relayed.postgres.psql("insert into sale values (1, 'eu'), (2, 'us')");
    let row = |id: u32, region: &str| json!({ "id": id, "region": region });
    let created = |id: u32, region: &str| json!({ "entity": "public.sale", "op": "create", "key": row(id, region), "after": row(id, region) });
    assert_eq!(events(&relayed).await, [created(1, "eu"), created(2, "us")]);
    relayed.postgres.psql("update sale set region = 'us' where id = 1");
    let moved = events(&relayed).await;
    assert_eq!(moved.iter().map(|event| event["op"].as_str().unwrap()).collect::<Vec<_>>(), ["delete", "create"]);
    relayed.postgres.psql("truncate sale");
    assert_eq!(events(&relayed).await, [json!({ "entity": "public.sale", "op": "truncate" })]);
}

#[tokio::test]
async fn a_table_that_changes_under_way_is_read_as_it_was_and_emptied() {
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, BOOK).await;
    let relay = relayed.relay("relay").await;
    relayed.postgres.psql("insert into book values (1, 3, 'a')");
    assert_eq!(events(&relayed).await[0]["after"], json!({ "id": 1, "author": 3, "title": "a" }));
    relayed.postgres.psql(
        "begin; insert into book values (2, 3, 'b'); alter table book rename author to writer;
         alter table book alter title type int using length(title), add column born int default 1; delete from book where id = 1;
         insert into book values (3, 4, 5, 6); commit",
    );
    let found = events(&relayed).await;
    let ops: Vec<_> = found.iter().map(|event| event["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["create", "truncate", "delete", "create"]);
    assert_eq!(found[0]["after"], json!({ "id": 2, "author": 3, "title": "b" }));
    assert_eq!(found[3]["after"], json!({ "id": 3, "writer": 4, "title": 5, "born": 6 }));
    assert!(relay.log().contains("the columns of a table changed"), "{}", relay.log());
}

#[tokio::test]
async fn what_is_rolled_back_never_travels_and_the_rest_says_when_and_by_whom() {
    let relayed =
        Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; create table other (id int primary key)"), BOOK)
            .await;
    let _relay = relayed.relay("relay").await;
    relayed.postgres.psql("begin; insert into book values (9, 3, 'x'); rollback; insert into other values (1)");
    relayed.postgres.psql("begin; insert into book values (1, 3, 'a'); prepare transaction 'held'");
    relayed.postgres.psql("insert into book values (2, 3, 'b')");
    let id = relayed.postgres.psql(
        "begin; savepoint s; insert into book values (8, 1, ''); rollback to s; insert into book values (3, 3, 'c');
         select pg_logical_emit_message(true, 'quash', '{\"invalidate\": {\"key\": \"k\"}}'); select pg_current_xact_id(); commit",
    );
    relayed.postgres.psql("commit prepared 'held'");
    let messages = relayed.take(4).await;
    assert_eq!(messages[1], json!({ "invalidate": { "key": "k" } }));
    let keys: Vec<_> = [0, 2, 3].iter().map(|at: &usize| messages[*at]["events"].as_array().unwrap()).collect();
    let keys: Vec<_> = keys.iter().map(|events| (events.len(), events[0]["key"]["id"].as_u64().unwrap())).collect();
    assert_eq!(keys, [(1, 2), (1, 3), (1, 1)], "in the order of the commits");
    let transaction = &messages[2]["transaction"];
    assert_eq!(transaction["id"].as_str(), id.lines().last());
    let system = relayed.postgres.psql("select system_identifier from pg_control_system()");
    assert_eq!((transaction["system"].as_str(), transaction["part"].as_u64()), (Some(system.as_str()), Some(1)));
    let behind = format!(
        "select abs(extract(epoch from now() - '{}'::timestamptz)) < 60",
        messages[2]["time"].as_str().unwrap()
    );
    assert_eq!(relayed.postgres.psql(&behind), "t", "{}", messages[2]);
}

#[tokio::test]
async fn a_worker_removes_what_the_log_names() {
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, BOOK).await;
    let _relay = relayed.relay("relay").await;
    let _worker = relayed.scene.quash.worker("worker").await;
    relayed.scene.cache.fill(&books(1..=20)).await;
    relayed.postgres.psql("insert into book select i, 3, 'a' from generate_series(1, 10) i");
    relayed.scene.gone(&books(1..=10)).await;
    assert_eq!(relayed.scene.cache.count(&books(11..=20)).await, 10);
    relayed.postgres.psql("truncate book");
    relayed.scene.gone(&books(11..=20)).await;
    assert_eq!(relayed.scene.settled().await, 0);
}
