//! Takes out of a share what its prefixes remove anyway.

use super::{RequestIds, Share, join};
use crate::action::Action;

/// Takes out longer prefixes that begin with a prefix of the share, whose requests now ask for that one, and keys whose
/// requests ask for such a prefix as well. Keys of others stay: they cost little, need not wait for the pass over all keys,
/// and must not fail because a stranger's prefix covers something that may not be removed.
pub(super) fn subsume(share: &mut Share) {
    let mut prefixes: Vec<(Box<str>, RequestIds)> = Vec::new();
    let mut rest = Share { target: share.target, actions: Vec::new(), asked_by: Vec::new() };
    for (action, requests) in share.actions.drain(..).zip(share.asked_by.drain(..)) {
        match action {
            Action::DeletePrefix(prefix) => prefixes.push((prefix, requests)),
            other => {
                rest.actions.push(other);
                rest.asked_by.push(requests);
            }
        }
    }
    prefixes.sort();
    // Sorted, a prefix stands directly before everything that begins with it.
    let mut widest: Vec<(Box<str>, RequestIds)> = Vec::new();
    for (prefix, requests) in prefixes {
        match widest.last_mut().filter(|(wider, _)| prefix.starts_with(&**wider)) {
            Some((_, known)) => join(known, &requests),
            None => widest.push((prefix, requests)),
        }
    }
    for (action, requests) in rest.actions.into_iter().zip(rest.asked_by) {
        if !is_swallowed(&widest, &action, &requests) {
            share.actions.push(action);
            share.asked_by.push(requests);
        }
    }
    for (prefix, requests) in widest {
        share.actions.push(Action::DeletePrefix(prefix));
        share.asked_by.push(requests);
    }
}

/// Whether all who asked for this action asked for a prefix that removes the same. Only deletes are swallowed: a token
/// must be written.
fn is_swallowed(widest: &[(Box<str>, RequestIds)], action: &Action, requests: &RequestIds) -> bool {
    let Action::Delete(key) = action else { return false };
    let below = widest.partition_point(|(prefix, _)| **prefix <= **key);
    widest[..below].last().is_some_and(|(prefix, known)| {
        key.starts_with(&**prefix) && requests.iter().all(|request| known.binary_search(request).is_ok())
    })
}
