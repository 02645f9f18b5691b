//! Merges the later passes of a batch into few messages: direct commands, each once, with the pass in their header.
//!
//! A copy of every event for every pass costs the broker and the worker three times the work. What a pass removes again are
//! keys, and a batch names each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quash_core::event::EventLimits;
use quash_core::plan::TargetSet;
use quash_core::resolve::{Later, Resolver};
use quash_core::scope::CacheId;
use quash_delivery::headers;
use quash_delivery::state::State;
use quash_transport::{Headers, Message, Tag};

/// Bytes of one message at most, unless a single command has more: far below what brokers take, and one that cannot be
/// done costs only its own.
const BYTES_MAX: usize = 64 * 1024;

/// Commands of one message at most.
const COMMANDS_MAX: usize = 1000;

/// How deep the commands are nested.
pub(crate) const DEPTH: usize = 6;

const AROUND: [&str; 2] = ["{\"events\":[", "]}"];

/// The commands of a batch, by when they are due and on which targets.
#[derive(Debug, Default)]
pub(crate) struct Passes<'a> {
    groups: BTreeMap<When, BTreeSet<(&'a str, CacheId)>>,
    of: BTreeSet<Tag>,
}

/// What a batch leaves to later passes, and whose copies that makes needless.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// To publish before anything of the batch is settled.
    pub(crate) messages: Vec<Message>,
    /// The deliveries that they stand for.
    pub(crate) of: BTreeSet<Tag>,
}

impl Merged {
    /// Whether there is nothing to publish.
    pub(crate) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes over others.
    pub(crate) fn extend(&mut self, other: Self) {
        self.messages.extend(other.messages);
        self.of.extend(other.of);
    }
}

/// Which pass, after which delay, and where.
type When = (Duration, Duration, TargetSet);

impl<'a> Passes<'a> {
    /// Adds what a delivery asks for, after the pass that is done now, on the targets where it is done.
    pub(crate) fn add(&mut self, of: Tag, later: &'a [Later], now: Duration, done: TargetSet) {
        self.of.insert(of);
        for Later { cache, pass, command, .. } in later {
            let group = self.groups.entry((*pass, pass.saturating_sub(now), done)).or_default();
            group.insert((command, *cache));
        }
    }

    /// The messages, at this time in milliseconds since the Unix epoch. None for a single delivery, whose own copy is as good.
    pub(crate) fn merged(&self, rules: &Resolver, limits: &EventLimits, now_ms: i64) -> Merged {
        if self.of.len() < 2 {
            return Merged::default();
        }
        let bytes_max = BYTES_MAX.min(limits.max_message_bytes);
        let commands_max = COMMANDS_MAX.min(limits.max_events);
        let mut messages = Vec::new();
        for (&(pass, delay, targets), commands) in &self.groups {
            let due_ms = now_ms.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
            let mut pack = Pack::default();
            for (command, cache) in commands {
                if !pack.is_empty() && (pack.size(command) > bytes_max || pack.commands == commands_max) {
                    messages.push(std::mem::take(&mut pack).message(pass, due_ms, targets, rules));
                }
                pack.add(command, *cache);
            }
            messages.push(pack.message(pass, due_ms, targets, rules));
        }
        Merged { messages, of: self.of.clone() }
    }
}

/// A message that is being filled.
#[derive(Debug, Default)]
struct Pack {
    body: String,
    commands: usize,
    caches: BTreeSet<CacheId>,
}

impl Pack {
    const fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// How many bytes it would have with one more command.
    const fn size(&self, command: &str) -> usize {
        AROUND[0].len() + self.body.len() + 1 + command.len() + AROUND[1].len()
    }

    fn add(&mut self, command: &str, cache: CacheId) {
        self.body.push_str(if self.is_empty() { AROUND[0] } else { "," });
        self.body.push_str(command);
        self.commands += 1;
        self.caches.insert(cache);
    }

    /// It names its caches beside the commands: a command asks for what depends on its cache as well, which has passes of its own.
    fn message(mut self, pass: Duration, due_ms: i64, targets: TargetSet, rules: &Resolver) -> Message {
        self.body.push_str(AROUND[1]);
        let mut headers = Headers::default();
        State { targets, pass, ..State::default() }.write(&mut headers, rules.targets());
        let names = self.caches.iter().filter_map(|cache| rules.caches().get(cache.index())).map(String::as_str);
        let names = names.collect::<Vec<_>>().join(",");
        headers.set(headers::CACHES_HANDED_OVER, names.clone());
        headers.set(headers::CACHES, names);
        headers.set(headers::DUE, due_ms.to_string());
        Message { payload: self.body.into(), headers }
    }
}

#[cfg(test)]
mod tests {
    use quash_core::event::{Format, Payload, decode};
    use quash_core::plan::TargetId;
    use quash_store::TargetOptions;

    use super::*;
    use crate::app::doubles::config;

    fn later(number: usize) -> Later {
        let command = format!(r#"{{"invalidate":{{"cache":"again","args":{{"id":{number}}}}}}}"#).into();
        Later { request: quash_core::plan::RequestId(0), cache: CacheId(0), pass: Duration::from_secs(1), command }
    }

    #[test]
    fn a_message_is_bounded_and_says_all_of_it() {
        let rules = config(&["eu", "main"], TargetOptions::default()).compile().0.unwrap();
        let many: Vec<Later> = (0..2500).map(later).collect();
        let mut passes = Passes::default();
        let on = |target| TargetSet::from_iter([TargetId(target)]);
        passes.add(Tag(1), &many, Duration::ZERO, on(0));
        assert!(passes.merged(&rules, &EventLimits::default(), 0).is_empty(), "its own copy is as good");
        passes.add(Tag(2), &many[..3], Duration::ZERO, on(0));
        passes.add(Tag(3), &many[..1], Duration::ZERO, on(1));
        let merged = passes.merged(&rules, &EventLimits::default(), 5);
        assert_eq!(merged.of, [Tag(1), Tag(2), Tag(3)].into());
        let mut counts: Vec<(String, usize)> = Vec::new();
        for Message { payload, headers } in &merged.messages {
            assert!(payload.len() <= BYTES_MAX);
            assert_eq!(headers.get(headers::DUE), Some("1005"));
            let mut changes = Vec::new();
            let body = Payload { body: payload, headers: headers.as_slice() };
            decode(body, Format::Json, &EventLimits::default(), &mut changes).unwrap();
            counts.push((headers.get(headers::TARGETS).unwrap().to_owned(), changes.len()));
        }
        let on_eu: Vec<usize> = counts.iter().filter(|(target, _)| target == "eu").map(|(_, count)| *count).collect();
        assert!(on_eu.iter().sum::<usize>() == 2500 && on_eu.iter().all(|count| *count <= COMMANDS_MAX), "{on_eu:?}");
        assert_eq!(counts.last(), Some(&("main".to_owned(), 1)));
        let few = EventLimits { max_events: 1, ..EventLimits::default() };
        assert_eq!(passes.merged(&rules, &few, 5).messages.len(), 2501);
    }
}
