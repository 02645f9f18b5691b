//! Names the queues, declares them or checks that they are there, and says exactly what differs.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::config::{Config, QueueType};
use super::connection::{Link, answer};
use crate::transport::TransportError;

/// How many delay queues there are.
pub(super) const RUNGS: usize = 12;

/// The longest delay of the first of them; each of the others takes twice as much as the one before it.
const FIRST_RUNG: Duration = Duration::from_millis(250);

/// How often the broker may hand a message out before it makes a dead letter of it by itself. Long before that, this
/// transport sets a message aside that was handed out again and again; this is for what nobody sets aside.
const DELIVERY_LIMIT: i32 = 100;

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
    let wanted = Wanted { name: name.into(), arguments: FieldTable::default() };
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

    /// A queue of messages to work on; what it gives up becomes a dead letter.
    fn backed_by(self, dead: &str, queue_type: QueueType) -> Self {
        let wanted = self.dead_lettered_to(dead, queue_type);
        match queue_type {
            QueueType::Classic => wanted,
            QueueType::Quorum => wanted.with("x-delivery-limit", DELIVERY_LIMIT.into()),
        }
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
            declare(&channel, queue).await?;
        } else if count(&channel, &queue.name).await?.is_none() {
            return Err(missing(&queue.name));
        }
    }
    close(&channel).await;
    Ok(())
}

/// Declares one queue; that it is there already, as it must be, is fine. An error closes the channel.
pub(super) async fn declare(channel: &Channel, wanted: &Wanted) -> Result<(), TransportError> {
    let operation = format!("declaring the queue {}", wanted.name);
    let declared =
        channel.queue_declare(wanted.name.as_str().into(), QueueDeclareOptions::durable(), wanted.arguments.clone());
    match answer(&operation, declared).await {
        Ok(_) => Ok(()),
        Err(TransportError::Refused(words)) => Err(TransportError::Refused(explain(&wanted.name, words))),
        Err(error) => Err(error),
    }
}

/// How many messages of a queue wait to be handed out, or nothing if there is no such queue; that closes the channel.
pub(super) async fn count(channel: &Channel, name: &str) -> Result<Option<u32>, TransportError> {
    let operation = format!("asking for the queue {name}");
    let asked = channel.queue_declare(name.into(), QueueDeclareOptions::durable().passive(), FieldTable::default());
    match answer(&operation, asked).await {
        Ok(queue) => Ok(Some(queue.message_count())),
        Err(TransportError::Refused(words)) if words.contains("NOT_FOUND") => Ok(None),
        Err(error) => Err(error),
    }
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
fn explain(name: &str, words: String) -> String {
    if let Some(Difference { argument, wanted, found }) = Difference::parse(&words) {
        let mend = match argument {
            "x-queue-type" if found == "classic" => {
                "delete it when it is empty, or set `queue_type: classic` and read what that costs"
            }
            _ => "delete it when it is empty, so that it is declared anew, or choose another `queue`",
        };
        return format!("queue {name}: {argument} is {found}, {wanted} is needed; {mend}");
    }
    if words.contains("ACCESS_REFUSED") {
        return format!(
            "{words}; grant the right to configure it, or set `declare: false` and declare it as another user"
        );
    }
    words
}

/// In what a queue that is there differs from what is needed.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    argument: &'a str,
    wanted: &'a str,
    found: &'a str,
}

impl<'a> Difference<'a> {
    /// Reads it from the broker's words: "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value
    /// '5' of type 'signedint' but current is none". Long ones are cut short by the broker.
    fn parse(words: &'a str) -> Option<Self> {
        let (_, rest) = words.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, rest) = rest.split_once(": received ")?;
        let (wanted, found) = rest.split_once(" but current is ")?;
        Some(Self { argument, wanted: value(wanted), found: value(found) })
    }
}

fn value(words: &str) -> &str {
    match words.split_once('\'') {
        Some((_, rest)) => rest.split('\'').next().unwrap_or(rest),
        None if words.starts_with("none") => "not set",
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_what_mends_it() {
        let cases = [
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' \
                 of type 'longstr' but current is the value 'classic' of type 'longstr'",
                "queue q: x-queue-type is classic, quorum is needed; delete it when it is empty, or set `queue_type: classic`",
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' \
                 of type 'longstr' but current is none",
                "queue q: x-queue-type is not set, quorum is needed; delete it when it is empty, so",
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                "queue q: durable is false, true is needed; delete it",
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is \
                 the value '5' of type 'long'",
                "queue q: x-max-length is 5, not set is needed",
            ),
            ("ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'", "`declare: false`"),
            ("RESOURCE_LOCKED - cannot obtain exclusive access", "RESOURCE_LOCKED - cannot"),
        ];
        for (words, expected) in cases {
            let explained = explain("q", words.into());
            assert!(explained.contains(expected), "{explained}");
        }
    }

    #[test]
    fn the_ladder_reaches_from_a_quarter_of_a_second_to_eight_minutes() {
        assert_eq!(rung_limit(0), Duration::from_millis(250));
        assert_eq!(rung_limit(RUNGS - 1), Duration::from_secs(512));
        assert_eq!(Names::new("q").rungs().last().unwrap(), "q.retry.11");
    }
}
