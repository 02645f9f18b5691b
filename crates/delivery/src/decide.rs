//! Decides what becomes of a delivery: one exhaustive match over values, no I/O, no clock, no randomness of its own.

use std::time::Duration;

use quash_core::plan::{TargetId, TargetSet};
use quash_core::resolve::{Matched, Refused, Resolved};

use crate::record::Reason;
use crate::retry::RetryPolicy;
use crate::state::State;

#[cfg(test)]
mod tests;

/// How often the broker may hand a delivery out before it counts as one that kills workers. Handling never takes a second
/// delivery, so that only deaths and drains at their limit raise the broker's count.
pub const DELIVERIES_MAX: u32 = 10;

/// What the decision depends on beside the outcome.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What the delivery has behind it.
    pub state: State,
    /// When and how often to try again.
    pub policy: &'a RetryPolicy,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// A random number from 0 to 1, for jitter.
    pub random: f64,
}

/// What happened to a delivery this time.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// It was resolved, and what it asked for was sent to its targets.
    Resolved {
        /// What it asked for.
        resolved: &'a Resolved,
        /// The targets that are not done, each with what went wrong; targets that are not named are done.
        errors: &'a [(TargetId, ShareError<&'a str>)],
        /// The caches that could neither be done here nor go to where they belong.
        deferred: &'a [Deferred<'a>],
    },
    /// It was not resolved: none of the targets that it names is configured here.
    Unconfigured,
    /// It was not resolved: the source does not accept it.
    LeftOut,
    /// It was not resolved: it asks for a pass that is due after this time.
    Early(Duration),
    /// Handling it panicked, with this message.
    Panicked(&'a str),
    /// The broker handed it out this often, and every time the worker was gone before it settled.
    KillsWorkers(u32),
    /// Its headers could not be read as they were published, for this reason.
    Unreadable(&'a str),
    /// The worker stops before it was done.
    Interrupted,
}

/// Caches of a delivery that have to wait, whatever becomes of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deferred<'a> {
    /// Their names, separated by commas.
    pub caches: &'a str,
    /// Why they wait.
    pub why: Why,
    /// The same in words.
    pub error: &'a str,
}

/// Why one target is not done for one delivery. `E` is text: borrowed from a report, or owned by who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareError<E> {
    /// The target answered with an error.
    Failed(E),
    /// The target could not be reached, or was not asked because of that.
    Unreachable {
        /// What the driver said.
        error: E,
        /// How long the target has been away, as far as is known here.
        away: Duration,
    },
}

impl<E: AsRef<str>> ShareError<E> {
    /// The same with borrowed text.
    pub fn as_ref(&self) -> ShareError<&str> {
        match self {
            Self::Failed(error) => ShareError::Failed(error.as_ref()),
            Self::Unreachable { error, away } => ShareError::Unreachable { error: error.as_ref(), away: *away },
        }
    }
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Everything is done, or there was nothing to do.
    Ack,
    /// These take its place; at least one of the lists is not empty.
    Replace {
        /// Shares to try again later.
        parks: Vec<Park>,
        /// Shares that are given up.
        letters: Vec<Letter>,
    },
    /// It goes back to the broker as if never received.
    Release,
}

/// A share that is tried again later.
#[derive(Debug, Clone, PartialEq)]
pub struct Park {
    /// Why it waits.
    pub why: Why,
    /// The state it travels with.
    pub state: State,
    /// How long it waits.
    pub delay: Duration,
    /// The attempts that failed this time. None for a next pass, and none when targets could not be reached: that uses
    /// no attempt, and a history that every share of a long absence carries on would cost more than it tells.
    pub failures: Vec<(Option<TargetId>, String)>,
    /// The caches that it is about, separated by commas; `None` is all that the delivery is about.
    pub caches: Option<String>,
}

/// Why a share waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It is done, and `again_after` asks for a later pass.
    NextPass,
    /// Its targets answered with an error.
    Failed,
    /// Its targets could not be reached.
    Unreachable,
    /// Its targets, or its caches, are not configured here. They may be elsewhere: while a new configuration is rolled out, workers know
    /// different ones.
    Unconfigured,
    /// The source that its caches name as theirs could not be reached.
    NotHandedOver,
    /// Handling it panicked.
    Panicked,
}

