//! Explains events, letters and keys by the rules in force, as `quash explain` does. Asks no target and removes nothing.

use quash_core::event::{Format, Payload};
use quash_core::explain::Explanation;
use quash_core::resolve::{Request, Resolver};
use quash_delivery::record::Reason;
use quash_delivery::state::{State, read_scope};
use quash_delivery::verdict::payload;
use quash_worker::claims::Known;
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::replay::replacement;
use serde::Serialize;

use crate::desk::Desk;

/// What came of explaining a message.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Explained {
    /// What it asks for.
    Asks(Explanation),
    /// It becomes a dead letter before any rule sees it.
    Refused { refused: &'static str, error: String },
}

impl Explained {
    fn of(rules: &Resolver, request: &Request<'_>) -> Self {
        match rules.explain(request) {
            Ok(explanation) => Self::Asks(explanation),
            Err(error) => Self::Refused { refused: Reason::of_undecodable(&error).name(), error: error.to_string() },
        }
    }

    /// What an event asks for.
    pub(crate) fn event(desk: &Desk, body: &[u8], format: Format) -> Self {
        Self::of(&desk.rules(), &Request::fresh(Payload { body, headers: &[] }, format))
    }

    /// What a letter asks for that is replayed now: on the targets and of the caches that are still to do.
    pub(crate) fn letter(desk: &Desk, letter: &Letter, format: Format) -> Self {
        let (rules, message) = (desk.rules(), replacement(letter));
        let state = State::read(&message.headers, |name| rules.target(name));
        let scope = read_scope(&message.headers, |name| rules.cache(name));
        let fresh = Request::fresh(payload(&message), format);
        Self::of(&rules, &Request { targets: state.targets, pass: state.pass, scope: scope.as_ref(), ..fresh })
    }
}

/// What a key is on each target.
#[derive(Debug, Serialize)]
pub(crate) struct KeyExplained {
    pub(crate) key: String,
    pub(crate) targets: Vec<Known>,
}

impl KeyExplained {
    pub(crate) fn of(desk: &Desk, key: &str) -> Self {
        let locations = desk.rules().locations();
        let targets = desk.targets().iter().map(|(target, _)| Known::of(key, &target.name, &locations)).collect();
        Self { key: key.to_owned(), targets }
    }
}
