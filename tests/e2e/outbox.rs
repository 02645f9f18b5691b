//! Proves that what a transaction wrote to the outbox reaches the broker if and only if it was committed, whatever is killed.

use quash_e2e::process::Process;
use quash_e2e::{Certificates, Kind, Postgres, Quash, Ran, becomes, eventually};
use serde_json::{Value, json};

use crate::scene::{LIMIT, PRODUCT, Scene, on_every_broker, products, update};

on_every_broker!(
    what_is_rolled_back_never_travels_and_the_rest_travels_in_order,
    a_relay_that_is_killed_again_and_again_loses_nothing,
    two_relays_share_the_rows,
    a_broker_that_is_away_finds_every_row_when_it_is_back,
    a_row_that_can_never_be_published_holds_up_nobody,
);

async fn what_is_rolled_back_never_travels_and_the_rest_travels_in_order(kind: Kind) {
    let outbox = Outbox::open(kind, PRODUCT).await;
    outbox.write(1..=20);
    outbox.postgres.psql(&format!("begin; {}; rollback", insert(100..=120)));
    outbox.write(21..=40);
    let said = outbox.relay(&["--once", "--batch", "7"]).await.done().stdout;
    assert!(said.starts_with("published 40 events in "), "{said}");
    let bodies = outbox.scene.queue.take(40).await;
    let ids: Vec<_> = bodies.iter().map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap()).collect();
    let ids: Vec<_> = ids.iter().map(|event| event["key"]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
    assert_eq!(outbox.rows(""), 0);
}

async fn a_relay_that_is_killed_again_and_again_loses_nothing(kind: Kind) {
    const ROWS: u32 = 3_000;
    let outbox = Outbox::open(kind, PRODUCT).await;
    let _worker = outbox.scene.quash.worker("alone").await;
    let keys = products(1..=ROWS);
    outbox.scene.cache.fill(&keys).await;
    outbox.write(1..=ROWS);
    for kills in 1..=4 {
        let mut relay = outbox.start("killed", &["--batch", "20", "--rate", "2000"]);
        let left = ROWS - kills * ROWS / 6;
        eventually(LIMIT, "some rows are relayed", async || outbox.rows("") < left).await;
        relay.kill9();
        assert!(outbox.rows("") > 0, "it was killed in the middle");
    }
    eventually(LIMIT, "the last relay's rows are free", async || {
        outbox.relay(&["--once"]).await.done();
        outbox.rows("") == 0
    })
    .await;
    outbox.scene.gone(&keys).await;
    assert_eq!(outbox.scene.settled().await, 0);
}

async fn two_relays_share_the_rows(kind: Kind) {
    let outbox = Outbox::open(kind, PRODUCT).await;
    let arguments = ["-o", "json", "--batch", "20", "--rate", "200", "--interval", "50ms"];
    let mut relays = ["one", "other"].map(|name| (outbox.start(name, &arguments), name));
    let connected = "select count(*) from pg_stat_activity where application_name = 'quash publish'";
    becomes(LIMIT, "both are connected", "2".to_owned(), async || outbox.postgres.psql(connected)).await;
    outbox.write(1..=400);
    becomes(LIMIT, "all rows are relayed", 0, async || outbox.rows("")).await;
    let mut published = Vec::new();
    for (relay, name) in &mut relays {
        relay.signal("TERM");
        assert_eq!(relay.exit_code(LIMIT).await, 0, "a relay that is told to stop");
        published.push(outbox.summary(name)["published"].as_u64().unwrap());
    }
    assert_eq!(published.iter().sum::<u64>(), 400, "none is relayed twice: {published:?}");
    assert!(published.iter().all(|count| *count > 0), "both work: {published:?}");
    assert_eq!(outbox.scene.queue.take(400).await.len(), 400);
}