/// A share that is given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Why.
    pub reason: Reason,
    /// The last error.
    pub error: String,
    /// The target that failed; `None` when it failed before any.
    pub target: Option<TargetId>,
    /// What of the delivery it stands for; a replay does that.
    pub state: State,
    /// The caches that it is about, separated by commas; `None` is all that the delivery is about.
    pub caches: Option<String>,
    /// The cache whose rule failed.
    pub cache: Option<String>,
    /// Attempts made, this one included.
    pub attempts_made: u32,
    /// When the share first failed, in milliseconds since the Unix epoch.
    pub first_failure_ms: i64,
}

/// Decides what becomes of one delivery. Every target that it asks for is done, parked or given up afterwards.
#[must_use]
pub fn decide(outcome: Outcome<'_>, terms: &Terms<'_>) -> Decision {
    match outcome {
        Outcome::Resolved { resolved: Resolved::Matched(matched), errors, deferred } => {
            terms.shares(matched, errors, deferred)
        }
        Outcome::Resolved { resolved: Resolved::Unmatched { .. }, deferred, .. } => {
            terms.shares(&NOTHING, &[], deferred)
        }
        Outcome::Unconfigured => terms.shares(&NOTHING, &[], &[]),
        Outcome::LeftOut => Decision::Ack,
        Outcome::Early(delay) => terms.early(delay),
        Outcome::Resolved { resolved: Resolved::Refused(refused), .. } => terms.refuse(refused),
        Outcome::Panicked(message) => terms.panicked(message),
        Outcome::KillsWorkers(times) => terms.kills_workers(times),
        Outcome::Unreadable(why) => terms.unreadable(why),
        Outcome::Interrupted => Decision::Release,
    }
}

/// A share for targets or caches that nobody here can reach.
struct Waiting<'a> {
    state: State,
    caches: Option<String>,
    why: Why,
    error: &'a str,
}

/// What is asked of the targets that are configured here when it is nothing.
const NOTHING: Matched = Matched { targets: TargetSet::EMPTY, next_pass: None, time_us: None };

