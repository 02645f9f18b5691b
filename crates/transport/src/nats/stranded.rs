//! Notices messages that a work queue keeps and its consumer will never hand out, and has them handed out again.
//!
//! The server writes down what a stream holds and what its consumer has settled at different times. When its process dies in
//! between, a consumer may take for settled what the stream still has. A work queue drops what is settled, so all that it has
//! must be done, at worst once more; a consumer that is made anew begins with the oldest of it. Where a stream keeps what is
//! settled (`limits`), there is nothing to notice: a consumer then only forgets what was settled, and hands it out again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::api::{ApiError, ConsumerConfig, ConsumerInfo, Removed, StreamInfo, StreamState, code};
use super::connection::made_anew;
use super::consume::Consuming;
use super::fetch::stopped;
use super::topology::{self, Lane, consumer_info, needed_consumer, stream_info, stream_info_of};
use crate::TransportError;

/// How often is looked; between half of it and all of it, so that workers do not look at once.
const EVERY: Duration = Duration::from_secs(10);

/// How often in a row messages must be found stranded before something is done about it.
const LOOKS: usize = 4;

/// How long to wait between these looks, up to half as long again.
const BETWEEN: Duration = Duration::from_secs(1);

/// How long a consumer is left alone that was just made anew; twice as long each time, should it not have helped.
const REST: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(3600);

/// How often is said what an operator has to do.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// What a look at a lane has found stranded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stranded {
    /// How many messages, at least.
    pub(super) count: u64,
    /// The oldest message of the stream. It stays, as nothing removes it.
    first: u64,
    /// When the consumer was made.
    created: String,
}

