//! Hands caches over that name another source as theirs: one copy of the event for each source, with its broker before the
//! original is settled.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use quash_core::plan::RequestId;
use quash_core::resolve::Resolver;
use quash_core::scope::{CacheId, SourceId};
use quash_delivery::headers;
use quash_delivery::state::{State, write_attempts};
use quash_transport::Message;

use crate::item::Item;
use crate::source::OtherSources;
use quash_delivery::decide::{Deferred, Why};

/// What a batch had to hand over, and what became of it. Usually nothing.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    /// By their places in the batch, ascending: the caches of each that are not this source's.
    asked: BTreeMap<RequestId, String>,
    /// The same, by source, of those that it did not take, and why.
    failed: Vec<(BTreeMap<RequestId, String>, String)>,
    /// Copies that their sources took.
    pub(crate) taken: usize,
}

impl HandedOver {
    /// The caches of one delivery that are not this source's, separated by commas.
    pub(crate) fn of(&self, request: RequestId) -> &str {
        self.asked.get(&request).map_or("", String::as_str)
    }

    /// The caches of one delivery that their sources did not take.
    pub(crate) fn deferred(&self, request: RequestId) -> impl Iterator<Item = Deferred<'_>> {
        self.failed.iter().filter_map(move |(caches, error)| {
            let caches = caches.get(&request)?;
            Some(Deferred { caches, why: Why::NotHandedOver, error })
        })
    }
}

/// Publishes a copy to each source for each delivery that asks for it, all sources at once. `handed_over` is what
/// [`quash_core::resolve::Resolution`] says of it.
pub(crate) async fn hand_over(
    handed_over: &[(RequestId, CacheId)],
    items: &[Item<'_>],
    rules: &Resolver,
    sources: &OtherSources,
) -> HandedOver {
    let mut outcome = HandedOver::default();
    let mut by_source: BTreeMap<SourceId, BTreeMap<RequestId, String>> = BTreeMap::new();
    for (request, cache) in handed_over {
        let (Some(source), Some(name)) = (rules.source_of(*cache), rules.caches().get(cache.index())) else { continue };
        append(outcome.asked.entry(*request).or_default(), name);
        append(by_source.entry(source).or_default().entry(*request).or_default(), name);
    }
    let sources = by_source.into_iter().map(async |(source, caches)| {
        let copies: Vec<Message> = caches
            .iter()
            .filter_map(|(request, caches)| Some(copy(items.get(request.index())?, caches, rules)))
            .collect();
        let name = rules.sources().get(usize::from(source.0)).map_or("", String::as_str);
        let published = match sources.get(name) {
            Some(source) => source.publish(&copies).await,
            None => Err("it is no source of this worker".to_owned()),
        };
        published.map(|()| copies.len()).map_err(|error| (caches, format!("cannot hand over to {name}: {error}")))
    });
    for source in join_all(sources).await {
        match source {
            Ok(copies) => outcome.taken += copies,
            Err(failed) => outcome.failed.push(failed),
        }
    }
    outcome
}

/// The event as it goes to another source: with what is left to do for these caches alone, and no history of its own yet.
fn copy(item: &Item<'_>, caches: &str, rules: &Resolver) -> Message {
    let mut message = item.delivery.message.clone();
    let headers = &mut message.headers;
    State { attempt: 1, first_failure_ms: None, ..item.state }.write(headers, rules.targets());
    write_attempts(headers, &[]);
    headers.remove(headers::RECORD);
    headers.set(headers::CACHES, caches);
    headers.set(headers::CACHES_HANDED_OVER, caches);
    message
}

fn append(names: &mut String, name: &str) {
    if !names.is_empty() {
        names.push(',');
    }
    names.push_str(name);
}
