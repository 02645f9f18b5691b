//! Looks at the broker for whoever sets it up: the way to it, rights, queues that differ, alarms, and what waits.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use tokio::time::timeout;

use super::connection::{Link, Server, answer};
use super::topology::{self, Wanted};
use super::{Shared, backlog};
use crate::TransportError;
use quash_config::{Finding, Severity};

/// How long a broker that is not blocked takes at most to return a message that nobody gets.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);

/// The user that every broker has at first, with a password that everybody knows.
const GUEST: &str = "guest";

/// Inspects the broker; changes nothing.
pub(super) async fn inspect(shared: &Shared) -> Result<Vec<Finding>, TransportError> {
    let looking = &*shared.looking;
    let mut findings = vec![reached(looking).await?];
    findings.extend(way(looking.server()));
    findings.extend(kind(shared));
    let queues = Queues::look(shared).await?;
    findings.extend(queues.findings(shared));
    findings.extend(publishing(shared).await?);
    if let Some(queue) = queues.present.first() {
        findings.extend(reading(looking, queue).await?);
    }
    findings.push(ok(
        "what policies add to queues (limits of length or time) is not visible here: see rabbitmqctl list_policies",
    ));
    findings.push(waiting(shared).await?);
    Ok(findings)
}

async fn reached(link: &Link) -> Result<Finding, TransportError> {
    let heartbeat = link.heartbeat().await?;
    if heartbeat.is_zero() {
        return Ok(warning(
            "the broker wants no heartbeats: a connection that died without a word is noticed late or never",
            "set heartbeat = 60 in rabbitmq.conf",
        ));
    }
    Ok(ok(format!("the broker can be reached, with a heartbeat of {heartbeat:?}")))
}

/// Who could listen, and who could come in.
fn way(server: &Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.is_plaintext() && !server.is_local() {
        findings.push(warning(
            format!("the way to {} is not encrypted: password and events can be read on it", server.address()),
            "use amqps://, unless the network itself is encrypted",
        ));
    }
    if server.username() == GUEST && !server.is_local() {
        findings.push(warning(
            "the user is guest, whose password everybody knows, and it may come from other machines",
            "make a user for this, and delete guest",
        ));
    }
    findings
}

fn kind(shared: &Shared) -> Option<Finding> {
    (shared.config.queue_type == super::QueueType::Classic).then(|| {
        warning(
            "the queues are classic: they are on one node only, a retry that comes due is lost when the broker cannot move \
             it at that moment, and a message that ends processes is never set aside",
            "set queue_type: quorum",
        )
    })
}

/// The queues as they are.
struct Queues {
    present: Vec<String>,
    missing: Vec<String>,
    /// What the broker says against declaring them as they must be.
    problems: Vec<String>,
    /// Whether the rights allow to declare, and thereby to compare; nothing where no queue is there.
    configurable: Option<bool>,
}

impl Queues {
    async fn look(shared: &Shared) -> Result<Self, TransportError> {
        let mut queues = Self { present: vec![], missing: vec![], problems: vec![], configurable: None };
        for wanted in topology::wanted(&shared.names, shared.config.queue_type) {
            queues.add(&shared.looking, wanted).await?;
        }
        Ok(queues)
    }

    async fn add(&mut self, link: &Link, wanted: Wanted) -> Result<(), TransportError> {
        let channel = link.throw_away_channel().await?;
        if topology::count(&channel, &wanted.name).await?.is_none() {
            self.missing.push(wanted.name);
            return Ok(());
        }
        if self.configurable != Some(false) {
            // To declare what is there changes nothing, and tells what differs.
            match topology::declare(link, &channel, &wanted).await {
                Ok(()) => self.configurable = Some(true),
                Err(TransportError::Refused(words)) if words.contains("ACCESS_REFUSED") => {
                    self.configurable = Some(false);
                }
                Err(TransportError::Refused(words)) => {
                    self.configurable = Some(true);
                    self.problems.push(words);
                }
                Err(error) => return Err(error),
            }
        }
        topology::close(&channel).await;
        self.present.push(wanted.name);
        Ok(())
    }