/// Looks after every reconnect and every few seconds, until the consumer ends.
pub(super) async fn watch(consuming: Arc<Consuming>) {
    let mut stop = consuming.stop.subscribe();
    let mut connections = consuming.shared.link.connections();
    let mut watches = Lane::ALL.map(Watch::new);
    loop {
        let looking = async {
            join_all(watches.iter_mut().map(|watch| watch.check(&consuming.shared))).await;
            sleep(EVERY.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
        };
        tokio::select! {
            () = looking => {}
            () = made_anew(&mut connections) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Watches one lane.
struct Watch {
    lane: Lane,
    rest: Duration,
    /// Until when nothing is done.
    resting: Option<Instant>,
    complained: Option<Instant>,
}

impl Watch {
    const fn new(lane: Lane) -> Self {
        Self { lane, rest: REST, resting: None, complained: None }
    }

    async fn check(&mut self, shared: &Shared) {
        if self.resting.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let done = match certainly(shared, self.lane).await {
            Ok(None) => {
                self.rest = REST;
                return;
            }
            Ok(Some(found)) => self.hand_out_again(shared, &found).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::debug!(lane = ?self.lane, %error, "cannot look for stranded messages");
        }
    }

    async fn hand_out_again(&mut self, shared: &Shared, found: &Stranded) -> Result<(), TransportError> {
        match make_anew(shared, self.lane, found).await {
            Ok(()) => {
                self.resting = Some(Instant::now() + self.rest);
                self.rest = (2 * self.rest).min(REST_MAX);
                Ok(())
            }
            Err(TransportError::Refused(why)) => {
                self.complain(shared, found.count, &why).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn complain(&mut self, shared: &Shared, count: u64, why: &str) {
        if self.complained.is_some_and(|when| when.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        let stream = shared.names.stream_of(self.lane);
        let consumer = shared.names.consumer_of(self.lane);
        let mend = by_hand(shared, self.lane).await;
        tracing::error!(%stream, %consumer, count, %why,
            "the stream keeps messages that the consumer will never hand out, and it may not be made anew from here; \
             have an operator run: {mend}");
    }
}

/// What is stranded, if looking again and again says the same.
async fn certainly(shared: &Shared, lane: Lane) -> Result<Option<Stranded>, TransportError> {
    let Some(mut found) = look(shared, lane).await? else { return Ok(None) };
    for _ in 1..LOOKS {
        sleep(BETWEEN.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
        match look(shared, lane).await? {
            Some(again) if again.first == found.first && again.created == found.created => {
                found.count = found.count.min(again.count);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Looks once. What happens between the counts may make it see fewer than there are; more only for the moment in which the
/// server is just carrying out an ack.
pub(super) async fn look(shared: &Shared, lane: Lane) -> Result<Option<Stranded>, TransportError> {
    let name = shared.names.stream_of(lane);
    let Some(before) = stream_info(shared, name).await? else { return Ok(None) };
    if before.config.retention != "workqueue" || before.state.messages == 0 {
        return Ok(None);
    }
    let Some(consumer) = consumer_info(shared, lane).await? else { return Ok(None) };
    let filter = &consumer.config.filter_subject;
    // Asked in one breath and answered in this order: on the way to a busy worker an answer takes its time, and all that is
    // published between the two hides as much of what is stranded.
    let (consumer, after) = tokio::join!(biased; consumer_info(shared, lane), stream_info_of(shared, name, filter));
    let (Some(consumer), Some(after)) = (consumer?, after?) else { return Ok(None) };
    let count = stranded(&before.state, &consumer, &after);
    let found = Stranded { count, first: after.state.first_seq, created: consumer.created };
    Ok(Some(found).filter(|found| found.count > 0))
}

/// How many messages of a stream its consumer does not know of, at least: of those that it was asked before, some may have
/// been settled since, and whatever may have been published since is none of them.
fn stranded(before: &StreamState, consumer: &ConsumerInfo, after: &StreamInfo) -> u64 {
    let since_before = after.state.last_seq.saturating_sub(before.last_seq);
    // What it has not handed out has higher numbers than what it has.
    let seen = consumer.delivered.stream_seq.saturating_add(consumer.num_pending);
    let new = after.state.last_seq.saturating_sub(seen).min(since_before);
    let known = consumer.num_pending.saturating_add(consumer.num_ack_pending).saturating_add(new);
    messages(after, &consumer.config.filter_subject).saturating_sub(known)
}

/// How many of its messages a stream has for a consumer.
fn messages(info: &StreamInfo, filter: &str) -> u64 {
    match (filter, &info.state.subjects) {
        ("", _) => info.state.messages,
        // They are counted a moment later than the whole.
        (_, Some(subjects)) => subjects.values().sum::<u64>().min(info.state.messages),
        (_, None) => 0,
    }
}

/// Removes a consumer and makes it again, unless somebody else just did. Twice does no harm.
async fn make_anew(shared: &Shared, lane: Lane, found: &Stranded) -> Result<(), TransportError> {
    may_make(shared, lane).await?;
    if consumer_info(shared, lane).await?.is_none_or(|info| info.created != found.created) {
        return Ok(());
    }
    let (stream, consumer) = (shared.names.stream_of(lane), shared.names.consumer_of(lane));
    let doing = format!("remove consumer {consumer} of stream {stream}");
    match shared.link.api::<Removed>(&format!("CONSUMER.DELETE.{stream}.{consumer}"), &json!({})).await? {
        Ok(_) => tracing::warn!(%stream, %consumer, count = found.count,
            "the stream kept messages that the consumer would never have handed out, as the death of the server's process \
             can leave it; the consumer is made anew, and everything that is not settled is handed out again"),
        Err(ApiError { err_code: code::CONSUMER_NOT_FOUND | code::STREAM_NOT_FOUND, .. }) => {}
        Err(error) => return Err(shared.link.failure(&doing, &error)),
    }
    topology::ensure_consumer(shared, lane).await.map(drop)
}

/// Whether this user may make the consumer: it would be worse to have none. The server answers that the question is not
/// about this stream, and changes nothing; one who may not ask gets no answer.
async fn may_make(shared: &Shared, lane: Lane) -> Result<(), TransportError> {
    if !shared.config.declare {
        return Err(TransportError::Refused("`declare` is false".into()));
    }
    let (stream, consumer) = (shared.names.stream_of(lane), shared.names.consumer_of(lane));
    let question = json!({ "stream_name": "", "config": { "durable_name": consumer } });
    let subject = format!("CONSUMER.DURABLE.CREATE.{stream}.{consumer}");
    shared.link.api::<serde_json::Value>(&subject, &question).await.map(drop)
}

/// The commands that do the same as is done here.
pub(super) async fn by_hand(shared: &Shared, lane: Lane) -> String {
    let name = shared.names.stream_of(lane);
    match stream_info(shared, name).await {
        Ok(Some(info)) => commands(name, &needed_consumer(shared, lane, &info.config)),
        _ => format!("nats consumer rm {name} {} --force, and make it again", shared.names.consumer_of(lane)),
    }
}

fn commands(stream: &str, needed: &ConsumerConfig) -> String {
    let ConsumerConfig { durable_name, ack_wait, max_ack_pending, filter_subject, .. } = needed;
    let wait = ack_wait / 1_000_000;
    let filter = if filter_subject.is_empty() { String::new() } else { format!(" --filter={filter_subject}") };
    format!(
        "nats consumer rm {stream} {durable_name} --force && nats consumer add {stream} {durable_name} --pull --deliver=all \
         --ack=explicit --replay=instant --wait={wait}ms --max-deliver=-1 --max-pending={max_ack_pending}{filter} --defaults"
    )
}

#[cfg(test)]
mod tests {
    use quash_config::Secret;

    use super::super::config::Config;
    use super::super::connection::{Link, Server};
    use super::super::topology::Names;
    use super::*;

    fn consumer(filter: &str, num_pending: u64, num_ack_pending: u64) -> ConsumerInfo {
        delivered(0, filter, num_pending, num_ack_pending)
    }

    fn delivered(stream_seq: u64, filter: &str, num_pending: u64, num_ack_pending: u64) -> ConsumerInfo {
        let config = json!({ "deliver_policy": "all", "ack_policy": "explicit", "replay_policy": "instant",
            "durable_name": "c", "filter_subject": filter, "ack_wait": 30_000_000_000_u64, "max_ack_pending": 7 });
        let info = json!({ "created": "t", "config": config, "num_pending": num_pending,
            "num_ack_pending": num_ack_pending, "delivered": { "consumer_seq": 1, "stream_seq": stream_seq } });
        serde_json::from_value(info).unwrap()
    }

    fn stream(messages: u64, last_seq: u64, subjects: serde_json::Value) -> StreamInfo {
        let config = json!({ "name": "S", "retention": "workqueue", "storage": "file", "discard": "new",
            "num_replicas": 1, "max_msgs": -1, "max_bytes": -1, "max_age": 0 });
        let state =
            json!({ "messages": messages, "bytes": 0, "first_seq": 1, "last_seq": last_seq, "subjects": subjects });
        serde_json::from_value(json!({ "config": config, "state": state })).unwrap()
    }

    #[test]
    fn what_a_consumer_does_not_know_of_is_stranded() {
        let cases = [
            // Messages, pending, unsettled, published between the looks, expected.
            (100, 0, 0, 0, 100),
            (100, 60, 40, 0, 0),
            (100, 60, 30, 0, 10),
            (100, 60, 30, 10, 0),
            // Settled meanwhile.
            (90, 60, 40, 0, 0),
        ];
        for (messages, pending, unsettled, published, expected) in cases {
            let (before, after) = (stream(messages, 500, json!(null)), stream(messages, 500 + published, json!(null)));
            let found = stranded(&before.state, &consumer("", pending, unsettled), &after);
            assert_eq!(found, expected, "{messages} {pending} {unsettled} {published}");
        }
    }

    #[test]
    fn what_is_published_meanwhile_hides_no_more_than_it_must() {
        // 20 were published between the looks; the consumer was asked when 5 of them were there.
        let (before, after) = (stream(100, 500, json!(null)), stream(100, 520, json!(null)));
        let cases = [((505, 0, 80), 5), ((495, 10, 70), 5), ((520, 0, 80), 20), ((0, 0, 70), 10)];
        for ((seen, pending, unsettled), expected) in cases {
            let consumer = delivered(seen, "", pending, unsettled);
            assert_eq!(stranded(&before.state, &consumer, &after), expected, "{seen} {pending} {unsettled}");
        }
    }

    #[test]
    fn only_messages_of_the_consumers_subject_count() {
        let info = stream(100, 500, json!({ "a": 7 }));
        assert_eq!(stranded(&info.state, &consumer("a", 5, 0), &info), 2);
        let none = stream(100, 500, json!(null));
        assert_eq!(stranded(&none.state, &consumer("a", 0, 0), &none), 0);
    }

    #[test]
    fn the_commands_of_an_operator_are_complete() {
        let config = consumer("f", 0, 0).config;
        let words = commands("S", &config);
        for part in ["consumer rm S c --force", "add S c --pull", "--wait=30000ms", "--max-pending=7", "--filter=f"] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(!commands("S", &consumer("", 0, 0).config).contains("--filter"));
    }

    #[tokio::test]
    async fn nothing_is_removed_that_may_not_be_made() {
        let config = Config { declare: false, ..Config::at(Secret::new("nats://127.0.0.1")) };
        let link = Link::new(Server { addresses: Vec::new(), config: config.clone() });
        let names = Names::new(&config);
        let ending = tokio::sync::watch::Sender::new(0);
        let shared = Shared { link, names, config, due_held: Arc::default(), ending };
        let found = Stranded { count: 1, first: 1, created: "t".into() };
        // Nobody is asked anything, as nobody could be reached.
        assert!(matches!(make_anew(&shared, Lane::Work, &found).await, Err(TransportError::Refused(_))));
    }
}
