//! Names streams, consumers and subjects, makes what is missing, and says exactly where what is there differs.

use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::api::{ApiError, ConsumerConfig, ConsumerInfo, StreamConfig, StreamInfo, code, nanoseconds};
use super::config::{Config, Retention};
use crate::TransportError;

/// How long the server knows the identifier of a message that it has stored.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// How many deliveries of all workers together may be unsettled. A limit near to what they fetch would make them wait.
const UNSETTLED_MAX: i64 = 65_536;

/// How many parked copies the server may know as waiting for their delay. Those beyond wait for one of these.
const PARKED_MAX: i64 = 100_000;

/// One of the three consumers that a worker reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Events.
    Work,
    /// Copies that wait for their delay.
    Parked,
    /// Events that may be ending processes, one at a time.
    Suspects,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Work, Self::Parked, Self::Suspects];
}

/// What is where.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) stream: String,
    pub(super) retry_stream: String,
    pub(super) dead_stream: String,
    /// The subject of events.
    pub(super) subject: String,
    /// The subjects of this consumer's parked copies and suspects. They are outside of what the stream of events takes.
    pub(super) parked: String,
    pub(super) suspects: String,
    pub(super) dead: String,
    consumer: String,
}

impl Names {
    pub(super) fn new(config: &Config) -> Self {
        let Config { stream, subject, consumer, .. } = config;
        Self {
            stream: stream.clone(),
            retry_stream: format!("{stream}_RETRY"),
            dead_stream: format!("{stream}_DEAD"),
            subject: subject.clone(),
            parked: format!("_quash.{stream}.retry.{consumer}"),
            suspects: format!("_quash.{stream}.suspects.{consumer}"),
            dead: format!("_quash.{stream}.dead"),
            consumer: consumer.clone(),
        }
    }

    /// The stream that a lane reads.
    pub(super) fn stream_of(&self, lane: Lane) -> &str {
        match lane {
            Lane::Work => &self.stream,
            Lane::Parked | Lane::Suspects => &self.retry_stream,
        }
    }

    /// The stream that takes a subject.
    pub(super) fn stream_taking(&self, subject: &str) -> &str {
        match subject {
            _ if subject == self.dead => &self.dead_stream,
            _ if subject == self.parked || subject == self.suspects => &self.retry_stream,
            _ => &self.stream,
        }
    }

    /// The consumer that a lane is.
    pub(super) fn consumer_of(&self, lane: Lane) -> String {
        match lane {
            Lane::Work => self.consumer.clone(),
            Lane::Parked => format!("{}_retry", self.consumer),
            Lane::Suspects => format!("{}_suspects", self.consumer),
        }
    }
}

/// Makes or checks the streams and consumers.
pub(super) async fn prepare(shared: &Shared) -> Result<(), TransportError> {
    for needed in needed_streams(shared) {
        ensure_stream(shared, &needed).await?;
    }
    for lane in Lane::ALL {
        ensure_consumer(shared, lane).await?;
    }
    Ok(())
}

/// Makes the streams of copies and dead letters again, where somebody has deleted them while this worker runs, and making is
/// its business: what must go there could never be settled without them. Says whether it did.
pub(super) async fn restore_aside(shared: &Shared, error: &TransportError) -> bool {
    let [_, retry, dead] = needed_streams(shared);
    let missing = [retry, dead].into_iter().find(|stream| *error == missing_stream(&stream.name));
    let Some(stream) = missing.filter(|_| shared.config.declare) else { return false };
    tracing::error!(stream = %stream.name, "a stream is not there and is made; if it was deleted, what it held is lost");
    match ensure_stream(shared, &stream).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "cannot make the stream");
            false
        }
    }
}

