//! Promises of publishing, against a broker of a few lines.

use std::cell::RefCell;
use std::collections::BTreeMap;

use quash_core::event::{EventLimits, Format};
use quash_core::key::KeyFormat;
use quash_core::resolve::{Declared, Resolver};
use quash_core::rule::config::Limits;
use quash_transport::Headers;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::sync::watch;

use super::super::warnings::Warnings;
use super::*;

const EVENT: &str = r#"{"entity":"a.B","op":"truncate"}"#;

/// What came of publishing an input.
struct Published {
    tally: Tally,
    batches: Vec<Vec<String>>,
    complaints: String,
}

async fn publish(
    input: impl AsyncRead + Unpin + 'static,
    asked: watch::Receiver<u32>,
    change: impl FnOnce(&mut Validator, &mut usize, &mut bool),
) -> Published {
    let batches = RefCell::new(Vec::new());
    let stop = Stop::of(asked);
    let broker = async |messages: &[Message]| {
        let text = |message: &Message| String::from_utf8_lossy(&message.payload).into_owned();
        batches.borrow_mut().push(messages.iter().map(text).collect());
        Ok(())
    };
    let mut validator = validator();
    let (mut batch, mut strict) = (500, false);
    change(&mut validator, &mut batch, &mut strict);
    let mut flow = Flow {
        lines: Lines::new(input, 1024, false),
        validator,
        delivery: Delivery::new(broker, stop.clone(), Duration::ZERO),
        stop,
        pace: None,
        batch,
        strict,
        complaints: Vec::new(),
    };
    let tally = flow.run().await.expect("a broker that takes everything");
    let complaints = String::from_utf8_lossy(&flow.complaints).into_owned();
    drop(flow);
    Published { tally, batches: batches.into_inner(), complaints }
}

async fn publish_text(input: &str, change: impl FnOnce(&mut Validator, &mut usize, &mut bool)) -> Published {
    let (_ask, asked) = watch::channel(0);
    publish(std::io::Cursor::new(input.to_owned().into_bytes()), asked, change).await
}

fn validator() -> Validator {
    let (limits, headers) = (EventLimits::default(), Headers::default());
    Validator { format: Format::Auto, limits, headers, warnings: None, asked: None }
}

#[tokio::test]
async fn what_cannot_be_read_is_published_all_the_same_and_reported() {
    let long = format!("{{\"entity\":\"a.B\",\"op\":\"truncate\",\"source\":\"{}\"}}", "x".repeat(500));
    let input = format!("{EVENT}\nrubbish\n{{\"action\":\"B\"}}\n\n{EVENT}\n{long}");
    let published = publish_text(&input, |validator, _, _| validator.limits.max_message_bytes = 400).await;
    assert_eq!(published.tally, Tally { published: 4, unreadable: 2, nothing: 1, ..Tally::default() });
    assert_eq!(published.batches, [[EVENT, "rubbish", EVENT, &long]]);
    let complaints: Vec<&str> = published.complaints.lines().collect();
    assert!(complaints[0].starts_with("line 2: not valid JSON"), "{complaints:?}");
    assert!(complaints[0].ends_with("; it becomes a dead letter: rubbish"), "{complaints:?}");
    assert!(complaints[1].starts_with("line 6: message size is"), "{complaints:?}");
    assert_eq!(complaints.len(), 2);
}

#[tokio::test]
async fn bytes_that_are_no_text_go_out_as_they_came() {
    let (_ask, asked) = watch::channel(0);
    let input = b"{\"entity\":\"a.B\",\"op\":\"truncate\",\"x\":\"caf\xe9\"}\n";
    let published = publish(std::io::Cursor::new(input.to_vec()), asked, |_, _, _| ()).await;
    assert_eq!(published.tally, Tally { published: 1, unreadable: 1, ..Tally::default() });
    assert!(published.complaints.contains("not valid UTF-8"), "{}", published.complaints);
}

#[tokio::test]
async fn an_entity_that_no_cache_depends_on_is_doubted_once_and_sent() {
    let rules = || {
        let caches = [(
            "product".to_owned(),
            serde_json::from_value(serde_json::json!({
                "key": "product:{id}", "depends_on": [{ "row": "shop.Product" }],
            }))
            .expect("a cache"),
        )];
        let targets = [("main".to_owned(), KeyFormat::default())];
        let (caches, targets) = (BTreeMap::from(caches), BTreeMap::from(targets));
        let limits = Limits::default();
        let (entities, secrets) = (BTreeMap::new(), BTreeMap::new());
        let declared = Declared {
            targets: &targets,
            caches: &caches,
            entities: &entities,
            on_unknown: None,
            secrets: &secrets,
            limits,
        };
        Warnings::new(Resolver::compile(declared).0.expect("right rules"))
    };
    let event = |entity: &str| format!("{{\"entity\":\"{entity}\",\"op\":\"truncate\"}}\n");
    let input = event("shop.Prodct").repeat(2) + &event("shop.Product") + &event("audit.Log");
    let published = publish_text(&input, |validator, _, _| validator.warnings = Some(rules())).await;
    assert_eq!(published.tally, Tally { published: 4, ..Tally::default() });
    let expect = "line 1: no cache depends on `shop.Prodct`, did you mean `shop.Product`?\n\
                  line 4: no cache depends on `audit.Log`\n";
    assert_eq!(published.complaints, expect);
    let published = publish_text(&input, |validator, _, strict| {
        (validator.warnings, *strict) = (Some(rules()), true);
    });
    assert_eq!(published.await.tally, Tally { refused: 1, ..Tally::default() });
}

#[tokio::test]
async fn strict_publishes_what_came_before_the_bad_line_and_stops() {
    let input = format!("{EVENT}\nrubbish\n{EVENT}\n");
    let published = publish_text(&input, |_, _, strict| *strict = true).await;
    assert_eq!(published.tally, Tally { published: 1, refused: 1, ..Tally::default() });
    assert_eq!(published.batches, [[EVENT]]);
}

#[tokio::test]
async fn batches_have_at_most_the_lines_asked_for() {
    let input = format!("{EVENT}\n").repeat(5);
    let published = publish_text(&input, |_, batch, _| *batch = 2).await;
    assert_eq!(published.batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
}

#[tokio::test]
async fn another_format_than_the_one_asked_for_cannot_be_read() {
    let published = publish_text(EVENT, |validator, _, _| validator.format = Format::Wal2json).await;
    assert_eq!(published.tally, Tally { published: 1, unreadable: 1, ..Tally::default() });
    assert!(published.complaints.contains("wal2json event: no `action`"), "{}", published.complaints);
}

#[tokio::test]
async fn what_stands_in_the_pipe_is_published_before_stopping() {
    let (mut write, read) = tokio::io::duplex(1024);
    let (_ask, asked) = watch::channel(1);
    write.write_all(format!("{EVENT}\n{EVENT}\nhalf a li").as_bytes()).await.expect("writing memory");
    let published = publish(read, asked, |_, batch, _| *batch = 1).await;
    assert_eq!(published.tally, Tally { published: 2, ..Tally::default() });
    drop(write);
}