    fn findings(&self, shared: &Shared) -> Vec<Finding> {
        let mut findings: Vec<_> = self.problems.iter().map(|words| difference(words)).collect();
        match (self.configurable, shared.config.declare) {
            (Some(false), true) => findings.push(error(
                "the user may not declare the queues",
                "grant the right to configure that docs/brokers.md lists, or set declare: false",
            )),
            (Some(false), false) => {
                findings.push(ok(
                    "whether the queues are as they must be is not visible without the right to declare them",
                ));
            }
            (Some(true), _) if self.problems.is_empty() => {
                findings.push(ok(format!("{} queues are as they must be", self.present.len())));
            }
            _ => {}
        }
        findings.extend(self.missing_ones(shared));
        findings
    }

    fn missing_ones(&self, shared: &Shared) -> Option<Finding> {
        let missing = match &self.missing[..] {
            [] => return None,
            missing if missing.len() <= 3 => missing.join(", "),
            [first, rest @ ..] => format!("{first} and {} others", rest.len()),
        };
        Some(if shared.config.declare {
            ok(format!("not there yet, and declared by the first worker: {missing}"))
        } else {
            error(format!("there is no queue {missing}"), "declare it as docs/brokers.md says, or set declare: true")
        })
    }
}

/// The words say at their end what helps.
fn difference(words: &str) -> Finding {
    match words.rsplit_once("; ") {
        Some((what, mend)) => error(what, mend),
        None => error(words, "delete the queue when it is empty, so that it is declared anew"),
    }
}

/// Publishes messages to nobody, which come back: that tells whether the user may publish, and whether the broker takes
/// anything at this moment. It tells only those who publish that it does not, and only after their first message.
async fn publishing(shared: &Shared) -> Result<Vec<Finding>, TransportError> {
    let link = Link::new(shared.link.server().clone(), "checking");
    let channel = link.channel().await?;
    let nobody = format!("quash.nobody.{:016x}", fastrand::u64(..));
    let returned = async {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish =
            || channel.basic_publish("".into(), nobody.as_str().into(), options, b"", BasicProperties::default());
        publish().await?.await?;
        publish().await?.await
    };
    Ok(vec![match timeout(BLOCKED_AFTER, returned).await {
        Ok(Ok(_)) => ok("the user may publish, and the broker takes messages"),
        Ok(Err(refused)) => error(
            format!("the user may not publish: {}", super::connection::words(&refused)),
            "grant the right to write to amq.default",
        ),
        Err(_) => match link.blocked() {
            Some(reason) => warning(
                format!("the broker takes no messages at this moment: {reason}"),
                "give it memory or disk space; rabbitmqctl status shows its alarms",
            ),
            None => warning(format!("the broker confirmed nothing within {BLOCKED_AFTER:?}"), "look at its log"),
        },
    }])
}

/// Asks to consume in a way that is always refused: for want of rights first, for its arguments otherwise.
async fn reading(link: &Link, queue: &str) -> Result<Option<Finding>, TransportError> {
    let channel: Channel = link.throw_away_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongString("none".into()));
    let asked = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), arguments);
    match answer("consuming", asked).await {
        Err(TransportError::Refused(words)) if words.contains("ACCESS_REFUSED") => Ok(Some(error(
            format!("the user may not read: {words}"),
            "grant the right to read that docs/brokers.md lists",
        ))),
        Err(TransportError::Refused(_)) => Ok(Some(ok("the user may read"))),
        Err(error) => Err(error),
        // Nothing is taken before this channel ends.
        Ok(_) => {
            topology::close(&channel).await;
            Ok(None)
        }
    }
}

async fn waiting(shared: &Shared) -> Result<Finding, TransportError> {
    let backlog = match backlog::backlog(shared).await {
        Ok(backlog) => backlog,
        // Whether an empty queue is empty only those may ask who may read it.
        Err(TransportError::Refused(_)) => {
            return Ok(ok("how many messages wait is not visible without the right to read"));
        }
        Err(error) => return Err(error),
    };
    Ok(ok(format!("{} ready and {} delayed messages in {}", backlog.ready, backlog.delayed, shared.names.work)))
}

fn ok(what: impl Into<String>) -> Finding {
    Finding { severity: Severity::Ok, what: what.into(), mend: String::new() }
}

fn warning(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Warning, what: what.into(), mend: mend.into() }
}

fn error(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Error, what: what.into(), mend: mend.into() }
}
