//! The whole flow of this crate on one screen: bytes to a plan. Pure: no I/O, no clock, no randomness.

use std::borrow::Cow;

use crate::emit::Batch;
use crate::event::{Change, DecodeError, Row, decode};
use crate::plan::RequestId;
use crate::rule::around::{self, Around};
use crate::rule::set::Found;
use crate::scope::Scope;

pub use crate::resolution::{Later, Matched, Refused, Remaining, Request, Resolution, Resolved, Widened};
pub use crate::resolver::{Declared, Resolver};

impl Resolver {
    /// Resolves a batch: decodes each request, finds what its changes make stale and merges what that takes.
    ///
    /// A batch whose plan would take more than `limits.max_plan_bytes` is split: only the first requests have outcomes then,
    /// at least one, and the caller resolves the rest when it is done with these.
    #[must_use]
    pub fn resolve(&self, requests: &[Request<'_>]) -> Resolution {
        let mut batch = Batch::new(self);
        let mut outcomes = Vec::with_capacity(requests.len());
        for (id, request) in (0..).map(RequestId).zip(requests) {
            outcomes.push(self.resolve_one(id, request, &mut batch));
            if batch.is_full() {
                break;
            }
        }
        batch.finish(outcomes)
    }

    /// Resolves the changes of one message that its publisher holds as they would be decoded. Whoever makes them answers for
    /// the limits of messages.
    #[must_use]
    pub fn resolve_changes(&self, changes: &[Change<'_>], scope: Option<&Scope>) -> Resolution {
        let mut batch = Batch::new(self);
        let remaining = Remaining { scope, ..Remaining::ALL };
        let outcome = if self.rules.known.is_empty() {
            self.resolve_decoded(RequestId(0), changes, &[], remaining, &mut batch)
        } else {
            let mut changes = changes.to_vec();
            self.rules.known.apply(&mut changes);
            self.resolve_decoded(RequestId(0), &changes, &[], remaining, &mut batch)
        };
        batch.finish(vec![outcome])
    }

    /// What can be resolved is asked for even if the request is refused because of the rest: its entries are stale all the same.
    fn resolve_one(&self, id: RequestId, request: &Request<'_>, batch: &mut Batch<'_>) -> Resolved {
        match self.read(request) {
            Ok(changes) => self.resolve_decoded(id, &changes, request.payload.headers, request.remaining, batch),
            Err(error) => Resolved::Refused(Refused::Decode(error)),
        }
    }

    /// The changes of a message, with what is declared of their entities.
    pub(crate) fn read<'c>(&'c self, request: &Request<'c>) -> Result<Vec<Change<'c>>, DecodeError> {
        let mut changes = Vec::new();
        decode(request.payload, request.format, &self.limits.event(), &mut changes)?;
        self.rules.known.apply(&mut changes);
        Ok(changes)
    }

    fn resolve_decoded(
        &self,
        id: RequestId,
        changes: &[Change<'_>],
        headers: &[(Cow<'static, str>, String)],
        remaining: Remaining<'_>,
        batch: &mut Batch<'_>,
    ) -> Resolved {
        let headers = self.headers(headers);
        if remaining.pass.is_zero() {
            changes.iter().filter_map(Change::answer).for_each(|answer| batch.answer(id, answer));
        }
        let is_pass = !remaining.pass.is_zero() && remaining.scope.is_some_and(|scope| scope.only.is_some());
        let mut asking = batch.ask(id, remaining, changes.len());
        for change in changes {
            let around = Around::of(change, &headers);
            let mut found = Found::default();
            if is_pass {
                self.rules.find_again(change, &around, &mut found);
            } else {
                self.rules.find(change, &around, &mut found);
            }
            asking.emit(change, found);
        }
        asking.resolved(changes.iter().filter_map(time_us).min())
    }

    /// The headers of a message, where some rule asks for them.
    pub(crate) fn headers<'h>(&self, headers: &'h [(Cow<'static, str>, String)]) -> Row<'h> {
        if self.rules.reads_headers { around::headers(headers) } else { Row::default() }
    }
}

fn time_us(change: &Change<'_>) -> Option<i64> {
    match change {
        Change::Event(event) => event.time_us,
        Change::Command(command) => command.time_us,
    }
}

#[cfg(test)]
mod tests;
