//! Merges the later passes of a batch into few messages: direct commands, each once, with the pass in their header.
//!
//! A copy of every event for every pass costs the broker and the worker three times the work. What a pass removes again are
//! keys, and a batch names each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quash_core::event::EventLimits;
use quash_core::plan::{TargetId, TargetSet};
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
    groups: BTreeMap<(Duration, Duration, Targets), BTreeSet<(&'a str, CacheId)>>,
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

/// Targets, in some order.
type Targets = Vec<u8>;

impl<'a> Passes<'a> {
    /// Adds what a delivery asks for, after the pass that is done now, on the targets where it is done.
    pub(crate) fn add(&mut self, of: Tag, later: &'a [Later], now: Duration, done: TargetSet) {
        self.of.insert(of);
        let targets: Targets = done.iter().map(|target| target.0).collect();
        for Later { cache, pass, command, .. } in later {
            let group = self.groups.entry((*pass, pass.saturating_sub(now), targets.clone())).or_default();
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
        for ((pass, delay, targets), commands) in &self.groups {
            let due_ms = now_ms.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
            let mut pack = Pack::default();
            for (command, cache) in commands {
                if !pack.is_empty() && (pack.size(command) > bytes_max || pack.commands == commands_max) {
                    messages.push(std::mem::take(&mut pack).message(*pass, due_ms, targets, rules));
                }
                pack.add(command, *cache);
            }
            messages.push(pack.message(*pass, due_ms, targets, rules));
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
    fn message(mut self, pass: Duration, due_ms: i64, targets: &[u8], rules: &Resolver) -> Message {
        self.body.push_str(AROUND[1]);
        let mut headers = Headers::default();
        let targets = targets.iter().copied().map(TargetId).collect();
        State { targets, pass, ..State::default() }.write(&mut headers, rules.targets());
        let names = self.caches.iter().filter_map(|cache| rules.caches().get(cache.index())).map(String::as_str);
        let names = names.collect::<Vec<_>>().join(",");
        headers.set(headers::CACHES_HANDED_OVER, names.clone());
        headers.set(headers::CACHES, names);
        headers.set(headers::DUE, due_ms.to_string());
        Message { payload: self.body.into(), headers }
    }
}