/// The three streams as they would be made.
pub(super) fn needed_streams(shared: &Shared) -> [StreamConfig; 3] {
    let (names, config) = (&shared.names, &shared.config);
    let age = config.max_age.map_or(0, |age| nanoseconds(*age));
    let window = nanoseconds(DUPLICATE_WINDOW);
    let work = StreamConfig {
        name: names.stream.clone(),
        subjects: vec![names.subject.clone()],
        retention: match config.retention {
            Retention::WorkQueue => "workqueue".into(),
            Retention::Limits => "limits".into(),
        },
        storage: "file".into(),
        discard: "new".into(),
        num_replicas: config.replicas,
        max_msgs: -1,
        max_bytes: config.max_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
        max_msgs_per_subject: -1,
        max_msg_size: -1,
        max_age: age,
        duplicate_window: if age == 0 { window } else { window.min(age) },
        allow_direct: false,
        no_ack: false,
    };
    let aside = |name: &str, subjects: Vec<String>, retention: &str| StreamConfig {
        name: name.into(),
        subjects,
        retention: retention.into(),
        max_bytes: -1,
        max_age: 0,
        duplicate_window: window,
        allow_direct: true,
        ..work.clone()
    };
    let stream = &names.stream;
    let retry = vec![format!("_quash.{stream}.retry.*"), format!("_quash.{stream}.suspects.*")];
    let retry = aside(&names.retry_stream, retry, "workqueue");
    let dead = aside(&names.dead_stream, vec![names.dead.clone()], "limits");
    [work, retry, dead]
}

/// A stream, if it is there.
pub(super) async fn stream_info(shared: &Shared, name: &str) -> Result<Option<StreamInfo>, TransportError> {
    stream_info_of(shared, name, "").await
}

