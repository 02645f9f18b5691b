//! Proves that who is not let in is told so, with what mends it, and not that a server is away.

use quash_e2e::{Kind, eventually, get};
use redis::aio::MultiplexedConnection;

use crate::scene::{LIMIT, PRODUCT, Scene, bodies, products, updates};

/// What mends it.
const CURE: &str = "compare the user and the password with the server's";

/// Asks for a password from now on, of those who were let in too.
async fn lock(server: &mut MultiplexedConnection) {
    let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", "another"]).query_async(server).await.unwrap();
    let () = redis::cmd("AUTH").arg("another").query_async(server).await.unwrap();
    let _: u64 =
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query_async(server).await.unwrap();
}

async fn unlock(server: &mut MultiplexedConnection) {
    let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).query_async(server).await.unwrap();
}

#[tokio::test]
async fn a_cache_that_wants_another_password_is_not_called_away() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let keys = products(0..5);
    scene.cache.fill(&keys).await;
    let mut cache = scene.cache.connect().await;
    let worker = scene.quash.worker("alone").await;
    lock(&mut cache).await;
    scene.queue.publish(bodies(&updates(0..5))).await;
    eventually(LIMIT, "the log says why", async || {
        let log = worker.log();
        log.lines().any(|line| line.contains("does not let this user in: NOAUTH") && line.contains(CURE))
    })
    .await;
    eventually(LIMIT, "readiness says what mends it", async || {
        get(worker.admin(), "/readyz").await.is_ok_and(|answer| answer.status == 503 && answer.body.contains(CURE))
    })
    .await;
    let health = scene.quash.run(&["health", "--url", &format!("http://{}", worker.admin())]).await.ended_with(1);
    assert!(format!("{}{}", health.stdout, health.stderr).contains(CURE), "{} {}", health.stdout, health.stderr);

    // They wait until it lets the worker in.
    unlock(&mut cache).await;
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
}

#[tokio::test]
async fn a_queue_that_wants_another_password_says_so_and_letters_name_a_missing_right() {
    let scene = Scene::fragile(Kind::RedisStreams, PRODUCT).await;
    let keys = products(0..1);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    let client = redis::Client::open(scene.broker.url()).unwrap();
    let mut queue = client.get_multiplexed_async_connection().await.unwrap();
    lock(&mut queue).await;
    eventually(LIMIT, "the log says why", async || {
        worker.log().lines().any(|line| line.contains("NOAUTH") && line.contains(CURE))
    })
    .await;
    eventually(LIMIT, "readiness says what mends it", async || {
        get(worker.admin(), "/readyz").await.is_ok_and(|answer| answer.status == 503 && answer.body.contains(CURE))
    })
    .await;
    let checked = scene.quash.run(&["check", "--connect"]).await;
    assert!(format!("{}{}", checked.stdout, checked.stderr).contains(CURE), "{} {}", checked.stdout, checked.stderr);
    unlock(&mut queue).await;
    scene.queue.publish(bodies(&updates(0..1))).await;
    scene.gone(&keys).await;
    drop(worker);

    let (scene, _) = crate::dlq::with_letters(Kind::RedisStreams, 2).await;
    let groups = scene.quash.run(&["dlq", "groups"]).await.done();
    assert!(groups.stdout.contains("give this user the rights"), "{}", groups.stdout);
}