async fn a_broker_that_is_away_finds_every_row_when_it_is_back(kind: Kind) {
    let mut outbox = Outbox::of(Scene::fragile(kind, PRODUCT).await).await;
    let _worker = outbox.scene.quash.worker("alone").await;
    let keys = products(1..=500);
    outbox.scene.cache.fill(&keys).await;
    let mut relay = outbox.start("relay", &["--interval", "50ms", "--batch", "50"]);
    outbox.write(1..=100);
    outbox.scene.gone(&products(1..=100)).await;

    outbox.scene.broker.kill9();
    outbox.write(101..=500);
    eventually(LIMIT, "it says so", async || outbox.log("relay").contains("events wait in the outbox")).await;
    assert_eq!(outbox.rows("where error = ''"), 400, "they stay");
    outbox.scene.broker.restart().await;
    becomes(LIMIT, "all rows are relayed", 0, async || outbox.rows("")).await;
    outbox.scene.gone(&keys).await;
    relay.signal("TERM");
    assert_eq!(relay.exit_code(LIMIT).await, 0);
    assert_eq!(outbox.log("relay").matches("events wait in the outbox").count(), 1, "{}", outbox.log("relay"));
    assert_eq!(outbox.scene.settled().await, 0);
}

async fn a_row_that_can_never_be_published_holds_up_nobody(kind: Kind) {
    let outbox = Outbox::open(kind, &format!("limits: {{ max_message_bytes: 2000 }}\n{PRODUCT}")).await;
    outbox.write(1..=1);
    outbox.write_bodies(&["rubbish".to_owned(), padded(2, 3000), " ".to_owned()]);
    outbox.write(5..=5);
    let ran = outbox.relay(&["--once"]).await.ended_with(1);
    assert!(ran.stdout.contains("2 events") && ran.stdout.contains("3 were refused"), "{}", ran.stdout);
    assert!(ran.stderr.contains("row=3") && ran.stderr.contains("the limit is 2000"), "{}", ran.stderr);
    assert_eq!(outbox.scene.queue.take(2).await.len(), 2);
    let errors = outbox.postgres.psql("select id, left(error, 14) from quash_outbox order by id");
    assert_eq!(errors, "2|not valid JSON\n3|message size i\n4|the body is em");
    // They are out of the way, and what was mended goes.
    outbox.relay(&["--once"]).await.done();
    let mend = format!("update quash_outbox set error = '', body = '{}' where id = 2", update(2));
    outbox.postgres.psql(&mend);
    outbox.relay(&["--once"]).await.done();
    assert_eq!(outbox.rows(""), 2);
    assert_eq!(outbox.scene.queue.take(1).await.len(), 1);
}

#[tokio::test]
async fn a_row_that_is_too_large_for_the_broker_holds_up_nobody() {
    let outbox = Outbox::open(Kind::Nats, &format!("limits: {{ max_message_bytes: 8000000 }}\n{PRODUCT}")).await;
    outbox.write(1..=3);
    outbox.write_bodies(&[padded(4, 2_000_000)]);
    outbox.write(5..=6);
    let ran = outbox.relay(&["--once"]).await.ended_with(1);
    assert!(ran.stderr.contains("row=4") && ran.stderr.contains("the server takes"), "{}", ran.stderr);
    assert_eq!(outbox.postgres.psql("select id from quash_outbox where error like '%the server takes%'"), "4");
    // What went with it in one batch may have gone twice.
    let taken = outbox.scene.queue.take(5).await;
    let ids: Vec<_> = taken.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(ids, [1, 2, 3, 5, 6].map(|id| update(id).to_string()));
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let outbox = Outbox::open(Kind::RedisStreams, PRODUCT).await;
    outbox.make("outbox-notify").await;
    let mut relay = outbox.start("relay", &["--interval", "24h"]);
    let listening =
        "select count(*) from pg_stat_activity where query like 'ROLLBACK%' or query = 'listen quash_outbox'";
    becomes(LIMIT, "it waits", "1".to_owned(), async || outbox.postgres.psql(listening)).await;
    for id in 1..=5 {
        outbox.write(id..=id);
        becomes(LIMIT, "the row is relayed", 0, async || outbox.rows("")).await;
    }
    relay.signal("INT");
    assert_eq!(relay.exit_code(LIMIT).await, 0);
    assert!(outbox.log("relay").contains("published 5 events"), "{}", outbox.log("relay"));
}

