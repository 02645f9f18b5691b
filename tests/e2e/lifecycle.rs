//! Proves that a worker may be started, reloaded, stopped and killed at any moment.

use std::time::Duration;

use quash_e2e::{Broker, Kind, becomes, eventually, get};
use tokio::time::{Instant, sleep_until};

use crate::scene::{HASTY, LIMIT, PRODUCT, Scene, bodies, on_every_broker, products, updates};

on_every_broker!(
    a_worker_that_is_asked_to_stop_drains_and_ends_with_0,
    workers_killed_at_any_moment_lose_nothing,
    a_queue_that_is_killed_and_comes_back_loses_nothing,
    the_metrics_that_dashboards_know_are_there,
    a_reload_takes_new_rules_and_keeps_the_old_ones_when_the_new_ones_are_wrong,
    a_watched_configuration_is_taken_when_it_is_written,
);

async fn a_worker_that_is_asked_to_stop_drains_and_ends_with_0(kind: Kind) {
    const EVENTS: u32 = 20_000;
    let broker = Broker::shared(kind).await;
    let queue = match kind {
        // Nobody gets what is left to a timeout within this test.
        Kind::RedisStreams => broker.queue().with("claim_after", "10m"),
        Kind::Nats => broker.queue().with("ack_wait", "10m"),
        Kind::Amqp => broker.queue(),
    };
    let scene = Scene::of(broker, queue, PRODUCT).await;
    let keys = products(0..EVENTS);
    // The moment at which the signal finds the worker is another one each time.
    for _ in 0..5 {
        scene.cache.fill(&keys).await;
        scene.queue.publish(bodies(&updates(0..EVENTS))).await;
        let mut first = scene.quash.start_worker("first");
        eventually(LIMIT, "it is in the middle", async || scene.cache.count(&keys).await < keys.len()).await;
        assert_eq!(first.terminate().await, 0);

        // What it took and did not finish is there for others at once, not after a timeout. NATS goes on counting it.
        if kind != Kind::Nats {
            assert_eq!(scene.queue.unsettled().await, 0);
        }
        let _second = scene.quash.worker("second").await;
        scene.gone(&keys).await;
        assert_eq!(scene.settled().await, 0);
    }
}

async fn workers_killed_at_any_moment_lose_nothing(kind: Kind) {
    const KILLS: u32 = 10;
    const PER_KILL: u32 = 1_000;
    let scene = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    let keys = products(0..KILLS * PER_KILL);
    scene.cache.fill(&keys).await;
    let mut victim = scene.quash.worker("victim").await;
    let _other = scene.quash.worker("other").await;
    for kill in 0..KILLS {
        let moment = Instant::now() + Duration::from_millis(fastrand::u64(0..300));
        scene.queue.publish(bodies(&updates(kill * PER_KILL..(kill + 1) * PER_KILL))).await;
        sleep_until(moment).await;
        victim.kill9();
        victim.restart();
    }
    scene.gone(&keys).await;
    // A message that was in a worker's hands when it was killed is no poison after one such death.
    assert_eq!(scene.settled().await, 0);
}

async fn a_queue_that_is_killed_and_comes_back_loses_nothing(kind: Kind) {
    let mut scene = Scene::fragile(kind, PRODUCT).await;
    let keys = products(0..6_000);
    scene.cache.fill(&keys).await;
    let mut worker = scene.quash.worker("alone").await;
    for round in 0..3 {
        scene.queue.publish(bodies(&updates(round * 2_000..(round + 1) * 2_000))).await;
        scene.broker.restart().await;
    }
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
    assert!(worker.lives());
}

#[tokio::test]
async fn health_says_whether_the_worker_is_well() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let mut worker = scene.quash.worker("alone").await;
    let config =
        format!("{},{}", scene.quash.config().display(), scene.quash.home().path().join("alone.worker.yaml").display());
    let health = ["health", "-c", &config];
    scene.quash.run(&health).await.done();
    worker.kill9();
    scene.quash.run(&health).await.ended_with(69);
}

async fn the_metrics_that_dashboards_know_are_there(kind: Kind) {
    let scene = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    let worker = scene.quash.worker("alone").await;
    scene.cache.fill(&products([1])).await;
    scene.queue.publish(bodies(&updates([1]))).await;
    scene.queue.publish(["no event"]).await;
    scene.gone(&products([1])).await;
    assert_eq!(scene.settled().await, 1);

    let values = [
        ("quash_events_received_total", "source=\"events\"", 2.0),
        ("quash_events_total", "source=\"events\"", 2.0),
        ("quash_source_connected", "source=\"events\"", 1.0),
        ("quash_inflight_events", "source=\"events\"", 0.0),
        ("quash_cache_matches_total", "cache=\"product\"", 1.0),
        ("quash_actions_total", "target=\"main\"", 1.0),
        ("quash_keys_removed_total", "target=\"main\"", 1.0),
        ("quash_lane_open", "target=\"main\"", 0.0),
        ("quash_dead_letters_total", "reason=\"decode\"", 1.0),
        ("quash_config_last_reload_successful", "", 1.0),
    ];
    for (name, label, value) in values {
        becomes(LIMIT, &format!("{name}{{{label}}}"), value, async || worker.metric(name, &[label]).await).await;
    }
    let page = worker.metrics().await;
    for name in [
        "quash_build_info{",
        "quash_batch_events_",
        "quash_process_duration_seconds_",
        "quash_action_duration_seconds_",
    ] {
        assert!(page.contains(name), "{name} in\n{page}");
    }
    assert_eq!(get(worker.admin(), "/no-such-page").await.unwrap().status, 404);
}

async fn a_reload_takes_new_rules_and_keeps_the_old_ones_when_the_new_ones_are_wrong(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    let good = std::fs::read_to_string(scene.quash.config()).unwrap();
    let mut worker = scene.quash.worker("alone").await;

    std::fs::write(scene.quash.config(), good.replace("depends_on", "depends_upon")).unwrap();
    worker.signal("HUP");
    eventually(LIMIT, "the reload is refused", async || {
        worker.metric("quash_config_last_reload_successful", &[]).await == 0.0
    })
    .await;
    assert!(worker.log().contains("quash.yaml:"), "the log says where: {}", worker.log());
    invalidates(&scene, 1, "product:1").await;

    std::fs::write(scene.quash.config(), good.replace("product:{id}", "renamed:{id}")).unwrap();
    worker.signal("HUP");
    eventually(LIMIT, "the reload is taken", async || {
        worker.metric("quash_config_last_reload_successful", &[]).await == 1.0
    })
    .await;
    invalidates(&scene, 2, "renamed:2").await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_watched_configuration_is_taken_when_it_is_written(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    let good = std::fs::read_to_string(scene.quash.config()).unwrap();
    let mut worker = scene.quash.start_worker_with("alone", &["--watch"]);
    worker.ready().await;
    invalidates(&scene, 1, "product:1").await;
    std::fs::write(scene.quash.config(), good.replace("product:{id}", "renamed:{id}")).unwrap();
    eventually(LIMIT, "the reload is taken", async || worker.log().contains("configuration reloaded")).await;
    invalidates(&scene, 2, "renamed:2").await;
    assert_eq!(scene.settled().await, 0);
}

async fn invalidates(scene: &Scene, id: u32, key: &str) {
    scene.cache.fill(&[key.to_owned()]).await;
    scene.queue.publish(bodies(&updates([id]))).await;
    scene.gone(&[key.to_owned()]).await;
}
