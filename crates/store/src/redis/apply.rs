//! Applies actions: all removals and writes in one round, then one pass over the keys for all prefixes and globs, then
//! publications.

use std::borrow::Cow;
use std::sync::Arc;

use super::connect::Connector;
use super::link::Link;
use super::order::{Key, Order, Tally};
use super::scan;
use super::wanted::Wanted;
use crate::{Applied, StoreError};
use quash_core::action::{Action, GUARD, Object};
use quash_core::glob::Glob;

/// How many rounds a command may take, for keys that are asked for one by one and for slots that move, before the
/// cache counts as down.
const ROUNDS_MAX: usize = 6;

/// Applies the actions, one outcome each.
///
/// # Errors
/// When the cache does not answer or cannot work now.
pub(super) async fn apply(connector: &Connector, actions: &[Action], pace: f64) -> Result<Applied, StoreError> {
    let mut tally = Tally::new(actions.len());
    let mut link = connector.link().await?;
    let orders = direct_orders(&link, actions);
    link = finish(connector, link, orders, &mut tally).await?;
    // Behind their guards: a load that stores between the two would store what nobody removes any more.
    let orders = link.unlinks(held_entries(actions));
    link = finish(connector, link, orders, &mut tally).await?;

    let mut keys_visited = 0;
    let guards = if actions.iter().any(Action::scans) { guards(actions) } else { Vec::new() };
    if actions.iter().any(Action::scans)
        && let Some(wanted) = wanted(actions, &guards, &mut tally)
    {
        let swept = scan::remove(&link, &wanted, pace, actions).await;
        if let Err(StoreError::Refused(why)) = &swept {
            // A right that is missing for a scan is missing for all prefixes and globs, and for nothing else.
            let scanning = actions.iter().enumerate().filter(|(_, action)| action.scans());
            scanning.for_each(|(owner, _)| tally.refuse(owner, why.as_str()));
        } else {
            let (part, visited) = connector.check(&link, swept).await?;
            keys_visited = visited;
            tally.merge(part);
            let left = tally.take_left();
            link = finish(connector, link, left, &mut tally).await?;
        }
    }
    // Whoever hears of it reads anew at once, and must not find what is only about to go.
    finish(connector, link, publications(actions), &mut tally).await?;
    Ok(Applied { outcomes: tally.outcomes(), keys_visited })
}

/// The commands for everything but prefixes, globs and publications.
fn direct_orders<'a>(link: &Link, actions: &'a [Action]) -> Vec<Order<'a>> {
    let (mut keys, mut writes, mut voids) = (Vec::new(), Vec::new(), Vec::new());
    for (owner, action) in actions.iter().enumerate() {
        let key = |name: &'a str, guarded| Key { owner, name: Cow::Borrowed(name.as_bytes()), guarded };
        match action {
            Action::Delete(name) => keys.push(key(name, false)),
            Action::DeleteGuarded(Object::Key(name)) => keys.push(key(name, true)),
            Action::Void { object: Object::Key(name), void } => voids.push((*void, key(name, false))),
            Action::Bump(_) | Action::Set { .. } | Action::Hold { .. } => writes.push(Order::Write { owner, action }),
            Action::DeletePrefix(_)
            | Action::DeletePattern(_)
            | Action::DeleteGuarded(_)
            | Action::Void { .. }
            | Action::Publish { .. } => {}
        }
    }
    let mut orders = link.unlinks(keys);
    orders.extend(writes);
    orders.extend(link.voids(voids));
    orders
}

/// The entries whose holds stand in their guards.
fn held_entries(actions: &[Action]) -> Vec<Key<'_>> {
    let held = actions.iter().enumerate().filter_map(|(owner, action)| match action {
        Action::Hold { key, guarded: true, .. } => Some(Key::plain(owner, Cow::Borrowed(key.as_bytes()))),
        _ => None,
    });
    held.collect()
}

/// What the guards look like of the entries that globs find, by the indices of their actions.
fn guards(actions: &[Action]) -> Vec<(usize, Glob)> {
    let patterns = actions.iter().enumerate().filter_map(|(owner, action)| match action {
        Action::DeleteGuarded(Object::Pattern(glob)) => Some((owner, glob.followed_by(GUARD))),
        _ => None,
    });
    patterns.collect()
}

fn publications(actions: &[Action]) -> Vec<Order<'_>> {
    let published = actions.iter().enumerate().filter(|(_, action)| matches!(action, Action::Publish { .. }));
    published.map(|(owner, action)| Order::Write { owner, action }).collect()
}

/// What to look for, if there is anything. An empty prefix is refused here as well, whoever let it through: it would mean
/// everything.
fn wanted<'a>(actions: &'a [Action], guards: &'a [(usize, Glob)], tally: &mut Tally<'_>) -> Option<Wanted<'a>> {
    let (mut texts, mut globs) = (Vec::new(), Vec::new());
    for (owner, action) in actions.iter().enumerate() {
        match action {
            Action::DeletePrefix(prefix)
            | Action::DeleteGuarded(Object::Prefix(prefix))
            | Action::Void { object: Object::Prefix(prefix), .. } => match prefix.is_empty() {
                true => tally.refuse(owner, "an empty prefix would remove every key"),
                false => texts.push((owner, prefix.as_ref())),
            },
            Action::DeletePattern(glob)
            | Action::DeleteGuarded(Object::Pattern(glob))
            | Action::Void { object: Object::Pattern(glob), .. } => globs.push((owner, glob)),
            _ => {}
        }
    }
    globs.extend(guards.iter().map(|(owner, glob)| (*owner, glob)));
    (!texts.is_empty() || !globs.is_empty()).then(|| Wanted::new(texts, globs))
}

/// Sends orders until each is answered for good, following slots that move. Returns the link that is good then.
async fn finish<'a>(
    connector: &Connector,
    mut link: Arc<Link>,
    mut orders: Vec<Order<'a>>,
    tally: &mut Tally<'a>,
) -> Result<Arc<Link>, StoreError> {
    for _ in 0..ROUNDS_MAX {
        if orders.is_empty() {
            return Ok(link);
        }
        let round = round(&link, orders, tally).await;
        connector.check(&link, round).await?;
        if !tally.moved.is_empty() {
            connector.lose(&link).await;
            link = connector.link().await?;
        }
        orders = tally.take_left();
    }
    if orders.is_empty() {
        return Ok(link);
    }
    Err(StoreError::Unreachable("the cluster keeps redirecting commands".to_owned()))
}

/// One round, with the detours that it was told to take.
async fn round<'a>(link: &Link, orders: Vec<Order<'a>>, tally: &mut Tally<'a>) -> Result<(), StoreError> {
    link.round(orders, tally).await?;
    for (order, address) in std::mem::take(&mut tally.asked) {
        link.redirected(order, &address, tally).await?;
    }
    Ok(())
}
