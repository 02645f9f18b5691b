//! Promises that dead letters can be looked at and removed although the protocol knows no looking.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use quash_e2e::{becomes, eventually};
use quash_transport::{DeadLetters, LetterId, Message, Transport, TransportError};

use super::node::{Fixture, LIMIT, numbered};

/// A driver of its own beside the transport, as other tools are.
async fn raw(fixture: &Fixture) -> (Connection, Channel) {
    let url = format!("amqp://guest:guest@{}", fixture.address());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

async fn publish(channel: &Channel, queue: &str, body: &str, properties: BasicProperties) {
    let publishing =
        channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body.as_bytes(), properties);
    assert!(publishing.await.unwrap().await.unwrap().is_ack());
}

/// How many letters others see.
async fn visible(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareOptions::durable().passive();
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap().message_count()
}

async fn prepared(fixture: &Fixture) -> Arc<dyn Transport> {
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport
}

fn texts(letters: &[(LetterId, Message)]) -> Vec<String> {
    letters.iter().map(|(_, letter)| String::from_utf8(letter.payload.to_vec()).unwrap()).collect()
}

fn numbers(range: impl Iterator<Item = usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// All of them, page by page.
async fn all(letters: &dyn DeadLetters, page: usize) -> Vec<(LetterId, Message)> {
    let mut found: Vec<(LetterId, Message)> = Vec::new();
    loop {
        let page = letters.scan(found.last().map(|(id, _)| id), page).await.unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

#[tokio::test]
async fn many_letters_are_read_and_thinned_out_in_order() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    let letters = transport.dead_letters();
    letters.append(&numbered(0..1200)).await.unwrap();
    let found = all(letters, 500).await;
    assert_eq!(texts(&found), numbers(0..1200));
    assert!(found.is_sorted_by(|(before, _), (after, _)| before < after), "names ascend");
    let odd: Vec<_> = found.iter().skip(1).step_by(2).map(|(id, _)| id.clone()).collect();
    assert_eq!(letters.remove(&odd).await.unwrap(), 600);
    assert_eq!(letters.len().await.unwrap(), 600);
    assert_eq!(letters.remove(&odd).await.unwrap(), 0);
    let rest = texts(&all(letters, 1000).await);
    let expected = numbers((0..1200).step_by(2));
    assert_eq!(rest, expected);
    assert_eq!(letters.len().await.unwrap(), 600);
}

#[tokio::test]
async fn looking_at_some_of_them_again_and_again_leaves_all_in_order() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    transport.dead_letters().append(&numbered(0..200)).await.unwrap();
    for count in [200, 3, 70, 199, 40, 1] {
        // Each as another process.
        let another = fixture.transport();
        let found = another.dead_letters().scan(None, count).await.unwrap();
        assert_eq!(texts(&found), numbers(0..count));
        let rest = another.dead_letters().scan(found.last().map(|(id, _)| id), 300).await.unwrap();
        assert_eq!(texts(&rest), numbers(count..200));
    }
}

#[tokio::test]
async fn letters_that_come_while_others_are_read_come_after_them() {
    let fixture = Fixture::shared().await;
    let (reading, writing) = (prepared(&fixture).await, fixture.transport());
    let letters = reading.dead_letters();
    writing.dead_letters().append(&numbered(0..10)).await.unwrap();
    let mut found = letters.scan(None, 4).await.unwrap();
    for more in [10..12, 12..13, 13..13] {
        writing.dead_letters().append(&numbered(more)).await.unwrap();
        found.extend(letters.scan(found.last().map(|(id, _)| id), 4).await.unwrap());
    }
    assert_eq!(texts(&found), numbers(0..13));
    assert_eq!(letters.len().await.unwrap(), 13);
}

#[tokio::test]
async fn a_cursor_that_is_gone_keeps_its_place_in_this_process_and_in_others() {
    let fixture = Fixture::shared().await;
    let (first, second) = (prepared(&fixture).await, fixture.transport());
    first.dead_letters().append(&numbered(0..6)).await.unwrap();
    let page = first.dead_letters().scan(None, 3).await.unwrap();
    let cursor = &page[2].0;
    assert_eq!(first.dead_letters().remove(std::slice::from_ref(cursor)).await.unwrap(), 1);
    // One that never saw it, one that did and reads on, and one that did and begins anew.
    for letters in [second.dead_letters(), first.dead_letters(), first.dead_letters()] {
        assert_eq!(texts(&letters.scan(Some(cursor), 10).await.unwrap()), ["3", "4", "5"]);
    }
    let last = LetterId("9999999999999-00000-00000000".into());
    assert_eq!(second.dead_letters().scan(Some(&last), 10).await.unwrap(), []);
    let before_all = LetterId("0".into());
    assert_eq!(texts(&second.dead_letters().scan(Some(&before_all), 2).await.unwrap()), ["0", "1"]);
}

#[tokio::test]
async fn what_the_broker_itself_gave_up_is_a_letter_like_others() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    let letters = transport.dead_letters();
    let (_connection, channel) = raw(&fixture).await;
    let body = "their \u{fffd} bytes";
    publish(&channel, fixture.queue(), body, BasicProperties::default().with_message_id("theirs".into())).await;
    let taken = channel.basic_get(fixture.queue().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    taken.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    eventually(LIMIT, "the broker moves it", async || letters.len().await.unwrap() == 1).await;
    let found = letters.scan(None, 10).await.unwrap();
    let [(id, letter)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(letter.payload, body);
    let death = letter.headers.get("x-death").expect("the broker's record");
    assert!(death.contains("rejected") && death.contains(fixture.queue()), "{death}");
    assert_eq!(fixture.transport().dead_letters().scan(None, 10).await.unwrap()[0].0, *id, "its name lasts");
    assert_eq!(letters.remove(std::slice::from_ref(id)).await.unwrap(), 1);
    assert!(letters.is_empty().await.unwrap());
}

#[tokio::test]
async fn letters_of_others_are_told_apart_even_when_they_are_equal() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    let (_connection, channel) = raw(&fixture).await;
    let queue = format!("{}.dead", fixture.queue());
    for body in ["same", "same", "other", "same"] {
        publish(&channel, &queue, body, BasicProperties::default()).await;
    }
    let letters = transport.dead_letters();
    let found = letters.scan(None, 10).await.unwrap();
    assert_eq!(texts(&found), ["same", "same", "other", "same"]);
    assert_eq!(letters.remove(&[found[1].0.clone(), found[3].0.clone()]).await.unwrap(), 2);
    assert_eq!(texts(&letters.scan(None, 10).await.unwrap()), ["same", "other"]);
}

#[tokio::test]
async fn nothing_stays_hidden_from_others() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    let letters = transport.dead_letters();
    letters.append(&numbered(0..5)).await.unwrap();
    let (_connection, channel) = raw(&fixture).await;
    let queue = format!("{}.dead", fixture.queue());
    // A page with room shows that it was the last: all are back at once.
    letters.scan(None, 10).await.unwrap();
    assert_eq!(visible(&channel, &queue).await, 5);
    // After another the next may be asked for.
    letters.append(&numbered(5..7)).await.unwrap();
    letters.scan(None, 3).await.unwrap();
    assert!(visible(&channel, &queue).await < 7);
    assert_eq!(letters.len().await.unwrap(), 7);
    becomes(LIMIT, "what nobody asks for returns", 7, async || visible(&channel, &queue).await).await;
    letters.scan(None, 3).await.unwrap();
    drop(transport);
    becomes(LIMIT, "what was held returns", 7, async || visible(&channel, &queue).await).await;
}

