//! Carries an event through its attempts in this process, and says what is left of it afterwards.

use std::time::Duration;

use quash_core::plan::{Share, TargetId, TargetSet};
use quash_core::rule::dispatch::Failures;

use super::layout::Group;
use super::publish::Outgoing;
use super::targets::{Targets, Trouble};
use crate::event::Event;
use crate::event::pack::Parcel;
use quash_delivery::headers;
use quash_delivery::record::{Attempt, Reason, Record};
use quash_delivery::retry::RetryPolicy;
use quash_delivery::state::{State, shorten, write_attempts};
use quash_transport::{Headers, Message};

/// What an event asks of one dispatcher in this process.
pub(super) struct Work {
    /// The events, as they would travel.
    pub(super) parcel: Parcel,
    /// What is to do, one share per target.
    pub(super) shares: Vec<Share>,
    /// The caches that are stale.
    pub(super) caches: Vec<String>,
    /// Whether later passes are due, and nobody knows of them yet.
    pub(super) has_later: bool,
    /// The attempts made.
    pub(super) attempts_made: u32,
    /// Those that failed.
    pub(super) failures: Vec<Attempt>,
    pub(super) first_failure_ms: Option<i64>,
    /// The targets that are done.
    pub(super) done: TargetSet,
    /// Why each of `shares` was not done the last time; empty before the first attempt.
    pub(super) troubles: Vec<Trouble>,
}

/// What comes after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another one, after a delay.
    Again(Duration),
    /// None: what is left goes elsewhere.
    Ended,
}

/// What an attempt needs to know.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) targets: &'a Targets,
    pub(super) names: &'a [String],
    pub(super) policy: &'a RetryPolicy,
    /// Who writes letters.
    pub(super) origin: &'a str,
}

impl Work {
    /// Does what is to do once. May be dropped: then it counts as never begun.
    pub(super) async fn attempt(&mut self, group: &Group, scene: Scene<'_>, now_ms: impl Fn() -> i64) -> Next {
        let undone = scene.targets.execute(&self.shares).await;
        self.attempts_made += 1;
        let now_ms = now_ms();
        self.settle(undone, scene.names, now_ms);
        if self.shares.is_empty() || self.attempts_made >= group.attempts.min(scene.policy.max_attempts) {
            return Next::Ended;
        }
        let failing_ms = u64::try_from(now_ms - self.first_failure_ms.unwrap_or(now_ms)).unwrap_or(0);
        let random = fastrand::f64();
        let delays = self.troubles.iter().map(|trouble| match trouble {
            Trouble::Failed(_) => scene.policy.delay(self.attempts_made, random),
            Trouble::Unreachable(_) => scene.policy.delay_unreachable(Duration::from_millis(failing_ms), random),
        });
        Next::Again(delays.max().unwrap_or_default())
    }

    /// Keeps the shares that are not done, with what went wrong.
    fn settle(&mut self, undone: Vec<(usize, Trouble)>, names: &[String], now_ms: i64) {
        let mut undone = undone.into_iter().peekable();
        let mut left = Vec::new();
        self.troubles.clear();
        for (place, share) in std::mem::take(&mut self.shares).into_iter().enumerate() {
            match undone.next_if(|(failed, _)| *failed == place) {
                Some((_, trouble)) => {
                    if let Trouble::Failed(error) = &trouble {
                        let target = name(names, share.target);
                        self.failures.push(Attempt { at_ms: now_ms, target, error: shorten(error) });
                    }
                    self.first_failure_ms.get_or_insert(now_ms);
                    left.push(share);
                    self.troubles.push(trouble);
                }
                None => self.done.insert(share.target),
            }
        }
        self.shares = left;
    }

    /// Counts everything that is left as not done, because of this: nobody knows what happened.
    pub(super) fn give_up(&mut self, why: &str, now_ms: i64) {
        self.first_failure_ms.get_or_insert(now_ms);
        self.troubles = self.shares.iter().map(|_| Trouble::Unreachable(why.to_owned())).collect();
    }

