//! Names the queues, declares them or checks that they are there, and says exactly what differs.

use std::time::Duration;

use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::config::{Config, QueueType};
use super::connection::{Link, answer};
use crate::TransportError;

/// How many delay queues there are.
pub(super) const RUNGS: usize = 12;

/// The longest delay of the first of them; each of the others takes twice as much as the one before it.
const FIRST_RUNG: Duration = Duration::from_millis(250);

/// How often the broker may hand a message out before it makes a dead letter of it by itself. Long before that, this
/// transport sets a message aside that was handed out again and again; this is for what nobody sets aside.
const DELIVERY_LIMIT: i32 = 100;

/// How many differences of one queue are told.
const DIFFERENCES_MAX: usize = 12;

/// Dead letters are looked at without end, and every look counts as a delivery.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// The queues of one place. All names begin with the work queue's, so that one pattern covers the rights.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The queue that publishers write to.
    pub(super) work: String,
    /// Where messages go that were handed out several times and never settled.
    pub(super) suspects: String,
    /// The dead letters.
    pub(super) dead: String,
    /// Declared exclusively by whoever browses the dead letters.
    pub(super) lock: String,
}

impl Names {
    pub(super) fn new(queue: &str) -> Self {
        Self {
            work: queue.into(),
            suspects: format!("{queue}.suspects"),
            dead: format!("{queue}.dead"),
            lock: format!("{queue}.dead.lock"),
        }
    }

    /// A delay queue, counted from 0.
    pub(super) fn rung(&self, number: usize) -> String {
        format!("{}.retry.{number}", self.work)
    }

    /// All delay queues.
    pub(super) fn rungs(&self) -> impl Iterator<Item = String> {
        (0..RUNGS).map(|number| self.rung(number))
    }
}

/// The longest delay that a delay queue holds: 250 ms for the first, 512 s for the last.
pub(super) const fn rung_limit(number: usize) -> Duration {
    FIRST_RUNG.saturating_mul(1 << number)
}

/// A queue as it must be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    durable: bool,
    arguments: FieldTable,
}

/// Every queue as it must be.
pub(super) fn wanted(names: &Names, queue_type: QueueType) -> Vec<Wanted> {
    let mut queues = vec![
        queue(&names.work, queue_type).backed_by(&names.dead, queue_type),
        queue(&names.suspects, queue_type).backed_by(&names.dead, queue_type),
        queue(&names.dead, QueueType::Quorum).with("x-delivery-limit", NO_DELIVERY_LIMIT.into()),
    ];
    queues.extend((0..RUNGS).map(|number| {
        let limit = i64::try_from(rung_limit(number).as_millis()).unwrap_or(i64::MAX);
        queue(&names.rung(number), queue_type)
            .with("x-message-ttl", limit.into())
            .dead_lettered_to(&names.work, queue_type)
    }));
    queues
}

fn queue(name: &str, queue_type: QueueType) -> Wanted {
    let wanted = Wanted { name: name.into(), durable: true, arguments: FieldTable::default() };
    wanted.with("x-queue-type", text(queue_type.as_str()))
}

impl Wanted {
    fn with(mut self, name: &str, value: AMQPValue) -> Self {
        self.arguments.insert(name.into(), value);
        self
    }

    /// What the broker gives up goes to another queue; `at-least-once` keeps it until it has arrived there.
    fn dead_lettered_to(self, target: &str, queue_type: QueueType) -> Self {
        let wanted = self.with("x-dead-letter-exchange", text("")).with("x-dead-letter-routing-key", text(target));
        match queue_type {
            QueueType::Classic => wanted,
            QueueType::Quorum => wanted
                .with("x-dead-letter-strategy", text("at-least-once"))
                // The strategy asks for it. It matters where a policy limits the length: publishing is then refused.
                .with("x-overflow", text("reject-publish")),
        }
    }

    /// Wants it as it is in one respect; says whether that could be done.
    fn yield_to(&mut self, difference: &Difference) -> bool {
        let name = difference.argument.as_str();
        match (name, &difference.found) {
            ("durable", Some(found)) => self.durable = found == "true",
            ("auto_delete" | "exclusive", _) => return false,
            (_, None) => self.arguments = without(&self.arguments, name),
            (_, Some(found)) => {
                let Some(value) = value_of(found, &difference.found_type) else { return false };
                self.arguments.insert(name.into(), value);
            }
        }
        true
    }

    /// A queue of messages to work on; what it gives up becomes a dead letter.
    fn backed_by(self, dead: &str, queue_type: QueueType) -> Self {
        let wanted = self.dead_lettered_to(dead, queue_type);
        match queue_type {
            QueueType::Classic => wanted,
            QueueType::Quorum => wanted.with("x-delivery-limit", DELIVERY_LIMIT.into()),
        }
    }
}

fn without(arguments: &FieldTable, name: &str) -> FieldTable {
    let mut rest = arguments.inner().clone();
    rest.remove(name);
    rest.into()
}

