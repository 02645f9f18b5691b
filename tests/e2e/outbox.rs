//! Proves that what a transaction wrote to the outbox reaches the broker if and only if it was committed, whatever is killed.

use quash_e2e::{Certificates, Kind, Postgres, Quash, Ran, Worker, becomes, eventually};
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
    let outbox = Outbox::open(kind, "{ batch: 7 }", PRODUCT).await;
    outbox.write(1..=20);
    outbox.postgres.psql(&format!("begin; {}; rollback", insert(100..=120)));
    outbox.write(21..=40);
    let mut relay = outbox.relay("relay");
    outbox.is_empty().await;
    let bodies = outbox.scene.queue.take(40).await;
    let ids: Vec<_> = bodies.iter().map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap()).collect();
    let ids: Vec<_> = ids.iter().map(|event| event["key"]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
    becomes(LIMIT, "they are counted", 40.0, async || relayed(&relay).await).await;
    let is_known = async || relay.metrics().await.contains("quash_relay_lag_seconds{relay=\"shop\"} 0");
    eventually(LIMIT, "nothing waits", is_known).await;
    let metrics = relay.metrics().await;
    for unknown in ["quash_relay_lag_bytes{", "quash_relay_transactions_total{"] {
        assert!(!metrics.contains(unknown), "an outbox knows nothing of a log: {metrics}");
    }
    assert_eq!(relay.terminate().await, 0);
}

async fn a_relay_that_is_killed_again_and_again_loses_nothing(kind: Kind) {
    const ROWS: u32 = 6_000;
    let outbox = Outbox::open(kind, "{ batch: 10 }", PRODUCT).await;
    let _worker = outbox.scene.quash.worker("alone").await;
    let keys = products(1..=ROWS);
    outbox.scene.cache.fill(&keys).await;
    outbox.write(1..=ROWS);
    let mut relay = outbox.relay("killed");
    for kills in 1..=4 {
        let left = ROWS - kills * ROWS / 6;
        eventually(LIMIT, "some rows are relayed", async || outbox.rows("") < left).await;
        relay.kill9();
        assert!(outbox.rows("") > 0, "it was killed in the middle");
        relay.restart();
    }
    outbox.is_empty().await;
    outbox.scene.gone(&keys).await;
    assert_eq!(outbox.scene.settled().await, 0);
}

async fn two_relays_share_the_rows(kind: Kind) {
    let outbox = Outbox::open(kind, "{ batch: 5, interval: 20ms }", PRODUCT).await;
    let mut relays = ["one", "other"].map(|name| outbox.relay(name));
    let mut written: u32 = 0;
    eventually(LIMIT, "both work", async || {
        outbox.write(written + 1..=written + 50);
        written += 50;
        relayed(&relays[0]).await > 0.0 && relayed(&relays[1]).await > 0.0
    })
    .await;
    outbox.is_empty().await;
    let sum = async || relayed(&relays[0]).await + relayed(&relays[1]).await;
    becomes(LIMIT, "none is relayed twice", f64::from(written), sum).await;
    for relay in &mut relays {
        assert_eq!(relay.terminate().await, 0, "a relay that is told to stop");
    }
    assert_eq!(outbox.scene.queue.take(written as usize).await.len(), written as usize);
}

async fn a_broker_that_is_away_finds_every_row_when_it_is_back(kind: Kind) {
    let mut outbox = Outbox::of(async |sections| Scene::fragile(kind, sections).await, "{ batch: 50 }", PRODUCT).await;
    let _worker = outbox.scene.quash.worker("alone").await;
    let keys = products(1..=500);
    outbox.scene.cache.fill(&keys).await;
    let mut relay = outbox.relay("relay");
    outbox.write(1..=100);
    outbox.scene.gone(&products(1..=100)).await;

    outbox.scene.broker.kill9();
    outbox.write(101..=500);
    eventually(LIMIT, "it says so", async || relay.log().contains("not relayed; the database keeps the changes")).await;
    assert_eq!(outbox.rows("where error = ''"), 400, "they stay");
    outbox.scene.broker.restart().await;
    outbox.is_empty().await;
    outbox.scene.gone(&keys).await;
    assert_eq!(relay.terminate().await, 0);
    assert_eq!(outbox.scene.settled().await, 0);
}

async fn a_row_that_can_never_be_published_holds_up_nobody(kind: Kind) {
    let limits = format!("limits: {{ max_message_bytes: 2000 }}\n{PRODUCT}");
    let outbox = Outbox::open(kind, "{ interval: 20ms }", &limits).await;
    outbox.write(1..=1);
    outbox.write_bodies(&["rubbish".to_owned(), padded(2, 3000), " ".to_owned()]);
    outbox.write(5..=5);
    let relay = outbox.relay("relay");
    becomes(LIMIT, "the others go", 3, async || outbox.rows("")).await;
    assert_eq!(outbox.scene.queue.take(2).await.len(), 2);
    let errors = outbox.postgres.psql("select id, left(error, 14) from quash_outbox order by id");
    assert_eq!(errors, "2|not valid JSON\n3|message size i\n4|the body is em");
    said(&relay, "row=3", "the limit is 2000").await;
    let text = outbox.check("quash_outbox", "").await.done().stdout;
    assert!(text.contains("! 3 rows of quash_outbox can never be published"), "{text}");
    // They are out of the way, and what was mended goes.
    let mend = format!("update quash_outbox set error = '', body = '{}' where id = 2", update(2));
    outbox.postgres.psql(&mend);
    becomes(LIMIT, "what was mended goes", 2, async || outbox.rows("")).await;
    assert_eq!(outbox.scene.queue.take(1).await.len(), 1);
}

