//! Turns decisions about deliveries into verdicts for the broker.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use quash_core::event::{Change, EventLimits, Format, Payload, decode};
use quash_core::resolve::{Request, Resolver};
use quash_transport::{Delivery, Destination, Message, Replacement, Verdict};

use crate::copies::{self, Origin};
use crate::decide::{Decision, Letter};
use crate::headers;
use crate::record::Reason;
use crate::state::{State, add_caches, read_scope, shorten};

/// What a letter says about where it was written.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The source's configured name.
    pub source: &'a str,
    /// The worker's name.
    pub worker: &'a str,
    /// The format of the source's events.
    pub format: Format,
    /// The limits that decoding keeps.
    pub limits: EventLimits,
    /// The rules that were used.
    pub rules: &'a Resolver,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Scene<'_> {
    /// The verdict that carries out a decision. Payloads are shared, never changed. `handed_over` names the caches that
    /// went to sources of their own, or wait to: the other shares are not about them any more.
    #[must_use]
    pub fn verdict(&self, delivery: &Delivery, decision: &Decision, handed_over: &str) -> Verdict {
        match decision {
            Decision::Ack => Verdict::Ack,
            Decision::Release => Verdict::Release,
            Decision::Replace { parks, letters } => {
                let parked = parks.iter().map(|park| {
                    let message = copies::parked(&delivery.message, park, self.rules.targets(), self.now_ms);
                    (Replacement { message, to: Destination::Later(park.delay) }, &park.caches)
                });
                let dead = letters.iter().map(|letter| (self.dead(delivery, letter), &letter.caches));
                let copies = parked.chain(dead).map(|(copy, caches)| about(copy, caches.as_deref(), handed_over));
                Verdict::Replace(copies.collect())
            }
        }
    }

    fn dead(&self, delivery: &Delivery, letter: &Letter) -> Replacement {
        let changed = self.changed(&delivery.message, letter.reason);
        let origin = Origin {
            id: delivery.message.headers.get(headers::ID).map(shorten).or(changed.id),
            entity: changed.entity,
            source: self.source,
            broker_id: &delivery.broker_id,
            worker: self.worker,
            trace: self.trace(&delivery.message, letter.state, letter.reason),
        };
        let message = copies::letter(&delivery.message, letter, origin, self.rules.targets(), self.now_ms);
        Replacement { message, to: Destination::DeadLetters }
    }

    /// What changed, by decoding once more: letters are rare, and the hot path need not keep it. Not for what panicked:
    /// decoding may be what panics, or what ends the process.
    fn changed(&self, message: &Message, reason: Reason) -> Changed {
        if reason == Reason::Panic {
            return Changed::default();
        }
        catch_unwind(AssertUnwindSafe(|| {
            let mut changes = Vec::new();
            match decode(payload(message), self.format, &self.limits, &mut changes) {
                Ok(()) => changes.first().map(Changed::of).unwrap_or_default(),
                Err(_) => Changed::default(),
            }
        }))
        .unwrap_or_default()
    }

    fn trace(&self, message: &Message, state: State, reason: Reason) -> Vec<String> {
        if reason == Reason::Panic {
            return Vec::new();
        }
        let scope = read_scope(&message.headers, |name| self.rules.cache(name));
        let request = Request {
            targets: state.targets,
            pass: state.pass,
            scope: scope.as_ref(),
            ..Request::fresh(payload(message), self.format)
        };
        catch_unwind(AssertUnwindSafe(|| self.rules.trace(&request))).unwrap_or_default()
    }
}

/// A copy that says which caches it is about.
fn about(mut copy: Replacement, caches: Option<&str>, handed_over: &str) -> Replacement {
    let headers = &mut copy.message.headers;
    match caches {
        Some(caches) => headers.set(headers::CACHES, caches),
        None if handed_over.is_empty() => {}
        None => add_caches(headers, headers::CACHES_HANDED_OVER, handed_over),
    }
    copy
}

/// A message as the resolver sees it.
#[must_use]
pub fn payload(message: &Message) -> Payload<'_> {
    Payload { body: &message.payload, headers: message.headers.as_slice() }
}

/// Shortened: an event may be all name.
#[derive(Default)]
struct Changed {
    id: Option<String>,
    entity: Option<String>,
}

impl Changed {
    fn of(change: &Change<'_>) -> Self {
        let short = |id: &Option<Cow<'_, str>>| id.as_deref().map(shorten);
        match change {
            Change::Event(event) => Self { id: short(&event.id), entity: Some(shorten(&event.entity)) },
            Change::Command(command) => Self { id: short(&command.id), entity: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_core::plan::TargetId;
    use quash_core::resolve::Declared;
    use quash_transport::Tag;

    use super::*;

    /// A broker takes some kilobytes of headers, and a person reads some lines.
    const RECORD_MAX: usize = 16 * 1024;

    #[test]
    fn a_record_stays_small_whatever_is_in_the_event() {
        let targets = [("main".to_owned(), Default::default())].into();
        let caches = serde_json::from_str(r#"{"c": {"key": "c:{id}", "depends_on": [{"row": "e"}]}}"#).unwrap();
        let (resolver, _) = Resolver::compile(Declared {
            targets: &targets,
            caches: &caches,
            entities: &[].into(),
            on_unknown: None,
            secrets: &[].into(),
            limits: Default::default(),
        });
        let rules = resolver.unwrap();
        let limits = EventLimits::default();
        let (source, worker, format) = ("events", "w", Format::Auto);
        let scene = Scene { source, worker, format, limits, rules: &rules, now_ms: 0 };
        let long = "x".repeat(200_000);
        let ids = serde_json::json!([long, long]);
        let bodies = [
            serde_json::json!({ "entity": "e", "op": "create", "id": long, "after": { "id": ids } }),
            serde_json::json!({ "entity": long, "op": "create" }),
        ];
        for body in bodies {
            let message = Message { payload: body.to_string().into(), ..Message::default() };
            let broker_id = "1-0".to_owned();
            let delivery = Delivery { message, broker_id, deliveries: 1, tag: Tag(0) };
            let letter = Letter {
                reason: Reason::TargetError,
                error: long.clone(),
                target: Some(TargetId(0)),
                state: State::default(),
                caches: None,
                cache: None,
                attempts_made: 8,
                first_failure_ms: 0,
            };
            let decision = Decision::Replace { parks: Vec::new(), letters: vec![letter] };
            let Verdict::Replace(copies) = scene.verdict(&delivery, &decision, "") else { panic!("no letter") };
            let record = copies[0].message.headers.get(headers::RECORD).unwrap();
            assert!(record.len() < RECORD_MAX, "{} bytes", record.len());
            assert_eq!(copies[0].message.payload, delivery.message.payload);
        }
    }
}
