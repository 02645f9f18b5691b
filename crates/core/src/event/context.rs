//! Hands down what an envelope says to the changes inside it that do not say it themselves.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Change, Event, SharedText, Transaction};
use crate::answer::AnswerId;

/// What an envelope says about all its changes.
#[derive(Debug, Default)]
pub(super) struct Context<'a> {
    /// Given to a single change only: two changes of one identifier would be taken for one.
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) source: Option<SharedText<'a>>,
    pub(super) time_us: Option<i64>,
    pub(super) origin: Option<SharedText<'a>>,
    pub(super) traceparent: Option<SharedText<'a>>,
    pub(super) transaction: Option<Arc<Transaction>>,
    pub(super) answer: Option<AnswerId>,
}

impl<'a> Context<'a> {
    /// Fills what is missing.
    pub(super) fn fill(&self, changes: &mut [Change<'a>]) {
        let id = if changes.len() == 1 { &self.id } else { &None };
        for change in changes {
            match change {
                Change::Event(event) => self.fill_event(event, id),
                Change::Command(command) => {
                    inherit(&mut command.id, id);
                    command.time_us = command.time_us.or(self.time_us);
                    command.answer = command.answer.or(self.answer);
                }
            }
        }
    }

    fn fill_event(&self, event: &mut Event<'a>, id: &Option<Cow<'a, str>>) {
        inherit(&mut event.id, id);
        inherit(&mut event.source, &self.source);
        inherit(&mut event.origin, &self.origin);
        inherit(&mut event.traceparent, &self.traceparent);
        inherit(&mut event.transaction, &self.transaction);
        event.time_us = event.time_us.or(self.time_us);
        event.answer = event.answer.or(self.answer);
    }
}

fn inherit<T: Clone>(own: &mut Option<T>, envelope: &Option<T>) {
    if own.is_none() {
        own.clone_from(envelope);
    }
}
