//! Proves what `quash check` says of a relay, and that a relay breaks no application.

use quash_e2e::{Certificates, Kind, Quash, eventually};

use super::{BOOK_TABLE, Relayed};
use crate::scene::LIMIT;

const SCHEMA: &str = "create table page (id int primary key, author int); create table note (id int, text text)";
const RULES: &str = "caches:
  book: { key: \"book:{id}\", depends_on: [ { row: public.book } ] }
  author: { key: \"author:{author}\", depends_on: [ { row: public.page } ] }
  note: { key: \"note:{id}\", depends_on: [ { row: public.note }, { row: public.nothing } ] }\n";

#[tokio::test]
async fn check_names_what_the_log_lacks_with_the_sql_that_mends_it() {
    let relayed = Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; {SCHEMA}"), RULES).await;
    let said = relayed.scene.quash.run(&["check", "--connect"]).await.ended_with(1).stdout;
    for line in [
        "relay shop (postgres)",
        "✓ its log can be decoded",
        "! a slot that nobody reads fills the disk",
        "✓ there is no publication quash yet: the relay makes it",
        "✓ the log has what caches read of public.book",
        "! cache author reads author of old rows of public.page, which are not logged: it widens",
        "mend: alter table \"public\".\"page\" replica identity full",
        "✗ public.note has no replica identity",
        "mend: alter table \"public\".\"note\" replica identity full",
        "! public.nothing is no table here",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    relayed.postgres.psql("alter table page replica identity full; alter table note replica identity full");
    let _relay = relayed.relay("relay").await;
    let said = relayed.scene.quash.run(&["check", "--connect"]).await.done().stdout;
    for line in [
        "✓ the log has what caches read of public.page",
        "✓ publication quash is there",
        "✓ slot quash is read by process",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_named_at_its_place_without_a_connection() {
    let config = "version: 1\nservers: { shop: { postgres: { url: nope } } }\nsources: { events: { memory: {} } }\n\
                  relay: { shop: { server: shop, to: events } }\n";
    let quash = Quash::with(config);
    for command in [vec!["check"], vec!["check", "--connect"], vec!["relay"]] {
        let ran = quash.run(&command).await.ended_with(78);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(all.contains("quash.yaml:2:37") || all.contains("\"line\":2"), "{command:?}: {all}");
        assert!(!all.contains("nope"), "a value that may hold a password, {command:?}: {all}");
    }
}

#[tokio::test]
async fn a_table_whose_updates_would_fail_is_not_published() {
    let relayed = Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; {SCHEMA}"), RULES).await;
    let mut relay = relayed.relay("relay").await;
    assert!(relay.log().contains("a table without replica identity is not published"), "{}", relay.log());
    relayed.postgres.psql("insert into note values (1, 'a'); update note set text = 'b'");
    assert_eq!(relay.terminate().await, 0);
    // Once its owner has agreed, the next start adds it.
    relayed.postgres.psql("alter table note replica identity full");
    let _relay = relayed.relay("relay").await;
    let tables =
        relayed.postgres.psql("select string_agg(tablename, ' ' order by tablename) from pg_publication_tables");
    assert_eq!(tables, "book note page");
}

#[tokio::test]
async fn a_role_with_the_rights_that_check_names_is_enough() {
    let relayed =
        Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; create role relay login"), super::BOOK).await;
    let config = std::fs::read_to_string(relayed.scene.quash.config()).unwrap();
    let quash = Quash::with(&config.replace("postgres://postgres@", "postgres://relay@"));
    let said = quash.run(&["check", "--connect"]).await.ended_with(1).stdout;
    assert!(
        said.contains("✗ relay may not read the log") && said.contains("alter role \"relay\" replication"),
        "{said}"
    );
    relayed.postgres.psql("alter role relay replication");
    let mut relay = quash.start_relay("relay");
    let sql = "create publication \"quash\" for table \"public\".\"book\" with (publish_via_partition_root = true)";
    eventually(LIMIT, "it says what it lacks", async || relay.log().replace("\\\"", "\"").contains(sql)).await;
    relayed.postgres.psql(sql);
    relayed.is_read().await;
    relayed.postgres.psql("insert into book values (1, 3, 'a')");
    assert_eq!(relayed.take(1).await[0]["events"][0]["key"]["id"], 1);
    assert_eq!(relay.terminate().await, 0);
}

#[tokio::test]
async fn a_slot_without_its_publication_is_refused_and_left_alone() {
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, super::BOOK).await;
    relayed.postgres.psql("select pg_create_logical_replication_slot('quash', 'pgoutput')");
    let relay = relayed.scene.quash.start_relay("relay");
    let words = "select pg_drop_replication_slot('quash')";
    eventually(LIMIT, "it says what to do", async || relay.log().contains(words)).await;
    assert_eq!(relayed.slot("count(*)"), "1");
    assert_eq!(relayed.postgres.psql("select count(*) from pg_publication"), "0");
}

#[tokio::test]
async fn a_worker_and_its_relay_run_in_one_process() {
    let relayed = Relayed::open(Kind::RedisStreams, BOOK_TABLE, super::BOOK).await;
    let mut both = relayed.scene.quash.start_worker_with("both", &["--relay"]);
    both.ready().await;
    relayed.is_read().await;
    relayed.scene.cache.fill(&super::books(1..=3)).await;
    relayed.postgres.psql("insert into book select i, 3, 'a' from generate_series(1, 3) i");
    relayed.scene.gone(&super::books(1..=3)).await;
    eventually(LIMIT, "it counts", async || {
        both.metric("quash_relay_transactions_total", &["relay=\"shop\""]).await >= 1.0
    })
    .await;
    assert_eq!(both.terminate().await, 0);
}

#[tokio::test]
async fn encryption_and_passwords_are_those_of_every_client() {
    let mut relayed =
        Relayed::open(Kind::RedisStreams, &format!("{BOOK_TABLE}; create role relay login replication"), super::BOOK)
            .await;
    relayed.postgres.psql("create publication quash for table book; set password_encryption = 'scram-sha-256'; alter role relay password 'p\u{e4}ss w\u{f6}rd'");
    let certificates = Certificates::make();
    relayed.postgres.encrypt(&certificates.path("server.crt"), &certificates.path("server.key")).await;
    let hba = "local all all trust\nhostssl all relay 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(relayed.postgres.psql("show hba_file"), hba).unwrap();
    relayed.postgres.psql("select pg_reload_conf()");
    let config = std::fs::read_to_string(relayed.scene.quash.config()).unwrap();
    let plain = format!("{}\"", relayed.postgres.url());
    let quash = |user: &str, options: &str| {
        let url = relayed.postgres.url().replace("postgres@127.0.0.1", &format!("{user}@127.0.0.1"));
        Quash::with(&config.replace(&plain, &format!("{url}?{options}\"")))
    };
    let ca = format!("sslrootcert={}", certificates.path("ca.crt").display());
    let user = "relay:p%C3%A4ss%20w%C3%B6rd";
    for (nth, options) in (1..).zip(["sslmode=require".to_owned(), format!("sslmode=verify-full&{ca}")]) {
        let quash = quash(user, &options);
        let mut relay = quash.start_relay("relay");
        relayed.is_read().await;
        relayed.postgres.psql(&format!("insert into book values ({nth}, 3, 'a')"));
        assert_eq!(relayed.take(1).await[0]["events"][0]["key"]["id"], nth);
        assert_eq!(relay.terminate().await, 0);
    }
    for (user, options, words) in [
        ("relay:hunter2", "sslmode=require", "password authentication failed"),
        (user, "sslmode=disable", "no encryption"),
        (user, "sslmode=verify-full", "certificate"),
    ] {
        let quash = quash(user, options);
        let relay = quash.start_relay("relay");
        eventually(LIMIT, "it says why", async || relay.log().contains(words)).await;
        assert!(!relay.log().contains("hunter2") && !relay.log().contains("%C3"), "{}", relay.log());
    }
}