#[tokio::test]
async fn a_row_that_is_too_large_for_the_broker_holds_up_nobody() {
    let limits = format!("limits: {{ max_message_bytes: 8000000 }}\n{PRODUCT}");
    let outbox = Outbox::open(Kind::Nats, "{}", &limits).await;
    outbox.write(1..=3);
    outbox.write_bodies(&[padded(4, 2_000_000)]);
    outbox.write(5..=6);
    let relay = outbox.relay("relay");
    becomes(LIMIT, "the others go", 1, async || outbox.rows("")).await;
    said(&relay, "row=4", "the server takes").await;
    assert_eq!(outbox.postgres.psql("select id from quash_outbox where error like '%the server takes%'"), "4");
    // What went with it in one batch may have gone twice.
    let taken = outbox.scene.queue.take(5).await;
    let ids: Vec<_> = taken.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(ids, [1, 2, 3, 5, 6].map(|id| update(id).to_string()));
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let outbox = Outbox::open(Kind::RedisStreams, "{ interval: 24h }", PRODUCT).await;
    outbox.make("outbox-notify").await;
    let mut relay = outbox.relay("relay");
    let listening =
        "select count(*) from pg_stat_activity where query like 'ROLLBACK%' or query = 'listen quash_outbox'";
    becomes(LIMIT, "it waits", "1".to_owned(), async || outbox.postgres.psql(listening)).await;
    for id in 1..=5 {
        outbox.write(id..=id);
        outbox.is_empty().await;
    }
    relay.signal("INT");
    assert_eq!(relay.exit_code().await, 0);
    assert_eq!(outbox.scene.queue.take(5).await.len(), 5);
}

#[tokio::test]
async fn a_database_that_crashes_is_waited_for() {
    let mut outbox = Outbox::open(Kind::RedisStreams, "{ interval: 50ms }", PRODUCT).await;
    let mut relay = outbox.relay("relay");
    outbox.write(1..=1);
    outbox.is_empty().await;
    outbox.postgres.kill();
    eventually(LIMIT, "it says so", async || relay.log().contains("cannot reach the database")).await;
    let is_absent = async || !relay.metrics().await.contains("quash_relay_lag_seconds{");
    eventually(LIMIT, "what is not known is absent", is_absent).await;
    let away = outbox.check("quash_outbox", "").await.ended_with(69).stdout;
    assert!(away.contains("cannot reach the database"), "{away}");
    outbox.postgres.restart("").await;
    outbox.write(2..=3);
    outbox.is_empty().await;
    assert_eq!(relay.terminate().await, 0);
    assert_eq!(outbox.scene.queue.take(3).await.len(), 3);
}

#[tokio::test]
async fn a_user_with_three_rights_relays_and_every_refusal_says_what_is_missing() {
    let outbox = Outbox::open(Kind::RedisStreams, "{}", PRODUCT).await;
    let hba = "local all all trust\nhost all relay 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    outbox.postgres.psql("create role relay login password 'hunter2'");
    std::fs::write(outbox.postgres.psql("show hba_file"), hba).unwrap();
    outbox.postgres.psql("select pg_reload_conf()");
    let check = async |password: &str, table: &str| {
        let ran = outbox.check(table, &format!("relay:{password}")).await;
        assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
        ran
    };
    becomes(LIMIT, "a password is asked for", true, async || {
        check("hunter2-wrong", "quash_outbox").await.stdout.contains("password authentication failed")
    })
    .await;
    let missing = check("hunter2", "public.nothing").await.ended_with(1).stdout;
    assert!(missing.contains("`quash schema outbox` prints the SQL that makes public.nothing"), "{missing}");
    let rights = check("hunter2", "quash_outbox").await.ended_with(1).stdout;
    assert!(rights.contains("needs SELECT, UPDATE and DELETE on quash_outbox"), "{rights}");
    outbox.postgres.psql("grant select on quash_outbox to relay");
    let rights = check("hunter2", "quash_outbox").await.ended_with(1).stdout;
    assert!(rights.contains("✗ its rows cannot be removed from quash_outbox"), "{rights}");
    outbox.postgres.psql("grant update, delete on quash_outbox to relay");
    let text = check("hunter2", "public.quash_outbox").await.done().stdout;
    assert!(text.contains("relay shop (outbox)") && text.contains("✓ outbox public.quash_outbox is there"), "{text}");
    outbox.write(1..=2);
    let config = outbox.config("public.quash_outbox", "relay:hunter2");
    let quash = Quash::with(&config);
    let _relay = quash.start_relay("relay");
    outbox.is_empty().await;
    let wrong = check("hunter2@x", "quash_outbox").await.ended_with(78);
    assert!(format!("{wrong:?}").contains("%40"), "{wrong:?}");
    check("hunter2", "quash_outbox; drop table x").await.ended_with(78);
}