#[tokio::test]
async fn two_who_look_at_the_same_time_both_see_all() {
    let fixture = Fixture::shared().await;
    let transports = [prepared(&fixture).await, fixture.transport(), fixture.transport()];
    transports[0].dead_letters().append(&numbered(0..20)).await.unwrap();
    let looking = transports.iter().map(|transport| transport.dead_letters().scan(None, 20));
    for found in futures_util::future::join_all(looking).await {
        assert_eq!(texts(&found.unwrap()), numbers(0..20));
    }
}

#[tokio::test]
async fn who_finds_the_letters_locked_is_told_so() {
    let fixture = Fixture::shared().await;
    let transport = prepared(&fixture).await;
    let (connection, channel) = raw(&fixture).await;
    let lock = format!("{}.dead.lock", fixture.queue());
    channel.queue_declare(lock.as_str().into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await.unwrap();
    match transport.dead_letters().scan(None, 1).await {
        Err(TransportError::Refused(words)) => assert!(words.contains("somebody else looks"), "{words}"),
        other => panic!("{other:?}"),
    }
    connection.close(200, "done".into()).await.unwrap();
    assert_eq!(transport.dead_letters().scan(None, 1).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_look_that_is_given_up_or_cut_loses_nothing() {
    let fixture = Fixture::own().await;
    let transport = prepared(&fixture).await;
    let letters = transport.dead_letters();
    letters.append(&numbered(0..300)).await.unwrap();
    for milliseconds in [1, 5, 10, 20, 40] {
        drop(tokio::time::timeout(Duration::from_millis(milliseconds), letters.scan(None, 300)).await);
    }
    eventually(LIMIT, "all are there", async || letters.len().await == Ok(300)).await;
    let page = letters.scan(None, 100).await.unwrap();
    fixture.node().await.ctl(&["close_all_connections", "test"]).await;
    match letters.scan(Some(&page[99].0), 100).await {
        Err(TransportError::Unreachable(_)) => {}
        // The cut was noticed before the page was asked for.
        Ok(next) => assert_eq!(texts(&next), numbers(100..200)),
        Err(other) => panic!("{other}"),
    }
    eventually(LIMIT, "all are there", async || letters.len().await == Ok(300)).await;
    assert_eq!(texts(&all(letters, 120).await), numbers(0..300));
    drop(page);
}