/// The value that the broker means.
fn value_of(words: &str, kind: &str) -> Option<AMQPValue> {
    match kind {
        "longstr" => Some(text(words)),
        "bool" => words.parse().ok().map(AMQPValue::Boolean),
        _ => words.parse().ok().map(AMQPValue::LongLongInt),
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Declares all queues, or checks that they are there where declaring is left to others.
pub(super) async fn prepare(link: &Link, names: &Names, config: &Config) -> Result<(), TransportError> {
    let wanted = wanted(names, config.queue_type);
    let channel = link.throw_away_channel().await?;
    for queue in &wanted {
        if config.declare {
            declare(link, &channel, queue).await?;
        } else if count(&channel, &queue.name).await?.is_none() {
            return Err(missing(&queue.name));
        }
    }
    close(&channel).await;
    Ok(())
}

/// Declares one queue; that it is there already, as it must be, is fine. An error closes the channel.
pub(super) async fn declare(link: &Link, channel: &Channel, wanted: &Wanted) -> Result<(), TransportError> {
    let Err(error) = try_declare(channel, wanted).await else { return Ok(()) };
    let TransportError::Refused(words) = error else { return Err(error) };
    let differences = differences(link, wanted, &words).await?;
    Err(TransportError::Refused(explain(&wanted.name, words, &differences)))
}

async fn try_declare(channel: &Channel, wanted: &Wanted) -> Result<(), TransportError> {
    let operation = format!("declaring the queue {}", wanted.name);
    let options = QueueDeclareOptions { durable: wanted.durable, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(wanted.name.as_str().into(), options, wanted.arguments.clone());
    answer(&operation, declared).await.map(drop)
}

/// Everything in which a queue differs. The broker names one difference only, so it is asked again as if the queue had to
/// be as it is in that. Nothing is declared by this: it ends with a queue that is there just so.
async fn differences(link: &Link, wanted: &Wanted, words: &str) -> Result<Vec<Difference>, TransportError> {
    let (mut found, mut asked, mut words) = (Vec::new(), wanted.clone(), words.to_owned());
    while let Some(difference) = Difference::parse(&words) {
        let goes_on = asked.yield_to(&difference) && found.len() < DIFFERENCES_MAX;
        found.push(difference);
        let channel = link.throw_away_channel().await?;
        if !goes_on || count(&channel, &wanted.name).await?.is_none() {
            break;
        }
        match try_declare(&channel, &asked).await {
            Ok(()) => {
                close(&channel).await;
                break;
            }
            Err(TransportError::Refused(next)) => words = next,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// How many messages wait to be handed out.
    pub(super) messages: u32,
    /// How many take them.
    pub(super) consumers: u32,
}

/// How many messages of a queue wait to be handed out, or nothing if there is no such queue; that closes the channel. None
/// wait also where a quorum queue does not answer: see [`certain`].
pub(super) async fn count(channel: &Channel, name: &str) -> Result<Option<u32>, TransportError> {
    Ok(passive(channel, name).await?.map(|count| count.messages))
}

/// What a queue has, and never nothing because it did not answer: a quorum queue whose leader is slow, or not chosen yet, is
/// told to have neither messages nor consumers. Then it is asked for a message, which its leader alone can answer; should
/// there be one after all, it goes back to where it was.
pub(super) async fn certain(channel: &Channel, name: &str) -> Result<Option<Count>, TransportError> {
    let Some(count) = passive(channel, name).await? else { return Ok(None) };
    if count.messages > 0 || count.consumers > 0 {
        return Ok(Some(count));
    }
    let Some(first) = get(channel, name).await? else { return Ok(Some(count)) };
    put_back(&first).await?;
    Ok(Some(Count { messages: first.message_count.saturating_add(1), ..count }))
}

async fn passive(channel: &Channel, name: &str) -> Result<Option<Count>, TransportError> {
    let operation = format!("asking for the queue {name}");
    let asked = channel.queue_declare(name.into(), QueueDeclareOptions::durable().passive(), FieldTable::default());
    match answer(&operation, asked).await {
        Ok(queue) => Ok(Some(Count { messages: queue.message_count(), consumers: queue.consumer_count() })),
        Err(TransportError::Refused(words)) if words.contains("NOT_FOUND") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the first message of a queue.
pub(super) async fn get(channel: &Channel, name: &str) -> Result<Option<BasicGetMessage>, TransportError> {
    let operation = format!("asking the queue {name} for a message");
    answer(&operation, channel.basic_get(name.into(), BasicGetOptions::default())).await
}

/// Puts back what was taken; alone, it becomes the first again.
pub(super) async fn put_back(taken: &BasicGetMessage) -> Result<(), TransportError> {
    let options = BasicNackOptions { requeue: true, multiple: false };
    answer("putting a message back", taken.acker.nack(options)).await.map(drop)
}

/// Ends a channel in order; the connection does it otherwise.
pub(super) async fn close(channel: &Channel) {
    if channel.status().connected() {
        drop(answer("closing a channel", channel.close(200, "done".into())).await);
    }
}

fn missing(name: &str) -> TransportError {
    TransportError::Refused(format!(
        "there is no queue {name}, and `declare: false` leaves it to others: declare it as docs/brokers.md says, or set \
         `declare: true` and grant the right to configure it"
    ))
}

/// Says what a refused declaration is about, and what helps.
fn explain(name: &str, words: String, differences: &[Difference]) -> String {
    // Where the type differs, other arguments do because of it.
    let of_type = differences.iter().find(|difference| difference.argument == "x-queue-type");
    if let Some(Difference { wanted, found, .. }) = of_type {
        let mend = match found.as_deref() {
            Some("classic") => "or set `queue_type: classic` and read what that costs",
            _ => "or choose another `queue`",
        };
        let found = found.as_deref().unwrap_or("not set, which means classic");
        return format!(
            "queue {name}: x-queue-type is {found}, {} is needed; delete it when it is empty, {mend}",
            wanted.as_deref().unwrap_or("none")
        );
    }
    if !differences.is_empty() {
        let list: Vec<_> = differences.iter().map(ToString::to_string).collect();
        return format!(
            "queue {name}: {}; delete it when it is empty, so that it is declared anew, or choose another `queue`",
            list.join(", ")
        );
    }
    if words.contains("ACCESS_REFUSED") {
        return format!(
            "{words}; grant the right to configure it, or set `declare: false` and declare it as another user"
        );
    }
    words
}

/// In what a queue that is there differs from what is needed. Nothing stands for an argument that is not set.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    argument: String,
    wanted: Option<String>,
    found: Option<String>,
    /// The type of the value found, in the broker's words.
    found_type: String,
}

impl Difference {
    /// Reads it from the broker's words: "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value
    /// '5' of type 'signedint' but current is none". Long ones are cut short by the broker.
    fn parse(words: &str) -> Option<Self> {
        let (_, rest) = words.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, rest) = rest.split_once(": received ")?;
        let (wanted, found) = rest.split_once(" but current is ")?;
        let found_type = quoted(found, 3).unwrap_or_default().into();
        let value = |words| quoted(words, 1).map(Into::into);
        Some(Self { argument: argument.into(), wanted: value(wanted), found: value(found), found_type })
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show =
            |value: &Option<String>| value.as_ref().map_or_else(|| "not set".into(), |value| format!("'{value}'"));
        write!(out, "{} is {}, {} is needed", self.argument, show(&self.found), show(&self.wanted))
    }
}

/// What stands between quotes, counted by the pieces between them.
fn quoted(words: &str, index: usize) -> Option<&str> {
    words.split('\'').nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_what_mends_it() {
        let cases = [
            (
                "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' \
                 but current is the value 'classic' of type 'longstr'",
                "queue q: x-queue-type is classic, quorum is needed; delete it when it is empty, or set `queue_type: classic`",
            ),
            (
                "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                "queue q: durable is 'false', 'true' is needed; delete it",
            ),
            (
                "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '5' of \
                 type 'long'",
                "queue q: x-max-length is '5', not set is needed",
            ),
            (
                "inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received the value '' of type \
                 'longstr' but current is none",
                "queue q: x-dead-letter-exchange is not set, '' is needed",
            ),
            ("ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'", "`declare: false`"),
            ("RESOURCE_LOCKED - cannot obtain exclusive access", "RESOURCE_LOCKED - cannot"),
        ];
        for (words, expected) in cases {
            let differences: Vec<_> = Difference::parse(words).into_iter().collect();
            let explained = explain("q", words.into(), &differences);
            assert!(explained.contains(expected), "{explained}");
        }
    }

    #[test]
    fn asking_again_yields_to_what_is_there() {
        let difference = |argument: &str, found: Option<&str>, kind: &str| Difference {
            argument: argument.into(),
            wanted: None,
            found: found.map(Into::into),
            found_type: kind.into(),
        };
        let mut wanted = queue("q", QueueType::Quorum).with("x-message-ttl", 5.into());
        assert!(wanted.yield_to(&difference("x-message-ttl", None, "")));
        assert!(wanted.yield_to(&difference("x-max-length", Some("7"), "long")));
        assert!(wanted.yield_to(&difference("x-queue-type", Some("classic"), "longstr")));
        assert!(wanted.yield_to(&difference("durable", Some("false"), "")));
        assert!(!wanted.yield_to(&difference("exclusive", Some("true"), "")));
        let expected = queue("q", QueueType::Classic).with("x-max-length", AMQPValue::LongLongInt(7));
        assert_eq!((wanted.durable, &wanted.arguments), (false, &expected.arguments));
    }

    #[test]
    fn the_ladder_reaches_from_a_quarter_of_a_second_to_eight_minutes() {
        assert_eq!(rung_limit(0), Duration::from_millis(250));
        assert_eq!(rung_limit(RUNGS - 1), Duration::from_secs(512));
        assert_eq!(Names::new("q").rungs().last().unwrap(), "q.retry.11");
    }
}