#[tokio::test]
async fn a_database_that_crashes_is_waited_for() {
    let mut outbox = Outbox::open(Kind::RedisStreams, PRODUCT).await;
    let mut relay = outbox.start("relay", &["--interval", "50ms"]);
    outbox.write(1..=1);
    becomes(LIMIT, "the row is relayed", 0, async || outbox.rows("")).await;
    for id in 2..=3 {
        outbox.postgres.kill();
        let said = || outbox.log("relay").matches("cannot reach the database").count();
        becomes(LIMIT, "it says so", id - 1, async || said()).await;
        outbox.postgres.restart("").await;
        outbox.write(2..=2);
        becomes(LIMIT, "the row is relayed", 0, async || outbox.rows("")).await;
    }
    relay.signal("TERM");
    assert_eq!(relay.exit_code(LIMIT).await, 0);
    assert_eq!(outbox.scene.queue.take(3).await.len(), 3);
    outbox.postgres.kill();
    let away = outbox.relay(&["--once"]).await.ended_with(69);
    assert!(away.stderr.contains("outbox: cannot reach the database"), "{}", away.stderr);
}

#[tokio::test]
async fn a_user_with_three_rights_relays_and_every_refusal_says_what_is_missing() {
    let outbox = Outbox::open(Kind::RedisStreams, PRODUCT).await;
    let hba = "local all all trust\nhost all relay 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    outbox.postgres.psql("create role relay login password 'hunter2'");
    std::fs::write(outbox.postgres.psql("show hba_file"), hba).unwrap();
    outbox.postgres.psql("select pg_reload_conf()");
    let url = |password: &str| outbox.postgres.url().replace("postgres@", &format!("relay:{password}@"));
    let relay = async |url: String, table: &str, code: i32| {
        let ran =
            outbox.scene.quash.run(&["publish", "--outbox", &url, "--once", "--table", table]).await.ended_with(code);
        assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
        ran.stderr
    };
    becomes(LIMIT, "a password is asked for", true, async || {
        relay(url("hunter2-wrong"), "quash_outbox", 77).await.contains("password authentication failed")
    })
    .await;
    let missing = relay(url("hunter2"), "public.nothing", 77).await;
    assert!(missing.contains("`quash schema outbox` prints the SQL that makes public.nothing"), "{missing}");
    let rights = relay(url("hunter2"), "quash_outbox", 77).await;
    assert!(rights.contains("needs SELECT, UPDATE and DELETE on quash_outbox"), "{rights}");
    outbox.postgres.psql("grant select, update, delete on quash_outbox to relay");
    outbox.write(1..=2);
    outbox.write_bodies(&["rubbish".to_owned()]);
    relay(url("hunter2"), "public.quash_outbox", 1).await;
    assert_eq!(outbox.rows(""), 1);
    let wrong = relay(url("hunter2@x"), "quash_outbox", 2).await;
    assert!(wrong.contains("%40"), "{wrong}");
    relay(url("hunter2"), "quash_outbox; drop table x", 2).await;
}

