//! Carries an event through its attempts in this process, and says what is left of it afterwards.

use std::time::Duration;

use quash_core::plan::{Share, TargetId, TargetSet};
use quash_core::resolve::{Matched, Resolved};
use quash_core::rule::dispatch::Failures;
use quash_delivery::copies::{self, Origin, failed_attempts};
use quash_delivery::decide::{Decision, Outcome, ShareError, Terms, decide};
use quash_delivery::headers;
use quash_delivery::record::Attempt;
use quash_delivery::retry::RetryPolicy;
use quash_delivery::state::{State, shorten, write_attempts};
use quash_transport::{Headers, Message};

use super::layout::Group;
use super::publish::Outgoing;
use super::targets::Targets;
use crate::event::Event;
use crate::event::pack::Parcel;

/// What an event asks of one dispatcher in this process.
pub(super) struct Work {
    /// The events, as they would travel.
    parcel: Parcel,
    /// What is still to do, one share per target.
    shares: Vec<Share>,
    /// The caches that are stale.
    caches: Vec<String>,
    /// Whether later passes are due, and nobody knows of them yet.
    has_later: bool,
    /// What it has behind it: the attempt that comes, counted as a worker does, and when it first failed.
    state: State,
    /// The attempts made here, of any kind.
    attempts_made: u32,
    /// Those that a target answered with an error.
    failures: Vec<Attempt>,
    /// The targets that are done.
    done: TargetSet,
    /// Why each of `shares` was not done the last time; empty before the first attempt.
    errors: Vec<ShareError<String>>,
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
    pub(super) fn new(parcel: Parcel, shares: Vec<Share>, caches: Vec<String>, has_later: bool) -> Self {
        let (state, attempts_made, done) = (State::default(), 0, TargetSet::EMPTY);
        let (failures, errors) = (Vec::new(), Vec::new());
        Self { parcel, shares, caches, has_later, state, attempts_made, failures, done, errors }
    }

    pub(super) const fn parcel(&self) -> &Parcel {
        &self.parcel
    }

    pub(super) fn caches(&self) -> &[String] {
        &self.caches
    }

    /// Whether every target is done.
    pub(super) const fn is_done(&self) -> bool {
        self.shares.is_empty()
    }

    /// Does what is to do once. May be dropped: then it counts as never begun.
    pub(super) async fn attempt(&mut self, group: &Group, scene: Scene<'_>, now_ms: impl Fn() -> i64) -> Next {
        let undone = scene.targets.execute(&self.shares).await;
        self.attempts_made += 1;
        self.keep(undone);
        if self.is_done() {
            return Next::Ended;
        }
        let now_ms = now_ms();
        if self.attempts_made >= group.attempts.min(scene.policy.max_attempts) {
            self.state.first_failure_ms.get_or_insert(now_ms);
            return Next::Ended;
        }
        let Decision::Replace { parks, .. } = self.decide(&scene.policy.never_giving_up(), now_ms) else {
            return Next::Ended;
        };
        for park in &parks {
            self.failures.extend(failed_attempts(park, scene.names, now_ms));
            self.state.first_failure_ms = park.state.first_failure_ms;
            self.state.attempt = self.state.attempt.max(park.state.attempt);
        }
        Next::Again(parks.iter().map(|park| park.delay).max().unwrap_or_default())
    }

    /// Keeps the shares that are not done, with what went wrong.
    fn keep(&mut self, undone: Vec<(usize, ShareError<String>)>) {
        let mut undone = undone.into_iter().peekable();
        let mut left = Vec::new();
        self.errors.clear();
        for (index, share) in std::mem::take(&mut self.shares).into_iter().enumerate() {
            match undone.next_if(|(failed, _)| *failed == index) {
                Some((_, error)) => {
                    left.push(share);
                    self.errors.push(error);
                }
                None => self.done.insert(share.target),
            }
        }
        self.shares = left;
    }

    /// Counts everything that is left as not done, because of this: nobody knows what happened.
    pub(super) fn give_up(&mut self, why: &str, now_ms: i64) {
        self.state.first_failure_ms.get_or_insert(now_ms);
        let error = ShareError::Unreachable { error: why.to_owned(), away: Duration::ZERO };
        self.errors = vec![error; self.shares.len()];
    }

    /// What of the event has to go elsewhere now that its attempts here are over, if anything.
    pub(super) fn remains(&self, group: &Group, scene: Scene<'_>, now_ms: i64) -> Option<Outgoing> {
        let mut out = Outgoing::new(&group.source);
        if self.has_later && !self.done.is_empty() {
            out.messages.push(self.first_pass_done(scene.names));
        }
        // Attempts here are counted by their dispatcher; what is handed over goes on at a worker.
        let policy = match group.failures {
            Failures::HandOver => scene.policy.never_giving_up(),
            Failures::DeadLetter => scene.policy.giving_up_at_once(),
        };
        if let Decision::Replace { parks, letters } = self.decide(&policy, now_ms) {
            let original = self.original();
            out.messages.extend(parks.iter().map(|park| copies::parked(&original, park, scene.names, now_ms)));
            let letter = |letter| copies::letter(&original, letter, self.origin(group, scene), scene.names, now_ms);
            out.letters.extend(letters.iter().map(letter));
        }
        (!out.is_empty()).then_some(out)
    }

    /// What becomes of the shares that are not done; [`Decision::Ack`] when there are none.
    fn decide(&self, policy: &RetryPolicy, now_ms: i64) -> Decision {
        let targets = || self.shares.iter().map(|share| share.target);
        let errors: Vec<(TargetId, ShareError<&str>)> =
            targets().zip(&self.errors).map(|(target, error)| (target, error.as_ref())).collect();
        let matched = Resolved::Matched(Matched { targets: targets().collect(), next_pass: None, time_us: None });
        let outcome = Outcome::Resolved { resolved: &matched, errors: &errors, deferred: &[] };
        decide(outcome, &Terms { state: self.state, policy, now_ms, random: fastrand::f64() })
    }

    /// The event for a worker, which does its later passes.
    fn first_pass_done(&self, names: &[String]) -> Message {
        let mut message = self.parcel.message();
        State { targets: self.done, ..State::default() }.write(&mut message.headers, names);
        self.name_caches(headers::CACHES_DONE, &mut message.headers);
        self.name_caches(headers::CACHES, &mut message.headers);
        message
    }

    /// The event with what a worker would have received of it.
    fn original(&self) -> Message {
        let mut message = self.parcel.message();
        self.name_caches(headers::CACHES, &mut message.headers);
        write_attempts(&mut message.headers, &self.failures);
        message
    }

    fn name_caches(&self, header: &'static str, headers: &mut Headers) {
        if !self.caches.is_empty() {
            headers.set(header, self.caches.join(","));
        }
    }

    fn origin<'s>(&self, group: &'s Group, scene: Scene<'s>) -> Origin<'s> {
        let first = self.parcel.events.first();
        Origin {
            id: first.and_then(Event::identifier).map(shorten),
            entity: first.and_then(Event::entity).map(shorten),
            source: &group.source,
            broker_id: "",
            worker: scene.origin,
            trace: self.caches.iter().map(|cache| format!("{cache} is dispatched by {}", group.kind)).collect(),
        }
    }
}
