//! Answers publishers who wait: what became of their messages, on each target that they were about.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use quash_core::answer::{Answer, AnswerId, Outcome};
use quash_core::plan::{TargetId, TargetSet};
use quash_core::resolve::Resolver;
use quash_core::scope::{CacheId, Scope};
use quash_delivery::decide::{Decision, Letter, Why};
use quash_delivery::state::shorten;

use crate::lane::Lane;

/// How long saying answers may take. Whoever waits hears nothing then, which changes nothing.
const LIMIT: Duration = Duration::from_secs(2);

/// What is asked: by which delivery, and what was decided about it.
pub(crate) struct Asked<'a> {
    /// The targets that the delivery was about.
    pub(crate) targets: TargetSet,
    /// Which caches it was about, where not all of them.
    pub(crate) scope: Option<&'a Scope>,
    /// The names of its caches that went to sources of their own just now, separated by commas.
    pub(crate) handed_over: &'a str,
    /// What becomes of it.
    pub(crate) decision: &'a Decision,
    /// The source it is from.
    pub(crate) source: &'a str,
}

/// What is to be said, by target.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<(TargetId, AnswerId, Answer)>);

impl Answers {
    /// Adds what is known now. A target whose share is to be tried again is not answered for: whoever does it does.
    pub(crate) fn add(&mut self, id: AnswerId, asked: &Asked<'_>, rules: &Resolver) {
        let here = (0..).map(TargetId).zip(rules.targets()).filter(|(target, _)| asked.targets.contains(*target));
        for (target, name) in here {
            let Some((outcome, letter)) = asked.outcome(target) else { continue };
            let answer = Answer {
                target: name.clone(),
                source: asked.source.to_owned(),
                outcome,
                part: asked.is_part(),
                also: asked.also(rules),
                reason: letter.map(|letter| letter.reason.name().into()),
                error: letter.map(|letter| shorten(&letter.error)),
            };
            self.0.push((target, id, answer));
        }
    }

    /// Takes over others.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Says all of it, each on its target. A target that does not take it is left out: the answer is a courtesy, and nothing
    /// waits for it but the publisher.
    pub(crate) async fn say(&self, lanes: &[Arc<Lane>]) {
        let by_lane = lanes.iter().enumerate().filter_map(|(index, lane)| {
            let own = self.0.iter().filter(|(target, ..)| usize::from(target.0) == index);
            let said: Vec<_> = own.map(|(_, id, answer)| (*id, answer.to_json())).collect();
            (!said.is_empty()).then(|| say_on(lane, said))
        });
        join_all(by_lane).await;
    }
}

async fn say_on(lane: &Lane, said: Vec<(AnswerId, String)>) {
    let outcome = match lane.store().answers() {
        _ if lane.is_open() => Err("the target cannot be reached".to_owned()),
        None => Err("this kind of target takes no answers".to_owned()),
        Some(answers) => match tokio::time::timeout(LIMIT, answers.say(&said)).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no reply within {LIMIT:?}")),
        },
    };
    lane.metrics().answered_publishers(said.len(), outcome);
}

impl<'a> Asked<'a> {
    /// What became of it on a target, if that is known.
    fn outcome(&self, target: TargetId) -> Option<(Outcome, Option<&'a Letter>)> {
        let Decision::Replace { parks, letters } = self.decision else {
            return matches!(self.decision, Decision::Ack).then_some((Outcome::Invalidated, None));
        };
        if let Some(letter) = letters.iter().find(|letter| letter.target.is_none_or(|of| of == target)) {
            return Some((Outcome::DeadLetter, Some(letter)));
        }
        let is_open = parks.iter().any(|park| match park.why {
            Why::NextPass | Why::NotHandedOver => false,
            Why::Failed | Why::Unreachable | Why::Panicked => park.state.targets.contains(target),
            // Caches that nobody here knows may be on any target; targets that nobody here knows are none of these.
            Why::Unconfigured => park.caches.is_some(),
        });
        (!is_open).then_some((Outcome::Invalidated, None))
    }

    /// Whether it was handed over by another source, which answers for the rest.
    fn is_part(&self) -> bool {
        self.scope.is_some_and(|scope| scope.only.is_some())
    }

    /// The sources that its other caches went to, or will go to.
    fn also(&self, rules: &Resolver) -> Vec<String> {
        if self.is_part() {
            return Vec::new();
        }
        let before = (0..)
            .map(CacheId)
            .zip(rules.caches())
            .filter(|(cache, _)| self.scope.is_some_and(|scope| scope.handed_over.contains(*cache)));
        let now = self.handed_over.split(',').filter_map(|name| rules.cache(name));
        let sources = before.map(|(cache, _)| cache).chain(now).filter_map(|cache| rules.source_of(cache));
        let mut names: Vec<String> =
            sources.filter_map(|source| rules.sources().get(usize::from(source.0)).cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