    /// What of the event has to go elsewhere now that its attempts here are over, if anything.
    pub(super) fn remains(&self, group: &Group, scene: Scene<'_>, now_ms: i64) -> Option<Outgoing> {
        if self.shares.is_empty() && !self.has_later {
            return None;
        }
        let mut out = Outgoing::new(&group.source);
        if self.has_later && !self.done.is_empty() {
            let state = State { targets: self.done, ..State::default() };
            out.messages.push(self.share(&state, true, scene.names));
        }
        match group.failures {
            Failures::HandOver => out.messages.extend(self.handed_over(scene.names)),
            Failures::DeadLetter => {
                let lost = self.shares.iter().zip(&self.troubles);
                out.letters.extend(lost.map(|(share, trouble)| self.letter(share, trouble, group, scene, now_ms)));
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// A share for the targets that answered with errors, and one for those that could not be reached: that uses no attempt.
    fn handed_over(&self, names: &[String]) -> impl Iterator<Item = Message> {
        let of = |failed: bool| {
            let troubled = self.shares.iter().zip(&self.troubles);
            let same = troubled.filter(move |(_, trouble)| matches!(trouble, Trouble::Failed(_)) == failed);
            same.map(|(share, _)| share.target).collect::<TargetSet>()
        };
        let shares = [(of(true), self.attempts_made + 1), (of(false), 1)];
        shares.into_iter().filter(|(targets, _)| !targets.is_empty()).map(|(targets, attempt)| {
            let state = State { attempt, targets, first_failure_ms: self.first_failure_ms, ..State::default() };
            let mut message = self.share(&state, false, names);
            if attempt > 1 {
                write_attempts(&mut message.headers, &self.failures);
            }
            message
        })
    }

    fn share(&self, state: &State, is_done: bool, names: &[String]) -> Message {
        let mut message = self.parcel.message();
        state.write(&mut message.headers, names);
        self.scope(&mut message.headers, is_done);
        message
    }

    /// Says that it is about these caches only, and perhaps that their first pass is done.
    fn scope(&self, headers: &mut Headers, is_done: bool) {
        let caches = self.caches.join(",");
        if is_done && !caches.is_empty() {
            headers.set(headers::CACHES_DONE, caches.clone());
        }
        if !caches.is_empty() {
            headers.set(headers::CACHES, caches);
        }
    }

    /// A letter for one target, which a replay acts on alone.
    fn letter(&self, share: &Share, trouble: &Trouble, group: &Group, scene: Scene<'_>, now_ms: i64) -> Message {
        let (reason, error) = match trouble {
            Trouble::Failed(error) => (Reason::TargetError, error),
            Trouble::Unreachable(error) => (Reason::GaveUp, error),
        };
        let target = name(scene.names, share.target);
        let concerns = |attempt: &&Attempt| attempt.target == target;
        let mut attempts: Vec<Attempt> = self.failures.iter().filter(concerns).cloned().collect();
        if let Trouble::Unreachable(error) = trouble {
            attempts.push(Attempt { at_ms: now_ms, target: target.clone(), error: shorten(error) });
        }
        let first = self.parcel.events.first();
        let record = Record {
            version: Record::VERSION,
            id: first.and_then(Event::identifier).map(shorten),
            source: group.source.clone(),
            broker_id: String::new(),
            entity: first.and_then(Event::entity).map(shorten),
            reason,
            error: shorten(error),
            target,
            cache: None,
            attempts_made: self.attempts_made.max(1),
            attempts,
            first_failure_ms: self.first_failure_ms.unwrap_or(now_ms),
            last_failure_ms: now_ms,
            trace: self.caches.iter().map(|cache| format!("{cache} is dispatched by {}", group.kind)).collect(),
            worker: scene.origin.to_owned(),
            quash: env!("CARGO_PKG_VERSION").to_owned(),
            replays: 0,
        };
        let state = State { targets: TargetSet::from_iter([share.target]), ..State::default() };
        let mut message = self.share(&state, false, scene.names);
        write_attempts(&mut message.headers, &record.attempts);
        record.put(&mut message.headers);
        message
    }
}

fn name(names: &[String], target: TargetId) -> Option<String> {
    names.get(usize::from(target.0)).cloned()
}
