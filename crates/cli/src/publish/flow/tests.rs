//! Promises of publishing, against a broker of a few lines.

use std::cell::RefCell;

use quash_core::event::{EventLimits, Format};
use quash_transport::Headers;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::sync::watch;

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
    let mut validator = Validator { format: Format::Auto, limits: EventLimits::default(), headers: Headers::default() };
    let (mut batch, mut strict) = (500, false);
    change(&mut validator, &mut batch, &mut strict);
    let mut flow = Flow {
        lines: Lines::new(input, 1024, false),
        validator,
        delivery: Delivery::new(broker, stop.clone()),
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

#[tokio::test]
async fn a_bad_line_is_reported_and_the_others_are_published() {
    let input = format!("{EVENT}\nrubbish\n{{\"action\":\"B\"}}\n\n{EVENT}");
    let published = publish_text(&input, |_, _, _| {}).await;
    assert_eq!(published.tally, Tally { published: 2, nothing: 1, refused: 1 });
    assert_eq!(published.batches, [[EVENT, EVENT]]);
    assert!(published.complaints.starts_with("line 2: not valid JSON"), "{}", published.complaints);
    assert_eq!(published.complaints.lines().count(), 1);
}

#[tokio::test]
async fn strict_publishes_what_came_before_the_bad_line_and_stops() {
    let input = format!("{EVENT}\nrubbish\n{EVENT}\n");
    let published = publish_text(&input, |_, _, strict| *strict = true).await;
    assert_eq!(published.tally, Tally { published: 1, nothing: 0, refused: 1 });
    assert_eq!(published.batches, [[EVENT]]);
}

#[tokio::test]
async fn batches_have_at_most_the_lines_asked_for() {
    let input = format!("{EVENT}\n").repeat(5);
    let published = publish_text(&input, |_, batch, _| *batch = 2).await;
    assert_eq!(published.batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
}

#[tokio::test]
async fn another_format_than_the_one_asked_for_is_refused() {
    let published = publish_text(EVENT, |validator, _, _| validator.format = Format::Wal2json).await;
    assert_eq!(published.tally, Tally { published: 0, nothing: 0, refused: 1 });
    assert!(published.complaints.contains("wal2json event: no `action`"), "{}", published.complaints);
}

#[tokio::test]
async fn what_stands_in_the_pipe_is_published_before_stopping() {
    let (mut write, read) = tokio::io::duplex(1024);
    let (_ask, asked) = watch::channel(1);
    write.write_all(format!("{EVENT}\n{EVENT}\nhalf a li").as_bytes()).await.expect("writing memory");
    let published = publish(read, asked, |_, batch, _| *batch = 1).await;
    assert_eq!(published.tally, Tally { published: 2, nothing: 0, refused: 0 });
    drop(write);
}