#[tokio::test]
async fn sslmode_decides_what_is_asked_of_the_certificate() {
    let mut outbox = Outbox::open(Kind::RedisStreams, PRODUCT).await;
    let certificates = Certificates::make();
    let relay = async |outbox: &Outbox, host: &str, options: &str| {
        let url = format!("postgres://postgres@{host}:{}/postgres?{options}", outbox.postgres.port());
        outbox.scene.quash.run(&["publish", "--once", "--outbox", &url]).await
    };
    let plain = relay(&outbox, "127.0.0.1", "sslmode=require").await.ended_with(69);
    assert!(plain.stderr.contains("server does not support TLS"), "{}", plain.stderr);
    relay(&outbox, "127.0.0.1", "sslmode=prefer").await.done();

    outbox.postgres.encrypt(&certificates.path("server.crt"), &certificates.path("server.key")).await;
    std::fs::write(outbox.postgres.psql("show hba_file"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        .unwrap();
    outbox.postgres.psql("select pg_reload_conf()");
    let ca = format!("sslrootcert={}", certificates.path("ca.crt").display());
    becomes(LIMIT, "nothing but TLS is taken", 77, async || relay(&outbox, "127.0.0.1", "sslmode=disable").await.code)
        .await;
    for (host, options, code) in [
        ("127.0.0.1", "sslmode=prefer", 0),
        ("127.0.0.1", "sslmode=require", 0),
        ("127.0.0.1", &format!("sslmode=require&{ca}"), 0),
        ("127.0.0.1", &format!("sslmode=verify-full&{ca}"), 0),
        ("localhost", &format!("sslmode=verify-ca&{ca}"), 0),
        // The certificate names the address alone.
        ("localhost", &format!("sslmode=verify-full&{ca}"), 69),
        // The system trusts others.
        ("127.0.0.1", "sslmode=verify-ca", 69),
        ("127.0.0.1", "sslmode=verify-full", 69),
    ] {
        let ran = relay(&outbox, host, options).await;
        assert_eq!(ran.code, code, "{host} {options}: {}", ran.stderr);
        assert!(code == 0 || ran.stderr.contains("invalid peer certificate"), "{host} {options}: {}", ran.stderr);
    }
}

/// A database with an outbox in front of a scene.
struct Outbox {
    scene: Scene,
    postgres: Postgres,
}

impl Outbox {
    async fn open(kind: Kind, sections: &str) -> Self {
        Self::of(Scene::with(kind, sections).await).await
    }

    async fn of(mut scene: Scene) -> Self {
        let postgres = Postgres::start().await;
        scene.quash = scene.quash.env("QUASH_OUTBOX_URL", &postgres.url());
        let outbox = Self { scene, postgres };
        outbox.make("outbox").await;
        outbox
    }

    /// Runs the SQL that `quash schema` prints.
    async fn make(&self, subject: &str) {
        let sql = Quash::with("").run(&["schema", subject]).await.done().stdout;
        self.postgres.psql(&sql);
    }

    /// Updates of these products, one row each.
    fn write(&self, ids: std::ops::RangeInclusive<u32>) {
        self.run(&insert(ids));
    }

    fn write_bodies(&self, bodies: &[String]) {
        let rows: Vec<_> = bodies.iter().map(|body| format!("('{body}')")).collect();
        self.run(&format!("insert into quash_outbox (body) values {}", rows.join(", ")));
    }

    fn run(&self, sql: &str) {
        self.postgres.psql_file(&self.scene.quash.home().write("rows.sql", sql));
    }

    /// How many rows there are, of those that are meant.
    fn rows(&self, which: &str) -> u32 {
        self.postgres.psql(&format!("select count(*) from quash_outbox {which}")).parse().unwrap()
    }

    /// Runs a relay to its end.
    async fn relay(&self, arguments: &[&str]) -> Ran {
        self.scene.quash.run(&[&["publish", "--outbox", "--log-format", "human"], arguments].concat()).await
    }

    /// Starts one that runs until it is told to stop.
    fn start(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.scene.quash.command(&["publish", "--outbox", "--log-format", "human"]);
        Process::spawn(name, &self.log_file(name), command.args(arguments))
    }

    fn log_file(&self, name: &str) -> std::path::PathBuf {
        self.scene.quash.home().path().join(format!("{name}.log"))
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// What a relay said at its end.
    fn summary(&self, name: &str) -> Value {
        let log = self.log(name);
        let line = log.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no summary: {log}"));
        serde_json::from_str(line).unwrap()
    }
}

fn insert(ids: std::ops::RangeInclusive<u32>) -> String {
    let rows: Vec<_> = ids.map(|id| format!("('{}')", update(id))).collect();
    format!("insert into quash_outbox (body) values {}", rows.join(", "))
}

/// An update of a product in so many bytes and some.
fn padded(id: u32, bytes: usize) -> String {
    let mut event = update(id);
    event["after"]["title"] = json!("x".repeat(bytes));
    event.to_string()
}
