//! Replays and discards over HTTP: dry runs, confirmation, progress, stopping.

use quash_delivery::record::{Reason, Record};
use quash_transport::Message;
use quash_worker::dead_letter::testing::{message, record};
use serde_json::{Value, json};

use super::site::Site;

fn letters(count: usize) -> Vec<Message> {
    (0..count).map(|_| message(&record(Reason::TargetError), "{}")).collect()
}

/// The job once it has ended.
async fn ended(site: &Site, job: &Value) -> Value {
    loop {
        let seen = site.json(&format!("/api/v1/jobs/{}", job["job"])).await;
        if !["selecting", "running"].contains(&seen["stage"].as_str().unwrap()) {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dry_run_shows_and_does_nothing_and_a_replay_takes_the_set() {
    let site = Site::open(letters(300)).await;
    let dry = site.post("/api/v1/replay", &json!({ "filter": "reason:target_error", "dry_run": true })).await.json();
    assert_eq!(
        (&dry["stage"], &dry["matched"], &dry["replayed"], &dry["left"]),
        (&json!("done"), &json!(300), &json!(0), &json!(0)),
        "{dry}"
    );
    assert_eq!(
        (dry["sample"].as_array().map(Vec::len), site.broker.ids().len(), site.broker.published().len()),
        (Some(20), 300, 0)
    );

    let none = site.post("/api/v1/replay", &json!({ "filter": "reason:decode" })).await.json();
    assert_eq!((&none["stage"], &none["matched"]), (&json!("done"), &json!(0)));
    let two = site.post("/api/v1/replay", &json!({ "ids": ["7", "9", "999"] })).await.json();
    assert_eq!((&two["replayed"], &two["missing"]), (&json!(2), &json!(["999"])), "{two}");
    let rest = site.post("/api/v1/replay", &json!({ "all": true, "confirm": 298 })).await.json();
    assert_eq!(
        (&rest["stage"], &rest["replayed"], &rest["left"], &rest["who"]),
        (&json!("done"), &json!(298), &json!(0), &json!("local")),
        "{rest}"
    );
    assert_eq!((site.broker.ids().len(), site.broker.published().concat().len()), (0, 300));
    assert_eq!(site.json("/api/v1/letters").await["total"], 0, "whoever looks next is not shown what is gone");
    assert_eq!(site.json("/api/v1/jobs").await["jobs"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn what_is_meant_has_to_be_said() {
    let site = Site::open(letters(2)).await;
    for (body, status) in [
        (json!({}), 400),
        (json!({ "filter": "" }), 400),
        (json!({ "filter": "raeson:x" }), 400),
        (json!({ "al": true }), 400),
        (json!({ "all": true, "rate": "fast" }), 400),
        (json!({ "all": true, "source": "other" }), 404),
    ] {
        for path in ["/api/v1/replay", "/api/v1/discard"] {
            assert_eq!(site.post(path, &body).await.status, status, "{path} {body}");
        }
    }
    assert_eq!(site.broker.ids().len(), 2);
}

#[tokio::test]
async fn many_letters_are_discarded_only_by_their_number() {
    let site = Site::open(letters(101)).await;
    for confirm in [json!(null), json!(100)] {
        let refused = site.post("/api/v1/discard", &json!({ "all": true, "confirm": confirm })).await.json();
        assert_eq!(
            (&refused["stage"], &refused["left"], site.broker.ids().len()),
            (&json!("refused"), &json!(101), 101),
            "{refused}"
        );
        assert!(refused["error"].as_str().is_some_and(|error| error.contains("101 letters")), "{refused}");
    }
    let one = site.post("/api/v1/discard", &json!({ "ids": ["1"] })).await.json();
    assert_eq!((&one["stage"], &one["discarded"]), (&json!("done"), &json!(1)), "{one}");
    let few = site.post("/api/v1/discard", &json!({ "all": true, "confirm": 100 })).await.json();
    assert_eq!((&few["stage"], &few["discarded"], site.broker.ids().len()), (&json!("done"), &json!(100), 0), "{few}");
}

#[tokio::test]
async fn a_replay_is_stopped_between_two_batches_and_one_runs_at_a_time() {
    let site = Site::open(letters(50)).await;
    let begun = site.post("/api/v1/replay", &json!({ "all": true, "rate": "1/h" })).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let begun: Value = serde_json::from_str(&begun.body).unwrap();
    assert_eq!(
        (&begun["stage"], &begun["replayed"], &begun["left"]),
        (&json!("running"), &json!(1), &json!(49)),
        "{begun}"
    );
    let second = site.post("/api/v1/discard", &json!({ "all": true })).await;
    assert!(second.status == 409 && second.body.contains("job 1 by local"), "{second:?}");
    let page = site.get("/jobs/1").await.body;
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("action=\"/jobs/1/stop\""), "{page}");
    let stopped = site.post("/api/v1/jobs/1/stop", &json!({})).await.json();
    assert_eq!(
        (&stopped["stage"], &stopped["replayed"], &stopped["left"]),
        (&json!("stopped"), &json!(1), &json!(49)),
        "{stopped}"
    );
    assert_eq!((site.broker.ids().len(), ended(&site, &begun).await["stage"].as_str()), (49, Some("stopped")));
}

#[tokio::test]
async fn a_broker_that_breaks_it_off_is_said() {
    let site = Site::open(letters(300)).await;
    site.broker.break_after(1);
    let failed = site.post("/api/v1/replay", &json!({ "all": true })).await.json();
    assert_eq!(
        (&failed["stage"], &failed["replayed"], &failed["unclear"]),
        (&json!("failed"), &json!(128), &json!(128)),
        "{failed}"
    );
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("cannot reach the broker")), "{failed}");
}

#[tokio::test]
async fn pages_replay_a_group_with_two_clicks() {
    let circling = message(&Record { replays: 3, ..record(Reason::TargetError) }, "{}");
    let site = Site::open(letters(3).into_iter().chain([circling])).await;
    let groups = site.get("/groups").await.body;
    let (_, link) = groups.split_once("class=\"button\" href=\"").unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let form = site.get(&link).await.body;
    assert!(form.contains("4 letters are meant") && form.contains("1 of them came back"), "{form}");
    let (_, filter) = form.split_once("name=\"filter\" value=\"").unwrap();
    assert!(
        filter.starts_with("reason:target_error target:main cache:product error:&quot;OOM at * MB&quot;\""),
        "{filter}"
    );
    let sent = site.send("/replay", "source=events&filter=reason%3Atarget_error&rate=").await;
    assert_eq!((sent.status, sent.header("location")), (303, Some("/jobs/1")));
    let job = site.get("/jobs/1").await.body;
    assert!(job.contains("Left out, since they go in circles") && !job.contains("http-equiv"), "{job}");
    assert_eq!(site.broker.ids(), [4]);
    let number = site.get("/discard?all=1").await.body;
    assert!(!number.contains("name=\"confirm\""), "one letter needs no number: {number}");
}