#[tokio::test]
async fn sslmode_decides_what_is_asked_of_the_certificate() {
    let mut outbox = Outbox::open(Kind::RedisStreams, "{}", PRODUCT).await;
    let certificates = Certificates::make();
    let check = async |outbox: &Outbox, host: &str, options: &str| {
        let url = format!("postgres://postgres@{host}:{}/postgres?{options}", outbox.postgres.port());
        let config = outbox.config("quash_outbox", "").replace(&outbox.postgres.url(), &url);
        Quash::with(&config).run(&["check", "--connect"]).await
    };
    let plain = check(&outbox, "127.0.0.1", "sslmode=require").await.ended_with(69).stdout;
    assert!(plain.contains("server does not support TLS"), "{plain}");
    check(&outbox, "127.0.0.1", "sslmode=prefer").await.done();

    outbox.postgres.encrypt(&certificates.path("server.crt"), &certificates.path("server.key")).await;
    std::fs::write(outbox.postgres.psql("show hba_file"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        .unwrap();
    outbox.postgres.psql("select pg_reload_conf()");
    let ca = format!("sslrootcert={}", certificates.path("ca.crt").display());
    becomes(LIMIT, "nothing but TLS is taken", 1, async || check(&outbox, "127.0.0.1", "sslmode=disable").await.code)
        .await;
    for (host, options, trusted) in [
        ("127.0.0.1", "sslmode=prefer", true),
        ("127.0.0.1", "sslmode=require", true),
        ("127.0.0.1", &format!("sslmode=require&{ca}"), true),
        ("127.0.0.1", &format!("sslmode=verify-full&{ca}"), true),
        ("localhost", &format!("sslmode=verify-ca&{ca}"), true),
        // The certificate names the address alone.
        ("localhost", &format!("sslmode=verify-full&{ca}"), false),
        // The system trusts others.
        ("127.0.0.1", "sslmode=verify-ca", false),
        ("127.0.0.1", "sslmode=verify-full", false),
    ] {
        let ran = check(&outbox, host, options).await;
        assert_eq!(ran.code == 0, trusted, "{host} {options}: {}", ran.stdout);
        assert!(trusted || ran.stdout.contains("invalid peer certificate"), "{host} {options}: {}", ran.stdout);
    }
}

/// A database with an outbox in front of a scene.
struct Outbox {
    scene: Scene,
    postgres: Postgres,
}

impl Outbox {
    async fn open(kind: Kind, options: &str, sections: &str) -> Self {
        Self::of(async |sections| Scene::with(kind, sections).await, options, sections).await
    }

    async fn of(scene: impl AsyncFnOnce(&str) -> Scene, options: &str, sections: &str) -> Self {
        let postgres = Postgres::start().await;
        let declared = format!(
            "servers: {{ shop: {{ postgres: {{ url: \"{}\" }} }} }}\n\
             relay: {{ shop: {{ server: shop, outbox: {options}, to: events }} }}\n{sections}",
            postgres.url()
        );
        let outbox = Self { scene: scene(&declared).await, postgres };
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

    async fn is_empty(&self) {
        becomes(LIMIT, "all rows are relayed", 0, async || self.rows("")).await;
    }

    fn relay(&self, name: &str) -> Worker {
        self.scene.quash.start_relay(name)
    }

    /// The configuration with another table, and another user where one is given.
    fn config(&self, table: &str, user: &str) -> String {
        let config = std::fs::read_to_string(self.scene.quash.config()).unwrap();
        let config = config.replace("outbox: {}", &format!("outbox: {{ table: '{table}' }}"));
        if user.is_empty() { config } else { config.replace("postgres@", &format!("{user}@")) }
    }

    /// Checks that configuration and what it names.
    async fn check(&self, table: &str, user: &str) -> Ran {
        Quash::with(&self.config(table, user)).run(&["check", "--connect"]).await
    }
}

/// Rows that a relay says the broker has; none before it answers.
async fn relayed(relay: &Worker) -> f64 {
    match quash_e2e::get(relay.admin(), "/metrics").await {
        Ok(_) => relay.metric("quash_relay_rows_total", &["relay=\"shop\""]).await,
        Err(_) => 0.0,
    }
}

/// Waits until a relay has said in one line of its log why a row stays.
async fn said(relay: &Worker, row: &str, why: &str) {
    let is_said = async || relay.log().lines().any(|line| line.contains(row) && line.contains(why));
    eventually(LIMIT, "the log says why a row stays", is_said).await;
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