/// The same, with how many messages each subject has that a filter lets through.
pub(super) async fn stream_info_of(
    shared: &Shared,
    name: &str,
    filter: &str,
) -> Result<Option<StreamInfo>, TransportError> {
    let question = if filter.is_empty() { json!({}) } else { json!({ "subjects_filter": filter }) };
    match shared.link.api(&format!("STREAM.INFO.{name}"), &question).await? {
        Ok(info) => Ok(Some(info)),
        Err(ApiError { err_code: code::STREAM_NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(shared.link.failure(&format!("look at stream {name}"), &error)),
    }
}

/// A consumer, if it and its stream are there.
pub(super) async fn consumer_info(shared: &Shared, lane: Lane) -> Result<Option<ConsumerInfo>, TransportError> {
    let (stream, consumer) = (shared.names.stream_of(lane), shared.names.consumer_of(lane));
    match shared.link.api(&format!("CONSUMER.INFO.{stream}.{consumer}"), &json!({})).await? {
        Ok(info) => Ok(Some(info)),
        Err(ApiError { err_code: code::CONSUMER_NOT_FOUND | code::STREAM_NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(shared.link.failure(&format!("look at consumer {consumer} of stream {stream}"), &error)),
    }
}

async fn ensure_stream(shared: &Shared, needed: &StreamConfig) -> Result<(), TransportError> {
    let name = &needed.name;
    if let Some(found) = stream_info(shared, name).await? {
        return fits(name, &stream_differences(&found.config, needed));
    }
    if !shared.config.declare {
        return Err(missing_stream(name));
    }
    let doing = format!("make stream {name} for {}", needed.subjects.join(" and "));
    match shared.link.api::<StreamInfo>(&format!("STREAM.CREATE.{name}"), needed).await? {
        Ok(_) => Ok(()),
        Err(ApiError { err_code: code::SUBJECT_OVERLAP, .. }) => Err(TransportError::Refused(format!(
            "{doing}: another stream takes that subject already; name that stream in `stream`, or choose another `subject`"
        ))),
        // Somebody else made it just now.
        Err(ApiError { err_code: code::STREAM_NAME_EXIST, .. }) => {
            let found = stream_info(shared, name).await?.ok_or_else(|| missing_stream(name))?;
            fits(name, &stream_differences(&found.config, needed))
        }
        Err(error) => Err(shared.link.failure(&doing, &error)),
    }
}

/// Says that a stream is not there, and who makes it.
pub(super) fn missing_stream(name: &str) -> TransportError {
    TransportError::Refused(format!(
        "stream {name} does not exist; a worker makes it when it starts (unless `declare` is false), publishers never do"
    ))
}

fn fits(name: &str, differences: &[String]) -> Result<(), TransportError> {
    match differences {
        [] => Ok(()),
        _ => Err(TransportError::Refused(format!("stream {name}: {}", differences.join("; ")))),
    }
}

/// In what a stream differs so much that it would lose or refuse what it must keep.
pub(super) fn stream_differences(found: &StreamConfig, needed: &StreamConfig) -> Vec<String> {
    let name = &found.name;
    let mut differences = Vec::new();
    let mut differ = |what: &str, found: &str, needed: &str, mend: String| {
        if found != needed {
            differences.push(format!("{what} is {found}, {needed} is needed: {mend}"));
        }
    };
    let anew = || "it cannot be changed, so make the stream anew or name another".to_owned();
    let edit = |flag: &str| format!("mend with `nats stream edit {name} {flag}`");
    differ("storage", &found.storage, &needed.storage, anew());
    differ("retention", &found.retention, &needed.retention, anew());
    differ("discard", &found.discard, &needed.discard, edit("--discard=new"));
    differ("no_ack", &found.no_ack.to_string(), "false", edit("--ack"));
    if needed.allow_direct {
        differ("allow_direct", &found.allow_direct.to_string(), "true", edit("--allow-direct"));
    }
    for subject in needed.subjects.iter().filter(|subject| !found.subjects.iter().any(|all| covers(all, subject))) {
        let subjects = found.subjects.join(",");
        let mend = edit(&format!("--subjects={subjects},{subject}"));
        differences.push(format!("its subjects are {subjects}, {subject} is needed: {mend}"));
    }
    differences
}

/// Whether every subject of a pattern is one of another.
pub(super) fn covers(all: &str, some: &str) -> bool {
    let (mut all, mut some) = (all.split('.'), some.split('.'));
    loop {
        match (all.next(), some.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(word)) if word != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether a subject stands for several.
pub(super) fn is_wildcard(subject: &str) -> bool {
    subject.split('.').any(|word| word == "*" || word == ">")
}

/// A consumer as it would be made.
pub(super) fn needed_consumer(shared: &Shared, lane: Lane, stream: &StreamConfig) -> ConsumerConfig {
    let names = &shared.names;
    let filter_subject = match lane {
        // Without a filter where it would let everything through: that is what the server is fastest at.
        Lane::Work if stream.subjects.iter().all(|subject| covers(&names.subject, subject)) => String::new(),
        Lane::Work => names.subject.clone(),
        Lane::Parked => names.parked.clone(),
        Lane::Suspects => names.suspects.clone(),
    };
    ConsumerConfig {
        durable_name: names.consumer_of(lane),
        deliver_policy: "all".into(),
        ack_policy: "explicit".into(),
        replay_policy: "instant".into(),
        ack_wait: nanoseconds(*shared.config.ack_wait),
        max_deliver: -1,
        max_ack_pending: if lane == Lane::Parked { PARKED_MAX } else { UNSETTLED_MAX },
        filter_subject,
        deliver_subject: String::new(),
        backoff: Vec::new(),
    }
}

/// Makes a lane's consumer if it is not there, and returns it.
pub(super) async fn ensure_consumer(shared: &Shared, lane: Lane) -> Result<ConsumerInfo, TransportError> {
    let name = shared.names.consumer_of(lane);
    if let Some(found) = consumer_info(shared, lane).await? {
        let differences = consumer_differences(&found.config);
        return match differences.as_slice() {
            [] => Ok(found),
            _ => Err(TransportError::Refused(format!("consumer {name}: {}", differences.join("; ")))),
        };
    }
    make_consumer(shared, lane, &name).await
}

async fn make_consumer(shared: &Shared, lane: Lane, name: &str) -> Result<ConsumerInfo, TransportError> {
    let stream = shared.names.stream_of(lane);
    let info = stream_info(shared, stream).await?.ok_or_else(|| missing_stream(stream))?;
    if !shared.config.declare {
        return Err(TransportError::Refused(format!(
            "consumer {name} of stream {stream} does not exist, and `declare` is false"
        )));
    }
    let question: Value = json!({ "stream_name": stream, "config": needed_consumer(shared, lane, &info.config) });
    match shared.link.api(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &question).await? {
        Ok(made) => Ok(made),
        Err(ApiError { err_code: code::WORK_QUEUE_UNFILTERED | code::WORK_QUEUE_NOT_UNIQUE, .. }) => {
            Err(TransportError::Refused(format!(
                "make consumer {name}: stream {stream} is a work queue, and another consumer has its messages already; \
                 use that one's name, or a stream with retention `limits` so that each consumer gets everything"
            )))
        }
        Err(error) => Err(shared.link.failure(&format!("make consumer {name} of stream {stream}"), &error)),
    }
}

/// In what a consumer differs so much that it would lose messages or cannot be read from.
pub(super) fn consumer_differences(found: &ConsumerConfig) -> Vec<String> {
    let name = &found.durable_name;
    let anew = format!("remove it with `nats consumer rm`, and it is made anew ({name})");
    let mut differences = Vec::new();
    if !found.deliver_subject.is_empty() {
        differences.push(format!("it pushes to {}, a pull consumer is needed: {anew}", found.deliver_subject));
    }
    if found.ack_policy != "explicit" {
        differences.push(format!("ack policy is {}, explicit is needed: {anew}", found.ack_policy));
    }
    if found.max_deliver > 0 {
        differences.push(format!(
            "max deliver is {}, none is needed, as messages beyond it stay in the stream and are handed to nobody: mend \
             with `nats consumer edit --max-deliver=-1`",
            found.max_deliver
        ));
    }
    if !found.backoff.is_empty() {
        differences.push(format!("it has a backoff, none is needed: {anew}"));
    }
    differences
}

#[cfg(test)]
mod tests {
    use quash_config::{Secret, Span};

    use super::super::connection::{Link, Server};
    use super::*;

    fn shared(config: Config) -> Shared {
        let link = Link::new(Server { addresses: Vec::new(), config: config.clone() });
        let names = Names::new(&config);
        let ending = tokio::sync::watch::Sender::new(0);
        Shared { link, names, config, due_held: Default::default(), ending }
    }

    fn config() -> Config {
        Config::at(Secret::new("nats://127.0.0.1"))
    }

    #[test]
    fn patterns_cover_what_they_match() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a.*", true),
            ("a.*", "a.>", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a.>", true),
            ("a.b", "a.*", false),
        ];
        for (all, some, expected) in cases {
            assert_eq!(covers(all, some), expected, "{all} {some}");
        }
    }

    #[test]
    fn a_stream_that_would_lose_messages_is_named_with_its_mend() {
        let shared = shared(config());
        let [needed, _, dead] = needed_streams(&shared);
        assert_eq!(stream_differences(&needed, &needed), Vec::<String>::new());
        let wide = StreamConfig { subjects: vec!["quash.>".into()], max_bytes: 5, ..needed.clone() };
        assert_eq!(stream_differences(&wide, &needed), Vec::<String>::new());
        let cases = [
            (
                StreamConfig { discard: "old".into(), ..needed.clone() },
                "discard is old, new is needed: mend with `nats",
            ),
            (StreamConfig { storage: "memory".into(), ..needed.clone() }, "storage is memory, file is needed"),
            (StreamConfig { retention: "interest".into(), ..needed.clone() }, "retention is interest, workqueue"),
            (StreamConfig { no_ack: true, ..needed.clone() }, "no_ack is true"),
            (StreamConfig { subjects: vec!["a".into()], ..needed.clone() }, "--subjects=a,quash.events`"),
        ];
        for (found, words) in cases {
            let differences = stream_differences(&found, &needed);
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert!(differences[0].contains(words), "{differences:?}");
        }
        let blind = StreamConfig { allow_direct: false, ..dead.clone() };
        assert!(stream_differences(&blind, &dead)[0].contains("allow_direct is false"));
    }

    #[test]
    fn a_consumer_that_would_lose_messages_is_named() {
        let shared = shared(config());
        let [work, ..] = needed_streams(&shared);
        let good = needed_consumer(&shared, Lane::Work, &work);
        assert_eq!(good.filter_subject, "");
        assert_eq!(consumer_differences(&good), Vec::<String>::new());
        let bad = [
            ConsumerConfig { ack_policy: "all".into(), ..good.clone() },
            ConsumerConfig { max_deliver: 5, ..good.clone() },
            ConsumerConfig { deliver_subject: "x".into(), ..good.clone() },
            ConsumerConfig { backoff: vec![1], ..good.clone() },
        ];
        for found in bad {
            assert_eq!(consumer_differences(&found).len(), 1, "{found:?}");
        }
    }

    #[test]
    fn a_stream_that_takes_more_is_read_through_a_filter() {
        let shared = shared(config());
        let [work, ..] = needed_streams(&shared);
        let wide = StreamConfig { subjects: vec!["quash.>".into()], ..work };
        assert_eq!(needed_consumer(&shared, Lane::Work, &wide).filter_subject, "quash.events");
    }

    #[test]
    fn identifiers_are_known_no_longer_than_messages() {
        let short = Config { max_age: Some(Span(Duration::from_secs(10))), ..config() };
        let [work, retry, dead] = needed_streams(&shared(short));
        assert_eq!((work.max_age, work.duplicate_window), (10_000_000_000, 10_000_000_000));
        assert_eq!((retry.max_age, retry.duplicate_window), (0, 120_000_000_000));
        assert_eq!((dead.max_age, dead.retention.as_str()), (0, "limits"));
    }
}
