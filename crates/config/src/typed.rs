//! Reads the tree into a type, and finds everything that does not fit in one go.

use serde_json::Value as Json;

#[cfg(feature = "schema")]
use super::blame::blame;
use super::deserialize::{Learnt, Read};
use super::fault::Fault;
use super::load::Root;
use super::mismatch::{Found, Why};
use super::node::Node;
use super::wording::word;

/// Problems that are reported at most; past them, people mend some first.
pub(super) const PROBLEMS_MAX: usize = 50;

/// Tries at most: also what is a consequence of an earlier problem costs one.
const TRIES_MAX: usize = 500;

/// What came of reading the tree.
pub(super) struct Typed<T> {
    /// The value, without what is wrong; `None` when too little is left.
    pub(super) root: Option<T>,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// Scalars that are secrets by their type.
    pub(super) secrets: Vec<Node>,
}

/// Reads the tree. Serde stops at the first thing that is wrong: that is noted and dropped from the tree, and the rest is
/// read again, until nothing is wrong any more.
pub(super) fn read<T: Root>(tree: &mut Node, incomplete: bool) -> Typed<T> {
    let (learnt, mut root, mut faults, mut schema) = (Learnt::default(), None, Vec::new(), None);
    for _ in 0..TRIES_MAX {
        let found = match T::deserialize(Read::new(tree, &learnt)) {
            Ok(read) => {
                root = Some(read);
                break;
            }
            Err(mismatch) => narrow::<T>(mismatch.found(), tree, &mut schema),
        };
        // What is missing at the top may stand in the file that could not be parsed.
        let consequence = incomplete && found.path.0.is_empty() && matches!(found.why, Why::Missing(_));
        faults.extend(word(tree, &found).filter(|_| !consequence));
        if faults.len() >= PROBLEMS_MAX || !drop_at(tree, &found) {
            break;
        }
    }
    Typed { root, faults, secrets: learnt.secrets.into_inner().into_values().collect() }
}

/// Where several forms are possible, serde names the whole value: the schema knows what in it is wrong.
#[cfg(feature = "schema")]
fn narrow<T: Root>(found: Found, tree: &Node, schema: &mut Option<Json>) -> Found {
    if found.why != Why::NoVariant || found.at_key {
        return found;
    }
    let schema = schema.get_or_insert_with(|| schemars::schema_for!(T).to_value());
    match blame(schema, tree, &found.path) {
        Some((path, why)) => Found { path, at_key: matches!(why, Why::UnknownKey(_)), why, ..found },
        None => found,
    }
}

/// Without schemas the whole value is named.
#[cfg(not(feature = "schema"))]
#[expect(clippy::extra_unused_type_parameters, reason = "with schemas the type is asked for its own")]
const fn narrow<T: Root>(found: Found, _: &Node, _: &mut Option<Json>) -> Found {
    found
}

/// Drops a value from the tree; false when there is none to drop but the root.
fn drop_at(tree: &mut Node, found: &Found) -> bool {
    match tree.at_mut(&found.path) {
        Some(node) if !found.path.0.is_empty() && !node.dropped => {
            node.dropped = true;
            true
        }
        _ => false,
    }
}
