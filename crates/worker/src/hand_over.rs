//! Hands caches over that name another queue as theirs: one copy of the event for each queue, with its broker before the
//! original is settled.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use quash_core::resolve::Resolver;
use quash_core::scope::QueueId;
use quash_delivery::headers;
use quash_delivery::state::{State, write_attempts};
use quash_transport::Message;

use crate::item::Item;
use crate::source::OtherSources;
use quash_delivery::decide::{Stray, Why};

/// What a batch had to hand over, and what became of it. Usually nothing.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    /// By their places in the batch, ascending: the caches of each that are not this queue's.
    asked: BTreeMap<u32, String>,
    /// The same, by queue, of those that it did not take, and why.
    failed: Vec<(BTreeMap<u32, String>, String)>,
    /// Copies that their queues took.
    pub(crate) taken: usize,
}

impl HandedOver {
    /// The caches of one delivery that are not this queue's, separated by commas.
    pub(crate) fn of(&self, asker: u32) -> &str {
        self.asked.get(&asker).map_or("", String::as_str)
    }

    /// The caches of one delivery that their queues did not take.
    pub(crate) fn strays(&self, asker: u32) -> impl Iterator<Item = Stray<'_>> {
        self.failed.iter().filter_map(move |(caches, error)| {
            let caches = caches.get(&asker)?;
            Some(Stray { caches, why: Why::NotHandedOver, error })
        })
    }
}

/// Publishes a copy to each queue for each delivery that asks for it, all queues at once. `handed_over` is what
/// [`quash_core::resolve::Resolution`] says of it.
pub(crate) async fn hand_over(
    handed_over: &[(u32, u32)],
    items: &[Item<'_>],
    rules: &Resolver,
    sources: &OtherSources,
) -> HandedOver {
    let mut outcome = HandedOver::default();
    let mut by_queue: BTreeMap<QueueId, BTreeMap<u32, String>> = BTreeMap::new();
    for (asker, cache) in handed_over {
        let (Some(queue), Some(name)) = (rules.queue_of(*cache), rules.caches().get(*cache as usize)) else { continue };
        append(outcome.asked.entry(*asker).or_default(), name);
        append(by_queue.entry(queue).or_default().entry(*asker).or_default(), name);
    }
    let queues = by_queue.into_iter().map(async |(queue, caches)| {
        let copies: Vec<Message> = caches
            .iter()
            .filter_map(|(asker, caches)| Some(copy(items.get(*asker as usize)?, caches, rules)))
            .collect();
        let name = rules.queues().get(usize::from(queue.0)).map_or("", String::as_str);
        let published = match sources.get(name) {
            Some(source) => source.publish(&copies).await,
            None => Err("it is no source of this worker".to_owned()),
        };
        published.map(|()| copies.len()).map_err(|error| (caches, format!("cannot hand over to {name}: {error}")))
    });
    for queue in join_all(queues).await {
        match queue {
            Ok(copies) => outcome.taken += copies,
            Err(failed) => outcome.failed.push(failed),
        }
    }
    outcome
}

/// The event as it goes to another queue: with what is left to do for these caches alone, and no history of its own yet.
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
