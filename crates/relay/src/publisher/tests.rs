//! Publishes to brokers that fail in the ways brokers do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use quash_config::Finding;
use quash_transport::{Backlog, ConsumeOptions, Consumer, DeadLetters};

use super::*;

/// A broker that gives these answers, then takes everything.
#[derive(Default)]
struct Broker {
    answers: Mutex<Vec<TransportError>>,
    taken: Mutex<Vec<Bytes>>,
    largest: usize,
    asked: AtomicUsize,
}

#[async_trait]
impl Transport for Broker {
    async fn prepare(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(answer) = self.answers.lock().unwrap().pop() {
            return Err(answer);
        }
        if self.largest > 0 && messages.iter().any(|message| message.payload.len() > self.largest) {
            return Err(TransportError::TooLarge("too large".to_owned()));
        }
        self.taken.lock().unwrap().extend(messages.iter().map(|message| message.payload.clone()));
        Ok(())
    }

    async fn consume(&self, _: &ConsumeOptions) -> Result<Consumer, TransportError> {
        Err(TransportError::Refused("nobody consumes here".to_owned()))
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        panic!("a relay has no dead letters")
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        Ok(Backlog::default())
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        Ok(Vec::new())
    }
}

fn away() -> TransportError {
    TransportError::Unreachable("away".to_owned())
}

fn reached(position: u64) -> Progress {
    Progress { reached: Some(position), ..Progress::default() }
}

#[tokio::test(start_paused = true)]
async fn a_position_is_safe_once_everything_before_it_is_with_the_broker() {
    let broker = Arc::new(Broker { answers: Mutex::new(vec![away(), away()]), ..Broker::default() });
    let mut publisher = Publisher::new(broker.clone());
    publisher.push(vec!["a".into()], reached(1));
    publisher.launch();
    publisher.push(Vec::new(), reached(5));
    publisher.launch();
    assert_eq!(publisher.landed().await.unwrap().reached, Some(1), "the mark does not overtake what is tried again");
    assert_eq!(*broker.taken.lock().unwrap(), ["a"]);
    assert_eq!(publisher.landed().await.unwrap().reached, Some(5));
    assert!(publisher.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_long_is_given_up() {
    let answers = Mutex::new((0..1000).map(|_| away()).collect());
    let mut publisher = Publisher::new(Arc::new(Broker { answers, ..Broker::default() }));
    publisher.push(vec!["a".into()], reached(1));
    publisher.launch();
    let begun = Instant::now();
    assert_eq!(publisher.landed().await, Err(away()));
    assert!(begun.elapsed() <= BROKER_LIMIT + Duration::from_millis(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_waits_is_bounded_and_leaves_in_batches_of_which_the_last_tells() {
    let broker = Arc::new(Broker::default());
    let mut publisher = Publisher::new(broker.clone());
    let message = Bytes::from(vec![b'x'; BATCH_BYTES / 2]);
    publisher.push(vec![message; 40], reached(9));
    assert!(!publisher.has_room());
    publisher.launch();
    let mut progress = Vec::new();
    while !publisher.is_empty() {
        progress.push(publisher.landed().await.unwrap().reached);
    }
    assert!(publisher.has_room());
    assert_eq!(broker.taken.lock().unwrap().len(), 40);
    let (last, before) = progress.split_last().unwrap();
    assert_eq!((*last, before.iter().flatten().count()), (Some(9), 0));
    assert_eq!(broker.asked.load(Ordering::Relaxed), progress.len());
}

#[tokio::test]
async fn what_is_too_large_empties_its_tables_and_holds_up_nobody() {
    let broker = Arc::new(Broker { largest: 100, ..Broker::default() });
    let mut publisher = Publisher::new(broker.clone());
    let large =
        format!(r#"{{"events":[{{"entity":"public.book","op":"create","after":{{"x":"{}"}}}}]}}"#, "x".repeat(200));
    publisher.push(vec!["a".into(), large.into(), "b".into()], reached(1));
    publisher.launch();
    assert_eq!(publisher.landed().await.unwrap().reached, Some(1));
    let emptied = r#"{"entity":"public.book","op":"truncate"}"#;
    assert_eq!(*broker.taken.lock().unwrap(), ["a", emptied, "b"]);
}