impl Terms<'_> {
    /// Sorts the targets by their fate; those with the same fate travel in one copy.
    fn shares(
        &self,
        matched: &Matched,
        errors: &[(TargetId, ShareError<&str>)],
        deferred: &[Deferred<'_>],
    ) -> Decision {
        if errors.is_empty() && deferred.is_empty() && matched.next_pass.is_none() && !self.state.elsewhere {
            return Decision::Ack;
        }
        let mut failed = self.park(Why::Failed, self.state.attempt.saturating_add(1));
        failed.delay = self.policy.delay(self.state.attempt, self.random);
        let mut unreachable = self.park(Why::Unreachable, self.state.attempt);
        let mut letters = Vec::new();
        for (target, error) in errors.iter().filter(|(target, _)| matched.targets.contains(*target)) {
            match error {
                ShareError::Failed(error) if self.state.attempt >= self.policy.max_attempts => {
                    letters.push(self.letter(Reason::TargetError, Some(*target), error));
                }
                ShareError::Failed(error) => failed.add(*target, error),
                ShareError::Unreachable { error, .. } if self.failing_for() >= self.policy.give_up_after => {
                    letters.push(self.letter(Reason::GaveUp, Some(*target), error));
                }
                ShareError::Unreachable { away, .. } => {
                    unreachable.state.targets.insert(*target);
                    let failing = self.failing_for().max(*away);
                    unreachable.delay = unreachable.delay.max(self.policy.delay_unreachable(failing, self.random));
                }
            }
        }
        let undone = errors.iter().map(|(target, _)| *target).collect();
        let again = self.next_pass(matched, matched.targets.difference(undone));
        let failing = [failed, unreachable].into_iter().filter(|park| !park.state.targets.is_empty());
        let mut parks: Vec<Park> = again.into_iter().chain(failing).collect();
        let targets_elsewhere = self.state.elsewhere.then_some(Waiting {
            state: State { targets: TargetSet::EMPTY, ..self.state },
            caches: None,
            why: Why::Unconfigured,
            error: "the target is not configured",
        });
        let deferred = deferred.iter().map(|Deferred { caches, why, error }| Waiting {
            state: self.state,
            caches: Some((*caches).to_owned()),
            why: *why,
            error,
        });
        for waiting in targets_elsewhere.into_iter().chain(deferred) {
            self.wait(waiting, &mut parks, &mut letters);
        }
        replace(parks, letters)
    }

    /// A share for targets or caches that nobody here can reach waits as one for a target that is away, and just as long.
    fn wait(&self, share: Waiting<'_>, parks: &mut Vec<Park>, letters: &mut Vec<Letter>) {
        let Waiting { state, caches, why, error } = share;
        if self.failing_for() >= self.policy.give_up_after {
            letters.push(Letter { state, caches, ..self.letter(Reason::GaveUp, None, error) });
        } else {
            let state = State { first_failure_ms: Some(self.first_failure_ms()), ..state };
            let delay = self.policy.delay_unreachable(self.failing_for(), self.random);
            parks.push(Park { why, state, delay, failures: Vec::new(), caches });
        }
    }

    /// The copy that does the done targets once more when `again_after` asks for it. It starts afresh: what went wrong
    /// before the pass that is done now is over.
    fn next_pass(&self, matched: &Matched, done: TargetSet) -> Option<Park> {
        let next = matched.next_pass?;
        let state = State { targets: done, pass: next, ..State::default() };
        let delay = next.saturating_sub(self.state.pass);
        (!done.is_empty()).then(|| Park { why: Why::NextPass, state, delay, failures: Vec::new(), caches: None })
    }

    /// It waits for its pass, as if it had been parked for it at once.
    fn early(&self, delay: Duration) -> Decision {
        replace(
            vec![Park { why: Why::NextPass, state: self.state, delay, failures: Vec::new(), caches: None }],
            Vec::new(),
        )
    }

    fn refuse(&self, refused: &Refused) -> Decision {
        let (reason, cache) = match refused {
            Refused::Decode(error) => (Reason::of_undecodable(error), None),
            Refused::Limit { cache, .. } => (Reason::Limit, Some(cache.clone())),
            Refused::Rule(error) => (Reason::Rule, error.cache.clone()),
        };
        replace(Vec::new(), vec![Letter { cache, ..self.letter(reason, None, &refused.to_string()) }])
    }

    fn panicked(&self, message: &str) -> Decision {
        if self.state.attempt >= self.policy.max_attempts {
            return replace(Vec::new(), vec![self.letter(Reason::Panic, None, message)]);
        }
        let mut park = self.park(Why::Panicked, self.state.attempt.saturating_add(1));
        (park.state.targets, park.state.elsewhere) = (self.state.targets, self.state.elsewhere);
        park.delay = self.policy.delay(self.state.attempt, self.random);
        park.failures.push((None, message.to_owned()));
        replace(vec![park], Vec::new())
    }

    fn kills_workers(&self, times: u32) -> Decision {
        let error =
            format!("handed out {times} times to workers that were gone before they settled it; not tried again");
        replace(Vec::new(), vec![self.letter(Reason::Panic, None, &error)])
    }

    fn unreadable(&self, why: &str) -> Decision {
        let error = format!("the headers cannot be read as they were published: {why}");
        replace(Vec::new(), vec![self.letter(Reason::Decode, None, &error)])
    }

    /// A failed share, still without targets and delay. It keeps its pass.
    fn park(&self, why: Why, attempt: u32) -> Park {
        let state = State {
            attempt,
            targets: TargetSet::EMPTY,
            elsewhere: false,
            pass: self.state.pass,
            first_failure_ms: Some(self.first_failure_ms()),
        };
        Park { why, state, delay: Duration::ZERO, failures: Vec::new(), caches: None }
    }

    /// A letter for one target, or for all that was to do.
    fn letter(&self, reason: Reason, target: Option<TargetId>, error: &str) -> Letter {
        let alone = |target| State { targets: TargetSet::from_iter([target]), elsewhere: false, ..self.state };
        Letter {
            reason,
            error: error.to_owned(),
            target,
            state: target.map_or(self.state, alone),
            caches: None,
            cache: None,
            attempts_made: self.state.attempt,
            first_failure_ms: self.first_failure_ms(),
        }
    }

    /// Not in the future: another worker's clock may be ahead of this one, and what a publisher wrote there by itself must
    /// not put off the end.
    fn first_failure_ms(&self) -> i64 {
        self.state.first_failure_ms.map_or(self.now_ms, |first| first.min(self.now_ms))
    }

    fn failing_for(&self) -> Duration {
        let ms = self.now_ms.saturating_sub(self.first_failure_ms());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

impl Park {
    fn add(&mut self, target: TargetId, error: &str) {
        self.state.targets.insert(target);
        self.failures.push((Some(target), error.to_owned()));
    }
}

fn replace(parks: Vec<Park>, letters: Vec<Letter>) -> Decision {
    if parks.is_empty() && letters.is_empty() { Decision::Ack } else { Decision::Replace { parks, letters } }
}
